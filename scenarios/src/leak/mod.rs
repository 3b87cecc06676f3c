//! Family leak: what clients do over and over in a gateway's life, each kind in a short plan that leaves the world as it found
//! it. One run is judged as every other. Carried out again and again against one gateway that lives on, each shows by what
//! it adds every time what the gateway forgets to give back: blocks on the heap, tasks, sockets, streams, timers.
//!
//! For that, whoever is cut off comes back, whatever is ended begins again, links stay as they are, and deadlines are short.
//!
//! | scenario | what the gateway must give back |
//! |---|---|
//! | `publish-play-stop` | all of a stream that ended in order |
//! | `republish` | what each publish added to a stream that somebody plays throughout |
//! | `refused-publish` | whatever was begun for those who are then refused |
//! | `abandoned-handshake` | sessions at each stage, ended in each way |
//! | `slow-subscriber` | batches and cursors of those who fall behind, given up or not |
//! | `viewer-gone` | deliveries whose peers go in each way |
//! | `bad-input` | half-read messages and heads, and answers to them |
//! | `calls` | all of a call, however it ends: its ports and tasks, what it says and is told, its place in a stream |
//! | `start-stop` | the gateway itself, told to end or not |

mod abandoned;
mod bad_input;
mod calls;
mod publish_play_stop;
mod refused;
mod republish;
mod slow_subscriber;
mod start_stop;
mod viewer_gone;

pub use abandoned::ABANDONED_HANDSHAKE;
pub use bad_input::BAD_INPUT;
pub use calls::CALLS;
pub use publish_play_stop::PUBLISH_PLAY_STOP;
pub use refused::REFUSED_PUBLISH;
pub use republish::REPUBLISH;
pub use slow_subscriber::SLOW_SUBSCRIBER;
pub use start_stop::START_STOP;
pub use viewer_gone::VIEWER_GONE;

use std::time::Duration;

use rehearsal_core::config::Config;
use rehearsal_sim::{
    Rng,
    clients::{
        media::MediaPlan,
        publisher::{PublishPlan, PublishReport},
        raw::RawPlan,
        rtmp_player::{PlayPlan, PlayReport},
        verify::{Kind, Logged},
    },
};

use crate::live;

/// Links and tasks may take this long.
const SOON: Duration = Duration::from_millis(20);

/// Deadlines of a few seconds for everybody who says nothing.
fn short_deadlines(rng: &mut Rng) -> Config {
    let mut config = Config::default();
    config.rtmp.handshake_ms = rng.range(1_800..=2_500);
    config.rtmp.command_ms = rng.range(1_800..=2_500);
    config.rtmp.idle_ms = rng.range(1_800..=2_500);
    config.rtmp.publisher_silence_ms = rng.range(1_800..=2_500);
    config.rtmp.ping_ms = rng.range(1_500..=2_000);
    config.rtmp.ping_timeout_ms = rng.range(1_000..=1_500);
    config.http.head_ms = rng.range(1_800..=2_500);
    config.http.wait_publisher_ms = rng.range(1_800..=2_200);
    config.http.idle_ms = config.http.wait_publisher_ms + rng.range(500..=1_000);
    config
}

/// Sends `bytes` at once when it comes at `start_ms`, reads until it is closed, and goes at `leave_ms`.
fn sends(start_ms: u64, bytes: Vec<u8>, leave_ms: u64) -> RawPlan {
    RawPlan {
        start_ms,
        pieces: if bytes.is_empty() { Vec::new() } else { vec![bytes] },
        pause_ms: 0,
        half_close: false,
        read_from_ms: 0,
        leave_ms,
    }
}

/// A publisher of the stream called `stream`.
fn publishes(stream: &str, start_ms: u64, duration_ms: u64) -> PublishPlan {
    let publish = live::publish(duration_ms, MediaPlan::default());
    PublishPlan { stream: stream.to_owned(), start_ms, ..publish }
}

/// A subscriber of the stream called `stream`.
fn plays(stream: &str, start_ms: u64, leave_ms: u64) -> PlayPlan {
    PlayPlan { stream: stream.to_owned(), ..live::play(start_ms, leave_ms) }
}

/// Hashes of the pictures and audio of `epoch` in a client's log.
fn media_of(epoch: u32, log: &[Logged]) -> Vec<u64> {
    let is_media = |seen: &&Logged| matches!(seen.kind, Kind::Keyframe | Kind::Inter | Kind::Audio);
    let is_its = |seen: &&Logged| seen.stamp.is_some_and(|stamp| stamp.epoch == epoch);
    log.iter().filter(is_media).filter(is_its).map(|seen| seen.hash).collect()
}

/// Whether a subscriber has every picture and all audio of a publish.
fn has_all_of(publish: &PublishReport, play: &PlayReport) -> bool {
    let sent = media_of(publish.epoch, &publish.sent);
    !sent.is_empty() && sent == media_of(publish.epoch, &play.received)
}
