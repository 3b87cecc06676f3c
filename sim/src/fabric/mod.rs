//! The packet fabric: everything between one host's socket and another's.
//!
//! [`network`] moves packets over links, [`tcp`] and [`udp`] are the hosts' protocol stacks. The
//! driver asks for the time of the next event and has it happen; sockets' handles reach in from
//! the tasks' side. Nothing here waits or knows tokio's clock.

pub(crate) mod arrivals;
mod events;
pub(crate) mod link;
pub(crate) mod losses;
mod nat;
pub(crate) mod netstat;
pub(crate) mod network;
pub(crate) mod packet;
pub(crate) mod ports;
pub(crate) mod tcp;
pub(crate) mod udp;

use std::{
    collections::BTreeMap,
    io, mem,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
};

use crate::{executor::HostId, rng::Rng, trace::TraceEvent};
use events::Event;
use link::{DropReason, LinkConfig};
use netstat::Snapshot;
use network::Network;
use packet::{Body, Packet};
use tcp::Tcp;
use udp::Udp;

/// Linux's errno for a process that has too many files open; `io::ErrorKind` has no name for it.
const EMFILE: i32 = 24;

#[derive(Debug)]
pub(crate) struct Fabric {
    pub(crate) net: Network,
    pub(crate) tcp: Tcp,
    pub(crate) udp: Udp,
    pub(crate) snapshot: Snapshot,
    seed: u64,
    /// Sockets that programs of a host may hold.
    descriptor_limits: BTreeMap<HostId, usize>,
}

impl Fabric {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            net: Network::new(seed),
            tcp: Tcp::new(seed),
            udp: Udp::new(),
            snapshot: Snapshot::default(),
            seed,
            descriptor_limits: BTreeMap::new(),
        }
    }

    pub(crate) fn add_host(&mut self, name: &str, link: LinkConfig) -> (HostId, Ipv4Addr) {
        let mut ports = Rng::named(self.seed, &format!("ports/{name}"));
        self.tcp.add_host(&mut ports);
        self.udp.add_host(&mut ports);
        self.net.add_host(name, link)
    }

    /// Limits the sockets that programs of `host` may hold.
    pub(crate) fn set_descriptor_limit(&mut self, host: HostId, limit: Option<usize>) {
        match limit {
            Some(limit) => self.descriptor_limits.insert(host, limit),
            None => self.descriptor_limits.remove(&host),
        };
    }

    /// Whether a program of `host` may open one more socket.
    ///
    /// # Errors
    /// `EMFILE`.
    pub(crate) fn check_descriptors(&self, host: HostId) -> io::Result<()> {
        match self.descriptor_limits.get(&host) {
            Some(limit) if self.tcp.held(host) + self.udp.held(host) >= *limit => {
                Err(io::Error::from_raw_os_error(EMFILE))
            }
            _ => Ok(()),
        }
    }

    /// Has `host` forget all of its sockets, and nothing reach it any more.
    pub(crate) fn crash(&mut self, host: HostId) {
        self.tcp.crash(host);
        self.udp.crash(host);
        self.net.set_down(host, true);
    }

    /// The address that a socket of `host` may bind for `wanted`.
    ///
    /// # Errors
    /// `AddrNotAvailable` for an address that the host does not have.
    pub(crate) fn own_address(&self, host: HostId, wanted: SocketAddr) -> io::Result<SocketAddrV4> {
        let SocketAddr::V4(wanted) = wanted else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        let ip = *wanted.ip();
        if ip.is_unspecified() || self.net.has_ip(host, ip) {
            Ok(wanted)
        } else {
            Err(io::ErrorKind::AddrNotAvailable.into())
        }
    }

    /// When the next event is due, in nanoseconds.
    pub(crate) fn next_event_ns(&self) -> Option<u64> {
        self.net.events.next_ns()
    }

    /// Moves on to the next event and has it happen.
    pub(crate) fn step(&mut self) {
        let Some((at_ns, mut event)) = self.net.events.pop() else { return };
        if let Some(Event::Deliver { packet: Packet { body: Body::Tcp(segment), .. }, .. }) =
            self.net.events.coming()
        {
            self.tcp.prefetch(segment);
        }
        assert!(at_ns >= self.net.now_ns, "time does not go back");
        self.leave_instant(at_ns);
        self.net.now_ns = at_ns;
        match &mut event {
            Event::Deliver { host, packet } => self.deliver(*host, packet),
            Event::AckArrives { socket } => self.tcp.on_acks(&mut self.net, *socket),
            Event::TcpTimer { socket } => self.tcp.on_timer(&mut self.net, *socket),
            Event::Downlink { .. } => {
                if let Event::Downlink { host, packet } = event {
                    self.net.descend(at_ns, host, packet);
                }
            }
        }
    }

    /// A packet reaches `host`; what it carries is taken out of it.
    fn deliver(&mut self, host: HostId, packet: &mut Packet) {
        if self.net.is_down(host) {
            return self.net.drop_packet(host, packet, DropReason::BlackHole);
        }
        self.net.captures.delivered(self.net.now_ns, host, packet);
        let Some(to) = self.net.inside(host, packet) else { return };
        let &mut Packet { from, ref mut body, .. } = packet;
        match body {
            Body::Tcp(segment) => {
                let event = TraceEvent::SegmentDelivered {
                    from,
                    to,
                    flags: segment.flags,
                    seq: segment.seq,
                    bytes: segment.payload.len() as u32,
                };
                self.net.trace.record(self.net.now_ns, &event);
                self.tcp.deliver(&mut self.net, host, (from, to), segment);
            }
            Body::Udp(datagram) => {
                let datagram = mem::take(datagram);
                self.udp.deliver(&mut self.net, host, (from, to), datagram);
            }
        }
    }
}

/// `address` as one of this network's, which knows IPv4 only.
///
/// # Errors
/// `NetworkUnreachable` for an IPv6 address.
pub(crate) fn address_v4(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(io::ErrorKind::NetworkUnreachable.into()),
    }
}
