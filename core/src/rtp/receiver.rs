//! Which of the streams that arrive on a line is listened to, and the numbers of its packets.
//!
//! A stream is on probation until two packets with neighbouring sequence numbers have come (RFC 3550 A.1,
//! MIN_SEQUENTIAL). They are held and released when it is accepted, so that a call loses no audio at its beginning.
//! Other than in the RFC, either of the two may come first, and several packets that are near to one another
//! will do where loss leaves no neighbours. What passes probation beside the accepted stream takes its place: another SSRC,
//! or the same one with numbers far off, whose sender began anew.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    packet::Packet,
    reception::{Outcome, Reception, ReceptionReport},
};

/// What a peer may make the receiver hold, and how fast it may go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// Packets of a stream on probation. So many are accepted without neighbours.
    pub probation_packets: usize,
    /// How long a packet of media may have been on probation to be passed on: one that was alone for longer is too late to be played.
    pub probation_ms: u64,
    /// For how long the SSRC that was left last is not listened to: its late packets are no new stream.
    pub former_ssrc_ms: u64,
}

/// A packet of the accepted stream with its place in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Number of the stream in this line. A stream's packets are numbered above those of the one before.
    pub stream: u32,
    /// When it arrived.
    pub arrived: Duration,
    /// Sequence number across wraps.
    pub ext_sequence: u64,
    /// Timestamp across wraps, in units of `clock_rate`.
    pub ext_timestamp: u64,
    /// Clock rate of the payload type, Hz.
    pub clock_rate: u32,
    /// Begin of a talkspurt in audio, end of a frame in video.
    pub marker: bool,
    /// Format of the payload.
    pub payload_type: u8,
    /// The media.
    pub payload: Bytes,
}

/// What was counted since the line began, over all its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverCounters {
    /// Packets that were passed on.
    pub received: u64,
    /// Packets that had been there before.
    pub duplicates: u64,
    /// Packets passed on after a later one.
    pub reordered: u64,
    /// Packets of streams that were not accepted.
    pub foreign: u64,
    /// Packets of media that were on probation for too long.
    pub stale: u64,
    /// Streams accepted.
    pub streams: u32,
}

#[derive(Debug)]
struct Held {
    arrived: Duration,
    packet: Packet,
    is_media: bool,
}

#[derive(Debug, Default)]
struct Probation {
    held: Vec<Held>,
    duplicates: u64,
}

impl Probation {
    /// Whether the packet may be of the stream on probation.
    fn fits(&self, packet: &Packet) -> bool {
        self.held.last().is_some_and(|last| {
            last.packet.ssrc == packet.ssrc
                && Reception::is_near(packet.sequence, last.packet.sequence)
        })
    }

    fn lowest(&self) -> Option<&Packet> {
        self.held
            .iter()
            .map(|held| &held.packet)
            .reduce(|a, b| if (b.sequence.wrapping_sub(a.sequence) as i16) < 0 { b } else { a })
    }
}

/// Receiver of a line.
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    reception: Option<Reception>,
    probation: Probation,
    former: Option<(u32, Duration)>,
    lost_before: i64,
    counters: ReceiverCounters,
    /// At most what was on probation, and one more.
    ready: VecDeque<Received>,
}

impl Receiver {
    /// A receiver that has accepted no stream yet.
    pub fn new(config: ReceiverConfig) -> Self {
        Self {
            config,
            reception: None,
            probation: Probation::default(),
            former: None,
            lost_before: 0,
            counters: ReceiverCounters::default(),
            ready: VecDeque::new(),
        }
    }

    /// SSRC of the accepted stream.
    pub fn ssrc(&self) -> Option<u32> {
        self.reception.as_ref().map(Reception::ssrc)
    }

    /// What was counted.
    pub fn counters(&self) -> ReceiverCounters {
        self.counters
    }

    /// Packets lost by the RFC's count, over all streams: those expected less those received with duplicates.
    pub fn lost(&self) -> i64 {
        self.lost_before + self.reception.as_ref().map_or(0, Reception::lost)
    }

    /// Interarrival jitter of the accepted stream, in units of its clock.
    pub fn jitter(&self) -> u32 {
        self.reception.as_ref().map_or(0, Reception::jitter)
    }

    /// Takes a valid packet. Its arrival counts for the jitter if its payload's time runs with the clock
    /// (`is_media`). Everything that is ready must be polled before the next one.
    pub fn handle_packet(&mut self, now: Duration, packet: Packet, is_media: bool) {
        let is_present = self.ssrc() == Some(packet.ssrc);
        if is_present && self.take(now, &packet, is_media) {
            return;
        }
        let former = self.former.is_some_and(|(ssrc, left_at)| {
            ssrc == packet.ssrc
                && now.saturating_sub(left_at) < Duration::from_millis(self.config.former_ssrc_ms)
        });
        if former && !is_present {
            self.counters.foreign += 1;
            return;
        }
        if !self.probation.fits(&packet) {
            self.forget_probation();
        }
        let mut sequences = self.probation.held.iter().map(|held| held.packet.sequence);
        if sequences.clone().any(|sequence| sequence == packet.sequence) {
            self.probation.duplicates += 1;
            self.counters.duplicates += 1;
            return;
        }
        let has_neighbour = sequences
            .any(|sequence| matches!(sequence.wrapping_sub(packet.sequence), 1 | u16::MAX));
        self.probation.held.push(Held { arrived: now, packet, is_media });
        if has_neighbour || self.probation.held.len() >= self.config.probation_packets {
            self.accept(now);
        }
    }

    /// What may be the begin of a stream will not come to more.
    pub fn forget_probation(&mut self) {
        self.counters.foreign += self.probation.held.len() as u64;
        self.probation = Probation::default();
    }

    /// The stream on probation becomes the line's.
    fn accept(&mut self, now: Duration) {
        let probation = std::mem::take(&mut self.probation);
        let Some(lowest) = probation.lowest() else { return };
        let mut reception = Reception::new(lowest, self.reception.as_ref());
        reception.count_duplicates(probation.duplicates);
        if let Some(before) = self.reception.replace(reception) {
            sometimes!("another source takes the place of a phone's");
            self.lost_before += before.lost();
            self.former = Some((before.ssrc(), now));
        }
        self.counters.streams = self.counters.streams.wrapping_add(1);
        let longest = Duration::from_millis(self.config.probation_ms);
        for held in &probation.held {
            let before = self.ready.len();
            self.take(held.arrived, &held.packet, held.is_media);
            let is_stale = held.is_media && now.saturating_sub(held.arrived) > longest;
            if is_stale && self.ready.len() > before {
                self.ready.pop_back();
                self.counters.stale += 1;
            }
        }
    }

    /// Takes a packet of the accepted stream; false if its number is not of it.
    fn take(&mut self, arrived: Duration, packet: &Packet, is_media: bool) -> bool {
        let Some(reception) = &mut self.reception else { return false };
        match reception.handle_packet(packet) {
            Outcome::Far => return false,
            Outcome::Duplicate => self.counters.duplicates += 1,
            Outcome::Taken { ext_sequence, ext_timestamp, reordered } => {
                if is_media {
                    reception.observe_arrival(arrived, packet.timestamp, packet.clock_rate);
                }
                self.counters.received += 1;
                self.counters.reordered += u64::from(reordered);
                self.ready.push_back(Received {
                    stream: self.counters.streams,
                    arrived,
                    ext_sequence,
                    ext_timestamp,
                    clock_rate: packet.clock_rate,
                    marker: packet.marker,
                    payload_type: packet.payload_type,
                    payload: packet.payload.clone(),
                });
            }
        }
        true
    }

    /// The next packet of the accepted stream, in order of arrival.
    pub fn poll_packet(&mut self) -> Option<Received> {
        self.ready.pop_front()
    }

    /// The report on what came since the last one; `None` if nothing did.
    pub fn poll_report(&mut self) -> Option<ReceptionReport> {
        self.reception.as_mut().and_then(Reception::poll_report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: ReceiverConfig =
        ReceiverConfig { probation_packets: 4, probation_ms: 400, former_ssrc_ms: 1_000 };

    /// Gives packets (SSRC, sequence) to the receiver, one a millisecond; the sequences it passes on.
    fn run(receiver: &mut Receiver, from_ms: u64, packets: &[(u32, u16)]) -> Vec<u16> {
        let mut passed = Vec::new();
        for (&(ssrc, sequence), at_ms) in packets.iter().zip(from_ms..) {
            let packet = Packet {
                ssrc,
                sequence,
                timestamp: u32::from(sequence) * 160,
                clock_rate: 8_000,
                marker: false,
                payload_type: 0,
                payload: Bytes::new(),
            };
            receiver.handle_packet(Duration::from_millis(at_ms), packet, true);
            while let Some(received) = receiver.poll_packet() {
                passed.push(received.ext_sequence as u16);
            }
        }
        passed
    }

    #[test]
    fn the_first_stream_loses_nothing_to_its_probation() {
        for first in [[65_535, 0, 1], [0, 65_535, 1]] {
            let mut receiver = Receiver::new(CONFIG);
            assert_eq!(run(&mut receiver, 0, &[(1, first[0])]), [0; 0], "one proves nothing");
            assert_eq!(run(&mut receiver, 1, &[(1, first[1])]), first[..2]);
            assert_eq!(run(&mut receiver, 2, &[(1, first[2])]), first[2..]);
            assert_eq!((receiver.lost(), receiver.counters().streams), (0, 1));
        }
    }

    #[test]
    fn duplicates_prove_nothing_and_count_as_the_rfc_has_it() {
        let mut receiver = Receiver::new(CONFIG);
        assert_eq!(run(&mut receiver, 0, &[(1, 5), (1, 5), (1, 5)]), [0; 0]);
        assert_eq!(run(&mut receiver, 3, &[(1, 6), (1, 6)]), [5, 6]);
        assert_eq!((receiver.counters().duplicates, receiver.lost()), (3, -3));
    }

    #[test]
    fn a_stream_of_which_every_other_packet_is_lost_is_accepted() {
        let mut receiver = Receiver::new(CONFIG);
        let passed = run(&mut receiver, 0, &[(1, 0), (1, 2), (1, 4), (1, 6), (1, 8)]);
        assert_eq!(passed, [0, 2, 4, 6, 8]);
        assert_eq!(receiver.lost(), 4);
    }

    #[test]
    fn what_was_alone_for_long_is_counted_and_not_passed_on() {
        let mut receiver = Receiver::new(CONFIG);
        assert_eq!(run(&mut receiver, 0, &[(1, 0)]), [0; 0]);
        assert_eq!(run(&mut receiver, 1_220, &[(1, 61), (1, 62)]), [61, 62]);
        assert_eq!((receiver.counters().received, receiver.counters().stale), (3, 1));
        assert_eq!(receiver.lost(), 60);
    }

    #[test]
    fn another_ssrc_is_followed_when_it_has_sent_two_packets_in_a_row() {
        let mut receiver = Receiver::new(CONFIG);
        let packets = [(1, 0), (1, 1), (9, 700), (1, 2), (9, 701), (9, 702)];
        assert_eq!(run(&mut receiver, 0, &packets), [0, 1, 2, 700, 701, 702]);
        assert_eq!(receiver.ssrc(), Some(9));
        assert_eq!((receiver.counters().streams, receiver.counters().foreign), (2, 0));
    }

    #[test]
    fn late_packets_of_the_stream_that_was_left_do_not_bring_it_back() {
        let mut receiver = Receiver::new(CONFIG);
        run(&mut receiver, 0, &[(1, 0), (1, 1), (9, 700), (9, 701)]);
        assert_eq!(run(&mut receiver, 4, &[(1, 2), (1, 3), (9, 702)]), [702]);
        assert_eq!(receiver.counters().foreign, 2);
        assert_eq!(run(&mut receiver, 2_000, &[(1, 4), (1, 5)]), [4, 5]);
    }

    #[test]
    fn single_packets_of_others_are_not_listened_to() {
        let mut receiver = Receiver::new(CONFIG);
        run(&mut receiver, 0, &[(1, 0), (1, 1)]);
        let packets: Vec<(u32, u16)> = (10..40).map(|ssrc| (ssrc, 5)).collect();
        assert_eq!(run(&mut receiver, 2, &packets), [0; 0]);
        assert_eq!(receiver.ssrc(), Some(1));
        assert_eq!(receiver.counters().foreign, 29, "and one on probation");
    }

    #[test]
    fn a_sender_that_begins_anew_with_its_ssrc_is_followed_above_its_old_numbers() {
        let mut receiver = Receiver::new(CONFIG);
        run(&mut receiver, 0, &[(1, 40_000), (1, 40_001), (1, 40_003)]);
        assert_eq!(run(&mut receiver, 3, &[(1, 7), (1, 8), (1, 9)]), [7, 8, 9]);
        assert_eq!(receiver.counters().streams, 2);
        assert_eq!(receiver.lost(), 1, "of the stream before");
    }
}
