//! Which datagrams are RTP of the agreed payload types. What a packet means for its stream is decided after.

use std::{collections::BTreeMap, iter};

use bytes::Bytes;
use rtp_types::{RtpPacket, RtpParseError};
use thiserror::Error;

/// Payload types have seven bits.
const PAYLOAD_TYPE_MAX: u8 = 127;

/// Why a set of payload types cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PayloadTypesError {
    /// A payload type above 127.
    #[error("payload type {0} does not fit into seven bits")]
    TooGreat(u8),
    /// A clock of 0 Hz.
    #[error("payload type {0} has no clock rate")]
    NoClock(u8),
}

/// Payload types of telephone events (RFC 4733), each with its clock rate in Hz.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTypes {
    /// What they are sent with: a number of the peer's.
    pub sent: (u8, u32),
    /// What they are received with.
    pub received: Vec<(u8, u32)>,
}

/// Payload types that the two sides have agreed on, with their clock rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadTypes {
    /// What media are sent with.
    sent: (u8, u32),
    /// Of media and of events that are received.
    clock_rates: BTreeMap<u8, u32>,
    events: Option<EventTypes>,
}

impl PayloadTypes {
    /// Pairs of payload type and clock rate in Hz: that of media that are sent, those of media that are received, and those of
    /// telephone events. What media are sent with is received, too, unless that number means something else here.
    ///
    /// # Errors
    /// Whatever [`PayloadTypesError`] says.
    pub fn new(
        sent: (u8, u32),
        received: impl IntoIterator<Item = (u8, u32)>,
        events: Option<EventTypes>,
    ) -> Result<Self, PayloadTypesError> {
        let of_events = events.iter().flat_map(|events| &events.received).copied();
        let received = received.into_iter().chain(of_events);
        let clock_rates: BTreeMap<u8, u32> = iter::once(sent).chain(received).collect();
        let all_sent = iter::once(sent).chain(events.iter().map(|events| events.sent));
        for (payload_type, clock_rate) in clock_rates.clone().into_iter().chain(all_sent) {
            if payload_type > PAYLOAD_TYPE_MAX {
                return Err(PayloadTypesError::TooGreat(payload_type));
            }
            if clock_rate == 0 {
                return Err(PayloadTypesError::NoClock(payload_type));
            }
        }
        Ok(Self { sent, clock_rates, events })
    }

    /// Clock rate in Hz of a payload type that media are sent with, if it was agreed on.
    pub fn sent_clock_rate(&self, payload_type: u8) -> Option<u32> {
        (self.sent.0 == payload_type).then_some(self.sent.1)
    }

    /// Clock rate in Hz of a payload type that is received, if it was agreed on.
    pub fn clock_rate(&self, payload_type: u8) -> Option<u32> {
        self.clock_rates.get(&payload_type).copied()
    }

    /// What telephone events are sent with, and its clock rate in Hz, if they were agreed on.
    pub fn sent_events(&self) -> Option<(u8, u32)> {
        self.events.as_ref().map(|events| events.sent)
    }

    /// Whether packets of a payload type are telephone events.
    pub fn are_events(&self, payload_type: u8) -> bool {
        let mut received = self.events.iter().flat_map(|events| &events.received);
        received.any(|(events, _)| *events == payload_type)
    }
}

/// Why a datagram is no packet of the line.
#[derive(Debug, Error)]
pub enum PacketError {
    /// It is no RTP: version, header, extension or padding do not fit its length (RFC 3550 A.1).
    #[error(transparent)]
    Malformed(#[from] RtpParseError),
    /// A payload type that was not agreed on.
    #[error("payload type {0} was not agreed on")]
    PayloadType(u8),
    /// A payload above the limit.
    #[error("payload of {length_bytes} bytes, the limit is {limit_bytes}")]
    TooLong {
        /// Length of the payload.
        length_bytes: usize,
        /// The limit in force.
        limit_bytes: usize,
    },
}

/// A valid packet, numbered as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sends the stream.
    pub ssrc: u32,
    /// Number of the packet, modulo 2^16.
    pub sequence: u16,
    /// Media time in units of `clock_rate`, modulo 2^32.
    pub timestamp: u32,
    /// Clock rate of the payload type, Hz.
    pub clock_rate: u32,
    /// Begin of a talkspurt in audio, end of a frame in video.
    pub marker: bool,
    /// Format of the payload.
    pub payload_type: u8,
    /// The media, without padding.
    pub payload: Bytes,
}

impl Packet {
    /// Reads a datagram. Contributing sources and header extensions are skipped.
    ///
    /// # Errors
    /// Whatever [`PacketError`] says.
    pub fn parse(
        datagram: &[u8],
        types: &PayloadTypes,
        limit_bytes: usize,
    ) -> Result<Self, PacketError> {
        let packet = RtpPacket::parse(datagram)?;
        let payload_type = packet.payload_type();
        let clock_rate =
            types.clock_rate(payload_type).ok_or(PacketError::PayloadType(payload_type))?;
        let length_bytes = packet.payload_len();
        if length_bytes > limit_bytes {
            return Err(PacketError::TooLong { length_bytes, limit_bytes });
        }
        Ok(Self {
            ssrc: packet.ssrc(),
            sequence: packet.sequence_number(),
            timestamp: packet.timestamp(),
            clock_rate,
            marker: packet.marker_bit(),
            payload_type,
            payload: Bytes::copy_from_slice(packet.payload()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(sent: u8, received: u8) -> EventTypes {
        EventTypes { sent: (sent, 8_000), received: vec![(received, 8_000)] }
    }

    fn types() -> PayloadTypes {
        PayloadTypes::new((0, 8_000), [], Some(events(101, 101))).unwrap()
    }

    /// PCMU, sequence 2, timestamp 3, SSRC 4, two bytes.
    const PLAIN: [u8; 14] = [0x80, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0xaa, 0xbb];

    #[test]
    fn a_packet_is_read_field_by_field() {
        let packet = Packet::parse(&PLAIN, &types(), 2).unwrap();
        let expected = Packet {
            ssrc: 4,
            sequence: 2,
            timestamp: 3,
            clock_rate: 8_000,
            marker: false,
            payload_type: 0,
            payload: Bytes::from_static(&[0xaa, 0xbb]),
        };
        assert_eq!(packet, expected);
    }

    #[test]
    fn padding_extension_and_contributing_sources_are_no_payload() {
        let mut bytes = vec![0x80 | 0x20 | 0x10 | 1, 0x80, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        bytes.extend([0, 0, 0, 9]);
        bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        bytes.extend([0xaa, 0, 0, 3]);
        let packet = Packet::parse(&bytes, &types(), 100).unwrap();
        assert_eq!(packet.payload, [0xaa].as_slice());
        assert!(packet.marker);
    }

    #[test]
    fn what_is_no_packet_of_the_line_is_refused() {
        let parse = |bytes: &[u8]| Packet::parse(bytes, &types(), 2);
        assert!(matches!(parse(&PLAIN[..11]), Err(PacketError::Malformed(_))), "short header");
        let change = |at: usize, byte: u8| {
            let mut bytes = PLAIN;
            bytes[at] = byte;
            bytes
        };
        assert!(matches!(parse(&change(0, 0x40)), Err(PacketError::Malformed(_))), "version 1");
        assert!(matches!(parse(&change(0, 0x8f)), Err(PacketError::Malformed(_))), "15 sources");
        assert!(matches!(parse(&change(0, 0x90)), Err(PacketError::Malformed(_))), "extension");
        assert!(matches!(parse(&change(0, 0xa0)), Err(PacketError::Malformed(_))), "187 padding");
        assert!(matches!(parse(&change(1, 96)), Err(PacketError::PayloadType(96))));
        let long = [&PLAIN[..], &[0]].concat();
        assert!(matches!(
            parse(&long),
            Err(PacketError::TooLong { length_bytes: 3, limit_bytes: 2 })
        ));
    }

    #[test]
    fn payload_types_that_make_no_sense_are_refused() {
        let new = |sent, received: &[(u8, u32)], events| {
            PayloadTypes::new(sent, received.iter().copied(), events)
        };
        let g711 = (0, 8_000);
        assert_eq!(new((128, 8_000), &[], None), Err(PayloadTypesError::TooGreat(128)));
        assert_eq!(new((0, 0), &[], None), Err(PayloadTypesError::NoClock(0)));
        assert_eq!(new(g711, &[(9, 0)], None), Err(PayloadTypesError::NoClock(9)));
        let events = |sent, received| Some(EventTypes { sent, received: vec![received] });
        let wrong = new(g711, &[], events((129, 8_000), (101, 8_000)));
        assert_eq!(wrong, Err(PayloadTypesError::TooGreat(129)));
        let wrong = new(g711, &[], events((101, 8_000), (101, 0)));
        assert_eq!(wrong, Err(PayloadTypesError::NoClock(101)));
    }
}
