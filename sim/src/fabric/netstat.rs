//! Every socket of a host, as `netstat -an` shows them: for people and for oracles.

use std::{fmt, net::SocketAddrV4};

use super::Fabric;
use crate::executor::HostId;

/// A socket's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A socket's state; those of TCP are named in RFC 9293, 3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketState {
    /// A UDP socket, which has no connection.
    Bound,
    /// Takes connections.
    Listen,
    /// Has sent its SYN.
    SynSent,
    /// Has answered a SYN.
    SynReceived,
    /// Data flows both ways.
    Established,
    /// Has sent its FIN, and data may be unacknowledged.
    FinWait1,
    /// Its FIN is acknowledged; the peer may still send.
    FinWait2,
    /// The peer has sent its FIN; this end may still send.
    CloseWait,
    /// Both have sent their FIN, and this end's is not acknowledged.
    Closing,
    /// Has sent its FIN after the peer's.
    LastAck,
    /// Closed first; keeps the addresses for a while.
    TimeWait,
    /// The connection is over but a program still holds its handle.
    Closed,
}

impl SocketState {
    fn name(self) -> &'static str {
        match self {
            Self::Bound => "-",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::CloseWait => "CLOSE_WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Closed => "CLOSE",
        }
    }
}

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketRow {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its own address.
    pub local: SocketAddrV4,
    /// Its peer's address, when it has one.
    pub remote: Option<SocketAddrV4>,
    /// Its state.
    pub state: SocketState,
    /// Bytes that wait for the reader; of a listener, connections that wait to be accepted.
    pub rx_queue: usize,
    /// Bytes that are not acknowledged.
    pub tx_queue: usize,
    /// First sequence number that is not acknowledged; 0 without a connection.
    pub unacknowledged: u64,
    /// Bytes that the peer's window has room for, beyond what is on its way.
    pub window_free: usize,
}

/// Every socket of a host, by protocol and address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netstat {
    /// The sockets.
    pub rows: Vec<SocketRow>,
}

impl Netstat {
    pub(crate) fn of(fabric: &Fabric, host: HostId) -> Self {
        let listeners = fabric.tcp.listeners.iter().filter(|(_, listener)| listener.host == host);
        let listeners = listeners.map(|(_, listener)| SocketRow {
            protocol: Protocol::Tcp,
            local: listener.local,
            remote: None,
            state: SocketState::Listen,
            rx_queue: listener.queue.len(),
            tx_queue: 0,
            unacknowledged: 0,
            window_free: 0,
        });
        let connections = fabric.tcp.sockets.iter().filter(|(_, socket)| socket.host == host);
        let connections = connections.map(|(_, socket)| SocketRow {
            protocol: Protocol::Tcp,
            local: socket.local,
            remote: Some(socket.remote),
            state: socket.state,
            rx_queue: socket.receive.queued_bytes(),
            tx_queue: socket.unacknowledged_bytes(fabric.net.now_ns),
            unacknowledged: socket.unacknowledged(fabric.net.now_ns),
            window_free: socket.send.window_free_bytes(),
        });
        let udp = fabric.udp.sockets.iter().filter(|(_, socket)| socket.host == host);
        let udp = udp.map(|(_, socket)| SocketRow {
            protocol: Protocol::Udp,
            local: socket.local,
            remote: None,
            state: SocketState::Bound,
            rx_queue: socket.queued_bytes,
            tx_queue: 0,
            unacknowledged: 0,
            window_free: 0,
        });
        let mut rows: Vec<_> = listeners.chain(connections).chain(udp).collect();
        rows.sort();
        Self { rows }
    }

    /// How many sockets are in `state`.
    pub fn count(&self, state: SocketState) -> usize {
        self.rows.iter().filter(|row| row.state == state).count()
    }
}

/// A list of every host's sockets that is taken when time moves on from an instant. The fabric
/// takes it, and no task does, so that taking it changes no event and no poll.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    at_ns: Option<u64>,
    /// By host, in the order they were added.
    pub(crate) taken: Option<Vec<Netstat>>,
}

impl Fabric {
    /// Has the sockets of every host listed as they are at the end of the instant `at_ns`.
    pub(crate) fn take_netstat_at(&mut self, at_ns: u64) {
        self.snapshot = Snapshot { at_ns: Some(at_ns), taken: None };
    }

    /// Is called before time moves on to `to_ns`.
    pub(crate) fn leave_instant(&mut self, to_ns: u64) {
        if self.snapshot.at_ns.is_some_and(|at_ns| at_ns < to_ns) {
            let hosts = (0..self.net.host_count()).map(HostId);
            let taken = hosts.map(|host| Netstat::of(self, host)).collect();
            self.snapshot = Snapshot { at_ns: None, taken: Some(taken) };
        }
    }
}

impl fmt::Display for Netstat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "proto  rx-queue  tx-queue  {:<21}  {:<21}  state", "local", "remote")?;
        for row in &self.rows {
            let protocol = match row.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            let remote = row.remote.map_or_else(|| "*".to_owned(), |remote| remote.to_string());
            writeln!(
                f,
                "{protocol:<5}  {:>8}  {:>8}  {:<21}  {remote:<21}  {}",
                row.rx_queue,
                row.tx_queue,
                row.local.to_string(),
                row.state.name(),
            )?;
        }
        Ok(())
    }
}
