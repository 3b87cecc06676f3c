//! Audio messages of any length as RTP packets (RFC 3551 §4.5.14, RFC 5574).
//!
//! G.711 is cut into packets of equal length. A publisher's milliseconds are rounded, so its samples are
//! counted as long as its times agree with the count; where they jump, the timestamps jump with them.
//! Speex goes as it comes, a message a packet.

use bytes::{Bytes, BytesMut};

use super::{AudioFormat, RtpPayload, from_flv, narrowed};
use crate::sdp::Codec;

/// Samples of G.711 in a millisecond, each of one byte.
const G711_PER_MS: u32 = 8;

/// How audio is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioPacketizerConfig {
    /// Audio in a packet of G.711, in milliseconds, at least 1.
    pub packet_ms: u32,
    /// How far a message's time may be from where the last one ended, in milliseconds.
    pub jump_ms: u32,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
}

impl Default for AudioPacketizerConfig {
    fn default() -> Self {
        Self { packet_ms: 20, jump_ms: 40, message_bytes_max: 16 << 10 }
    }
}

/// Makes RTP payloads of one codec from RTMP audio messages.
#[derive(Debug)]
pub struct AudioPacketizer {
    config: AudioPacketizerConfig,
    codec: Codec,
    /// G.711 that fills no packet yet.
    remainder: Bytes,
    /// The timestamp of the next sample to come; `None` before the first.
    next: Option<u32>,
    /// Whether the next packet of G.711 does not go on from the one before.
    begins: bool,
    dropped_messages: u64,
}

impl AudioPacketizer {
    /// For what the peer was told to expect.
    ///
    /// # Panics
    /// If `codec` is no audio or `packet_ms` is 0.
    pub fn new(codec: Codec, config: AudioPacketizerConfig) -> Self {
        assert!(AudioFormat::of(codec).is_some(), "{codec} is no audio");
        assert!(config.packet_ms > 0, "a packet has a length");
        Self {
            config,
            codec,
            remainder: Bytes::new(),
            next: None,
            begins: true,
            dropped_messages: 0,
        }
    }

    /// The timestamp of the next packet, for digits in between; `None` before the first.
    pub fn timestamp(&self) -> Option<u32> {
        Some(self.next?.wrapping_sub(self.remainder.len() as u32))
    }

    /// Messages of another codec, too long ones, and Speex that cannot be narrowed. Silence is none.
    pub fn dropped_messages(&self) -> u64 {
        self.dropped_messages
    }

    /// The packets that are complete with a message of time `rtmp_ms` and payload `body`.
    pub fn handle_message(&mut self, rtmp_ms: u32, body: &Bytes) -> Vec<RtpPayload> {
        if body.len() <= 1 {
            return Vec::new();
        }
        let carried = from_flv(body)
            .filter(|_| body.len() <= self.config.message_bytes_max)
            .filter(|(format, _)| Some(*format) == AudioFormat::of(self.codec));
        let packets = carried.and_then(|(format, payload)| match format {
            AudioFormat::Pcma | AudioFormat::Pcmu => Some(self.cut(rtmp_ms, payload)),
            AudioFormat::Speex => self.whole(rtmp_ms, payload).map(|packet| vec![packet]),
        });
        packets.unwrap_or_else(|| {
            self.dropped_messages += 1;
            Vec::new()
        })
    }

    fn whole(&mut self, rtmp_ms: u32, payload: Bytes) -> Option<RtpPayload> {
        let payload = if self.codec == Codec::Narrowband { narrowed(&payload)? } else { payload };
        let timestamp = rtmp_ms.wrapping_mul(self.codec.clock_rate_hz() / 1_000);
        let jump = self.config.jump_ms * (self.codec.clock_rate_hz() / 1_000);
        let frame = self.codec.clock_rate_hz() / 50;
        let marker = self.next.is_none_or(|next| is_beyond(timestamp, next, jump));
        self.next = Some(timestamp.wrapping_add(frame));
        Some(RtpPayload { payload, timestamp, marker })
    }

    fn cut(&mut self, rtmp_ms: u32, mut payload: Bytes) -> Vec<RtpPayload> {
        let packet_bytes = (self.config.packet_ms * G711_PER_MS) as usize;
        let mut packets = Vec::new();
        let told = rtmp_ms.wrapping_mul(G711_PER_MS);
        let jump = self.config.jump_ms * G711_PER_MS;
        let next = self.next.filter(|next| !is_beyond(told, *next, jump));
        if next.is_none() {
            if let Some(old) = self.next.filter(|_| !self.remainder.is_empty()) {
                let rest = std::mem::take(&mut self.remainder);
                let timestamp = old.wrapping_sub(rest.len() as u32);
                packets.push(RtpPayload { payload: rest, timestamp, marker: self.begins });
            }
            self.begins = true;
        }
        let start = next.unwrap_or(told);
        let mut timestamp = start.wrapping_sub(self.remainder.len() as u32);
        self.next = Some(start.wrapping_add(payload.len() as u32));
        while self.remainder.len() + payload.len() >= packet_bytes {
            let rest = std::mem::take(&mut self.remainder);
            let part = payload.split_to(packet_bytes - rest.len());
            let marker = std::mem::take(&mut self.begins);
            packets.push(RtpPayload { payload: joined(rest, part), timestamp, marker });
            timestamp = timestamp.wrapping_add(packet_bytes as u32);
        }
        self.remainder = joined(std::mem::take(&mut self.remainder), payload);
        packets
    }
}

/// Whether two timestamps are more than `ticks` apart, either way around.
fn is_beyond(one: u32, other: u32, ticks: u32) -> bool {
    (one.wrapping_sub(other) as i32).unsigned_abs() > ticks
}

/// Two parts as one; copied only where there are two.
fn joined(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(&first);
    both.extend_from_slice(&second);
    both.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::to_flv;

    fn pcmu() -> AudioPacketizer {
        AudioPacketizer::new(Codec::Pcmu, AudioPacketizerConfig::default())
    }

    fn message(len: usize) -> Bytes {
        to_flv(AudioFormat::Pcmu, &vec![7; len])
    }

    /// Length, timestamp and marker of each packet.
    fn seen(packets: &[RtpPayload]) -> Vec<(usize, u32, bool)> {
        packets.iter().map(|p| (p.payload.len(), p.timestamp, p.marker)).collect()
    }

    #[test]
    fn long_messages_become_packets_of_20_ms_and_the_rest_waits() {
        let mut packetizer = pcmu();
        assert_eq!(
            seen(&packetizer.handle_message(1_000, &message(400))),
            [(160, 8_000, true), (160, 8_160, false)]
        );
        assert_eq!(packetizer.timestamp(), Some(8_320));
        assert_eq!(seen(&packetizer.handle_message(1_050, &message(100))), [(160, 8_320, false)]);
    }

    #[test]
    fn the_bytes_come_out_in_order() {
        let mut packetizer = pcmu();
        let bytes: Vec<u8> = (0..=255).cycle().take(960).collect();
        let mut sent = Vec::new();
        for (index, part) in bytes.chunks(96).enumerate() {
            let body = to_flv(AudioFormat::Pcmu, part);
            for packet in packetizer.handle_message(12 * index as u32, &body) {
                sent.extend_from_slice(&packet.payload);
            }
        }
        assert_eq!(sent, bytes);
    }

    #[test]
    fn rounded_times_do_not_make_timestamps_jitter() {
        let mut packetizer = pcmu();
        let mut timestamps = Vec::new();
        for index in 0..100_u32 {
            // 1,024 samples a message, its time rounded down.
            let packets = packetizer.handle_message(index * 128 - index % 3, &message(1_024));
            timestamps.extend(packets.iter().map(|packet| packet.timestamp));
        }
        assert!(timestamps.windows(2).all(|two| two[1] - two[0] == 160));
    }

    #[test]
    fn a_jump_of_more_than_40_ms_sends_the_rest_and_begins_anew() {
        let mut packetizer = pcmu();
        packetizer.handle_message(0, &message(200));
        assert_eq!(seen(&packetizer.handle_message(65, &message(160))), [(160, 160, false)]);
        assert_eq!(
            seen(&packetizer.handle_message(86, &message(160))),
            [(40, 320, false), (160, 688, true)]
        );
    }

    #[test]
    fn the_marker_waits_for_the_first_packet_of_short_messages() {
        let mut packetizer = pcmu();
        assert_eq!(packetizer.handle_message(0, &message(80)), []);
        assert_eq!(seen(&packetizer.handle_message(10, &message(80))), [(160, 0, true)]);
    }

    #[test]
    fn a_time_that_goes_back_is_followed() {
        let mut packetizer = pcmu();
        packetizer.handle_message(5_000, &message(160));
        assert_eq!(seen(&packetizer.handle_message(0, &message(160))), [(160, 0, true)]);
    }

    #[test]
    fn timestamps_go_on_across_the_wrap_of_rtmp_times() {
        let mut packetizer = pcmu();
        let first = packetizer.handle_message(u32::MAX - 19, &message(160))[0].timestamp;
        let second = packetizer.handle_message(0, &message(160));
        assert_eq!(seen(&second), [(160, first.wrapping_add(160), false)]);
    }

    #[test]
    fn speex_has_the_time_of_its_message() {
        let wideband = AudioPacketizerConfig::default();
        let mut packetizer = AudioPacketizer::new(Codec::Wideband, wideband);
        let body = to_flv(AudioFormat::Speex, &[0x1d; 20]);
        assert_eq!(seen(&packetizer.handle_message(100, &body)), [(20, 1_600, true)]);
        assert_eq!(seen(&packetizer.handle_message(121, &body)), [(20, 1_936, false)]);
    }

    #[test]
    fn what_cannot_be_carried_is_counted_and_silence_is_not() {
        let mut packetizer = pcmu();
        for body in [&b"\x82"[..], b"", b"\xb2xy", b"\xaf\x01"] {
            assert_eq!(packetizer.handle_message(0, &Bytes::from_static(body)), []);
        }
        packetizer.handle_message(0, &message(16 << 10));
        assert_eq!(packetizer.dropped_messages(), 3);
    }
}
