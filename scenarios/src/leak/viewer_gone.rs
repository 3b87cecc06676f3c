//! Subscribers that go in the middle of a stream, in each way that one may go in.

use std::{ops::RangeInclusive, time::Duration};

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, rtmp_player::PlayReport},
};

use super::has_all_of;
use crate::{
    base,
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    oracles::Violation,
    plan::{Plan, Player, Protocol, VANISHED_CALM_MS},
    run::Evidence,
};

const PUBLISH_MS: u64 = 9_000;
const LEAVE_MS: u64 = 13_500;
/// Who is cut off is back after so long, given up by then.
const AWAY_MS: u64 = 5_500;
/// Two looks at the gateway's sockets, links and tasks.
const SOON: Duration = Duration::from_millis(100);
const WAYS: [&str; 4] = ["leaves", "reset", "crashes", "vanishes"];

/// Of some 2.6 Mbit/s: it fills a socket in about a second.
fn media() -> MediaPlan {
    MediaPlan { keyframe_bytes: 60_000, ..MediaPlan::default() }
}

/// One of each kind goes in each way, and one stays.
pub const VIEWER_GONE: Scenario = Scenario {
    name: "leak/viewer-gone",
    about: "players and viewers go in mid-stream by FIN, RST, a crash of their host or a black hole, and come back",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/leak/viewer-gone");
        let mut plan = Plan::empty();
        plan.config.live.player_stall_ms = 2_000;
        plan.terms.calm_ms = VANISHED_CALM_MS;
        plan.terms.twin_within_ms = Some(2);
        plan.publisher("publisher", LinkConfig::lan(), publish(PUBLISH_MS, media()));
        for (name, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            let stays = play(rng.below(800), LEAVE_MS);
            plan.player(name, LinkConfig::lan(), protocol, stays);
            for way in WAYS {
                let host = format!("{name}-{way}");
                let at_ms = rng.range(2_000..=3_200);
                let mut plays = play(rng.range(300..=1_000), LEAVE_MS);
                match way {
                    "leaves" => plays.leave_ms = at_ms,
                    "reset" => plan.fault(at_ms, &host, Lever::ResetConnections),
                    "crashes" => {
                        plan.fault(at_ms, &host, Lever::Crash);
                        plan.fault(at_ms + rng.range(500..=2_000), &host, Lever::Restart);
                    }
                    _ => {
                        plan.fault(at_ms, &host, Lever::BlackHole(true));
                        plan.fault(at_ms + AWAY_MS, &host, Lever::BlackHole(false));
                    }
                }
                plan.player(&host, LinkConfig::lan(), protocol, plays);
                plan.terms.faulty.push(host);
            }
        }
        plan
    },
    check: |evidence| {
        let players = evidence.plan.players.iter().zip(&evidence.players);
        players.filter_map(|(player, report)| fares(evidence, player, report)).collect()
    },
};

fn fares(evidence: &Evidence, player: &Player, report: &PlayReport) -> Option<Violation> {
    let (host, count, end) = (&player.host, report.received.len(), &report.end);
    let Some((_, way)) = host.split_once('-') else {
        return unless(has_all_of(&evidence.publishers[0], report), || {
            format!("{host} has {count} messages and ended with: {end}")
        });
    };
    // What somebody received whose host has crashed nobody knows.
    let (is_in_stream, planned) = match way {
        "leaves" => (count > 50, end == "left"),
        "crashes" => (true, end == "crashed"),
        _ => (count > 50, end != "left" && end != "end of the response"),
    };
    let let_go = evidence.was_let_go(host, due(evidence, player, way));
    unless(is_in_stream && planned && let_go.is_ok(), || {
        let wrong = let_go.err().unwrap_or_default();
        format!("{host} had {count} messages and ended with: {end}; {wrong}")
    })
}

/// When the gateway is to let go of who went in its way.
fn due(evidence: &Evidence, player: &Player, way: &str) -> RangeInclusive<Duration> {
    let Plan { config, faults, .. } = &evidence.plan;
    let mut faults = faults.iter().filter(|fault| fault.host == player.host);
    let at_ms = faults.next().map_or(player.plan.leave_ms, |fault| fault.at_ms);
    let fills_ms = base::fills_socket_ms(&media());
    let stall_ms = config.live.player_stall_ms;
    let (from_ms, to_ms) = match way {
        "leaves" | "reset" => (at_ms, at_ms),
        // A host that is back knows no such connection and says so, unless it was given up before.
        "crashes" => (at_ms, at_ms + fills_ms + stall_ms),
        _ => (at_ms + stall_ms, at_ms + fills_ms + stall_ms),
    };
    Duration::from_millis(from_ms)..=Duration::from_millis(to_ms) + SOON
}
