//! The network between the sockets: hosts and their addresses, links, and the events to come.
//!
//! A packet goes up the sender's link and down the receiver's; one to the sender's own host goes
//! round inside it. Sockets send into this; what arrives is handed to them by [`super::Fabric`].

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddrV4},
};

use super::{
    arrivals::Arrivals,
    events::{Event, EventQueue},
    link::{DirectionState, DropReason, Fate, LinkConfig},
    losses::Losses,
    nat::Nat,
    packet::{Body, Packet, Shape, TCP_OVERHEAD_BYTES},
    tcp::waits::Waits,
};
use crate::{
    capture::Captures,
    executor::HostId,
    rng::Rng,
    trace::{Trace, TraceEvent},
};

/// How long a packet takes that stays on its host.
const LOOPBACK_DELAY_NS: u64 = 10_000;

/// Host addresses per third octet: .1 to .254.
const HOSTS_PER_BLOCK: u32 = 254;

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) now_ns: u64,
    pub(crate) events: EventQueue,
    pub(crate) trace: Trace,
    seed: u64,
    pub(crate) captures: Captures,
    pub(crate) waits: Waits,
    pub(crate) losses: Losses,
    pub(crate) arrivals: Arrivals,
    hosts: Vec<Host>,
    /// Pairs of sender and receiver between whom nothing passes.
    partitions: BTreeSet<(HostId, HostId)>,
}

#[derive(Debug)]
struct Host {
    name: String,
    ip: Ipv4Addr,
    up: DirectionState,
    down: DirectionState,
    dropped_packets: u64,
    /// Nothing that is sent reaches it, and nothing leaves it.
    is_in_black_hole: bool,
    /// It has crashed: what is on its way to it does not arrive either.
    is_down: bool,
    nat: Option<Box<Nat>>,
}

/// What the host with the address `ip` can be reached by as well, as one that is in two networks: 10.1.0.1 for 10.0.0.1. Its name
/// does not lead there, and it sends from there only what it sends by a socket that is bound there.
pub fn second_ip(ip: Ipv4Addr) -> Ipv4Addr {
    let [first, _, third, fourth] = ip.octets();
    Ipv4Addr::new(first, 1, third, fourth)
}

impl Host {
    /// Nothing passes between it and others.
    fn is_silent(&self) -> bool {
        self.is_in_black_hole || self.is_down
    }
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now_ns: 0,
            events: EventQueue::new(Rng::named(seed, "order/events").next_u64()),
            trace: Trace::new(),
            seed,
            captures: Captures::default(),
            waits: Waits::default(),
            losses: Losses::default(),
            arrivals: Arrivals::default(),
            hosts: Vec::new(),
            partitions: BTreeSet::new(),
        }
    }

    /// Adds a host with the next free address: 10.0.0.1, 10.0.0.2, and so on.
    pub(crate) fn add_host(&mut self, name: &str, link: LinkConfig) -> (HostId, Ipv4Addr) {
        let index = u32::try_from(self.hosts.len()).expect("fewer than 2^32 hosts");
        let [third, fourth] = [index / HOSTS_PER_BLOCK, index % HOSTS_PER_BLOCK + 1];
        let third = u8::try_from(third).expect("at most 65,024 hosts have an address");
        let ip = Ipv4Addr::new(10, 0, third, fourth as u8);
        self.hosts.push(Host {
            name: name.to_owned(),
            ip,
            up: DirectionState::new(link.up),
            down: DirectionState::new(link.down),
            dropped_packets: 0,
            is_in_black_hole: false,
            is_down: false,
            nat: None,
        });
        (HostId(index), ip)
    }

    fn host(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0 as usize]
    }

    pub(crate) fn host_count(&self) -> u32 {
        self.hosts.len() as u32
    }

    /// The address of the host `name`.
    pub(crate) fn find_host(&self, name: &str) -> Option<Ipv4Addr> {
        self.hosts.iter().find(|host| host.name == name).map(|host| host.ip)
    }

    pub(crate) fn ip(&self, host: HostId) -> Ipv4Addr {
        self.hosts[host.0 as usize].ip
    }

    pub(crate) fn link(&self, host: HostId) -> LinkConfig {
        let Host { up, down, .. } = &self.hosts[host.0 as usize];
        LinkConfig { up: up.config(), down: down.config() }
    }

    pub(crate) fn set_link(&mut self, host: HostId, link: LinkConfig) {
        let (now_ns, Host { up, down, .. }) = (self.now_ns, &mut self.hosts[host.0 as usize]);
        up.change(now_ns, link.up);
        down.change(now_ns, link.down);
    }

    /// Puts `host` into a black hole, or takes it out. What is on its way arrives.
    pub(crate) fn set_black_hole(&mut self, host: HostId, is_in: bool) {
        self.host(host).is_in_black_hole = is_in;
    }

    /// Has `host` crash, or brings it back.
    pub(crate) fn set_down(&mut self, host: HostId, is_down: bool) {
        self.host(host).is_down = is_down;
    }

    pub(crate) fn is_down(&self, host: HostId) -> bool {
        self.hosts[host.0 as usize].is_down
    }

    /// Keeps packets of `from` from reaching `to`, or no longer. What is on its way arrives.
    pub(crate) fn set_partition(&mut self, from: HostId, to: HostId, is_parted: bool) {
        if is_parted {
            self.partitions.insert((from, to));
        } else {
            self.partitions.remove(&(from, to));
        }
    }

    /// Puts `host` behind a NAT; one that was there forgets its mappings.
    pub(crate) fn rebind_nat(&mut self, host: HostId) {
        let (seed, host) = (self.seed, self.host(host));
        match &mut host.nat {
            Some(nat) => nat.rebind(),
            None => host.nat = Some(Box::new(Nat::new(seed, &host.name))),
        }
    }

    /// Packets that a link of `host`, or what lies beyond it, has dropped.
    pub(crate) fn dropped_packets(&self, host: HostId) -> u64 {
        self.hosts[host.0 as usize].dropped_packets
    }

    /// Longest TCP payload of a packet over the links of `host`.
    pub(crate) fn mss_bytes(&self, host: HostId) -> u32 {
        let Host { up, down, .. } = &self.hosts[host.0 as usize];
        up.config().mtu_bytes.min(down.config().mtu_bytes) - TCP_OVERHEAD_BYTES as u32
    }

    /// Payload that `from` may hand over in one piece for `to`; 0 where packets go one by one.
    pub(crate) fn offload_bytes(&self, from: HostId, to: Ipv4Addr) -> u32 {
        match self.route(from, to) {
            Some(to) if to != from => {
                let up = self.hosts[from.0 as usize].up.offload_bytes();
                up.min(self.hosts[to.0 as usize].down.offload_bytes())
            }
            _ => 0,
        }
    }

    /// How long every packet takes from `from` to `to`, if that is fixed and nothing is in the way.
    pub(crate) fn steady_delay_ns(&self, from: HostId, to: Ipv4Addr) -> Option<u64> {
        let to = self.route(from, to).filter(|to| *to != from)?;
        self.steady_delay_between(from, to, TCP_OVERHEAD_BYTES)
    }

    fn steady_delay_between(&self, from: HostId, to: HostId, bytes: u64) -> Option<u64> {
        let [sender, receiver] = [from, to].map(|host| &self.hosts[host.0 as usize]);
        let up_ns = sender.up.steady_delay_ns(self.now_ns, bytes)?;
        let down_ns = receiver.down.steady_delay_ns(self.now_ns + up_ns, bytes)?;
        let is_free = |host: &Host| !host.is_silent() && host.nat.is_none();
        let is_open = is_free(sender)
            && is_free(receiver)
            && (self.partitions.is_empty() || !self.partitions.contains(&(from, to)));
        is_open.then_some(up_ns + down_ns)
    }

    /// Has captures see `packet` go from `from` to its destination, where it arrives at `at_ns`, without an
    /// event.
    pub(crate) fn capture_passage(&mut self, from: HostId, packet: &Packet, at_ns: u64) {
        self.captures.sent(self.now_ns, from, packet);
        if let Some(to) = self.route(from, *packet.to.ip()) {
            self.captures.will_be_delivered(at_ns, to, packet);
        }
    }

    /// The host that answers to `ip` when `from` asks.
    pub(crate) fn route(&self, from: HostId, ip: Ipv4Addr) -> Option<HostId> {
        if ip.is_loopback() {
            return Some(from);
        }
        let [10, 0..=1, third, fourth] = ip.octets() else { return None };
        let index = u32::from(third) * HOSTS_PER_BLOCK + u32::from(fourth).checked_sub(1)?;
        let host = self.hosts.get(index as usize)?;
        [host.ip, second_ip(host.ip)].contains(&ip).then_some(HostId(index))
    }

    /// Whether it is an address of `host`.
    pub(crate) fn has_ip(&self, host: HostId, ip: Ipv4Addr) -> bool {
        self.route(host, ip) == Some(host)
    }

    /// The address a packet from `from` to `to` bears as its source.
    pub(crate) fn source_ip(&self, from: HostId, to: Ipv4Addr) -> Ipv4Addr {
        if to.is_loopback() { Ipv4Addr::LOCALHOST } else { self.ip(from) }
    }

    /// Sends `packet` from `host`. Without a host at its destination it is lost.
    pub(crate) fn send(&mut self, host: HostId, mut packet: Packet) {
        self.trace.record(self.now_ns, &sent(&packet));
        self.captures.sent(self.now_ns, host, &packet);
        let Some(target) = self.route(host, *packet.to.ip()) else { return };
        if target == host {
            let at_ns = self.now_ns + LOOPBACK_DELAY_NS;
            self.events.schedule(at_ns, Event::Deliver { host: target, packet });
            return;
        }
        if let Some(delay_ns) = self.steady_delay_between(host, target, packet.longest_bytes()) {
            let at_ns = self.now_ns + delay_ns;
            return self.events.schedule(at_ns, Event::Deliver { host: target, packet });
        }
        if self.host(host).is_silent() || self.host(target).is_silent() {
            return self.drop_packet(host, &packet, DropReason::BlackHole);
        }
        if !self.partitions.is_empty() && self.partitions.contains(&(host, target)) {
            return self.drop_packet(host, &packet, DropReason::Partition);
        }
        if let Some(nat) = &mut self.host(host).nat {
            packet.from = nat.outside(packet.protocol(), packet.from);
        }
        if let Some((at_ns, packet)) = self.pass(self.now_ns, host, Way::Up, packet) {
            // With nothing to wait for on the way down, one event carries the packet over both.
            if self.host(target).down.is_plain() {
                self.descend(at_ns, target, packet);
            } else {
                self.events.schedule(at_ns, Event::Downlink { host: target, packet });
            }
        }
    }

    /// Puts `packet`, which is at the upper end of the link of `host` at `at_ns`, on its way down.
    pub(crate) fn descend(&mut self, at_ns: u64, host: HostId, packet: Packet) {
        if let Some((at_ns, packet)) = self.pass(at_ns, host, Way::Down, packet) {
            self.events.schedule(at_ns, Event::Deliver { host, packet });
        }
    }

    /// Takes `packet` over one direction of the link of `host`, and says when it is at its end.
    fn pass(
        &mut self,
        at_ns: u64,
        host: HostId,
        way: Way,
        mut packet: Packet,
    ) -> Option<(u64, Packet)> {
        let (seed, index) = (self.seed, host.0 as usize);
        let Host { name, up, down, .. } = &mut self.hosts[index];
        let (direction, label) = match way {
            Way::Up => (up, "up"),
            Way::Down => (down, "down"),
        };
        let shape = packet.shape(direction.config().mtu_bytes);
        let Some(Shape { wire_bytes, fragments }) = shape else {
            self.drop_packet(host, &packet, DropReason::TooLong);
            return None;
        };
        let streams = || (seed, format!("{name}/{label}"));
        match direction.admit(at_ns, wire_bytes, fragments, streams) {
            Fate::Dropped(reason) => {
                self.drop_packet(host, &packet, reason);
                None
            }
            Fate::Arrives { at_ns, again_at_ns, flipped_bit } => {
                if let Some(bit) = flipped_bit
                    && !packet.flip(bit)
                {
                    self.drop_packet(host, &packet, DropReason::Corrupted);
                    return None;
                }
                if let Some(again_at_ns) = again_at_ns {
                    let packet = packet.clone();
                    let event = match way {
                        // Beyond this link the copy is a packet like others.
                        Way::Up => {
                            let target = self.route(host, *packet.to.ip());
                            let host = target.expect("a packet on a link has a destination");
                            Event::Downlink { host, packet }
                        }
                        Way::Down => Event::Deliver { host, packet },
                    };
                    self.events.schedule(again_at_ns, event);
                }
                Some((at_ns, packet))
            }
        }
    }

    /// The socket address that a packet which has reached `host` is for, behind its NAT.
    pub(crate) fn inside(&mut self, host: HostId, packet: &Packet) -> Option<SocketAddrV4> {
        let Some(nat) = &self.host(host).nat else { return Some(packet.to) };
        if packet.to.ip() == packet.from.ip() {
            return Some(packet.to);
        }
        let inside = nat.inside(packet.protocol(), packet.to);
        if inside.is_none() {
            self.drop_packet(host, packet, DropReason::NoMapping);
        }
        inside
    }

    pub(crate) fn drop_packet(&mut self, host: HostId, packet: &Packet, reason: DropReason) {
        self.host(host).dropped_packets += 1;
        self.losses.dropped(self.now_ns, packet);
        let bytes = packet.wire_bytes() as u32;
        let event = TraceEvent::LinkDropped { from: packet.from, to: packet.to, bytes, reason };
        self.trace.record(self.now_ns, &event);
    }
}

/// A direction of a link.
#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

fn sent(packet: &Packet) -> TraceEvent {
    let Packet { from, to, ref body } = *packet;
    match body {
        Body::Tcp(segment) => TraceEvent::SegmentSent {
            from,
            to,
            flags: segment.flags,
            seq: segment.seq,
            bytes: segment.payload.len() as u32,
        },
        Body::Udp(datagram) => TraceEvent::DatagramSent { from, to, bytes: datagram.len() as u32 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_in_order_and_lead_back_to_their_hosts() {
        let mut net = Network::new(1);
        let hosts: Vec<_> = (0..600).map(|_| net.add_host("host", LinkConfig::ideal())).collect();
        let given = [0, 1, 253, 254, 508].map(|index| hosts[index].1.to_string());
        assert_eq!(given, ["10.0.0.1", "10.0.0.2", "10.0.0.254", "10.0.1.1", "10.0.2.1"]);
        for (host, ip) in &hosts {
            assert_eq!(net.route(HostId(0), *ip), Some(*host));
        }
        assert_eq!(net.route(HostId(0), [10, 1, 1, 1].into()), Some(hosts[254].0));
        for nobody in [[10, 0, 0, 0], [10, 0, 0, 255], [10, 0, 9, 1], [10, 1, 9, 1], [10, 2, 0, 1]]
        {
            assert_eq!(net.route(HostId(0), nobody.into()), None);
        }
    }
}
