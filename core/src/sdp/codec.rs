//! What the gateway can carry over RTP, under the names that the configuration and RTMP clients use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of an `m=` line that can be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MediaKind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
}

impl MediaKind {
    /// The media type of the `m=` line (RFC 8866 §5.14).
    pub fn as_str(self) -> &'static str {
        match self {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
        }
    }

    pub(super) fn from_media(media: &str) -> Option<Self> {
        [MediaKind::Audio, MediaKind::Video]
            .into_iter()
            .find(|kind| media.eq_ignore_ascii_case(kind.as_str()))
    }
}

/// Something that can be sent or received over RTP as it is; nothing is transcoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// G.711 µ-law, 8 kHz (RFC 3551 §4.5.14).
    Pcmu,
    /// G.711 A-law, 8 kHz (RFC 3551 §4.5.14).
    Pcma,
    /// Speex, 8 kHz (RFC 5574).
    Narrowband,
    /// Speex, 16 kHz (RFC 5574).
    Wideband,
    /// H.264 (RFC 6184).
    H264,
    /// Digits as telephone events beside the audio (RFC 4733): those beside audio of 8 kHz, and the name of all of them.
    Dtmf,
    /// Telephone events beside audio of 16 kHz, whose clock they have (RFC 4733 §2.1). Never named: it is meant wherever
    /// [`Codec::Dtmf`] is.
    #[serde(skip)]
    WidebandDtmf,
}

impl Codec {
    /// All that have a name of their own.
    pub const ALL: [Codec; 6] =
        [Codec::Pcmu, Codec::Pcma, Codec::Narrowband, Codec::Wideband, Codec::H264, Codec::Dtmf];

    /// Telephone events, of each clock.
    pub(super) const EVENTS: [Codec; 2] = [Codec::Dtmf, Codec::WidebandDtmf];

    /// The parameters that H.264 is offered with by default: constrained baseline, level 2.0, fragments
    /// allowed (RFC 6184 §8.1).
    pub const H264_PARAMETERS: &'static str = "profile-level-id=420014;packetization-mode=1";

    /// The parameters of telephone events: the digits, `*`, `#` and A to D (RFC 4733 §2.4.1).
    pub const DTMF_PARAMETERS: &'static str = "0-15";

    /// The name in configurations and in RTMP commands.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "pcmu",
            Codec::Pcma => "pcma",
            Codec::Narrowband => "narrowband",
            Codec::Wideband => "wideband",
            Codec::H264 => "h264",
            Codec::Dtmf | Codec::WidebandDtmf => "dtmf",
        }
    }

    /// What has this [`Codec::name`], exactly.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// Where it travels.
    pub fn kind(self) -> MediaKind {
        match self {
            Codec::H264 => MediaKind::Video,
            _ => MediaKind::Audio,
        }
    }

    /// Whether a stream can consist of it: digits go beside audio only.
    pub fn is_stream(self) -> bool {
        !Self::EVENTS.contains(&self)
    }

    /// Ticks a second of its RTP timestamps.
    pub fn clock_rate_hz(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::Narrowband | Codec::Dtmf => 8_000,
            Codec::Wideband | Codec::WidebandDtmf => 16_000,
            Codec::H264 => 90_000,
        }
    }

    /// The encoding name of `a=rtpmap`.
    pub fn encoding(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::Narrowband | Codec::Wideband => "speex",
            Codec::H264 => "H264",
            Codec::Dtmf | Codec::WidebandDtmf => "telephone-event",
        }
    }

    /// The payload type that it is offered with unless that is taken: the static one of RFC 3551 where
    /// there is one.
    pub fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::Wideband => 96,
            Codec::Narrowband => 98,
            Codec::H264 => 99,
            Codec::Dtmf => 101,
            Codec::WidebandDtmf => 102,
        }
    }

    /// What a payload type without `a=rtpmap` stands for (RFC 3551 §6).
    pub(super) fn from_static(payload_type: u8) -> Option<Self> {
        [Codec::Pcmu, Codec::Pcma].into_iter().find(|codec| codec.payload_type() == payload_type)
    }

    /// What the encoding of an `a=rtpmap` line, such as `speex/16000/1`, stands for.
    pub(super) fn from_encoding(encoding: &str) -> Option<Self> {
        let mut parts = encoding.trim().split('/');
        let name = parts.next()?;
        let clock_rate_hz: u32 = parts.next()?.parse().ok()?;
        if parts.next().is_some_and(|channels| channels.trim() != "1") {
            return None;
        }
        Self::ALL.into_iter().chain(Self::EVENTS).find(|codec| {
            codec.clock_rate_hz() == clock_rate_hz && codec.encoding().eq_ignore_ascii_case(name)
        })
    }
}

impl fmt::Display for Codec {
    /// Its [`Codec::name`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_and_commands_use_the_same_names() {
        for codec in Codec::ALL {
            assert_eq!(serde_json::to_string(&codec).unwrap(), format!("\"{codec}\""));
            assert_eq!(Codec::from_name(codec.name()), Some(codec));
        }
        assert_eq!(Codec::from_name("PCMU"), None);
    }

    #[test]
    fn encodings_are_known_in_any_case_and_with_one_channel_only() {
        assert_eq!(Codec::from_encoding("pcmu/8000"), Some(Codec::Pcmu));
        assert_eq!(Codec::from_encoding("SPEEX/16000/1"), Some(Codec::Wideband));
        assert_eq!(Codec::from_encoding("speex/8000"), Some(Codec::Narrowband));
        assert_eq!(Codec::from_encoding("speex/32000"), None);
        assert_eq!(Codec::from_encoding("telephone-event/16000"), Some(Codec::WidebandDtmf));
        assert_eq!(Codec::from_encoding("telephone-event/48000"), None);
        assert_eq!(Codec::from_encoding("PCMA/8000/2"), None);
        assert_eq!(Codec::from_encoding("h264/90000"), Some(Codec::H264));
        assert_eq!(Codec::from_encoding("H264"), None);
    }
}
