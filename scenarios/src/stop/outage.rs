//! The gateway is gone for a while, told to or not; whoever comes back afterwards is served.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::{Leave, PublishPlan},
        rtmp_player::PlayReport,
        verify::Kind,
    },
};

use crate::{
    catalogue::Scenario,
    churn,
    fault::Lever,
    live::{self, play, publish, unless},
    lossy,
    oracles::Violation,
    plan::{Plan, Protocol},
    run::Evidence,
};

/// What goes on when it happens.
const BASES: [Scenario; 8] = [
    live::ONE_PUBLISHER_THREE_PLAYERS,
    live::LATE_JOINER,
    live::REPUBLISH,
    live::SLOW_PLAYER,
    live::NARROW_LINK,
    live::CHANGING_HEADERS,
    churn::COMPETING_PUBLISHERS,
    lossy::LAST_MILE,
];
/// Epoch of the publisher that comes afterwards.
const AFTERWARDS: u32 = 1_000;
/// By so much a publish lasts longer than its plan says: it begins when it is accepted.
const CONNECT_MS: u64 = 500;
/// Time by which everybody whom loss does not hold up has noticed a shutdown.
const NOTICE: Duration = Duration::from_secs(3);

/// One of the bases, in which `lever` strikes the gateway, and which a publisher and two players join when it is back.
fn struck(seed: u64, lever: Lever, down_ms: (u64, u64)) -> Plan {
    let mut rng = Rng::named(seed, "scenario/outage");
    let base = BASES[rng.below(BASES.len() as u64) as usize];
    let mut plan = (base.plan)(seed);
    plan.terms.twin_within_ms = None;
    plan.terms.slack_ms = plan.terms.slack_ms.max(CONNECT_MS);
    let struck_ms = rng.range(200..=12_000);
    let back_ms = struck_ms + rng.range(down_ms.0..=down_ms.1);
    // Those who were to publish later are the ones that come back.
    plan.publishers.retain(|publisher| publisher.plan.start_ms < struck_ms);
    // Who says nothing is never told that the host it talked to has forgotten it.
    for publisher in plan.publishers.iter_mut().filter(|p| p.plan.leave == Leave::Silent) {
        publisher.plan.leave = Leave::Killed;
    }
    let hosts = plan.hosts();
    plan.faults.retain(|fault| hosts.contains(&fault.host));
    plan.fault(struck_ms, "gateway", lever);
    plan.fault(back_ms, "gateway", Lever::Restart);
    let start_ms = back_ms + rng.range(10..=1_000);
    let comes_back =
        PublishPlan { epoch: AFTERWARDS, start_ms, ..publish(5_000, MediaPlan::default()) };
    plan.publisher("publisher-back", LinkConfig::lan(), comes_back);
    for (host, protocol) in [("player-back", Protocol::Rtmp), ("viewer-back", Protocol::HttpFlv)] {
        let back = play(back_ms + rng.range(10..=2_000), start_ms + 12_000);
        plan.player(host, LinkConfig::lan(), protocol, back);
    }
    plan
}

/// Whoever came when the gateway was back was served.
fn served_afterwards(evidence: &Evidence) -> Vec<Violation> {
    let hosts = evidence.plan.players.iter().zip(&evidence.players);
    let back = hosts.filter(|(player, _)| player.host.ends_with("-back"));
    // One whose SYN was lost in the outage may be there first, and is as good: O5 judges the refusal.
    let is_forestalled = evidence
        .publishers
        .iter()
        .any(|publisher| publisher.epoch == AFTERWARDS && publisher.refused.is_some());
    back.filter_map(|(player, report)| {
        let pictures = report.received.iter().filter(|seen| {
            let of_epoch =
                is_forestalled || seen.stamp.is_some_and(|stamp| stamp.epoch == AFTERWARDS);
            of_epoch && matches!(seen.kind, Kind::Keyframe | Kind::Inter)
        });
        let count = pictures.count();
        unless(count >= 75, || format!("{} got {count} pictures", player.host))
    })
    .collect()
}

/// The gateway crashes.
pub const CRASH: Scenario = Scenario {
    name: "stop/crash",
    about: "the gateway's host crashes at a random moment and comes back: who comes again is served",
    parity: false,
    heavy: false,
    plan: |seed| struck(seed, Lever::Crash, (50, 4_000)),
    check: |evidence| {
        let mut violations = served_afterwards(evidence);
        let outage = evidence.plan.outages()[0];
        let publishers = evidence.plan.publishers.iter().zip(&evidence.publishers);
        // Who goes on to send when the host is back is told that it knows no such connection.
        for (publisher, report) in publishers.filter(|(p, _)| !evidence.plan.is_faulty(&p.host)) {
            let ends_ms = publisher.plan.start_ms + publisher.plan.duration_ms;
            let is_there = Duration::from_millis(publisher.plan.start_ms + 300) < outage.from
                && Duration::from_millis(ends_ms) > outage.to + Duration::from_secs(5);
            let told = report.refused.is_some() || report.end == "connection reset";
            violations.extend(unless(!is_there || told, || {
                format!("{} published through a crash and ended: {}", publisher.host, report.end)
            }));
        }
        violations
    },
};

/// The gateway is told to end, and started again.
pub const SHUTDOWN: Scenario = Scenario {
    name: "stop/shutdown",
    about: "the gateway is told to end at a random moment: everybody is told; who comes again is served",
    parity: false,
    heavy: false,
    plan: |seed| struck(seed, Lever::ShutDown, (5_500, 9_000)),
    check: |evidence| {
        let mut violations = served_afterwards(evidence);
        let plan = &evidence.plan;
        let from = plan.outages()[0].from;
        let is_there = |host: &str, start_ms: u64, leave_ms: u64| {
            let comes = Duration::from_millis(start_ms);
            evidence.due(&[host], comes, Duration::from_millis(300)) < from
                && Duration::from_millis(leave_ms) > from + NOTICE
        };
        let players = plan.players.iter().zip(&evidence.players).filter(|(player, _)| {
            let is_good = !plan.may_skip(&player.host) && player.plan.stall.is_none();
            is_good && is_there(&player.host, player.plan.start_ms, player.plan.leave_ms)
        });
        // Who is refused once the gateway has ended had no connection yet: the answer to its SYN was lost, and the end of its
        // wait never came.
        let was_refused =
            |report: &PlayReport| report.end == "connection refused" && report.ended_at >= from;
        for (player, report) in players.filter(|(_, report)| !was_refused(report)) {
            let in_order = match player.protocol {
                Protocol::Rtmp => "closed by the server",
                Protocol::HttpFlv => "end of the response",
            };
            let told = report.end == in_order || report.ended_at < from;
            let in_time = report.ended_at < evidence.due(&[&player.host], from, NOTICE);
            let waits = report.end == "status 503" || report.end == "status 404";
            violations.extend(unless(waits || told && in_time, || {
                let (at, end) = (report.ended_at, &report.end);
                format!("{} saw the shutdown at {from:?} end at {at:?} with: {end}", player.host)
            }));
        }
        violations
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::STREAM;

    #[test]
    fn every_base_has_its_turn_and_its_stream() {
        let names: std::collections::BTreeSet<_> = (0..200)
            .map(|seed| {
                let mut rng = Rng::named(seed, "scenario/outage");
                BASES[rng.below(BASES.len() as u64) as usize].name
            })
            .collect();
        assert_eq!(names.len(), BASES.len());
        let plan = struck(1, Lever::Crash, (1, 1));
        let back = plan.publishers.iter().find(|publisher| publisher.host == "publisher-back");
        assert_eq!(back.map(|publisher| &publisher.plan.stream[..]), Some(STREAM));
    }
}
