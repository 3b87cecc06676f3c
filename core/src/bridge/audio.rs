//! The one byte by which audio in FLV differs from audio in RTP (FLV 10.1 §E.4.2).

use bytes::{BufMut, Bytes, BytesMut};

use crate::sdp::Codec;

/// G.711 A-law, 16 bits when decoded, mono.
const PCMA_HEADER: u8 = 0x72;
/// G.711 µ-law, 16 bits when decoded, mono.
const PCMU_HEADER: u8 = 0x82;
/// Speex; its rate is always said to be the lowest.
const SPEEX_HEADER: u8 = 0xb2;

const IS_STEREO: u8 = 0x01;

/// What FLV tells apart of the audio that can be carried. Speex of 8 and of 16 kHz look alike in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioFormat {
    /// G.711 A-law.
    Pcma,
    /// G.711 µ-law.
    Pcmu,
    /// Speex.
    Speex,
}

impl AudioFormat {
    /// The format of a codec; `None` if it is no audio.
    pub fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Pcma => Some(AudioFormat::Pcma),
            Codec::Pcmu => Some(AudioFormat::Pcmu),
            Codec::Narrowband | Codec::Wideband => Some(AudioFormat::Speex),
            Codec::H264 | Codec::Dtmf | Codec::WidebandDtmf => None,
        }
    }

    fn header(self) -> u8 {
        match self {
            AudioFormat::Pcma => PCMA_HEADER,
            AudioFormat::Pcmu => PCMU_HEADER,
            AudioFormat::Speex => SPEEX_HEADER,
        }
    }
}

/// An RTP payload as the payload of an RTMP audio message.
pub fn to_flv(format: AudioFormat, payload: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(1 + payload.len());
    body.put_u8(format.header());
    body.put_slice(payload);
    body.freeze()
}

/// The audio in the payload of an RTMP audio message; `None` if it is silence or cannot be carried, as
/// every other codec and G.711 in stereo.
pub fn from_flv(body: &Bytes) -> Option<(AudioFormat, Bytes)> {
    let header = *body.first()?;
    let format = match header >> 4 {
        7 => AudioFormat::Pcma,
        8 => AudioFormat::Pcmu,
        11 => AudioFormat::Speex,
        _ => return None,
    };
    if body.len() == 1 || format != AudioFormat::Speex && header & IS_STEREO != 0 {
        return None;
    }
    Some((format, body.slice(1..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_gets_its_header_and_loses_it_again() {
        for (format, header) in
            [(AudioFormat::Pcma, 0x72), (AudioFormat::Pcmu, 0x82), (AudioFormat::Speex, 0xb2)]
        {
            let body = to_flv(format, b"xy");
            assert_eq!(body[..], [header, b'x', b'y']);
            assert_eq!(from_flv(&body), Some((format, Bytes::from_static(b"xy"))));
        }
    }

    #[test]
    fn rate_and_size_in_the_header_do_not_matter() {
        let flv = |body: &'static [u8]| from_flv(&Bytes::from_static(body)).map(|(f, _)| f);
        assert_eq!(flv(b"\x8ex"), Some(AudioFormat::Pcmu));
        assert_eq!(flv(b"\xb6x"), Some(AudioFormat::Speex));
    }

    #[test]
    fn silence_stereo_and_other_codecs_are_not_carried() {
        for body in [&b""[..], b"\x82", b"\x83xx", b"\xaf\x01x", b"\x90Opusx"] {
            assert_eq!(from_flv(&Bytes::from_static(body)), None, "{body:x?}");
        }
    }
}
