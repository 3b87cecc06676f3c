//! The end of a connection that the gateway closes while its peer may still be sending.
//!
//! A socket that is closed with bytes unread, or that receives more, resets the connection, and the peer may lose the answers
//! that were on their way. So it is closed in stages (RFC 9112, 9.6): FIN, then whatever still comes is thrown away
//! until the peer closes, too, or the time for it is over.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// Read at a time.
const READ_BYTES: usize = 1 << 10;

/// Closes `socket`, to which everything has been written, within `within`.
pub(crate) async fn close_in_stages<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    within: Duration,
) {
    let stages = async {
        socket.shutdown().await?;
        let mut bytes = [0; READ_BYTES];
        while socket.read(&mut bytes).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A peer that stays, or that resets it, has had its time.
    let _ = timeout(within, stages).await;
}
