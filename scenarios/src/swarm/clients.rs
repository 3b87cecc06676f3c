//! Publishers, and subscribers over RTMP and HTTP-FLV, who go by the publishers or by themselves.

use rehearsal_core::config::Config;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::{Leave, PublishPlan, Source},
        rtmp_player::{PlayPlan, Stall},
    },
};

use super::{
    Lots,
    faults::Target,
    features::Features,
    moments::{delay_ms, lasting, near},
};
use crate::plan::{Player, Protocol, Publisher};

/// At most so many publish.
pub(super) const PUBLISHERS: usize = 6;
/// At most so many play.
pub(super) const PLAYERS: usize = 7;
/// Bytes of the largest keyframe.
pub(super) const KEYFRAME_BYTES_MAX: usize = 60_000;
/// Whoever goes by nobody comes within this time.
pub(super) const BUSY_MS: u64 = 9_000;
/// Nobody comes later.
const COMES_MS_MAX: u64 = 13_000;
/// Whoever stays goes then.
pub(super) const LEAVE_MS: u64 = 18_000;

/// The stream with this index.
pub(super) fn stream(index: u64) -> String {
    format!("live/cam-{index}")
}

/// When `publisher` has sent everything, if it is served at once.
pub(super) fn end_ms(publisher: &Publisher) -> u64 {
    publisher.plan.start_ms + publisher.plan.duration_ms
}

/// How long it takes to the gateway and back on `link`, in microseconds.
fn round_trip_us(link: LinkConfig) -> u64 {
    let gateway = LinkConfig::datacentre();
    let ways = [link.up, link.down, gateway.up, gateway.down];
    ways.iter().map(|way| way.delay_ns).sum::<u64>() / 1_000
}

/// When the gateway hears of the end of `publisher`, or hears its last frame, in microseconds: it has been served after five round
/// trips then, and what it sends is on its way for half of one.
fn heard_of_end_us(publisher: &Publisher) -> u64 {
    let Source::Generated(media) = &publisher.plan.source else { return 0 };
    let (frame_ms, duration_ms) = (u64::from(media.frame_ms), publisher.plan.duration_ms);
    let picture_ms = if media.gop_frames > 0 { (duration_ms - 1) / frame_ms * frame_ms } else { 0 };
    // 1,024 samples of 48 kHz.
    let audio_ms = (0..=duration_ms * 3 / 64).rev().map(|index| index * 64 / 3);
    let audio_ms = audio_ms.filter(|_| media.audio_bytes > 0).find(|at_ms| *at_ms < duration_ms);
    let last_ms = picture_ms.max(audio_ms.unwrap_or(0));
    (publisher.plan.start_ms + last_ms) * 1_000 + round_trip_us(publisher.link) * 11 / 2
}

/// A link as the features have them.
pub(super) fn link(rng: &mut Rng, features: &Features) -> LinkConfig {
    let (kind, lossy, delay_ms) = (rng.below(10), rng.below(4), delay_ms(rng));
    match kind {
        0..=3 => LinkConfig::lan(),
        4 | 5 => LinkConfig::dsl(),
        6 | 7 if features.far => LinkConfig::dsl().with_delay_ms(delay_ms),
        8 | 9 if features.lossy => match lossy {
            0 => LinkConfig::wifi(),
            1 => LinkConfig::lte(),
            2 => LinkConfig::satellite(),
            _ => LinkConfig::congested(),
        },
        _ => LinkConfig::dsl(),
    }
}

fn media(rng: &mut Rng, features: &Features) -> MediaPlan {
    let gop_frames = [12, 25, 50, 50][rng.below(4) as usize];
    let mut media = MediaPlan { gop_frames, b_frames: rng.below(4) as u32, ..MediaPlan::default() };
    let (tracks, is_large) = (rng.below(4), rng.below(3) == 0);
    let large = rng.range(10_000..=KEYFRAME_BYTES_MAX as u64) as usize;
    let (codec, header, times) = (rng.below(3), rng.below(3) as u32, rng.below(3));
    let before_wrap_ms = rng.range(1..=5_000) as u32;
    match tracks {
        0 if features.one_track => media.audio_bytes = 0,
        1 if features.one_track => media.gop_frames = 0,
        _ => {}
    }
    if features.large && is_large {
        media.keyframe_bytes = large;
    }
    if features.unusual {
        media.enhanced = codec == 0;
        media.header_every_gops = header;
        let wraps_at = [0, 1 << 24, 1 << 31][times as usize];
        media.first_timestamp_ms = u32::wrapping_sub(wraps_at, before_wrap_ms);
    }
    media
}

/// All who could publish.
pub(super) fn publishers(lots: &Lots, features: &Features, config: &Config) -> Vec<Publisher> {
    let mut publishers: Vec<Publisher> = Vec::new();
    for index in 0..PUBLISHERS {
        let host = format!("publisher-{index}");
        let mut rng = lots.of(&host);
        let before = publishers.last();
        let own_name = if features.twin { index as u64 } else { rng.below(features.names) };
        let follows = before.filter(|_| features.in_turn && !features.twin && rng.below(4) > 0);
        let name = follows.map_or_else(|| stream(own_name), |before| before.plan.stream.clone());
        let link = link(&mut rng, features);
        let start_ms = match before {
            None => rng.below(1_000),
            Some(before) => comes(&mut rng, features, config, (before, follows.is_some()), link),
        };
        let lasts_ms = rng.range(300..=5_000);
        let edge_ms = lasting(&mut rng, config, features.edges).max(300);
        let duration_ms = if rng.below(3) == 0 { edge_ms } else { lasts_ms };
        let leave = leave(&mut rng, features, Target::Publisher(index).is_drawn(lots, features));
        let source = Source::Generated(media(&mut rng, features));
        let (digest, epoch) = (rng.below(3) == 0, index as u32 + 1);
        let plan =
            PublishPlan { stream: name, epoch, start_ms, source, duration_ms, leave, digest };
        publishers.push(Publisher { host, link, plan });
    }
    publishers
}

fn leave(rng: &mut Rng, features: &Features, is_target: bool) -> Leave {
    match rng.below(3) {
        0 if features.killed => Leave::Killed,
        // Who says nothing may never know that it was cut off.
        1 if features.silent && !is_target => Leave::Silent,
        _ => Leave::Orderly,
    }
}

/// When a publisher comes who may go by the one before it.
fn comes(
    rng: &mut Rng,
    features: &Features,
    config: &Config,
    (before, follows): (&Publisher, bool),
    link: LinkConfig,
) -> u64 {
    let any_ms = rng.below(BUSY_MS);
    let gap_ms = rng.below(1_500);
    let heard_us = heard_of_end_us(before);
    let free_us = match before.plan.leave {
        Leave::Silent => heard_us + config.rtmp.publisher_silence_ms * 1_000,
        Leave::Orderly | Leave::Killed => heard_us,
    };
    // Its question for the name is there after four round trips and a half.
    let over_ms = free_us.saturating_sub(round_trip_us(link) * 9 / 2) / 1_000;
    let around_ms = [end_ms(before), over_ms, before.plan.start_ms][rng.below(3) as usize];
    let (near_ms, is_near) = (near(rng, around_ms), features.edges && rng.below(2) == 0);
    let comes_ms = match (is_near, follows) {
        (true, _) => near_ms,
        (false, true) => over_ms + gap_ms,
        (false, false) => any_ms,
    };
    if comes_ms > COMES_MS_MAX { any_ms } else { comes_ms }
}

/// All who could play.
pub(super) fn players(
    lots: &Lots,
    features: &Features,
    config: &Config,
    publishers: &[Publisher],
) -> Vec<Player> {
    let player = |index| {
        let host = format!("player-{index}");
        let mut rng = lots.of(&host);
        let protocol = if rng.below(2) == 0 { Protocol::Rtmp } else { Protocol::HttpFlv };
        let its = &publishers[rng.below(publishers.len() as u64) as usize];
        let start_ms = player_comes(&mut rng, features, config, its);
        let leave_ms = player_goes(&mut rng, features, config, its, start_ms);
        let from_ms = start_ms + rng.range(200..=4_000);
        let for_ms = lasting(&mut rng, config, features.edges);
        let is_stall = features.stalls && rng.below(3) == 0;
        let stall = is_stall.then_some(Stall { from_ms, to_ms: from_ms + for_ms });
        let link = link(&mut rng, features);
        let plan =
            PlayPlan { stream: its.plan.stream.clone(), start_ms, leave_ms, stall, pause: None };
        Player { host, link, protocol, plan }
    };
    (0..PLAYERS).map(player).collect()
}

fn player_comes(rng: &mut Rng, features: &Features, config: &Config, its: &Publisher) -> u64 {
    let any_ms = rng.below(BUSY_MS);
    let waits_ms = its.plan.start_ms.saturating_sub(config.http.wait_publisher_ms);
    let around_ms = [its.plan.start_ms, end_ms(its), waits_ms][rng.below(3) as usize];
    let (near_ms, is_near) = (near(rng, around_ms), features.edges && rng.below(3) == 0);
    if is_near { near_ms.min(COMES_MS_MAX) } else { any_ms }
}

fn player_goes(
    rng: &mut Rng,
    features: &Features,
    config: &Config,
    its: &Publisher,
    start_ms: u64,
) -> u64 {
    let passes_ms = start_ms + rng.range(30..=3_000);
    let probed_ms = its.plan.start_ms.max(start_ms) + config.live.flv_probe_ms;
    let around_ms = [end_ms(its), probed_ms, its.plan.start_ms][rng.below(3) as usize];
    let near_ms = near(rng, around_ms).max(start_ms + 30);
    match rng.below(6) {
        0 | 1 if features.passing => passes_ms,
        2 if features.passing && features.edges => near_ms,
        _ => LEAVE_MS,
    }
}
