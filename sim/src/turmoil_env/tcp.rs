//! TCP of turmoil, with what [`Env`](rehearsal_core::env::Env) promises beyond it: writes of several slices, and a FIN
//! that no full buffer swallows.

use std::{
    io::{self, ErrorKind, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use rehearsal_core::env::TcpListener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net;

/// Bytes that one write takes at most: turmoil carries each write as one segment, however long, and its buffers count
/// segments.
pub const WRITE_BYTES_MAX: usize = 16 << 10;

/// A listening socket of turmoil's.
pub struct TurmoilTcpListener {
    listener: net::TcpListener,
    local_addr: SocketAddr,
}

impl TurmoilTcpListener {
    pub(super) async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = net::TcpListener::bind(addr).await?;
        let local_addr = listener.local_addr()?;
        Ok(Self { listener, local_addr })
    }
}

impl TcpListener for TurmoilTcpListener {
    type Stream = TurmoilTcpStream;

    async fn accept(&mut self) -> io::Result<(TurmoilTcpStream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        Ok((TurmoilTcpStream::new(stream), peer))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

/// A connected stream of turmoil's. It sends at once, as if without Nagle's delay.
#[derive(Debug)]
pub struct TurmoilTcpStream {
    stream: net::TcpStream,
    is_shut: bool,
}

impl TurmoilTcpStream {
    pub(super) async fn connect(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self::new(net::TcpStream::connect(addr).await?))
    }

    fn new(stream: net::TcpStream) -> Self {
        Self { stream, is_shut: false }
    }

    /// Ready when one more segment has room at the peer; wakes the task when it will.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The future keeps nothing from one poll to the next.
        pin!(self.stream.writable()).poll(cx)
    }
}

impl AsyncRead for TurmoilTcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TurmoilTcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = buf.len().min(WRITE_BYTES_MAX);
        Pin::new(&mut self.stream).poll_write(cx, &buf[..taken])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        let mut segment = Vec::with_capacity(
            bufs.iter().map(|buf| buf.len()).sum::<usize>().min(WRITE_BYTES_MAX),
        );
        for buf in bufs {
            let room = WRITE_BYTES_MAX - segment.len();
            segment.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        self.poll_write(cx, &segment)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Sends FIN as soon as the peer has room for it: turmoil loses one that finds the peer's buffer full.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shut {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_room(cx))?;
        // What turmoil says when the peer has reset the connection is what Linux says to a write.
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).map_err(|error| {
            match error.kind() {
                ErrorKind::BrokenPipe => ErrorKind::NotConnected.into(),
                _ => error,
            }
        })?;
        self.is_shut = true;
        Poll::Ready(Ok(()))
    }
}
