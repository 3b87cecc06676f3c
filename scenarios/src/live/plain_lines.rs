//! Lines without rate or chance, over which the simulation carries acknowledgments without events of their own: the same must
//! come of everything that can befall a connection.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::PublishPlan,
        rtmp_player::{PlayPlan, Stall},
    },
};

use super::{play, publish, unless};
use crate::{
    catalogue::Scenario,
    fault::Lever,
    plan::{Plan, Protocol},
};

const LEAVE_MS: u64 = 30_000;

/// Two publishes one after the other over plain lines.
pub const PLAIN_LINES: Scenario = Scenario {
    name: "live/plain-lines",
    about: "lines without rate or loss: publishers follow each other, some players read late, are cut off for a while or reset",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/plain");
        let mut plan = Plan::empty();
        plan.gateway_link = LinkConfig::ideal();
        // What a cut held back comes through a window that grows by a segment each round trip, of up to 80 ms.
        plan.terms.slack_ms = 40 * 80;
        plan.config.live.keep_ms = 12_000;
        plan.config.live.lag_resync_ms = 10_000;
        let mut line = || LinkConfig::ideal().with_delay_ms(rng.below(40));
        let media = || MediaPlan { keyframe_bytes: 90_000, ..MediaPlan::default() };
        for (epoch, start_ms) in [(1, 0), (2, 12_000)] {
            let sends = PublishPlan { epoch, start_ms, ..publish(8_000, media()) };
            plan.publisher(&format!("publisher-{epoch}"), line(), sends);
        }
        for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            for kind in ["fine", "late", "cut", "reset"] {
                let host = format!("{host}-{kind}");
                plan.player(&host, line(), protocol, play(200, LEAVE_MS));
            }
        }
        for index in 0..plan.players.len() {
            let host = plan.players[index].host.clone();
            let from_ms = rng.range(1_500..=6_000);
            let to_ms = from_ms + rng.range(200..=2_500);
            if host.ends_with("-late") {
                let PlayPlan { stall, .. } = &mut plan.players[index].plan;
                *stall = Some(Stall { from_ms, to_ms });
            } else if host.ends_with("-cut") {
                // Either way, or both.
                let ways =
                    [&[true, false][..], &[false, true], &[true, true]][rng.below(3) as usize];
                for (at_ms, is_parted) in [(from_ms, true), (to_ms, false)] {
                    for (is_meant, from, to) in
                        [(ways[0], "gateway", host.as_str()), (ways[1], host.as_str(), "gateway")]
                    {
                        if is_meant {
                            plan.fault(at_ms, from, Lever::PartitionTo(to.to_owned(), is_parted));
                        }
                    }
                }
            } else if host.ends_with("-reset") {
                plan.fault(from_ms, &host, Lever::ResetConnections);
                plan.terms.faulty.push(host);
            }
        }
        plan
    },
    check: |evidence| {
        let players = evidence.plan.players.iter().zip(&evidence.players);
        let judged = players.filter(|(player, _)| !evidence.plan.is_faulty(&player.host));
        judged
            .filter_map(|(player, report)| {
                let count = report.received.len();
                unless(count > 500 && report.gaps == 0, || {
                    format!("{} has {count} messages and {} gaps", player.host, report.gaps)
                })
            })
            .collect()
    },
};
