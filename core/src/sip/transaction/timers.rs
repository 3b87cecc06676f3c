//! Times of the transaction layer (RFC 3261, section 17.1.1.1 and table 4).

use std::time::Duration;

/// What all waits of the transaction layer follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// T1: a round trip, and the first time to wait before something is sent again.
    pub t1: Duration,
    /// T2: the longest time to wait before a request other than INVITE, or an answer to INVITE, is sent again.
    pub t2: Duration,
    /// T4: how long a message may stay in the network.
    pub t4: Duration,
    /// C: how long a peer may ring without saying anything new.
    pub c: Duration,
}

impl Timers {
    /// B, F, H, J, L, M: how long an answer is waited for, and a copy of what was answered expected.
    pub fn give_up(&self) -> Duration {
        self.t1 * 64
    }

    /// The next time to wait after `interval`.
    pub fn next(&self, interval: Duration) -> Duration {
        (interval * 2).min(self.t2)
    }
}

impl Default for Timers {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { t1: ms(500), t2: ms(4_000), t4: ms(5_000), c: ms(200_000) }
    }
}
