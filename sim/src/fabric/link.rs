//! A host's access link: what it is like, and what becomes of each packet on it.
//!
//! A link has two directions. Each sends one packet after the other at its rate, keeps the rest
//! in a queue of limited bytes, drops what does not fit (tail drop), and delivers after its delay.
//! Loss, jitter, duplication and reordering are not modelled yet: they are further fates of
//! [`Direction`]'s packets.

use serde::{Deserialize, Serialize};

/// One direction of an access link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Direction {
    /// Propagation delay in nanoseconds.
    pub delay_ns: u64,
    /// Bits per second on the wire, headers included; 0 is unlimited.
    pub rate_bps: u64,
    /// Bytes that may wait for their turn on the wire; no meaning without a rate.
    pub queue_bytes: u64,
}

/// A host's access link. A packet goes up the sender's link and down the receiver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkConfig {
    /// From the host into the network.
    pub up: Direction,
    /// From the network to the host.
    pub down: Direction,
}

impl LinkConfig {
    /// No delay, no limit: leaves the path to what the other host's link is.
    pub fn ideal() -> Self {
        Self::symmetric(Direction { delay_ns: 0, rate_bps: 0, queue_bytes: 0 })
    }

    /// An office network: 100 µs, 1 Gbit/s, 4 MiB of queue, both ways.
    pub fn lan() -> Self {
        Self::symmetric(Direction {
            delay_ns: 100_000,
            rate_bps: 1_000_000_000,
            queue_bytes: 4 << 20,
        })
    }

    /// A server's place: 50 µs, 10 Gbit/s, 32 MiB of queue, both ways.
    pub fn datacentre() -> Self {
        Self::symmetric(Direction {
            delay_ns: 50_000,
            rate_bps: 10_000_000_000,
            queue_bytes: 32 << 20,
        })
    }

    /// A household's line: 12 ms each way, 50 Mbit/s down and 10 Mbit/s up, a deep queue of 1 MiB.
    pub fn dsl() -> Self {
        Self {
            up: Direction { delay_ns: 12_000_000, rate_bps: 10_000_000, queue_bytes: 1 << 20 },
            down: Direction { delay_ns: 12_000_000, rate_bps: 50_000_000, queue_bytes: 1 << 20 },
        }
    }

    /// The same in both directions.
    pub fn symmetric(direction: Direction) -> Self {
        Self { up: direction, down: direction }
    }

    /// Sets the delay of each direction: a round trip over this link alone takes twice as long.
    #[must_use]
    pub fn with_delay_ms(mut self, delay_ms: u64) -> Self {
        self.up.delay_ns = delay_ms * 1_000_000;
        self.down.delay_ns = self.up.delay_ns;
        self
    }

    /// Sets the rate of each direction, in bits per second; 0 is unlimited.
    #[must_use]
    pub fn with_rate_bps(mut self, rate_bps: u64) -> Self {
        self.up.rate_bps = rate_bps;
        self.down.rate_bps = rate_bps;
        self
    }

    /// Sets how many bytes each direction holds back before it drops.
    #[must_use]
    pub fn with_queue_bytes(mut self, queue_bytes: u64) -> Self {
        self.up.queue_bytes = queue_bytes;
        self.down.queue_bytes = queue_bytes;
        self
    }
}

/// What becomes of a packet on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Reaches the end at this time.
    Arrives { at_ns: u64 },
    /// The queue had no room.
    Dropped,
}

/// A direction in use: its queue is known by the time at which it will have drained.
#[derive(Debug)]
pub(crate) struct DirectionState {
    config: Direction,
    idle_at_ns: u64,
}

impl DirectionState {
    pub(crate) fn new(config: Direction) -> Self {
        Self { config, idle_at_ns: 0 }
    }

    /// Whether a packet passes without waiting for others; its fate does not depend on them then.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.config.rate_bps == 0
    }

    /// Decides what becomes of a packet of `wire_bytes` that reaches this direction's queue now.
    pub(crate) fn admit(&mut self, now_ns: u64, wire_bytes: u64) -> Fate {
        let Direction { delay_ns, rate_bps, queue_bytes } = self.config;
        if rate_bps == 0 {
            return Fate::Arrives { at_ns: now_ns + delay_ns };
        }
        let start_ns = self.idle_at_ns.max(now_ns);
        let waiting_bytes =
            u128::from(start_ns - now_ns) * u128::from(rate_bps) / (8 * 1_000_000_000);
        // A packet that finds the wire idle does not queue.
        if waiting_bytes > 0 && waiting_bytes + u128::from(wire_bytes) > u128::from(queue_bytes) {
            return Fate::Dropped;
        }
        self.idle_at_ns = start_ns + (wire_bytes * 8 * 1_000_000_000).div_ceil(rate_bps);
        Fate::Arrives { at_ns: self.idle_at_ns + delay_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(rate_bps: u64, queue_bytes: u64) -> DirectionState {
        DirectionState::new(Direction { delay_ns: 1_000, rate_bps, queue_bytes })
    }

    #[test]
    fn packets_leave_one_after_the_other() {
        let mut link = direction(8_000_000, 10_000);
        assert_eq!(link.admit(0, 1_000), Fate::Arrives { at_ns: 1_001_000 });
        assert_eq!(link.admit(0, 500), Fate::Arrives { at_ns: 1_501_000 });
        assert_eq!(link.admit(9_000_000, 500), Fate::Arrives { at_ns: 9_501_000 });
    }

    #[test]
    fn a_full_queue_drops_and_drains_with_time() {
        let mut link = direction(8_000_000, 1_500);
        assert!(matches!(link.admit(0, 1_000), Fate::Arrives { .. }));
        assert_eq!(link.admit(0, 1_000), Fate::Dropped);
        assert!(matches!(link.admit(500_000, 1_000), Fate::Arrives { .. }));
    }

    #[test]
    fn a_packet_longer_than_the_queue_passes_when_the_wire_is_idle() {
        assert!(matches!(direction(8_000, 0).admit(0, 1_500), Fate::Arrives { .. }));
    }
}
