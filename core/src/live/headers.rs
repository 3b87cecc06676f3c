//! The headers in force at a frame: what a decoder must have seen before it.

use std::sync::Arc;

use super::frame::Frame;
use crate::media::TrackIds;

/// Most headers kept for one stream: metadata and two for each of some tracks.
const HEADERS_MAX: usize = 32;

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
    /// Whether a newer header for `self` makes one for `older` worthless.
    fn replaces(self, older: Self) -> bool {
        match (self, older) {
            (Self::Metadata, Self::Metadata) => true,
            (Self::Video(new), Self::Video(old))
            | (Self::VideoColor(new), Self::VideoColor(old))
            | (Self::Audio(new), Self::Audio(old))
            | (Self::AudioChannels(new), Self::AudioChannels(old)) => old.is_within(new),
            _ => false,
        }
    }

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

    /// Heap that this version of the headers takes besides their payloads.
    pub(super) fn own_bytes(&self) -> usize {
        size_of::<Self>() + self.slots.len() * size_of::<(HeaderSlot, Arc<Frame>)>()
    }

    /// True when `frame` is the header that stands in `slot` already.
    pub(super) fn has(&self, slot: HeaderSlot, frame: &Frame) -> bool {
        let same = |(known, header): &(HeaderSlot, Arc<Frame>)| {
            *known == slot && header.payload == frame.payload
        };
        self.slots.iter().any(same)
    }

    /// True when a header of `bytes` for `slot` fits beside those that it does not replace.
    pub(super) fn has_room(&self, slot: HeaderSlot, bytes: usize, limit_bytes: usize) -> bool {
        let kept = || self.slots.iter().filter(|(known, _)| !slot.replaces(*known));
        let kept_bytes: usize = kept().map(|(_, header)| header.payload.len()).sum();
        kept().count() < HEADERS_MAX && kept_bytes + bytes <= limit_bytes
    }

    /// These headers with a newer one, behind all others of its kind.
    pub(super) fn with(&self, slot: HeaderSlot, frame: &Frame) -> Self {
        // Kept without the headers before it: they would hold those before them, without end.
        let frame = Arc::new(frame.restamped(frame.timestamp_ms));
        let mut slots = Vec::with_capacity(self.slots.len() + 1);
        slots.extend(self.slots.iter().filter(|(known, _)| !slot.replaces(*known)).cloned());
        let at = slots.partition_point(|(known, _)| known.order() <= slot.order());
        slots.insert(at, (slot, frame));
        Self { slots }
    }

    /// These headers without metadata.
    pub(super) fn without_metadata(&self) -> Self {
        let kept = self.slots.iter().filter(|(slot, _)| *slot != HeaderSlot::Metadata);
        Self { slots: kept.cloned().collect() }
    }
}
