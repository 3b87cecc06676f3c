//! H.264 of RTP packets as RTMP video messages (RFC 6184, packetization modes 0 and 1).
//!
//! Packets come in order, without duplicates. An access unit is all of one timestamp up to the marker.
//! Nothing is delivered before the parameter sets and a key frame are there, nor after a loss until the
//! next key frame: pictures that refer to what is not there would look broken for long.
//!
//! Pictures are taken to be decoded in the order in which they are shown, as in calls they are.

use std::{mem, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    h264::{
        DELIMITER, FU_A, FU_END, FU_START, IDR, IMPORTANCE, PPS, SEI, SPS, STAP_A, is_picture,
        is_plain, unit_type,
    },
    parameter_sets::{ParameterSets, described_sets},
};

const KEY_AVC: u8 = 0x17;
const INTER_AVC: u8 = 0x27;
const UNITS: u8 = 1;
/// Frame type and codec, packet type, composition time.
const FLV_HEADER_BYTES: usize = 5;
const LENGTH_BYTES: usize = 4;

/// What a peer may have kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepacketizerConfig {
    /// Longest access unit, in bytes as a message.
    pub access_unit_bytes_max: usize,
    /// Most sequence and most picture parameter sets; above 31, 31.
    pub parameter_sets_max: usize,
    /// Longest parameter set, in bytes.
    pub parameter_set_bytes_max: usize,
    /// Least time from one request for a key frame to the next, in milliseconds.
    pub keyframe_request_interval_ms: u64,
}

impl Default for DepacketizerConfig {
    fn default() -> Self {
        Self {
            access_unit_bytes_max: 2 << 20,
            parameter_sets_max: 8,
            parameter_set_bytes_max: 1 << 10,
            keyframe_request_interval_ms: 5_000,
        }
    }
}

/// A packet as the jitter buffer lets it go.
#[derive(Debug, Clone, Copy)]
pub struct H264Packet<'a> {
    /// The extended timestamp.
    pub timestamp: u64,
    /// The marker bit.
    pub marker: bool,
    /// Whether packets between the one before and this one are missing for good.
    pub lost_before: bool,
    /// The payload.
    pub payload: &'a [u8],
}

/// What comes of packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoEvent {
    /// The payload of a message that every player needs before the access units which follow.
    SequenceHeader {
        /// The extended timestamp of the access unit that follows.
        timestamp: u64,
        /// The payload.
        body: Bytes,
    },
    /// The payload of a message with a picture.
    AccessUnit {
        /// The extended timestamp.
        timestamp: u64,
        /// Whether players can start at it.
        is_keyframe: bool,
        /// The payload.
        body: Bytes,
    },
    /// The peer is to be asked for a key frame, by RTCP or INFO.
    KeyFrameNeeded,
}

/// Makes RTMP video messages from the RTP packets of one call.
#[derive(Debug)]
pub struct H264Depacketizer {
    config: DepacketizerConfig,
    sets: ParameterSets,
    current: Option<AccessUnit>,
    /// Whether only a key frame can go on.
    awaits_keyframe: bool,
    /// Whether a packet has come: what is lost before the first one, no number tells.
    has_begun: bool,
    asked_at: Option<Duration>,
    dropped_payloads: u64,
    dropped_access_units: u64,
}

#[derive(Debug)]
struct AccessUnit {
    timestamp: u64,
    /// The message: room for its header, then NAL units behind their lengths.
    body: BytesMut,
    has_picture: bool,
    is_keyframe: bool,
    /// Something of it is missing, or too much.
    is_broken: bool,
    /// Where the length of a NAL unit stands, of which parts are still to come.
    open_unit: Option<usize>,
}

impl AccessUnit {
    fn new(timestamp: u64) -> Self {
        Self {
            timestamp,
            body: BytesMut::zeroed(FLV_HEADER_BYTES),
            has_picture: false,
            is_keyframe: false,
            is_broken: false,
            open_unit: None,
        }
    }

    fn put(&mut self, bytes: &[u8], bytes_max: usize) {
        if self.body.len() + bytes.len() > bytes_max {
            self.is_broken = true;
        }
        // What is broken is not delivered, and need not be kept.
        if !self.is_broken {
            self.body.put_slice(bytes);
        }
    }

    fn note_picture(&mut self, unit_type: u8) {
        self.has_picture |= is_picture(unit_type);
        self.is_keyframe |= unit_type == IDR;
    }
}

impl H264Depacketizer {
    /// A depacketizer that has seen nothing.
    pub fn new(config: DepacketizerConfig) -> Self {
        Self {
            sets: ParameterSets::new(config.parameter_sets_max, config.parameter_set_bytes_max),
            config,
            current: None,
            awaits_keyframe: true,
            has_begun: false,
            asked_at: None,
            dropped_payloads: 0,
            dropped_access_units: 0,
        }
    }

    /// Payloads and parameter sets that make no sense, are of kinds not carried, or beyond a limit.
    pub fn dropped_payloads(&self) -> u64 {
        self.dropped_payloads
    }

    /// Access units that were not delivered: incomplete, too long, or in wait of a key frame.
    pub fn dropped_access_units(&self) -> u64 {
        self.dropped_access_units
    }

    /// Parameter sets that the peer has described instead of sending them, or besides (RFC 6184 §8.1); those in its stream count
    /// for more from when they come.
    pub fn describe(&mut self, parameters: &str) {
        for unit in described_sets(parameters) {
            let is_set =
                unit.first().is_some_and(|header| [SPS, PPS].contains(&unit_type(*header)));
            if !is_set || !self.sets.put(&unit) {
                self.dropped_payloads += 1;
            }
        }
    }

    /// Begins anew, with another SSRC or another publish: the sequence header is told again, in front of
    /// the next key frame.
    pub fn restart(&mut self) {
        self.current = None;
        self.awaits_keyframe = true;
        self.has_begun = false;
        self.sets.tell_again();
    }

    /// What comes of a packet at `now`, in order.
    pub fn handle_packet(&mut self, now: Duration, packet: H264Packet<'_>) -> Vec<VideoEvent> {
        let mut events = Vec::new();
        if let Some(mut before) =
            self.current.take_if(|current| current.timestamp != packet.timestamp)
        {
            // Its end may be among what is lost.
            before.is_broken |= packet.lost_before;
            self.finish(now, before, &mut events);
        }
        let begun = self.current.take();
        let is_new = begun.is_none();
        let mut unit = begun.unwrap_or_else(|| AccessUnit::new(packet.timestamp));
        if packet.lost_before {
            self.awaits_keyframe = true;
            unit.is_broken |= !(is_new && begins_access_unit(packet.payload));
            self.ask(now, &mut events);
        }
        if !mem::replace(&mut self.has_begun, true) {
            unit.is_broken |= !may_be_first(packet.payload);
        }
        if !self.take_payload(packet.payload, &mut unit) {
            self.dropped_payloads += 1;
        }
        if packet.marker {
            self.finish(now, unit, &mut events);
        } else {
            self.current = Some(unit);
        }
        events
    }

    /// Whether the payload was of use.
    fn take_payload(&mut self, payload: &[u8], unit: &mut AccessUnit) -> bool {
        let Some((&header, rest)) = payload.split_first() else { return false };
        if unit_type(header) == FU_A {
            return self.take_part(header, rest, unit);
        }
        if unit.open_unit.take().is_some() {
            unit.is_broken = true;
        }
        match unit_type(header) {
            STAP_A => self.take_several(rest, unit),
            _ => self.take_unit(payload, unit),
        }
    }

    fn take_unit(&mut self, bytes: &[u8], unit: &mut AccessUnit) -> bool {
        match unit_type(bytes[0]) {
            SPS | PPS => self.sets.put(bytes),
            plain if is_plain(plain) => {
                unit.note_picture(plain);
                unit.put(&(bytes.len() as u32).to_be_bytes(), self.config.access_unit_bytes_max);
                unit.put(bytes, self.config.access_unit_bytes_max);
                true
            }
            _ => false,
        }
    }

    /// RFC 6184 §5.7.1.
    fn take_several(&mut self, mut rest: &[u8], unit: &mut AccessUnit) -> bool {
        let mut all_taken = true;
        while !rest.is_empty() {
            let Some(bytes) = rest.try_get_u16().ok().and_then(|length| {
                let (bytes, after) = rest.split_at_checked(length.into())?;
                rest = after;
                Some(bytes)
            }) else {
                unit.is_broken = true;
                return false;
            };
            all_taken &= !bytes.is_empty() && self.take_unit(bytes, unit);
        }
        all_taken
    }

    /// RFC 6184 §5.8.
    fn take_part(&mut self, indicator: u8, rest: &[u8], unit: &mut AccessUnit) -> bool {
        let bytes_max = self.config.access_unit_bytes_max;
        let Some((&position, part)) = rest.split_first() else {
            unit.is_broken = true;
            return false;
        };
        let plain = unit_type(position);
        if position & FU_START != 0 {
            unit.is_broken |= unit.open_unit.is_some() || !is_plain(plain);
            unit.open_unit = Some(unit.body.len());
            unit.put(&[0; LENGTH_BYTES], bytes_max);
            unit.put(&[indicator & IMPORTANCE | plain], bytes_max);
        }
        let Some(start) = unit.open_unit else {
            unit.is_broken = true;
            return false;
        };
        unit.put(part, bytes_max);
        if unit.is_broken {
            return is_plain(plain);
        }
        if position & FU_END != 0 {
            unit.open_unit = None;
            // The type of the first part is the one that counts, as its header is what was written.
            let plain = unit_type(unit.body[start + LENGTH_BYTES]);
            if plain == SPS || plain == PPS {
                let set = unit.body.split_off(start);
                return self.sets.put(&set[LENGTH_BYTES..]);
            }
            unit.note_picture(plain);
            let length = (unit.body.len() - start - LENGTH_BYTES) as u32;
            unit.body[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        }
        true
    }

    fn finish(&mut self, now: Duration, mut unit: AccessUnit, events: &mut Vec<VideoEvent>) {
        if unit.is_broken || unit.open_unit.is_some() {
            self.awaits_keyframe = true;
        } else if !unit.has_picture {
            return;
        } else if unit.is_keyframe && self.sets.are_complete() {
            self.awaits_keyframe = false;
        }
        if self.awaits_keyframe {
            self.dropped_access_units += 1;
            self.ask(now, events);
            return;
        }
        let timestamp = unit.timestamp;
        if let Some(body) = self.sets.poll_header() {
            events.push(VideoEvent::SequenceHeader { timestamp, body });
        }
        unit.body[0] = if unit.is_keyframe { KEY_AVC } else { INTER_AVC };
        unit.body[1] = UNITS;
        let body = mem::take(&mut unit.body).freeze();
        events.push(VideoEvent::AccessUnit { timestamp, is_keyframe: unit.is_keyframe, body });
    }

    fn ask(&mut self, now: Duration, events: &mut Vec<VideoEvent>) {
        let interval = Duration::from_millis(self.config.keyframe_request_interval_ms);
        if self.asked_at.is_none_or(|asked_at| now.saturating_sub(asked_at) >= interval) {
            self.asked_at = Some(now);
            events.push(VideoEvent::KeyFrameNeeded);
        }
    }
}

/// Whether nothing of an access unit can come before this payload.
fn begins_access_unit(payload: &[u8]) -> bool {
    let begins = |header: &u8| matches!(unit_type(*header), SPS | DELIMITER);
    match payload.first() {
        Some(header) if unit_type(*header) == STAP_A => payload.get(3).is_some_and(begins),
        first => first.is_some_and(begins),
    }
}

/// Whether a payload may be the first of an access unit: what stands in front of slices, or the slice of a picture's first macroblock
/// (H.264 §7.4.1.2.3, §7.3.3).
fn may_be_first(payload: &[u8]) -> bool {
    let (header, rest) = match payload {
        [header, rest @ ..] if unit_type(*header) == STAP_A => match rest {
            [_, _, first, rest @ ..] => (*first, rest),
            _ => return false,
        },
        [header, position, rest @ ..] if unit_type(*header) == FU_A => match position & FU_START {
            0 => return false,
            _ => (*position, rest),
        },
        [header, rest @ ..] => (*header, rest),
        [] => return false,
    };
    // An unsigned Exp-Golomb number that begins with a one is zero.
    let is_of_first_macroblock = || rest.first().is_some_and(|byte| byte & 0x80 != 0);
    match unit_type(header) {
        SEI | SPS | PPS | DELIMITER => true,
        unit_type => !is_picture(unit_type) || is_of_first_macroblock(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS_UNIT: &[u8] = b"\x67\x42\x00\x1e\x80";
    const PPS_UNIT: &[u8] = b"\x68\x80";

    struct Call {
        depacketizer: H264Depacketizer,
        now: Duration,
    }

    impl Call {
        fn new() -> Self {
            let config =
                DepacketizerConfig { access_unit_bytes_max: 100, ..DepacketizerConfig::default() };
            Self { depacketizer: H264Depacketizer::new(config), now: Duration::ZERO }
        }

        /// One that has delivered a key frame.
        fn running() -> Self {
            let mut call = Self::new();
            for payload in [SPS_UNIT, PPS_UNIT] {
                assert_eq!(call.packet(0, false, payload), []);
            }
            let events = call.packet(0, true, b"\x65key");
            assert!(matches!(
                events[..],
                [
                    VideoEvent::SequenceHeader { .. },
                    VideoEvent::AccessUnit { is_keyframe: true, .. }
                ]
            ));
            call
        }

        fn packet(&mut self, timestamp: u64, marker: bool, payload: &[u8]) -> Vec<VideoEvent> {
            let packet = H264Packet { timestamp, marker, lost_before: false, payload };
            self.depacketizer.handle_packet(self.now, packet)
        }

        fn packet_after_loss(&mut self, timestamp: u64, payload: &[u8]) -> Vec<VideoEvent> {
            let packet = H264Packet { timestamp, marker: true, lost_before: true, payload };
            self.depacketizer.handle_packet(self.now, packet)
        }
    }

    fn inter(timestamp: u64, body: &'static [u8]) -> VideoEvent {
        let body = Bytes::from_static(body);
        VideoEvent::AccessUnit { timestamp, is_keyframe: false, body }
    }

    #[test]
    fn slices_of_one_time_are_one_message_up_to_the_marker() {
        let mut call = Call::running();
        assert_eq!(call.packet(9, false, b"\x41one"), []);
        assert_eq!(
            call.packet(9, true, b"\x41two"),
            [inter(9, b"\x27\x01\0\0\0\0\0\0\x04\x41one\0\0\0\x04\x41two")]
        );
    }

    #[test]
    fn another_time_ends_a_picture_whose_marker_was_not_set() {
        let mut call = Call::running();
        assert_eq!(call.packet(9, false, b"\x41x"), []);
        assert_eq!(call.packet(10, false, b"\x41y"), [inter(9, b"\x27\x01\0\0\0\0\0\0\x02\x41x")]);
    }

    #[test]
    fn parts_and_aggregates_are_put_together_and_taken_apart() {
        let mut call = Call::running();
        assert_eq!(call.packet(9, false, b"\x5c\x81ab"), []);
        assert_eq!(call.packet(9, false, b"\x5c\x01cd"), []);
        assert_eq!(
            call.packet(9, true, b"\x5c\x41e"),
            [inter(9, b"\x27\x01\0\0\0\0\0\0\x06\x41abcde")]
        );
        assert_eq!(
            call.packet(12, true, b"\x78\0\x02\x06s\0\x02\x41x"),
            [inter(12, b"\x27\x01\0\0\0\0\0\0\x02\x06s\0\0\0\x02\x41x")]
        );
    }

    #[test]
    fn the_header_is_told_again_only_when_the_sets_change() {
        let mut call = Call::running();
        call.packet(5, false, SPS_UNIT);
        call.packet(5, false, PPS_UNIT);
        assert_eq!(call.packet(5, true, b"\x65key").len(), 1);
        // In parts, to be thorough.
        call.packet(6, false, b"\x7c\x88");
        call.packet(6, false, b"\x7c\x48\x81");
        let events = call.packet(6, true, b"\x65key");
        assert!(
            matches!(&events[0], VideoEvent::SequenceHeader { timestamp: 6, body } if body.ends_with(b"\x68\x81"))
        );
        assert!(
            matches!(&events[1], VideoEvent::AccessUnit { body, .. } if body.len() == 5 + 4 + 4)
        );
        call.depacketizer.restart();
        assert_eq!(call.packet(7, true, b"\x41x"), [VideoEvent::KeyFrameNeeded]);
        assert_eq!(call.packet(8, true, b"\x65key").len(), 2, "to a new publish it is told again");
    }

    #[test]
    fn nothing_is_delivered_before_sets_and_key_frame() {
        let mut call = Call::new();
        assert_eq!(call.packet(0, true, b"\x65key"), [VideoEvent::KeyFrameNeeded]);
        call.packet(1, true, SPS_UNIT);
        call.packet(1, true, PPS_UNIT);
        assert_eq!(call.packet(2, true, b"\x41x"), []);
        assert_eq!(call.packet(3, true, b"\x65key").len(), 2);
        assert_eq!(call.depacketizer.dropped_access_units(), 2);
    }

    #[test]
    fn sets_that_were_described_will_do_until_others_come() {
        let mut call = Call::new();
        call.depacketizer.describe(
            "profile-level-id=42001e; Sprop-Parameter-Sets=Z0IAHoA=,aIA=;packetization-mode=1",
        );
        let events = call.packet(0, true, b"\x65\x88ey");
        assert!(
            matches!(&events[0], VideoEvent::SequenceHeader { body, .. } if body.ends_with(b"\x67\x42\x00\x1e\x80\x01\0\x02\x68\x80"))
        );
        assert_eq!(events.len(), 2);
        call.packet(1, false, b"\x68\x81");
        assert_eq!(call.packet(1, true, b"\x65key").len(), 2, "another one came");
        call.depacketizer.describe("sprop-parameter-sets=ZQA=,!,,aIA");
        assert_eq!(call.depacketizer.dropped_payloads(), 1, "a picture is no set");
    }

    #[test]
    fn after_a_loss_a_key_frame_is_asked_for_at_most_once_an_interval() {
        let mut call = Call::running();
        assert_eq!(call.packet_after_loss(9, b"\x41x"), [VideoEvent::KeyFrameNeeded]);
        call.now = Duration::from_millis(4_999);
        assert_eq!(call.packet(10, true, b"\x41x"), []);
        call.now = Duration::from_millis(5_000);
        assert_eq!(call.packet(11, true, b"\x41x"), [VideoEvent::KeyFrameNeeded]);
        assert_eq!(call.packet(12, true, b"\x65key").len(), 1);
        assert_eq!(call.packet(13, true, b"\x41x").len(), 1);
    }

    #[test]
    fn a_key_frame_is_complete_only_if_its_beginning_is_seen() {
        let mut call = Call::running();
        assert_eq!(call.packet_after_loss(9, b"\x65rest"), [VideoEvent::KeyFrameNeeded]);
        let whole = b"\x78\0\x05\x67\x42\x00\x1e\x80\0\x02\x65k";
        assert_eq!(call.packet_after_loss(10, whole).len(), 1);
    }

    #[test]
    fn a_picture_whose_first_slice_nobody_has_seen_is_not_whole() {
        let second =
            [&b"\x65\x48k"[..], b"\x7c\x05\x88k", b"\x7c\x85\x48k", b"\x78\0\x03\x65\x48k"];
        for payload in second {
            let mut call = Call::new();
            call.depacketizer.describe("sprop-parameter-sets=Z0IAHoA=,aIA=");
            call.packet(0, false, payload);
            assert_eq!(call.packet(0, true, b"\x65\x48y"), [VideoEvent::KeyFrameNeeded]);
            assert_eq!(call.packet(1, true, b"\x65\x88y").len(), 2, "the next one is");
        }
    }

    #[test]
    fn a_loss_spoils_the_picture_before_if_it_has_no_end() {
        let mut call = Call::running();
        call.packet(9, false, b"\x41x");
        assert_eq!(call.packet_after_loss(10, b"\x41y"), [VideoEvent::KeyFrameNeeded]);
        assert_eq!(call.depacketizer.dropped_access_units(), 2);
    }

    #[test]
    fn parts_without_their_others_spoil_a_picture() {
        for payloads in [
            [&b"\x5c\x01b"[..], b"\x5c\x41c"],
            [b"\x5c\x81a", b"\x41x"],
            [b"\x5c\x81a", b"\x5c\x01b"],
            [b"\x5c\x81a", b"\x5c\xc1b"],
            [b"\x5c", b"\x41x"],
            [b"\x78\0\x09\x41", b"\x41x"],
        ] {
            let mut call = Call::running();
            call.packet(9, false, payloads[0]);
            assert_eq!(call.packet(9, true, payloads[1]), [VideoEvent::KeyFrameNeeded]);
        }
    }

    #[test]
    fn what_is_too_long_or_of_another_kind_is_dropped() {
        let mut call = Call::running();
        assert_eq!(call.packet(9, false, &[0x41; 60]), []);
        assert_eq!(call.packet(9, true, &[0x41; 40]), [VideoEvent::KeyFrameNeeded]);
        let mut call = Call::running();
        for payload in [&b"\x59\0\0x"[..], b"\x5d\x81", b"\x40x", b"\x5f", b""] {
            call.packet(9, false, payload);
        }
        assert_eq!(call.depacketizer.dropped_payloads(), 5);
    }
}
