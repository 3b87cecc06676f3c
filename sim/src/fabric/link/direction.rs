//! What becomes of each packet on one direction of a link.
//!
//! A direction sends one packet after the other at its rate, keeps the rest in a queue of limited
//! bytes, drops what does not fit (tail drop), and delivers after its delay. Chance (`chance`) does the
//! rest: jitter, loss, duplication, reordering and corruption.

use std::cell::Cell;

use super::{
    chance::Chance,
    config::{Direction, MTU_BYTES_MIN},
};

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

/// A direction in use: its queue is known by the time at which it will have drained.
#[derive(Debug)]
pub(crate) struct DirectionState {
    config: Direction,
    idle_at_ns: u64,
    /// Packets that are not overtaken arrive in order, none before this.
    last_arrival_ns: u64,
    /// The latest time at which a packet arrives that waits for no other. Those of a far sender are taken
    /// before those of a near one that come earlier, so that this holds nobody back until the
    /// direction changes. A cell: to ask for a packet's delay is to have it pass.
    latest_plain_ns: Cell<u64>,
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
            latest_plain_ns: Cell::new(0),
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
        self.last_arrival_ns = self.last_arrival_ns.max(self.latest_plain_ns.get());
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
        let at_ns = now_ns + self.config.delay_ns;
        let is_steady = self.is_plain()
            && at_ns >= self.last_arrival_ns
            && bytes <= u64::from(self.config.mtu_bytes);
        is_steady.then(|| {
            self.arrives_plainly(at_ns);
            self.config.delay_ns
        })
    }

    fn arrives_plainly(&self, at_ns: u64) {
        self.latest_plain_ns.set(self.latest_plain_ns.get().max(at_ns));
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
            let at_ns = (now_ns + self.config.delay_ns).max(self.last_arrival_ns);
            self.arrives_plainly(at_ns);
            return Fate::arrives(at_ns);
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
    use super::{
        super::config::{GilbertElliott, LinkConfig, MTU_BYTES},
        *,
    };

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
    fn a_delay_that_goes_down_does_not_let_packets_overtake() {
        let (long, short) = (Direction::steady(100, 0, 0), Direction::steady(1, 0, 0));
        for later in [short, Direction { rate_bps: 8_000_000_000, ..short }] {
            let mut link = DirectionState::new(long);
            // What a far sender sent is taken before it is here.
            assert_eq!(link.steady_delay_ns(70_000, 100), Some(100_000));
            assert_eq!(arrival(admit(&mut link, 10, 100)), Some(100_010));
            link.change(20, later);
            assert_eq!(link.steady_delay_ns(30, 100), None);
            assert_eq!(arrival(admit(&mut link, 30, 100)), Some(170_000));
        }
        let mut link = DirectionState::new(long);
        assert_eq!(arrival(admit(&mut link, 10, 100)), Some(100_010));
        link.change(20, short);
        assert_eq!(link.steady_delay_ns(99_009, 100), None);
        assert_eq!(link.steady_delay_ns(99_010, 100), Some(1_000), "nobody waits any more");
    }

    #[test]
    fn senders_far_and_near_do_not_wait_for_each_other_while_nothing_changes() {
        let mut link = DirectionState::new(Direction::steady(1, 0, 0));
        assert_eq!(arrival(admit(&mut link, 90_000, 100)), Some(91_000));
        assert_eq!(arrival(admit(&mut link, 10, 100)), Some(1_010));
        assert_eq!(link.steady_delay_ns(20, 100), Some(1_000));
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
