//! What a video payload is (FLV 10.1 §E.4.3, ER v2 "Enhanced Video").

use super::{
    ClassifyError, Multitrack, TrackIds, VideoCodec,
    enhanced::{self, take},
};

/// What a relay needs to know of a video payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoInfo {
    /// The codec; of the first track where each has its own. `None` for an enhanced command, which
    /// names no codec.
    pub codec: Option<VideoCodec>,
    /// Its part in the stream.
    pub kind: VideoKind,
    /// Presentation time minus the message's timestamp, in milliseconds; of the first track if there
    /// are several. 0 where the packet carries none.
    pub composition_ms: i32,
    /// Whether the header is an enhanced one.
    pub enhanced: bool,
    /// The layout of tracks, if the message has one.
    pub multitrack: Option<Multitrack>,
    /// The tracks in it; [`TrackIds::DEFAULT`] without multitrack.
    pub track_ids: TrackIds,
}

/// The part of a video payload in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoKind {
    /// Configures the decoder (avcC and its like); every new player needs the latest one first.
    SequenceHeader,
    /// A picture to start at: key frames and generated key frames.
    Keyframe,
    /// A picture that needs earlier ones.
    Inter,
    /// A picture that no other needs.
    Disposable,
    /// The sequence is over.
    EndOfSequence,
    /// Metadata about the pictures, such as `colorInfo`.
    Metadata,
    /// A command to the player (start or end of a seek), no picture.
    Command,
}

const IS_ENHANCED: u8 = 0x80;

const KEY: u8 = 1;
const INTER: u8 = 2;
const DISPOSABLE: u8 = 3;
const GENERATED_KEY: u8 = 4;
const COMMAND: u8 = 5;

const LEGACY_SEQUENCE_HEADER: u8 = 0;
const LEGACY_NALUS: u8 = 1;
const LEGACY_END: u8 = 2;

const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const MPEG2TS_SEQUENCE_START: u8 = 5;
const MULTITRACK: u8 = 6;

/// Reads the header of a video payload: the body of an RTMP video message or an FLV video tag.
///
/// An unknown codec is not an error; its payload is what its frame type says.
///
/// # Errors
/// Any [`ClassifyError`]. An empty payload is [`ClassifyError::Truncated`].
pub fn classify(payload: &[u8]) -> Result<VideoInfo, ClassifyError> {
    let mut rest = payload;
    let [first] = take(&mut rest)?;
    if first & IS_ENHANCED == 0 { legacy(first, rest) } else { enhanced(first, rest) }
}

fn legacy(first: u8, mut rest: &[u8]) -> Result<VideoInfo, ClassifyError> {
    let frame_type = first >> 4;
    let codec = VideoCodec::from_id(first & 0x0f);
    let mut info = VideoInfo {
        codec: Some(codec),
        kind: VideoKind::Command,
        composition_ms: 0,
        enhanced: false,
        multitrack: None,
        track_ids: TrackIds::DEFAULT,
    };
    if frame_type == COMMAND {
        return Ok(info);
    }
    if !codec.has_composition_offset() {
        info.kind = picture(frame_type)?;
        return Ok(info);
    }
    let [packet_type] = take(&mut rest)?;
    info.kind = match packet_type {
        LEGACY_SEQUENCE_HEADER => VideoKind::SequenceHeader,
        LEGACY_NALUS => picture(frame_type)?,
        // Some encoders leave out the offset here.
        LEGACY_END => {
            info.kind = VideoKind::EndOfSequence;
            return Ok(info);
        }
        unknown => return Err(ClassifyError::UnknownPacketType(unknown)),
    };
    let offset_ms = composition_ms(&mut rest)?;
    if packet_type == LEGACY_NALUS {
        info.composition_ms = offset_ms;
    }
    Ok(info)
}

fn enhanced(first: u8, mut rest: &[u8]) -> Result<VideoInfo, ClassifyError> {
    let frame_type = first >> 4 & 0x07;
    let packet_type = enhanced::skip_mod_ex(first & 0x0f, &mut rest)?;
    if frame_type == COMMAND && packet_type != METADATA {
        return Ok(VideoInfo {
            codec: None,
            kind: VideoKind::Command,
            composition_ms: 0,
            enhanced: true,
            multitrack: None,
            track_ids: TrackIds::DEFAULT,
        });
    }

    let header = enhanced::header(packet_type, MULTITRACK, rest)?;
    let codec = VideoCodec::from_four_cc(header.four_cc);
    let kind = match header.packet_type {
        SEQUENCE_START | MPEG2TS_SEQUENCE_START => VideoKind::SequenceHeader,
        CODED_FRAMES | CODED_FRAMES_X => picture(frame_type)?,
        SEQUENCE_END => VideoKind::EndOfSequence,
        METADATA => VideoKind::Metadata,
        unknown => return Err(ClassifyError::UnknownPacketType(unknown)),
    };
    let has_offset = header.packet_type == CODED_FRAMES && codec.has_composition_offset();
    let mut body = header.first_body;
    Ok(VideoInfo {
        codec: Some(codec),
        kind,
        composition_ms: if has_offset { composition_ms(&mut body)? } else { 0 },
        enhanced: true,
        multitrack: header.multitrack,
        track_ids: header.track_ids,
    })
}

fn picture(frame_type: u8) -> Result<VideoKind, ClassifyError> {
    match frame_type {
        KEY | GENERATED_KEY => Ok(VideoKind::Keyframe),
        INTER => Ok(VideoKind::Inter),
        DISPOSABLE => Ok(VideoKind::Disposable),
        reserved => Err(ClassifyError::ReservedFrameType(reserved)),
    }
}

/// A signed integer of 24 bits.
fn composition_ms(rest: &mut &[u8]) -> Result<i32, ClassifyError> {
    let [high, middle, low] = take(rest)?;
    Ok(i32::from_be_bytes([high, middle, low, 0]) >> 8)
}
