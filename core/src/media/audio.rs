//! What an audio payload is (FLV 10.1 §E.4.2, ER v2 "Enhanced Audio").

use super::{
    AudioCodec, ClassifyError, Multitrack, TrackIds,
    enhanced::{self, take},
};

/// What a relay needs to know of an audio payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioInfo {
    /// The codec; of the first track where each has its own. `None` for silence, which names no
    /// codec.
    pub codec: Option<AudioCodec>,
    /// Its part in the stream.
    pub kind: AudioKind,
    /// Whether the header is an enhanced one.
    pub enhanced: bool,
    /// The layout of tracks, if the message has one.
    pub multitrack: Option<Multitrack>,
    /// The tracks in it; [`TrackIds::DEFAULT`] without multitrack.
    pub track_ids: TrackIds,
}

/// The part of an audio payload in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioKind {
    /// Configures the decoder (AudioSpecificConfig and its like); every new player needs the latest
    /// one first.
    SequenceHeader,
    /// Sound.
    Frame,
    /// The sequence is over.
    EndOfSequence,
    /// The order of channels; new players need it as they need the sequence header.
    MultichannelConfig,
    /// An empty payload.
    Silence,
}

const ENHANCED_FORMAT: u8 = 9;

const AAC_SEQUENCE_HEADER: u8 = 0;
const AAC_RAW: u8 = 1;

const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const MULTICHANNEL_CONFIG: u8 = 4;
const MULTITRACK: u8 = 5;

/// Reads the header of an audio payload: the body of an RTMP audio message or an FLV audio tag.
///
/// An unknown codec is not an error; its payload is a frame.
///
/// # Errors
/// Any [`ClassifyError`] but that of a frame type.
pub fn classify(payload: &[u8]) -> Result<AudioInfo, ClassifyError> {
    let Some((&first, rest)) = payload.split_first() else {
        return Ok(legacy_info(None, AudioKind::Silence));
    };
    match first >> 4 {
        ENHANCED_FORMAT => enhanced(first & 0x0f, rest),
        format => legacy(AudioCodec::from_id(format), rest),
    }
}

fn legacy(codec: AudioCodec, mut rest: &[u8]) -> Result<AudioInfo, ClassifyError> {
    let kind = match codec {
        AudioCodec::Aac => match take(&mut rest)? {
            [AAC_SEQUENCE_HEADER] => AudioKind::SequenceHeader,
            [AAC_RAW] => AudioKind::Frame,
            [unknown] => return Err(ClassifyError::UnknownPacketType(unknown)),
        },
        _ => AudioKind::Frame,
    };
    Ok(legacy_info(Some(codec), kind))
}

fn legacy_info(codec: Option<AudioCodec>, kind: AudioKind) -> AudioInfo {
    let track_ids = TrackIds::DEFAULT;
    AudioInfo { codec, kind, enhanced: false, multitrack: None, track_ids }
}

fn enhanced(packet_type: u8, mut rest: &[u8]) -> Result<AudioInfo, ClassifyError> {
    let packet_type = enhanced::skip_mod_ex(packet_type, &mut rest)?;
    let header = enhanced::header(packet_type, MULTITRACK, rest)?;
    let kind = match header.packet_type {
        SEQUENCE_START => AudioKind::SequenceHeader,
        CODED_FRAMES => AudioKind::Frame,
        SEQUENCE_END => AudioKind::EndOfSequence,
        MULTICHANNEL_CONFIG => AudioKind::MultichannelConfig,
        unknown => return Err(ClassifyError::UnknownPacketType(unknown)),
    };
    Ok(AudioInfo {
        codec: Some(AudioCodec::from_four_cc(header.four_cc)),
        kind,
        enhanced: true,
        multitrack: header.multitrack,
        track_ids: header.track_ids,
    })
}
