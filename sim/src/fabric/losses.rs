//! Datagrams that links have dropped, for who wants to know what really got lost.

use std::{net::SocketAddrV4, time::Duration};

use super::packet::{Body, Packet};

/// Of each datagram so many bytes are kept: those of RTP's fixed header.
const HEAD_BYTES: usize = 12;

/// A datagram that a link, or what lies beyond it, has dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostDatagram {
    /// When, since the world began.
    pub at: Duration,
    /// Its source, as the link saw it.
    pub from: SocketAddrV4,
    /// Its destination.
    pub to: SocketAddrV4,
    /// Its first bytes; zeros where it is shorter.
    pub head: [u8; HEAD_BYTES],
}

/// The log of them, once somebody wants it.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    log: Option<Vec<LostDatagram>>,
}

impl Losses {
    /// From now on they are kept.
    pub(crate) fn keep(&mut self) {
        self.log.get_or_insert_default();
    }

    pub(crate) fn log(&self) -> &[LostDatagram] {
        self.log.as_deref().unwrap_or_default()
    }

    /// `packet` was dropped at `now_ns`.
    pub(crate) fn dropped(&mut self, now_ns: u64, packet: &Packet) {
        if let (Some(log), Body::Udp(datagram)) = (&mut self.log, &packet.body) {
            let mut head = [0; HEAD_BYTES];
            let bytes = datagram.len().min(HEAD_BYTES);
            head[..bytes].copy_from_slice(&datagram[..bytes]);
            let Packet { from, to, .. } = *packet;
            log.push(LostDatagram { at: Duration::from_nanos(now_ns), from, to, head });
        }
    }
}
