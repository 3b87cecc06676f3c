//! H.264 of RTMP video messages as RTP packets (RFC 6184, packetization modes 0 and 1).
//!
//! All NAL units of an access unit are sent in their order, with the parameter sets of the sequence
//! header in front of each key frame. Timestamps are times of presentation.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::{
    AvccError, DecoderConfiguration, RtpPayload,
    h264::{DELIMITER, FU_A, FU_END, FU_START, IDR, IMPORTANCE, SPS, is_plain, unit_type},
};
use crate::media::{
    VideoCodec,
    video::{self, VideoKind},
};

const TICKS_PER_MS: u32 = 90;
/// Frame type and codec, packet type, composition time.
const FLV_HEADER_BYTES: usize = 5;
/// Longest NAL unit that is sent whole: what a datagram over IPv4 has room for behind a header of RTP.
const WHOLE_UNIT_BYTES_MAX: usize = 65_507 - 12;
/// FU indicator and FU header.
const FU_HEADER_BYTES: usize = 2;

/// How pictures are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct H264PacketizerConfig {
    /// Longest payload of a packet, in bytes, at least 3; of a packet with a part of a NAL unit, if those may be sent.
    pub payload_bytes_max: usize,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
}

impl Default for H264PacketizerConfig {
    fn default() -> Self {
        Self { payload_bytes_max: 1_200, message_bytes_max: 4 << 20 }
    }
}

/// Why a message is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PacketizeError {
    /// It is no H.264 in the legacy form, or a command to players.
    #[error("not H.264 in a legacy video message")]
    NotH264,
    /// It is longer than the limit.
    #[error("video message has {bytes} bytes, more than {limit_bytes}")]
    TooLong {
        /// What it has.
        bytes: usize,
        /// What it may have.
        limit_bytes: usize,
    },
    /// One of its NAL units may not be sent in parts, and fits no datagram.
    #[error(
        "NAL unit of {bytes} bytes for a peer that takes no parts; a datagram has room for {WHOLE_UNIT_BYTES_MAX}"
    )]
    TooLongForDatagram {
        /// What it has.
        bytes: usize,
    },
    /// A picture came before a sequence header.
    #[error("picture without a sequence header before it")]
    NoConfiguration,
    /// Its contents make no sense.
    #[error(transparent)]
    Avcc(#[from] AvccError),
}

/// Makes RTP payloads from RTMP video messages.
#[derive(Debug)]
pub struct H264Packetizer {
    config: H264PacketizerConfig,
    configuration: Option<DecoderConfiguration>,
    /// Parameter sets go in front of the next picture, whatever it is.
    repeats_sets: bool,
    /// NAL units may be sent in parts.
    takes_parts: bool,
}

impl H264Packetizer {
    /// A packetizer that has seen no sequence header, for a peer that takes NAL units in parts.
    ///
    /// # Panics
    /// If `payload_bytes_max` leaves no room for a byte of a picture.
    pub fn new(config: H264PacketizerConfig) -> Self {
        assert!(
            config.payload_bytes_max > FU_HEADER_BYTES,
            "a packet has room for a picture's byte"
        );
        Self { config, configuration: None, repeats_sets: false, takes_parts: true }
    }

    /// Whether the peer takes NAL units in parts (packetization mode 1) or whole ones alone (mode 0). Those may be longer than
    /// [`H264PacketizerConfig::payload_bytes_max`]: IP cuts their datagrams then.
    pub fn set_takes_parts(&mut self, takes_parts: bool) {
        self.takes_parts = takes_parts;
    }

    /// Whether a sequence header has come.
    pub fn is_configured(&self) -> bool {
        self.configuration.is_some()
    }

    /// Has the parameter sets sent in front of the next picture, even if it is no key frame.
    pub fn repeat_parameter_sets(&mut self) {
        self.repeats_sets = true;
    }

    /// The packets of a message of time `rtmp_ms` and payload `body`; a sequence header, the end of a
    /// sequence and metadata make none.
    ///
    /// # Errors
    /// Any [`PacketizeError`]; the message is then not sent. After a sequence header that makes no sense
    /// the one before still holds.
    pub fn handle_message(
        &mut self,
        rtmp_ms: u32,
        body: &Bytes,
    ) -> Result<Vec<RtpPayload>, PacketizeError> {
        if body.len() > self.config.message_bytes_max {
            return Err(PacketizeError::TooLong {
                bytes: body.len(),
                limit_bytes: self.config.message_bytes_max,
            });
        }
        let info = video::classify(body)
            .ok()
            .filter(|info| info.codec == Some(VideoCodec::Avc) && !info.enhanced)
            .ok_or(PacketizeError::NotH264)?;
        match info.kind {
            VideoKind::SequenceHeader => {
                let record = body.slice(FLV_HEADER_BYTES..);
                self.configuration = Some(DecoderConfiguration::parse(record)?);
                Ok(Vec::new())
            }
            VideoKind::EndOfSequence | VideoKind::Metadata => Ok(Vec::new()),
            VideoKind::Command => Err(PacketizeError::NotH264),
            VideoKind::Keyframe | VideoKind::Inter | VideoKind::Disposable => {
                let presented_ms = rtmp_ms.wrapping_add_signed(info.composition_ms);
                let units = self.units(body.slice(FLV_HEADER_BYTES..))?;
                self.packets(&units, presented_ms.wrapping_mul(TICKS_PER_MS))
            }
        }
    }

    /// The NAL units to send for an access unit.
    fn units(&mut self, access_unit: Bytes) -> Result<Vec<Bytes>, PacketizeError> {
        let configuration = self.configuration.as_ref().ok_or(PacketizeError::NoConfiguration)?;
        let mut units = configuration.split(access_unit)?;
        units.retain(|unit| is_plain(unit_type(unit[0])));
        let has = |wanted| units.iter().any(|unit| unit_type(unit[0]) == wanted);
        let repeats_sets = !units.is_empty() && std::mem::take(&mut self.repeats_sets);
        if (has(IDR) || repeats_sets) && !has(SPS) {
            // A delimiter begins an access unit; all else comes after the sets it may refer to.
            let at = usize::from(unit_type(units[0][0]) == DELIMITER);
            let sets = configuration.sps.iter().chain(&configuration.pps).cloned();
            units.splice(at..at, sets.filter(|set| !set.is_empty()));
        }
        Ok(units)
    }

    fn packets(&self, units: &[Bytes], timestamp: u32) -> Result<Vec<RtpPayload>, PacketizeError> {
        let whole_bytes_max = match self.takes_parts {
            true => self.config.payload_bytes_max,
            false => WHOLE_UNIT_BYTES_MAX,
        };
        let mut packets = Vec::new();
        let mut push = |payload| packets.push(RtpPayload { payload, timestamp, marker: false });
        for unit in units {
            if unit.len() <= whole_bytes_max {
                push(unit.clone());
                continue;
            }
            if !self.takes_parts {
                return Err(PacketizeError::TooLongForDatagram { bytes: unit.len() });
            }
            let part_bytes = self.config.payload_bytes_max - FU_HEADER_BYTES;
            let mut rest = unit.slice(1..);
            let mut position = FU_START;
            while !rest.is_empty() {
                let part = rest.split_to(part_bytes.min(rest.len()));
                if rest.is_empty() {
                    position |= FU_END;
                }
                let mut payload = BytesMut::with_capacity(FU_HEADER_BYTES + part.len());
                payload.put_u8(unit[0] & IMPORTANCE | FU_A);
                payload.put_u8(position | unit_type(unit[0]));
                payload.put_slice(&part);
                push(payload.freeze());
                position = 0;
            }
        }
        if let Some(last) = packets.last_mut() {
            last.marker = true;
        }
        Ok(packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] =
        b"\x17\0\0\0\0\x01\x42\x00\x1e\xff\xe1\0\x04\x67\x42\x00\x1e\x01\0\x02\x68x";

    fn packetizer() -> H264Packetizer {
        let config = H264PacketizerConfig { payload_bytes_max: 10, message_bytes_max: 100 };
        let mut packetizer = H264Packetizer::new(config);
        assert_eq!(packetizer.handle_message(0, &Bytes::from_static(HEADER)), Ok(vec![]));
        packetizer
    }

    fn message(head: &[u8; 5], units: &[&[u8]]) -> Bytes {
        let mut body = BytesMut::from(&head[..]);
        for unit in units {
            body.put_u32(unit.len() as u32);
            body.put_slice(unit);
        }
        body.freeze()
    }

    fn sent(packetizer: &mut H264Packetizer, head: &[u8; 5], units: &[&[u8]]) -> Vec<RtpPayload> {
        packetizer.handle_message(1_000, &message(head, units)).unwrap()
    }

    fn payloads(packets: &[RtpPayload]) -> Vec<&[u8]> {
        packets.iter().map(|packet| &packet.payload[..]).collect()
    }

    #[test]
    fn parameter_sets_are_repeated_once_in_front_of_any_picture() {
        let mut packetizer = H264Packetizer::new(H264PacketizerConfig::default());
        assert!(!packetizer.is_configured());
        packetizer.handle_message(0, &Bytes::from_static(HEADER)).unwrap();
        assert!(packetizer.is_configured());
        let inter = Bytes::from_static(b"\x27\x01\0\0\0\0\0\0\x02\x41x");
        let mut sent = |ms| packetizer.handle_message(ms, &inter).unwrap();
        assert_eq!(sent(0).len(), 1);
        packetizer.repeat_parameter_sets();
        let mut sent = |ms| packetizer.handle_message(ms, &inter).unwrap();
        let kinds: Vec<u8> = sent(40).iter().map(|packet| packet.payload[0] & 0x1f).collect();
        assert_eq!(kinds, [7, 8, 1]);
        assert_eq!(sent(80).len(), 1);
    }

    #[test]
    fn a_key_frame_has_the_parameter_sets_in_front_and_all_its_units() {
        let units: [&[u8]; 4] = [b"\x09\xf0", b"\x06sei", b"\x65one", b"\x65two"];
        let packets = sent(&mut packetizer(), b"\x17\x01\0\0\0", &units);
        let expected: [&[u8]; 6] =
            [b"\x09\xf0", b"\x67\x42\x00\x1e", b"\x68x", b"\x06sei", b"\x65one", b"\x65two"];
        assert_eq!(payloads(&packets), expected);
        let markers: Vec<_> = packets.iter().map(|packet| packet.marker).collect();
        assert_eq!(markers, [false, false, false, false, false, true]);
    }

    #[test]
    fn sets_in_the_key_frame_itself_are_not_sent_twice() {
        let units: [&[u8]; 3] = [b"\x67\x42\x00\x1f", b"\x68y", b"\x65one"];
        assert_eq!(payloads(&sent(&mut packetizer(), b"\x17\x01\0\0\0", &units)), units);
    }

    #[test]
    fn a_unit_that_is_too_long_is_sent_in_parts() {
        let packets = sent(&mut packetizer(), b"\x27\x01\0\0\0", &[b"\x41abcdefgh12345678xyz"]);
        let expected: [&[u8]; 3] = [b"\x5c\x81abcdefgh", b"\x5c\x0112345678", b"\x5c\x41xyz"];
        assert_eq!(payloads(&packets), expected);
        let whole = sent(&mut packetizer(), b"\x27\x01\0\0\0", &[b"\x41abcdefghi"]);
        assert_eq!(payloads(&whole), [b"\x41abcdefghi"]);
    }

    #[test]
    fn a_peer_that_takes_no_parts_gets_each_unit_whole_as_far_as_a_datagram_has_room() {
        let config = H264PacketizerConfig { payload_bytes_max: 10, message_bytes_max: 1 << 20 };
        let mut packetizer = H264Packetizer::new(config);
        packetizer.handle_message(0, &Bytes::from_static(HEADER)).unwrap();
        packetizer.set_takes_parts(false);
        let unit = [0x41; WHOLE_UNIT_BYTES_MAX];
        assert_eq!(payloads(&sent(&mut packetizer, b"\x27\x01\0\0\0", &[&unit])), [&unit]);
        let longer = [0x41; WHOLE_UNIT_BYTES_MAX + 1];
        let longer = packetizer.handle_message(0, &message(b"\x27\x01\0\0\0", &[&longer]));
        assert_eq!(longer, Err(PacketizeError::TooLongForDatagram { bytes: 65_496 }));
    }

    #[test]
    fn timestamps_are_times_of_presentation() {
        let mut packetizer = packetizer();
        let mut timestamp = |head| sent(&mut packetizer, head, &[b"\x41x"])[0].timestamp;
        assert_eq!(timestamp(b"\x27\x01\0\0\x28"), 1_040 * 90);
        assert_eq!(timestamp(b"\x27\x01\xff\xff\xf6"), 990 * 90);
    }

    #[test]
    fn units_that_mean_something_else_in_rtp_are_left_out() {
        let units: [&[u8]; 3] = [b"\x78\0\x01x", b"\x41x", b"\x40x"];
        assert_eq!(payloads(&sent(&mut packetizer(), b"\x27\x01\0\0\0", &units)), [b"\x41x"]);
    }

    #[test]
    fn what_cannot_be_sent_says_why() {
        let mut packetizer = H264Packetizer::new(H264PacketizerConfig::default());
        let mut error = |body: &'static [u8]| {
            packetizer.handle_message(0, &Bytes::from_static(body)).unwrap_err()
        };
        assert_eq!(error(b"\x17\x01\0\0\0\0\0\0\x01\x65"), PacketizeError::NoConfiguration);
        assert_eq!(error(b"\x12x"), PacketizeError::NotH264);
        assert_eq!(error(b""), PacketizeError::NotH264);
        assert_eq!(error(&HEADER[..12]), PacketizeError::Avcc(AvccError::Truncated));
        assert_eq!(error(b"\x90avc1\x01"), PacketizeError::NotH264);
        let long = super::tests::packetizer().handle_message(0, &Bytes::from(vec![0x27; 101]));
        assert_eq!(long, Err(PacketizeError::TooLong { bytes: 101, limit_bytes: 100 }));
    }
}
