//! The retransmission timer's duration, from round trips measured (RFC 6298).

/// Before the first measurement, and for a SYN (RFC 6298, 2.1).
const INITIAL_NS: u64 = 1_000_000_000;
/// Least time beyond the round trip, as Linux has it. RFC 6298 says a second for both together; this
/// keeps a round trip that does not vary, or varies for the first time, from looking like a loss.
const RTO_MIN_NS: u64 = 200_000_000;
/// Longest duration (Linux's `TCP_RTO_MAX`).
const RTO_MAX_NS: u64 = 120_000_000_000;

#[derive(Debug)]
pub(crate) struct RoundTrip {
    /// Smoothed round trip, 0 before the first measurement.
    smoothed_ns: u64,
    variation_ns: u64,
    /// How often the timer ran out since the peer last acknowledged anything new, or opened its window.
    backoff: u8,
}

impl RoundTrip {
    pub(crate) fn new() -> Self {
        Self { smoothed_ns: 0, variation_ns: 0, backoff: 0 }
    }

    /// Takes in a round trip, told by the time that an acknowledgment echoes: that of what it answers,
    /// also when that was sent again.
    pub(crate) fn measure(&mut self, round_trip_ns: u64) {
        if self.smoothed_ns == 0 {
            (self.smoothed_ns, self.variation_ns) = (round_trip_ns.max(1), round_trip_ns / 2);
        } else {
            let error_ns = self.smoothed_ns.abs_diff(round_trip_ns);
            self.variation_ns = (3 * self.variation_ns + error_ns) / 4;
            self.smoothed_ns = ((7 * self.smoothed_ns + round_trip_ns) / 8).max(1);
        }
    }

    /// How long to wait for an acknowledgment now.
    pub(crate) fn timeout_ns(&self) -> u64 {
        let measured_ns = match self.smoothed_ns {
            0 => INITIAL_NS,
            smoothed_ns => smoothed_ns + (4 * self.variation_ns).max(RTO_MIN_NS),
        };
        (measured_ns.min(RTO_MAX_NS) << self.backoff.min(16)).min(RTO_MAX_NS)
    }

    /// The timer ran out: wait twice as long (RFC 6298, 5.5).
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The peer acknowledged something new.
    pub(crate) fn recover(&mut self) {
        self.backoff = 0;
    }

    pub(crate) fn backoff(&self) -> u8 {
        self.backoff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_timeout_follows_the_round_trip_and_its_variation() {
        let mut rtt = RoundTrip::new();
        assert_eq!(rtt.timeout_ns(), 1_000 * MS);
        rtt.measure(400 * MS);
        assert_eq!(rtt.timeout_ns(), (400 + 4 * 200) * MS);
        for _ in 0..100 {
            rtt.measure(400 * MS);
        }
        assert_eq!(rtt.timeout_ns() / MS, 400 + 200);
        rtt.measure(800 * MS);
        assert_eq!(rtt.timeout_ns() / MS, 450 + 4 * 100);
    }

    #[test]
    fn it_doubles_until_it_recovers() {
        let mut rtt = RoundTrip::new();
        rtt.measure(MS);
        assert_eq!(rtt.timeout_ns(), MS + RTO_MIN_NS);
        rtt.back_off();
        rtt.back_off();
        assert_eq!(rtt.timeout_ns(), 4 * (MS + RTO_MIN_NS));
        (0..40).for_each(|_| rtt.back_off());
        assert_eq!(rtt.timeout_ns(), RTO_MAX_NS);
        rtt.recover();
        assert_eq!(rtt.timeout_ns(), MS + RTO_MIN_NS);
    }
}
