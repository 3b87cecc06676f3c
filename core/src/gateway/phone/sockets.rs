//! The sockets of one media line, and the ports that they have.

use std::sync::Arc;

use super::notices::{Notice, Notices};
use crate::{env::UdpSocket, rtp::ports::PortPair};

/// Sockets for RTP and RTCP. When they are dropped, whoever it is that lets go of them, their ports are told to be free.
#[derive(Debug)]
pub(super) struct SocketPair<S> {
    pub(super) rtp: S,
    pub(super) rtcp: S,
    /// Behind the sockets: they are closed before it is told.
    lease: Lease,
}

#[derive(Debug)]
struct Lease {
    notices: Arc<Notices>,
    ports: Option<PortPair>,
}

impl<S: UdpSocket> SocketPair<S> {
    /// Sockets that are bound to `ports`.
    pub(super) fn new(notices: Arc<Notices>, ports: PortPair, (rtp, rtcp): (S, S)) -> Self {
        Self { rtp, rtcp, lease: Lease { notices, ports: Some(ports) } }
    }

    /// Closes the sockets, and gives the ports.
    pub(super) fn into_ports(self) -> PortPair {
        let Self { rtp, rtcp, mut lease } = self;
        drop((rtp, rtcp));
        lease.ports.take().expect("ports are given once")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(ports) = self.ports.take() {
            self.notices.push(Notice::Closed(ports));
        }
    }
}
