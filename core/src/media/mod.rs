//! Audio and video as they travel in RTMP messages and FLV tags.
//!
//! [`video`] and [`audio`] read as much of a payload as a relay needs to place it: the codec, whether
//! it is a header to keep or a picture to start at, and the track. Payloads themselves pass through
//! unchanged. [`flv`] frames them as a file, [`timestamp`] compares their times.

pub mod audio;
mod codec;
mod enhanced;
pub mod flv;
pub mod timestamp;
mod track;
pub mod video;

pub use codec::{AudioCodec, FourCc, VideoCodec};
pub use track::{Multitrack, TrackIds};

/// Why a payload cannot be placed. It may still be relayed: a player can know what this does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClassifyError {
    /// The payload ends within the header that its first bytes call for.
    #[error("media payload is cut short")]
    Truncated,
    /// A coded picture with frame type 0, 6 or 7.
    #[error("video frame type {0} is reserved")]
    ReservedFrameType(u8),
    /// A packet type that its codec or header does not have.
    #[error("media packet type {0} is unknown")]
    UnknownPacketType(u8),
    /// A multitrack type above 2.
    #[error("multitrack type {0} is unknown")]
    UnknownMultitrackType(u8),
    /// A multitrack packet of multitrack packets (ER v2 forbids it) or of ModEx prefixes.
    #[error("packet type {0} stands inside a multitrack packet")]
    NestedPacketType(u8),
}
