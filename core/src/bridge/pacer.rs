//! When the packets of a live stream go to a phone: one after the other as they sound, not in the bursts in which they came.

use std::{collections::VecDeque, time::Duration};

use super::RtpPayload;

/// Holds what is to be said until it is time for it.
#[derive(Debug)]
pub struct Pacer {
    clock_rate_hz: u32,
    max_queue: Duration,
    queue: VecDeque<RtpPayload>,
    /// When the packet of which timestamp goes out; others follow from it.
    anchor: Option<(Duration, u32)>,
    dropped: u64,
}

impl Pacer {
    /// For timestamps of `clock_rate_hz`. What is ahead by more than `max_queue` is dropped, the oldest first.
    pub fn new(clock_rate_hz: u32, max_queue: Duration) -> Self {
        Self { clock_rate_hz, max_queue, queue: VecDeque::new(), anchor: None, dropped: 0 }
    }

    /// Packets that were dropped because more came than can be said.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// One more packet.
    pub fn push(&mut self, now: Duration, packet: RtpPayload) {
        let is_late =
            self.queue.is_empty() && self.due(packet.timestamp).is_none_or(|due| due < now);
        if is_late || packet.marker && self.queue.is_empty() {
            self.anchor = Some((now, packet.timestamp));
        }
        self.queue.push_back(packet);
        while self.ahead(now) > self.max_queue && self.queue.len() > 1 {
            self.queue.pop_front();
            self.dropped += 1;
            self.anchor = self.queue.front().map(|next| (now, next.timestamp));
        }
    }

    /// Drops what is held: it belongs to a publish that is over.
    pub fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.anchor = None;
    }

    /// The next packet, if it is time for it.
    pub fn poll(&mut self, now: Duration) -> Option<RtpPayload> {
        let due = self.poll_timeout()?;
        (due <= now).then(|| self.queue.pop_front())?
    }

    /// When the next packet is to go out.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.due(self.queue.front()?.timestamp)
    }

    fn due(&self, timestamp: u32) -> Option<Duration> {
        let (at, anchor) = self.anchor?;
        let ticks = timestamp.wrapping_sub(anchor) as i32;
        let span = self.span(ticks.unsigned_abs());
        Some(if ticks < 0 { at.saturating_sub(span) } else { at + span })
    }

    fn span(&self, ticks: u32) -> Duration {
        Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / u64::from(self.clock_rate_hz))
    }

    /// How far the newest packet is from being due.
    fn ahead(&self, now: Duration) -> Duration {
        let due = self.queue.back().and_then(|newest| self.due(newest.timestamp));
        due.map_or(Duration::ZERO, |due| due.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn packet(timestamp: u32) -> RtpPayload {
        RtpPayload { payload: Bytes::new(), timestamp, marker: false }
    }

    /// When packets pushed at these times go out.
    fn sent(pushes: &[(u64, u32)]) -> (Vec<(u64, u32)>, u64) {
        let mut pacer = Pacer::new(8_000, ms(200));
        let (mut sent, mut pushes) = (Vec::new(), pushes.iter().peekable());
        for now in 0..3_000 {
            while let Some((_, timestamp)) = pushes.next_if(|(at, _)| *at == now) {
                pacer.push(ms(now), packet(*timestamp));
            }
            while let Some(packet) = pacer.poll(ms(now)) {
                sent.push((now, packet.timestamp));
            }
        }
        (sent, pacer.dropped())
    }

    #[test]
    fn a_burst_goes_out_at_the_pace_of_its_media_across_the_wrap() {
        let start = u32::MAX - 200;
        let burst: Vec<_> = (0..4).map(|n| (5, start.wrapping_add(160 * n))).collect();
        let times: Vec<_> = sent(&burst).0.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [5, 25, 45, 65]);
    }

    #[test]
    fn what_comes_late_goes_out_at_once_and_what_follows_by_it() {
        let (sent, dropped) = sent(&[(0, 0), (90, 160), (91, 320)]);
        assert_eq!((sent, dropped), (vec![(0, 0), (90, 160), (110, 320)], 0));
    }

    #[test]
    fn more_than_fits_is_dropped_from_its_beginning() {
        let burst: Vec<_> = (0..50).map(|n| (0, 160 * n)).collect();
        let (sent, dropped) = sent(&burst);
        assert_eq!(dropped, 39);
        assert_eq!((sent.first(), sent.last()), (Some(&(0, 160 * 39)), Some(&(200, 160 * 49))));
    }
}
