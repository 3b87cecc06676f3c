//! TCP, as far as programs can tell it from the kernel's.
//!
//! Modelled: handshake with a backlog, refusal, MSS, send and receive buffers, the advertised
//! window with its closing and reopening, cumulative acknowledgment, half-close, FIN in every
//! order, RST and what each side then gets from `read` and `write`, TIME_WAIT, ephemeral ports.
//!
//! Not modelled, and why a program cannot tell:
//! - Loss, so no retransmission, congestion control, RTT estimate or zero-window probe: only a
//!   link's full queue drops a segment, and then the connection stands still. Sequence numbers,
//!   cumulative acknowledgments and unacknowledged chunks are kept as these will need them.
//! - A full backlog answers RST; Linux drops the SYN, which the client sends again.
//! - Simultaneous open: an ephemeral port is never another connection's target.
//! - Delayed acknowledgments and Nagle's algorithm: each segment with data is acknowledged at once,
//!   each write is sent at once; the seam asks for no delay.
//! - Options (window scaling, SACK, timestamps): the window is simply wide enough.
//! - Urgent data, and checks against forged segments.

pub(crate) mod listener;
mod receive;
mod send;
mod socket;
pub(crate) mod stream;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use bytes::Bytes;

use super::{
    events::Event,
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
/// How long a closed socket waits for its peer's FIN (Linux's `tcp_fin_timeout`).
const ORPHAN_WAIT: Duration = Duration::from_secs(60);
/// A window update that nobody asked for tells of at least this much room.
const WINDOW_STEP_BYTES: u64 = 8 << 10;

/// What a socket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The end of TIME_WAIT.
    TimeWait,
    /// The end of patience with a peer that does not send its FIN.
    OrphanWait,
}

/// The TCP of every host.
#[derive(Debug)]
pub(crate) struct Tcp {
    pub(crate) sockets: Slab<Socket>,
    pub(crate) listeners: Slab<Listener>,
    hosts: Vec<TcpHost>,
    initial_seqs: Rng,
}

#[derive(Debug)]
struct TcpHost {
    ports: Ports,
    /// By local and remote address.
    connections: BTreeMap<(SocketAddrV4, SocketAddrV4), Key>,
}

impl Tcp {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            sockets: Slab::new(),
            listeners: Slab::new(),
            hosts: Vec::new(),
            initial_seqs: Rng::named(seed, "tcp/initial"),
        }
    }

    pub(crate) fn add_host(&mut self, ports: &mut Rng) {
        self.hosts.push(TcpHost { ports: Ports::new(ports), connections: BTreeMap::new() });
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
        let socket = Socket::connecting(host, addresses, self.initial_seqs.below(1 << 32));
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

    /// Hands a segment that reached `host` to its socket or listener, or answers RST.
    pub(crate) fn deliver(
        &mut self,
        net: &mut Network,
        host: HostId,
        (from, to): (SocketAddrV4, SocketAddrV4),
        segment: Segment,
    ) {
        let is_syn = segment.flags == Flags::SYN;
        if let Some(key) = self.find(host, (to, from), segment.receiver) {
            let socket = self.socket(key);
            let before = socket.state;
            if !(is_syn && before == State::TimeWait) {
                socket.on_segment(net, segment);
                self.settle(net, key, before);
                return;
            }
            // A new connection between the same addresses ends the wait of the old one.
            socket.state = State::Closed;
            self.settle(net, key, before);
        }
        if is_syn {
            let listener = self.hosts[host.0 as usize].ports.find(to);
            if let Some(listener) = listener.filter(|key| self.has_room(*key)) {
                self.answer(net, host, listener, (to, from), &segment);
                return;
            }
        }
        if !segment.flags.has(Flags::RST) {
            refuse(net, host, (to, from), &segment);
        }
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
        let key = self.insert(Socket::answering(host, addresses, initial_seq, listener, syn));
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
        match after {
            State::TimeWait => schedule(net, key, Timer::TimeWait, TIME_WAIT),
            State::FinWait2 if is_orphan => schedule(net, key, Timer::OrphanWait, ORPHAN_WAIT),
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
        let TcpHost { ports, connections } = &mut self.hosts[host.0 as usize];
        connections.remove(&(local, remote));
        ports.release(local.port());
        net.trace.record(net.now_ns, &TraceEvent::Closed { local, remote });
    }

    pub(crate) fn on_timer(&mut self, net: &mut Network, key: Key, timer: Timer) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let before = socket.state;
        let is_due = match timer {
            Timer::TimeWait => before == State::TimeWait,
            Timer::OrphanWait => before == State::FinWait2,
        };
        if is_due {
            socket.state = State::Closed;
            self.settle(net, key, before);
        }
    }

    /// Ends the sending direction of a connection.
    fn shut_down(&mut self, net: &mut Network, key: Key) {
        let socket = self.socket(key);
        let before = socket.state;
        socket.close_sending(net);
        self.settle(net, key, before);
    }

    /// Closes a connection whose handle is gone: in order, or by RST if the peer's bytes are lost.
    fn close(&mut self, net: &mut Network, key: Key) {
        let socket = self.socket(key);
        let before = socket.state;
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
            State::FinWait2 => schedule(net, key, Timer::OrphanWait, ORPHAN_WAIT),
            _ => socket.close_sending(net),
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

fn schedule(net: &mut Network, socket: Key, timer: Timer, after: Duration) {
    let at_ns = net.now_ns + after.as_nanos() as u64;
    net.events.schedule(at_ns, Event::TcpTimer { socket, timer });
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
        payload: Bytes::new(),
        sender: None,
        receiver: segment.sender,
    };
    net.send(host, Packet { from: local, to: remote, body: Body::Tcp(reset) });
}
