//! From a stream's ring to one socket: the same for RTMP players and HTTP-FLV viewers.
//!
//! A delivery takes a batch of frames when its outbox is empty and writes it with one vectored write. While the
//! socket takes nothing, the frames stay in the ring: a slow subscriber pins one batch at most.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use thiserror::Error;
use tokio::{io::AsyncWrite, sync::futures::OwnedNotified, time::Instant};

use crate::live::{Outbox, Subscriber, Taken, Wire};

/// Frames taken at a time.
const BATCH_FRAMES: usize = 16;

/// Why a delivery cannot go on.
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// The socket failed.
    #[error("write failed: {0}")]
    Write(#[from] io::Error),
    /// The socket took nothing for too long.
    #[error("the peer took nothing for {0:?} (live.player_stall_ms)")]
    Stalled(Duration),
    /// The frames took too long to go out.
    #[error("the peer is too slow for the stream (live.lag_close_ms)")]
    TooSlow,
}

/// What happens to the stream that is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryEvent {
    /// An epoch begins.
    Began,
    /// An epoch is over; all of it has been queued.
    Ended,
}

/// The sending side of a connection.
#[derive(Debug)]
pub struct Delivery {
    outbox: Outbox,
    subscriber: Option<Subscriber>,
    /// Message stream of the subscriber.
    stream_id: u32,
    paused: bool,
    /// The wait for the stream is one for another stream.
    resubscribed: bool,
    stall: Duration,
    in_flight_bytes: usize,
    /// When the socket last took something or had nothing to take.
    progress_at: Instant,
    written_bytes: u64,
    skipped_frames: u64,
}

impl Delivery {
    /// A delivery with nothing to send, for a socket that may stall for `stall` at most.
    pub fn new(wire: Wire, stall: Duration, in_flight_bytes: usize, now: Instant) -> Self {
        Self {
            outbox: Outbox::new(wire),
            subscriber: None,
            stream_id: 0,
            paused: false,
            resubscribed: false,
            stall,
            in_flight_bytes,
            progress_at: now,
            written_bytes: 0,
            skipped_frames: 0,
        }
    }

    /// Bytes the socket has taken.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Frames that were not sent because the subscriber was too slow or left.
    pub fn skipped_frames(&self) -> u64 {
        self.skipped_frames + self.subscriber.as_ref().map_or(0, Subscriber::skipped_frames)
    }

    /// The stream that is delivered.
    pub fn subscriber(&self) -> Option<&Subscriber> {
        self.subscriber.as_ref()
    }

    /// Message stream of what is delivered.
    pub fn stream_id(&self) -> u32 {
        self.stream_id
    }

    /// True when more should not be read from the peer, because the answers pile up.
    pub fn is_backed_up(&self) -> bool {
        self.outbox.queued_bytes() >= self.in_flight_bytes
    }

    /// Queues bytes that are not a frame.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.outbox.push_bytes(bytes);
    }

    /// Starts to deliver a stream.
    pub fn start(&mut self, subscriber: Subscriber, stream_id: u32) {
        self.stop();
        self.subscriber = Some(subscriber);
        self.stream_id = stream_id;
    }

    /// Stops to deliver; unsent frames are dropped.
    pub fn stop(&mut self) {
        self.outbox.drop_frames(|_| true);
        if let Some(subscriber) = self.subscriber.take() {
            self.skipped_frames += subscriber.skipped_frames();
        }
        self.paused = false;
        self.resubscribed = true;
    }

    /// Holds the stream after what is queued, or goes on with it where it is by then.
    pub fn pause(&mut self, paused: bool, now: Instant) {
        let resumed = std::mem::replace(&mut self.paused, paused) && !paused;
        if let Some(subscriber) = self.subscriber.as_mut().filter(|_| resumed) {
            subscriber.resume(now);
        }
    }

    /// When the socket has stalled or the frames are too late, if nothing is written until then.
    pub fn deadline(&self) -> Option<Instant> {
        if self.outbox.is_empty() {
            return None;
        }
        let stalled = self.progress_at + self.stall;
        let late = self.outbox.first_frame().zip(self.subscriber.as_ref());
        let late = late.map(|(frame, subscriber)| subscriber.close_at(frame));
        Some(late.map_or(stalled, |late| late.min(stalled)))
    }

    /// Fails when a deadline has passed.
    ///
    /// # Errors
    /// [`DeliveryError::Stalled`] or [`DeliveryError::TooSlow`].
    pub fn handle_timeout(&self, now: Instant) -> Result<(), DeliveryError> {
        if self.deadline().is_none_or(|at| at > now) {
            return Ok(());
        }
        match self.progress_at + self.stall <= now {
            true => Err(DeliveryError::Stalled(self.stall)),
            false => Err(DeliveryError::TooSlow),
        }
    }

    /// Sends what there is. Pending when the socket or the stream has to be waited for; `changed` holds the wait
    /// for the stream from call to call.
    pub fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut S,
        mut changed: Pin<&mut Option<OwnedNotified>>,
        now: Instant,
    ) -> Poll<Result<DeliveryEvent, DeliveryError>> {
        if std::mem::take(&mut self.resubscribed) {
            changed.set(None);
        }
        loop {
            self.drop_outdated();
            let mut waiting = false;
            if self.outbox.first_frame().is_none() {
                match self.fill(cx, changed.as_mut(), now) {
                    Poll::Ready(Some(event)) => return Poll::Ready(Ok(event)),
                    Poll::Ready(None) => {}
                    Poll::Pending => waiting = true,
                }
            }
            if self.outbox.is_empty() {
                self.progress_at = now;
                return Poll::Pending;
            }
            let before = self.written_bytes;
            let done = self.outbox.poll_write(cx, socket, &mut self.written_bytes);
            if self.written_bytes > before {
                self.progress_at = now;
            }
            match done {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(())) if !waiting => {}
                Poll::Ready(Ok(())) => {
                    self.progress_at = now;
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Drops frames that are queued when the next epoch begins.
    fn drop_outdated(&mut self) {
        let Some(first) = self.outbox.first_frame() else { return };
        let Some(newest) = self.subscriber.as_ref().map(Subscriber::newest_epoch) else { return };
        if first.epoch != newest {
            self.skipped_frames += self.outbox.drop_frames(|frame| frame.epoch != newest);
        }
    }

    /// Writes what is queued and takes nothing more from the stream; ready when it is out.
    pub fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut S,
    ) -> Poll<io::Result<()>> {
        self.outbox.poll_write(cx, socket, &mut self.written_bytes)
    }

    /// Takes a batch. Pending when there is nothing to take until the stream changes.
    fn fill(
        &mut self,
        cx: &mut Context<'_>,
        mut changed: Pin<&mut Option<OwnedNotified>>,
        now: Instant,
    ) -> Poll<Option<DeliveryEvent>> {
        let Some(subscriber) = self.subscriber.as_mut() else {
            changed.set(None);
            return Poll::Pending;
        };
        let (outbox, limit, stream_id) = (&mut self.outbox, self.in_flight_bytes, self.stream_id);
        loop {
            if changed.is_none() {
                changed.set(Some(subscriber.changed()));
            }
            let taken = match self.paused {
                true => subscriber.watch(now),
                false => subscriber.take(now, |frame| {
                    outbox.push_frame(frame, stream_id);
                    outbox.len() < BATCH_FRAMES && outbox.queued_bytes() < limit
                }),
            };
            match taken {
                Taken::Frames => return Poll::Ready(None),
                Taken::Began => return Poll::Ready(Some(DeliveryEvent::Began)),
                Taken::Ended => return Poll::Ready(Some(DeliveryEvent::Ended)),
                Taken::Joined => continue,
                Taken::Nothing => {}
            }
            let wait = changed.as_mut().as_pin_mut().expect("set above");
            if wait.poll(cx).is_pending() {
                return Poll::Pending;
            }
            changed.set(None);
        }
    }
}
