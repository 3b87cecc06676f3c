//! Makes one digit of the many packets it takes (RFC 4733 §2.5.2): it begins with whatever packet of it comes
//! first and ends with its end, with the next digit, or after the longest time a digit may take.
//!
//! Digits are told in the order of their timestamps. A packet that is older than the digit told last is not looked at: a
//! digit of which all but such a packet was lost is lost, since telling it would turn the order around.

use std::{collections::VecDeque, time::Duration};

use super::{Digit, EventPayload};

/// Duration at which a long event goes on with a new timestamp (RFC 4733 §2.5.1.3).
const SEGMENT_UNITS: u64 = 0xffff;

/// Bounds of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtmfReceiverConfig {
    /// Time after which a digit ends whatever comes.
    pub max_event_ms: u64,
    /// Events that may wait to be polled; a digit takes two.
    pub max_pending: usize,
}

/// What the peer dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtmfEvent {
    /// A digit begins.
    Begin {
        /// Which.
        digit: Digit,
    },
    /// The digit that began last ends.
    End {
        /// Which.
        digit: Digit,
        /// How long it lasted, as far as its packets told.
        duration_ms: u64,
    },
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DtmfCounters {
    /// Digits told.
    pub digits: u64,
    /// Packets that are no digit: too short, or another event.
    pub ignored: u64,
    /// Digits that were not told because nobody polled.
    pub overflowed: u64,
}

/// The newest event, which may have ended.
#[derive(Debug)]
struct Newest {
    digit: Digit,
    ext_timestamp: u64,
    clock_rate: u32,
    began_at: Duration,
    /// Units in earlier segments of a long event.
    earlier_units: u64,
    segment_units: u64,
    has_ended: bool,
}

/// Receiver of a line.
#[derive(Debug)]
pub struct DtmfReceiver {
    config: DtmfReceiverConfig,
    newest: Option<Newest>,
    pending: VecDeque<DtmfEvent>,
    counters: DtmfCounters,
}

impl DtmfReceiver {
    /// A receiver that has heard nothing.
    pub fn new(config: DtmfReceiverConfig) -> Self {
        Self { config, newest: None, pending: VecDeque::new(), counters: DtmfCounters::default() }
    }

    /// What was counted.
    pub fn counters(&self) -> DtmfCounters {
        self.counters
    }

    /// Takes a packet of the payload type for telephone events. The extended timestamp, which differs from stream to
    /// stream, identifies the event together with its code.
    pub fn handle_packet(
        &mut self,
        now: Duration,
        ext_timestamp: u64,
        clock_rate: u32,
        marker: bool,
        payload: &[u8],
    ) {
        self.handle_timeout(now);
        let event = EventPayload::parse(payload);
        let digit = event.and_then(|event| Digit::from_code(event.code));
        let (Some(event), Some(digit)) = (event, digit) else {
            self.counters.ignored += 1;
            return;
        };
        match &mut self.newest {
            Some(newest) if ext_timestamp < newest.ext_timestamp => return,
            // Two events cannot begin at one time: a packet with another digit is of no use.
            Some(newest) if ext_timestamp == newest.ext_timestamp && digit != newest.digit => {
                self.counters.ignored += 1;
                return;
            }
            Some(newest) if ext_timestamp == newest.ext_timestamp => (),
            Some(newest)
                if !marker
                    && digit == newest.digit
                    && ext_timestamp - newest.ext_timestamp == SEGMENT_UNITS =>
            {
                newest.ext_timestamp = ext_timestamp;
                newest.earlier_units += SEGMENT_UNITS;
                newest.segment_units = 0;
            }
            _ => self.begin(now, digit, ext_timestamp, clock_rate),
        }
        if let Some(newest) = &mut self.newest {
            newest.segment_units = newest.segment_units.max(event.duration.into());
        }
        if event.is_end {
            self.end();
        }
    }

    fn begin(&mut self, now: Duration, digit: Digit, ext_timestamp: u64, clock_rate: u32) {
        self.end();
        let is_told = self.pending.len() + 2 <= self.config.max_pending;
        if is_told {
            self.pending.push_back(DtmfEvent::Begin { digit });
            self.counters.digits += 1;
        } else {
            self.counters.overflowed += 1;
        }
        self.newest = Some(Newest {
            digit,
            ext_timestamp,
            clock_rate,
            began_at: now,
            earlier_units: 0,
            segment_units: 0,
            has_ended: !is_told,
        });
    }

    fn end(&mut self) {
        if let Some(newest) = self.newest.as_mut().filter(|newest| !newest.has_ended) {
            newest.has_ended = true;
            let units = newest.earlier_units + newest.segment_units;
            let duration_ms = units * 1_000 / u64::from(newest.clock_rate.max(1));
            self.pending.push_back(DtmfEvent::End { digit: newest.digit, duration_ms });
        }
    }

    /// Ends a digit whose time is over.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|ends_at| ends_at <= now) {
            self.end();
        }
    }

    /// The next event, in the order of the peer's timestamps.
    pub fn poll(&mut self) -> Option<DtmfEvent> {
        self.pending.pop_front()
    }

    /// When the digit that lasts must end.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let lasting = self.newest.as_ref().filter(|newest| !newest.has_ended)?;
        Some(lasting.began_at + Duration::from_millis(self.config.max_event_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> DtmfReceiver {
        DtmfReceiver::new(DtmfReceiverConfig { max_event_ms: 3_000, max_pending: 8 })
    }

    /// Gives a packet at `at_ms`: timestamp, code, end, duration.
    fn hear(receiver: &mut DtmfReceiver, at_ms: u64, event: (u64, u8, bool, u16)) {
        let (timestamp, code, is_end, duration) = event;
        let payload = EventPayload { code, is_end, volume: 10, duration }.encode();
        receiver.handle_packet(Duration::from_millis(at_ms), timestamp, 8_000, false, &payload);
    }

    /// Events as text: `1` begins, `1:100` ends after 100 ms.
    fn told(receiver: &mut DtmfReceiver) -> Vec<String> {
        std::iter::from_fn(|| receiver.poll())
            .map(|event| match event {
                DtmfEvent::Begin { digit } => digit.to_char().to_string(),
                DtmfEvent::End { digit, duration_ms } => {
                    format!("{}:{duration_ms}", digit.to_char())
                }
            })
            .collect()
    }

    #[test]
    fn a_digit_begins_with_its_first_packet_and_ends_with_its_first_end() {
        let mut receiver = receiver();
        hear(&mut receiver, 0, (100, 5, false, 400));
        assert_eq!(told(&mut receiver), ["5"]);
        hear(&mut receiver, 50, (100, 5, false, 800));
        assert_eq!(told(&mut receiver), [""; 0]);
        for at_ms in [100, 110, 120] {
            hear(&mut receiver, at_ms, (100, 5, true, 1_200));
        }
        hear(&mut receiver, 130, (100, 5, false, 800));
        assert_eq!(told(&mut receiver), ["5:150"]);
        assert_eq!(receiver.poll_timeout(), None);
    }

    #[test]
    fn the_same_digit_twice_is_two_digits() {
        let mut receiver = receiver();
        for timestamp in [100, 3_000] {
            hear(&mut receiver, timestamp, (timestamp, 7, true, 800));
        }
        assert_eq!(told(&mut receiver), ["7", "7:100", "7", "7:100"]);
    }

    #[test]
    fn a_digit_without_end_ends_with_the_next_one_or_in_time() {
        let mut receiver = receiver();
        hear(&mut receiver, 0, (100, 1, false, 400));
        hear(&mut receiver, 200, (3_000, 2, false, 400));
        assert_eq!(told(&mut receiver), ["1", "1:50", "2"]);
        assert_eq!(receiver.poll_timeout(), Some(Duration::from_millis(3_200)));
        receiver.handle_timeout(Duration::from_millis(3_199));
        assert_eq!(told(&mut receiver), [""; 0]);
        receiver.handle_timeout(Duration::from_millis(3_200));
        hear(&mut receiver, 3_210, (3_000, 2, true, 20_000));
        assert_eq!(told(&mut receiver), ["2:50"]);
    }

    #[test]
    fn late_packets_of_an_earlier_digit_are_not_told() {
        let mut receiver = receiver();
        hear(&mut receiver, 0, (100, 1, true, 400));
        hear(&mut receiver, 200, (3_000, 2, false, 400));
        hear(&mut receiver, 210, (100, 1, true, 400));
        hear(&mut receiver, 220, (3_000, 2, true, 800));
        assert_eq!(told(&mut receiver), ["1", "1:50", "2", "2:100"]);
    }

    #[test]
    fn a_long_digit_in_segments_is_one() {
        let mut receiver =
            DtmfReceiver::new(DtmfReceiverConfig { max_event_ms: 60_000, max_pending: 8 });
        hear(&mut receiver, 0, (100, 3, false, 0xffff));
        hear(&mut receiver, 9_000, (100 + 0xffff, 3, false, 400));
        hear(&mut receiver, 9_100, (100 + 0xffff, 3, true, 801));
        assert_eq!(told(&mut receiver), ["3", "3:8292"]);
    }

    #[test]
    fn what_is_no_digit_is_counted() {
        let mut receiver = receiver();
        hear(&mut receiver, 0, (100, 16, true, 400));
        receiver.handle_packet(Duration::ZERO, 100, 8_000, true, &[1, 2, 3]);
        assert_eq!(receiver.counters().ignored, 2);
        assert_eq!(told(&mut receiver), [""; 0]);
    }

    #[test]
    fn digits_that_nobody_takes_do_not_pile_up_nor_lose_their_ends() {
        let mut receiver = receiver();
        for n in 1..100 {
            hear(&mut receiver, n * 100, (n * 1_000, 4, n % 2 == 0, 400));
        }
        let events = told(&mut receiver);
        assert_eq!(events.len(), 8);
        assert_eq!(events[7], "4:50", "each that began ends");
        assert_eq!(receiver.counters(), DtmfCounters { digits: 4, ignored: 0, overflowed: 95 });
    }
}
