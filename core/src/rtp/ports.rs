//! Pairs of UDP ports for RTP (even) and RTCP (the odd one after it, RFC 3550 §11): numbers only, whoever
//! takes a pair binds it.
//!
//! A released pair rests before it is handed out again, so that what a past call's peer still sends does not
//! reach the next one's.

use std::{collections::BTreeSet, time::Duration};

use thiserror::Error;

/// Which ports there are, and how long they rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// First port that may be used.
    pub first: u16,
    /// Last port that may be used.
    pub last: u16,
    /// How long a released pair, or one that could not be bound, is not handed out.
    pub quarantine_ms: u64,
}

/// The range has no even port with its odd neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there is no pair of an even and the next odd port from {first} to {last}")]
pub struct EmptyRange {
    /// First port of the range.
    pub first: u16,
    /// Last port of the range.
    pub last: u16,
}

/// All pairs are in use or rest. The call cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("all RTP ports are in use")]
pub struct NoPorts;

/// A pair that is in use. It has no copies: who gives it back cannot do so twice.
#[derive(Debug, PartialEq, Eq)]
pub struct PortPair(u16);

impl PortPair {
    /// The even port.
    pub fn rtp(&self) -> u16 {
        self.0
    }

    /// The odd port.
    pub fn rtcp(&self) -> u16 {
        self.0 | 1
    }
}

/// Hands out pairs, the one that was not used for longest about first.
#[derive(Debug)]
pub struct PortPool {
    /// Even ports are `first_even + 2 * n`, `n < pairs`.
    first_even: u16,
    pairs: u16,
    quarantine: Duration,
    /// Number of the pair to try next.
    next: u16,
    /// Even ports in use or at rest.
    taken: BTreeSet<u16>,
    /// Those at rest, by when that ends.
    resting: BTreeSet<(Duration, u16)>,
}

impl PortPool {
    /// All pairs of a range, to be handed out in a circle that begins somewhere: `entropy` says where.
    ///
    /// # Errors
    /// [`EmptyRange`] if there is no pair.
    pub fn new(config: PortConfig, entropy: u16) -> Result<Self, EmptyRange> {
        let PortConfig { first, last, quarantine_ms } = config;
        // In 32 bits: behind port 65535 there is none to round up to. Port 0 cannot be bound as such.
        let first_even = (u32::from(first).max(2) + 1) & !1;
        let pairs = (u32::from(last) + 1).saturating_sub(first_even) / 2;
        if pairs == 0 {
            return Err(EmptyRange { first, last });
        }
        let pairs = pairs as u16;
        Ok(Self {
            first_even: first_even as u16,
            pairs,
            quarantine: Duration::from_millis(quarantine_ms),
            next: entropy % pairs,
            taken: BTreeSet::new(),
            resting: BTreeSet::new(),
        })
    }

    /// Pairs in use, without those at rest.
    pub fn in_use(&self) -> usize {
        self.taken.len() - self.resting.len()
    }

    /// When the first pair at rest may be handed out again.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.resting.first().map(|(until, _)| *until)
    }

    /// Forgets pairs that have rested.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(&(until, even)) = self.resting.first()
            && until <= now
        {
            self.resting.pop_first();
            self.taken.remove(&even);
        }
        // An empty set would keep its last node.
        if self.taken.is_empty() {
            (self.taken, self.resting) = (BTreeSet::new(), BTreeSet::new());
        }
    }

    /// Takes a pair out.
    ///
    /// # Errors
    /// [`NoPorts`] if all are in use or rest.
    pub fn allocate(&mut self, now: Duration) -> Result<PortPair, NoPorts> {
        self.handle_timeout(now);
        if self.taken.len() == usize::from(self.pairs) {
            return Err(NoPorts);
        }
        loop {
            let even = self.first_even + 2 * self.next;
            self.next = (self.next + 1) % self.pairs;
            if self.taken.insert(even) {
                return Ok(PortPair(even));
            }
        }
    }

    /// Takes a pair back that nobody was told of: it needs no rest.
    ///
    /// # Panics
    /// If the pair is not of this pool.
    pub fn put_back(&mut self, pair: PortPair) {
        assert!(self.taken.remove(&pair.0), "a pair of another pool");
    }

    /// Takes a pair back when its sockets are closed, or when one of its ports could not be bound: then somebody
    /// else has it, and it is tried again no sooner than a released one.
    ///
    /// # Panics
    /// If the pair is not of this pool.
    pub fn release(&mut self, now: Duration, pair: PortPair) {
        assert!(self.taken.contains(&pair.0), "a pair of another pool");
        self.resting.insert((now + self.quarantine, pair.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_nobody_was_told_of_needs_no_rest() {
        let mut pool = pool(20_000, 20_001, 0);
        let pair = pool.allocate(Duration::ZERO).unwrap();
        pool.put_back(pair);
        assert!(pool.allocate(Duration::ZERO).is_ok());
    }

    fn pool(first: u16, last: u16, entropy: u16) -> PortPool {
        PortPool::new(PortConfig { first, last, quarantine_ms: 1_000 }, entropy).unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn every_pair_of_the_range_is_handed_out_once_beginning_anywhere() {
        for (first, last, evens) in
            [(10, 15, vec![10, 12, 14]), (11, 16, vec![12, 14]), (65_533, 65_535, vec![65_534])]
        {
            for entropy in [0, 1, 7] {
                let mut pool = pool(first, last, entropy);
                let mut seen = BTreeSet::new();
                while let Ok(pair) = pool.allocate(ms(0)) {
                    assert_eq!(pair.rtcp(), pair.rtp() + 1);
                    assert!(seen.insert(pair.rtp()));
                }
                assert!(seen.iter().eq(&evens), "{first} to {last}: {seen:?}");
                assert_eq!(pool.in_use(), evens.len());
            }
        }
        let firsts: BTreeSet<u16> =
            (0..3).map(|n| pool(10, 15, n).allocate(ms(0)).unwrap().0).collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn a_range_without_a_pair_is_refused() {
        for (first, last) in [(11, 12), (10, 10), (20, 10), (65_535, 65_535), (0, 1)] {
            let config = PortConfig { first, last, quarantine_ms: 0 };
            assert_eq!(PortPool::new(config, 0).unwrap_err(), EmptyRange { first, last });
        }
    }

    #[test]
    fn a_released_pair_rests_first() {
        let mut pool = pool(10, 13, 0);
        let (first, second) = (pool.allocate(ms(0)).unwrap(), pool.allocate(ms(0)).unwrap());
        pool.release(ms(100), first);
        pool.release(ms(300), second);
        assert_eq!(pool.in_use(), 0);
        assert_eq!(pool.allocate(ms(1_099)), Err(NoPorts));
        assert_eq!(pool.poll_timeout(), Some(ms(1_100)));
        assert_eq!(pool.allocate(ms(1_100)).unwrap().rtp(), 10);
        assert_eq!(pool.allocate(ms(1_299)), Err(NoPorts));
        assert_eq!(pool.allocate(ms(1_300)).unwrap().rtp(), 12);
        assert_eq!(pool.poll_timeout(), None);
    }

    #[test]
    fn a_pair_that_was_just_used_is_the_last_to_be_used_again() {
        let mut pool = pool(10, 15, 0);
        let pair = pool.allocate(ms(0)).unwrap();
        pool.release(ms(0), pair);
        let next: Vec<u16> = (0..3).map(|_| pool.allocate(ms(5_000)).unwrap().rtp()).collect();
        assert_eq!(next, [12, 14, 10]);
    }
}
