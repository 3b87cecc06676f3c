//! A host's access link: what it is like, and what becomes of each packet on it.
//!
//! A link has two directions. Each sends one packet after the other at its rate, keeps the rest
//! in a queue of limited bytes, drops what does not fit (tail drop), and delivers after its delay.
//! Chance does the rest: jitter, loss, duplication, reordering and corruption, each drawn from a
//! stream of its own, so that taking one of them away moves no draw of another.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

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

    fn leaves_to_chance(&self) -> bool {
        let Self { jitter_ns, loss_ppm, duplicate_ppm, reorder_ppm, corrupt_ppm, .. } = *self;
        let ppm = [loss_ppm, duplicate_ppm, reorder_ppm, corrupt_ppm];
        jitter_ns > 0 || self.burst_loss.is_some() || ppm.iter().any(|ppm| *ppm > 0)
    }

    /// Payload that a TCP sender may hand over as one packet: where every packet shares the fate
    /// of the next, one event stands for several of them.
    fn offload_bytes(&self) -> u32 {
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

/// Why a packet did not reach its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The link's queue had no room.
    QueueFull,
    /// Chance.
    Lost,
    /// Damaged, and found out by a checksum.
    Corrupted,
    /// Longer than the link takes.
    TooLong,
    /// A partition lies between the hosts.
    Partition,
    /// One of the hosts is in a black hole, or down.
    BlackHole,
    /// No mapping of the NAT in front of the host knows it.
    NoMapping,
}

impl DropReason {
    /// In words, and by its place in the list above, for the trace.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue full",
            Self::Lost => "lost",
            Self::Corrupted => "corrupted",
            Self::TooLong => "too long",
            Self::Partition => "partition",
            Self::BlackHole => "black hole",
            Self::NoMapping => "no mapping",
        }
    }
}

/// What becomes of a packet on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Reaches the end at this time.
    Arrives {
        at_ns: u64,
        /// When it arrives once more.
        again_at_ns: Option<u64>,
        /// Which bit of it was flipped, counted from its start and modulo its length.
        flipped_bit: Option<u64>,
    },
    /// Does not.
    Dropped(DropReason),
}

impl Fate {
    fn arrives(at_ns: u64) -> Self {
        Self::Arrives { at_ns, again_at_ns: None, flipped_bit: None }
    }
}

/// The streams that a direction's chances are drawn from.
#[derive(Debug)]
struct Chance {
    loss: Rng,
    burst: Rng,
    jitter: Rng,
    duplicate: Rng,
    reorder: Rng,
    corrupt: Rng,
    is_bad: bool,
}

impl Chance {
    fn new(seed: u64, link: &str) -> Self {
        let stream = |what| Rng::named(seed, &format!("link/{link}/{what}"));
        Self {
            loss: stream("loss"),
            burst: stream("burst"),
            jitter: stream("jitter"),
            duplicate: stream("duplicate"),
            reorder: stream("reorder"),
            corrupt: stream("corrupt"),
            is_bad: false,
        }
    }

    /// Whether one of the packet's `fragments` is lost.
    fn loses(&mut self, config: &Direction, fragments: u32) -> bool {
        let mut lost = false;
        for _ in 0..fragments {
            lost |= config.loss_ppm > 0 && self.loss.chance_ppm(config.loss_ppm);
            if let Some(burst) = config.burst_loss {
                let turn = if self.is_bad { burst.to_good_ppm } else { burst.to_bad_ppm };
                self.is_bad ^= self.burst.chance_ppm(turn);
                let loss = if self.is_bad { burst.bad_loss_ppm } else { burst.good_loss_ppm };
                lost |= self.burst.chance_ppm(loss);
            }
        }
        lost
    }
}

/// A direction in use: its queue is known by the time at which it will have drained.
#[derive(Debug)]
pub(crate) struct DirectionState {
    config: Direction,
    idle_at_ns: u64,
    /// Packets that are not overtaken arrive in order.
    last_arrival_ns: u64,
    offload_bytes: u32,
    /// Made when the first packet needs it.
    chance: Option<Box<Chance>>,
    leaves_to_chance: bool,
}

impl DirectionState {
    pub(crate) fn new(config: Direction) -> Self {
        let mut state = Self {
            config,
            idle_at_ns: 0,
            last_arrival_ns: 0,
            offload_bytes: 0,
            chance: None,
            leaves_to_chance: false,
        };
        state.change(0, config);
        state
    }

    /// Makes the direction another one. What is on its way already arrives as it would have, and
    /// nothing that comes after overtakes it.
    pub(crate) fn change(&mut self, now_ns: u64, config: Direction) {
        assert!(config.mtu_bytes >= MTU_BYTES_MIN, "an MTU has room for headers and a byte");
        let waiting_bytes = self.waiting_bytes(now_ns);
        self.config = config;
        let waiting_ns = match config.rate_bps {
            0 => 0,
            rate_bps => waiting_bytes * 8 * 1_000_000_000 / u128::from(rate_bps),
        };
        self.idle_at_ns = now_ns + waiting_ns as u64;
        self.offload_bytes = config.offload_bytes();
        self.leaves_to_chance = config.leaves_to_chance();
    }

    pub(crate) fn config(&self) -> Direction {
        self.config
    }

    /// Whether a packet passes without waiting for others; its fate does not depend on them then.
    pub(crate) fn is_plain(&self) -> bool {
        self.config.rate_bps == 0 && !self.leaves_to_chance
    }

    /// How long a packet of `bytes` takes that is sent at `now_ns`, where every packet takes that long.
    pub(crate) fn steady_delay_ns(&self, now_ns: u64, bytes: u64) -> Option<u64> {
        let is_steady = self.is_plain()
            && now_ns + self.config.delay_ns >= self.last_arrival_ns
            && bytes <= u64::from(self.config.mtu_bytes);
        is_steady.then_some(self.config.delay_ns)
    }

    /// Payload that a TCP sender may hand over in one piece, 0 for a segment.
    pub(crate) fn offload_bytes(&self) -> u32 {
        self.offload_bytes
    }

    /// Decides what becomes of a packet of `wire_bytes`, in `fragments`, that reaches this
    /// direction's queue now. `streams` are the run's seed and the link's name.
    pub(crate) fn admit(
        &mut self,
        now_ns: u64,
        wire_bytes: u64,
        fragments: u32,
        streams: impl FnOnce() -> (u64, String),
    ) -> Fate {
        if self.is_plain() {
            return Fate::arrives((now_ns + self.config.delay_ns).max(self.last_arrival_ns));
        }
        let Some(sent_ns) = self.enqueue(now_ns, wire_bytes) else {
            return Fate::Dropped(DropReason::QueueFull);
        };
        let config = self.config;
        if !self.leaves_to_chance {
            self.last_arrival_ns = self.last_arrival_ns.max(sent_ns + config.delay_ns);
            return Fate::arrives(self.last_arrival_ns);
        }
        let chance = self.chance.get_or_insert_with(|| {
            let (seed, link) = streams();
            Box::new(Chance::new(seed, &link))
        });
        if chance.loses(&config, fragments) {
            return Fate::Dropped(DropReason::Lost);
        }
        let mut jitter_ns = || match config.jitter_ns {
            0 => 0,
            jitter_ns => chance.jitter.range(0..=jitter_ns),
        };
        let in_order_ns = (sent_ns + config.delay_ns + jitter_ns()).max(self.last_arrival_ns);
        let is_overtaken = config.reorder_ppm > 0 && chance.reorder.chance_ppm(config.reorder_ppm);
        let at_ns = if is_overtaken {
            in_order_ns + chance.reorder.range(0..=config.reorder_ns)
        } else {
            self.last_arrival_ns = in_order_ns;
            in_order_ns
        };
        let is_twice =
            config.duplicate_ppm > 0 && chance.duplicate.chance_ppm(config.duplicate_ppm);
        let again_at_ns = is_twice.then(|| at_ns + chance.duplicate.range(0..=1_000_000));
        let is_flipped = config.corrupt_ppm > 0 && chance.corrupt.chance_ppm(config.corrupt_ppm);
        let flipped_bit = is_flipped.then(|| chance.corrupt.next_u64());
        Fate::Arrives { at_ns, again_at_ns, flipped_bit }
    }

    fn waiting_bytes(&self, now_ns: u64) -> u128 {
        let waiting_ns = self.idle_at_ns.saturating_sub(now_ns);
        u128::from(waiting_ns) * u128::from(self.config.rate_bps) / (8 * 1_000_000_000)
    }

    /// When the last bit of the packet has been sent, or `None` when the queue has no room.
    fn enqueue(&mut self, now_ns: u64, wire_bytes: u64) -> Option<u64> {
        let Direction { rate_bps, queue_bytes, .. } = self.config;
        if rate_bps == 0 {
            return Some(now_ns);
        }
        let waiting_bytes = self.waiting_bytes(now_ns);
        // A packet that finds the wire idle does not queue.
        if waiting_bytes > 0 && waiting_bytes + u128::from(wire_bytes) > u128::from(queue_bytes) {
            return None;
        }
        let start_ns = self.idle_at_ns.max(now_ns);
        self.idle_at_ns = start_ns + (wire_bytes * 8 * 1_000_000_000).div_ceil(rate_bps);
        Some(self.idle_at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(rate_bps: u64, queue_bytes: u64) -> DirectionState {
        DirectionState::new(Direction::steady(1, rate_bps, queue_bytes))
    }

    fn admit(link: &mut DirectionState, now_ns: u64, wire_bytes: u64) -> Fate {
        link.admit(now_ns, wire_bytes, 1, || (1, "test/up".to_owned()))
    }

    fn arrival(fate: Fate) -> Option<u64> {
        match fate {
            Fate::Arrives { at_ns, .. } => Some(at_ns),
            Fate::Dropped(_) => None,
        }
    }

    /// Arrivals of 100,000 packets, one each millisecond.
    fn arrivals(config: Direction) -> Vec<Option<u64>> {
        let mut link = DirectionState::new(config);
        (0..100_000).map(|ms| arrival(admit(&mut link, ms * 1_000_000, 1_000))).collect()
    }

    #[test]
    fn packets_leave_one_after_the_other() {
        let mut link = direction(8_000_000, 10_000);
        let at = [(0, 1_000), (0, 500), (9_000_000, 500)]
            .map(|(now_ns, bytes)| arrival(admit(&mut link, now_ns, bytes)));
        assert_eq!(at, [Some(1_001_000), Some(1_501_000), Some(9_501_000)]);
    }

    #[test]
    fn a_full_queue_drops_and_drains_with_time() {
        let mut link = direction(8_000_000, 1_500);
        assert!(arrival(admit(&mut link, 0, 1_000)).is_some());
        assert_eq!(admit(&mut link, 0, 1_000), Fate::Dropped(DropReason::QueueFull));
        assert!(arrival(admit(&mut link, 500_000, 1_000)).is_some());
    }

    #[test]
    fn a_packet_longer_than_the_queue_passes_when_the_wire_is_idle() {
        assert!(arrival(admit(&mut direction(8_000, 0), 0, 1_500)).is_some());
    }

    #[test]
    fn a_rate_that_goes_up_does_not_let_packets_overtake() {
        let mut link = direction(8_000, 1 << 20);
        let slow = arrival(admit(&mut link, 0, 1_000)).expect("arrives");
        link.change(10, Direction::steady(0, 8_000_000_000, 1 << 20));
        let fast = arrival(admit(&mut link, 10, 1_000)).expect("arrives");
        assert!(fast >= slow, "{fast} is before {slow}");
    }

    #[test]
    fn losses_are_as_many_as_asked_for() {
        let lost = |config| arrivals(config).iter().filter(|at| at.is_none()).count();
        let independent = lost(Direction { loss_ppm: 20_000, ..Direction::default() });
        assert!((1_850..2_150).contains(&independent), "{independent}");
        // Stationary share of the bad state: p / (p + r) = 0.01 / 0.26.
        let bursts = GilbertElliott {
            to_bad_ppm: 10_000,
            to_good_ppm: 250_000,
            good_loss_ppm: 0,
            bad_loss_ppm: 500_000,
        };
        let in_bursts = lost(Direction { burst_loss: Some(bursts), ..Direction::default() });
        assert!((1_700..2_150).contains(&in_bursts), "{in_bursts}");
    }

    #[test]
    fn losses_in_bursts_come_together() {
        let next_to_another = |config| {
            let at = arrivals(config);
            at.windows(2).filter(|pair| pair[0].is_none() && pair[1].is_none()).count()
        };
        let bursts = GilbertElliott {
            to_bad_ppm: 10_000,
            to_good_ppm: 250_000,
            good_loss_ppm: 0,
            bad_loss_ppm: 500_000,
        };
        let in_bursts =
            next_to_another(Direction { burst_loss: Some(bursts), ..Direction::default() });
        let independent = next_to_another(Direction { loss_ppm: 20_000, ..Direction::default() });
        assert!(in_bursts > 10 * independent, "{in_bursts} and {independent}");
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let order = |config| {
            let at: Vec<_> = arrivals(config).into_iter().flatten().collect();
            assert!(at.windows(2).any(|pair| pair[1] - pair[0].min(pair[1]) != 1_000_000));
            at.windows(2).filter(|pair| pair[1] < pair[0]).count()
        };
        assert_eq!(order(Direction { jitter_ns: 5_000_000, ..Direction::default() }), 0);
        let overtaken =
            Direction { reorder_ppm: 10_000, reorder_ns: 10_000_000, ..Direction::default() };
        assert!((500..1_000).contains(&order(overtaken)), "{}", order(overtaken));
    }

    #[test]
    fn one_chance_moves_no_draw_of_another() {
        let lossy = Direction { loss_ppm: 20_000, ..Direction::default() };
        let all = Direction {
            jitter_ns: 3_000_000,
            duplicate_ppm: 50_000,
            corrupt_ppm: 50_000,
            reorder_ppm: 10_000,
            reorder_ns: 1_000_000,
            ..lossy
        };
        let lost = |config| -> Vec<_> {
            let at = arrivals(config).into_iter().enumerate();
            at.filter(|(_, at)| at.is_none()).map(|(index, _)| index).collect()
        };
        assert_eq!(lost(lossy), lost(all));
    }

    #[test]
    fn several_packets_go_as_one_where_they_share_their_fate() {
        let offload = |link: LinkConfig| DirectionState::new(link.up).offload_bytes();
        assert_eq!(offload(LinkConfig::ideal()), 60_000);
        assert_eq!(offload(LinkConfig::datacentre()), 60_000);
        assert_eq!(offload(LinkConfig::lan()), 12_500);
        assert!(offload(LinkConfig::dsl()) < MTU_BYTES);
        assert_eq!(offload(LinkConfig::datacentre().with_loss_ppm(1)), 0);
    }
}
