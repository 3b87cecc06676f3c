//! What most plans begin with: a stream and two who watch it, who fare well whatever happens beside them.

use rehearsal_sim::{
    LinkConfig, Rng, SEND_BUFFER_BYTES,
    clients::{media::MediaPlan, publisher::PublishPlan},
};

use crate::{
    live::{play, publish},
    plan::{Plan, Protocol},
};

/// Players leave so long after the end of what they watch: time enough to be told of it.
const LEAVE_AFTER_MS: u64 = 6_000;
/// Bytes of an RTMP message's or an FLV tag's head, and of what ends it.
const MESSAGE_HEAD_BYTES: u64 = 15;
/// Samples of an audio frame, and samples per second.
const AUDIO_FRAMES_PER: (u64, u64) = (1_024, 48_000);

/// A publisher, a player over RTMP and a viewer over HTTP-FLV from about its start to after its end; each on its link.
pub(crate) fn stream(seed: u64, links: [LinkConfig; 3], publish: PublishPlan) -> Plan {
    let mut rng = Rng::named(seed, "scenario/base");
    let mut plan = Plan::empty();
    let leave_ms = publish.start_ms + publish.duration_ms + LEAVE_AFTER_MS;
    let [publisher, player, viewer] = links;
    plan.publisher("publisher", publisher, publish);
    plan.player("player", player, Protocol::Rtmp, play(rng.below(500), leave_ms));
    plan.player("viewer", viewer, Protocol::HttpFlv, play(rng.below(500), leave_ms));
    plan
}

/// A healthy [`stream`] that does not notice what befalls others: the twin run says so.
pub(crate) fn healthy(seed: u64, duration_ms: u64, media: MediaPlan) -> Plan {
    let links = [LinkConfig::lan(), LinkConfig::dsl(), LinkConfig::lan()];
    let mut plan = stream(seed, links, publish(duration_ms, media));
    plan.terms.twin_within_ms = Some(1);
    plan
}

/// Bytes per second that `media` comes to with the heads of its messages, without those of packets.
pub(crate) fn bytes_per_second(media: &MediaPlan) -> u64 {
    let (keyframe, inter) = picture_bytes(media);
    let gop = u64::from(media.gop_frames);
    let gop_bytes = keyframe + gop.saturating_sub(1) * inter;
    let video = (gop_bytes * 1_000).checked_div(gop * u64::from(media.frame_ms)).unwrap_or(0);
    video + audio_bytes_per_second(media)
}

/// How long `media` takes at most to fill a socket that sends nothing, in milliseconds: between keyframes it grows slowest, and by
/// whole pictures.
pub(crate) fn fills_socket_ms(media: &MediaPlan) -> u64 {
    let (_, inter) = picture_bytes(media);
    let slowest = inter * 1_000 / u64::from(media.frame_ms) + audio_bytes_per_second(media);
    SEND_BUFFER_BYTES as u64 * 1_000 / slowest + u64::from(media.frame_ms)
}

/// A keyframe and another picture, with their heads.
fn picture_bytes(media: &MediaPlan) -> (u64, u64) {
    let keyframe = media.keyframe_bytes as u64;
    (keyframe + MESSAGE_HEAD_BYTES, keyframe / 5 + MESSAGE_HEAD_BYTES)
}

fn audio_bytes_per_second(media: &MediaPlan) -> u64 {
    let (samples, rate) = AUDIO_FRAMES_PER;
    match media.audio_bytes as u64 {
        0 => 0,
        audio => (audio + MESSAGE_HEAD_BYTES) * rate / samples,
    }
}
