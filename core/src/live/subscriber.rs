//! The reading end of a stream: a cursor into its ring.
//!
//! What a subscriber gets is always decodable: headers in force, then a keyframe, then what follows; audio alone
//! may start anywhere. When its cursor is overrun or too far behind, it goes on at the last keyframe with the
//! headers in force there, and what it missed is counted.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, futures::OwnedNotified},
    time::Instant,
};

use super::{
    frame::{Frame, FrameKind},
    registry::{Registry, Stream},
    ring::{Ring, Tracks},
};

/// What [`Subscriber::take`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing new: wait for [`Subscriber::changed`].
    Nothing,
    /// Frames were given, or frames were skipped.
    Frames,
    /// It reads an epoch that had begun before it came.
    Joined,
    /// The epoch it waited for begins; frames of the one before must not be sent any more.
    Began,
    /// The epoch is over, and all of it that could be given has been.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In no epoch; the last one that is over for it is given.
    Waiting(u64),
    Reading(u64),
}

/// Who plays a stream. Dropping it leaves the stream.
#[derive(Debug)]
pub struct Subscriber {
    registry: Registry,
    name: Arc<str>,
    stream: Arc<Stream>,
    state: State,
    /// Position of the next frame.
    next: u64,
    headers_due: bool,
    /// A keyframe has been given since the start or the last gap.
    in_gop: bool,
    /// When it joined or last went on at a keyframe; waiting before that is not its fault.
    since: Instant,
    /// The epoch it came into, if one was there.
    came_into: Option<u64>,
    skipped_frames: u64,
    resyncs: u64,
}

impl Subscriber {
    pub(super) fn new(
        registry: Registry,
        name: Arc<str>,
        stream: Arc<Stream>,
        now: Instant,
    ) -> Self {
        let (came_into, seen) = {
            let ring = stream.ring();
            match ring.live {
                true => (Some(ring.epoch), ring.epoch - 1),
                false => (None, ring.epoch),
            }
        };
        Self {
            registry,
            name,
            stream,
            state: State::Waiting(seen),
            next: 0,
            headers_due: false,
            in_gop: false,
            since: now,
            came_into,
            skipped_frames: 0,
            resyncs: 0,
        }
    }

    /// Name of the stream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Frames that were lost to being too slow.
    pub fn skipped_frames(&self) -> u64 {
        self.skipped_frames
    }

    /// How often it went on at a keyframe because it was too slow.
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// Completes once the stream has changed after this call. Make it before [`Self::take`], so that no
    /// change is missed.
    pub fn changed(&self) -> OwnedNotified {
        Notify::notified_owned(Arc::clone(&self.stream.changed))
    }

    /// The stream's newest epoch. Frames of another must not be sent any more.
    pub fn newest_epoch(&self) -> u64 {
        self.stream.epoch()
    }

    /// Joins the epoch once its tracks can be told, and gives them.
    pub fn join_settled(&mut self, now: Instant) -> Option<Tracks> {
        let stream = Arc::clone(&self.stream);
        let ring = stream.ring();
        let tracks = ring.settled_tracks(now, self.registry.limits().probe)?;
        if self.state != State::Reading(ring.epoch) {
            self.join(&ring, now);
        }
        Some(tracks)
    }

    /// When a frame given by [`Self::take`] makes its subscriber too slow, if it is still unsent.
    pub fn close_at(&self, frame: &Frame) -> Instant {
        frame.arrived_at.max(self.since) + self.registry.limits().lag_close
    }

    /// Goes on after a pause: at the last keyframe, or the newest frame of a stream without pictures, if it has not been given yet;
    /// or else where it stopped.
    pub fn resume(&mut self, now: Instant) {
        self.since = now;
        let stream = Arc::clone(&self.stream);
        let ring = stream.ring();
        if ring.live
            && self.state == State::Reading(ring.epoch)
            && let Some(target) = ring.resync(self.next)
        {
            self.enter(target);
        }
    }

    /// As [`Self::take`] during a pause: frames are passed over, epochs come and go.
    pub fn watch(&mut self, now: Instant) -> Taken {
        let (newest, live) = {
            let ring = self.stream.ring();
            (ring.epoch, ring.live)
        };
        match self.state {
            State::Reading(epoch) if epoch != newest || !live => {
                self.state = State::Waiting(epoch);
                Taken::Ended
            }
            State::Reading(_) => Taken::Nothing,
            State::Waiting(_) => self.take(now, |_| false),
        }
    }

    /// Hands frames to `give` until it returns false or there are no more.
    pub fn take(&mut self, now: Instant, mut give: impl FnMut(Arc<Frame>) -> bool) -> Taken {
        let stream = Arc::clone(&self.stream);
        let ring = stream.ring();
        match self.state {
            State::Waiting(last) if ring.epoch == last => Taken::Nothing,
            // An epoch that has ended meanwhile is for those only who waited for it, and only whole.
            State::Waiting(_) if !ring.live && !self.has_waited_for(&ring) => {
                sometimes!("a publish is over before its subscriber has joined it");
                self.state = State::Waiting(ring.epoch);
                Taken::Nothing
            }
            State::Waiting(_) => {
                if !ring.live {
                    sometimes!("a publish that is over is given whole to who waited for it");
                }
                self.join(&ring, now);
                if self.came_into == Some(ring.epoch) { Taken::Joined } else { Taken::Began }
            }
            State::Reading(epoch) if ring.epoch != epoch => {
                sometimes!("a subscriber hears of the end of a publish when the next has begun");
                self.state = State::Waiting(epoch);
                Taken::Ended
            }
            State::Reading(epoch) => {
                let skipped = self.catch_up(&ring, now);
                let gave = self.give_frames(&ring, &mut give);
                if gave || skipped {
                    Taken::Frames
                } else if !ring.live && self.next == ring.end() {
                    self.state = State::Waiting(epoch);
                    Taken::Ended
                } else {
                    Taken::Nothing
                }
            }
        }
    }

    fn join(&mut self, ring: &Ring, now: Instant) {
        self.state = State::Reading(ring.epoch);
        self.since = now;
        // Whoever waited gets the epoch from its first frame on.
        let whole = self.has_waited_for(ring);
        if !whole && ring.entry() == ring.end() && ring.start() < ring.end() {
            sometimes!("a subscriber finds frames and no keyframe among them");
        }
        self.enter(if whole { ring.start() } else { ring.entry() });
    }

    /// True when it was there before the ring's epoch and the ring still has all of it.
    fn has_waited_for(&self, ring: &Ring) -> bool {
        self.came_into != Some(ring.epoch) && ring.is_whole()
    }

    fn enter(&mut self, position: u64) {
        self.next = position;
        self.headers_due = true;
        self.in_gop = false;
    }

    /// Moves a cursor that is overrun or too far behind; true when it moved.
    fn catch_up(&mut self, ring: &Ring, now: Instant) -> bool {
        let limits = self.registry.limits();
        let overrun = self.next < ring.start();
        let late = || {
            let next = ring.get(self.next);
            let waited = next.map_or(Duration::ZERO, |frame| {
                now.duration_since(frame.arrived_at.max(self.since))
            });
            waited > limits.lag_resync || ring.bytes_from(self.next) > limits.lag_resync_bytes
        };
        let target = match (overrun, ring.resync(self.next)) {
            (true, None) => {
                sometimes!("a subscriber is overrun where no keyframe is left");
                ring.start()
            }
            (true, Some(target)) => {
                sometimes!("a subscriber is overrun and goes on at an entry");
                target
            }
            (false, Some(target)) if late() || fault_point!("a subscriber is taken to be late") => {
                sometimes!("a subscriber that is late goes on at an entry");
                target
            }
            (false, _) => return false,
        };
        self.skipped_frames += target - self.next;
        self.resyncs += 1;
        self.since = now;
        self.enter(target);
        true
    }

    /// Gives what is due; true when anything was.
    fn give_frames(&mut self, ring: &Ring, give: &mut impl FnMut(Arc<Frame>) -> bool) -> bool {
        let mut gave = false;
        let mut wanted = true;
        while wanted && let Some(frame) = ring.get(self.next) {
            self.next += 1;
            match frame.kind {
                FrameKind::Keyframe => self.in_gop = true,
                FrameKind::Inter if !self.in_gop => continue,
                _ => {}
            }
            if self.headers_due {
                self.headers_due = false;
                for header in frame.headers.iter() {
                    give(Arc::new(header.restamped(frame.timestamp_ms)));
                }
            }
            gave = true;
            wanted = give(Arc::clone(frame));
        }
        gave
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.registry.unsubscribe(&self.name);
    }
}
