//! What will happen in the fabric, in order.
//!
//! Events are ordered by (time, seeded tie-break, sequence). The tie-break is a function of the
//! seed, the time and the place where the event happens, so that events of one instant at different
//! places change order from seed to seed, while packets that reach one place at the same instant
//! stay in the order they were sent in.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::packet::Packet;
use crate::{executor::HostId, prefetch::prefetch, slab::Key};

#[derive(Debug)]
pub(crate) enum Event {
    /// A packet reaches the link down to a host and queues there.
    Downlink { host: HostId, packet: Packet },
    /// A packet reaches a host.
    Deliver { host: HostId, packet: Packet },
    /// An acknowledgment that a TCP socket waits for arrives.
    AckArrives { socket: Key },
    /// The timer of a TCP socket may have run out.
    TcpTimer { socket: Key },
}

impl Event {
    /// Where it happens; events of one place and time keep the order they were scheduled in.
    fn place(&self) -> u64 {
        match self {
            Self::Downlink { host, .. } | Self::Deliver { host, .. } => u64::from(host.0),
            Self::AckArrives { socket } | Self::TcpTimer { socket } => {
                u64::from(socket.index()) << 32
            }
        }
    }
}

/// Bits of the heap's second key that count events; the bits above them are the tie-break.
const SEQUENCE_BITS: u32 = 44;

/// No event.
const NONE: u32 = u32::MAX;

/// Events by time. Those that are scheduled one after the other for one place and time, as what a server
/// sends to many is, are a group: one entry of the heap, and a list.
#[derive(Debug)]
pub(crate) struct EventQueue {
    /// (time in ns, tie-break and sequence, index of the first event); small, because sifting moves it.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Slot>,
    /// First of the free slots, which are a list too.
    free: u32,
    /// The group that was scheduled last, which is the only one that grows.
    last: Group,
    /// What is left of the group that is being taken: its time, and its next event.
    taking: Option<(u64, u32)>,
    scheduled: u64,
    tie_seed: u64,
}

#[derive(Debug)]
struct Slot {
    event: Option<Event>,
    next: u32,
}

#[derive(Debug)]
struct Group {
    at_ns: u64,
    place: u64,
    /// Its last event, or `NONE` when it has been taken.
    tail: u32,
}

impl EventQueue {
    pub(crate) fn new(tie_seed: u64) -> Self {
        Self {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: NONE,
            last: Group { at_ns: 0, place: 0, tail: NONE },
            taking: None,
            scheduled: 0,
            tie_seed,
        }
    }

    pub(crate) fn schedule(&mut self, at_ns: u64, event: Event) {
        let place = event.place();
        let index = self.store(event);
        let last = &mut self.last;
        if last.tail != NONE && (last.at_ns, last.place) == (at_ns, place) {
            self.slots[last.tail as usize].next = index;
            last.tail = index;
            return;
        }
        let tie = scatter(self.tie_seed ^ scatter(at_ns ^ scatter(place)));
        let order = tie >> SEQUENCE_BITS << SEQUENCE_BITS | self.scheduled;
        self.scheduled += 1;
        assert!(self.scheduled >> SEQUENCE_BITS == 0, "too many events for one run");
        self.last = Group { at_ns, place, tail: index };
        self.heap.push(Reverse((at_ns, order, index)));
    }

    fn store(&mut self, event: Event) -> u32 {
        if self.free == NONE {
            self.slots.push(Slot { event: Some(event), next: NONE });
            return u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 events at once");
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        self.free = slot.next;
        *slot = Slot { event: Some(event), next: NONE };
        index
    }

    /// The next event of the group that is being taken.
    pub(crate) fn coming(&self) -> Option<&Event> {
        let (_, index) = self.taking?;
        let slot = &self.slots[index as usize];
        if let Some(second) = self.slots.get(slot.next as usize) {
            prefetch(second);
        }
        slot.event.as_ref()
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        let first = || self.heap.peek().map(|Reverse((at_ns, ..))| *at_ns);
        self.taking.map(|(at_ns, _)| at_ns).or_else(first)
    }

    #[inline(always)] // an event is copied twice otherwise
    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        let first = || self.heap.pop().map(|Reverse((at_ns, _, index))| (at_ns, index));
        let (at_ns, taken) = self.taking.or_else(first)?;
        let slot = &mut self.slots[taken as usize];
        let event = slot.event.take().expect("a queued index holds its event");
        let next = std::mem::replace(&mut slot.next, self.free);
        self.free = taken;
        self.taking = (next != NONE).then_some((at_ns, next));
        if self.last.tail == taken {
            self.last.tail = NONE;
        }
        Some((at_ns, event))
    }
}

/// Spreads every input bit over the whole output (the finaliser of splitmix64).
fn scatter(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use bytes::Bytes;

    use super::*;
    use crate::fabric::packet::Body;

    fn to_host(host: u32, mark: &'static str) -> Event {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let body = Body::Udp(Bytes::from_static(mark.as_bytes()));
        Event::Deliver { host: HostId(host), packet: Packet { from: nowhere, to: nowhere, body } }
    }

    fn drain(mut queue: EventQueue) -> Vec<(u64, Bytes)> {
        std::iter::from_fn(|| queue.pop())
            .map(|(at_ns, event)| match event {
                Event::Deliver { packet: Packet { body: Body::Udp(mark), .. }, .. } => {
                    (at_ns, mark)
                }
                other => panic!("{other:?} was not scheduled"),
            })
            .collect()
    }

    #[test]
    fn time_goes_before_everything() {
        let mut queue = EventQueue::new(1);
        for (at_ns, mark) in [(3, "c"), (1, "a"), (2, "b")] {
            queue.schedule(at_ns, to_host(0, mark));
        }
        assert_eq!(queue.next_ns(), Some(1));
        assert_eq!(drain(queue), [(1, "a".into()), (2, "b".into()), (3, "c".into())]);
    }

    #[test]
    fn one_place_keeps_its_order_and_places_change_theirs_with_the_seed() {
        let order = |seed| {
            let mut queue = EventQueue::new(seed);
            for (host, mark) in [(0, "a1"), (1, "b1"), (0, "a2"), (1, "b2")] {
                queue.schedule(5, to_host(host, mark));
            }
            drain(queue).into_iter().map(|(_, mark)| mark).collect::<Vec<_>>()
        };
        let orders: Vec<_> = (0..20).map(order).collect();
        assert!(orders.contains(&vec!["a1".into(), "a2".into(), "b1".into(), "b2".into()]));
        assert!(orders.contains(&vec!["b1".into(), "b2".into(), "a1".into(), "a2".into()]));
    }
}
