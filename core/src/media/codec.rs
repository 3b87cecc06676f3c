//! Names of codecs: numbers in legacy headers, FourCCs in enhanced ones.

use std::fmt;

/// Four characters that name a codec (ER v2, "FOURCC").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// The number that stands for it in metadata: the characters as a big-endian integer.
    pub fn as_u32(self) -> u32 {
        u32::from_be_bytes(self.0)
    }
}

impl fmt::Display for FourCc {
    /// The characters; those that are not printable ASCII are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}

/// What video is coded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VideoCodec {
    /// H.264: legacy 7, `avc1`.
    Avc,
    /// H.265: `hvc1`, and legacy 12 by common agreement outside the specification.
    Hevc,
    /// AV1: `av01`.
    Av1,
    /// VP8: `vp08`.
    Vp8,
    /// VP9: `vp09`.
    Vp9,
    /// H.266: `vvc1`.
    Vvc,
    /// Sorenson H.263: legacy 2.
    H263,
    /// Screen video: legacy 3.
    Screen,
    /// Screen video version 2: legacy 6.
    Screen2,
    /// On2 VP6: legacy 4.
    Vp6,
    /// On2 VP6 with alpha: legacy 5.
    Vp6Alpha,
    /// Another legacy number, 0 to 15.
    OtherId(u8),
    /// Another FourCC.
    OtherFourCc(FourCc),
}

impl VideoCodec {
    pub(super) fn from_id(id: u8) -> Self {
        match id {
            2 => VideoCodec::H263,
            3 => VideoCodec::Screen,
            4 => VideoCodec::Vp6,
            5 => VideoCodec::Vp6Alpha,
            6 => VideoCodec::Screen2,
            7 => VideoCodec::Avc,
            12 => VideoCodec::Hevc,
            other => VideoCodec::OtherId(other),
        }
    }

    pub(super) fn from_four_cc(four_cc: FourCc) -> Self {
        match &four_cc.0 {
            b"avc1" => VideoCodec::Avc,
            b"hvc1" => VideoCodec::Hevc,
            b"av01" => VideoCodec::Av1,
            b"vp08" => VideoCodec::Vp8,
            b"vp09" => VideoCodec::Vp9,
            b"vvc1" => VideoCodec::Vvc,
            _ => VideoCodec::OtherFourCc(four_cc),
        }
    }

    /// Whether its coded frames carry a composition time offset.
    pub(super) fn has_composition_offset(self) -> bool {
        matches!(self, VideoCodec::Avc | VideoCodec::Hevc | VideoCodec::Vvc)
    }
}

impl fmt::Display for VideoCodec {
    /// The name used in statistics, in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VideoCodec::Avc => "avc",
            VideoCodec::Hevc => "hevc",
            VideoCodec::Av1 => "av1",
            VideoCodec::Vp8 => "vp8",
            VideoCodec::Vp9 => "vp9",
            VideoCodec::Vvc => "vvc",
            VideoCodec::H263 => "h263",
            VideoCodec::Screen => "screen",
            VideoCodec::Screen2 => "screen2",
            VideoCodec::Vp6 => "vp6",
            VideoCodec::Vp6Alpha => "vp6a",
            VideoCodec::OtherId(id) => return write!(f, "video-{id}"),
            VideoCodec::OtherFourCc(four_cc) => return four_cc.fmt(f),
        })
    }
}

/// What audio is coded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AudioCodec {
    /// AAC: legacy 10, `mp4a`.
    Aac,
    /// MP3: legacy 2 and 14 (8 kHz), `.mp3`.
    Mp3,
    /// Speex: legacy 11.
    Speex,
    /// G.711 A-law: legacy 7.
    Pcma,
    /// G.711 µ-law: legacy 8.
    Pcmu,
    /// Linear PCM: legacy 0 (the sender's byte order) and 3 (little endian).
    Pcm,
    /// ADPCM: legacy 1.
    Adpcm,
    /// Nellymoser: legacy 4 (16 kHz), 5 (8 kHz) and 6.
    Nellymoser,
    /// Opus: `Opus`.
    Opus,
    /// FLAC: `fLaC`.
    Flac,
    /// AC-3: `ac-3`.
    Ac3,
    /// E-AC-3: `ec-3`.
    Eac3,
    /// Another legacy number, 0 to 15.
    OtherId(u8),
    /// Another FourCC.
    OtherFourCc(FourCc),
}

impl AudioCodec {
    pub(super) fn from_id(id: u8) -> Self {
        match id {
            0 | 3 => AudioCodec::Pcm,
            1 => AudioCodec::Adpcm,
            2 | 14 => AudioCodec::Mp3,
            4..=6 => AudioCodec::Nellymoser,
            7 => AudioCodec::Pcma,
            8 => AudioCodec::Pcmu,
            10 => AudioCodec::Aac,
            11 => AudioCodec::Speex,
            other => AudioCodec::OtherId(other),
        }
    }

    pub(super) fn from_four_cc(four_cc: FourCc) -> Self {
        match &four_cc.0 {
            b"mp4a" => AudioCodec::Aac,
            b".mp3" => AudioCodec::Mp3,
            b"Opus" => AudioCodec::Opus,
            b"fLaC" => AudioCodec::Flac,
            b"ac-3" => AudioCodec::Ac3,
            b"ec-3" => AudioCodec::Eac3,
            _ => AudioCodec::OtherFourCc(four_cc),
        }
    }
}

impl fmt::Display for AudioCodec {
    /// The name used in statistics, in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AudioCodec::Aac => "aac",
            AudioCodec::Mp3 => "mp3",
            AudioCodec::Speex => "speex",
            AudioCodec::Pcma => "pcma",
            AudioCodec::Pcmu => "pcmu",
            AudioCodec::Pcm => "pcm",
            AudioCodec::Adpcm => "adpcm",
            AudioCodec::Nellymoser => "nellymoser",
            AudioCodec::Opus => "opus",
            AudioCodec::Flac => "flac",
            AudioCodec::Ac3 => "ac3",
            AudioCodec::Eac3 => "eac3",
            AudioCodec::OtherId(id) => return write!(f, "audio-{id}"),
            AudioCodec::OtherFourCc(four_cc) => return four_cc.fmt(f),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{AudioCodec, FourCc, VideoCodec};

    #[test]
    fn four_cc_is_a_number_in_metadata() {
        assert_eq!(FourCc(*b"av01").as_u32(), 1_635_135_537);
    }

    #[test]
    fn names_of_strangers_are_printable() {
        assert_eq!(VideoCodec::OtherFourCc(FourCc(*b"x\n\xff.")).to_string(), "x\\n\\xff.");
        assert_eq!(VideoCodec::from_id(15).to_string(), "video-15");
        assert_eq!(AudioCodec::from_id(9).to_string(), "audio-9");
    }
}
