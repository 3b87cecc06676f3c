//! The network between the sockets: hosts and their addresses, links, and the events to come.
//!
//! A packet goes up the sender's link and down the receiver's; one to the sender's own host goes
//! round inside it. Sockets send into this; what arrives is handed to them by [`super::Fabric`].

use std::net::Ipv4Addr;

use super::{
    events::{Event, EventQueue},
    link::{DirectionState, Fate, LinkConfig},
    packet::{Body, Packet},
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
    pub(crate) captures: Captures,
    hosts: Vec<Host>,
}

#[derive(Debug)]
struct Host {
    ip: Ipv4Addr,
    up: DirectionState,
    down: DirectionState,
    dropped_packets: u64,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now_ns: 0,
            events: EventQueue::new(Rng::named(seed, "order/events").next_u64()),
            trace: Trace::new(),
            captures: Captures::default(),
            hosts: Vec::new(),
        }
    }

    /// Adds a host with the next free address: 10.0.0.1, 10.0.0.2, and so on.
    pub(crate) fn add_host(&mut self, link: LinkConfig) -> (HostId, Ipv4Addr) {
        let index = u32::try_from(self.hosts.len()).expect("fewer than 2^32 hosts");
        let [third, fourth] = [index / HOSTS_PER_BLOCK, index % HOSTS_PER_BLOCK + 1];
        let third = u8::try_from(third).expect("at most 65,024 hosts have an address");
        let ip = Ipv4Addr::new(10, 0, third, fourth as u8);
        self.hosts.push(Host {
            ip,
            up: DirectionState::new(link.up),
            down: DirectionState::new(link.down),
            dropped_packets: 0,
        });
        (HostId(index), ip)
    }

    pub(crate) fn host_count(&self) -> u32 {
        self.hosts.len() as u32
    }

    pub(crate) fn ip(&self, host: HostId) -> Ipv4Addr {
        self.hosts[host.0 as usize].ip
    }

    /// Packets that the links of `host` had no room for.
    pub(crate) fn dropped_packets(&self, host: HostId) -> u64 {
        self.hosts[host.0 as usize].dropped_packets
    }

    /// The host that answers to `ip` when `from` asks.
    pub(crate) fn route(&self, from: HostId, ip: Ipv4Addr) -> Option<HostId> {
        if ip.is_loopback() {
            return Some(from);
        }
        let [10, 0, third, fourth] = ip.octets() else { return None };
        let index = u32::from(third) * HOSTS_PER_BLOCK + u32::from(fourth).checked_sub(1)?;
        self.hosts.get(index as usize).filter(|host| host.ip == ip).map(|_| HostId(index))
    }

    /// The address a packet from `from` to `to` bears as its source.
    pub(crate) fn source_ip(&self, from: HostId, to: Ipv4Addr) -> Ipv4Addr {
        if to.is_loopback() { Ipv4Addr::LOCALHOST } else { self.ip(from) }
    }

    /// Sends `packet` from `host`. Without a host at its destination it is lost.
    pub(crate) fn send(&mut self, host: HostId, packet: Packet) {
        self.trace.record(self.now_ns, &sent(&packet));
        self.captures.sent(self.now_ns, host, &packet);
        let Some(target) = self.route(host, *packet.to.ip()) else { return };
        if target == host {
            let at_ns = self.now_ns + LOOPBACK_DELAY_NS;
            self.events.schedule(at_ns, Event::Deliver { host: target, packet });
            return;
        }
        match self.hosts[host.0 as usize].up.admit(self.now_ns, packet.wire_bytes()) {
            Fate::Dropped => self.drop_on_link(host, &packet),
            // With nothing to wait for on the way down, one event carries the packet over both.
            Fate::Arrives { at_ns } if self.hosts[target.0 as usize].down.is_unlimited() => {
                self.descend(at_ns, target, packet);
            }
            Fate::Arrives { at_ns } => {
                self.events.schedule(at_ns, Event::Downlink { host: target, packet });
            }
        }
    }

    /// Puts `packet`, which is at the upper end of the link of `host` at `at_ns`, on its way down.
    pub(crate) fn descend(&mut self, at_ns: u64, host: HostId, packet: Packet) {
        match self.hosts[host.0 as usize].down.admit(at_ns, packet.wire_bytes()) {
            Fate::Dropped => self.drop_on_link(host, &packet),
            Fate::Arrives { at_ns } => {
                self.events.schedule(at_ns, Event::Deliver { host, packet });
            }
        }
    }

    fn drop_on_link(&mut self, host: HostId, packet: &Packet) {
        self.hosts[host.0 as usize].dropped_packets += 1;
        let bytes = packet.wire_bytes() as u32;
        let event = TraceEvent::LinkDropped { from: packet.from, to: packet.to, bytes };
        self.trace.record(self.now_ns, &event);
    }
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
        let hosts: Vec<_> = (0..600).map(|_| net.add_host(LinkConfig::ideal())).collect();
        let given = [0, 1, 253, 254, 508].map(|index| hosts[index].1.to_string());
        assert_eq!(given, ["10.0.0.1", "10.0.0.2", "10.0.0.254", "10.0.1.1", "10.0.2.1"]);
        for (host, ip) in &hosts {
            assert_eq!(net.route(HostId(0), *ip), Some(*host));
        }
        for nobody in [[10, 0, 0, 0], [10, 0, 0, 255], [10, 0, 9, 1], [10, 1, 0, 1]] {
            assert_eq!(net.route(HostId(0), nobody.into()), None);
        }
    }
}
