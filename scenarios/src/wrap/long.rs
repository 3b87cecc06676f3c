//! Streams so long that 32 bits do not count them: in milliseconds and in bytes.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::PublishPlan,
        rtmp_player::PlayReport,
        verify::{Kind, Logged},
    },
};

use crate::{
    catalogue::Scenario,
    live::{play, publish, unless},
    plan::{Plan, Protocol},
};

const DAY_MS: u64 = 86_400_000;
const FRAME_MS: u32 = 60_000;
const MINUTES_PER_DAY: u64 = 24 * 60;

fn keyframes(log: &[Logged]) -> usize {
    log.iter().filter(|seen| seen.kind == Kind::Keyframe).count()
}

const DAYS: u64 = 60;

/// Two months of one picture a minute: longer than 32 bits count milliseconds, which are 49.7 days.
pub const TWO_MONTHS: Scenario = Scenario {
    name: "wrap/two-months",
    about: "a stream of 60 days passes the end of its timestamps, and connections that of their clocks; one player comes late",
    parity: false,
    heavy: true,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/two-months");
        let mut plan = Plan::empty();
        plan.config.rtmp.publisher_silence_ms = 5 * u64::from(FRAME_MS) / 2;
        let to_wrap_ms = rng.range(14 * DAY_MS..=40 * DAY_MS) as u32;
        let media = MediaPlan {
            frame_ms: FRAME_MS,
            gop_frames: 1,
            b_frames: 0,
            audio_bytes: 0,
            keyframe_bytes: 1_000,
            first_timestamp_ms: 0_u32.wrapping_sub(to_wrap_ms),
            ..MediaPlan::default()
        };
        let publish = PublishPlan { start_ms: 500, ..publish(DAYS * DAY_MS, media) };
        plan.publisher("publisher", LinkConfig::dsl(), publish);
        let leave_ms = DAYS * DAY_MS + 60_000;
        plan.player("player", LinkConfig::dsl(), Protocol::Rtmp, play(100, leave_ms));
        plan.player("viewer", LinkConfig::lan(), Protocol::HttpFlv, play(100, leave_ms));
        // Soon after a picture, which is sent at once: the next one is not ahead of its time then.
        let minute = rng.range(14 * MINUTES_PER_DAY..=58 * MINUTES_PER_DAY);
        let late_ms = minute * u64::from(FRAME_MS) + 600 + rng.below(4_000);
        let late = play(late_ms, leave_ms);
        plan.player("late", LinkConfig::dsl(), Protocol::Rtmp, late);
        plan
    },
    check: |evidence| {
        let all = (DAYS * MINUTES_PER_DAY) as usize;
        let whole = |player: &PlayReport| keyframes(&player.received) == all;
        let short = |player: &PlayReport| {
            unless(whole(player), || format!("{} pictures came", keyframes(&player.received)))
        };
        evidence.players[..2].iter().filter_map(short).collect()
    },
};

const PICTURE_BYTES: usize = 8_000_000;
const PICTURES: u64 = 560;

/// More than 4 GiB through each connection.
pub const FOUR_GIBIBYTES: Scenario = Scenario {
    name: "wrap/four-gibibytes",
    about: "the byte counters of a publisher's and a player's connection pass 2^32",
    parity: false,
    heavy: true,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/bytes");
        let mut plan = Plan::empty();
        let media = MediaPlan {
            gop_frames: 1,
            b_frames: 0,
            audio_bytes: 0,
            keyframe_bytes: PICTURE_BYTES,
            ..MediaPlan::default()
        };
        let publisher =
            PublishPlan { start_ms: 200 + rng.below(50), ..publish(PICTURES * 40, media) };
        plan.publisher("publisher", LinkConfig::datacentre(), publisher);
        let leave_ms = PICTURES * 40 + 5_000;
        plan.player("player", LinkConfig::datacentre(), Protocol::Rtmp, play(0, leave_ms));
        plan
    },
    check: |evidence| {
        let bytes = keyframes(&evidence.players[0].received) as u64 * PICTURE_BYTES as u64;
        let all = unless(bytes > 1 << 32, || format!("{bytes} bytes came"));
        // Acknowledgements go on past the end of their counter.
        let behind_bytes = evidence.publishers[0].unacknowledged_bytes;
        let keeps_up = behind_bytes < 2 * PICTURE_BYTES as u32;
        let acknowledged = unless(keeps_up, || format!("{behind_bytes} bytes are unacknowledged"));
        all.into_iter().chain(acknowledged).collect()
    },
};
