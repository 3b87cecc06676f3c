//! Plans that are played again and again: the gateway holds the same after each cycle, and servers that keep something of each
//! visitor are seen to.

use std::{future::pending, hint::black_box, mem, pin::Pin, time::Duration};

use crate::visit::{scenario, visit};
use rehearsal_core::{
    config::Config,
    env::{Env, TcpListener},
    gateway::Ended,
};
use rehearsal_scenarios::{
    catalogue::{CATALOGUE, Scenario},
    fault::Lever,
    run::{Cycles, Resources, StandIn},
};
use rehearsal_sim::{
    SimEnv, SimTcpStream,
    heap::{self, Scope},
};
use tokio::{
    io::{AsyncReadExt, copy, sink},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

static VISIT: Scenario = scenario("cycles/visit", |_| visit(10_000));

/// The visitor stays until the server must have closed.
static STAY: Scenario = scenario("cycles/stay", |_| visit(40_000));

static RESTARTED: Scenario = scenario("cycles/restarted", |_| {
    let mut plan = visit(10_000);
    plan.fault(20_000, "gateway", Lever::ShutDown);
    plan.fault(30_000, "gateway", Lever::Restart);
    plan
});

static GONE: Scenario = scenario("cycles/gone", |_| {
    let mut plan = visit(10_000);
    plan.fault(20_000, "gateway", Lever::Crash);
    plan
});

type Serving = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A server that does something for each of its visitors.
macro_rules! server {
    (|$env:ident, $stream:ident| $does:expr) => {
        |$env: SimEnv, config: Config, told: CancellationToken| -> Serving {
            Box::pin(async move {
                let _rtmp = $env.bind_tcp(config.rtmp.listen).await.expect("the port is free");
                let mut http = $env.bind_tcp(config.http.listen).await.expect("the port is free");
                while let Some(accepted) = told.run_until_cancelled(http.accept()).await {
                    #[allow(unused_mut)]
                    let (mut $stream, _) = accepted.expect("nobody limits descriptors");
                    $does;
                }
                Ended { cut_connections: 0 }
            })
        }
    };
}

/// Waits for as long as half a request may take, as the gateway does.
async fn see_out(mut stream: SimTcpStream) {
    let head_ms = Config::default().http.head_ms;
    let reading = async move { copy(&mut stream, &mut sink()).await };
    let _ = tokio::time::timeout(Duration::from_millis(head_ms), reading).await;
}

/// What each of three cycles adds once two are over: to the server's heap and to what its host holds.
fn added(cycles: Result<Cycles, String>) -> [(i64, Resources); 3] {
    let mut cycles = cycles.expect("it can be repeated");
    let mut look = || {
        cycles.cycle().expect("the cycle does its work");
        let resources = cycles.at_rest();
        (heap::usage(Scope::Gateway).live_bytes, resources)
    };
    look();
    let mut before = look();
    [(); 3].map(|()| {
        let now = look();
        let added = (now.0 - before.0, minus(now.1, before.1));
        before = now;
        added
    })
}

fn minus(now: Resources, before: Resources) -> Resources {
    Resources {
        tasks: now.tasks - before.tasks,
        listeners: now.listeners - before.listeners,
        connections: now.connections - before.connections,
        time_wait: now.time_wait - before.time_wait,
        ports: now.ports - before.ports,
        polls_an_hour: now.polls_an_hour - before.polls_an_hour,
        streams: now.streams - before.streams,
        open_files: now.open_files - before.open_files,
    }
}

const NOTHING: (i64, Resources) = (
    0,
    Resources {
        tasks: 0,
        listeners: 0,
        connections: 0,
        time_wait: 0,
        ports: 0,
        polls_an_hour: 0,
        streams: 0,
        open_files: 0,
    },
);

#[test]
fn the_gateway_keeps_nothing_of_any_cycle_of_the_leak_scenarios() {
    let scenarios: Vec<_> = CATALOGUE.iter().filter(|scenario| scenario.is_named("leak")).collect();
    assert!(scenarios.len() >= 7, "{} scenarios", scenarios.len());
    for scenario in scenarios {
        assert_eq!(added(Cycles::begin(scenario, 1)), [NOTHING; 3], "{}", scenario.name);
    }
}

#[test]
fn a_server_that_keeps_nothing_is_not_accused() {
    let polite: StandIn<SimEnv> = server!(|env, stream| see_out(stream).await);
    for scenario in [&VISIT, &RESTARTED] {
        assert_eq!(
            added(Cycles::begin_stand_in(scenario, 1, polite)),
            [NOTHING; 3],
            "{}",
            scenario.name
        );
    }
}

#[test]
fn each_resource_that_is_kept_of_a_visitor_adds_up() {
    let none = NOTHING.1;
    let kept: [(&str, StandIn<SimEnv>, Resources); 5] = [
        (
            "a task",
            server!(|env, stream| {
                mem::forget(env.spawn(pending()));
                see_out(stream).await
            }),
            Resources { tasks: 1, ..none },
        ),
        (
            "a connection",
            server!(|env, stream| {
                let _ = stream.read(&mut [0; 1_024]).await;
                mem::forget(env.spawn(async move {
                    let _kept = stream;
                    pending().await
                }))
            }),
            Resources { tasks: 1, connections: 1, ..none },
        ),
        (
            "a timer",
            server!(|env, stream| {
                mem::forget(env.spawn(async {
                    loop {
                        sleep(Duration::from_secs(60)).await;
                    }
                }));
                see_out(stream).await
            }),
            Resources { tasks: 1, polls_an_hour: 60, ..none },
        ),
        (
            "a port",
            server!(|env, stream| {
                let any = ([0, 0, 0, 0], 0).into();
                mem::forget(env.bind_udp(any).await.expect("there are ports"));
                see_out(stream).await
            }),
            Resources { ports: 1, connections: 1, ..none },
        ),
        (
            "a file",
            server!(|env, stream| {
                let file = env.create("/kept".as_ref()).await;
                mem::forget(file.expect("the disk takes it"));
                see_out(stream).await
            }),
            Resources { open_files: 1, ..none },
        ),
    ];
    for (what, server, expected) in kept {
        for (_, resources) in added(Cycles::begin_stand_in(&VISIT, 1, server)) {
            assert_eq!(resources, expected, "{what}");
        }
    }
}

#[test]
fn a_block_that_is_kept_of_a_visitor_adds_up() {
    let server: StandIn<SimEnv> = server!(|env, stream| {
        mem::forget(black_box(vec![1_u8; 100].into_boxed_slice()));
        see_out(stream).await
    });
    for scenario in [&VISIT, &RESTARTED] {
        assert_eq!(
            added(Cycles::begin_stand_in(scenario, 1, server)),
            [(100, NOTHING.1); 3],
            "{}",
            scenario.name
        );
    }
}

#[test]
fn a_cycle_that_is_not_served_says_so() {
    let rude: StandIn<SimEnv> = server!(|env, stream| mem::forget(stream));
    let mut cycles = Cycles::begin_stand_in(&STAY, 1, rude).expect("it can be repeated");
    let said = cycles.cycle().expect_err("the visitor's bytes lie unread");
    assert!(said.starts_with("cycle 1 went wrong: O13 two-way progress"), "{said}");

    let broken: StandIn<SimEnv> = server!(|env, stream| {
        drop(stream);
        panic!("planted");
    });
    let mut cycles = Cycles::begin_stand_in(&VISIT, 1, broken).expect("it can be repeated");
    let said = cycles.cycle().expect_err("it panics");
    assert!(said.starts_with("cycle 1 went wrong: panicked at"), "{said}");
}

#[test]
fn a_plan_that_leaves_no_gateway_is_refused() {
    let refused = Cycles::begin(&GONE, 1).err();
    assert_eq!(
        refused.as_deref(),
        Some("its plan ends without a gateway and cannot be played again")
    );
}
