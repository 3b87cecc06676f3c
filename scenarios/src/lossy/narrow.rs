//! Lossy links that do not carry the stream: players skip, and nobody else notices.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, rtmp_player::PlayReport},
};

use super::with_loss;
use crate::{
    catalogue::Scenario,
    live::{play, publish, unless},
    plan::{Plan, Player, Protocol},
};

/// A stream of 1.6 Mbit/s and lines of less than half of it.
pub const TOO_NARROW: Scenario = Scenario {
    name: "lossy/too-narrow",
    about: "players whose lossy links do not carry the stream go on at keyframes; others do not notice",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/narrow");
        let mut plan = Plan::empty();
        plan.config.live.lag_resync_ms = 3_000;
        plan.config.live.keep_ms = 4_000;
        plan.config.rtmp.ping_ms = 20_000;
        plan.config.rtmp.ping_timeout_ms = 20_000;
        // The end of a connection is sent again after two minutes at most, and may be lost again.
        plan.terms.calm_ms = 400_000;
        let media = MediaPlan { keyframe_bytes: 35_000, ..MediaPlan::default() };
        plan.publisher("publisher", LinkConfig::lan(), publish(30_000, media));
        for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            plan.player(host, LinkConfig::dsl(), protocol, play(rng.below(500), 36_000));
            for loss_ppm in [5_000, 20_000] {
                let rate_bps = rng.range(400_000..=700_000);
                let line = LinkConfig::dsl().with_rate_bps(rate_bps).with_queue_bytes(64 << 10);
                let narrow = with_loss(line, loss_ppm, rng.below(2) == 0);
                let host = format!("{host}-{}", loss_ppm / 1_000);
                plan.player(&host, narrow, protocol, play(rng.below(2_000), 36_000));
                plan.terms.faulty.push(host);
            }
        }
        plan.terms.twin_within_ms = Some(1);
        plan
    },
    check: |evidence| {
        // Every few hundred runs a burst takes so many retransmissions that a connection rests to the end.
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        let skips = |(player, report): &(&Player, &PlayReport)| {
            evidence.plan.is_faulty(&player.host) && report.gaps > 0
        };
        let count = hosts.filter(skips).count();
        unless(count >= 2, || format!("{count} of 4 players on narrow links skipped"))
            .into_iter()
            .collect()
    },
};
