//! The headers in force at a frame: what a decoder must have seen before it.

use std::sync::Arc;

use super::frame::Frame;
use crate::media::TrackIds;

/// Most headers kept for one stream: metadata and a few for each track.
const HEADERS_MAX: usize = 64;

/// What a header is for. A newer one for the same replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderSlot {
    /// `onMetaData`.
    Metadata,
    /// Configuration of video tracks.
    Video(TrackIds),
    /// Colour information of video tracks (Enhanced RTMP metadata packet).
    VideoColor(TrackIds),
    /// Configuration of audio tracks.
    Audio(TrackIds),
    /// Channel layout of audio tracks (Enhanced RTMP MultichannelConfig).
    AudioChannels(TrackIds),
}

impl HeaderSlot {
    /// Players expect metadata first, then video, then audio.
    fn order(self) -> u8 {
        match self {
            Self::Metadata => 0,
            Self::Video(_) => 1,
            Self::VideoColor(_) => 2,
            Self::Audio(_) => 3,
            Self::AudioChannels(_) => 4,
        }
    }
}

/// The newest header of every slot, in the order in which they are sent.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    slots: Vec<(HeaderSlot, Arc<Frame>)>,
}

impl Headers {
    /// The headers, in the order in which they are sent.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Frame>> {
        self.slots.iter().map(|(_, frame)| frame)
    }

    /// These headers with a newer one. Beyond the limit the stream's oldest of the last slots goes.
    pub(super) fn with(&self, slot: HeaderSlot, frame: &Frame) -> Self {
        // Kept without the headers before it: they would hold those before them, without end.
        let frame = Arc::new(frame.restamped(frame.timestamp_ms));
        let mut slots = self.slots.clone();
        match slots.iter_mut().find(|(known, _)| *known == slot) {
            Some((_, old)) => *old = frame,
            None => {
                slots.truncate(HEADERS_MAX - 1);
                let at = slots.partition_point(|(known, _)| known.order() <= slot.order());
                slots.insert(at, (slot, frame));
            }
        }
        Self { slots }
    }

    /// These headers without metadata.
    pub(super) fn without_metadata(&self) -> Self {
        let kept = self.slots.iter().filter(|(slot, _)| *slot != HeaderSlot::Metadata);
        Self { slots: kept.cloned().collect() }
    }
}
