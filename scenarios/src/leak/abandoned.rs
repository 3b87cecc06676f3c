//! Sessions that end at each stage, from before the first byte to a command whose media never comes, in each way that a session
//! may end in.

use std::time::Duration;

use rehearsal_sim::{LinkConfig, Rng, clients::raw::RawReport};

use super::{SOON, sends, short_deadlines};
use crate::{
    catalogue::Scenario,
    fault::Lever,
    live::unless,
    oracles::Violation,
    plan::{Plan, RawClient, VANISHED_CALM_MS},
    run::Evidence,
    stall::stages::{HTTP, RTMP, STAGES, Stage},
    wire::{handshake, opening_until, request},
};

/// Stages besides those that have a deadline of their own.
const MORE: [Stage; 4] = [
    Stage {
        name: "in-c0-c1",
        opening: |_| vec![3],
        deadline_ms: |config| config.rtmp.handshake_ms,
        answer: b"",
        ..RTMP
    },
    // The answer is there, and it is for the client to go on.
    Stage {
        name: "before-c2",
        opening: |_| handshake()[..1 + 1536].to_vec(),
        deadline_ms: |config| config.rtmp.handshake_ms,
        ..RTMP
    },
    Stage {
        name: "in-chunk",
        opening: |_| opening_until("", "", 1)[..1 + 2 * 1536 + 40].to_vec(),
        ..RTMP
    },
    Stage {
        name: "answered",
        opening: |_| request("OPTIONS", "/live/cam.flv", ""),
        answer: b"HTTP/1.1 204 ",
        ..HTTP
    },
];

/// How a session ends, each on a host of its own that has one at each stage.
const HASTY: &str = "hasty";
const LEAVES: &str = "leaves";
const RESET: &str = "reset";
const STAYS: &str = "stays";
const VANISHES: &str = "vanishes";
const WAYS: [&str; 5] = [HASTY, LEAVES, RESET, STAYS, VANISHES];

/// All have come by then; no deadline is over before [`BEFORE_DUE_MS`].
const ALL_THERE_MS: u64 = 1_000;
const BEFORE_DUE_MS: u64 = 1_500;
/// All deadlines are over by then, and so is the wait for an end of the connection that does not come.
const ALL_GIVEN_UP_MS: u64 = 8_000;
const LEAVE_MS: u64 = 10_000;

fn stages() -> impl Iterator<Item = &'static Stage> {
    STAGES.iter().chain(&MORE)
}

/// Everybody who begins and does not go on.
pub const ABANDONED_HANDSHAKE: Scenario = Scenario {
    name: "leak/abandoned-handshake",
    about: "RTMP and HTTP sessions are abandoned at each stage: at once, by FIN, by RST, in silence, by a black hole",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/leak/abandoned-handshake");
        let mut plan = Plan::empty();
        plan.config = short_deadlines(&mut rng);
        for stage in stages() {
            for way in WAYS {
                let start_ms = 500 + rng.below(ALL_THERE_MS - 500);
                let leave_ms = match way {
                    // What it sends is on its way when its FIN follows.
                    HASTY => start_ms,
                    LEAVES => rng.range(ALL_THERE_MS + 50..=BEFORE_DUE_MS),
                    _ => LEAVE_MS,
                };
                let raw = sends(start_ms, (stage.opening)(way), leave_ms);
                plan.raw_client(way, LinkConfig::lan(), stage.listener, raw);
            }
        }
        let strike_ms = |rng: &mut Rng| rng.range(ALL_THERE_MS + 50..=BEFORE_DUE_MS);
        plan.fault(strike_ms(&mut rng), RESET, Lever::ResetConnections);
        plan.fault(strike_ms(&mut rng), VANISHES, Lever::BlackHole(true));
        plan.fault(ALL_GIVEN_UP_MS, VANISHES, Lever::BlackHole(false));
        plan.terms.calm_ms = VANISHED_CALM_MS;
        plan.terms.faulty.extend(WAYS.map(str::to_owned));
        plan
    },
    check: |evidence| {
        let stages = stages().flat_map(|stage| WAYS.map(|_| stage));
        let clients = evidence.plan.raw_clients.iter().zip(&evidence.raw_clients);
        let fared = stages.zip(clients).filter_map(|(stage, (raw, report))| {
            unless(fares(evidence, stage, raw, report), || {
                format!("who {} at {} fared otherwise: {report:?}", raw.host, stage.name)
            })
        });
        fared.chain(given_up(evidence)).collect()
    },
};

/// Whether a client came to its stage and ended as it does in its way.
fn fares(
    evidence: &Evidence,
    stage: &Stage,
    raw: &RawClient,
    report: &Result<RawReport, String>,
) -> bool {
    let Ok(RawReport { received, closed_at }) = report else { return false };
    let struck = evidence.plan.faults.iter().find(|fault| fault.host == raw.host);
    let due_ms = match raw.host.as_str() {
        STAYS => stage.due_ms(&raw.plan, &evidence.plan.config),
        _ => struck.map_or(0, |fault| fault.at_ms),
    };
    let due = Duration::from_millis(due_ms);
    let is_answered = received.starts_with(stage.answer);
    // What nobody waits for but who stays.
    let is_early = stage.name == "waiting" && received.is_empty();
    match raw.host.as_str() {
        HASTY => closed_at.is_none(),
        LEAVES => closed_at.is_none() && (is_early || is_answered),
        RESET | STAYS => {
            let in_time = closed_at.is_some_and(|at| (due..due + SOON).contains(&at));
            in_time && (raw.host == RESET && is_early || is_answered)
        }
        _ => is_early || is_answered,
    }
}

/// Whoever vanished is given up while it is away.
fn given_up(evidence: &Evidence) -> Option<Violation> {
    let mut strikes = evidence.plan.faults.iter().filter(|fault| fault.host == VANISHES);
    let at = Duration::from_millis(strikes.next()?.at_ms);
    let given_up = evidence.was_let_go(VANISHES, at..=Duration::from_millis(ALL_GIVEN_UP_MS));
    unless(given_up.is_ok(), || given_up.err().unwrap_or_default())
}
