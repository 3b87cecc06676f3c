//! A plan in a simulated world: the fabric's hosts and links, virtual time, and a look into the gateway's host when the
//! run rests.

use std::{sync::Arc, time::Duration};

use rehearsal_core::env::Env;
use rehearsal_sim::{
    Direction, LinkConfig, SimEnv, World, clients::publisher::Notes, heap::Scope, virtual_time,
};
use tokio::time::{Instant, sleep_until};

use super::{
    LIMIT_BEYOND_PLAN, PANICKED, Ran, Shown, TraceSummary, Watch,
    cast::{Clients, Reports},
    evidence::Evidence,
    lost,
    panics::caught,
    sampler::Sampler,
    serving::{Serving, StandIn},
};
use crate::{
    fault::{Fault, Lever},
    plan::{ASSETS, Plan},
    situations,
};

/// How a plan is carried out, besides what it says.
#[derive(Clone, Copy, Default)]
pub(super) struct Staging {
    /// Without what faulty hosts do.
    pub(super) is_twin: bool,
    /// What serves in the gateway's place.
    pub(super) stand_in: Option<StandIn<SimEnv>>,
}

/// Carries out `plan` in a world with `seed`, which it gives back as it is then; after a panic in the middle of something
/// nobody can look at it any more.
pub(super) fn carry_out(seed: u64, plan: Plan, watch: &Watch, staging: Staging) -> (World, Ran) {
    let (world, gateway) = world_of(seed, &plan);
    let limit = Duration::from_millis(plan.end_ms() + plan.terms.calm_ms) + LIMIT_BEYOND_PLAN;
    world.trace(|trace| trace.keep_window(watch.keep_events.clone()));
    if let Some(at) = watch.netstat_at {
        world.take_netstat_at(at);
    }
    if let Some(name) = &watch.capture_at {
        host(world.hosts(), name).start_capture();
    }
    let faults = plan.faults.clone();
    let cast = if staging.is_twin { plan.without_faulty() } else { plan };
    if !cast.phones.is_empty() {
        world.keep_lost_datagrams();
    }
    let is_uneven = cast.phones.iter().any(|phone| is_uneven(phone.link.up));
    if is_uneven {
        world.keep_arrivals_at(&gateway);
    }
    let driving = drive(gateway, world.hosts().to_vec(), cast, faults, staging.stand_in);
    let mut evidence = match caught(|| world.run(limit, driving)) {
        Some(evidence) => evidence.map_err(|error| error.to_string()),
        None => Err(PANICKED.to_owned()),
    };
    if let Ok((Evidence { plan, host: Some(host), .. }, origin)) = &mut evidence {
        host.lost = Some(lost::of_calls(&world, plan, *origin));
        host.arrived = is_uneven.then(|| lost::arrived(&world, plan, *origin));
    }
    let evidence = evidence.map(|(evidence, _)| evidence);
    let shown = caught(|| shown(&world, watch)).unwrap_or_default();
    (world, Ran { evidence, shown })
}

/// Whether a direction of a link brings packets otherwise than one after the other, as they were sent.
fn is_uneven(direction: Direction) -> bool {
    direction.jitter_ns > 0 || direction.reorder_ppm > 0 || direction.duplicate_ppm > 0
}

/// A world with `seed` and the hosts of `plan`; and the gateway's of them.
///
/// # Panics
/// When a fault point of `plan` is none of the gateway's.
pub(super) fn world_of(seed: u64, plan: &Plan) -> (World, SimEnv) {
    situations::has_points_of(plan).unwrap_or_else(|unknown| panic!("{unknown}"));
    let mut world = World::new(seed);
    let gateway = world.add_host("gateway", plan.gateway_link);
    gateway.set_heap_scope(Scope::Gateway);
    gateway.watch_points(&plan.fault_points);
    for name in plan.hosts().iter().skip(1) {
        add_client(&mut world, name, plan.link_of(name).expect("the host is the plan's"));
    }
    (world, gateway)
}

fn shown(world: &World, watch: &Watch) -> Shown {
    let capture_at = watch.capture_at.as_ref();
    Shown {
        time: world.now(),
        notes: world.trace(|trace| trace.notes().to_vec()),
        trace: Some(
            world.trace(|trace| TraceSummary { hash: trace.hash(), events: trace.events() }),
        ),
        capture: capture_at.and_then(|name| host(world.hosts(), name).take_capture()),
        netstat: world.netstat(),
    }
}

fn host<'h>(hosts: &'h [SimEnv], name: &str) -> &'h SimEnv {
    let found = hosts.iter().find(|host| host.name() == name);
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

/// Has everybody in `plan` play, and tells when in the world that began. `faults` are those of the plan and of the plan it is the twin of: a twin wakes when the
/// others are due, and does nothing, so that the runs differ by nothing else.
async fn drive(
    env: SimEnv,
    hosts: Vec<SimEnv>,
    plan: Plan,
    faults: Vec<Fault>,
    stand_in: Option<StandIn<SimEnv>>,
) -> (Evidence, Duration) {
    let mut stage = Stage::set(env, hosts, &plan, stand_in).await;
    let origin = virtual_time().unwrap_or_default();
    let (reports, sampler) = stage.play(&plan, faults).await;
    let Stage { env, serving, before, .. } = stage;
    let evidence = serving.see_out(before, plan, reports, Some(sampler)).await;
    (Evidence { points_passed: env.points_passed(), ..evidence }, origin)
}

/// The gateway on its host while clients come and faults befall it and others.
pub(super) struct Stage {
    env: SimEnv,
    hosts: Vec<SimEnv>,
    pub(super) serving: Serving<SimEnv>,
    stand_in: Option<StandIn<SimEnv>>,
    /// Its lives before this one.
    pub(super) before: Vec<Serving<SimEnv>>,
}

impl Stage {
    /// Starts the gateway of `plan` on the host of `env`, or `stand_in` in its place.
    pub(super) async fn set(
        env: SimEnv,
        hosts: Vec<SimEnv>,
        plan: &Plan,
        stand_in: Option<StandIn<SimEnv>>,
    ) -> Self {
        let serving = Serving::start(&env, env.ip(), plan.config.clone(), stand_in).await;
        Self { env, hosts, serving, stand_in, before: Vec::new() }
    }

    /// Has everybody in `plan` play from now on, until all have reported; of `faults` those befall hosts that are the plan's. Gives
    /// what was seen of the gateway's host meanwhile, too.
    pub(super) async fn play(&mut self, plan: &Plan, faults: Vec<Fault>) -> (Reports, Sampler) {
        let origin = Instant::now();
        let addresses = self.serving.addresses();
        let clients = Clients::new(plan);
        let mut tasks = Vec::new();
        for (name, role) in clients.all() {
            let env = host(&self.hosts, name);
            let playing = clients.play(role, env.clone(), addresses, origin, notes_of(env));
            tasks.push(env.spawn(playing));
        }
        let mut sampler = Sampler::new(&self.env, &self.hosts, plan);
        let faults = self.faults(faults, plan, &clients, origin);
        let reports = tokio::join!(sampler.watch_until(clients.reports()), faults).0;
        drop(tasks);
        (reports, sampler)
    }

    /// Pulls every lever of `plan` when its time has come.
    async fn faults(
        &mut self,
        mut faults: Vec<Fault>,
        plan: &Plan,
        clients: &Clients,
        origin: Instant,
    ) {
        faults.sort_by_key(|fault| fault.at_ms);
        for fault in faults {
            sleep_until(origin + Duration::from_millis(fault.at_ms)).await;
            if !plan.faults.contains(&fault) {
                continue;
            }
            let host = host(&self.hosts, &fault.host);
            fault.lever.pull(host, &self.hosts);
            let is_gateway = host.name() == self.env.name();
            match fault.lever {
                Lever::Crash if !is_gateway => clients.report_crash(&fault.host, origin.elapsed()),
                Lever::Crash => self.serving.crashed(),
                Lever::ShutDown if is_gateway => self.serving.shut_down(),
                Lever::Restart if is_gateway => {
                    let (ip, config) = (self.env.ip(), plan.config.clone());
                    let next = Serving::start(&self.env, ip, config, self.stand_in).await;
                    self.before.push(std::mem::replace(&mut self.serving, next));
                }
                _ => {}
            }
        }
    }

    /// Undoes what the levers of `plan` have done to hosts, however long ago.
    pub(super) fn undo_faults(&self, plan: &Plan) {
        for fault in &plan.faults {
            let link = plan.link_of(&fault.host).expect("the host is the plan's");
            fault.lever.undo(host(&self.hosts, &fault.host), link, &self.hosts);
        }
    }
}
