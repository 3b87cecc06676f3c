//! How much may be on its way: slow start, congestion avoidance, fast retransmit and fast recovery
//! (RFC 5681, and NewReno of RFC 6582), limited transmit (RFC 3042).
//!
//! Counts bytes only: what is sent again, and when, is the socket's part.

/// Segments that a connection begins with (RFC 6928).
const INITIAL_SEGMENTS: u64 = 10;
/// Acknowledgments of the same number that tell of a loss.
const DUPLICATE_ACKS: u32 = 3;

/// What an acknowledgment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// To go on.
    Continue,
    /// To send the first unacknowledged segment again.
    Retransmit,
}

#[derive(Debug)]
pub(crate) struct Congestion {
    mss_bytes: u32,
    /// Bytes that may be on their way.
    window_bytes: u64,
    /// Above it the window grows slowly.
    threshold_bytes: u64,
    /// Acknowledged bytes that count towards the next step of slow growth.
    counted_bytes: u64,
    duplicate_acks: u32,
    /// First sequence number that was not sent when a loss was last found. Only when more than what is
    /// before it is acknowledged, duplicates tell of another.
    recover: u64,
    is_recovering: bool,
}

impl Congestion {
    /// For a connection whose SYN has sequence number `initial`.
    pub(crate) fn new(initial: u64, mss_bytes: u32) -> Self {
        let mut congestion = Self {
            mss_bytes,
            window_bytes: 0,
            threshold_bytes: u64::MAX,
            counted_bytes: 0,
            duplicate_acks: 0,
            recover: initial,
            is_recovering: false,
        };
        congestion.window_bytes = congestion.initial_bytes();
        congestion
    }

    /// Takes the segment size that both ends have agreed on.
    pub(crate) fn set_mss(&mut self, mss_bytes: u32) {
        self.mss_bytes = mss_bytes;
        self.window_bytes = self.initial_bytes();
    }

    fn mss(&self) -> u64 {
        self.mss_bytes.into()
    }

    fn initial_bytes(&self) -> u64 {
        INITIAL_SEGMENTS * self.mss()
    }

    pub(crate) fn mss_bytes(&self) -> u32 {
        self.mss_bytes
    }

    /// Bytes that may be on their way now, with one segment more for each of the first two duplicate
    /// acknowledgments.
    pub(crate) fn window_bytes(&self) -> u64 {
        match self.is_recovering {
            true => self.window_bytes,
            false => self.window_bytes + u64::from(self.duplicate_acks.min(2)) * self.mss(),
        }
    }

    pub(crate) fn is_recovering(&self) -> bool {
        self.is_recovering
    }

    /// `acked_bytes` more are acknowledged, up to `ack`; `flight_bytes` were on their way before.
    pub(crate) fn on_ack(&mut self, ack: u64, acked_bytes: u64, flight_bytes: u64) -> Advice {
        self.duplicate_acks = 0;
        if self.is_recovering {
            if ack >= self.recover {
                let left_bytes = flight_bytes.saturating_sub(acked_bytes);
                let window_bytes = left_bytes.max(self.mss()) + self.mss();
                self.window_bytes = self.threshold_bytes.min(window_bytes);
                self.is_recovering = false;
                return Advice::Continue;
            }
            self.window_bytes = self.window_bytes.saturating_sub(acked_bytes);
            if acked_bytes >= self.mss() {
                self.window_bytes += self.mss();
            }
            self.window_bytes = self.window_bytes.max(self.mss());
            return Advice::Retransmit;
        }
        // A window that was not used says nothing about the path (RFC 7661).
        let was_used = flight_bytes + self.mss() > self.window_bytes;
        if was_used && self.window_bytes < self.threshold_bytes {
            // One acknowledgment may tell of much that had arrived behind a loss.
            self.window_bytes = self.threshold_bytes.min(self.window_bytes + acked_bytes);
        } else if was_used {
            self.counted_bytes += acked_bytes;
            if self.counted_bytes >= self.window_bytes {
                self.counted_bytes -= self.window_bytes;
                self.window_bytes += self.mss();
            }
        }
        Advice::Continue
    }

    /// The peer acknowledged the same number `una` again, with `flight_bytes` on their way up to `nxt`.
    pub(crate) fn on_duplicate_ack(&mut self, una: u64, nxt: u64, flight_bytes: u64) -> Advice {
        if self.is_recovering {
            self.window_bytes += self.mss();
            return Advice::Continue;
        }
        self.duplicate_acks += 1;
        if self.duplicate_acks != DUPLICATE_ACKS || una <= self.recover {
            return Advice::Continue;
        }
        self.threshold_bytes = (flight_bytes / 2).max(2 * self.mss());
        self.window_bytes = self.threshold_bytes + u64::from(DUPLICATE_ACKS) * self.mss();
        self.recover = nxt;
        self.is_recovering = true;
        Advice::Retransmit
    }

    /// The retransmission timer ran out, for the first time since something was acknowledged or again.
    pub(crate) fn on_timeout(&mut self, nxt: u64, flight_bytes: u64, is_first: bool) {
        if is_first {
            self.threshold_bytes = (flight_bytes / 2).max(2 * self.mss());
        }
        self.window_bytes = self.mss();
        self.counted_bytes = 0;
        self.duplicate_acks = 0;
        self.recover = nxt;
        self.is_recovering = false;
    }

    /// Nothing was on its way for longer than the timer: what the window was says little (RFC 5681, 4.1).
    pub(crate) fn on_idle(&mut self) {
        self.window_bytes = self.window_bytes.min(self.initial_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1_000;

    fn window(congestion: &Congestion) -> u64 {
        congestion.window_bytes() / MSS
    }

    /// Acknowledges a window that is full, segment by segment.
    fn round_trip(congestion: &mut Congestion, ack: &mut u64) {
        for _ in 0..window(congestion) {
            *ack += MSS;
            let flight_bytes = congestion.window_bytes();
            assert_eq!(congestion.on_ack(*ack, MSS, flight_bytes), Advice::Continue);
        }
    }

    #[test]
    fn the_window_doubles_then_grows_by_a_segment_a_round_trip() {
        let (mut congestion, mut ack) = (Congestion::new(0, MSS as u32), 1);
        round_trip(&mut congestion, &mut ack);
        assert_eq!(window(&congestion), 20);
        congestion.on_timeout(ack, 20 * MSS, true);
        assert_eq!(window(&congestion), 1);
        // What was sent again closes a gap: much is acknowledged at once.
        let mut jump = Congestion::new(0, MSS as u32);
        jump.on_timeout(1 + 20 * MSS, 20 * MSS, true);
        jump.on_ack(1 + 20 * MSS, 20 * MSS, MSS);
        assert_eq!(window(&jump), 10);
        let windows: Vec<_> = (0..7)
            .map(|_| {
                round_trip(&mut congestion, &mut ack);
                window(&congestion)
            })
            .collect();
        assert_eq!(windows, [2, 4, 8, 10, 11, 12, 13]);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut congestion = Congestion::new(0, MSS as u32);
        congestion.on_ack(1_000, MSS, 2 * MSS);
        assert_eq!(window(&congestion), 10);
    }

    #[test]
    fn three_duplicates_halve_the_window_and_each_loss_is_sent_again_once() {
        let mut congestion = Congestion::new(0, MSS as u32);
        let flight = 10 * MSS;
        let nxt = 1 + flight;
        let mut advice = || congestion.on_duplicate_ack(1, nxt, flight);
        assert_eq!(
            [advice(), advice(), advice(), advice()],
            [Advice::Continue, Advice::Continue, Advice::Retransmit, Advice::Continue]
        );
        assert_eq!(window(&congestion), 5 + 3 + 1);
        // A second segment of the window was lost too.
        assert_eq!(congestion.on_ack(1 + 4 * MSS, 4 * MSS, flight), Advice::Retransmit);
        assert_eq!(congestion.on_ack(nxt, 6 * MSS, 6 * MSS), Advice::Continue);
        assert_eq!(window(&congestion), 2);
        assert!(!congestion.is_recovering());
        // Duplicates of what was sent before tell of no new loss.
        congestion.on_timeout(2 * nxt, flight, true);
        let again: Vec<_> =
            (0..5).map(|_| congestion.on_duplicate_ack(nxt, 2 * nxt, flight)).collect();
        assert_eq!(again, [Advice::Continue; 5]);
    }

    #[test]
    fn two_duplicates_let_two_segments_more_go() {
        let mut congestion = Congestion::new(0, MSS as u32);
        congestion.on_duplicate_ack(1, 10_001, 10_000);
        congestion.on_duplicate_ack(1, 10_001, 10_000);
        assert_eq!(window(&congestion), 12);
    }
}
