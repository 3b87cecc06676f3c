//! A frame: one message of a publisher, immutable, with its wire headers made once for everybody.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::headers::Headers;
use crate::{
    media::flv::{self, TagKind},
    rtmp::{
        chunk::MessageHead,
        message::{chunk_stream, type_id},
    },
};

/// Longest HTTP chunk size line: six hex digits of a 24-bit tag and 15 bytes, CR, LF.
const SIZE_LINE_BYTES_MAX: usize = 9;
/// Bytes of an FLV tag's header.
const TAG_HEADER_BYTES: usize = 11;
/// Bytes of PreviousTagSize.
const TAG_TRAILER_BYTES: usize = 4;

/// What a frame means to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// `onMetaData`.
    Metadata,
    /// Other data, such as cue points.
    Data,
    /// Configuration of an audio track.
    AudioHeader,
    /// Audio.
    Audio,
    /// Configuration of a video track.
    VideoHeader,
    /// Video that can be decoded by itself, given its header.
    Keyframe,
    /// Video that needs the frames since its keyframe.
    Inter,
}

impl FrameKind {
    fn rtmp(self) -> (u32, u8) {
        match self {
            Self::Metadata | Self::Data => (chunk_stream::DATA, type_id::DATA_AMF0),
            Self::AudioHeader | Self::Audio => (chunk_stream::AUDIO, type_id::AUDIO),
            _ => (chunk_stream::VIDEO, type_id::VIDEO),
        }
    }

    fn flv(self) -> TagKind {
        match self {
            Self::Metadata | Self::Data => TagKind::Script,
            Self::AudioHeader | Self::Audio => TagKind::Audio,
            _ => TagKind::Video,
        }
    }

    /// True for what a decoder must have seen before media.
    pub fn is_header(self) -> bool {
        matches!(self, Self::Metadata | Self::AudioHeader | Self::VideoHeader)
    }

    /// True for key and inter frames.
    pub fn is_picture(self) -> bool {
        matches!(self, Self::Keyframe | Self::Inter)
    }
}

/// What stands around the payload in an FLV body, in HTTP chunked coding or without.
#[derive(Debug)]
pub(super) struct FlvEnvelope {
    /// Size line of the HTTP chunk, right-aligned, then the tag header.
    front: [u8; SIZE_LINE_BYTES_MAX + TAG_HEADER_BYTES],
    size_line_at: u8,
    /// PreviousTagSize, then CR, LF.
    back: [u8; TAG_TRAILER_BYTES + 2],
}

impl FlvEnvelope {
    fn new(kind: TagKind, timestamp_ms: u32, body_bytes: usize) -> Self {
        let tag_bytes = TAG_HEADER_BYTES + body_bytes + TAG_TRAILER_BYTES;
        let size_line = format!("{tag_bytes:x}\r\n");
        let mut front = [0; SIZE_LINE_BYTES_MAX + TAG_HEADER_BYTES];
        let size_line_at = SIZE_LINE_BYTES_MAX - size_line.len();
        front[size_line_at..SIZE_LINE_BYTES_MAX].copy_from_slice(size_line.as_bytes());
        front[SIZE_LINE_BYTES_MAX..].copy_from_slice(&flv::tag_header(
            kind,
            timestamp_ms,
            body_bytes,
        ));
        let mut back = *b"\0\0\0\0\r\n";
        back[..TAG_TRAILER_BYTES]
            .copy_from_slice(&flv::previous_tag_size(body_bytes).to_be_bytes());
        Self { front, size_line_at: size_line_at as u8, back }
    }

    /// What goes before and after the payload.
    pub(super) fn around(&self, chunked: bool) -> (&[u8], &[u8]) {
        match chunked {
            true => (&self.front[usize::from(self.size_line_at)..], &self.back),
            false => (&self.front[SIZE_LINE_BYTES_MAX..], &self.back[..TAG_TRAILER_BYTES]),
        }
    }
}

/// One message of a publisher.
#[derive(Debug)]
pub struct Frame {
    /// What it means.
    pub kind: FrameKind,
    /// Which publish of the stream it belongs to.
    pub epoch: u64,
    /// Milliseconds modulo 2^32 on the stream's clock.
    pub timestamp_ms: u32,
    /// When it came.
    pub arrived_at: Instant,
    /// Body of the RTMP message and of the FLV tag.
    pub payload: Bytes,
    /// Headers in force before it.
    pub headers: Arc<Headers>,
    pub(super) rtmp: MessageHead,
    pub(super) flv: FlvEnvelope,
}

impl Frame {
    /// A frame with its wire headers; `payload` has less than 2^24 bytes. Metadata is always at time 0: at any
    /// other, ffmpeg takes it for a track of subtitles.
    pub fn new(
        kind: FrameKind,
        epoch: u64,
        timestamp_ms: u32,
        arrived_at: Instant,
        payload: Bytes,
        headers: Arc<Headers>,
    ) -> Self {
        let timestamp_ms = if kind == FrameKind::Metadata { 0 } else { timestamp_ms };
        let (chunk_stream_id, type_id) = kind.rtmp();
        let rtmp = MessageHead::new(chunk_stream_id, type_id, timestamp_ms, payload.len() as u32);
        let flv = FlvEnvelope::new(kind.flv(), timestamp_ms, payload.len());
        Self { kind, epoch, timestamp_ms, arrived_at, payload, headers, rtmp, flv }
    }

    /// The same frame at another time and without headers before it, for a header that is sent again. The
    /// payload is shared.
    pub fn restamped(&self, timestamp_ms: u32) -> Self {
        Self::new(
            self.kind,
            self.epoch,
            timestamp_ms,
            self.arrived_at,
            self.payload.clone(),
            Arc::default(),
        )
    }

    /// What the frame costs while the ring holds it.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: FrameKind, timestamp_ms: u32, payload: &'static [u8]) -> Frame {
        let headers = Arc::new(Headers::default());
        Frame::new(kind, 1, timestamp_ms, Instant::now(), payload.into(), headers)
    }

    #[test]
    fn the_flv_form_is_a_tag_and_a_chunk_around_it() {
        let frame = frame(FrameKind::Audio, 0x0102_0304, b"abc");
        let (front, back) = frame.flv.around(false);
        assert_eq!(front, [8, 0, 0, 3, 2, 3, 4, 1, 0, 0, 0]);
        assert_eq!(back, [0, 0, 0, 14]);
        let (chunk_front, chunk_back) = frame.flv.around(true);
        assert_eq!(chunk_front, [b"12\r\n", front].concat());
        assert_eq!(chunk_back, [back, b"\r\n"].concat());
    }

    #[test]
    fn every_kind_goes_to_its_chunk_stream_and_tag() {
        let seen = |kind| {
            let frame = frame(kind, 0, b"x");
            (frame.rtmp.first()[0], frame.rtmp.first()[7], frame.flv.around(false).0[0])
        };
        for kind in [FrameKind::Keyframe, FrameKind::Inter, FrameKind::VideoHeader] {
            assert_eq!(seen(kind), (7, 9, 9));
        }
        for kind in [FrameKind::Audio, FrameKind::AudioHeader] {
            assert_eq!(seen(kind), (6, 8, 8));
        }
        for kind in [FrameKind::Metadata, FrameKind::Data] {
            assert_eq!(seen(kind), (5, 18, 18));
        }
    }
}
