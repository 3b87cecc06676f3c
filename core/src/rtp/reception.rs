//! One incoming stream: where each packet belongs across the wraps of both counters, and what a report says of it
//! (RFC 3550 A.1, A.3, A.8).
//!
//! Extended numbers of a stream begin above those of the stream before it, so that a line's numbers only
//! grow, whoever sends. Their low 32 bits are what reports carry (sequence) and what is on the wire (timestamp).

use std::time::Duration;

use super::packet::Packet;

/// Sequence numbers this far ahead are loss, not another stream (RFC 3550 A.1, MAX_DROPOUT).
const MAX_DROPOUT: u16 = 3_000;
/// Sequence numbers this far behind are reordering (RFC 3550 A.1, MAX_MISORDER).
const MAX_MISORDER: u16 = 100;
/// Cumulative loss is a signed number of 24 bits (RFC 3550 §6.4.1).
const CUMULATIVE_LOST_MAX: i64 = 0x7f_ffff;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is of the stream.
    Taken {
        /// Extended sequence number.
        ext_sequence: u64,
        /// Extended timestamp.
        ext_timestamp: u64,
        /// Whether a later one came before it.
        reordered: bool,
    },
    /// It was there before.
    Duplicate,
    /// Its number is so far off that it is a straggler, or the sender began anew.
    Far,
}

/// What a report says of a stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceptionReport {
    /// Whose stream.
    pub ssrc: u32,
    /// Share of packets lost since the report before, in 256ths. Duplicates hide losses, as the RFC has it.
    pub fraction_lost: u8,
    /// Packets expected less packets received, duplicates among them: negative if those prevail. Kept to 24 bits.
    pub cumulative_lost: i32,
    /// Highest sequence number with its number of wraps above it.
    pub ext_highest: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
}

/// Numbers and statistics of a stream.
#[derive(Debug)]
pub struct Reception {
    ssrc: u32,
    /// Lowest extended sequence number.
    base: u64,
    highest: u64,
    /// Bit `n`: packet `highest - n` was there.
    seen: u128,
    highest_timestamp: u64,
    /// Packets, duplicates among them.
    received: u64,
    /// Clock rate and relative transit time of the packet before, for jitter.
    transit: Option<(u32, u32)>,
    /// Jitter in sixteenths of a unit.
    jitter_16ths: i64,
    expected_reported: u64,
    received_reported: u64,
}

impl Reception {
    /// A stream whose lowest sequence number is that of `first`, after the stream `before`.
    pub fn new(first: &Packet, before: Option<&Self>) -> Self {
        let above = |ext: u64| (ext >> 32).wrapping_add(1) << 32;
        let highest = above(before.map_or(0, |before| before.highest)) | u64::from(first.sequence);
        let timestamp = above(before.map_or(0, |before| before.highest_timestamp));
        Self {
            ssrc: first.ssrc,
            base: highest,
            highest,
            seen: 0,
            highest_timestamp: timestamp | u64::from(first.timestamp),
            received: 0,
            transit: None,
            jitter_16ths: 0,
            expected_reported: 0,
            received_reported: 0,
        }
    }

    /// SSRC of the stream.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Whether two sequence numbers may be of one stream.
    pub fn is_near(sequence: u16, highest: u16) -> bool {
        sequence.wrapping_sub(highest) < MAX_DROPOUT
            || highest.wrapping_sub(sequence) <= MAX_MISORDER
    }

    /// Takes a packet of the SSRC.
    pub fn handle_packet(&mut self, packet: &Packet) -> Outcome {
        let ahead = packet.sequence.wrapping_sub(self.highest as u16);
        let behind = ahead.wrapping_neg();
        let (ext_sequence, reordered) = if ahead < MAX_DROPOUT {
            (self.highest.wrapping_add(u64::from(ahead)), false)
        } else if behind <= MAX_MISORDER {
            (self.highest.wrapping_sub(u64::from(behind)), true)
        } else {
            return Outcome::Far;
        };
        self.received += 1;
        if reordered {
            let bit = 1 << behind;
            if self.seen & bit != 0 {
                return Outcome::Duplicate;
            }
            self.seen |= bit;
            self.base = self.base.min(ext_sequence);
        } else {
            if ahead == 0 && self.seen & 1 != 0 {
                return Outcome::Duplicate;
            }
            self.seen = self.seen.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.highest = ext_sequence;
        }
        Outcome::Taken {
            ext_sequence,
            ext_timestamp: self.extend_timestamp(packet.timestamp),
            reordered,
        }
    }

    /// Counts duplicates that were met before the stream was accepted.
    pub fn count_duplicates(&mut self, packets: u64) {
        self.received += packets;
    }

    fn extend_timestamp(&mut self, timestamp: u32) -> u64 {
        let ahead = timestamp.wrapping_sub(self.highest_timestamp as u32) as i32;
        let extended = self.highest_timestamp.wrapping_add_signed(i64::from(ahead));
        if ahead > 0 {
            self.highest_timestamp = extended;
        }
        extended
    }

    /// Takes a packet's arrival into the jitter (RFC 3550 A.8). Not for telephone events, whose time stands still.
    pub fn observe_arrival(&mut self, arrived: Duration, timestamp: u32, clock_rate: u32) {
        let arrived_units = arrived.as_nanos() * u128::from(clock_rate) / 1_000_000_000;
        let transit = (arrived_units as u32).wrapping_sub(timestamp);
        if let Some((rate_before, before)) = self.transit
            && rate_before == clock_rate
        {
            let difference = i64::from((transit.wrapping_sub(before) as i32).unsigned_abs());
            self.jitter_16ths += difference - ((self.jitter_16ths + 8) >> 4);
        }
        self.transit = Some((clock_rate, transit));
    }

    fn expected(&self) -> u64 {
        self.highest.wrapping_sub(self.base).wrapping_add(1)
    }

    /// Packets expected less packets received, duplicates among them.
    pub fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }

    /// Interarrival jitter in units of the RTP clock.
    pub fn jitter(&self) -> u32 {
        (self.jitter_16ths >> 4) as u32
    }

    /// The report on what came since the last call; `None` if nothing did (RFC 3550 §6.4).
    pub fn poll_report(&mut self) -> Option<ReceptionReport> {
        let received = self.received - self.received_reported;
        if received == 0 {
            return None;
        }
        let expected = self.expected().saturating_sub(self.expected_reported);
        self.expected_reported = self.expected();
        self.received_reported = self.received;
        let lost = expected.saturating_sub(received);
        Some(ReceptionReport {
            ssrc: self.ssrc,
            fraction_lost: (lost * 256).checked_div(expected).unwrap_or(0).min(255) as u8,
            cumulative_lost: self.lost().clamp(-CUMULATIVE_LOST_MAX - 1, CUMULATIVE_LOST_MAX)
                as i32,
            ext_highest: self.highest as u32,
            jitter: self.jitter(),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn packet(sequence: u16, timestamp: u32) -> Packet {
        Packet {
            ssrc: 1,
            sequence,
            timestamp,
            clock_rate: 8_000,
            marker: false,
            payload_type: 0,
            payload: Bytes::new(),
        }
    }

    fn reception(sequences: impl IntoIterator<Item = u16>) -> Reception {
        let mut sequences = sequences.into_iter().peekable();
        let mut reception = Reception::new(&packet(*sequences.peek().unwrap(), 0), None);
        for sequence in sequences {
            reception.handle_packet(&packet(sequence, 0));
        }
        reception
    }

    #[test]
    fn both_counters_go_on_across_their_wraps_and_back() {
        let first = packet(65_535, u32::MAX - 79);
        let mut reception = Reception::new(&first, None);
        let mut take = |sequence, timestamp| reception.handle_packet(&packet(sequence, timestamp));
        let taken = |sequence: u64, timestamp: u64, reordered| Outcome::Taken {
            ext_sequence: (1 << 32) + sequence,
            ext_timestamp: (1 << 32) + timestamp,
            reordered,
        };
        assert_eq!(take(65_535, u32::MAX - 79), taken(65_535, (1 << 32) - 80, false));
        assert_eq!(take(1, 240), taken(65_537, (1 << 32) + 240, false));
        assert_eq!(take(0, 80), taken(65_536, (1 << 32) + 80, true));
        assert_eq!(take(65_534, u32::MAX - 239), taken(65_534, (1 << 32) - 240, true));
        assert_eq!(take(65_535, 0), Outcome::Duplicate);
        assert_eq!(take(1, 0), Outcome::Duplicate);
        let report = reception.poll_report().unwrap();
        assert_eq!(report.ext_highest, 65_537);
        assert_eq!(report.cumulative_lost, -2, "four expected, six received");
    }

    #[test]
    fn a_number_far_off_is_not_of_the_stream() {
        let mut reception = reception([1_000]);
        assert_eq!(reception.handle_packet(&packet(4_000, 0)), Outcome::Far);
        assert_eq!(reception.handle_packet(&packet(899, 0)), Outcome::Far);
        assert!(matches!(reception.handle_packet(&packet(900, 0)), Outcome::Taken { .. }));
        assert!(matches!(reception.handle_packet(&packet(3_999, 0)), Outcome::Taken { .. }));
        assert_eq!(reception.lost(), 3_100 - 3);
    }

    #[test]
    fn a_stream_is_numbered_above_the_one_before() {
        let before = reception([65_000, 67_000u32 as u16]);
        let mut after = Reception::new(&packet(3, 5), Some(&before));
        let Outcome::Taken { ext_sequence, ext_timestamp, .. } = after.handle_packet(&packet(3, 5))
        else {
            panic!("it is the first")
        };
        assert!(ext_sequence > before.highest && ext_timestamp > before.highest_timestamp);
        assert_eq!((ext_sequence as u32, ext_timestamp as u32), (3, 5));
    }

    #[test]
    fn fractions_are_of_the_time_since_the_report_before() {
        let mut reception = reception((0..200).filter(|n| n % 4 != 1));
        let report = reception.poll_report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (64, 50));
        for sequence in 200..300 {
            reception.handle_packet(&packet(sequence, 0));
        }
        let report = reception.poll_report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 50));
        assert_eq!(reception.poll_report(), None, "nothing came since");
        reception.handle_packet(&packet(3_298, 0));
        assert_eq!(reception.poll_report().unwrap().fraction_lost, 255);
    }

    #[test]
    fn cumulative_loss_stays_within_24_bits() {
        let mut lossy = reception([0]);
        for step in 1..=3_000u32 {
            lossy.handle_packet(&packet((step * 2_999) as u16, 0));
        }
        assert_eq!(lossy.poll_report().unwrap().cumulative_lost, 0x7f_ffff);
        let mut doubled = reception([0]);
        doubled.count_duplicates(9_000_000);
        assert_eq!(doubled.poll_report().unwrap().cumulative_lost, -0x80_0000);
    }

    #[test]
    fn jitter_is_that_of_the_rfc() {
        let mut reception = reception([0]);
        let mut expected = 0i64;
        let mut transit_before: Option<i64> = None;
        for n in 0..200u32 {
            let late_ms = u64::from(n * 7 % 11);
            reception.observe_arrival(
                Duration::from_millis(u64::from(n) * 20 + late_ms),
                n.wrapping_mul(160).wrapping_sub(10_000),
                8_000,
            );
            let transit = late_ms as i64 * 8;
            if let Some(before) = transit_before {
                expected += (transit - before).abs() - ((expected + 8) >> 4);
            }
            transit_before = Some(transit);
        }
        assert_eq!(i64::from(reception.jitter()), expected >> 4);
        assert!(reception.jitter() > 16, "2 ms at least");
    }
}
