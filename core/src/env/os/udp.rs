//! UDP sockets of the kernel's, and what it tells of them.

use std::{
    future::pending,
    io,
    net::{SocketAddr, UdpSocket as Socket},
    sync::{Arc, OnceLock},
};

use tokio::io::{Interest, unix::AsyncFd};

use super::{blocking, paced::Arrivals};
use crate::env::UdpSocket;

/// A UDP socket of the kernel's. Not tokio's: that one is woken by each datagram that has left, as one for which there is room
/// again, which doubles the wakes of who answers what comes.
#[derive(Debug)]
pub struct OsUdpSocket {
    /// In front of the socket: it is not watched any more when it is closed.
    watched: OnceLock<Watched>,
    socket: Arc<Socket>,
    local_addr: SocketAddr,
}

/// How it is told that something has come: by whom is known when it is waited for.
#[derive(Debug)]
enum Watched {
    /// Along with others.
    Paced(Arrivals),
    /// At once.
    Alone(AsyncFd<Arc<Socket>>),
    /// Not at all: the system does not watch so many.
    Never,
}

impl OsUdpSocket {
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::bind(addr)?;
        socket.set_nonblocking(true)?;
        let local_addr = socket.local_addr()?;
        Ok(Self { watched: OnceLock::new(), socket: Arc::new(socket), local_addr })
    }

    fn watch(&self) -> io::Result<Watched> {
        if let Some(paced) = Arrivals::here(&self.socket) {
            return paced.map(Watched::Paced);
        }
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe, for what may change its descriptor"
        )]
        let alone = AsyncFd::with_interest(Arc::clone(&self.socket), Interest::READABLE)?;
        Ok(Watched::Alone(alone))
    }

    /// How it is watched.
    ///
    /// # Errors
    /// It cannot be, which is told once.
    fn watched(&self) -> io::Result<&Watched> {
        match self.watched.get() {
            Some(watched) => Ok(watched),
            None => {
                let (watched, error) = match self.watch() {
                    Ok(watched) => (watched, None),
                    Err(error) => (Watched::Never, Some(error)),
                };
                let watched = self.watched.get_or_init(|| watched);
                error.map_or(Ok(watched), Err)
            }
        }
    }
}

impl UdpSocket for OsUdpSocket {
    async fn send_to(&self, datagram: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.socket.send_to(datagram, target)
    }

    async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.watched()? {
            Watched::Paced(arrivals) => arrivals.take(|| self.socket.recv_from(buf)).await,
            Watched::Alone(socket) => {
                socket.async_io(Interest::READABLE, |socket| socket.recv_from(buf)).await
            }
            Watched::Never => pending().await,
        }
    }

    async fn dropped(&self) -> u64 {
        let local = self.local_addr;
        let told = blocking(move || udp_table::dropped(local)).await;
        told.ok().flatten().unwrap_or_default()
    }

    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

/// What Linux tells of UDP sockets beside themselves (proc(5)).
mod udp_table {
    use std::{
        fs::File,
        io::{self, BufRead, BufReader},
        net::{IpAddr, SocketAddr},
    };

    /// Datagrams for `local` that were dropped; `None` if no socket has that address.
    ///
    /// # Errors
    /// The system has no such table.
    pub(super) fn dropped(local: SocketAddr) -> io::Result<Option<u64>> {
        let path = if local.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
        find(BufReader::new(File::open(path)?), local)
    }

    /// A line of the table has the address second and the number last.
    pub(super) fn find(table: impl BufRead, local: SocketAddr) -> io::Result<Option<u64>> {
        let wanted = written(local);
        for line in table.lines() {
            let line = line?;
            let mut fields = line.split_ascii_whitespace();
            if fields.nth(1) == Some(&*wanted) {
                return Ok(fields.next_back().and_then(|drops| drops.parse().ok()));
            }
        }
        Ok(None)
    }

    /// Words of the machine's own byte order, in hex.
    fn written(address: SocketAddr) -> String {
        let words = |octets: &[u8]| -> String {
            let words = octets.as_chunks().0.iter();
            words.map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect()
        };
        let ip = match address.ip() {
            IpAddr::V4(ip) => words(&ip.octets()),
            IpAddr::V6(ip) => words(&ip.octets()),
        };
        format!("{ip}:{:04X}", address.port())
    }
}

#[cfg(test)]
mod tests {
    use super::udp_table;

    #[test]
    fn drops_are_found_by_the_address_of_their_socket() {
        let table = "  sl  local_address rem_address st ... inode ref pointer drops\n \
            7: 0100007F:3A98 00000000:0000 07 0:0 0:0 0 0 0 1 2 0 4\n \
            8: 00000000:3A98 00000000:0000 07 0:0 0:0 0 0 0 1 2 0 51\n";
        let find = |address: &str| udp_table::find(table.as_bytes(), address.parse().unwrap());
        assert_eq!(
            find("127.0.0.1:15000").unwrap(),
            Some(4).filter(|_| cfg!(target_endian = "little"))
        );
        assert_eq!(find("0.0.0.0:15000").unwrap(), Some(51));
        assert_eq!(find("0.0.0.0:15001").unwrap(), None);
    }
}
