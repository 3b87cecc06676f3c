//! UDP: bound sockets, their receive buffers, and the counters that `netstat -su` shows.
//!
//! A datagram longer than a link's MTU goes over it in fragments, of which none may be lost, but is one
//! event. ICMP answers and send buffers are not modelled: a datagram for a port that nobody is bound
//! to is lost silently.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    net::{SocketAddr, SocketAddrV4},
    sync::Arc,
    task::{Poll, Waker},
};

use bytes::Bytes;
use rehearsal_core::env::UdpSocket;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    address_v4,
    network::Network,
    packet::{Body, Packet},
    ports::Ports,
};
use crate::{
    executor::HostId,
    rng::Rng,
    slab::{Key, Slab},
    trace::TraceEvent,
    world::Shared,
};

/// The longest payload of a UDP datagram over IPv4.
pub const MAX_DATAGRAM_BYTES: usize = 65_507;
/// What may wait for a socket's reader, with [`UDP_DATAGRAM_OVERHEAD_BYTES`] for each datagram; what finds no
/// room is dropped and counted. Linux's `net.core.rmem_default`.
pub const UDP_RECEIVE_BUFFER_BYTES: usize = 212_992;
/// What a datagram takes of the receive buffer beside its payload: Linux's `sk_buff` and
/// `skb_shared_info`, as its `SKB_TRUESIZE` has them on x86-64.
pub const UDP_DATAGRAM_OVERHEAD_BYTES: usize = 576;
/// Linux's errno for a datagram that is too long; `io::ErrorKind` has no stable name for it.
const EMSGSIZE: i32 = 90;

/// A host's UDP counters, as Linux shows them in `/proc/net/snmp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounters {
    /// Datagrams queued at a socket.
    pub received: u64,
    /// Datagrams dropped because the socket's receive buffer was full.
    pub receive_buffer_errors: u64,
    /// Datagrams for a port that nobody was bound to.
    pub no_port: u64,
    /// Datagrams sent.
    pub sent: u64,
}

#[derive(Debug)]
pub(crate) struct Udp {
    pub(crate) sockets: Slab<Socket>,
    hosts: Vec<UdpHost>,
}

#[derive(Debug)]
struct UdpHost {
    ports: Ports,
    counters: UdpCounters,
}

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) host: HostId,
    pub(crate) local: SocketAddrV4,
    pub(crate) queued_bytes: usize,
    queue: VecDeque<(SocketAddrV4, Bytes)>,
    /// Datagrams that found no room.
    dropped: u64,
    // Tasks may share a socket; each waits with a waker of its own.
    readers: Vec<Waker>,
}

impl Udp {
    pub(crate) fn new() -> Self {
        Self { sockets: Slab::new(), hosts: Vec::new() }
    }

    pub(crate) fn add_host(&mut self, rng: &mut Rng) {
        self.hosts.push(UdpHost { ports: Ports::new(rng), counters: UdpCounters::default() });
    }

    pub(crate) fn counters(&self, host: HostId) -> UdpCounters {
        self.hosts[host.0 as usize].counters
    }

    pub(crate) fn bind(
        &mut self,
        host: HostId,
        wanted: SocketAddrV4,
    ) -> io::Result<(Key, SocketAddrV4)> {
        let ports = &mut self.hosts[host.0 as usize].ports;
        let local = ports.choose(wanted)?;
        let key = self.sockets.insert(Socket {
            host,
            local,
            queued_bytes: 0,
            queue: VecDeque::new(),
            dropped: 0,
            readers: Vec::new(),
        });
        ports.bind(local, key);
        Ok((key, local))
    }

    /// Sockets of `host` that a program holds.
    pub(crate) fn held(&self, host: HostId) -> usize {
        self.sockets.iter().filter(|(_, socket)| socket.host == host).count()
    }

    pub(crate) fn ports(&mut self, host: HostId) -> &mut Ports {
        &mut self.hosts[host.0 as usize].ports
    }

    /// Forgets every socket of `host`.
    pub(crate) fn crash(&mut self, host: HostId) {
        let of_host = self.sockets.iter().filter(|(_, socket)| socket.host == host);
        let sockets: Vec<Key> = of_host.map(|(key, _)| key).collect();
        sockets.into_iter().for_each(|key| drop(self.sockets.remove(key)));
        self.ports(host).clear();
    }

    fn close(&mut self, key: Key) {
        if let Some(socket) = self.sockets.remove(key) {
            self.hosts[socket.host.0 as usize].ports.unbind(socket.local);
        }
    }

    fn send(
        &mut self,
        net: &mut Network,
        key: Key,
        datagram: &[u8],
        to: SocketAddrV4,
    ) -> io::Result<()> {
        if datagram.len() > MAX_DATAGRAM_BYTES {
            return Err(io::Error::from_raw_os_error(EMSGSIZE));
        }
        let socket = self.sockets.get(key).ok_or(io::ErrorKind::NotConnected)?;
        if net.route(socket.host, *to.ip()).is_none() {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let ip = match *socket.local.ip() {
            ip if ip.is_unspecified() => net.source_ip(socket.host, *to.ip()),
            ip => ip,
        };
        let from = SocketAddrV4::new(ip, socket.local.port());
        self.hosts[socket.host.0 as usize].counters.sent += 1;
        net.trace.chain_bytes(xxh3_64(datagram));
        let body = Body::Udp(Bytes::copy_from_slice(datagram));
        net.send(socket.host, Packet { from, to, body });
        Ok(())
    }

    pub(crate) fn deliver(
        &mut self,
        net: &mut Network,
        host: HostId,
        (from, to): (SocketAddrV4, SocketAddrV4),
        datagram: Bytes,
    ) {
        let UdpHost { ports, counters } = &mut self.hosts[host.0 as usize];
        let bytes = datagram.len() as u32;
        let socket = ports.find(to).and_then(|key| self.sockets.get_mut(key));
        let event = match socket {
            None => {
                counters.no_port += 1;
                TraceEvent::DatagramDropped { from, to, bytes }
            }
            Some(socket)
                if socket.queued_bytes + charge_bytes(&datagram) > UDP_RECEIVE_BUFFER_BYTES =>
            {
                counters.receive_buffer_errors += 1;
                socket.dropped += 1;
                TraceEvent::DatagramDropped { from, to, bytes }
            }
            Some(socket) => {
                counters.received += 1;
                net.arrivals.arrived(net.now_ns, host, (from, to), &datagram);
                socket.queued_bytes += charge_bytes(&datagram);
                socket.queue.push_back((from, datagram));
                socket.readers.drain(..).for_each(Waker::wake);
                TraceEvent::DatagramDelivered { from, to, bytes }
            }
        };
        net.trace.record(net.now_ns, &event);
    }

    fn poll_receive(&mut self, key: Key, waker: &Waker) -> Poll<io::Result<(SocketAddrV4, Bytes)>> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        match socket.queue.pop_front() {
            Some((from, datagram)) => {
                socket.queued_bytes -= charge_bytes(&datagram);
                Poll::Ready(Ok((from, datagram)))
            }
            None => {
                if !socket.readers.iter().any(|reader| reader.will_wake(waker)) {
                    socket.readers.push(waker.clone());
                }
                Poll::Pending
            }
        }
    }
}

/// What `datagram` takes of a receive buffer.
fn charge_bytes(datagram: &Bytes) -> usize {
    datagram.len() + UDP_DATAGRAM_OVERHEAD_BYTES
}

/// A UDP socket of a simulated host.
#[derive(Debug)]
pub struct SimUdpSocket {
    shared: Arc<Shared>,
    key: Key,
    local: SocketAddrV4,
}

impl SimUdpSocket {
    pub(crate) fn bind(
        shared: &Arc<Shared>,
        host: HostId,
        wanted: SocketAddrV4,
    ) -> io::Result<Self> {
        let mut fabric = shared.fabric();
        fabric.check_descriptors(host)?;
        let (key, local) = fabric.udp.bind(host, wanted)?;
        Ok(Self { shared: Arc::clone(shared), key, local })
    }
}

impl Drop for SimUdpSocket {
    fn drop(&mut self) {
        if let Some(mut fabric) = self.shared.fabric_unless_broken() {
            fabric.udp.close(self.key);
        }
    }
}

impl UdpSocket for SimUdpSocket {
    async fn send_to(&self, datagram: &[u8], target: SocketAddr) -> io::Result<usize> {
        let target = address_v4(target)?;
        let mut fabric = self.shared.fabric();
        let super::Fabric { udp, net, .. } = &mut *fabric;
        udp.send(net, self.key, datagram, target)?;
        Ok(datagram.len())
    }

    async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (from, datagram) =
            poll_fn(|cx| self.shared.fabric().udp.poll_receive(self.key, cx.waker())).await?;
        let fits = datagram.len().min(buf.len());
        buf[..fits].copy_from_slice(&datagram[..fits]);
        Ok((fits, from.into()))
    }

    async fn dropped(&self) -> u64 {
        self.shared.fabric().udp.sockets.get(self.key).map_or(0, |socket| socket.dropped)
    }

    fn local_addr(&self) -> SocketAddr {
        self.local.into()
    }
}
