//! When a packet is to be played: how long media waits so that most of what is on its way still comes in time.
//!
//! A packet's transit is its arrival less its media time. The least transit of the last seconds stands for
//! the network at its best, and media plays that plus a delay after its own time. The delay follows the span of
//! transits in the same seconds between a least and a most. Since both are of a sliding window, clocks of sender
//! and receiver may drift apart for hours and the delay stays what the jitter needs.
//!
//! The delay rises at once and falls slowly, or at once where nobody hears it: at the beginning of a talkspurt. A
//! time line that is off by more than the most delay is a new one (a sender whose clock stood still in silence).

use std::time::Duration;

use super::receiver::Received;

/// Parts the window is remembered in.
const BUCKETS: usize = 8;
/// A falling delay falls by this part of the time that passes.
const FALL_PART: i64 = 50;

/// Bounds of the delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayConfig {
    /// Least delay above the least transit.
    pub min_delay_ms: u64,
    /// Most delay, and the longest a packet is ever held.
    pub max_delay_ms: u64,
    /// Time over which transits are remembered.
    pub window_ms: u64,
    /// Whether a marker begins a talkspurt, as in audio; in video it ends a frame.
    pub marker_begins_talkspurt: bool,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Number of the part of time.
    index: u64,
    least_us: i64,
    most_us: i64,
}

/// What transits are relative to.
#[derive(Clone, Copy, Debug)]
struct Origin {
    stream: u32,
    clock_rate: u32,
    ext_timestamp: u64,
    arrived: Duration,
}

/// Schedules packets of a line.
#[derive(Debug)]
pub struct PlayoutDelay {
    config: DelayConfig,
    origin: Option<Origin>,
    buckets: [Option<Bucket>; BUCKETS],
    /// What is added to media time, relative to the origin, to play it.
    offset_us: i64,
    least_us: i64,
    adapted_at: Duration,
}

impl PlayoutDelay {
    /// Nothing is known of the network yet.
    pub fn new(config: DelayConfig) -> Self {
        Self {
            config,
            origin: None,
            buckets: [None; BUCKETS],
            offset_us: 0,
            least_us: 0,
            adapted_at: Duration::ZERO,
        }
    }

    /// The present delay of a packet with the least transit.
    pub fn delay(&self) -> Duration {
        match self.origin {
            Some(_) => Duration::from_micros((self.offset_us - self.least_us).max(0) as u64),
            None => Duration::from_millis(self.config.min_delay_ms),
        }
    }

    /// When to play a packet: not before it arrived, nor later than the most delay after. `is_newest` tells
    /// that none with a higher sequence number came before.
    pub fn schedule(&mut self, packet: &Received, is_newest: bool) -> Duration {
        let (least_delay_us, most_delay_us) = self.bounds_us();
        let silent = packet.arrived.saturating_sub(self.adapted_at)
            >= Duration::from_millis(self.config.max_delay_ms);
        let begins = is_newest && (silent || packet.marker && self.config.marker_begins_talkspurt);
        let transit_us = match self.transit_us(packet) {
            None => self.anchor(packet),
            Some(transit_us) => {
                let (least_us, _) = self.span(packet.arrived).unwrap_or((transit_us, transit_us));
                let above_us = transit_us.saturating_sub(least_us);
                let is_off = above_us.saturating_abs() > most_delay_us;
                let is_late = begins && transit_us > self.offset_us;
                if is_newest && (is_off || is_late) {
                    self.anchor(packet)
                } else {
                    if !is_off {
                        self.remember(packet.arrived, transit_us);
                    }
                    transit_us
                }
            }
        };
        self.adapt(packet.arrived, begins, least_delay_us, most_delay_us);
        let wait_us = self.offset_us.saturating_sub(transit_us).clamp(0, most_delay_us);
        packet.arrived + Duration::from_micros(wait_us as u64)
    }

    fn bounds_us(&self) -> (i64, i64) {
        let us = |ms: u64| i64::try_from(ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let most_us = us(self.config.max_delay_ms);
        (us(self.config.min_delay_ms).min(most_us), most_us)
    }

    /// Arrival less media time, relative to the origin; `None` if the packet's time line is another one.
    fn transit_us(&self, packet: &Received) -> Option<i64> {
        let origin = self.origin.filter(|origin| {
            (origin.stream, origin.clock_rate) == (packet.stream, packet.clock_rate)
        })?;
        let media_units = packet.ext_timestamp.wrapping_sub(origin.ext_timestamp) as i64;
        let media_us = i128::from(media_units) * 1_000_000 / i128::from(packet.clock_rate);
        let arrival_us = packet.arrived.as_micros() as i128 - origin.arrived.as_micros() as i128;
        Some((arrival_us - media_us).clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// Begins a time line with the packet, whose transit is returned.
    fn anchor(&mut self, packet: &Received) -> i64 {
        self.origin = Some(Origin {
            stream: packet.stream,
            clock_rate: packet.clock_rate,
            ext_timestamp: packet.ext_timestamp,
            arrived: packet.arrived,
        });
        self.buckets = [None; BUCKETS];
        self.offset_us = 0;
        self.adapted_at = packet.arrived;
        self.remember(packet.arrived, 0);
        0
    }

    fn bucket_index(&self, arrived: Duration) -> u64 {
        let part_ms = (self.config.window_ms / BUCKETS as u64).max(1);
        arrived.as_millis() as u64 / part_ms
    }

    fn remember(&mut self, arrived: Duration, transit_us: i64) {
        let index = self.bucket_index(arrived);
        let slot = &mut self.buckets[(index % BUCKETS as u64) as usize];
        match slot {
            Some(bucket) if bucket.index >= index => {
                bucket.least_us = bucket.least_us.min(transit_us);
                bucket.most_us = bucket.most_us.max(transit_us);
            }
            _ => *slot = Some(Bucket { index, least_us: transit_us, most_us: transit_us }),
        }
    }

    /// Least and most transit within the window before `at`.
    fn span(&self, at: Duration) -> Option<(i64, i64)> {
        let oldest = self.bucket_index(at).saturating_sub(BUCKETS as u64 - 1);
        let live = self.buckets.iter().flatten().filter(|bucket| bucket.index >= oldest);
        live.map(|bucket| (bucket.least_us, bucket.most_us))
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    fn adapt(&mut self, at: Duration, begins: bool, least_delay_us: i64, most_delay_us: i64) {
        let Some((least_us, most_us)) = self.span(at) else { return };
        let wanted_us = least_us + (most_us - least_us).clamp(least_delay_us, most_delay_us);
        let passed = at.saturating_sub(self.adapted_at);
        let fall_us = passed.as_micros().min(i64::MAX as u128) as i64 / FALL_PART;
        let fallen_us = self.offset_us.saturating_sub(fall_us).min(least_us + most_delay_us);
        self.offset_us = if begins { wanted_us } else { wanted_us.max(fallen_us) };
        self.least_us = least_us;
        self.adapted_at = self.adapted_at.max(at);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const CONFIG: DelayConfig = DelayConfig {
        min_delay_ms: 20,
        max_delay_ms: 200,
        window_ms: 8_000,
        marker_begins_talkspurt: true,
    };

    fn packet(n: u64, timestamp_ms: u64, arrived_us: u64) -> Received {
        Received {
            stream: 1,
            arrived: Duration::from_micros(arrived_us),
            ext_sequence: n,
            ext_timestamp: (1 << 32) + timestamp_ms * 8,
            clock_rate: 8_000,
            marker: false,
            payload_type: 0,
            payload: Bytes::new(),
        }
    }

    /// Schedules a packet a 20 ms, each as late as `late_ms` says, from `from` on; how long the last one waits.
    fn run(
        delay: &mut PlayoutDelay,
        numbers: std::ops::Range<u64>,
        late_ms: fn(u64) -> u64,
    ) -> u64 {
        let mut waits_ms = 0;
        for n in numbers {
            let packet = packet(n, n * 20, (n * 20 + late_ms(n)) * 1_000);
            waits_ms = (delay.schedule(&packet, true) - packet.arrived).as_millis() as u64;
        }
        waits_ms
    }

    #[test]
    fn a_steady_stream_waits_for_the_least_delay() {
        let mut delay = PlayoutDelay::new(CONFIG);
        assert_eq!(run(&mut delay, 0..100, |_| 30), 20);
        assert_eq!(delay.delay(), Duration::from_millis(20));
    }

    #[test]
    fn the_delay_rises_at_once_to_what_jitter_needs_and_falls_slowly() {
        let mut delay = PlayoutDelay::new(CONFIG);
        run(&mut delay, 0..50, |_| 0);
        assert_eq!(run(&mut delay, 50..51, |_| 90), 0, "the late one plays at once");
        assert_eq!(run(&mut delay, 51..52, |_| 0), 90);
        assert_eq!(run(&mut delay, 52..400, |_| 0), 90, "while the window remembers");
        run(&mut delay, 400..500, |_| 0);
        let falling = delay.delay().as_millis();
        assert!((30..90).contains(&falling), "{falling}");
        assert_eq!(run(&mut delay, 500..1_000, |_| 0), 20);
    }

    #[test]
    fn no_jitter_makes_it_more_than_the_most() {
        let mut delay = PlayoutDelay::new(CONFIG);
        for n in 0..5_000u64 {
            let packet = packet(n, n * 20, n * 20_000 + n * 7_919 % 400 * 1_000);
            let waits = delay.schedule(&packet, n % 3 != 0) - packet.arrived;
            assert!(waits <= Duration::from_millis(200));
            assert!(delay.delay() <= Duration::from_millis(200));
        }
    }

    #[test]
    fn clocks_that_drift_apart_for_hours_do_not_move_the_delay() {
        for parts_per_million in [-300i64, 300] {
            let mut delay = PlayoutDelay::new(CONFIG);
            for n in 0..6 * 3_600 * 50u64 {
                let true_us = (n * 20_000) as i64;
                let arrived_us = true_us + true_us * parts_per_million / 1_000_000;
                let late_us = n * 7_919 % 30_000;
                let packet = packet(n, n * 20, arrived_us as u64 + late_us);
                let waits = delay.schedule(&packet, true) - packet.arrived;
                assert!(waits <= Duration::from_millis(45), "{waits:?} after {n}");
                if n > 500 {
                    let delay_ms = delay.delay().as_millis();
                    assert!((25..45).contains(&delay_ms), "{delay_ms} after {n}");
                }
            }
        }
    }

    #[test]
    fn a_talkspurt_after_a_clock_that_stood_still_begins_a_new_time_line() {
        let mut delay = PlayoutDelay::new(CONFIG);
        run(&mut delay, 0..100, |_| 0);
        for (silence_ms, marker) in [(2_000, false), (60, true)] {
            let mut delay = PlayoutDelay::new(CONFIG);
            run(&mut delay, 0..100, |_| 0);
            let mut first = packet(100, 2_000, (2_000 + silence_ms) * 1_000);
            first.marker = marker;
            assert_eq!(delay.schedule(&first, true), first.arrived + Duration::from_millis(20));
            let second = packet(101, 2_020, (2_020 + silence_ms) * 1_000);
            assert_eq!(delay.schedule(&second, true), second.arrived + Duration::from_millis(20));
        }
    }

    #[test]
    fn a_jump_of_the_timestamp_is_survived() {
        let mut delay = PlayoutDelay::new(CONFIG);
        run(&mut delay, 0..100, |_| 0);
        let wild = packet(100, 90_000_000, 2_000_000);
        assert_eq!(delay.schedule(&wild, true), wild.arrived + Duration::from_millis(20));
        assert_eq!(run(&mut delay, 101..110, |_| 0), 20, "and back");
    }

    #[test]
    fn a_straggler_does_not_move_the_time_line() {
        let mut delay = PlayoutDelay::new(CONFIG);
        run(&mut delay, 0..100, |_| 0);
        let straggler = packet(50, 1_000, 2_000_000);
        assert_eq!(delay.schedule(&straggler, false), straggler.arrived);
        assert_eq!(run(&mut delay, 100..101, |_| 0), 20);
    }
}
