//! The streams that somebody publishes or plays, by name.
//!
//! A stream exists as long as a [`Publisher`] or a [`Subscriber`] holds it; the last one to go takes it along.
//!
//! A panic under one of its locks ends one connection; the others go on with what is there.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use thiserror::Error;
use tokio::{sync::Notify, time::Instant};

use super::{
    epoch_clock::EpochClock,
    publisher::Publisher,
    ring::{Ring, RingLimits},
    subscriber::Subscriber,
};
use crate::media::{AudioCodec, video::VideoInfo};

/// Bounds of live streams; the configuration documents each.
#[derive(Clone, Copy, Debug)]
pub struct LiveLimits {
    /// Streams at a time.
    pub streams: usize,
    /// How long frames before the last keyframe are kept.
    pub keep: Duration,
    /// How long frames since the last keyframe are kept.
    pub gop: Duration,
    /// Bytes that the frames of one stream may hold.
    pub ring_bytes: usize,
    /// Bytes of headers that are kept for those who join one stream.
    pub headers_bytes: usize,
    /// A subscriber further behind than this goes on at the last keyframe.
    pub lag_resync: Duration,
    /// A subscriber with more unread bytes than this goes on at the last keyframe.
    pub lag_resync_bytes: u64,
    /// A subscriber whose next frame has waited this long is closed.
    pub lag_close: Duration,
    /// How long a viewer's header waits for a second track.
    pub probe: Duration,
    /// Bytes of frames on their way to one subscriber.
    pub in_flight_bytes: usize,
}

/// One more stream than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} streams are in use already, the limit live.streams")]
pub struct TooManyStreams(pub usize);

/// Why a stream cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// Somebody else publishes it.
    #[error("the stream is being published already")]
    Taken,
    /// There are too many streams.
    #[error(transparent)]
    TooManyStreams(#[from] TooManyStreams),
}

/// A stream: its ring and those who wait for it.
#[derive(Debug)]
pub(super) struct Stream {
    ring: Mutex<Ring>,
    clock: Mutex<EpochClock>,
    /// Wakes subscribers when the ring has changed.
    pub(super) changed: Arc<Notify>,
    /// The ring's epoch, to be read without its lock.
    epoch: AtomicU64,
}

impl Stream {
    fn new(limits: &LiveLimits) -> Self {
        let limits = RingLimits { keep: limits.keep, gop: limits.gop, bytes: limits.ring_bytes };
        Self {
            ring: Mutex::new(Ring::new(limits)),
            clock: Mutex::default(),
            changed: Arc::default(),
            epoch: AtomicU64::new(0),
        }
    }

    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clock(&self) -> MutexGuard<'_, EpochClock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn begin_epoch(&self) {
        self.clock().begin_epoch();
        let mut ring = self.ring();
        ring.begin_epoch();
        self.epoch.store(ring.epoch, Ordering::Release);
        drop(ring);
        self.changed.notify_waiters();
    }

    fn end_epoch(&self) {
        self.ring().live = false;
        self.changed.notify_waiters();
    }
}

#[derive(Debug)]
struct Entry {
    stream: Arc<Stream>,
    published: bool,
    subscribers: usize,
}

#[derive(Debug)]
struct Shared {
    limits: LiveLimits,
    entries: Mutex<BTreeMap<Arc<str>, Entry>>,
}

/// All live streams of a gateway. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Registry {
    shared: Arc<Shared>,
}

impl Registry {
    /// No streams yet.
    pub fn new(limits: LiveLimits) -> Self {
        Self { shared: Arc::new(Shared { limits, entries: Mutex::default() }) }
    }

    /// The bounds in force.
    pub fn limits(&self) -> &LiveLimits {
        &self.shared.limits
    }

    /// Streams at the moment.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// True when nobody publishes or plays.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Entry>> {
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when somebody publishes `name`.
    pub fn is_published(&self, name: &str) -> bool {
        self.entries().get(name).is_some_and(|entry| entry.published)
    }

    /// What the sound of `name` is coded in, if somebody publishes it and it has any.
    pub fn audio_codec(&self, name: &str) -> Option<AudioCodec> {
        self.published(name)?.ring().audio_codec()
    }

    /// What the pictures of `name` are, if somebody publishes it and it has any.
    pub fn video_info(&self, name: &str) -> Option<VideoInfo> {
        self.published(name)?.ring().video_info()
    }

    fn published(&self, name: &str) -> Option<Arc<Stream>> {
        let entries = self.entries();
        Some(Arc::clone(&entries.get(name).filter(|entry| entry.published)?.stream))
    }

    /// Whether [`Self::publish`] of `name` would succeed now.
    ///
    /// # Errors
    /// As it.
    pub fn may_publish(&self, name: &str) -> Result<(), PublishError> {
        let entries = self.entries();
        match entries.get(name) {
            Some(entry) if entry.published => Err(PublishError::Taken),
            Some(_) => Ok(()),
            None => Ok(self.room(&entries)?),
        }
    }

    /// Whether there is room for another stream.
    fn room(&self, entries: &BTreeMap<Arc<str>, Entry>) -> Result<(), TooManyStreams> {
        match entries.len() < self.shared.limits.streams {
            true => Ok(()),
            false => Err(TooManyStreams(entries.len())),
        }
    }

    /// Becomes the publisher of `name`, the application and the stream name joined by a slash. Begins an epoch.
    ///
    /// # Errors
    /// Somebody else publishes it, or there are too many streams. Nothing has changed then.
    pub fn publish(&self, name: &str) -> Result<Publisher, PublishError> {
        let mut entries = self.entries();
        let (name, entry) = self.entry(&mut entries, name)?;
        let is_taken = entry.published;
        #[cfg(feature = "canary-race")]
        let is_taken = is_taken && super::canary::has_begun(&entry.stream.ring());
        if is_taken {
            return Err(PublishError::Taken);
        }
        entry.published = true;
        let stream = Arc::clone(&entry.stream);
        stream.begin_epoch();
        #[cfg(feature = "canary")]
        if stream.epoch() > 1 {
            super::canary::leak_a_block();
        }
        Ok(Publisher::new(self.clone(), name, stream))
    }

    /// Becomes a subscriber of `name`, whether somebody publishes it or not.
    ///
    /// # Errors
    /// There are too many streams.
    pub fn subscribe(&self, name: &str, now: Instant) -> Result<Subscriber, TooManyStreams> {
        let mut entries = self.entries();
        let (name, entry) = self.entry(&mut entries, name)?;
        entry.subscribers += 1;
        let stream = Arc::clone(&entry.stream);
        drop(entries);
        Ok(Subscriber::new(self.clone(), name, stream, now))
    }

    fn entry<'a>(
        &self,
        entries: &'a mut BTreeMap<Arc<str>, Entry>,
        name: &str,
    ) -> Result<(Arc<str>, &'a mut Entry), TooManyStreams> {
        let known = entries.get_key_value(name).map(|(known, _)| Arc::clone(known));
        let name = match known {
            Some(known) => known,
            None => {
                self.room(entries)?;
                name.into()
            }
        };
        let new = || Entry {
            stream: Arc::new(Stream::new(&self.shared.limits)),
            published: false,
            subscribers: 0,
        };
        Ok((Arc::clone(&name), entries.entry(name).or_insert_with(new)))
    }

    /// The publisher of `name` goes; its epoch ends.
    pub(super) fn unpublish(&self, name: &str) {
        let mut entries = self.entries();
        let entry = entries.get_mut(name).expect("a publisher's stream is registered");
        entry.published = false;
        entry.stream.end_epoch();
        if entry.subscribers == 0 {
            forget(&mut entries, name);
        }
    }

    /// A subscriber of `name` goes.
    pub(super) fn unsubscribe(&self, name: &str) {
        let mut entries = self.entries();
        let entry = entries.get_mut(name).expect("a subscriber's stream is registered");
        entry.subscribers -= 1;
        if entry.subscribers == 0 && !entry.published {
            forget(&mut entries, name);
        }
    }
}

/// Takes `name` out. The last one takes along the node that an empty map would keep.
fn forget(entries: &mut BTreeMap<Arc<str>, Entry>, name: &str) {
    entries.remove(name);
    if entries.is_empty() {
        *entries = BTreeMap::new();
    }
}
