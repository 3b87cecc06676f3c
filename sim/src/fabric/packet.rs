//! What travels through the fabric: IPv4 packets that carry a TCP segment or a UDP datagram.
//!
//! Packets are values, not bytes: nothing is serialised on the way. Sequence numbers are 64 bits
//! wide and never wrap; their low 32 bits are what a real header would show.
//!
//! Where all packets of a path share one fate, a TCP segment may be longer than the MSS: it stands
//! for the packets that a network card would cut it into, and for the one that the receiver's puts
//! together again.

use std::{fmt, net::SocketAddrV4, ops::BitOr};

use bytes::Bytes;

use super::netstat::Protocol;

use crate::slab::Key;

/// IPv4 and TCP headers without options.
pub(crate) const TCP_OVERHEAD_BYTES: u64 = 40;
/// The IPv4 header.
const IP_OVERHEAD_BYTES: u64 = 20;
/// The UDP header.
const UDP_OVERHEAD_BYTES: u64 = 8;

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Tcp(Segment),
    Udp(Bytes),
}

/// How a packet goes over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Length on the wire from the IP header on, those of all parts together.
    pub(crate) wire_bytes: u64,
    /// Parts of which none may be lost.
    pub(crate) fragments: u32,
}

impl Packet {
    pub(crate) fn protocol(&self) -> Protocol {
        match self.body {
            Body::Tcp(_) => Protocol::Tcp,
            Body::Udp(_) => Protocol::Udp,
        }
    }

    /// Length on the wire from the IP header on, in one piece.
    pub(crate) fn wire_bytes(&self) -> u64 {
        match &self.body {
            Body::Tcp(segment) => TCP_OVERHEAD_BYTES + segment.payload.len() as u64,
            Body::Udp(datagram) => IP_OVERHEAD_BYTES + UDP_OVERHEAD_BYTES + datagram.len() as u64,
        }
    }

    /// Length of the longest of the packets that this stands for.
    pub(crate) fn longest_bytes(&self) -> u64 {
        match &self.body {
            Body::Tcp(segment) => {
                TCP_OVERHEAD_BYTES + (segment.payload.len() as u64).min(segment.mss_bytes.into())
            }
            Body::Udp(_) => self.wire_bytes(),
        }
    }

    /// How the packet goes over a link of this MTU; `None` for a segment that is too long for it.
    pub(crate) fn shape(&self, mtu_bytes: u32) -> Option<Shape> {
        let mtu_bytes = u64::from(mtu_bytes);
        match &self.body {
            Body::Tcp(segment) => {
                let payload_bytes = segment.payload.len() as u64;
                let packets = payload_bytes.div_ceil(u64::from(segment.mss_bytes)).max(1);
                let fits = self.longest_bytes() <= mtu_bytes;
                let wire_bytes = payload_bytes + packets * TCP_OVERHEAD_BYTES;
                fits.then_some(Shape { wire_bytes, fragments: 1 })
            }
            // Fragments begin at multiples of 8 bytes (RFC 791, 3.2).
            Body::Udp(datagram) => {
                let bytes = UDP_OVERHEAD_BYTES + datagram.len() as u64;
                let fragment_bytes = ((mtu_bytes - IP_OVERHEAD_BYTES) & !7).max(8);
                let fragments = match bytes + IP_OVERHEAD_BYTES <= mtu_bytes {
                    true => 1,
                    false => bytes.div_ceil(fragment_bytes),
                };
                let wire_bytes = bytes + fragments * IP_OVERHEAD_BYTES;
                Some(Shape { wire_bytes, fragments: fragments as u32 })
            }
        }
    }

    /// Flips a bit of a datagram's payload; false when a checksum finds it, and the packet is lost.
    pub(crate) fn flip(&mut self, bit: u64) -> bool {
        let Body::Udp(datagram) = &mut self.body else { return false };
        let bits = datagram.len() as u64 * 8;
        if bits == 0 {
            return false;
        }
        let mut flipped = datagram.to_vec();
        flipped[(bit % bits / 8) as usize] ^= 1 << (bit % 8);
        *datagram = flipped.into();
        true
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) seq: u64,
    pub(crate) ack: u64,
    pub(crate) window_bytes: u32,
    pub(crate) flags: Flags,
    /// In a SYN, the longest payload that the sender takes; else what the payload is cut into.
    pub(crate) mss_bytes: u16,
    /// When this was sent (TSval of RFC 7323, of a clock that does not wrap).
    pub(crate) sent_ns: u64,
    /// The `sent_ns` of what this answers (TSecr).
    pub(crate) echo_ns: u64,
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
