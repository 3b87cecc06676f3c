//! Connected streams: what a program holds of a TCP connection.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::{SocketAddr, SocketAddrV4},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use xxhash_rust::xxh3::xxh3_64;

use super::{State, Tcp};
use crate::{
    executor::HostId,
    fabric::{Fabric, network::Network},
    rng::Rng,
    slab::Key,
    world::Shared,
};

/// Has reads and writes move few bytes at a time.
#[derive(Debug)]
pub(crate) struct ShortIo {
    pub(crate) bytes_max: usize,
    pub(crate) rng: Rng,
}

impl ShortIo {
    fn draw(&mut self) -> usize {
        self.rng.range(1..=self.bytes_max as u64) as usize
    }
}

/// What a program gets from a socket that its host has forgotten in a crash.
fn forgotten() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the host has crashed since")
}

impl Tcp {
    fn poll_connected(&mut self, key: Key, waker: &Waker) -> Poll<io::Result<()>> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Poll::Ready(Err(forgotten()));
        };
        match socket.error.take() {
            Some(error) => Poll::Ready(Err(error.into())),
            None if socket.state == State::SynSent => {
                store(&mut socket.writer, waker);
                Poll::Pending
            }
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_read(
        &mut self,
        net: &mut Network,
        key: Key,
        buf: &mut ReadBuf<'_>,
        waker: &Waker,
    ) -> Poll<io::Result<()>> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Poll::Ready(Err(forgotten()));
        };
        if socket.receive.queued_bytes() > 0 {
            match &mut self.hosts[socket.host.0 as usize].short_io {
                None => socket.receive.read(buf),
                Some(short_io) => {
                    let mut few = buf.take(short_io.draw());
                    socket.receive.read(&mut few);
                    let read = few.filled().len();
                    // SAFETY: `few` has filled the first `read` bytes of what `buf` had left.
                    unsafe { buf.assume_init(read) };
                    buf.advance(read);
                }
            }
            if socket.state != State::Closed && socket.receive.wants_window_update() {
                socket.send_ack(net);
            }
            return Poll::Ready(Ok(()));
        }
        if socket.receive.has_fin() {
            return Poll::Ready(Ok(()));
        }
        match socket.error.take() {
            Some(error) => Poll::Ready(Err(error.into())),
            None if socket.state == State::Closed => Poll::Ready(Ok(())),
            None => {
                store(&mut socket.reader, waker);
                Poll::Pending
            }
        }
    }

    fn poll_write(
        &mut self,
        net: &mut Network,
        key: Key,
        parts: &[IoSlice<'_>],
        waker: &Waker,
    ) -> Poll<io::Result<usize>> {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Poll::Ready(Err(forgotten()));
        };
        if let Some(error) = socket.error.take() {
            return Poll::Ready(Err(error.into()));
        }
        if socket.state == State::Closed || socket.send.is_closed() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        // Before a FIN is on its way, no acknowledgment changes the state.
        socket.take_acks(net);
        let wanted: usize = parts.iter().map(|part| part.len()).sum();
        let mut taken = wanted.min(socket.send.free_bytes());
        if let Some(short_io) = &mut self.hosts[socket.host.0 as usize].short_io {
            taken = taken.min(short_io.draw());
        }
        // A writer that waits stays blocked until it is woken, which takes more than a byte of room: on
        // Linux neither epoll nor tokio would let it try before.
        if wanted > 0 && (taken == 0 || socket.writer.is_some()) {
            store(&mut socket.writer, waker);
            socket.await_acks(net);
            return Poll::Pending;
        }
        if taken > 0 {
            let (bytes, hash) = self.written.gather(parts, taken);
            net.trace.chain_bytes(hash);
            socket.send.push(bytes);
            socket.transmit(net);
            socket.await_acks(net);
        }
        Poll::Ready(Ok(taken))
    }
}

/// What was written last, by whichever socket. A server that sends the same bytes to thousands of
/// peers writes them thousands of times; here they are one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Written {
    bytes: Bytes,
    hash: u64,
}

impl Written {
    /// The first `len` bytes of `parts` in one piece, which segments are then slices of, and their hash.
    fn gather(&mut self, parts: &[IoSlice<'_>], len: usize) -> (Bytes, u64) {
        if !self.is(parts, len) {
            let mut gathered = Vec::with_capacity(len);
            for part in parts {
                let fits = part.len().min(len - gathered.len());
                gathered.extend_from_slice(&part[..fits]);
            }
            self.hash = xxh3_64(&gathered);
            self.bytes = Bytes::from(gathered);
        }
        (self.bytes.clone(), self.hash)
    }

    fn is(&self, parts: &[IoSlice<'_>], len: usize) -> bool {
        if self.bytes.len() != len {
            return false;
        }
        let mut rest = &self.bytes[..];
        parts.iter().all(|part| {
            let (start, after) = rest.split_at(part.len().min(rest.len()));
            rest = after;
            *start == part[..start.len()]
        })
    }
}

fn store(place: &mut Option<Waker>, waker: &Waker) {
    if !place.as_ref().is_some_and(|stored| stored.will_wake(waker)) {
        *place = Some(waker.clone());
    }
}

/// A TCP connection of a simulated host. Dropping it closes the connection: by FIN after what was
/// written, or by RST when there are bytes that were not read.
#[derive(Debug)]
pub struct SimTcpStream {
    shared: Arc<Shared>,
    key: Key,
    /// This end's address and the other's, which outlive a crash of the host.
    addresses: (SocketAddrV4, SocketAddrV4),
}

impl SimTcpStream {
    pub(crate) fn new(shared: Arc<Shared>, key: Key) -> Self {
        let addresses = {
            let mut fabric = shared.fabric();
            let socket = fabric.tcp.socket(key);
            (socket.local, socket.remote)
        };
        Self { shared, key, addresses }
    }

    pub(crate) async fn connect(
        shared: &Arc<Shared>,
        host: HostId,
        remote: SocketAddrV4,
    ) -> io::Result<Self> {
        let key = {
            let mut fabric = shared.fabric();
            fabric.check_descriptors(host)?;
            let Fabric { tcp, net, .. } = &mut *fabric;
            tcp.connect(net, host, remote)?
        };
        // From here on, giving up drops the socket.
        let stream = Self::new(Arc::clone(shared), key);
        poll_fn(|cx| shared.fabric().tcp.poll_connected(key, cx.waker())).await?;
        Ok(stream)
    }

    /// The address of this end.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses.0.into()
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.addresses.1.into()
    }
}

impl Drop for SimTcpStream {
    fn drop(&mut self) {
        let Some(mut fabric) = self.shared.fabric_unless_broken() else { return };
        let Fabric { tcp, net, .. } = &mut *fabric;
        tcp.close(net, self.key);
    }
}

impl AsyncRead for SimTcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut fabric = self.shared.fabric();
        let Fabric { tcp, net, .. } = &mut *fabric;
        tcp.poll_read(net, self.key, buf, cx.waker())
    }
}

impl AsyncWrite for SimTcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut fabric = self.shared.fabric();
        let Fabric { tcp, net, .. } = &mut *fabric;
        tcp.poll_write(net, self.key, parts, cx.waker())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut fabric = self.shared.fabric();
        let Fabric { tcp, net, .. } = &mut *fabric;
        tcp.shut_down(net, self.key);
        Poll::Ready(Ok(()))
    }
}
