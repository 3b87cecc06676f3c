//! Datagrams that came to the sockets of a host, for who wants to know when they did.

use std::{net::SocketAddrV4, time::Duration};

use bytes::Bytes;

use crate::executor::HostId;

/// How much of a datagram is kept: the fixed header of RTP.
const HEAD_BYTES: usize = 12;

/// A datagram that a socket has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrivedDatagram {
    /// When, since the world began.
    pub at: Duration,
    /// Its source, as the host saw it.
    pub from: SocketAddrV4,
    /// Its destination.
    pub to: SocketAddrV4,
    /// Its first bytes, with zeros behind it if it is shorter.
    pub head: [u8; HEAD_BYTES],
}

/// The log of them, once somebody wants it of a host.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    at: Option<HostId>,
    log: Vec<ArrivedDatagram>,
}

impl Arrivals {
    /// From now on those at `host` are kept.
    pub(crate) fn keep_at(&mut self, host: HostId) {
        self.at = Some(host);
    }

    pub(crate) fn log(&self) -> &[ArrivedDatagram] {
        &self.log
    }

    /// `datagram` came to `host` at `now_ns`.
    pub(crate) fn arrived(
        &mut self,
        now_ns: u64,
        host: HostId,
        (from, to): (SocketAddrV4, SocketAddrV4),
        datagram: &Bytes,
    ) {
        if self.at == Some(host) {
            let mut head = [0; HEAD_BYTES];
            let kept = datagram.len().min(HEAD_BYTES);
            head[..kept].copy_from_slice(&datagram[..kept]);
            self.log.push(ArrivedDatagram { at: Duration::from_nanos(now_ns), from, to, head });
        }
    }
}
