//! One RTMP connection: bytes between the socket and its session, events between the session and the streams.

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
    sync::futures::OwnedNotified,
    time::{Instant, Sleep, timeout},
};
use tracing::{debug, info};

use super::{Delivery, DeliveryError, DeliveryEvent, Peer, Shared, close_in_stages, count};
use crate::{
    env::Env,
    live::{PublishError, Publisher, Wire},
    rtmp::{
        command::Status,
        message::Message,
        server::{Media, ServerEvent, ServerSession, SessionError},
    },
};

/// Read at a time; on the stack of the read, not held by the connection.
const READ_BYTES: usize = 16 << 10;
/// How far ahead a timer is set when nothing is due.
const NOTHING_DUE: Duration = Duration::from_secs(24 * 3600);

/// Why a connection ended.
#[derive(Debug, Error)]
enum End {
    #[error("the peer closed it")]
    ClosedByPeer,
    #[error("the gateway shuts down")]
    Shutdown,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("read failed: {0}")]
    Read(io::Error),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

/// Serves one connection to its end.
pub(super) async fn serve<E: Env>(shared: Arc<Shared<E>>, socket: E::TcpStream, peer: Peer) {
    let mut connection = Connection::new(shared, socket, peer);
    let end = connection.run().await;
    connection.finish(end).await;
}

struct Connection<E: Env> {
    shared: Arc<Shared<E>>,
    socket: E::TcpStream,
    peer: Peer,
    opened_at: Instant,
    session: ServerSession,
    app: String,
    publishers: Vec<(u32, Publisher)>,
    delivery: Delivery,
}

impl<E: Env> Connection<E> {
    fn new(shared: Arc<Shared<E>>, socket: E::TcpStream, peer: Peer) -> Self {
        let now = Instant::now();
        let live = &shared.config.live;
        let wire = Wire::Rtmp { chunk_bytes: shared.config.rtmp.chunk_bytes };
        let stall = Duration::from_millis(live.player_stall_ms);
        let delivery = Delivery::new(wire, stall, live.in_flight_bytes);
        let session = ServerSession::new(shared.config.session(), Duration::ZERO);
        Self {
            shared,
            socket,
            peer,
            opened_at: now,
            session,
            app: String::new(),
            publishers: Vec::new(),
            delivery,
        }
    }

    async fn run(&mut self) -> End {
        let shutdown = self.shared.shutdown.clone();
        let mut shutdown = pin!(shutdown.cancelled());
        let mut timer = pin!(tokio::time::sleep_until(self.opened_at + NOTHING_DUE));
        let mut changed = pin!(None);
        poll_fn(|cx| {
            if shutdown.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Shutdown);
            }
            match self.poll(cx, timer.as_mut(), changed.as_mut()) {
                Ok(()) => Poll::Pending,
                Err(end) => Poll::Ready(end),
            }
        })
        .await
    }

    /// Does everything that can be done now; returns when the socket, the stream or the timer has to be waited for.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        mut changed: Pin<&mut Option<OwnedNotified>>,
    ) -> Result<(), End> {
        let now = Instant::now();
        loop {
            let backed_up = self.delivery.is_backed_up();
            let mut progressed = self.poll_read(cx, now)?;
            self.delivery.push_bytes(&self.session.poll_output());
            match self.delivery.poll(cx, &mut self.socket, changed.as_mut(), now) {
                Poll::Ready(event) => {
                    self.handle_delivery(event?);
                    progressed = true;
                }
                Poll::Pending => {}
            }
            // Nothing waits for the socket to be readable until it has been read again.
            progressed |= backed_up && !self.delivery.is_backed_up();
            progressed |= self.poll_timer(cx, timer.as_mut(), now)?;
            if !progressed {
                return Ok(());
            }
            if fault_point!("an RTMP connection lets others go first") {
                cx.waker().wake_by_ref();
                return Ok(());
            }
        }
    }

    /// Reads once and handles what came; true when something did.
    fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
        if self.delivery.is_backed_up() {
            sometimes!("a peer is not read because it does not read its answers");
            return Ok(false);
        }
        let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut bytes);
        match Pin::new(&mut self.socket).poll_read(cx, &mut buf) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(error)) => return Err(End::Read(error)),
            Poll::Ready(Ok(())) => {}
        }
        let mut input = buf.filled();
        if input.is_empty() {
            return Err(End::ClosedByPeer);
        }
        loop {
            let since_open = now.duration_since(self.opened_at);
            let env = &self.shared.env;
            let mut entropy = |buf: &mut [u8]| env.fill_random(buf);
            match self.session.handle_input(since_open, &mut input, &mut entropy)? {
                Some(event) => self.handle_event(event, now),
                None => return Ok(true),
            }
        }
    }

    /// Does what is due and sets the timer; true when it has to be looked at again.
    fn poll_timer(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        now: Instant,
    ) -> Result<bool, End> {
        let session = self.session.poll_timeout().map(|at| self.opened_at + at);
        let due = [session, self.delivery.deadline()].into_iter().flatten().min();
        let due = due.unwrap_or(now + NOTHING_DUE);
        if due <= now {
            self.session.handle_timeout(now.duration_since(self.opened_at))?;
            self.delivery.handle_timeout(now)?;
            return Ok(true);
        }
        // A deadline that has moved away is looked at when the old one comes: most never come.
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(due);
        }
        Ok(false)
    }

    fn handle_event(&mut self, event: ServerEvent, now: Instant) {
        let since_open = now.duration_since(self.opened_at);
        match event {
            ServerEvent::Connect(request) => {
                self.app = request.app;
                self.session.accept_connect();
            }
            ServerEvent::Publish { stream_id, name } => {
                let key = format!("{}/{name}", self.app);
                match self.shared.live.publish(&key) {
                    Ok(publisher) => {
                        let epoch = publisher.epoch();
                        info!(peer = %self.peer.address, stream = key, epoch, "publish");
                        self.publishers.push((stream_id, publisher));
                        self.session.accept_publish(since_open, stream_id, &name);
                    }
                    Err(error) => {
                        info!(peer = %self.peer.address, stream = key, %error, "publish refused");
                        let code = match error {
                            PublishError::Taken => "NetStream.Publish.BadName",
                            PublishError::TooManyStreams(_) => "NetStream.Publish.Denied",
                        };
                        let text = error.to_string();
                        self.session.refuse(since_open, stream_id, Status::error(code, &text));
                    }
                }
            }
            ServerEvent::Play { stream_id, name } => self.play(stream_id, &name, now),
            ServerEvent::Command { transaction, .. } => self.session.accept_command(transaction),
            ServerEvent::Pause { paused, .. } => self.delivery.pause(paused, now),
            ServerEvent::Media { stream_id, media } => self.push(stream_id, media, now),
            ServerEvent::Closed { stream_id } => {
                if self.delivery.subscriber().is_some() && self.delivery.stream_id() == stream_id {
                    self.delivery.stop();
                }
                let closed = |(id, _): &(u32, Publisher)| *id == stream_id;
                if let Some(index) = self.publishers.iter().position(closed) {
                    let (_, publisher) = self.publishers.swap_remove(index);
                    self.log_unpublish(&publisher);
                }
            }
        }
    }

    fn play(&mut self, stream_id: u32, name: &str, now: Instant) {
        let since_open = now.duration_since(self.opened_at);
        let key = format!("{}/{name}", self.app);
        let elsewhere =
            self.delivery.subscriber().is_some() && self.delivery.stream_id() != stream_id;
        if elsewhere {
            let status = Status::error(
                "NetStream.Play.Failed",
                "A connection plays one stream at a time; close the other first.",
            );
            self.session.refuse(since_open, stream_id, status);
            return;
        }
        match self.shared.live.subscribe(&key, now) {
            Ok(subscriber) => {
                info!(peer = %self.peer.address, stream = key, "play");
                self.session.accept_play(since_open, stream_id, name);
                self.delivery.start(subscriber, stream_id);
            }
            Err(error) => {
                info!(peer = %self.peer.address, stream = key, %error, "play refused");
                self.delivery.stop();
                let text = error.to_string();
                let status = Status::error("NetStream.Play.Failed", &text);
                self.session.refuse(since_open, stream_id, status);
            }
        }
    }

    fn push(&mut self, stream_id: u32, media: Media, now: Instant) {
        let publisher = self.publishers.iter_mut().find(|(id, _)| *id == stream_id);
        let Some((_, publisher)) = publisher else { return };
        let Media { type_id, timestamp_ms, payload } = media;
        let message = Message { type_id, stream_id, timestamp_ms, payload };
        if let Err(error) = publisher.push(message, now) {
            sometimes!("a message of a publisher makes no sense and is left out");
            count(&self.shared.counters.messages_dropped, 1);
            debug!(peer = %self.peer.address, stream = publisher.name(), %error, "message dropped");
        }
    }

    fn handle_delivery(&mut self, event: DeliveryEvent) {
        if !self.shared.config.live.notify_unpublish {
            return;
        }
        let Some(subscriber) = self.delivery.subscriber() else { return };
        let name = subscriber.name().rsplit('/').next().unwrap_or_default();
        match event {
            DeliveryEvent::Began => {
                self.session.notify_publisher_came(self.delivery.stream_id(), name);
            }
            DeliveryEvent::Ended => {
                self.session.notify_publisher_gone(self.delivery.stream_id(), name);
            }
        }
    }

    fn log_unpublish(&self, publisher: &Publisher) {
        info!(
            peer = %self.peer.address,
            stream = publisher.name(),
            epoch = publisher.epoch(),
            frames = publisher.frames(),
            "unpublish"
        );
    }

    /// Says good-bye as far as the peer still listens, and lets go of the streams.
    async fn finish(&mut self, end: End) {
        for (_, publisher) in std::mem::take(&mut self.publishers) {
            self.log_unpublish(&publisher);
        }
        self.delivery.stop();
        count(&self.shared.counters.frames_skipped, self.delivery.skipped_frames());
        info!(
            peer = %self.peer.address,
            connection = self.peer.id,
            sent_bytes = self.delivery.written_bytes(),
            skipped_frames = self.delivery.skipped_frames(),
            reason = %end,
            "RTMP connection ended"
        );
        if matches!(end, End::Shutdown) {
            self.session.notify_shutdown();
        }
        let farewell = match end {
            End::Shutdown | End::Session(_) => self.session.poll_output(),
            End::ClosedByPeer | End::Read(_) | End::Delivery(_) => return,
        };
        // Who was never sent anything has nothing on its way, and does not hold up a shutdown.
        let has_nothing = matches!(end, End::Shutdown) && self.delivery.written_bytes() == 0;
        self.delivery.push_bytes(&farewell);
        let within = Duration::from_millis(self.shared.config.limits.farewell_ms);
        let parting = async {
            poll_fn(|cx| self.delivery.poll_flush(cx, &mut self.socket)).await?;
            match has_nothing {
                true => self.socket.shutdown().await,
                false => close_in_stages(&mut self.socket).await,
            }
        };
        // A peer that stays, or that resets it, has had its time.
        let _ = timeout(within, parting).await;
    }
}
