//! RTP timestamps as the milliseconds of RTMP.

/// Maps the extended timestamps of one RTP stream to RTMP times, which never go back.
///
/// Times are counted from an anchor, exactly, so that no rounding adds up. Where the stream has another
/// beginning, or a clock that differs from the gateway's by too much, the anchor is set anew.
#[derive(Debug, Clone)]
pub struct MediaClock {
    clock_rate_hz: u32,
    discontinuity_ms_max: u32,
    anchor: Option<Anchor>,
    last_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    timestamp: u64,
    ms: u64,
}

impl MediaClock {
    /// A clock of `clock_rate_hz` ticks a second that may be off by `discontinuity_ms_max` from when its
    /// packets arrive; that is to leave room for jitter.
    ///
    /// # Panics
    /// If `clock_rate_hz` is 0.
    pub fn new(clock_rate_hz: u32, discontinuity_ms_max: u32) -> Self {
        assert!(clock_rate_hz > 0, "a clock ticks");
        Self { clock_rate_hz, discontinuity_ms_max, anchor: None, last_ms: 0 }
    }

    /// Begins anew with the next packet: after another SSRC, or when a new stream is published.
    pub fn reanchor(&mut self) {
        self.anchor = None;
    }

    /// The RTMP time, modulo 2³², of a packet with the extended timestamp `timestamp` that is there when
    /// the live stream has lasted `stream_ms`.
    pub fn handle_timestamp(&mut self, timestamp: u64, stream_ms: u64) -> u32 {
        let mapped = self.anchor.map(|anchor| self.mapped(anchor, timestamp));
        let ms = match mapped.filter(|ms| {
            ms.abs_diff(i128::from(stream_ms)) <= u128::from(self.discontinuity_ms_max)
        }) {
            Some(ms) => ms.max(0) as u64,
            None => {
                let ms = stream_ms.max(self.last_ms);
                self.anchor = Some(Anchor { timestamp, ms });
                ms
            }
        };
        self.last_ms = self.last_ms.max(ms);
        self.last_ms as u32
    }

    fn mapped(&self, anchor: Anchor, timestamp: u64) -> i128 {
        let ticks = i128::from(timestamp) - i128::from(anchor.timestamp);
        i128::from(anchor.ms) + (ticks * 1_000).div_euclid(i128::from(self.clock_rate_hz))
    }
}

#[cfg(test)]
mod tests {
    use super::MediaClock;

    #[test]
    fn milliseconds_do_not_drift_from_ticks() {
        let mut clock = MediaClock::new(90_000, 1_000);
        // 30,000/1,001 pictures a second for ten hours.
        for index in 0..1_080_000_u64 {
            let timestamp = (1 << 40) + index * 3_003;
            let exact_ms = 500 + index * 3_003 / 90;
            assert_eq!(u64::from(clock.handle_timestamp(timestamp, exact_ms)), exact_ms);
        }
    }

    #[test]
    fn jitter_of_arrival_does_not_show() {
        let mut clock = MediaClock::new(8_000, 1_000);
        let times = [(0, 100), (160, 180), (320, 121), (480, 900)];
        let ms = times.map(|(timestamp, at_ms)| clock.handle_timestamp(timestamp, at_ms));
        assert_eq!(ms, [100, 120, 140, 160]);
    }

    #[test]
    fn another_beginning_continues_where_the_stream_is() {
        let mut clock = MediaClock::new(8_000, 1_000);
        clock.handle_timestamp(1_000, 0);
        clock.handle_timestamp(1_160, 20);
        clock.reanchor();
        assert_eq!(clock.handle_timestamp(77, 60), 60);
        assert_eq!(clock.handle_timestamp(237, 80), 80);
        clock.reanchor();
        assert_eq!(clock.handle_timestamp(5, 10), 80, "time does not go back");
    }

    #[test]
    fn a_leap_of_timestamps_alone_is_no_leap_of_time() {
        let mut clock = MediaClock::new(8_000, 1_000);
        clock.handle_timestamp(1_000, 0);
        assert_eq!(clock.handle_timestamp(9_000_000, 20), 20);
        assert_eq!(clock.handle_timestamp(9_000_160, 45), 40);
        assert_eq!(clock.handle_timestamp(3, 60), 60);
    }

    #[test]
    fn a_late_packet_has_the_time_of_the_one_before() {
        let mut clock = MediaClock::new(8_000, 1_000);
        clock.handle_timestamp(1_000, 500);
        clock.handle_timestamp(1_320, 540);
        assert_eq!(clock.handle_timestamp(1_160, 541), 540);
    }

    #[test]
    fn no_timestamp_is_too_large() {
        let mut clock = MediaClock::new(90_000, u32::MAX);
        clock.handle_timestamp(0, u64::MAX);
        clock.handle_timestamp(u64::MAX, 0);
        clock.handle_timestamp(0, 0);
    }
}
