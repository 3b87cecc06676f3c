//! O6 bounded memory: the gateway never held more than what its configuration allows the clients of the plan.

use rehearsal_sim::clients::{
    media::MediaPlan,
    publisher::{PublishPlan, Source},
};

use crate::{
    plan::{ASSETS, Listener, Plan, RawClient},
    run::Evidence,
};

/// What the gateway needs besides its clients, in bytes: tables that grow by doubling.
const BASE_BYTES: u64 = 192 << 10;
/// What a connection needs besides what it carries: its task, its session, and the buffers of an HTTP request.
const CONNECTION_BYTES: u64 = 40 << 10;
/// What one of a crowd needs that keeps up: frames are in the ring for all of them, and buffers have long been grown. As
/// `tests/memory.rs` has it.
const CROWD_MEMBER_BYTES: u64 = 8 << 10;
/// What a frame needs besides its payload, in the ring and in the queues.
const FRAME_BYTES: u64 = 512;
/// Frames that a subscriber takes at a time.
const BATCH_FRAMES: u64 = 16;
/// Answers are joined to runs of this length.
const RUN_BYTES: u64 = 64 << 10;

/// Nothing to say where nobody counts.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let Some(host) = &evidence.host else { return Vec::new() };
    let bound = bytes_max(&evidence.plan);
    let is_over = u64::try_from(host.heap_bytes_max).is_ok_and(|held| held > bound);
    let what = || format!("the gateway held {} bytes, {bound} are allowed", host.heap_bytes_max);
    is_over.then(what).into_iter().collect()
}

/// The most that clients of `plan` can make the gateway hold, in bytes.
pub fn bytes_max(plan: &Plan) -> u64 {
    let live = &plan.config.live;
    let publishers: u64 = plan.publishers.iter().map(|p| publisher_bytes(plan, &p.plan)).sum();
    let frame_max =
        plan.publishers.iter().map(|p| frame_bytes_max(&p.plan)).max().unwrap_or_default();
    // A subscriber pins one batch, which ends with the frame that fills it.
    let batch = (BATCH_FRAMES * frame_max).min(live.in_flight_bytes as u64 + frame_max);
    let players = plan.players.len() as u64 * (CONNECTION_BYTES + batch);
    let of_crowds: usize = plan.crowds.iter().map(|crowd| crowd.count).sum();
    let crowds = of_crowds as u64 * CROWD_MEMBER_BYTES;
    let raw_clients: u64 = plan.raw_clients.iter().map(|raw| raw_bytes(plan, raw, batch)).sum();
    BASE_BYTES + publishers + players + crowds + raw_clients
}

/// A ring, and a message on its way in, whose buffer grows by doubling.
fn publisher_bytes(plan: &Plan, publish: &PublishPlan) -> u64 {
    let frame_max = frame_bytes_max(publish);
    let ring_max = plan.config.live.ring_bytes as u64 + frame_max;
    CONNECTION_BYTES + 2 * frame_max + (2 * held_bytes(plan, publish)).min(2 * ring_max)
}

/// What of a publish is held at a time: what is younger than configured, or since the last keyframe.
fn held_bytes(plan: &Plan, publish: &PublishPlan) -> u64 {
    let live = &plan.config.live;
    match &publish.source {
        Source::FlvFile(_) => frame_bytes_max(publish),
        Source::Generated(media) => {
            let gop_ms = u64::from(media.gop_frames) * 40;
            let span_ms = live.keep_ms.max(gop_ms.min(live.gop_ms)) + gop_ms.min(live.gop_ms);
            let held_ms = (span_ms + plan.terms.slack_ms).min(publish.duration_ms);
            bytes_per_second(media) * (held_ms + 1_000) / 1_000 + media.keyframe_bytes as u64
        }
    }
}

fn bytes_per_second(media: &MediaPlan) -> u64 {
    let (keyframe, audio) = (media.keyframe_bytes as u64, media.audio_bytes as u64);
    let per_gop = |gop: u64| (keyframe + (gop - 1) * (keyframe / 5)) * 25 / gop + 25 * FRAME_BYTES;
    let video = if media.gop_frames > 0 { per_gop(media.gop_frames.into()) } else { 0 };
    let audio = if audio > 0 { 47 * (audio + FRAME_BYTES) } else { 0 };
    video + audio
}

fn frame_bytes_max(publish: &PublishPlan) -> u64 {
    match &publish.source {
        Source::Generated(media) => {
            media.keyframe_bytes.max(media.audio_bytes) as u64 + FRAME_BYTES
        }
        // No frame is longer than its file.
        Source::FlvFile(path) => {
            let asset = ASSETS.iter().find(|(name, _)| path.as_os_str() == *name);
            asset.map_or(0, |(_, content)| content.len() as u64)
        }
    }
}

/// A message of any length that is allowed, as far as it was sent, in a buffer that grows by doubling; answers until no more
/// is read; and what a subscriber pins, which it may be as well.
fn raw_bytes(plan: &Plan, raw: &RawClient, batch: u64) -> u64 {
    let sent: u64 = raw.plan.pieces.iter().map(|piece| piece.len() as u64).sum();
    let config = &plan.config;
    let unfinished = match raw.listener {
        Listener::Rtmp => {
            let message_max = u64::from(config.rtmp.max_message_bytes);
            // What it publishes is held, too.
            2 * sent.min(message_max) + 2 * sent.min(config.live.ring_bytes as u64)
        }
        Listener::Http => 2 * sent.min(config.http.max_head_bytes as u64),
    };
    let answers = (16 * sent).min(config.live.in_flight_bytes as u64 + RUN_BYTES);
    CONNECTION_BYTES + unfinished + answers + batch
}
