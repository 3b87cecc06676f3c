//! Timestamps that pass the ends of their fields and of their signs.

use rehearsal_core::media::timestamp::elapsed_ms;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, publisher::PublishPlan, rtmp_player::PlayPlan, verify::Kind},
};

use crate::{
    catalogue::Scenario,
    live::{play, publish, unless},
    plan::{Plan, Protocol},
};

/// What each stream passes: the last time that needs no extended timestamp, the largest signed one, the largest.
const ENDS: [(&str, u32); 3] =
    [("live/extended", 0x00ff_ffff), ("live/sign", 0x7fff_ffff), ("live/wrap", 0xffff_ffff)];
const DURATION_MS: u64 = 8_000;

/// Three streams pass three ends of time.
pub const TIMESTAMPS: Scenario = Scenario {
    name: "wrap/timestamps",
    about: "timestamps pass 2^24, 2^31 and 2^32 in mid-stream, for players from before and after",
    parity: true,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/wrap");
        let mut plan = Plan::empty();
        // Pictures of several chunks, each of which repeats an extended timestamp.
        plan.config.rtmp.chunk_bytes = 1_000;
        for (stream, end) in ENDS {
            let host = |what: &str| format!("{what}-{}", stream.trim_start_matches("live/"));
            // Half of them have a picture at the very end.
            let off_ms = if rng.below(2) == 0 { 0 } else { rng.below(40) };
            let passes_ms = (rng.range(30..=120) * 40 + off_ms) as u32;
            let before = MediaPlan { first_timestamp_ms: end - passes_ms, ..MediaPlan::default() };
            let first = PublishPlan { stream: stream.into(), ..publish(DURATION_MS, before) };
            plan.publisher(&host("publisher"), LinkConfig::lan(), first);
            // The next encoder starts anywhere, close to an end again.
            let (_, other) = ENDS[rng.below(3) as usize];
            let media = MediaPlan {
                first_timestamp_ms: other - rng.below(3_000) as u32,
                ..MediaPlan::default()
            };
            let second = PublishPlan {
                stream: stream.into(),
                epoch: 2,
                start_ms: DURATION_MS + rng.range(500..=3_000),
                ..publish(4_000, media)
            };
            plan.publisher(&host("publisher-2"), LinkConfig::lan(), second);
            for (what, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
                let mut player = |what: &str, start_ms| {
                    let play = PlayPlan { stream: stream.into(), ..play(start_ms, 18_000) };
                    plan.player(&host(what), LinkConfig::dsl(), protocol, play);
                };
                player(what, rng.below(300));
                // Some come before the end, and get cached frames from both sides of it, some after.
                player(&format!("{what}-late"), rng.range(1_000..=5_500));
            }
        }
        plan
    },
    check: |evidence| {
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        let early = hosts.filter(|(player, _)| player.plan.start_ms < 1_000);
        early
            .filter_map(|(player, report)| {
                let end = ENDS.iter().find(|(stream, _)| *stream == report.stream)?.1;
                let times = report.received.iter().filter(|seen| {
                    seen.kind == Kind::Inter && seen.stamp.is_some_and(|stamp| stamp.epoch == 1)
                });
                // The first epoch keeps its publisher's times.
                let after = times.filter(|seen| elapsed_ms(seen.timestamp_ms, end) > 0).count();
                let starts_before = report
                    .received
                    .iter()
                    .find(|seen| seen.kind == Kind::Keyframe)
                    .is_some_and(|first| elapsed_ms(first.timestamp_ms, end) < 0);
                unless(starts_before && after > 50, || {
                    format!("{}: before the end: {starts_before}, {after} after it", player.host)
                })
            })
            .collect()
    },
};
