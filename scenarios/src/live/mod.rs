//! Family live: publishers and players of live streams.

mod crowd;
mod one_stream;
mod pause;
mod plain_lines;
mod tracks;
mod unusual_players;

pub use crowd::CROWD;
pub use one_stream::{
    LATE_JOINER, ONE_PUBLISHER_THREE_PLAYERS, PLAYER_FIRST, REAL_FILE, REPUBLISH,
};
pub use pause::PAUSE;
pub use plain_lines::PLAIN_LINES;
pub use tracks::{AUDIO_ONLY, CHANGING_HEADERS, ENHANCED_RTMP, VIDEO_ONLY};
pub use unusual_players::{NARROW_LINK, SLOW_PLAYER};

use rehearsal_sim::clients::{
    media::MediaPlan,
    publisher::{Leave, PublishPlan, Source},
    rtmp_player::PlayPlan,
};

use crate::oracles::{OF_SCENARIO, Violation};

/// The stream of most scenarios.
pub(crate) const STREAM: &str = "live/cam";

/// A publisher of generated media that begins at once and ends in order.
pub(crate) fn publish(duration_ms: u64, media: MediaPlan) -> PublishPlan {
    PublishPlan {
        stream: STREAM.to_owned(),
        epoch: 1,
        start_ms: 0,
        source: Source::Generated(media),
        duration_ms,
        leave: Leave::Orderly,
        digest: false,
    }
}

/// A subscriber from `start_ms` to `leave_ms`.
pub(crate) fn play(start_ms: u64, leave_ms: u64) -> PlayPlan {
    PlayPlan { stream: STREAM.to_owned(), start_ms, leave_ms, stall: None, pause: None }
}

/// A violation of what a scenario is for.
pub(crate) fn unless(holds: bool, what: impl FnOnce() -> String) -> Option<Violation> {
    (!holds).then(|| Violation { oracle: OF_SCENARIO, what: what() })
}
