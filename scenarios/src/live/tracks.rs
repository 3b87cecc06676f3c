//! Streams with one track, and headers that change in mid-stream.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, verify::Kind},
};

use super::{play, publish, unless};
use crate::{
    catalogue::Scenario,
    plan::{Plan, Protocol},
    run::Evidence,
};

/// Two players from the start and two in mid-stream, over both protocols.
fn four_players(seed: u64, media: MediaPlan) -> Plan {
    let mut rng = Rng::named(seed, "scenario/start");
    let mut plan = Plan::empty();
    plan.publisher("publisher", LinkConfig::dsl(), publish(8_000, media));
    for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
        plan.player(host, LinkConfig::dsl(), protocol, play(rng.below(300), 13_000));
        let late = play(3_000 + rng.below(2_000), 13_000);
        plan.player(&format!("{host}-late"), LinkConfig::lan(), protocol, late);
    }
    plan
}

/// Everybody got frames of `wanted` and none of `unwanted`.
fn only(evidence: &Evidence, wanted: Kind, unwanted: Kind) -> Vec<crate::oracles::Violation> {
    let count = |log: &[rehearsal_sim::clients::verify::Logged], kind| {
        log.iter().filter(|seen| seen.kind == kind).count()
    };
    let hosts = evidence.plan.players.iter().zip(&evidence.players);
    hosts
        .filter_map(|(player, report)| {
            let (some, none) = (count(&report.received, wanted), count(&report.received, unwanted));
            unless(some > 0 && none == 0, || {
                format!("{} got {some} {wanted:?} and {none} {unwanted:?}", player.host)
            })
        })
        .collect()
}

/// A stream without video.
pub const AUDIO_ONLY: Scenario = Scenario {
    name: "live/audio-only",
    about: "a stream without video starts at any frame",
    parity: true,
    heavy: false,
    plan: |seed| four_players(seed, MediaPlan { gop_frames: 0, ..MediaPlan::default() }),
    check: |evidence| only(evidence, Kind::Audio, Kind::Keyframe),
};

/// A stream without audio.
pub const VIDEO_ONLY: Scenario = Scenario {
    name: "live/video-only",
    about: "a stream without audio starts at a keyframe",
    parity: true,
    heavy: false,
    plan: |seed| four_players(seed, MediaPlan { audio_bytes: 0, ..MediaPlan::default() }),
    check: |evidence| only(evidence, Kind::Keyframe, Kind::Audio),
};

/// A new decoder configuration before every GOP.
pub const CHANGING_HEADERS: Scenario = Scenario {
    name: "live/changing-headers",
    about: "headers that change in mid-stream reach everybody before the frames that need them",
    parity: true,
    heavy: false,
    plan: |seed| {
        let media = MediaPlan {
            header_every_gops: 1,
            first_timestamp_ms: u32::MAX - 3_000,
            ..MediaPlan::default()
        };
        four_players(seed, media)
    },
    check: |evidence| {
        let headers = |log: &[rehearsal_sim::clients::verify::Logged]| {
            log.iter().filter(|seen| seen.kind == Kind::VideoHeader).count()
        };
        let changed = |report: &rehearsal_sim::clients::rtmp_player::PlayReport| {
            unless(headers(&report.received) >= 2, || "a player saw one header only".to_owned())
        };
        evidence.players.iter().filter_map(changed).collect()
    },
};

/// HEVC and Opus.
pub const ENHANCED_RTMP: Scenario = Scenario {
    name: "live/enhanced-rtmp",
    about: "HEVC and Opus of Enhanced RTMP start at a keyframe with their headers, too",
    parity: true,
    heavy: false,
    plan: |seed| four_players(seed, MediaPlan { enhanced: true, ..MediaPlan::default() }),
    check: |evidence| {
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        hosts
            .filter_map(|(player, report)| {
                let first = report.received.iter().find(|seen| seen.kind == Kind::Keyframe);
                let index = first.and_then(|seen| seen.stamp).map(|stamp| stamp.index);
                let late = player.plan.start_ms > 2_000;
                unless(index.is_some_and(|index| (index > 0) == late), || {
                    format!("{} started at picture {index:?}", player.host)
                })
            })
            .collect()
    },
};
