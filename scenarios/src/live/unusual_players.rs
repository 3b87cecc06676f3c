//! Players who are slow, by what they do or by the line they have.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        rtmp_player::{PlayPlan, Stall},
    },
};

use super::{play, publish, unless};
use crate::{
    catalogue::Scenario,
    plan::{Plan, Protocol},
};

/// Two players read nothing for a while.
pub const SLOW_PLAYER: Scenario = Scenario {
    name: "live/slow-player",
    about: "players who stall go on at a keyframe with its headers; others do not notice",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/stall");
        let mut plan = Plan::empty();
        plan.config.live.lag_resync_ms = 3_000;
        plan.config.live.keep_ms = 4_000;
        // Enough to fill what the sockets buffer within the stall.
        let media =
            MediaPlan { keyframe_bytes: 100_000, header_every_gops: 2, ..MediaPlan::default() };
        plan.publisher("publisher", LinkConfig::lan(), publish(24_000, media));
        for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            let from_ms = 3_000 + rng.below(1_000);
            let stall = Some(Stall { from_ms, to_ms: from_ms + 9_000 + rng.below(3_000) });
            let slow = PlayPlan { stall, ..play(500, 30_000) };
            plan.player(&format!("{host}-slow"), LinkConfig::lan(), protocol, slow);
            plan.player(&format!("{host}-fine"), LinkConfig::lan(), protocol, play(500, 30_000));
        }
        plan
    },
    check: |evidence| {
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        hosts
            .filter_map(|(player, report)| {
                let slow = player.plan.stall.is_some();
                unless((report.gaps > 0) == slow, || {
                    format!("{} has {} gaps", player.host, report.gaps)
                })
            })
            .collect()
    },
};

/// Players whose links carry the stream and little more.
pub const NARROW_LINK: Scenario = Scenario {
    name: "live/narrow-link",
    about: "players on narrow links are behind when the publisher goes, and get all of it",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/start");
        let mut plan = Plan::empty();
        let media = MediaPlan { keyframe_bytes: 60_000, ..MediaPlan::default() };
        plan.publisher("publisher", LinkConfig::lan(), publish(9_000, media));
        // 2.7 Mbit/s, of which a GOP is there at once when they come.
        let narrow = LinkConfig::dsl().with_rate_bps(2_900_000);
        for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            let start_ms = 5_200 + rng.below(400);
            plan.player(host, narrow, protocol, play(start_ms, 25_000));
        }
        plan
    },
    check: |evidence| {
        let gone = evidence.publishers[0].sent.last().map_or(Duration::ZERO, |last| last.at);
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        hosts
            .filter_map(|(player, report)| {
                let last = report.received.last().map_or(Duration::ZERO, |last| last.at);
                let behind = last.saturating_sub(gone);
                unless(behind > Duration::from_secs(1) && report.gaps == 0, || {
                    format!("{} was {behind:?} behind, {} gaps", player.host, report.gaps)
                })
            })
            .collect()
    },
};
