//! How often clients at one address may have the gateway call, or register, in a minute.

use std::{collections::VecDeque, net::IpAddr, time::Duration};

/// What is counted lies no further back.
const WINDOW: Duration = Duration::from_secs(60);

/// Calls and registrations of the last minute.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// The oldest first.
    recent: VecDeque<(Duration, IpAddr)>,
}

impl Rate {
    /// Takes note of one more of `ip`; false if there were `most_of_one` of it, or `most` of all, and it must not be.
    pub(super) fn take(
        &mut self,
        now: Duration,
        ip: IpAddr,
        most_of_one: usize,
        most: usize,
    ) -> bool {
        self.handle_timeout(now);
        let own = self.recent.iter().filter(|(_, other)| *other == ip).count();
        let is_allowed = own < most_of_one && self.recent.len() < most;
        if is_allowed {
            self.recent.push_back((now, ip));
        }
        is_allowed
    }

    /// When the oldest is to be forgotten.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.recent.front().map(|(at, _)| *at + WINDOW)
    }

    /// Forgets what is too old.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        while self.poll_timeout().is_some_and(|at| at <= now) {
            self.recent.pop_front();
        }
        // What is empty holds nothing.
        if self.recent.is_empty() {
            self.recent = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_allowed_in_any_minute() {
        let [one, other, third] = [1, 2, 3].map(|last| IpAddr::from([192, 0, 2, last]));
        let mut rate = Rate::default();
        let mut take = |at_s, ip| rate.take(Duration::from_secs(at_s), ip, 2, 3);
        assert!(take(0, one) && take(30, one) && !take(59, one));
        assert!(take(59, other) && !take(59, third), "three of all");
        assert!(take(60, one), "the first is a minute ago");
        assert!(!take(89, one) && take(90, one));
        rate.handle_timeout(Duration::from_secs(150));
        assert_eq!((rate.recent.capacity(), rate.poll_timeout()), (0, None));
    }
}
