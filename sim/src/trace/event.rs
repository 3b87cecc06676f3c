//! What happens in a run, as typed events, and their encoding for the hash.

use std::{fmt, net::SocketAddrV4};

use super::chain::Chain;
use crate::{
    disk::DiskFault,
    fabric::{link::DropReason, packet::Flags},
};

/// One thing that happened. Addresses are those that the packet or socket bears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceEvent {
    /// A socket sent a TCP segment.
    SegmentSent {
        /// Its source.
        from: SocketAddrV4,
        /// Its destination.
        to: SocketAddrV4,
        /// Its header flags.
        flags: Flags,
        /// Its first sequence number.
        seq: u64,
        /// Payload length.
        bytes: u32,
    },
    /// A TCP segment reached its host.
    SegmentDelivered {
        /// Its source.
        from: SocketAddrV4,
        /// Its destination.
        to: SocketAddrV4,
        /// Its header flags.
        flags: Flags,
        /// Its first sequence number.
        seq: u64,
        /// Payload length.
        bytes: u32,
    },
    /// A socket sent a UDP datagram.
    DatagramSent {
        /// Its source.
        from: SocketAddrV4,
        /// Its destination.
        to: SocketAddrV4,
        /// Payload length.
        bytes: u32,
    },
    /// A UDP datagram was queued at a socket.
    DatagramDelivered {
        /// Its source.
        from: SocketAddrV4,
        /// Its destination.
        to: SocketAddrV4,
        /// Payload length.
        bytes: u32,
    },
    /// A UDP datagram reached its host, but no socket, or one whose receive buffer was full.
    DatagramDropped {
        /// Its source.
        from: SocketAddrV4,
        /// Its destination.
        to: SocketAddrV4,
        /// Payload length.
        bytes: u32,
    },
    /// A packet was lost on its way.
    LinkDropped {
        /// The packet's source.
        from: SocketAddrV4,
        /// The packet's destination.
        to: SocketAddrV4,
        /// The packet's length on the wire.
        bytes: u32,
        /// Why.
        reason: DropReason,
    },
    /// A socket sends a segment again.
    Retransmitted {
        /// The socket's own address.
        local: SocketAddrV4,
        /// Its peer's address.
        remote: SocketAddrV4,
        /// The segment's first sequence number.
        seq: u64,
        /// The retransmission timer ran out; else acknowledgments told of the loss.
        timer: bool,
    },
    /// A connection was given up: its peer has not answered for too long.
    TimedOut {
        /// The socket's own address.
        local: SocketAddrV4,
        /// Its peer's address.
        remote: SocketAddrV4,
    },
    /// The world was changed: a fault begins or ends.
    Fault {
        /// The host that it is about.
        who: String,
        /// What changes.
        what: String,
    },
    /// A TCP socket became connected; each end tells for itself.
    Opened {
        /// The socket's own address.
        local: SocketAddrV4,
        /// Its peer's address.
        remote: SocketAddrV4,
    },
    /// A TCP socket was forgotten: closed, reset, or through with TIME_WAIT.
    Closed {
        /// The socket's own address.
        local: SocketAddrV4,
        /// Its peer's address.
        remote: SocketAddrV4,
    },
    /// A connection attempt was answered by RST.
    Refused {
        /// The socket's own address.
        local: SocketAddrV4,
        /// Its peer's address.
        remote: SocketAddrV4,
    },
    /// A connection was ended by the peer's RST.
    Reset {
        /// The socket's own address.
        local: SocketAddrV4,
        /// Its peer's address.
        remote: SocketAddrV4,
    },
    /// A client, scenario or oracle noted something.
    App {
        /// Who notes it.
        who: String,
        /// What it notes.
        what: String,
    },
    /// A fault struck an operation on a host's disk.
    DiskFault {
        /// The host's name.
        host: String,
        /// Which fault.
        fault: DiskFault,
        /// The file's path.
        path: String,
        /// Bytes that were read or written all the same, or that the file kept.
        bytes: u64,
    },
}

impl TraceEvent {
    /// Chains in the event: a tag and the fields in order. Every recorded hash depends on these words; tags are
    /// never used again for something else.
    #[inline(always)] // as `Trace::record`, which calls this
    pub(super) fn chain(&self, chain: &mut Chain) {
        match self {
            Self::SegmentSent { from, to, flags, seq, bytes } => {
                segment(chain, 1, (from, to), *flags, *seq, *bytes);
            }
            Self::SegmentDelivered { from, to, flags, seq, bytes } => {
                segment(chain, 2, (from, to), *flags, *seq, *bytes);
            }
            Self::DatagramSent { from, to, bytes } => packet(chain, 3, from, to, *bytes),
            Self::DatagramDelivered { from, to, bytes } => packet(chain, 4, from, to, *bytes),
            Self::DatagramDropped { from, to, bytes } => packet(chain, 5, from, to, *bytes),
            Self::LinkDropped { from, to, bytes, reason } => {
                packet(chain, 6, from, to, *bytes);
                chain.word(*reason as u64);
            }
            Self::Opened { local, remote } => packet(chain, 7, local, remote, 0),
            Self::Closed { local, remote } => packet(chain, 8, local, remote, 0),
            Self::Refused { local, remote } => packet(chain, 9, local, remote, 0),
            Self::Reset { local, remote } => packet(chain, 10, local, remote, 0),
            Self::App { who, what } => texts(chain, 11, [who, what]),
            Self::Retransmitted { local, remote, seq, timer } => {
                packet(chain, 12, local, remote, (*timer).into());
                chain.word(*seq);
            }
            Self::TimedOut { local, remote } => packet(chain, 13, local, remote, 0),
            Self::Fault { who, what } => texts(chain, 14, [who, what]),
            Self::DiskFault { host, fault, path, bytes } => {
                texts(chain, 40, [host, path]);
                chain.word(u64::from(fault.number()));
                chain.word(*bytes);
            }
        }
    }
}

fn texts(chain: &mut Chain, tag: u64, texts: [&str; 2]) {
    chain.word(tag);
    texts.into_iter().for_each(|text| chain.text(text));
}

fn packet(chain: &mut Chain, tag: u64, from: &SocketAddrV4, to: &SocketAddrV4, bytes: u32) {
    chain.word(tag << 32 | u64::from(bytes));
    chain.address(from);
    chain.address(to);
}

fn segment(
    chain: &mut Chain,
    tag: u64,
    (from, to): (&SocketAddrV4, &SocketAddrV4),
    flags: Flags,
    seq: u64,
    bytes: u32,
) {
    packet(chain, tag << 8 | u64::from(flags.bits()), from, to, bytes);
    chain.word(seq);
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SegmentSent { from, to, flags, seq, bytes } => {
                write!(f, "tcp sent {from} > {to} {flags} seq {seq} len {bytes}")
            }
            Self::SegmentDelivered { from, to, flags, seq, bytes } => {
                write!(f, "tcp delivered {from} > {to} {flags} seq {seq} len {bytes}")
            }
            Self::DatagramSent { from, to, bytes } => {
                write!(f, "udp sent {from} > {to} len {bytes}")
            }
            Self::DatagramDelivered { from, to, bytes } => {
                write!(f, "udp delivered {from} > {to} len {bytes}")
            }
            Self::DatagramDropped { from, to, bytes } => {
                write!(f, "udp dropped {from} > {to} len {bytes}")
            }
            Self::LinkDropped { from, to, bytes, reason } => {
                write!(f, "link dropped {from} > {to} len {bytes}, {}", reason.name())
            }
            Self::Retransmitted { local, remote, seq, timer } => {
                let cause = if *timer { "timer" } else { "duplicate acknowledgments" };
                write!(f, "tcp sends again {local} > {remote} seq {seq}, {cause}")
            }
            Self::TimedOut { local, remote } => write!(f, "tcp gave up {local} with {remote}"),
            Self::Fault { who, what } => write!(f, "fault at {who}: {what}"),
            Self::Opened { local, remote } => write!(f, "tcp opened {local} with {remote}"),
            Self::Closed { local, remote } => write!(f, "tcp closed {local} with {remote}"),
            Self::Refused { local, remote } => write!(f, "tcp refused {local} by {remote}"),
            Self::Reset { local, remote } => write!(f, "tcp reset {local} by {remote}"),
            Self::App { who, what } => write!(f, "{who}: {what}"),
            Self::DiskFault { host, fault, path, bytes } => {
                write!(f, "disk of {host}: {fault} at {path} len {bytes}")
            }
        }
    }
}
