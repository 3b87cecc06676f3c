//! When a phone says again what may have been lost (RFC 3261, section 17 and its table 4).

use std::time::Duration;

use super::carrier::Carrier;

/// First wait for an answer of who does not say another: T1.
pub(super) const T1: Duration = Duration::from_millis(500);
/// Longest wait between copies, of all but a first INVITE: T2.
const T2: Duration = Duration::from_secs(4);

/// Copies of a message: after T1, twice that, and so on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copies {
    next: Option<Duration>,
    wait: Duration,
    longest: Duration,
}

impl Copies {
    /// Those of a request sent at `now`: none over what loses nothing.
    pub(super) fn of_request(is_invite: bool, carrier: Carrier, now: Duration) -> Self {
        match (carrier.is_tcp, is_invite) {
            (true, _) => Self { next: None, ..Self::of_other(carrier, now) },
            (false, true) => Self::of_invite(carrier, now),
            (false, false) => Self::of_other(carrier, now),
        }
    }

    /// Those of an INVITE sent at `now`, which wait longer and longer.
    fn of_invite(carrier: Carrier, now: Duration) -> Self {
        Self { next: Some(now + carrier.t1), wait: carrier.t1, longest: carrier.patience() }
    }

    /// Those of another message sent at `now`.
    pub(super) fn of_other(carrier: Carrier, now: Duration) -> Self {
        Self { longest: T2.max(carrier.t1), ..Self::of_invite(carrier, now) }
    }

    /// No more of them.
    pub(super) fn stop(&mut self) {
        self.next = None;
    }

    /// From now on only the longest wait: the peer is at it.
    pub(super) fn slow_down(&mut self) {
        self.wait = self.longest;
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Whether one is due.
    pub(super) fn take_due(&mut self, now: Duration) -> bool {
        let Some(due) = self.next.filter(|next| *next <= now) else { return false };
        self.wait = (self.wait * 2).min(self.longest);
        self.next = Some(due + self.wait);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(mut copies: Copies) -> Vec<u128> {
        let due = std::iter::from_fn(|| {
            let next = copies.next()?;
            copies.take_due(next).then_some(next.as_millis())
        });
        due.take_while(|ms| *ms < 32_000).collect()
    }

    #[test]
    fn copies_are_due_by_the_table() {
        let carrier = Carrier { is_tcp: false, t1: T1 };
        assert_eq!(
            times(Copies::of_invite(carrier, Duration::ZERO)),
            [500, 1_500, 3_500, 7_500, 15_500, 31_500]
        );
        assert_eq!(
            times(Copies::of_other(carrier, Duration::ZERO)),
            [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
        );
    }
}
