//! What an access link is like: the numbers of each direction, and presets for links that people have.

use serde::{Deserialize, Serialize};

/// Ethernet's payload: the longest IP packet of most links, in bytes.
pub const MTU_BYTES: u32 = 1_500;
/// Least MTU of a link: IP and TCP headers, and a byte.
pub const MTU_BYTES_MIN: u32 = 41;
/// What a network card sends in one go at most, before it is cut into packets.
const OFFLOAD_BYTES_MAX: u64 = 60_000;
/// A sender hands its network card what the link carries in this time at most.
const OFFLOAD_NS: u64 = 100_000;

/// Loss in bursts: a chain of two states, which each packet moves along (Gilbert and Elliott).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GilbertElliott {
    /// Chance to go from the good state to the bad one, in parts per million (p).
    pub to_bad_ppm: u32,
    /// Chance to go from the bad state to the good one, in parts per million (r).
    pub to_good_ppm: u32,
    /// Loss in the good state, in parts per million (1 - k).
    pub good_loss_ppm: u32,
    /// Loss in the bad state, in parts per million (1 - h).
    pub bad_loss_ppm: u32,
}

/// One direction of an access link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Direction {
    /// Propagation delay in nanoseconds.
    pub delay_ns: u64,
    /// Up to so much more delay, in nanoseconds, uniformly; packets stay in order.
    pub jitter_ns: u64,
    /// Bits per second on the wire, headers included; 0 is unlimited.
    pub rate_bps: u64,
    /// Bytes that may wait for their turn on the wire; no meaning without a rate.
    pub queue_bytes: u64,
    /// Longest IP packet. TCP agrees on its segments by it when it connects, datagrams are
    /// fragmented; a segment that is longer, because the link changed since, is dropped.
    pub mtu_bytes: u32,
    /// Chance that a packet is lost, each for itself, in parts per million.
    pub loss_ppm: u32,
    /// Loss in bursts, besides.
    pub burst_loss: Option<GilbertElliott>,
    /// Chance that a packet arrives twice, in parts per million.
    pub duplicate_ppm: u32,
    /// Chance that a packet is overtaken by those after it, in parts per million.
    pub reorder_ppm: u32,
    /// By how much a packet that is overtaken comes later, at most, in nanoseconds.
    pub reorder_ns: u64,
    /// Chance that a bit is flipped, in parts per million. TCP's checksum finds it; UDP's payload
    /// is delivered with it, as by a peer that sends no checksum.
    pub corrupt_ppm: u32,
}

impl Default for Direction {
    /// No delay, no limit, no chance.
    fn default() -> Self {
        Self {
            delay_ns: 0,
            jitter_ns: 0,
            rate_bps: 0,
            queue_bytes: 0,
            mtu_bytes: MTU_BYTES,
            loss_ppm: 0,
            burst_loss: None,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            reorder_ns: 0,
            corrupt_ppm: 0,
        }
    }
}

impl Direction {
    /// A direction that leaves nothing to chance.
    pub fn steady(delay_us: u64, rate_bps: u64, queue_bytes: u64) -> Self {
        Self { delay_ns: delay_us * 1_000, rate_bps, queue_bytes, ..Self::default() }
    }

    pub(super) fn leaves_to_chance(&self) -> bool {
        let Self { jitter_ns, loss_ppm, duplicate_ppm, reorder_ppm, corrupt_ppm, .. } = *self;
        let ppm = [loss_ppm, duplicate_ppm, reorder_ppm, corrupt_ppm];
        jitter_ns > 0 || self.burst_loss.is_some() || ppm.iter().any(|ppm| *ppm > 0)
    }

    /// Payload that a TCP sender may hand over as one packet: where every packet shares the fate
    /// of the next, one event stands for several of them.
    pub(super) fn offload_bytes(&self) -> u32 {
        if self.leaves_to_chance() {
            return 0;
        }
        let in_time = match self.rate_bps {
            0 => OFFLOAD_BYTES_MAX,
            rate => (rate / 8).saturating_mul(OFFLOAD_NS) / 1_000_000_000,
        };
        let in_queue = if self.rate_bps == 0 { OFFLOAD_BYTES_MAX } else { self.queue_bytes / 64 };
        in_time.min(in_queue).min(OFFLOAD_BYTES_MAX) as u32
    }
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
        Self::symmetric(Direction::default())
    }

    /// An office network: 100 µs, 1 Gbit/s, 4 MiB of queue, both ways.
    pub fn lan() -> Self {
        Self::symmetric(Direction::steady(100, 1_000_000_000, 4 << 20))
    }

    /// A server's place: 50 µs, 10 Gbit/s, 32 MiB of queue, both ways.
    pub fn datacentre() -> Self {
        Self::symmetric(Direction::steady(50, 10_000_000_000, 32 << 20))
    }

    /// A household's line: 12 ms each way, 50 Mbit/s down and 10 Mbit/s up, a deep queue of 1 MiB.
    pub fn dsl() -> Self {
        Self {
            up: Direction::steady(12_000, 10_000_000, 1 << 20),
            down: Direction::steady(12_000, 50_000_000, 1 << 20),
        }
    }

    /// Wireless at home: 2 ms with 6 ms of jitter, 40 Mbit/s, and short bursts in which half of the
    /// packets are lost.
    pub fn wifi() -> Self {
        let bursts = GilbertElliott {
            to_bad_ppm: 1_000,
            to_good_ppm: 200_000,
            good_loss_ppm: 0,
            bad_loss_ppm: 500_000,
        };
        Self::symmetric(Direction {
            jitter_ns: 6_000_000,
            burst_loss: Some(bursts),
            ..Direction::steady(2_000, 40_000_000, 256 << 10)
        })
    }

    /// A phone on the move: 25 ms with 15 ms of jitter, 30 Mbit/s down and 10 Mbit/s up, deep queues,
    /// 0.1 % of loss.
    pub fn lte() -> Self {
        let direction = |rate_bps| Direction {
            jitter_ns: 15_000_000,
            loss_ppm: 1_000,
            ..Direction::steady(25_000, rate_bps, 1 << 20)
        };
        Self { up: direction(10_000_000), down: direction(30_000_000) }
    }

    /// A geostationary satellite: 270 ms each way, 20 Mbit/s down and 3 Mbit/s up, 0.3 % of loss.
    pub fn satellite() -> Self {
        let direction = |rate_bps| Direction {
            jitter_ns: 5_000_000,
            loss_ppm: 3_000,
            ..Direction::steady(270_000, rate_bps, 1 << 20)
        };
        Self { up: direction(3_000_000), down: direction(20_000_000) }
    }

    /// A line that others fill: 40 ms with 30 ms of jitter, 4 Mbit/s, a short queue, 1 % of loss.
    pub fn congested() -> Self {
        Self::symmetric(Direction {
            jitter_ns: 30_000_000,
            loss_ppm: 10_000,
            ..Direction::steady(40_000, 4_000_000, 96 << 10)
        })
    }

    /// The same in both directions.
    pub fn symmetric(direction: Direction) -> Self {
        Self { up: direction, down: direction }
    }

    /// Changes both directions alike.
    #[must_use]
    pub fn with(mut self, change: impl Fn(&mut Direction)) -> Self {
        change(&mut self.up);
        change(&mut self.down);
        self
    }

    /// Sets the delay of each direction: a round trip over this link alone takes twice as long.
    #[must_use]
    pub fn with_delay_ms(self, delay_ms: u64) -> Self {
        self.with(|direction| direction.delay_ns = delay_ms * 1_000_000)
    }

    /// Sets the rate of each direction, in bits per second; 0 is unlimited.
    #[must_use]
    pub fn with_rate_bps(self, rate_bps: u64) -> Self {
        self.with(|direction| direction.rate_bps = rate_bps)
    }

    /// Sets how many bytes each direction holds back before it drops.
    #[must_use]
    pub fn with_queue_bytes(self, queue_bytes: u64) -> Self {
        self.with(|direction| direction.queue_bytes = queue_bytes)
    }

    /// Sets the loss of each direction, in parts per million.
    #[must_use]
    pub fn with_loss_ppm(self, loss_ppm: u32) -> Self {
        self.with(|direction| direction.loss_ppm = loss_ppm)
    }

    /// Sets the longest packet of each direction.
    #[must_use]
    pub fn with_mtu_bytes(self, mtu_bytes: u32) -> Self {
        self.with(|direction| direction.mtu_bytes = mtu_bytes)
    }
}
