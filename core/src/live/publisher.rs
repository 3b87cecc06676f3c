//! The writing end of a stream: messages of a publisher become frames in the ring.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::time::Instant;

use super::{
    frame::{Frame, FrameKind},
    headers::HeaderSlot,
    registry::{Registry, Stream},
};
use crate::{
    media::{
        ClassifyError,
        audio::{self, AudioKind},
        video::{self, VideoKind},
    },
    rtmp::{
        data::{self, Data, DataError},
        message::{Message, type_id},
    },
};

/// Why a message was not passed on. The stream goes on without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PushError {
    /// The payload's own header makes no sense.
    #[error("media: {0}")]
    Media(#[from] ClassifyError),
    /// The data message makes no sense.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The stream has too many headers, or too long ones; nobody who joins later could be given this one.
    #[error(
        "a header of {0} bytes is more than live.max_headers_bytes or the number of headers allows"
    )]
    TooManyHeaders(usize),
    /// The body does not fit an FLV tag.
    #[error("a message of {0} bytes does not fit an FLV tag")]
    TooLong(usize),
}

/// Who publishes a stream. Dropping it ends the epoch.
#[derive(Debug)]
pub struct Publisher {
    registry: Registry,
    name: Arc<str>,
    stream: Arc<Stream>,
    epoch: u64,
    frames: u64,
    /// The lowest number of a video track so far: the one that players show.
    main_video_track: u8,
}

impl Publisher {
    pub(super) fn new(registry: Registry, name: Arc<str>, stream: Arc<Stream>) -> Self {
        let epoch = stream.epoch();
        Self { registry, name, stream, epoch, frames: 0, main_video_track: u8::MAX }
    }

    /// Name of the stream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which publish of the stream this is, counted from 1 as long as the stream exists.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Frames passed on.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Appends a message of type audio, video or data to the stream.
    ///
    /// # Errors
    /// The message makes no sense; it is left out and the publisher goes on.
    pub fn push(&mut self, message: Message, now: Instant) -> Result<(), PushError> {
        let timestamp_ms = message.timestamp_ms;
        let (kind, slot, payload) = match message.type_id {
            type_id::AUDIO => {
                let (kind, slot) = recognise_audio(&message.payload)?;
                (kind, slot, message.payload)
            }
            type_id::VIDEO => {
                let (kind, slot) = self.recognise_video(&message.payload)?;
                (kind, slot, message.payload)
            }
            _ => match data::parse(&message)? {
                Data::Metadata { payload, declared } => {
                    self.stream.ring().declare(declared);
                    (FrameKind::Metadata, Some(HeaderSlot::Metadata), payload)
                }
                Data::ClearMetadata => {
                    self.stream.ring().clear_metadata();
                    return Ok(());
                }
                Data::Other(payload) => (FrameKind::Data, None, payload),
            },
        };
        if payload.len() > crate::media::flv::BODY_BYTES_MAX {
            return Err(PushError::TooLong(payload.len()));
        }
        if let Some(slot) = slot {
            let limit_bytes = self.registry.limits().headers_bytes;
            if !self.stream.ring().headers().has_room(slot, payload.len(), limit_bytes) {
                return Err(PushError::TooManyHeaders(payload.len()));
            }
        }
        self.append(kind, slot, timestamp_ms, payload, now);
        Ok(())
    }

    fn recognise_video(
        &mut self,
        payload: &[u8],
    ) -> Result<(FrameKind, Option<HeaderSlot>), ClassifyError> {
        let info = video::classify(payload)?;
        let tracks = info.track_ids;
        self.main_video_track = self.main_video_track.min(tracks.iter().next().unwrap_or(u8::MAX));
        Ok(match info.kind {
            VideoKind::SequenceHeader => (FrameKind::VideoHeader, Some(HeaderSlot::Video(tracks))),
            VideoKind::Metadata => (FrameKind::VideoHeader, Some(HeaderSlot::VideoColor(tracks))),
            // Whoever starts at a keyframe of another track would miss that of the main one.
            VideoKind::Keyframe if tracks.contains(self.main_video_track) => {
                (FrameKind::Keyframe, None)
            }
            VideoKind::Keyframe
            | VideoKind::Inter
            | VideoKind::Disposable
            | VideoKind::EndOfSequence
            | VideoKind::Command => (FrameKind::Inter, None),
        })
    }

    fn append(
        &mut self,
        kind: FrameKind,
        slot: Option<HeaderSlot>,
        timestamp_ms: u32,
        payload: Bytes,
        now: Instant,
    ) {
        let timestamp_ms = match kind {
            FrameKind::Audio | FrameKind::Keyframe | FrameKind::Inter => {
                self.stream.clock().stamp(timestamp_ms, now)
            }
            // Headers are often sent at time 0, whatever the time of what follows.
            _ => self.stream.clock().stamp_header(timestamp_ms, now),
        };
        // This publisher is the ring's only writer, so the headers cannot change in between.
        let headers = Arc::clone(self.stream.ring().headers());
        let frame = Frame::new(kind, self.epoch, timestamp_ms, now, payload, headers);
        self.stream.ring().push(Arc::new(frame), slot);
        self.frames += 1;
        self.stream.changed.notify_waiters();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.registry.unpublish(&self.name);
    }
}

fn recognise_audio(payload: &[u8]) -> Result<(FrameKind, Option<HeaderSlot>), ClassifyError> {
    let info = audio::classify(payload)?;
    Ok(match info.kind {
        AudioKind::SequenceHeader => {
            (FrameKind::AudioHeader, Some(HeaderSlot::Audio(info.track_ids)))
        }
        AudioKind::MultichannelConfig => {
            (FrameKind::AudioHeader, Some(HeaderSlot::AudioChannels(info.track_ids)))
        }
        AudioKind::Frame | AudioKind::EndOfSequence | AudioKind::Silence => {
            (FrameKind::Audio, None)
        }
    })
}
