//! Sends digits one after the other (RFC 4733 §2.5.1): updates with the digit's own timestamp and a growing
//! duration, then the end three times.
//!
//! As in the RFC's example the first packet goes out one update interval after the digit began, since a duration of
//! 0 means something else. While a digit lasts its packets take the place of audio.

use std::{collections::VecDeque, time::Duration};

use thiserror::Error;

use super::{Digit, EventPayload};

/// Packets that tell of the end (RFC 4733 §2.5.1.4).
const END_PACKETS: u8 = 3;

/// Shape and number of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtmfSenderConfig {
    /// Digits that may wait.
    pub max_queued: usize,
    /// How long a digit lasts. What does not fit into 16 bits of the clock is cut off: 8 s at 8 kHz.
    pub duration_ms: u32,
    /// Time between two packets of a digit.
    pub update_ms: u32,
    /// Time between the packets that tell of its end.
    pub end_ms: u32,
    /// Pause between the last packet of a digit and the next digit.
    pub gap_ms: u32,
    /// Power of the tone in dBm0, without its sign, 0 to 63.
    pub volume: u8,
}

/// No more digits can wait. The digit is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many digits wait to be sent")]
pub struct QueueFull;

/// A packet of a digit, without header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtmfPacket {
    /// Set on the first packet of a digit.
    pub marker: bool,
    /// Media time at which the digit began, in units of the RTP clock.
    pub media_timestamp: u32,
    /// The payload.
    pub payload: [u8; 4],
}

/// Digits sent and waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DtmfStatus {
    /// Digits whose end was sent.
    pub sent: u64,
    /// Digits that wait.
    pub queued: usize,
}

#[derive(Debug)]
struct Sending {
    digit: Digit,
    began_at: Duration,
    media_timestamp: u32,
    clock_rate: u32,
    next_at: Duration,
    is_first: bool,
    ends: u8,
}

/// Sender of a line.
#[derive(Debug)]
pub struct DtmfSender {
    config: DtmfSenderConfig,
    queue: VecDeque<Digit>,
    sending: Option<Sending>,
    /// When the next digit may begin.
    free_at: Duration,
    sent: u64,
}

impl DtmfSender {
    /// A sender with nothing to send.
    pub fn new(config: DtmfSenderConfig) -> Self {
        let config = DtmfSenderConfig {
            update_ms: config.update_ms.max(1),
            duration_ms: config.duration_ms.max(1),
            ..config
        };
        Self { config, queue: VecDeque::new(), sending: None, free_at: Duration::ZERO, sent: 0 }
    }

    /// Whether a digit is being sent, so that audio must not be.
    pub fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    /// Digits sent and waiting.
    pub fn status(&self) -> DtmfStatus {
        DtmfStatus { sent: self.sent, queued: self.queue.len() }
    }

    /// Has a digit sent after those that wait.
    ///
    /// # Errors
    /// [`QueueFull`] if as many wait as may.
    pub fn queue(&mut self, now: Duration, digit: Digit) -> Result<(), QueueFull> {
        if self.queue.len() >= self.config.max_queued {
            return Err(QueueFull);
        }
        self.free_at = self.free_at.max(now);
        self.queue.push_back(digit);
        Ok(())
    }

    /// Drops the digits that wait and the one that is being sent.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.sending = None;
    }

    /// The packet to send now. A digit that begins does so at `media_timestamp`, the media's present time in units of the
    /// clock of `clock_rate` Hz.
    pub fn poll(
        &mut self,
        now: Duration,
        media_timestamp: u32,
        clock_rate: u32,
    ) -> Option<DtmfPacket> {
        let update = Duration::from_millis(self.config.update_ms.into());
        let Some(sending) = &mut self.sending else {
            if now >= self.free_at
                && let Some(digit) = self.queue.pop_front()
            {
                let duration = Duration::from_millis(self.config.duration_ms.into());
                let next_at = now + update.min(duration);
                let (is_first, ends, began_at) = (true, 0, now);
                self.sending = Some(Sending {
                    digit,
                    began_at,
                    media_timestamp,
                    clock_rate,
                    next_at,
                    is_first,
                    ends,
                });
            }
            return None;
        };
        if now < sending.next_at {
            return None;
        }
        let in_units = |ms: u128| ms * u128::from(sending.clock_rate) / 1_000;
        let whole = in_units(self.config.duration_ms.into()).clamp(1, u16::MAX.into()) as u16;
        let passed = now.saturating_sub(sending.began_at);
        let passed_units = in_units(passed.as_millis());
        let is_end = passed_units >= u128::from(whole);
        let payload = EventPayload {
            code: sending.digit.code(),
            is_end,
            volume: self.config.volume,
            duration: if is_end { whole } else { (passed_units as u16).max(1) },
        };
        let packet = DtmfPacket {
            marker: sending.is_first,
            media_timestamp: sending.media_timestamp,
            payload: payload.encode(),
        };
        sending.is_first = false;
        if is_end {
            sending.ends += 1;
            sending.next_at = now + Duration::from_millis(self.config.end_ms.into());
            if sending.ends == END_PACKETS {
                self.sending = None;
                self.sent += 1;
                self.free_at = now + Duration::from_millis(self.config.gap_ms.into());
            }
        } else {
            // Rounded up, so that the end is not one unit short of its time.
            let whole_us =
                (u64::from(whole) * 1_000_000).div_ceil(u64::from(sending.clock_rate.max(1)));
            let end_at = sending.began_at + Duration::from_micros(whole_us.div_ceil(1_000) * 1_000);
            sending.next_at = (now + update).min(end_at);
        }
        Some(packet)
    }

    /// When to poll next.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.sending {
            Some(sending) => Some(sending.next_at),
            None => (!self.queue.is_empty()).then_some(self.free_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: DtmfSenderConfig = DtmfSenderConfig {
        max_queued: 2,
        duration_ms: 180,
        update_ms: 50,
        end_ms: 20,
        gap_ms: 40,
        volume: 10,
    };

    /// Everything sent from 1 s on: when (ms), marker, timestamp, end and duration. Media time is `now` at 8 kHz.
    fn run(sender: &mut DtmfSender) -> Vec<(u64, bool, u32, bool, u16)> {
        let mut sent = Vec::new();
        while let Some(now) = sender.poll_timeout() {
            let at_ms = now.as_millis() as u64;
            if let Some(packet) = sender.poll(now, at_ms as u32 * 8, 8_000) {
                let event = EventPayload::parse(&packet.payload).unwrap();
                let (marker, timestamp) = (packet.marker, packet.media_timestamp);
                sent.push((at_ms, marker, timestamp, event.is_end, event.duration));
            }
        }
        sent
    }

    #[test]
    fn a_digit_is_updates_with_one_timestamp_and_three_ends() {
        let mut sender = DtmfSender::new(CONFIG);
        sender.queue(Duration::from_secs(1), Digit::from_char('5').unwrap()).unwrap();
        assert!(!sender.is_sending(), "audio goes on until the digit begins");
        let expected = [
            (1_050, true, 8_000, false, 400),
            (1_100, false, 8_000, false, 800),
            (1_150, false, 8_000, false, 1_200),
            (1_180, false, 8_000, true, 1_440),
            (1_200, false, 8_000, true, 1_440),
            (1_220, false, 8_000, true, 1_440),
        ];
        assert_eq!(run(&mut sender), expected);
        assert!(!sender.is_sending());
        assert_eq!(sender.status(), DtmfStatus { sent: 1, queued: 0 });
    }

    #[test]
    fn digits_follow_one_another_with_a_pause_and_a_bound() {
        let mut sender = DtmfSender::new(CONFIG);
        let mut queue = |c| sender.queue(Duration::from_secs(1), Digit::from_char(c).unwrap());
        assert_eq!([queue('1'), queue('1'), queue('2')], [Ok(()), Ok(()), Err(QueueFull)]);
        let firsts: Vec<_> = run(&mut sender).into_iter().filter(|packet| packet.1).collect();
        let expected = [(1_050, true, 8_000, false, 400), (1_310, true, 10_080, false, 400)];
        assert_eq!(firsts, expected, "the second begins 40 ms after the last end of the first");
    }

    #[test]
    fn a_duration_that_does_not_fit_is_cut_off() {
        let config = DtmfSenderConfig { duration_ms: 60_000, ..CONFIG };
        let mut sender = DtmfSender::new(config);
        sender.queue(Duration::from_secs(1), Digit::from_char('#').unwrap()).unwrap();
        let sent = run(&mut sender);
        assert_eq!(sent.last().map(|last| (last.3, last.4)), Some((true, u16::MAX)));
        assert_eq!(sent.iter().filter(|packet| packet.3).count(), 3);
        assert!(sent.windows(2).all(|two| two[0].4 <= two[1].4));
    }

    #[test]
    fn a_short_digit_has_an_end_alone() {
        let mut sender = DtmfSender::new(DtmfSenderConfig { duration_ms: 30, ..CONFIG });
        sender.queue(Duration::from_secs(1), Digit::from_char('7').unwrap()).unwrap();
        let sent = run(&mut sender);
        assert_eq!(sent.len(), 3);
        assert_eq!(sent[0], (1_030, true, 8_000, true, 240));
    }
}
