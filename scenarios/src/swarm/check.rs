//! Deadlines to the millisecond, where nothing else has a say: a publisher that fell silent, a viewer whom nobody came for, and
//! a raw client at the stage at which it stopped.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig,
    clients::{
        publisher::{Leave, PublishReport, Source},
        raw::RawReport,
        rtmp_player::PlayReport,
    },
};

use crate::{
    fault::Lever,
    live::unless,
    oracles::Violation,
    plan::{Listener, Plan, Player, Protocol, Publisher, RawClient},
    run::Evidence,
    stall::stages::{STAGES, Stage},
};

/// Tasks and the ticks of timers may take this long.
const SOON: Duration = Duration::from_millis(12);
/// Two deadlines that are as close as this are not told apart.
const APART_MS: u64 = 100;

/// What must hold of every swarm.
pub(super) fn check(evidence: &Evidence) -> Vec<Violation> {
    let plan = &evidence.plan;
    let is_disturbed = plan.faults.iter().any(|fault| {
        let is_harmless = matches!(fault.lever, Lever::ShortIo(_) | Lever::StepWallClock(_));
        fault.host == "gateway" && !is_harmless
    });
    if is_disturbed {
        return Vec::new();
    }
    let publishers = plan.publishers.iter().zip(&evidence.publishers);
    let silent = publishers.filter_map(|(publisher, report)| silent(plan, publisher, report));
    let players = plan.players.iter().zip(&evidence.players);
    let alone = players.filter_map(|(player, report)| alone(plan, player, report));
    let raw_clients = plan.raw_clients.iter().zip(&evidence.raw_clients);
    let stopped = raw_clients.filter_map(|(raw, report)| stopped(plan, raw, report.as_ref().ok()?));
    silent.chain(alone).chain(stopped).collect()
}

/// Whether nothing befalls `host`, and its link is known to leave nothing to chance; then how long a round trip takes there.
fn round_trip(plan: &Plan, host: &str, link: LinkConfig) -> Option<Duration> {
    let is_befallen = plan.faults.iter().any(|fault| fault.host == host);
    let leaves_to_chance = |way: rehearsal_sim::Direction| {
        way.jitter_ns > 0 || way.loss_ppm > 0 || way.burst_loss.is_some()
    };
    let is_steady = !leaves_to_chance(link.up) && !leaves_to_chance(link.down);
    let of_gateway = plan.gateway_link;
    let ways = [link.up, link.down, of_gateway.up, of_gateway.down];
    let nanos = ways.iter().map(|way| way.delay_ns).sum();
    (!is_befallen && !plan.is_faulty(host) && is_steady).then_some(Duration::from_nanos(nanos))
}

fn within(what: &str, at: Option<Duration>, due: Duration, late: Duration) -> Option<Violation> {
    let in_time = at.is_some_and(|at| (due..=due + late).contains(&at));
    unless(in_time, || format!("{what} at {at:?}, due at {due:?} and {late:?} later at most"))
}

/// Who sends nothing more loses its name when the silence has lasted, to the tick.
fn silent(plan: &Plan, publisher: &Publisher, report: &PublishReport) -> Option<Violation> {
    let round_trip = round_trip(plan, &publisher.host, publisher.link)?;
    let last = report.sent.last()?.at;
    if publisher.plan.leave != Leave::Silent {
        return None;
    }
    let largest = match &publisher.plan.source {
        Source::Generated(media) => media.keyframe_bytes as u64,
        Source::FlvFile(_) => return None,
    };
    // The last picture takes its time on the line, behind those that a burst left there.
    let rate_bps = publisher.link.up.rate_bps.max(1);
    let on_the_line = Duration::from_nanos(2 * largest * 8 * 1_000_000_000 / rate_bps);
    let due = last + Duration::from_millis(plan.config.rtmp.publisher_silence_ms);
    let what = format!("{} was closed for its silence", publisher.host);
    within(&what, report.ended_at, due, round_trip + on_the_line + SOON)
}

/// Who views a stream that nobody publishes is told when it has waited.
fn alone(plan: &Plan, player: &Player, report: &PlayReport) -> Option<Violation> {
    let round_trip = round_trip(plan, &player.host, player.link)?;
    let (from_ms, wait_ms) = (player.plan.start_ms, plan.config.http.wait_publisher_ms);
    let silence_ms = plan.config.rtmp.publisher_silence_ms;
    let may_come = plan.publishers.iter().any(|publisher| {
        let of = &publisher.plan;
        let over_ms = of.start_ms + of.duration_ms + silence_ms + 2_000;
        of.stream == player.plan.stream
            && of.start_ms <= from_ms + wait_ms + 1_000
            && from_ms <= over_ms
    });
    let due = Duration::from_millis(from_ms + wait_ms);
    let late = 2 * round_trip + SOON;
    let leaves = Duration::from_millis(player.plan.leave_ms);
    if may_come || player.protocol != Protocol::HttpFlv || leaves <= due + late {
        return None;
    }
    if report.end != "status 404" {
        return unless(false, || format!("{} ended with: {}", player.host, report.end));
    }
    within(
        &format!("{} was told that nobody publishes", player.host),
        Some(report.ended_at),
        due,
        late,
    )
}

/// Who stopped at a stage is closed when the deadline of that stage is over.
fn stopped(plan: &Plan, raw: &RawClient, report: &RawReport) -> Option<Violation> {
    let round_trip = round_trip(plan, &raw.host, raw.link)?;
    let stage = STAGES.iter().find(|stage| is_at(raw, stage))?;
    let rtmp = &plan.config.rtmp;
    let given_up_ms = raw.plan.start_ms + rtmp.ping_ms + rtmp.ping_timeout_ms;
    let due_ms = stage.due_ms(&raw.plan, &plan.config);
    let is_unclear = match (stage.listener, stage.is_kept_by_bytes) {
        (Listener::Http, _) => false,
        // A byte that comes when it is due is a tie.
        (Listener::Rtmp, true) => {
            let pauses = raw.plan.pieces.len() > 1;
            pauses && raw.plan.pause_ms + APART_MS > rtmp.ping_ms + rtmp.ping_timeout_ms
        }
        (Listener::Rtmp, false) => due_ms + APART_MS > given_up_ms,
    };
    let late = 2 * round_trip + SOON;
    let (due, leaves) = (Duration::from_millis(due_ms), Duration::from_millis(raw.plan.leave_ms));
    if is_unclear || leaves <= due + late {
        return None;
    }
    within(&format!("{} was closed", raw.host), report.closed_at, due, late)
}

/// Whether `raw` stops at `stage`, as the name of its host says.
fn is_at(raw: &RawClient, stage: &Stage) -> bool {
    let numbered = raw.host.strip_prefix("raw-").and_then(|rest| rest.split_once('-'));
    numbered.is_some_and(|(_, name)| name == stage.name)
}
