//! Between calls and live streams: RTP payloads as FLV payloads, and the other way round. Nothing is
//! transcoded.
//!
//! From RTMP to RTP go [`AudioPacketizer`] and [`H264Packetizer`], from RTP to RTMP [`to_flv`] and
//! [`H264Depacketizer`] with the times of a [`MediaClock`]. RTP timestamps count from an arbitrary
//! origin: who sends adds a random offset, who receives extends them to 64 bits first. Order, loss and
//! duplicates are the affair of the jitter buffer.

mod audio;
mod audio_packetizer;
mod avcc;
pub mod digit_message;
mod h264;
mod h264_depacketizer;
mod h264_packetizer;
pub mod keyframe_request;
mod media_clock;
mod pacer;
mod parameter_sets;
mod picture_pacer;
mod speex;

pub use audio::{AudioFormat, from_flv, to_flv};
pub use audio_packetizer::{AudioPacketizer, AudioPacketizerConfig};
pub use avcc::{AvccError, DecoderConfiguration};
pub use h264_depacketizer::{DepacketizerConfig, H264Depacketizer, H264Packet, VideoEvent};
pub use h264_packetizer::{H264Packetizer, H264PacketizerConfig, PacketizeError};
pub use media_clock::MediaClock;
pub use pacer::Pacer;
pub use picture_pacer::{PicturePacer, PicturePacerConfig};
pub use speex::narrowed;

use bytes::Bytes;

/// The payload of an RTP packet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpPayload {
    /// Its bytes, without the RTP header.
    pub payload: Bytes,
    /// Media time in ticks of the codec's clock, modulo 2³², without the random offset of RFC 3550 §5.1.
    pub timestamp: u32,
    /// The marker bit: audio that does not go on from what was sent before, the end of a picture.
    pub marker: bool,
}
