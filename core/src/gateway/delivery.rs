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
    /// Since when the socket takes nothing although there is something.
    stalled_since: Option<Instant>,
    written_bytes: u64,
    skipped_frames: u64,
}

impl Delivery {
    /// A delivery with nothing to send, for a socket that may stall for `stall` at most.
    pub fn new(wire: Wire, stall: Duration, in_flight_bytes: usize) -> Self {
        Self {
            outbox: Outbox::new(wire),
            subscriber: None,
            stream_id: 0,
            paused: false,
            resubscribed: false,
            stall,
            in_flight_bytes,
            stalled_since: None,
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

    /// True when more should not be read from the peer, because the answers pile up. Frames do not count: they come whether it
    /// is read or not, and a peer that is slow for them still says that it is there.
    pub fn is_backed_up(&self) -> bool {
        self.outbox.other_bytes() >= self.in_flight_bytes
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
        let stalled = self.stalled_since? + self.stall;
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
        if self.stalled_since.is_some_and(|since| since + self.stall <= now) {
            sometimes!("a subscriber is closed because its socket took nothing");
            return Err(DeliveryError::Stalled(self.stall));
        }
        sometimes!("a subscriber is closed because its frames wait for too long");
        Err(DeliveryError::TooSlow)
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
        // Who stalls has a deadline, which nobody else may hold up.
        if self.stalled_since.is_none() && fault_point!("a delivery lets others go first") {
            cx.waker().wake_by_ref();
            return Poll::Pending;
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
                self.stalled_since = None;
                if waiting {
                    return Poll::Pending;
                }
                // It went on elsewhere in the stream and has nothing yet: the wait for more begins now.
                continue;
            }
            let before = self.written_bytes;
            let done = self.outbox.poll_write(cx, socket, &mut self.written_bytes);
            if self.written_bytes > before {
                self.stalled_since = None;
            }
            match done {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => {
                    self.stalled_since.get_or_insert(now);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Drops frames that are queued when the next epoch begins.
    fn drop_outdated(&mut self) {
        let Some(first) = self.outbox.first_frame() else { return };
        let Some(newest) = self.subscriber.as_ref().map(Subscriber::newest_epoch) else { return };
        if first.epoch != newest {
            sometimes!("frames are on their way when the next publish begins");
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
                    let is_header = frame.kind.is_header();
                    outbox.push_frame(frame, stream_id);
                    // Headers are not given without what they are for.
                    let is_enough =
                        !is_header && fault_point!("a delivery takes one frame and no more");
                    outbox.len() < BATCH_FRAMES && outbox.queued_bytes() < limit && !is_enough
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

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
    };

    use super::*;
    use crate::{
        config::Config,
        live::{Publisher, Registry},
        rtmp::message::{Message, type_id},
    };

    /// Counts how often a delivery is woken.
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A socket that takes everything or nothing.
    struct Gate {
        open: bool,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Gate {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if !self.open {
                return Poll::Pending;
            }
            self.taken.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    const KEY: [u8; 6] = [0x17, 1, 0, 0, 0, 1];
    const INTER: [u8; 6] = [0x27, 1, 0, 0, 0, 2];
    const STALL: Duration = Duration::from_secs(30);

    /// A delivery of the stream live/a to a gate.
    struct Stage {
        registry: Registry,
        delivery: Delivery,
        gate: Gate,
        woken: Arc<Woken>,
        start: Instant,
    }

    impl Stage {
        fn new(config: &Config) -> Self {
            let start = Instant::now();
            let registry = Registry::new(config.live_limits());
            let mut delivery = Delivery::new(Wire::Flv { chunked: false }, STALL, 1 << 20);
            delivery.start(registry.subscribe("live/a", start).unwrap(), 0);
            let gate = Gate { open: true, taken: Vec::new() };
            Self { registry, delivery, gate, woken: Arc::new(Woken(0.into())), start }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn push(&self, publisher: &mut Publisher, at_ms: u64, payload: &[u8]) {
            let type_id = if payload[0] == 0xaf { type_id::AUDIO } else { type_id::VIDEO };
            let payload = payload.to_vec().into();
            let message = Message { type_id, stream_id: 1, timestamp_ms: at_ms as u32, payload };
            publisher.push(message, self.at(at_ms)).unwrap();
        }

        fn poll(
            &mut self,
            changed: Pin<&mut Option<OwnedNotified>>,
            at_ms: u64,
        ) -> Poll<Result<DeliveryEvent, DeliveryError>> {
            let (now, waker) = (self.at(at_ms), Waker::from(Arc::clone(&self.woken)));
            self.delivery.poll(&mut Context::from_waker(&waker), &mut self.gate, changed, now)
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    fn is_began(polled: &Poll<Result<DeliveryEvent, DeliveryError>>) -> bool {
        matches!(polled, Poll::Ready(Ok(DeliveryEvent::Began)))
    }

    #[test]
    fn who_was_overrun_and_has_nothing_yet_is_woken_by_the_next_frame() {
        let mut endless_gop = Config::default();
        endless_gop.live.gop_ms = 8_000;
        let audio = [0xaf, 1, 2];
        for (config, first, then) in
            [(Config::default(), &audio[..], &audio[..]), (endless_gop, &KEY, &INTER)]
        {
            let mut stage = Stage::new(&config);
            let mut changed = pin!(None);
            let mut publisher = stage.registry.publish("live/a").unwrap();
            assert!(is_began(&stage.poll(changed.as_mut(), 0)));
            stage.push(&mut publisher, 0, first);
            assert!(stage.poll(changed.as_mut(), 0).is_pending());
            stage.gate.open = false;
            for at_ms in (20..=10_000).step_by(20) {
                stage.push(&mut publisher, at_ms, then);
                assert!(stage.poll(changed.as_mut(), at_ms).is_pending());
            }
            stage.gate.open = true;
            assert!(stage.poll(changed.as_mut(), 10_000).is_pending());
            assert_eq!(stage.delivery.subscriber().unwrap().resyncs(), 1);
            let woken = stage.woken();
            stage.push(&mut publisher, 10_020, first);
            assert!(stage.woken() > woken);
        }
    }

    #[test]
    fn frames_of_an_epoch_are_not_sent_once_the_next_has_begun() {
        let mut stage = Stage::new(&Config::default());
        let mut changed = pin!(None);
        let mut publisher = stage.registry.publish("live/a").unwrap();
        assert!(is_began(&stage.poll(changed.as_mut(), 0)));
        stage.gate.open = false;
        stage.push(&mut publisher, 0, &KEY);
        stage.push(&mut publisher, 40, &INTER);
        assert!(stage.poll(changed.as_mut(), 40).is_pending());
        drop(publisher);
        let mut publisher = stage.registry.publish("live/a").unwrap();
        stage.push(&mut publisher, 80, &KEY);
        stage.gate.open = true;
        let ended = stage.poll(changed.as_mut(), 80);
        assert!(matches!(ended, Poll::Ready(Ok(DeliveryEvent::Ended))));
        assert!(stage.gate.taken.is_empty(), "{:?}", stage.gate.taken);
        assert_eq!(stage.delivery.skipped_frames(), 2);
        assert!(is_began(&stage.poll(changed.as_mut(), 80)));
        assert!(stage.poll(changed.as_mut(), 80).is_pending());
        assert_eq!(stage.gate.taken.len(), 11 + 6 + 4, "one frame of the new epoch");
    }

    #[test]
    fn a_pause_holds_frames_and_tells_of_epochs() {
        let mut stage = Stage::new(&Config::default());
        let mut changed = pin!(None);
        let mut publisher = stage.registry.publish("live/a").unwrap();
        assert!(is_began(&stage.poll(changed.as_mut(), 0)));
        stage.push(&mut publisher, 0, &KEY);
        assert!(stage.poll(changed.as_mut(), 0).is_pending());
        let sent = stage.gate.taken.len();
        stage.delivery.pause(true, stage.at(10));
        for at_ms in [40, 80] {
            stage.push(&mut publisher, at_ms, &INTER);
            assert!(stage.poll(changed.as_mut(), at_ms).is_pending());
        }
        assert_eq!(stage.gate.taken.len(), sent);
        stage.delivery.pause(false, stage.at(90));
        stage.delivery.pause(false, stage.at(90));
        assert!(stage.poll(changed.as_mut(), 90).is_pending());
        assert_eq!(stage.gate.taken.len(), sent + 2 * 21);
        stage.delivery.pause(true, stage.at(100));
        drop(publisher);
        let ended = stage.poll(changed.as_mut(), 110);
        assert!(matches!(ended, Poll::Ready(Ok(DeliveryEvent::Ended))));
    }

    #[test]
    fn answers_back_up_and_frames_do_not() {
        let mut stage = Stage::new(&Config::default());
        let mut changed = pin!(None);
        let mut publisher = stage.registry.publish("live/a").unwrap();
        assert!(is_began(&stage.poll(changed.as_mut(), 0)));
        stage.gate.open = false;
        let mut keyframe = KEY.to_vec();
        keyframe.resize(2 << 20, 0);
        stage.push(&mut publisher, 0, &keyframe);
        assert!(stage.poll(changed.as_mut(), 0).is_pending());
        assert!(stage.delivery.deadline().is_some(), "the frame waits for the socket");
        assert!(!stage.delivery.is_backed_up());
        stage.delivery.push_bytes(&vec![0; 1 << 20]);
        assert!(stage.delivery.is_backed_up());
        stage.gate.open = true;
        assert!(stage.poll(changed.as_mut(), 1).is_pending());
        assert!(!stage.delivery.is_backed_up());
    }

    #[test]
    fn the_stall_counts_from_when_the_socket_refused_something() {
        let mut stage = Stage::new(&Config::default());
        let mut changed = pin!(None);
        stage.gate.open = false;
        assert!(stage.poll(changed.as_mut(), 0).is_pending());
        assert_eq!(stage.delivery.deadline(), None);
        stage.delivery.push_bytes(b"x");
        assert!(stage.poll(changed.as_mut(), 40_000).is_pending());
        assert_eq!(stage.delivery.deadline(), Some(stage.at(70_000)));
        assert!(stage.delivery.handle_timeout(stage.at(69_999)).is_ok());
        let stalled = stage.delivery.handle_timeout(stage.at(70_000));
        assert!(matches!(stalled, Err(DeliveryError::Stalled(_))));
    }
}
