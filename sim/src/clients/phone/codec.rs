//! The codecs of a phone, which cuts its audio into frames of 20 ms.

use serde::{Deserialize, Serialize};

use super::super::{
    speex,
    stamp::{STAMP_BYTES, Stamp},
};

/// Milliseconds of audio in a packet.
pub(in crate::clients) const PACKET_MS: u32 = 20;
/// Bytes of G.711 in a packet.
const G711_BYTES: usize = 160;

/// A codec of telephony.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    /// G.711, µ-law.
    Pcmu,
    /// G.711, A-law.
    Pcma,
    /// Speex of 8,000 samples a second.
    Narrowband,
    /// Speex of 16,000 samples a second.
    Wideband,
}

impl Codec {
    pub(super) const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::Narrowband, Self::Wideband];

    /// Its number in RTP, as a phone wants to hear it: that of RFC 3551, or else one that the gateway has for the other Speex.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::Narrowband => 96,
            Self::Wideband => 98,
        }
    }

    /// Which it is by its number, as a phone wants to hear it.
    pub fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.payload_type() == number)
    }

    /// What clients of the application `sip` call it.
    pub(in crate::clients) fn rtmp_name(self) -> &'static str {
        match self {
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
            Self::Narrowband => "narrowband",
            Self::Wideband => "wideband",
        }
    }

    /// What `a=rtpmap` says of it.
    pub(super) fn encoding(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU/8000",
            Self::Pcma => "PCMA/8000",
            Self::Narrowband => "speex/8000",
            Self::Wideband => "speex/16000",
        }
    }

    /// Whether it is Speex, of either rate: over RTMP both look alike.
    pub fn is_speex(self) -> bool {
        matches!(self, Self::Narrowband | Self::Wideband)
    }

    /// Whether it has 16,000 samples a second, and not 8,000.
    pub(super) fn is_wide(self) -> bool {
        self == Self::Wideband
    }

    /// Samples in a millisecond.
    pub fn samples_per_ms(self) -> u32 {
        if self.is_wide() { 16 } else { 8 }
    }

    /// Samples in a packet.
    pub fn samples_per_packet(self) -> u32 {
        PACKET_MS * self.samples_per_ms()
    }

    /// How many bytes a packet may have that is heard: a frame of narrow band may be heard in wide band, too.
    pub fn packet_bytes(self) -> &'static [usize] {
        match self {
            Self::Pcmu | Self::Pcma => &[G711_BYTES],
            Self::Narrowband => &[speex::NARROW_BYTES],
            Self::Wideband => &[speex::NARROW_BYTES, speex::WIDE_BYTES],
        }
    }

    /// Bytes of a packet that is said.
    pub(super) fn frame_bytes(self) -> usize {
        match self {
            Self::Pcmu | Self::Pcma => G711_BYTES,
            Self::Narrowband => speex::NARROW_BYTES,
            Self::Wideband => speex::WIDE_BYTES,
        }
    }

    /// First byte of an audio message of RTMP that carries it: format 8, 7 or 11, and 16 bits in the place of what has no meaning.
    pub fn rtmp_tag(self) -> u8 {
        match self {
            Self::Pcmu => 0x82,
            Self::Pcma => 0x72,
            Self::Narrowband | Self::Wideband => 0xb2,
        }
    }

    /// A frame of 20 ms that is what `stamp` says.
    pub(in crate::clients) fn frame(self, stamp: &Stamp) -> Vec<u8> {
        if self.is_speex() {
            return speex::frame(stamp, self == Self::Wideband);
        }
        let mut frame = Vec::with_capacity(G711_BYTES);
        stamp.seal(&[stamp.index as u8; G711_BYTES - STAMP_BYTES], &mut frame);
        frame
    }
}
