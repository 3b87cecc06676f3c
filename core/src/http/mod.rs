//! HTTP: requests are read and answered by hyper; a live response leaves it after its head.
//!
//! hyper holds some 20 KiB for a connection while it answers, which a viewer of a live stream would keep for hours.
//! So a live response is handed over: once its head is on the wire, the socket goes to the same delivery that
//! serves RTMP players.

mod handover;
#[cfg(feature = "leakcheck")]
mod leakcheck;
mod routes;
mod viewer;

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info};

use crate::{
    env::Env,
    gateway::{Peer, Shared, close_in_stages},
};
use handover::{Handover, Sequel, Tap};
#[cfg(feature = "leakcheck")]
pub(crate) use leakcheck::Leakcheck;

/// Serves one connection to its end.
pub(crate) async fn serve<E: Env>(shared: Arc<Shared<E>>, socket: E::TcpStream, peer: Peer) {
    // Boxed, so that what hyper needs is given back before a response goes on without it.
    let handed_over = Box::pin(answer(&shared, socket, peer)).await;
    match handed_over {
        Some((socket, Sequel::Live(response))) => {
            viewer::serve(shared, socket, response, peer).await;
        }
        #[cfg(feature = "leakcheck")]
        Some((socket, Sequel::Leakcheck(job))) => {
            leakcheck::serve(shared, socket, job, peer).await;
        }
        None => {}
    }
}

/// Answers requests until the connection ends or the response to one of them goes on without hyper.
async fn answer<E: Env>(
    shared: &Arc<Shared<E>>,
    socket: E::TcpStream,
    peer: Peer,
) -> Option<(E::TcpStream, Sequel)> {
    let config = &shared.config.http;
    let handover = Arc::new(Handover::new(Instant::now()));
    let service = routes::Service::new(Arc::clone(shared), Arc::clone(&handover), peer);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.head_ms))
        .max_buf_size(config.max_head_bytes)
        // The date comes from the gateway's own clock.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(Tap::new(socket, Arc::clone(&handover))), service);

    let idle = Duration::from_millis(config.idle_ms);
    let mut idle_timer = pin!(sleep_until(Instant::now() + idle));
    let mut shutdown = pin!(shared.shutdown.cancelled());
    let mut shutting_down = false;
    let ended = poll_fn(|cx| {
        if !shutting_down && shutdown.as_mut().poll(cx).is_ready() {
            shutting_down = true;
            std::pin::Pin::new(&mut connection).graceful_shutdown();
        }
        let polled = connection.poll_without_shutdown(cx);
        if let Some(response) = handover.take_if_head_is_out() {
            return Poll::Ready(Ok(Some(response)));
        }
        if let Poll::Ready(result) = polled {
            return Poll::Ready(result.map(|()| None).map_err(|error| error.to_string()));
        }
        // An idle connection, or half a request, is not worth waiting for.
        if shutting_down && !handover.is_answering() {
            return Poll::Ready(Ok(None));
        }
        while idle_timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            // Between answers it is the deadline for a request head that runs.
            let due = if handover.is_answering() { handover.progress_at() } else { now } + idle;
            if due <= now {
                let error = "nothing was read or written in time (http.idle_ms)".to_owned();
                return Poll::Ready(Err(error));
            }
            idle_timer.as_mut().reset(due);
        }
        Poll::Pending
    })
    .await;

    let mut socket = connection.into_parts().io.into_inner().into_inner();
    match ended {
        Ok(Some(response)) => return Some((socket, response)),
        Ok(None) => debug!(peer = %peer.address, connection = peer.id, "HTTP connection ended"),
        Err(reason) => {
            info!(peer = %peer.address, connection = peer.id, reason, "HTTP connection ended");
        }
    }
    match shutting_down {
        true => drop(socket.shutdown().await),
        false => {
            let within = Duration::from_millis(shared.config.limits.farewell_ms);
            // A peer that stays, or that resets it, has had its time.
            let _ = timeout(within, close_in_stages(&mut socket)).await;
        }
    }
    None
}
