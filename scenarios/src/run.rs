//! One run of one plan: a world, the gateway in it, its clients, and what is left at the end.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use rehearsal_core::{env::Env, gateway::Gateway};
use rehearsal_sim::{
    CaptureFile, Netstat, RunError, SimEnv, SocketState, TIME_WAIT, World,
    clients::{
        flv_viewer,
        publisher::{self, Notes, PublishReport, Source},
        rtmp_player::{self, PlayReport},
    },
    heap::Scope,
    trace::{Note, Trace},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    catalogue::Scenario,
    oracles::{self, Violation},
    plan::{ASSETS, Plan, Protocol},
};

/// Virtual time a run may take beyond its plan: every deadline and every wait for a closed connection fits.
const LIMIT_BEYOND_PLAN: Duration = Duration::from_secs(600);
/// After the last client has gone, everything of it must be gone within this.
const REST: Duration = Duration::from_secs(1);

/// What is left of something when a run rests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Tasks of the gateway's host.
    pub tasks: usize,
    /// Streams in the gateway's registry.
    pub streams: usize,
    /// The gateway's sockets that are neither listening nor in TIME_WAIT.
    pub sockets: Vec<String>,
    /// The gateway's sockets in TIME_WAIT.
    pub time_wait: usize,
}

/// Everything that oracles judge.
#[derive(Debug)]
pub struct Evidence {
    /// What was to be done.
    pub plan: Plan,
    /// What publishers say, in the order of the plan.
    pub publishers: Vec<PublishReport>,
    /// What subscribers say, in the order of the plan.
    pub players: Vec<PlayReport>,
    /// A while after the last client went.
    pub at_rest: Rest,
    /// Polls of the gateway's tasks in a second of rest.
    pub polls_at_rest: u64,
    /// After the gateway has shut down.
    pub after_shutdown: Rest,
    /// Connections that the shutdown had to cut.
    pub cut_connections: usize,
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Its seed.
    pub seed: u64,
    /// What must not be; empty when the run passes.
    pub violations: Vec<Violation>,
    /// Hash over every event and every poll.
    pub trace_hash: u64,
    /// Events in the trace.
    pub events: u64,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// Messages that subscribers received.
    pub frames_delivered: u64,
    /// What clients noted, in order.
    pub notes: Vec<Note>,
    /// A line a client, for the golden file.
    pub clients: Vec<String>,
    /// What [`Watch::capture_at`] asked for.
    pub capture: Option<CaptureFile>,
    /// What [`Watch::netstat_at`] asked for, by host; `None` when the run was over before.
    pub netstat: Option<Vec<(String, Netstat)>>,
}

/// What is looked at while a run goes on. None of it changes what happens.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Name of a host whose packets are captured from the start to the end.
    pub capture_at: Option<String>,
    /// Virtual time at whose end the sockets of every host are listed.
    pub netstat_at: Option<Duration>,
    /// Indexes of the events that the trace keeps.
    pub keep_events: Range<u64>,
}

/// Runs `scenario` with `seed`.
///
/// # Panics
/// When a task of the gateway or of a client panics.
pub fn run(scenario: &'static Scenario, seed: u64) -> Outcome {
    run_watched(scenario, seed, &Watch::default())
}

/// Runs `scenario` with `seed` and looks on.
///
/// # Panics
/// As [`run`], and when no host has the name [`Watch::capture_at`].
pub fn run_watched(scenario: &'static Scenario, seed: u64, watch: &Watch) -> Outcome {
    let (world, ran) = carry_out((scenario.plan)(seed), seed, watch);
    judge(scenario, seed, watch, &world, ran)
}

/// Runs `scenario` with `seed` for its trace, which has the events that `watch` keeps.
///
/// # Panics
/// As [`run_watched`].
pub fn trace_of(scenario: &'static Scenario, seed: u64, watch: &Watch) -> Trace {
    let (world, _) = carry_out((scenario.plan)(seed), seed, watch);
    world.trace(|trace| trace.clone())
}

fn carry_out(plan: Plan, seed: u64, watch: &Watch) -> (World, Result<Evidence, RunError>) {
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
    let ran = world.run(limit, drive(gateway, publishers, players, plan));
    (world, ran)
}

fn host<'w>(world: &'w World, name: &str) -> &'w SimEnv {
    let found = world.hosts().iter().find(|host| host.name() == name);
    found.unwrap_or_else(|| panic!("no host is called {name}"))
}

fn judge(
    scenario: &'static Scenario,
    seed: u64,
    watch: &Watch,
    world: &World,
    ran: Result<Evidence, RunError>,
) -> Outcome {
    let (violations, frames_delivered, clients) = match ran {
        Ok(evidence) => {
            let mut violations = oracles::judge(&evidence);
            violations.extend((scenario.check)(&evidence));
            let frames = evidence.players.iter().map(|player| player.received.len() as u64).sum();
            (violations, frames, summaries(&evidence))
        }
        Err(error) => (vec![stuck(&error)], 0, Vec::new()),
    };
    let virtual_time = world.now();
    let capture = watch.capture_at.as_ref().and_then(|name| host(world, name).take_capture());
    let netstat = world.netstat();
    world.trace(|trace| Outcome {
        scenario: scenario.name,
        seed,
        violations,
        trace_hash: trace.hash(),
        events: trace.events(),
        virtual_time,
        frames_delivered,
        notes: trace.notes().to_vec(),
        clients,
        capture,
        netstat,
    })
}

fn client(world: &mut World, host: &str, link: rehearsal_sim::LinkConfig) -> SimEnv {
    let env = world.add_host(host, link);
    env.set_heap_scope(Scope::Client);
    for (path, content) in ASSETS {
        env.write_file(path, content.to_vec());
    }
    env
}

fn stuck(error: &RunError) -> Violation {
    Violation { oracle: "O8 bounded liveness", what: error.to_string() }
}

/// Results of tasks, collected until all are there.
struct Slots<T> {
    slots: Mutex<Vec<Option<T>>>,
    filled: Notify,
}

impl<T> Slots<T> {
    fn new(count: usize) -> Arc<Self> {
        let slots = Mutex::new((0..count).map(|_| None).collect());
        Arc::new(Self { slots, filled: Notify::new() })
    }

    fn fill(&self, index: usize, value: T) {
        self.slots.lock().expect("no panic under the lock")[index] = Some(value);
        self.filled.notify_one();
    }

    async fn all(&self) -> Vec<T> {
        loop {
            {
                let mut slots = self.slots.lock().expect("no panic under the lock");
                if slots.iter().all(Option::is_some) {
                    return slots.drain(..).flatten().collect();
                }
            }
            self.filled.notified().await;
        }
    }
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
    let shutdown = CancellationToken::new();
    let gateway = Gateway::bind(gateway_env.clone(), plan.config.clone(), shutdown.clone())
        .await
        .expect("a fresh host has its ports free");
    let live = gateway.shared().live.clone();
    let rtmp = SocketAddr::new(gateway_env.ip(), gateway.rtmp_addr().port());
    let http = SocketAddr::new(gateway_env.ip(), gateway.http_addr().port());
    let ended = Slots::new(1);
    let _gateway_task = {
        let ended = Arc::clone(&ended);
        gateway_env.spawn(async move { ended.fill(0, gateway.run().await) })
    };

    let mut tasks = Vec::new();
    let publish_reports = Slots::new(plan.publishers.len());
    for (index, env) in publisher_envs.into_iter().enumerate() {
        let (reports, notes) = (Arc::clone(&publish_reports), notes_of(&env));
        let publish = plan.publishers[index].plan.clone();
        let run = publisher::run(env.clone(), rtmp, publish, origin, notes);
        tasks.push(env.spawn(async move { reports.fill(index, run.await) }));
    }
    let play_reports = Slots::new(plan.players.len());
    for (index, env) in player_envs.into_iter().enumerate() {
        let (reports, notes) = (Arc::clone(&play_reports), notes_of(&env));
        let player = &plan.players[index];
        let play = player.plan.clone();
        tasks.push(match player.protocol {
            Protocol::Rtmp => {
                let run = rtmp_player::run(env.clone(), rtmp, play, origin, notes);
                env.spawn(async move { reports.fill(index, run.await) })
            }
            Protocol::HttpFlv => {
                let run = flv_viewer::run(env.clone(), http, play, origin, notes);
                env.spawn(async move { reports.fill(index, run.await) })
            }
        });
    }
    let publishers = publish_reports.all().await;
    let players = play_reports.all().await;
    drop(tasks);

    sleep(REST).await;
    let rest = || rest_of(&gateway_env, live.len());
    let at_rest = rest();
    let polls = gateway_env.polls();
    sleep(Duration::from_secs(1)).await;
    let polls_at_rest = gateway_env.polls() - polls;
    shutdown.cancel();
    let ended = ended.all().await;
    sleep(TIME_WAIT + REST).await;
    let after_shutdown = rest();
    let cut_connections = ended[0].cut_connections;
    Evidence { plan, publishers, players, at_rest, polls_at_rest, after_shutdown, cut_connections }
}

fn rest_of(gateway: &SimEnv, streams: usize) -> Rest {
    let netstat = gateway.netstat();
    let resting = |state: SocketState| matches!(state, SocketState::Listen | SocketState::TimeWait);
    let sockets = netstat.rows.iter().filter(|row| !resting(row.state));
    Rest {
        tasks: gateway.task_count(),
        streams,
        sockets: sockets.map(|row| format!("{:?} from {:?}", row.state, row.remote)).collect(),
        time_wait: netstat.count(SocketState::TimeWait),
    }
}

/// One aligned line a client: what it sent or received and how it ended.
fn summaries(evidence: &Evidence) -> Vec<String> {
    use rehearsal_sim::clients::verify::{Kind, Logged};
    let counts = |log: &[Logged]| {
        let of = |kinds: &[Kind]| log.iter().filter(|seen| kinds.contains(&seen.kind)).count();
        format!(
            "{:>3} keyframes {:>4} inter {:>4} audio {:>2} headers",
            of(&[Kind::Keyframe]),
            of(&[Kind::Inter]),
            of(&[Kind::Audio]),
            of(&[Kind::Metadata, Kind::VideoHeader, Kind::AudioHeader]),
        )
    };
    let plan = &evidence.plan;
    let publishers = plan.publishers.iter().zip(&evidence.publishers).map(|(publisher, report)| {
        let source = match &publisher.plan.source {
            Source::Generated(_) => "generated",
            Source::FlvFile(_) => "file",
        };
        let (host, counts) = (&publisher.host, counts(&report.sent));
        format!("{host:<14} sent     {counts}         {source}, {}", report.end)
    });
    let players = plan.players.iter().zip(&evidence.players).map(|(player, report)| {
        let (host, counts) = (&player.host, counts(&report.received));
        format!("{host:<14} received {counts} {:>2} gaps {}", report.gaps, report.end)
    });
    publishers.chain(players).collect()
}

impl Outcome {
    /// The text of the golden file: what a reviewer wants to see change.
    pub fn golden(&self) -> String {
        let mut text = format!("{} with seed {}\n\n", self.scenario, self.seed);
        for note in &self.notes {
            text.push_str(&format!("{note}\n"));
        }
        text.push('\n');
        for client in &self.clients {
            text.push_str(&format!("{client}\n"));
        }
        for violation in &self.violations {
            text.push_str(&format!("VIOLATION {violation}\n"));
        }
        text
    }
}
