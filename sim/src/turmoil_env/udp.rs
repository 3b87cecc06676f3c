//! UDP of turmoil, with the limit of a datagram.

use std::{io, net::SocketAddr};

use rehearsal_core::env::UdpSocket;
use turmoil::net;

use crate::fabric::udp::MAX_DATAGRAM_BYTES;

/// Linux's errno for a datagram that is too long; `io::ErrorKind` has no stable name for it.
const EMSGSIZE: i32 = 90;

/// A UDP socket of turmoil's.
#[derive(Debug)]
pub struct TurmoilUdpSocket {
    socket: net::UdpSocket,
    local_addr: SocketAddr,
}

impl TurmoilUdpSocket {
    pub(super) async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = net::UdpSocket::bind(addr).await?;
        let local_addr = socket.local_addr()?;
        Ok(Self { socket, local_addr })
    }
}

impl UdpSocket for TurmoilUdpSocket {
    async fn send_to(&self, datagram: &[u8], target: SocketAddr) -> io::Result<usize> {
        if datagram.len() > MAX_DATAGRAM_BYTES {
            return Err(io::Error::from_raw_os_error(EMSGSIZE));
        }
        self.socket.send_to(datagram, target).await
    }

    async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buf).await
    }

    async fn dropped(&self) -> u64 {
        0
    }

    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}
