//! The outgoing stream of one SSRC: numbers packets and stamps them with the media's own time.
//!
//! Timestamps are never counted on from packet to packet: media that was left out, or that came late, must leave its
//! hole in time.

use rtp_types::RtpPacketBuilder;

/// Where a stream begins. RFC 3550 §5.1 wants all three random; the caller brings the entropy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart {
    /// Identifies the stream for as long as it lasts.
    pub ssrc: u32,
    /// Number of the first packet.
    pub sequence: u16,
    /// RTP timestamp of media time 0.
    pub timestamp: u32,
}

/// Writes the headers of one outgoing stream and counts what it sends.
#[derive(Debug)]
pub struct Sender {
    ssrc: u32,
    next_sequence: u16,
    timestamp_base: u32,
    packets: u32,
    octets: u32,
}

impl Sender {
    /// A stream that has sent nothing yet.
    pub fn new(start: StreamStart) -> Self {
        Self {
            ssrc: start.ssrc,
            next_sequence: start.sequence,
            timestamp_base: start.timestamp,
            packets: 0,
            octets: 0,
        }
    }

    /// SSRC of the stream.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Packets sent, modulo 2^32, as sender reports tell (RFC 3550 §6.4.1).
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Bytes of payload sent, without headers, modulo 2^32.
    pub fn octets(&self) -> u32 {
        self.octets
    }

    /// RTP timestamp of a media time, both in units of the RTP clock.
    pub fn timestamp(&self, media_timestamp: u32) -> u32 {
        self.timestamp_base.wrapping_add(media_timestamp)
    }

    /// The next packet. `media_timestamp` is media time in units of the RTP clock, modulo 2^32.
    ///
    /// # Panics
    /// If `payload_type` has more than seven bits.
    pub fn packet(
        &mut self,
        payload_type: u8,
        marker: bool,
        media_timestamp: u32,
        payload: &[u8],
    ) -> Vec<u8> {
        let builder: RtpPacketBuilder<&[u8], &[u8]> = RtpPacketBuilder::new()
            .payload_type(payload_type)
            .marker_bit(marker)
            .sequence_number(self.next_sequence)
            .timestamp(self.timestamp(media_timestamp))
            .ssrc(self.ssrc)
            .payload(payload);
        let packet = builder.write_vec().expect("a payload type of seven bits");
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        packet
    }
}

#[cfg(test)]
mod tests {
    use rtp_types::RtpPacket;

    use super::*;

    #[test]
    fn numbers_go_on_across_the_wrap_and_times_are_those_of_the_media() {
        let start = StreamStart { ssrc: 7, sequence: 65_535, timestamp: u32::MAX - 99 };
        let mut sender = Sender::new(start);
        let mut seen = Vec::new();
        for media_timestamp in [0, 160, 8_000, 8_000] {
            let bytes = sender.packet(8, media_timestamp == 0, media_timestamp, &[1, 2, 3]);
            let packet = RtpPacket::parse(&bytes).unwrap();
            assert_eq!((packet.ssrc(), packet.payload_type()), (7, 8));
            assert_eq!(packet.payload(), [1, 2, 3]);
            seen.push((packet.sequence_number(), packet.timestamp(), packet.marker_bit()));
        }
        let expected =
            [(65_535, u32::MAX - 99, true), (0, 60, false), (1, 7_900, false), (2, 7_900, false)];
        assert_eq!(seen, expected);
        assert_eq!((sender.packets(), sender.octets()), (4, 12));
    }
}
