//! What a run notices: servers that are broken in one way each serve in the gateway's place, and the oracle that is there for
//! it says so; one that does little but nothing wrong is not accused.
//!
//! `tests/catalogue/oracles` breaks evidence that is there; this shows that it is gathered.

use std::{
    future::pending,
    hint::black_box,
    mem,
    pin::Pin,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use crate::visit::{scenario, visit};
use rehearsal_core::{
    config::Config,
    env::{Env, TcpListener},
    gateway::Ended,
};
use rehearsal_scenarios::{
    catalogue::{CATALOGUE, Scenario, find, light},
    fault::Lever,
    plan::{Crowd, Plan, Protocol},
    run::{self, Held, Life, Net, StandIn, Watch},
};
use rehearsal_sim::{
    LinkConfig, SimEnv, SimTcpListener, SimTcpStream,
    clients::{
        media::MediaPlan,
        publisher::{Leave, PublishPlan, Source},
        rtmp_player::{PlayPlan, Stall},
    },
    virtual_time,
};
use tokio::{
    io::{AsyncWriteExt, copy, sink},
    task::yield_now,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const NOBODY_CUT: Ended = Ended { cut_connections: 0 };
/// When the server of [`RESTART`] is told to end, and started again.
const TOLD_MS: u64 = 5_000;
const RESTART_MS: u64 = 11_000;

static VISIT: Scenario = scenario("evidence/visit", |_| visit(40_000));

/// The same, and in the middle of it the server is told to end, and started again.
static RESTART: Scenario = scenario("evidence/restart", |_| {
    let mut plan = visit(40_000);
    plan.fault(TOLD_MS, "gateway", Lever::ShutDown);
    plan.fault(RESTART_MS, "gateway", Lever::Restart);
    plan
});

/// Two hours in which a player waits.
static WAIT: Scenario = scenario("evidence/wait", |_| {
    let mut plan = visit(40_000);
    let stream = "live/cam".to_owned();
    let waits = PlayPlan { stream, start_ms: 100, leave_ms: 7_200_000, stall: None, pause: None };
    plan.player("player", LinkConfig::lan(), Protocol::Rtmp, waits);
    plan
});

type Serving = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Takes one connection for HTTP, and none for RTMP: those wait as long as the listener is there.
async fn visitor(
    env: &SimEnv,
    config: &Config,
    shutdown: &CancellationToken,
) -> Option<(SimTcpStream, SimTcpListener)> {
    let rtmp = env.bind_tcp(config.rtmp.listen).await.expect("the port is free");
    let mut http = env.bind_tcp(config.http.listen).await.expect("the port is free");
    let accepted = shutdown.run_until_cancelled(http.accept()).await?;
    Some((accepted.expect("nobody limits descriptors").0, rtmp))
}

/// Whether this is the first life of the server of [`RESTART`].
fn is_first_life() -> bool {
    virtual_time().expect("in a run") < Duration::from_millis(RESTART_MS)
}

/// A server that does something with its one visitor, waits until it is told to end, and then does something more.
macro_rules! server {
    (|$env:ident, $stream:ident, $told:ident| $does:expr; then $ends:expr) => {
        |$env: SimEnv, config: Config, $told: CancellationToken| -> Serving {
            Box::pin(async move {
                if let Some(($stream, _rtmp)) = visitor(&$env, &config, &$told).await {
                    $does;
                }
                $told.cancelled().await;
                $ends
            })
        }
    };
}

/// Reads everything and answers nothing, for as long as half a request may take.
const POLITE: StandIn<SimEnv> = server!(|env, stream, told| {
    let mut stream = stream;
    let head_ms = Config::default().http.head_ms;
    let mut nowhere = sink();
    let reading = timeout(Duration::from_millis(head_ms), copy(&mut stream, &mut nowhere));
    let _ = told.run_until_cancelled(reading).await;
}; then NOBODY_CUT);

/// Oracle, what it says, in which run, and of what.
type Broken = (&'static str, &'static str, &'static Scenario, StandIn<SimEnv>);

const BROKEN: [Broken; 16] = [
    (
        "O13 two-way progress",
        "bytes of visitor lay unread for 3",
        &VISIT,
        server!(|env, stream, told| {
            told.cancelled().await;
            drop(stream);
        }; then NOBODY_CUT),
    ),
    (
        "O13 two-way progress",
        "bytes for visitor waited for",
        &VISIT,
        server!(|env, stream, told| {
            let mut stream = stream;
            env.set_black_hole(true);
            let _ = stream.write_all(b"an answer").await;
            let _ = told.run_until_cancelled(copy(&mut stream, &mut sink())).await;
        }; then NOBODY_CUT),
    ),
    (
        "O14 time hygiene",
        "polls in a second of rest",
        &VISIT,
        server!(|env, stream, told| {
            let busy = async { loop { sleep(Duration::from_millis(10)).await } };
            drop(stream);
            told.run_until_cancelled(busy).await.unwrap_or(());
        }; then NOBODY_CUT),
    ),
    (
        "O14 time hygiene",
        "polls in the hour from",
        &WAIT,
        server!(|env, stream, told| {
            drop(stream);
            let busy = async { loop { sleep(Duration::from_secs(1)).await } };
            told.run_until_cancelled(busy).await.unwrap_or(());
        }; then NOBODY_CUT),
    ),
    (
        "O8 bounded liveness",
        "polls at",
        &VISIT,
        server!(|env, stream, told| {
            drop(stream);
            loop { yield_now().await }
        }; then NOBODY_CUT),
    ),
    (
        "O6 bounded memory",
        "the gateway held",
        &VISIT,
        // For an instant: nobody who looks from time to time would see it.
        server!(|env, stream, told| {
            drop(stream);
            drop(black_box(vec![1_u8; 4 << 20]));
        }; then NOBODY_CUT),
    ),
    (
        "O8 baseline",
        "at rest there is Rest { tasks: 1, sockets: [\"CloseWait",
        &VISIT,
        server!(|env, stream, told| {
            let mut stream = stream;
            let _ = copy(&mut stream, &mut sink()).await;
            told.cancelled().await;
            drop(stream);
        }; then NOBODY_CUT),
    ),
    (
        "O8 baseline",
        "after the end there is Rest { tasks: 1",
        &VISIT,
        server!(|env, stream, told| {
            drop(stream);
            mem::forget(env.spawn(pending()));
        }; then NOBODY_CUT),
    ),
    (
        "O8 bounded liveness",
        "told to end, the gateway took 9s",
        &RESTART,
        server!(|env, stream, told| { drop(stream) }; then {
            if is_first_life() {
                sleep(Duration::from_secs(9)).await;
            }
            NOBODY_CUT
        }),
    ),
    (
        "O8 bounded liveness",
        "told to end, the gateway never did",
        &RESTART,
        server!(|env, stream, told| { drop(stream) }; then {
            if is_first_life() {
                pending::<()>().await;
            }
            NOBODY_CUT
        }),
    ),
    (
        "O8 baseline",
        "the shutdown cut 3 connections",
        &RESTART,
        server!(|env, stream, told| { drop(stream) }; then {
            Ended { cut_connections: if is_first_life() { 3 } else { 0 } }
        }),
    ),
    (
        "O8 bounded liveness",
        "main is not done",
        &VISIT,
        server!(|env, stream, told| { drop(stream) }; then pending().await),
    ),
    (
        "O9 resource conservation",
        "a run leaves 1 blocks (100 bytes)",
        &VISIT,
        server!(|env, stream, told| { drop(stream) }; then {
            mem::forget(block());
            NOBODY_CUT
        }),
    ),
    (
        "O9 resource conservation",
        "a run leaves 1 blocks (100 bytes)",
        &VISIT,
        // Something can still be reached, but not by anybody who would give it back.
        server!(|env, stream, told| {
            drop(stream);
            KEPT.lock().expect("no panic under the lock").push(block());
        }; then NOBODY_CUT),
    ),
    (
        "O9 resource conservation",
        "a run leaves 2 blocks (200 bytes)",
        &RESTART,
        server!(|env, stream, told| { drop(stream) }; then {
            mem::forget(block());
            NOBODY_CUT
        }),
    ),
    (
        "O9 resource conservation",
        "at rest the gateway holds 1 blocks (100 bytes) more",
        &VISIT,
        server!(|env, stream, told| {
            drop(stream);
            let _of_the_visitor = block();
            told.cancelled().await;
        }; then NOBODY_CUT),
    ),
];

fn block() -> Box<[u8]> {
    black_box(vec![1; 100].into_boxed_slice())
}

static KEPT: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());
static MADE_ONCE: OnceLock<Box<[u8]>> = OnceLock::new();

/// Makes for its first visitor what is there for all that follow, in this process.
const LAZY: StandIn<SimEnv> = server!(|env, stream, told| {
    let mut stream = stream;
    let head_ms = Config::default().http.head_ms;
    MADE_ONCE.get_or_init(block);
    let mut nowhere = sink();
    let reading = timeout(Duration::from_millis(head_ms), copy(&mut stream, &mut nowhere));
    let _ = told.run_until_cancelled(reading).await;
}; then NOBODY_CUT);

#[test]
fn what_is_made_once_and_for_all_is_no_leak() {
    assert_eq!(run::run_stand_in(&VISIT, 1, LAZY).violations, []);
    assert!(MADE_ONCE.get().is_some());
}

#[test]
fn nothing_is_left_on_the_heap_when_the_gateway_has_been_crashed_and_restarted() {
    let crashed = find("stop/crash").expect("is in the catalogue");
    let evidence = run::run(crashed, 1).evidence.expect("it came to its end");
    assert_eq!(evidence.kept(), [Held::default(); 2]);
    assert!(evidence.host.is_some_and(|host| host.heap_bytes_max > 0), "somebody counts");
}

#[test]
fn a_server_that_does_nothing_wrong_is_not_accused() {
    for scenario in [&VISIT, &RESTART] {
        assert_eq!(run::run_stand_in(scenario, 1, POLITE).violations, [], "{}", scenario.name);
    }
}

#[test]
fn every_broken_server_is_noticed() {
    let mut unnoticed = Vec::new();
    for (oracle, what, scenario, server) in BROKEN {
        let found = run::run_stand_in(scenario, 1, server).violations;
        if !found.iter().any(|v| v.oracle == oracle && v.what.contains(what)) {
            unnoticed.push((oracle, what, found));
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

/// The gateway is told to end while a player takes nothing, and started again.
static UNDER_LOAD: Scenario = scenario("evidence/under-load", |_| {
    let mut plan = Plan::empty();
    let publish = PublishPlan {
        stream: "live/cam".to_owned(),
        epoch: 1,
        start_ms: 0,
        source: Source::Generated(MediaPlan { keyframe_bytes: 400_000, ..MediaPlan::default() }),
        duration_ms: 20_000,
        leave: Leave::Orderly,
        digest: false,
    };
    plan.publisher("publisher", LinkConfig::lan(), publish);
    let stream = "live/cam".to_owned();
    let stall = Some(Stall { from_ms: 600, to_ms: 20_000 });
    let play = PlayPlan { stream, start_ms: 500, leave_ms: 20_000, stall, pause: None };
    plan.player("stalled", LinkConfig::lan(), Protocol::Rtmp, play);
    plan.fault(TOLD_MS, "gateway", Lever::ShutDown);
    plan.fault(RESTART_MS, "gateway", Lever::Restart);
    plan
});

/// The end that counts is the one under load, and not that of the idle gateway that was started after it.
#[test]
fn every_life_of_the_gateway_is_looked_at() {
    let lives = |scenario| run::run(scenario, 1).evidence.expect("it came to its end").lives;
    let idle = Life::ToldToEnd { took: Some(Duration::ZERO), cut_connections: 0, streams: 0 };
    let [Life::ToldToEnd { took: Some(took), cut_connections: 0, streams: 0 }, last] =
        lives(&UNDER_LOAD)[..]
    else {
        panic!("the first life was told to end, and cut nobody");
    };
    // The stalled player has so long for the last bytes.
    let farewell = Duration::from_millis(Config::default().limits.farewell_ms);
    assert!((farewell..farewell + Duration::from_millis(100)).contains(&took), "{took:?}");
    assert_eq!(last, idle);
    let crashed = find("stop/crash").expect("is in the catalogue");
    assert_eq!(lives(crashed), [Life::Crashed, idle]);
}

/// Servers that panic: at work, in a task of their own, and in the middle of what the world does.
const PANICKING: [StandIn<SimEnv>; 3] = [
    server!(|env, stream, told| {
        drop(stream);
        panic!("a planted panic");
    }; then NOBODY_CUT),
    server!(|env, stream, told| {
        drop(stream);
        let _task = env.spawn(async { panic!("a planted panic") });
        sleep(Duration::from_millis(1)).await;
    }; then NOBODY_CUT),
    server!(|env, stream, told| {
        env.set_ephemeral_ports(black_box(2)..=1);
        drop(stream);
    }; then NOBODY_CUT),
];

fn panics_of(outcome: &run::Outcome) -> Vec<&str> {
    let is_panic = |violation: &&_| -> bool {
        let violation: &rehearsal_scenarios::oracles::Violation = violation;
        violation.oracle == "O24 no panic"
    };
    outcome.violations.iter().filter(is_panic).map(|violation| &violation.what[..]).collect()
}

#[test]
fn a_panic_is_a_violation_with_its_place_and_the_next_run_is_as_ever() {
    let good = light().next().expect("there are scenarios");
    let expected = run::run(good, 1).trace_hash();
    for (server, index) in PANICKING.into_iter().zip(0..) {
        let outcome = run::run_stand_in(&VISIT, 1, server);
        let panics = panics_of(&outcome);
        assert_eq!((panics.len(), outcome.violations.len()), (1, 1), "{:?}", outcome.violations);
        let (place, message) = match index {
            2 => ("sim/src/fabric/ports.rs:", ""),
            _ => ("scenarios/tests/explorer/evidence.rs:", ": a planted panic"),
        };
        let is_told = panics[0].starts_with(&format!("panicked at {place}"));
        assert!(is_told && panics[0].ends_with(message), "{panics:?}");
        assert_eq!(outcome.trace.is_none(), index == 2, "nobody looks at what is half changed");
        assert!(outcome.evidence.is_none());
        assert_eq!(run::run(good, 1).trace_hash(), expected);
    }
}

static PANICKING_PLAN: Scenario = scenario("evidence/plan", |_| panic!("no plan"));
static PANICKING_CHECK: Scenario =
    Scenario { check: |_| panic!("no verdict"), ..scenario("evidence/check", |_| Plan::empty()) };

#[test]
fn a_panic_of_a_plan_or_of_an_oracle_is_a_violation_too() {
    for (scenario, message) in [(&PANICKING_PLAN, "no plan"), (&PANICKING_CHECK, "no verdict")] {
        let outcome = run::run(scenario, 1);
        assert!(panics_of(&outcome)[0].ends_with(message), "{:?}", outcome.violations);
    }
}

static FAULTS_ELSEWHERE: Scenario = scenario("evidence/faults", |_| {
    let mut plan = visit(40_000);
    plan.fault(1_000, "visitor", Lever::ResetConnections);
    plan
});
static CROWD_ELSEWHERE: Scenario = scenario("evidence/crowd", |_| {
    let mut plan = visit(40_000);
    let stream = "live/cam".to_owned();
    plan.crowds.push(Crowd {
        host: "crowd".to_owned(),
        link: LinkConfig::lan(),
        protocol: Protocol::Rtmp,
        count: 2,
        every_us: 1_000,
        plan: PlayPlan { stream, start_ms: 0, leave_ms: 1_000, stall: None, pause: None },
    });
    plan
});

#[test]
fn what_only_the_fabric_can_do_is_refused_elsewhere() {
    for (scenario, what) in [(&FAULTS_ELSEWHERE, "faults"), (&CROWD_ELSEWHERE, "a crowd")] {
        for net in [Net::Turmoil, Net::Loopback] {
            let outcome = run::run_on(net, scenario, 1, &Watch::default());
            let panics = panics_of(&outcome);
            assert!(panics.len() == 1 && panics[0].contains("only the fabric"), "{panics:?}");
            assert!(panics[0].contains(what), "{panics:?}");
        }
    }
}

/// Raw clients play elsewhere, too: the visitor is read, told 400 and closed.
#[test]
fn raw_clients_play_on_turmoil() {
    let outcome = run::run_on(Net::Turmoil, &NONSENSE, 1, &Watch::default());
    assert_eq!(outcome.violations, []);
    let evidence = outcome.evidence.expect("it came to its end");
    let report = evidence.raw_clients[0].as_ref().expect("it connected");
    assert!(report.received.starts_with(b"HTTP/1.1 400 ") && report.closed_at.is_some());
}

static NONSENSE: Scenario = scenario("evidence/nonsense", |_| {
    let mut plan = visit(40_000);
    plan.raw_clients[0].plan.pieces = vec![b"some bytes\r\n\r\n".to_vec()];
    plan
});

#[test]
fn no_plan_that_plays_anywhere_has_what_only_the_fabric_can_do() {
    for scenario in CATALOGUE.iter().filter(|scenario| scenario.parity) {
        for seed in 0..100 {
            let plan = (scenario.plan)(seed);
            assert!(plan.faults.is_empty() && plan.crowds.is_empty(), "{} {seed}", scenario.name);
        }
    }
}
