//! One RTMP connection: bytes between the socket and its session, events between the session and the streams.

mod streams;

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
use tracing::info;

use super::{
    Delivery, DeliveryError, Peer, Shared, close_in_stages, count,
    sip_client::{Dismissed, SipClient, is_sip},
};
use crate::{
    env::Env,
    live::{Publisher, Wire},
    rtmp::server::{ConnectRequest, ServerEvent, ServerSession, SessionError},
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
    #[error(transparent)]
    Dismissed(#[from] Dismissed),
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
    /// In the application `sip`: the user agent.
    sip: Option<SipClient>,
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
            sip: None,
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
            progressed |= self.poll_sip(cx)?;
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

    /// Passes on what has happened to a user agent; true when something has.
    fn poll_sip(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.delivery.is_backed_up() {
            return Ok(false);
        }
        let Some(sip) = &mut self.sip else { return Ok(false) };
        match sip.poll(cx, &mut self.session) {
            Poll::Pending => Ok(false),
            Poll::Ready(is_attached) => {
                if !is_attached? {
                    self.sip = None;
                }
                Ok(true)
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
        match event {
            ServerEvent::Connect(request) => self.connect(request),
            ServerEvent::Publish { stream_id, name } => self.publish(stream_id, &name, now),
            ServerEvent::Play { stream_id, name } => self.play(stream_id, &name, now),
            ServerEvent::Command { name, transaction, arguments } => {
                if let Some(sip) = &mut self.sip {
                    sip.handle_command(&mut self.session, &name, transaction, &arguments);
                }
            }
            ServerEvent::Pause { paused, .. } => self.delivery.pause(paused, now),
            ServerEvent::Media { stream_id, media } => self.push(stream_id, media, now),
            ServerEvent::Closed { stream_id } => self.close(stream_id),
        }
    }

    /// Answers connect: now, or when a user agent is attached.
    fn connect(&mut self, request: ConnectRequest) {
        if !is_sip(&request.app) {
            self.app = request.app;
            self.session.accept_connect();
            return;
        }
        let (desk, ip) = (self.shared.desk.as_ref(), self.peer.address.ip());
        match SipClient::connect(&self.shared.config.sip, desk, &request, ip) {
            Ok(client) => {
                info!(peer = %self.peer.address, app = request.app, "a user agent connects");
                self.sip = Some(client);
            }
            Err(error) => {
                info!(peer = %self.peer.address, app = request.app, %error, "connect refused");
                self.session.reject_connect(&error.to_string());
            }
        }
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
        // Its calls end now, not when the peer has heard of it.
        let sip = self.sip.take();
        match &end {
            End::Shutdown => {
                if let Some(mut sip) = sip {
                    sip.part(&mut self.session);
                }
                self.session.notify_end("The server is shutting down.");
            }
            End::Dismissed(dismissed) => {
                if let Some(mut sip) = sip {
                    sip.part(&mut self.session);
                }
                self.session.notify_end(&dismissed.to_string());
            }
            _ => drop(sip),
        }
        let farewell = match end {
            End::Shutdown | End::Session(_) | End::Dismissed(_) => self.session.poll_output(),
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
