//! A plan in a simulated world: the fabric's hosts and links, virtual time, and a look into the gateway's host when the
//! run rests.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rehearsal_core::env::Env;
use rehearsal_sim::{
    LinkConfig, SimEnv, SocketState, TIME_WAIT, Wait, World, clients::publisher::Notes, heap::Scope,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    LIMIT_BEYOND_PLAN, REST, Ran, TraceSummary, Watch,
    cast::{Clients, Serving},
    evidence::{Evidence, HostEvidence, Rest},
    sampler::Sampler,
};
use crate::{
    fault::{Fault, Lever},
    plan::{ASSETS, Plan},
};

/// Carries out `plan` in a world with `seed`, which it gives back as it is then; as a twin, without what faulty hosts
/// do.
pub(super) fn carry_out(seed: u64, plan: Plan, watch: &Watch, is_twin: bool) -> (World, Ran) {
    let mut world = World::new(seed);
    let gateway = world.add_host("gateway", plan.gateway_link);
    gateway.set_heap_scope(Scope::Gateway);
    for publisher in &plan.publishers {
        add_client(&mut world, &publisher.host, publisher.link);
    }
    for player in &plan.players {
        add_client(&mut world, &player.host, player.link);
    }
    for raw in &plan.raw_clients {
        add_client(&mut world, &raw.host, raw.link);
    }
    for crowd in &plan.crowds {
        add_client(&mut world, &crowd.host, crowd.link);
    }
    let limit = Duration::from_millis(plan.end_ms() + plan.terms.calm_ms) + LIMIT_BEYOND_PLAN;
    world.trace(|trace| trace.keep_window(watch.keep_events.clone()));
    if let Some(at) = watch.netstat_at {
        world.take_netstat_at(at);
    }
    if let Some(name) = &watch.capture_at {
        host(&world, name).start_capture();
    }
    let faults = plan.faults.clone();
    let cast = if is_twin { plan.without_faulty() } else { plan };
    let evidence = world.run(limit, drive(gateway, world.hosts().to_vec(), cast, faults));
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

/// Adds the host of a client, unless it is there: several may share one.
fn add_client(world: &mut World, name: &str, link: LinkConfig) {
    if world.hosts().iter().any(|host| host.name() == name) {
        return;
    }
    let env = world.add_host(name, link);
    env.set_heap_scope(Scope::Client);
    for (path, content) in ASSETS {
        env.write_file(path, content.to_vec());
    }
}

fn notes_of(env: &SimEnv) -> Notes {
    let env = env.clone();
    Arc::new(move |what: &str| env.note(what))
}

/// Has everybody in `plan` play. `faults` are those of the plan and of the plan it is the twin of: a twin wakes when the
/// others are due, and does nothing, so that the runs differ by nothing else.
async fn drive(
    gateway_env: SimEnv,
    hosts: Vec<SimEnv>,
    plan: Plan,
    faults: Vec<Fault>,
) -> Evidence {
    let origin = Instant::now();
    let serving = Serving::start(&gateway_env, gateway_env.ip(), plan.config.clone()).await;
    let addresses = serving.addresses();
    let clients = Clients::new(&plan);
    let host =
        |name: &str| hosts.iter().find(|host| host.name() == name).expect("was added").clone();
    let mut tasks = Vec::new();
    for (index, publisher) in plan.publishers.iter().enumerate() {
        let env = host(&publisher.host);
        let notes = notes_of(&env);
        let publish = clients.publisher(index, env.clone(), addresses, origin, notes);
        tasks.push(env.spawn(publish));
    }
    for (index, player) in plan.players.iter().enumerate() {
        let env = host(&player.host);
        let notes = notes_of(&env);
        let play = clients.player(index, env.clone(), addresses, origin, notes);
        tasks.push(env.spawn(play));
    }
    for (index, raw) in plan.raw_clients.iter().enumerate() {
        let env = host(&raw.host);
        tasks.push(env.spawn(clients.raw_client(index, env.clone(), addresses, origin)));
    }
    for (index, crowd) in plan.crowds.iter().enumerate() {
        let env = host(&crowd.host);
        for member in 0..crowd.count {
            let member = (index, member);
            tasks.push(env.spawn(clients.of_crowd(member, env.clone(), addresses, origin)));
        }
    }
    let mut sampler = Sampler::new(&gateway_env);
    let mut stage = Stage { env: gateway_env.clone(), hosts, serving, plan };
    let reports = {
        let faults = stage.faults(faults, &clients, origin);
        tokio::join!(sampler.watch_until(clients.reports()), faults).0
    };
    let crowds = clients.crowd_reports().await;
    drop(tasks);

    let (publishers, players, raw_clients) = reports;
    let Stage { serving, plan, hosts, .. } = stage;
    sleep(Duration::from_millis(plan.terms.calm_ms)).await;
    let (at_rest, streams_at_rest) = (rest_of(&gateway_env), serving.streams());
    let polls = gateway_env.polls();
    sleep(Duration::from_secs(1)).await;
    let polls_at_rest = gateway_env.polls() - polls;
    let cut_connections = serving.end().await.cut_connections;
    sleep(TIME_WAIT + REST).await;
    let after_shutdown = rest_of(&gateway_env);
    let host = HostEvidence {
        at_rest,
        polls_at_rest,
        after_shutdown,
        heap_bytes_max: sampler.heap_bytes_max,
        unread: sampler.unread(&hosts),
        waits: waits_of(&gateway_env, &hosts),
        let_go: sampler.let_go(&hosts),
    };
    Evidence {
        plan,
        publishers,
        players,
        raw_clients,
        crowds,
        twin: None,
        streams_at_rest,
        streams_after_shutdown: serving.streams(),
        cut_connections,
        host: Some(host),
    }
}

/// The gateway on its host while faults befall it and others.
struct Stage {
    env: SimEnv,
    hosts: Vec<SimEnv>,
    serving: Serving<SimEnv>,
    plan: Plan,
}

impl Stage {
    /// Pulls every lever of the plan when its time has come.
    async fn faults(&mut self, mut faults: Vec<Fault>, clients: &Clients, origin: Instant) {
        faults.sort_by_key(|fault| fault.at_ms);
        for fault in faults {
            sleep_until(origin + Duration::from_millis(fault.at_ms)).await;
            if !self.plan.faults.contains(&fault) {
                continue;
            }
            let host = self.hosts.iter().find(|host| host.name() == fault.host);
            let host = host.unwrap_or_else(|| panic!("no host is called {}", fault.host));
            fault.lever.pull(host, &self.hosts);
            let is_gateway = host.name() == self.env.name();
            match fault.lever {
                Lever::Crash if !is_gateway => clients.report_crash(&fault.host, origin.elapsed()),
                Lever::Crash => self.serving.crashed(),
                Lever::ShutDown if is_gateway => self.serving.shut_down(),
                Lever::Restart if is_gateway => {
                    let (ip, config) = (self.env.ip(), self.plan.config.clone());
                    self.serving = Serving::start(&self.env, ip, config).await;
                }
                _ => {}
            }
        }
    }
}

/// When connections between `gateway` and each other of `hosts` waited for what was lost.
fn waits_of(gateway: &SimEnv, hosts: &[SimEnv]) -> BTreeMap<String, Vec<Wait>> {
    let at_gateway = gateway.waits();
    let clients = hosts.iter().filter(|host| host.name() != gateway.name());
    let waits = clients.map(|host| {
        let its = at_gateway.iter().filter(|wait| *wait.remote.ip() == host.ip()).copied();
        let mut waits: Vec<Wait> = its.chain(host.waits()).collect();
        waits.sort_by_key(|wait| wait.from);
        (host.name().to_owned(), waits)
    });
    waits.filter(|(_, waits)| !waits.is_empty()).collect()
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
