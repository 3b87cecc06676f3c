//! Family stall: clients that stop in the middle of something, or send a byte at a time just before it is due. Each is closed
//! when it is due and not before, beside a healthy stream that does not notice.
//!
//! Where each deadline of the configuration is met from both sides:
//!
//! | key | just before | when due |
//! |---|---|---|
//! | `rtmp.handshake_ms`, `command_ms`, `idle_ms`, `publisher_silence_ms` | here, by the check | here |
//! | `rtmp.ping_ms`, `ping_timeout_ms` | `playing` here, whom each byte keeps | here |
//! | `http.head_ms`, `wait_publisher_ms` | here, by the check | here |
//! | `http.idle_ms` | here: it lets half a head be for longer | `tests/edges/deadlines.rs` |
//! | `live.player_stall_ms` | `slow/recovers` | `slow/window-zero`, `tests/edges/deadlines.rs` |
//! | `live.lag_close_ms` | `too-old` here | `too-old` here, `tests/edges/deadlines.rs` |
//! | `live.flv_probe_ms` | `one-track` here | `one-track` here |
//! | `limits.farewell_ms`, `shutdown_ms` | `tests/edges/shutdown.rs` | `tests/edges/shutdown.rs` |
//!
//! `close/vanish` and `slow/vanishes` have most of them once more, for peers that are not there any more.

mod live;
pub(crate) mod stages;

pub use live::{ONE_TRACK, TOO_OLD};

use std::time::Duration;

use rehearsal_core::config::Config;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, raw::RawPlan},
};

use crate::{
    base, catalogue::Scenario, live::unless, oracles::Violation, plan::Plan, run::Evidence,
    stall::stages::STAGES,
};

/// Links and tasks may take this long.
const SOON: Duration = Duration::from_millis(20);

/// Nothing more comes.
pub const SILENT: Scenario = Scenario {
    name: "stall/silent",
    about: "who sends nothing more, at any stage of RTMP and HTTP, is closed when due, not before",
    parity: false,
    heavy: false,
    plan: |seed| plan(seed, 0),
    check,
};

/// A byte comes just before the deadline, and so on.
pub const DRIPPING: Scenario = Scenario {
    name: "stall/dripping",
    about: "who sends a byte just before each deadline is closed when due, not before",
    parity: false,
    heavy: false,
    plan: |seed| plan(seed, 4),
    check,
};

/// Deadlines of some seconds, of which the one for an answer to a ping is the last.
fn deadlines(seed: u64) -> Config {
    let mut rng = Rng::named(seed, "scenario/deadlines");
    let mut config = Config::default();
    config.rtmp.handshake_ms = rng.range(2_000..=5_000);
    config.rtmp.command_ms = rng.range(2_000..=5_000);
    config.rtmp.idle_ms = rng.range(2_000..=5_000);
    config.rtmp.publisher_silence_ms = rng.range(2_000..=5_000);
    config.rtmp.ping_ms = rng.range(2_000..=4_000);
    config.rtmp.ping_timeout_ms = rng.range(4_000..=6_000);
    config.http.head_ms = rng.range(2_000..=5_000);
    config.http.wait_publisher_ms = rng.range(1_000..=3_000);
    config.http.idle_ms = config.http.wait_publisher_ms + rng.range(1_000..=2_000);
    config
}

/// A client at each stage, which sends so many bytes more.
fn plan(seed: u64, drips: usize) -> Plan {
    let mut rng = Rng::named(seed, "scenario/start");
    let mut plan = base::healthy(seed, 16_000, MediaPlan::default());
    plan.config = deadlines(seed);
    for stage in &STAGES {
        let mut pieces = vec![(stage.opening)("")];
        pieces.extend(stage.next.iter().take(drips).map(|byte| vec![*byte]));
        let raw = RawPlan {
            start_ms: 500 + rng.below(1_000),
            pieces,
            pause_ms: (stage.deadline_ms)(&plan.config) - 1,
            half_close: false,
            read_from_ms: 0,
            leave_ms: 60_000,
        };
        plan.raw_client(stage.name, LinkConfig::lan(), stage.listener, raw);
        plan.terms.faulty.push(stage.name.to_owned());
    }
    plan
}

fn check(evidence: &Evidence) -> Vec<Violation> {
    let plan = &evidence.plan;
    let clients = STAGES.iter().zip(&plan.raw_clients).zip(&evidence.raw_clients);
    clients
        .filter_map(|((stage, raw), report)| {
            let due = Duration::from_millis(stage.due_ms(&raw.plan, &plan.config));
            let closed_at = report.as_ref().ok().and_then(|report| report.closed_at);
            let is_in_time = closed_at.is_some_and(|at| (due..due + SOON).contains(&at));
            let begins = report.as_ref().is_ok_and(|r| r.received.starts_with(stage.answer));
            unless(is_in_time && begins, || {
                let answer = String::from_utf8_lossy(stage.answer);
                format!("{} closed at {closed_at:?}, due at {due:?}, answer {answer:?}", stage.name)
            })
        })
        .collect()
}
