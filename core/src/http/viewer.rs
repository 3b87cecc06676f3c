//! A viewer of a live stream over HTTP-FLV, after the head of the response.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::Instant,
};
use tracing::info;

use super::handover::LiveResponse;
use crate::{
    env::Env,
    gateway::{Delivery, DeliveryError, DeliveryEvent, Peer, Shared, count},
    live::Wire,
    media::flv,
};

/// Read at a time; what a viewer sends is thrown away.
const READ_BYTES: usize = 1 << 10;

/// Least distance of two looks at the deadlines.
const TIMER_STEP: Duration = Duration::from_millis(1);

/// Why a response ended.
#[derive(Debug, Error)]
enum End {
    #[error("the publisher has gone")]
    Unpublished,
    #[error("the viewer closed it")]
    ClosedByPeer,
    #[error("the gateway shuts down")]
    Shutdown,
    #[error("read failed: {0}")]
    Read(io::Error),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

/// Sends the stream until it ends or the viewer goes.
pub(super) async fn serve<E: Env>(
    shared: Arc<Shared<E>>,
    mut socket: E::TcpStream,
    response: LiveResponse,
    peer: Peer,
) {
    let LiveResponse { subscriber, tracks, chunked } = response;
    let live = &shared.config.live;
    let stall = Duration::from_millis(live.player_stall_ms);
    let mut delivery = Delivery::new(Wire::Flv { chunked }, stall, live.in_flight_bytes);
    info!(peer = %peer.address, stream = subscriber.name(), "HTTP-FLV play");

    let header = flv::encode_header(tracks.audio, tracks.video);
    if chunked {
        delivery.push_bytes(format!("{:x}\r\n", header.len()).as_bytes());
    }
    delivery.push_bytes(&header);
    if chunked {
        delivery.push_bytes(b"\r\n");
    }
    delivery.start(subscriber, 0);

    let end = {
        let mut shutdown = pin!(shared.shutdown.cancelled());
        let mut timer = pin!(tokio::time::sleep(stall));
        let mut changed = pin!(None);
        poll_fn(|cx| {
            if shutdown.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Shutdown);
            }
            if let Err(end) = poll_closed(cx, &mut socket) {
                return Poll::Ready(end);
            }
            let now = Instant::now();
            loop {
                match delivery.poll(cx, &mut socket, changed.as_mut(), now) {
                    Poll::Ready(Ok(DeliveryEvent::Began)) => {}
                    Poll::Ready(Ok(DeliveryEvent::Ended)) => return Poll::Ready(End::Unpublished),
                    Poll::Ready(Err(error)) => return Poll::Ready(error.into()),
                    Poll::Pending => break,
                }
            }
            let due = delivery.deadline().unwrap_or(now + stall);
            if due < timer.deadline() {
                timer.as_mut().reset(due);
            }
            while timer.as_mut().poll(cx).is_ready() {
                if let Err(error) = delivery.handle_timeout(now) {
                    return Poll::Ready(error.into());
                }
                timer.as_mut().reset(due.max(now + TIMER_STEP));
            }
            Poll::Pending
        })
        .await
    };

    delivery.stop();
    count(&shared.counters.frames_skipped, delivery.skipped_frames());
    if matches!(end, End::Unpublished | End::Shutdown) {
        if chunked {
            delivery.push_bytes(b"0\r\n\r\n");
        }
        let flushed = tokio::select! {
            biased;
            flushed = poll_fn(|cx| delivery.poll_flush(cx, &mut socket)) => flushed.is_ok(),
            // A viewer on a slow line has much to receive before the socket takes the end of the response.
            () = tokio::time::sleep(stall) => false,
            () = farewell_over(&shared) => false,
        };
        if flushed {
            let _ = socket.shutdown().await;
        }
    }
    info!(
        peer = %peer.address,
        connection = peer.id,
        sent_bytes = delivery.written_bytes(),
        skipped_frames = delivery.skipped_frames(),
        reason = %end,
        "HTTP-FLV ended"
    );
}

/// Completes when the gateway shuts down and has waited long enough for those who are left.
async fn farewell_over<E: Env>(shared: &Shared<E>) {
    shared.shutdown.cancelled().await;
    tokio::time::sleep(Duration::from_millis(shared.config.limits.farewell_ms)).await;
}

/// Throws away what the viewer sends; fails when it has gone.
fn poll_closed<S: AsyncRead + Unpin>(cx: &mut Context<'_>, socket: &mut S) -> Result<(), End> {
    loop {
        let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut bytes);
        match Pin::new(&mut *socket).poll_read(cx, &mut buf) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Err(error)) => return Err(End::Read(error)),
            Poll::Ready(Ok(())) if buf.filled().is_empty() => return Err(End::ClosedByPeer),
            Poll::Ready(Ok(())) => {}
        }
    }
}
