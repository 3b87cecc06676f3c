//! TCP, as far as programs can tell it from the kernel's.
//!
//! Modelled: handshake with a backlog, lost SYNs and a connection timeout, refusal, MSS, send and
//! receive buffers, the advertised window with its closing, reopening and probing, no short segments into a window that
//! is nearly full, cumulative acknowledgment, reassembly, RTT by timestamps and retransmission timer (RFC 7323, RFC 6298), slow start, congestion
//! avoidance, fast retransmit and recovery (RFC 5681, RFC 6582), half-close, FIN in every order, RST and
//! what each side then gets from `read` and `write`, giving up a silent peer, TIME_WAIT, ephemeral ports.
//!
//! Not modelled, and why a program cannot tell:
//! - Selective acknowledgment: several losses in a window take a round trip each.
//! - Window scaling and timestamps as options, and what they take of a packet: windows are simply wide
//!   enough, and every segment has its time.
//! - CUBIC, pacing, tail loss probes: throughput under loss is Reno's, recovery at the end of a burst waits for
//!   the timer.
//! - Delayed acknowledgments and Nagle's algorithm: each packet with data is acknowledged at once,
//!   each write is sent at once; the seam asks for no delay.
//! - Growing buffers: both have one size.
//! - Path MTU discovery: segments fit the links of both ends as they were at the handshake; a link
//!   whose MTU shrinks later drops them, as where ICMP is filtered.
//! - Simultaneous open: an ephemeral port is never another connection's target.
//! - Keep-alive probes: off, as on Linux unless asked for. SYN cookies, urgent data, forged segments.

mod acks;
mod congestion;
pub(crate) mod listener;
mod queue;
mod receive;
mod rtt;
mod send;
mod socket;
pub(crate) mod stream;
mod timer;
pub(crate) mod waits;

use std::{
    collections::BTreeMap,
    io, mem,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use bytes::Bytes;

use super::{
    netstat::SocketState as State,
    network::Network,
    packet::{Body, Flags, Packet, Segment},
    ports::Ports,
};
use crate::{
    executor::HostId,
    rng::Rng,
    slab::{Key, Slab},
    trace::TraceEvent,
};
use listener::Listener;
use socket::Socket;
use stream::{ShortIo, Written};
use timer::Timer;

/// Payload bytes per segment: 1,500 of Ethernet less IP and TCP headers.
pub const MSS_BYTES: usize = 1_460;
/// Bytes that a socket takes from its writer before they are acknowledged.
pub const SEND_BUFFER_BYTES: usize = 256 << 10;
/// Bytes that a socket keeps for its reader.
pub const RECEIVE_BUFFER_BYTES: usize = 128 << 10;
/// Connections of a listener that are in handshake or wait to be accepted.
pub const LISTEN_BACKLOG: usize = 1_024;
/// How long the end that closed first keeps the connection's addresses.
pub const TIME_WAIT: Duration = Duration::from_secs(60);
/// How often a segment is sent again, or the peer's window probed, without an answer, for a connection that no program
/// holds any more (Linux's `tcp_orphan_retries`): a minute and a half and more.
pub const ORPHAN_RETRIES: u8 = 8;
/// How long a closed socket waits for its peer's FIN (Linux's `tcp_fin_timeout`).
const ORPHAN_WAIT: Duration = Duration::from_secs(60);
/// A window update that nobody asked for tells of at least this much room.
const WINDOW_STEP_BYTES: u64 = 8 << 10;

/// The TCP of every host.
#[derive(Debug)]
pub(crate) struct Tcp {
    pub(crate) sockets: Slab<Socket>,
    pub(crate) listeners: Slab<Listener>,
    hosts: Vec<TcpHost>,
    initial_seqs: Rng,
    written: Written,
}

#[derive(Debug)]
struct TcpHost {
    ports: Ports,
    /// By local and remote address.
    connections: BTreeMap<(SocketAddrV4, SocketAddrV4), Key>,
    /// How many connections are yet to die between the handshake and `accept`.
    accepts_to_fail: u32,
    short_io: Option<ShortIo>,
}

impl Tcp {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            sockets: Slab::new(),
            listeners: Slab::new(),
            hosts: Vec::new(),
            initial_seqs: Rng::named(seed, "tcp/initial"),
            written: Written::default(),
        }
    }

    pub(crate) fn add_host(&mut self, ports: &mut Rng) {
        self.hosts.push(TcpHost {
            ports: Ports::new(ports),
            connections: BTreeMap::new(),
            accepts_to_fail: 0,
            short_io: None,
        });
    }

    pub(crate) fn ports(&mut self, host: HostId) -> &mut Ports {
        &mut self.hosts[host.0 as usize].ports
    }

    /// Has the next `count` connections of `host` that wait for `accept` die there.
    pub(crate) fn fail_accepts(&mut self, host: HostId, count: u32) {
        self.hosts[host.0 as usize].accepts_to_fail = count;
    }

    /// Has reads and writes of `host` move so many bytes at most, the number drawn each time.
    pub(crate) fn set_short_io(&mut self, host: HostId, short_io: Option<ShortIo>) {
        self.hosts[host.0 as usize].short_io = short_io;
    }

    /// Resets every connection of `host` that was accepted or made.
    pub(crate) fn reset_connections(&mut self, net: &mut Network, host: HostId) {
        let is_meant = |socket: &Socket| {
            let is_over = matches!(socket.state, State::Closed | State::TimeWait);
            socket.host == host && socket.listener.is_none() && !is_over
        };
        let meant = self.sockets.iter().filter(|(_, socket)| is_meant(socket));
        let keys: Vec<Key> = meant.map(|(key, _)| key).collect();
        for key in keys {
            let socket = self.socket(key);
            let before = socket.state;
            socket.send_reset(net);
            socket.fail(io::ErrorKind::ConnectionAborted);
            self.settle(net, key, before);
        }
    }

    /// Forgets every socket of `host`, and tells nobody.
    pub(crate) fn crash(&mut self, host: HostId) {
        let of_host = self.sockets.iter().filter(|(_, socket)| socket.host == host);
        let sockets: Vec<Key> = of_host.map(|(key, _)| key).collect();
        sockets.into_iter().for_each(|key| drop(self.sockets.remove(key)));
        let of_host = self.listeners.iter().filter(|(_, listener)| listener.host == host);
        let listeners: Vec<Key> = of_host.map(|(key, _)| key).collect();
        listeners.into_iter().for_each(|key| drop(self.listeners.remove(key)));
        let TcpHost { ports, connections, .. } = &mut self.hosts[host.0 as usize];
        ports.clear();
        connections.clear();
    }

    /// Sockets of `host` that a program holds.
    pub(crate) fn held(&self, host: HostId) -> usize {
        let is_held =
            |socket: &Socket| socket.host == host && !socket.is_orphan && socket.listener.is_none();
        let connections = self.sockets.iter().filter(|(_, socket)| is_held(socket)).count();
        let listeners = self.listeners.iter().filter(|(_, listener)| listener.host == host);
        connections + listeners.count()
    }

    /// Starts connecting `host` to `remote`.
    ///
    /// # Errors
    /// `HostUnreachable` when nobody has the address, `AddrNotAvailable` when every port is taken.
    fn connect(
        &mut self,
        net: &mut Network,
        host: HostId,
        remote: SocketAddrV4,
    ) -> io::Result<Key> {
        // Linux takes the unspecified address for the host's own.
        let ip = if remote.ip().is_unspecified() { Ipv4Addr::LOCALHOST } else { *remote.ip() };
        let remote = SocketAddrV4::new(ip, remote.port());
        if net.route(host, ip).is_none() {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let ports = &mut self.hosts[host.0 as usize].ports;
        let port = ports.take_ephemeral().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let addresses = (SocketAddrV4::new(net.source_ip(host, ip), port), remote);
        let initial_seq = self.initial_seqs.below(1 << 32);
        let socket = Socket::connecting(host, addresses, initial_seq, net.mss_bytes(host));
        let key = self.insert(socket);
        self.socket(key).send_syn(net);
        Ok(key)
    }

    /// Gives a socket that holds its port a place in the tables.
    fn insert(&mut self, socket: Socket) -> Key {
        let (host, addresses) = (socket.host, (socket.local, socket.remote));
        let key = self.sockets.insert(socket);
        self.socket(key).key = Some(key);
        self.hosts[host.0 as usize].connections.insert(addresses, key);
        key
    }

    fn socket(&mut self, key: Key) -> &mut Socket {
        self.sockets.get_mut(key).expect("a socket lives as long as its handle")
    }

    /// Has the sockets of both ends of a segment come into the cache.
    pub(crate) fn prefetch(&self, segment: &Segment) {
        for key in [segment.receiver, segment.sender].into_iter().flatten() {
            self.sockets.prefetch(key);
        }
    }

    /// Hands a segment that reached `host` to its socket or listener, or answers RST.
    pub(crate) fn deliver(
        &mut self,
        net: &mut Network,
        host: HostId,
        (from, to): (SocketAddrV4, SocketAddrV4),
        segment: &mut Segment,
    ) {
        let is_syn = segment.flags == Flags::SYN;
        if let Some(key) = self.find(host, (to, from), segment.receiver) {
            let socket = self.socket(key);
            let before = socket.state;
            // A new connection between the same addresses ends the wait of the old one; a SYN of the old
            // one that comes late does not (RFC 6191).
            if !(is_syn && before == State::TimeWait && socket.is_news(segment)) {
                let has_fin = segment.flags.has(Flags::FIN);
                socket.take_acks(net);
                socket.on_segment(net, segment);
                if has_fin && before == State::TimeWait && socket.state == before {
                    // The peer has not heard the last acknowledgment (RFC 9293, 3.10.7.4).
                    socket.set_timer(net, TIME_WAIT.as_nanos() as u64);
                }
                socket.await_acks(net);
                if mem::take(&mut socket.owes_ack) {
                    self.acknowledge(net, key);
                }
                self.settle(net, key, before);
                return;
            }
            socket.state = State::Closed;
            self.settle(net, key, before);
        }
        if is_syn {
            let listener = self.hosts[host.0 as usize].ports.find(to);
            if let Some(listener) = listener {
                // Without room the SYN is dropped, and the client sends it again.
                if self.has_room(listener) {
                    self.answer(net, host, listener, (to, from), segment);
                }
                return;
            }
        }
        if !segment.flags.has(Flags::RST) {
            refuse(net, host, (to, from), segment);
        }
    }

    /// Sends the acknowledgment that a socket owes; without an event, where it is known when it arrives.
    fn acknowledge(&mut self, net: &mut Network, key: Key) {
        let socket = self.socket(key);
        let (from, to, peer) = (socket.local, socket.remote, socket.peer);
        let delay_ns = net.steady_delay_ns(socket.host, *to.ip());
        let is_peer = |peer: &Key| {
            self.sockets.get(*peer).is_some_and(|peer| (peer.local, peer.remote) == (to, from))
        };
        let Some((delay_ns, peer)) = delay_ns.zip(peer.filter(is_peer)) else {
            return self.socket(key).send_ack(net);
        };
        let ack = self.socket(key).pass_ack(net, net.now_ns + delay_ns);
        let peer = self.socket(peer);
        peer.acks.push(ack);
        peer.await_acks(net);
    }

    /// An acknowledgment arrives that a socket waits for.
    pub(crate) fn on_acks(&mut self, net: &mut Network, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let before = socket.state;
        socket.acks.on_event();
        if before != State::Closed {
            socket.take_acks(net);
            socket.await_acks(net);
        }
        self.settle(net, key, before);
    }

    fn find(
        &self,
        host: HostId,
        addresses: (SocketAddrV4, SocketAddrV4),
        hint: Option<Key>,
    ) -> Option<Key> {
        let is_it = |key: &Key| {
            self.sockets.get(*key).is_some_and(|socket| {
                (socket.local, socket.remote) == addresses && socket.state != State::Closed
            })
        };
        hint.filter(is_it)
            .or_else(|| self.hosts[host.0 as usize].connections.get(&addresses).copied())
    }

    fn has_room(&self, listener: Key) -> bool {
        self.listeners.get(listener).is_some_and(Listener::has_room)
    }

    fn answer(
        &mut self,
        net: &mut Network,
        host: HostId,
        listener: Key,
        addresses: (SocketAddrV4, SocketAddrV4),
        syn: &Segment,
    ) {
        self.hosts[host.0 as usize].ports.hold(addresses.0.port());
        let initial_seq = self.initial_seqs.below(1 << 32);
        let mss_bytes = net.mss_bytes(host);
        let socket = Socket::answering(host, addresses, initial_seq, mss_bytes, (listener, syn));
        let key = self.insert(socket);
        let listener = self.listeners.get_mut(listener).expect("a bound listener is open");
        listener.handshakes += 1;
        self.socket(key).send_syn(net);
    }

    /// Does for the tables what follows from a socket's change of state.
    fn settle(&mut self, net: &mut Network, key: Key, before: State) {
        let socket = self.socket(key);
        let after = socket.state;
        if after == before {
            return;
        }
        let (is_orphan, listener) = (socket.is_orphan, socket.listener);
        if before == State::SynReceived {
            let listener = listener.and_then(|key| self.listeners.get_mut(key));
            listener.expect("a handshake ends before its listener").on_handshake(key, after);
        }
        let socket = self.socket(key);
        match after {
            State::TimeWait => socket.set_timer(net, TIME_WAIT.as_nanos() as u64),
            State::FinWait2 if is_orphan => socket.set_timer(net, ORPHAN_WAIT.as_nanos() as u64),
            State::Closed => {
                self.unlink(net, key);
                if is_orphan || before == State::SynReceived {
                    self.sockets.remove(key);
                }
            }
            _ => {}
        }
    }

    /// Frees the socket's addresses.
    fn unlink(&mut self, net: &mut Network, key: Key) {
        let socket = self.socket(key);
        let (host, local, remote) = (socket.host, socket.local, socket.remote);
        let TcpHost { ports, connections, .. } = &mut self.hosts[host.0 as usize];
        connections.remove(&(local, remote));
        ports.release(local.port());
        net.trace.record(net.now_ns, &TraceEvent::Closed { local, remote });
    }

    pub(crate) fn on_timer(&mut self, net: &mut Network, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let before = socket.state;
        socket.take_acks(net);
        if socket.timer.on_event(net, key) {
            match socket.state {
                State::TimeWait | State::FinWait2 => socket.state = State::Closed,
                State::Closed => {}
                _ => socket.on_timeout(net),
            }
        }
        socket.await_acks(net);
        self.settle(net, key, before);
    }

    /// Ends the sending direction of a connection.
    fn shut_down(&mut self, net: &mut Network, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let before = socket.state;
        socket.take_acks(net);
        socket.close_sending(net);
        socket.await_acks(net);
        self.settle(net, key, before);
    }

    /// Closes a connection whose handle is gone: in order, or by RST if the peer's bytes are lost.
    fn close(&mut self, net: &mut Network, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let before = socket.state;
        socket.take_acks(net);
        socket.is_orphan = true;
        (socket.reader, socket.writer) = (None, None);
        match before {
            State::Closed => {
                self.sockets.remove(key);
                return;
            }
            State::SynSent => socket.state = State::Closed,
            State::TimeWait => {}
            _ if socket.receive.queued_bytes() > 0 => socket.send_reset(net),
            State::FinWait2 => socket.set_timer(net, ORPHAN_WAIT.as_nanos() as u64),
            _ => {
                socket.close_sending(net);
                socket.await_acks(net);
            }
        }
        self.settle(net, key, before);
    }

    /// Ends a connection that nobody accepted.
    fn abort(&mut self, net: &mut Network, key: Key) {
        let socket = self.socket(key);
        let before = socket.state;
        socket.is_orphan = true;
        if before == State::Closed {
            self.sockets.remove(key);
            return;
        }
        socket.send_reset(net);
        self.settle(net, key, before);
    }
}

/// Answers a segment that no socket takes (RFC 9293, 3.5.2).
fn refuse(
    net: &mut Network,
    host: HostId,
    (local, remote): (SocketAddrV4, SocketAddrV4),
    segment: &Segment,
) {
    let reset = Segment {
        seq: if segment.flags.has(Flags::ACK) { segment.ack } else { 0 },
        ack: segment.seq + segment.sequence_len(),
        window_bytes: 0,
        flags: Flags::RST | Flags::ACK,
        mss_bytes: MSS_BYTES as u16,
        sent_ns: 0,
        echo_ns: 0,
        payload: Bytes::new(),
        sender: None,
        receiver: segment.sender,
    };
    net.send(host, Packet { from: local, to: remote, body: Body::Tcp(reset) });
}
