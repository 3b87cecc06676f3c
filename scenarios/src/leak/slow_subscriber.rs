//! Subscribers that read nothing for a while: for too long, or almost.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, RECEIVE_BUFFER_BYTES, Rng, SEND_BUFFER_BYTES,
    clients::{
        media::MediaPlan,
        rtmp_player::{PlayPlan, PlayReport, Stall},
    },
};

use super::has_all_of;
use crate::{
    base,
    catalogue::Scenario,
    live::{play, publish, unless},
    oracles::Violation,
    plan::{Plan, Player, Protocol},
    run::Evidence,
};

const PUBLISH_MS: u64 = 7_500;
const LEAVE_MS: u64 = 12_000;
/// When those who are given up read again: the end of what they were sent.
const READS_AGAIN_MS: u64 = 8_000;
/// Two looks at the gateway's sockets, links and tasks.
const SOON: Duration = Duration::from_millis(100);

/// Of some 2.6 Mbit/s.
fn media() -> MediaPlan {
    MediaPlan { keyframe_bytes: 60_000, ..MediaPlan::default() }
}

/// How long it takes at most until neither end has room for more, in milliseconds.
fn fills_ms() -> u64 {
    let both = (SEND_BUFFER_BYTES + RECEIVE_BUFFER_BYTES) as u64;
    base::fills_socket_ms(&media()) * both / SEND_BUFFER_BYTES as u64
}

/// One stalls and is closed, one stalls and goes on, one is healthy, over each protocol.
pub const SLOW_SUBSCRIBER: Scenario = Scenario {
    name: "leak/slow-subscriber",
    about: "a player and a viewer that read nothing are closed for lag, others go on at a keyframe or notice nothing",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/leak/slow-subscriber");
        let mut plan = Plan::empty();
        let live = &mut plan.config.live;
        live.lag_resync_ms = 1_000;
        live.lag_close_ms = 2_000;
        // That is another deadline.
        live.player_stall_ms = 30_000;
        plan.terms.twin_within_ms = Some(2);
        plan.publisher("publisher", LinkConfig::lan(), publish(PUBLISH_MS, media()));
        for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            let mut add = |host: String, stall| {
                let plays = PlayPlan { stall, ..play(rng.range(200..=800), LEAVE_MS) };
                plan.player(&host, LinkConfig::lan(), protocol, plays);
                if stall.is_some() {
                    plan.terms.faulty.push(host);
                }
                rng.below(400)
            };
            let from_ms = 1_500 + add(host.to_owned(), None);
            let stall = Stall { from_ms, to_ms: READS_AGAIN_MS };
            let dozes_ms = 1_500 + add(format!("{host}-closed"), Some(stall));
            let stall = Stall { from_ms: dozes_ms, to_ms: dozes_ms + fills_ms() + 1_300 };
            add(format!("{host}-dozes"), Some(stall));
        }
        plan
    },
    check: |evidence| {
        let players = evidence.plan.players.iter().zip(&evidence.players);
        players.filter_map(|(player, report)| fares(evidence, player, report)).collect()
    },
};

fn fares(evidence: &Evidence, player: &Player, report: &PlayReport) -> Option<Violation> {
    let (host, end) = (&player.host, &report.end);
    let in_order = match player.protocol {
        Protocol::Rtmp => "left",
        Protocol::HttpFlv => "end of the response",
    };
    if host.ends_with("-closed") {
        let due_ms = player.plan.stall?.from_ms + evidence.plan.config.live.lag_close_ms;
        let due = Duration::from_millis(due_ms)..=Duration::from_millis(due_ms + fills_ms()) + SOON;
        let let_go = evidence.was_let_go(host, due);
        return unless(let_go.is_ok() && end != in_order, || {
            format!("{host} ended with {end}: {}", let_go.err().unwrap_or_default())
        });
    }
    let last =
        |log: &[_]| log.last().map(|last: &rehearsal_sim::clients::verify::Logged| last.hash);
    let publish = &evidence.publishers[0];
    let has_its_part = match host.ends_with("-dozes") {
        true => report.gaps > 0 && last(&report.received) == last(&publish.sent),
        false => has_all_of(publish, report),
    };
    unless(has_its_part && end == in_order, || {
        format!("{host} has {} gaps and ended with: {end}", report.gaps)
    })
}
