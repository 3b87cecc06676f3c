//! One run of one plan: the gateway, its clients, what is left at the end, and the verdict; on the network of choice.

mod cast;
mod connections;
mod conservation;
mod curve;
mod cycles;
mod evidence;
mod fabric;
mod idle;
mod loopback;
mod lost;
mod notebook;
mod panics;
mod sampler;
mod serving;
mod turmoil;

use std::{net::IpAddr, ops::Range, time::Duration};

use clap::ValueEnum;
use rehearsal_sim::{
    CaptureFile, Netstat, SimEnv,
    clients::{
        phone::PhoneReport,
        publisher::Source,
        raw::RawReport,
        verify::{Kind, Logged},
    },
    trace::{Note, Trace},
};

pub use self::{
    curve::{Queues, Sample},
    cycles::{Cycles, Resources},
    evidence::{Arrived, Evidence, Held, HostEvidence, Life, Lost, LostInCall, LostMessage, Rest},
    idle::{IdleHour, idle_hour},
    serving::StandIn,
};
use self::{
    fabric::Staging,
    panics::{Panics, caught},
};
use crate::{
    catalogue::Scenario,
    oracles::{self, Violation},
    plan::Plan,
};

/// Time a run may take beyond its plan: every deadline and every wait for a closed connection fits.
const LIMIT_BEYOND_PLAN: Duration = Duration::from_secs(600);
/// After the last client has gone, everything of it must be gone within this.
const REST: Duration = Duration::from_secs(1);
/// Why a run has no evidence that a panic broke off.
const PANICKED: &str = "a panic broke the run off";

/// What carries a run's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Net {
    /// The simulated world of this project: virtual time, links of every kind, a trace
    Fabric,
    /// The simulator turmoil: virtual time, links that have a latency and nothing else
    Turmoil,
    /// Sockets of the operating system, in real time
    Loopback,
}

/// What the trace of a run comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSummary {
    /// Hash over every event and every poll.
    pub hash: u64,
    /// How many events.
    pub events: u64,
}

/// What is looked at while a run on the fabric goes on. None of it changes what happens.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Name of a host whose packets are captured from the start to the end.
    pub capture_at: Option<String>,
    /// Virtual time at whose end the sockets of every host are listed.
    pub netstat_at: Option<Duration>,
    /// Indexes of the events that the trace keeps.
    pub keep_events: Range<u64>,
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Its seed.
    pub seed: u64,
    /// Where it ran.
    pub net: Net,
    /// What must not be; empty when the run passes.
    pub violations: Vec<Violation>,
    /// The trace, which only the fabric keeps.
    pub trace: Option<TraceSummary>,
    /// Virtual time that passed; real time on the loopback.
    pub virtual_time: Duration,
    /// Messages that subscribers received.
    pub frames_delivered: u64,
    /// What clients noted, in order.
    pub notes: Vec<Note>,
    /// A line a client, for the golden file.
    pub clients: Vec<String>,
    /// What the oracles judged; nothing when the run did not come to its end.
    pub evidence: Option<Evidence>,
    /// What [`Watch::capture_at`] asked for.
    pub capture: Option<CaptureFile>,
    /// What [`Watch::netstat_at`] asked for, by host; `None` when the run was over before.
    pub netstat: Option<Vec<(String, Netstat)>>,
}

/// A plan that was carried out and is not judged yet.
struct Ran {
    /// Or why it did not come to its end.
    evidence: Result<Evidence, String>,
    shown: Shown,
}

/// What a run shows besides its evidence.
#[derive(Default)]
struct Shown {
    time: Duration,
    notes: Vec<Note>,
    trace: Option<TraceSummary>,
    capture: Option<CaptureFile>,
    netstat: Option<Vec<(String, Netstat)>>,
}

/// Runs `scenario` with `seed` in the simulated world.
pub fn run(scenario: &'static Scenario, seed: u64) -> Outcome {
    run_on(Net::Fabric, scenario, seed, &Watch::default())
}

/// Carries out `plan` with `seed` on the fabric for its trace, which has the events that `watch` keeps.
///
/// # Panics
/// When a panic has broken the run off in the middle of an event.
pub fn trace_of(seed: u64, plan: Plan, watch: &Watch) -> Trace {
    let (world, _) = fabric::carry_out(seed, plan, watch, Staging::default());
    world.trace(|trace| trace.clone())
}

/// The hosts of `plan` on the fabric, in the order they are added there, with their addresses.
pub fn hosts_of(plan: &Plan) -> Vec<(String, IpAddr)> {
    let (world, _) = fabric::world_of(0, plan);
    world.hosts().iter().map(|host| (host.name().to_owned(), host.ip())).collect()
}

/// Carries out `plan` with `seed` on the fabric and judges it as a run of `scenario`, whose own plan may be another; if not
/// `is_checked`, by the oracles alone.
pub fn run_plan(
    scenario: &'static Scenario,
    seed: u64,
    plan: &Plan,
    is_checked: bool,
    watch: &Watch,
) -> Outcome {
    let panics = Panics::default();
    let _noting = panics.note_here();
    let ran = caught(|| on_fabric(seed, plan, watch));
    judge_by(is_checked.then_some(scenario.check), scenario, seed, Net::Fabric, ran, &panics)
}

/// Runs `scenario` with `seed` on `net`, and on the fabric looks on.
///
/// Whatever panics (the gateway, a client, a plan that cannot be carried out on `net`, an oracle) is a violation.
pub fn run_on(net: Net, scenario: &'static Scenario, seed: u64, watch: &Watch) -> Outcome {
    let panics = Panics::default();
    let _noting = panics.note_here();
    let ran = caught(|| {
        let plan = (scenario.plan)(seed);
        match net {
            Net::Fabric => on_fabric(seed, &plan, watch),
            Net::Turmoil => turmoil::carry_out(seed, plan),
            Net::Loopback => loopback::carry_out(vec![plan], &panics).remove(0),
        }
    });
    judge(scenario, seed, net, ran, &panics)
}

/// Runs `scenario` with `seed` on the fabric with something else in the gateway's place, which need not be any good.
pub fn run_stand_in(scenario: &'static Scenario, seed: u64, stand_in: StandIn<SimEnv>) -> Outcome {
    let panics = Panics::default();
    let _noting = panics.note_here();
    let staging = Staging { stand_in: Some(stand_in), ..Staging::default() };
    let ran = caught(|| {
        let plan = (scenario.plan)(seed);
        conservation::measured(|| {
            fabric::carry_out(seed, plan.clone(), &Watch::default(), staging).1
        })
    });
    judge(scenario, seed, Net::Fabric, ran, &panics)
}

/// Carries out `plan` on the fabric, and once more without faulty hosts if it asks for that.
fn on_fabric(seed: u64, plan: &Plan, watch: &Watch) -> Ran {
    let carry_out = |watch: &Watch, staging| {
        conservation::measured(|| fabric::carry_out(seed, plan.clone(), watch, staging).1)
    };
    let mut ran = carry_out(watch, Staging::default());
    if let (Some(_), Ok(evidence)) = (plan.terms.twin_within_ms, &mut ran.evidence) {
        let staging = Staging { is_twin: true, ..Staging::default() };
        match carry_out(&Watch::default(), staging).evidence {
            Ok(twin) => evidence.twin = Some(Box::new(twin)),
            Err(stuck) => ran.evidence = Err(format!("without faulty hosts: {stuck}")),
        }
    }
    ran
}

/// What turmoil and the loopback would leave out, and nobody would notice.
///
/// # Panics
/// When `plan` has faults or crowds.
fn assert_portable(plan: &Plan) {
    assert!(plan.faults.is_empty(), "only the fabric has levers, and this plan has faults");
    assert!(plan.crowds.is_empty(), "only the fabric has room for a crowd, and this plan has one");
}

/// Runs `scenarios` with `seed` on the loopback, all at a time: it takes as long as the longest plan. A panic is held against
/// each of them.
pub fn run_on_loopback(scenarios: &[&'static Scenario], seed: u64) -> Vec<Outcome> {
    let panics = Panics::default();
    let _noting = panics.note_here();
    let ran = caught(|| {
        let plans = scenarios.iter().map(|scenario| (scenario.plan)(seed)).collect();
        loopback::carry_out(plans, &panics)
    });
    let mut ran = ran.unwrap_or_default().into_iter();
    let panicked = panics.take();
    let judged = scenarios.iter().map(|scenario| {
        panics.add(&panicked);
        judge(scenario, seed, Net::Loopback, ran.next(), &panics)
    });
    judged.collect()
}

/// What is made of a run.
#[derive(Default)]
struct Verdict {
    violations: Vec<Violation>,
    frames_delivered: u64,
    clients: Vec<String>,
}

fn judge(
    scenario: &'static Scenario,
    seed: u64,
    net: Net,
    ran: Option<Ran>,
    panics: &Panics,
) -> Outcome {
    judge_by(Some(scenario.check), scenario, seed, net, ran, panics)
}

/// What a scenario checks of its own runs.
type Check = fn(&Evidence) -> Vec<Violation>;

fn judge_by(
    check: Option<Check>,
    scenario: &'static Scenario,
    seed: u64,
    net: Net,
    ran: Option<Ran>,
    panics: &Panics,
) -> Outcome {
    let ran = ran.unwrap_or(Ran { evidence: Err(PANICKED.to_owned()), shown: Shown::default() });
    let Ran { evidence, shown } = ran;
    let mut verdict = caught(|| verdict(check, &evidence)).unwrap_or_default();
    let panicked = panics.take();
    if !panicked.is_empty() && evidence.is_err() {
        // That it did not come to its end follows from it.
        verdict.violations.clear();
    }
    verdict.violations.extend(panicked.into_iter().map(oracles::panicked));
    let Verdict { violations, frames_delivered, clients } = verdict;
    let Shown { time, notes, trace, capture, netstat } = shown;
    Outcome {
        scenario: scenario.name,
        seed,
        net,
        violations,
        trace,
        virtual_time: time,
        frames_delivered,
        notes,
        clients,
        evidence: evidence.ok(),
        capture,
        netstat,
    }
}

fn verdict(check: Option<Check>, evidence: &Result<Evidence, String>) -> Verdict {
    match evidence {
        Ok(evidence) => {
            let mut violations = oracles::judge(evidence);
            violations.extend(check.map(|check| check(evidence)).unwrap_or_default());
            let players = evidence.players.iter().map(|player| player.received.len() as u64);
            let crowds = evidence.crowds.iter().flatten().map(|member| member.frames);
            let frames_delivered = players.chain(crowds).sum();
            Verdict { violations, frames_delivered, clients: summaries(evidence) }
        }
        Err(stuck) => {
            let stuck = Violation { oracle: "O8 bounded liveness", what: stuck.clone() };
            Verdict { violations: vec![stuck], ..Verdict::default() }
        }
    }
}

/// One aligned line a client: what it sent or received and how it ended.
fn summaries(evidence: &Evidence) -> Vec<String> {
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
    let raw_clients = plan.raw_clients.iter().zip(&evidence.raw_clients).map(|(raw, report)| {
        let host = &raw.host;
        match report {
            Err(why) => format!("{host:<14} did not connect: {why}"),
            Ok(RawReport { received, closed_at: None }) => {
                format!("{host:<14} received {:>6} bytes and left", received.len())
            }
            Ok(RawReport { received, closed_at: Some(at) }) => {
                format!("{host:<14} received {:>6} bytes, closed at {at:?}", received.len())
            }
        }
    });
    let crowds = plan.crowds.iter().zip(&evidence.crowds).map(|(crowd, members)| {
        let (host, frames) = (&crowd.host, members.iter().map(|member| member.frames).sum::<u64>());
        format!("{host:<14} {} of a crowd received {frames} messages", members.len())
    });
    let phones = plan.phones.iter().zip(&evidence.phones).map(|(phone, report)| {
        let (host, spoken, heard) = (&phone.host, report.spoken.len(), report.heard.len());
        let registered = report.registered().map_or_else(String::new, |it| format!(", {it}"));
        let end = report.end();
        let pictures = pictures(report);
        format!(
            "{host:<14} said {spoken:>4} and heard {heard:>4} packets{pictures}, {end}{registered}"
        )
    });
    let sip_clients = plan.sip_clients.iter().zip(&evidence.sip_clients).map(|(client, report)| {
        let (host, said, heard) = (&client.host, report.sent.len(), report.received.len());
        let (talks, end) = (report.talks.len(), &report.end);
        format!("{host:<14} said {said:>4} and heard {heard:>4} messages, had {talks} calls, {end}")
    });
    let strangers = plan.strangers.iter().zip(&evidence.strangers).map(|(stranger, report)| {
        let (host, sent) = (&stranger.host, stranger.plan.datagrams.len());
        format!("{host:<14} sent {sent:>4} datagrams and received {:>4}", report.received.len())
    });
    let clients = publishers.chain(players).chain(raw_clients).chain(crowds);
    clients.chain(phones).chain(sip_clients).chain(strangers).collect()
}

/// What a phone showed and saw, if it did.
fn pictures(report: &PhoneReport) -> String {
    let told = &report.pictures;
    if told.agreed.is_empty() {
        return String::new();
    }
    let whole = told.seen.iter().filter(|seen| seen.broken.is_none()).count();
    format!(
        ", showed {:>3} and saw {whole:>3} pictures, {} keyframes were asked for",
        told.shown.len(),
        told.asked.len()
    )
}

impl Outcome {
    /// Hash over every event and every poll of a run on the fabric.
    ///
    /// # Panics
    /// When the run was on another network, which keeps no trace.
    pub fn trace_hash(&self) -> u64 {
        self.trace.expect("a run on the fabric has a trace").hash
    }

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
