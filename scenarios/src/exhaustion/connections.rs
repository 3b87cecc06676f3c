//! `accept` fails: for want of descriptors, or because connections die while they wait for it.

use std::time::Duration;

use rehearsal_sim::{LinkConfig, Rng, clients::media::MediaPlan};

use super::first_at;
use crate::{
    base,
    catalogue::Scenario,
    fault::Lever,
    live::{play, unless},
    plan::{Plan, Protocol},
};

const LEAVE_MS: u64 = 26_000;
/// From the moment there are descriptors again to the first frame of who waited.
const SERVED_WITHIN: Duration = Duration::from_millis(500);

/// A healthy stream throughout.
fn bystanders(seed: u64) -> Plan {
    base::healthy(seed, LEAVE_MS - 6_000, MediaPlan::default())
}

/// No descriptors for a while, several times.
pub const DESCRIPTORS: Scenario = Scenario {
    name: "exhaust/descriptors",
    about: "accept fails for want of descriptors: who waits is served when there are some, others do not notice",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/descriptors");
        let mut plan = bystanders(seed);
        plan.terms.faulty.push("gateway".to_owned());
        let mut at_ms = 2_000;
        for number in 0..3 {
            let begins_ms = at_ms + rng.range(200..=1_500);
            let ends_ms = begins_ms + rng.range(300..=2_500);
            plan.fault(begins_ms, "gateway", Lever::DescriptorLimit(Some(0)));
            plan.fault(ends_ms, "gateway", Lever::DescriptorLimit(None));
            for (host, protocol) in [("waits", Protocol::Rtmp), ("views", Protocol::HttpFlv)] {
                let host = format!("{host}-{number}");
                let comes_ms = rng.range(begins_ms + 1..=ends_ms - 1);
                plan.player(&host, LinkConfig::lan(), protocol, play(comes_ms, LEAVE_MS));
                plan.terms.faulty.push(host);
            }
            at_ms = ends_ms;
        }
        plan
    },
    check: |evidence| {
        let faults = &evidence.plan.faults;
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        let waiting = hosts.filter(|(player, _)| evidence.plan.is_faulty(&player.host));
        waiting
            .filter_map(|(player, report)| {
                let lift = faults.iter().find(|fault| {
                    fault.at_ms > player.plan.start_ms
                        && fault.lever == Lever::DescriptorLimit(None)
                })?;
                let lifted = Duration::from_millis(lift.at_ms);
                let served = first_at(report);
                let in_time = served.is_some_and(|at| at > lifted && at < lifted + SERVED_WITHIN);
                unless(in_time, || {
                    format!("{} was served at {served:?}, lifted {lifted:?}", player.host)
                })
            })
            .collect()
    },
};

/// Connections die in the queue.
pub const ACCEPT_QUEUE: Scenario = Scenario {
    name: "exhaust/accept-queue",
    about: "connections die before they are accepted: the next one is served at once",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/queue");
        let mut plan = bystanders(seed);
        plan.terms.faulty.push("gateway".to_owned());
        let mut at_ms = 2_000;
        for round in 0..3 {
            at_ms += rng.range(200..=3_000);
            let count = rng.range(1..=4);
            plan.fault(at_ms, "gateway", Lever::FailAccepts(count as u32));
            for number in 0..count {
                let protocol = if rng.below(2) == 0 { Protocol::Rtmp } else { Protocol::HttpFlv };
                let host = format!("doomed-{round}-{number}");
                // Some come together, some one after the other.
                let comes_ms = at_ms + rng.below(3);
                plan.player(&host, LinkConfig::lan(), protocol, play(comes_ms, LEAVE_MS));
                plan.terms.faulty.push(host);
            }
            let protocol = if rng.below(2) == 0 { Protocol::Rtmp } else { Protocol::HttpFlv };
            let next = play(at_ms + 10, LEAVE_MS);
            plan.player(&format!("next-{round}"), LinkConfig::lan(), protocol, next);
        }
        plan
    },
    check: |evidence| {
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        hosts
            .filter_map(|(player, report)| {
                let came = Duration::from_millis(player.plan.start_ms);
                let waited = first_at(report).map(|at| at.saturating_sub(came));
                let holds = match evidence.plan.is_faulty(&player.host) {
                    true => waited.is_none() && report.ended_at < came + SERVED_WITHIN,
                    false if player.host.starts_with("next") => {
                        waited.is_some_and(|waited| waited < SERVED_WITHIN)
                    }
                    false => true,
                };
                unless(holds, || {
                    format!("{} waited {waited:?} and ended: {}", player.host, report.end)
                })
            })
            .collect()
    },
};
