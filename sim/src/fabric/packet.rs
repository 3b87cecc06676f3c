//! What travels through the fabric: IPv4 packets that carry a TCP segment or a UDP datagram.
//!
//! Packets are values, not bytes: nothing is serialised on the way. Sequence numbers are 64 bits
//! wide and never wrap; their low 32 bits are what a real header would show.

use std::{fmt, net::SocketAddrV4, ops::BitOr};

use bytes::Bytes;

use crate::slab::Key;

/// IPv4 and TCP headers without options.
const TCP_OVERHEAD_BYTES: u64 = 40;
/// IPv4 and UDP headers.
const UDP_OVERHEAD_BYTES: u64 = 28;

#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Tcp(Segment),
    Udp(Bytes),
}

impl Packet {
    /// Length on the wire from the IP header on.
    pub(crate) fn wire_bytes(&self) -> u64 {
        match &self.body {
            Body::Tcp(segment) => TCP_OVERHEAD_BYTES + segment.payload.len() as u64,
            Body::Udp(datagram) => UDP_OVERHEAD_BYTES + datagram.len() as u64,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) seq: u64,
    pub(crate) ack: u64,
    pub(crate) window_bytes: u32,
    pub(crate) flags: Flags,
    pub(crate) payload: Bytes,
    /// The socket that sent this, as an answer's `receiver`.
    pub(crate) sender: Option<Key>,
    /// The socket this is for, when the sender has heard from it: saves looking up addresses.
    pub(crate) receiver: Option<Key>,
}

impl Segment {
    /// Sequence numbers this takes: its payload, and one each for SYN and FIN.
    pub(crate) fn sequence_len(&self) -> u64 {
        self.payload.len() as u64
            + u64::from(self.flags.has(Flags::SYN))
            + u64::from(self.flags.has(Flags::FIN))
    }
}

/// TCP header flags, with the bits they have on the wire (RFC 9293, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// The acknowledgment number counts.
    pub const ACK: Self = Self(0x10);

    /// Whether all flags of `other` are set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags as the byte of the TCP header.
    pub fn bits(self) -> u8 {
        self.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (flag, name) in
            [(Self::SYN, "SYN"), (Self::FIN, "FIN"), (Self::RST, "RST"), (Self::ACK, "ACK")]
        {
            if self.has(flag) {
                write!(f, "{separator}{name}")?;
                separator = "+";
            }
        }
        Ok(())
    }
}
