//! Datagrams that links have dropped, for who wants to know what really got lost.

use std::{net::SocketAddrV4, time::Duration};

use bytes::Bytes;

use super::packet::{Body, Packet};

/// A datagram that a link, or what lies beyond it, has dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostDatagram {
    /// When, since the world began.
    pub at: Duration,
    /// Its source, as the link saw it.
    pub from: SocketAddrV4,
    /// Its destination.
    pub to: SocketAddrV4,
    /// What was in it.
    pub content: Bytes,
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
            let (at, Packet { from, to, .. }) = (Duration::from_nanos(now_ns), packet);
            log.push(LostDatagram { at, from: *from, to: *to, content: datagram.clone() });
        }
    }
}
