//! The end of a connection that the gateway closes while its peer may still be sending.
//!
//! A socket that is closed with bytes unread, or that receives more, resets the connection, and the peer may lose the answers
//! that were on their way. So it is closed in stages (RFC 9112, 9.6): FIN, then whatever still comes is thrown away
//! until the peer closes, too, or the time for it is over.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Read at a time; on the stack of the read, not held by the connection.
const READ_BYTES: usize = 1 << 10;

/// Closes `socket`, to which everything has been written. A peer that stays keeps it open: the time for that is the caller's.
///
/// # Errors
/// The peer has reset the connection, or does not take what was written.
pub(crate) async fn close_in_stages<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
) -> io::Result<()> {
    socket.shutdown().await?;
    poll_fn(|cx| poll_end(cx, socket)).await
}

/// Throws away what comes; ready at the end of it.
fn poll_end<S: AsyncRead + Unpin>(cx: &mut Context<'_>, socket: &mut S) -> Poll<io::Result<()>> {
    loop {
        let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut *socket).poll_read(cx, &mut buf))?;
        if buf.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
    }
}
