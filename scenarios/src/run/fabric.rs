//! A plan in a simulated world: the fabric's hosts and links, virtual time, and a look into the gateway's host when the
//! run rests.

use std::{sync::Arc, time::Duration};

use rehearsal_core::env::Env;
use rehearsal_sim::{
    LinkConfig, SimEnv, SocketState, TIME_WAIT, World, clients::publisher::Notes, heap::Scope,
};
use tokio::time::{Instant, sleep};

use super::{
    LIMIT_BEYOND_PLAN, REST, Ran, TraceSummary, Watch,
    cast::{Clients, Serving},
    evidence::{Evidence, HostEvidence, Rest},
};
use crate::plan::{ASSETS, Plan};

/// Carries out `plan` in a world with `seed`, which it gives back as it is then.
pub(super) fn carry_out(seed: u64, plan: Plan, watch: &Watch) -> (World, Ran) {
    let mut world = World::new(seed);
    let gateway = world.add_host("gateway", plan.gateway_link);
    gateway.set_heap_scope(Scope::Gateway);
    let publishers = plan.publishers.iter().map(|p| client(&mut world, &p.host, p.link)).collect();
    let players = plan.players.iter().map(|p| client(&mut world, &p.host, p.link)).collect();
    let limit = Duration::from_millis(plan.end_ms()) + LIMIT_BEYOND_PLAN;
    world.trace(|trace| trace.keep_window(watch.keep_events.clone()));
    if let Some(at) = watch.netstat_at {
        world.take_netstat_at(at);
    }
    if let Some(name) = &watch.capture_at {
        host(&world, name).start_capture();
    }
    let evidence = world.run(limit, drive(gateway, publishers, players, plan));
    let capture = watch.capture_at.as_ref().and_then(|name| host(&world, name).take_capture());
    let ran = Ran {
        evidence: evidence.map_err(|error| error.to_string()),
        time: world.now(),
        notes: world.trace(|trace| trace.notes().to_vec()),
        trace: Some(
            world.trace(|trace| TraceSummary { hash: trace.hash(), events: trace.events() }),
        ),
        capture,
        netstat: world.netstat(),
    };
    (world, ran)
}

fn host<'w>(world: &'w World, name: &str) -> &'w SimEnv {
    let found = world.hosts().iter().find(|host| host.name() == name);
    found.unwrap_or_else(|| panic!("no host is called {name}"))
}

fn client(world: &mut World, host: &str, link: LinkConfig) -> SimEnv {
    let env = world.add_host(host, link);
    env.set_heap_scope(Scope::Client);
    for (path, content) in ASSETS {
        env.write_file(path, content.to_vec());
    }
    env
}

fn notes_of(env: &SimEnv) -> Notes {
    let env = env.clone();
    Arc::new(move |what: &str| env.note(what))
}

async fn drive(
    gateway_env: SimEnv,
    publisher_envs: Vec<SimEnv>,
    player_envs: Vec<SimEnv>,
    plan: Plan,
) -> Evidence {
    let origin = Instant::now();
    let gateway = Serving::start(&gateway_env, gateway_env.ip(), plan.config.clone()).await;
    let clients = Clients::new(&plan);
    let mut tasks = Vec::new();
    for (index, env) in publisher_envs.into_iter().enumerate() {
        let notes = notes_of(&env);
        let publish = clients.publisher(index, env.clone(), gateway.addresses(), origin, notes);
        tasks.push(env.spawn(publish));
    }
    for (index, env) in player_envs.into_iter().enumerate() {
        let notes = notes_of(&env);
        let play = clients.player(index, env.clone(), gateway.addresses(), origin, notes);
        tasks.push(env.spawn(play));
    }
    let (publishers, players) = clients.reports().await;
    drop(tasks);

    sleep(REST).await;
    let (at_rest, streams_at_rest) = (rest_of(&gateway_env), gateway.streams());
    let polls = gateway_env.polls();
    sleep(Duration::from_secs(1)).await;
    let polls_at_rest = gateway_env.polls() - polls;
    let cut_connections = gateway.end().await.cut_connections;
    sleep(TIME_WAIT + REST).await;
    let after_shutdown = rest_of(&gateway_env);
    Evidence {
        plan,
        publishers,
        players,
        streams_at_rest,
        streams_after_shutdown: gateway.streams(),
        cut_connections,
        host: Some(HostEvidence { at_rest, polls_at_rest, after_shutdown }),
    }
}

fn rest_of(gateway: &SimEnv) -> Rest {
    let netstat = gateway.netstat();
    let resting = |state: SocketState| matches!(state, SocketState::Listen | SocketState::TimeWait);
    let sockets = netstat.rows.iter().filter(|row| !resting(row.state));
    Rest {
        tasks: gateway.task_count(),
        sockets: sockets.map(|row| format!("{:?} from {:?}", row.state, row.remote)).collect(),
        time_wait: netstat.count(SocketState::TimeWait),
    }
}
