//! The ring: the newest frames of one epoch of a stream, oldest first, each with a position that never repeats.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    frame::{Frame, FrameKind},
    headers::{HeaderSlot, Headers},
};
use crate::{
    media::{
        AudioCodec, audio,
        video::{self, VideoInfo},
    },
    rtmp::data::DeclaredTracks,
};

/// Bounds of a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct RingLimits {
    /// Frames from before the last keyframe are kept this long, for slow subscribers.
    pub(super) keep: Duration,
    /// Frames since the last keyframe are kept this long, for those who join.
    pub(super) gop: Duration,
    /// Payloads and frames together.
    pub(super) bytes: usize,
}

/// Tracks that an epoch has shown so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracks {
    /// Audio or its header has come.
    pub audio: bool,
    /// Video or its header has come.
    pub video: bool,
}

/// A frame in the ring.
#[derive(Debug)]
struct Held {
    frame: Arc<Frame>,
    /// Payload bytes of the epoch before it.
    bytes_before: u64,
    /// What it and the version of the headers that it made cost.
    held_bytes: usize,
}

/// The frames of one epoch that are still held.
#[derive(Debug)]
pub(super) struct Ring {
    limits: RingLimits,
    frames: VecDeque<Held>,
    /// Payload bytes of the epoch so far.
    total_bytes: u64,
    /// Position of the oldest frame held.
    start: u64,
    /// Position of the epoch's first frame.
    epoch_start: u64,
    held_bytes: usize,
    held_pictures: usize,
    last_keyframe: Option<u64>,
    /// Headers in force after the newest frame.
    headers: Arc<Headers>,
    /// 0 before the first publish.
    pub(super) epoch: u64,
    /// The epoch's publisher is there.
    pub(super) live: bool,
    tracks: Tracks,
    declared: DeclaredTracks,
    first_media_at: Option<Instant>,
}

impl Ring {
    pub(super) fn new(limits: RingLimits) -> Self {
        Self {
            limits,
            frames: VecDeque::new(),
            total_bytes: 0,
            start: 0,
            epoch_start: 0,
            held_bytes: 0,
            held_pictures: 0,
            last_keyframe: None,
            headers: Arc::default(),
            epoch: 0,
            live: false,
            tracks: Tracks::default(),
            declared: DeclaredTracks::default(),
            first_media_at: None,
        }
    }

    /// Starts an epoch; nothing of the one before is left.
    pub(super) fn begin_epoch(&mut self) {
        let end = self.end();
        *self = Self {
            start: end,
            epoch_start: end,
            epoch: self.epoch + 1,
            live: true,
            ..Self::new(self.limits)
        };
    }

    /// Position after the newest frame.
    pub(super) fn end(&self) -> u64 {
        self.start + self.frames.len() as u64
    }

    /// What the newest sound is coded in, if any is held.
    pub(super) fn audio_codec(&self) -> Option<AudioCodec> {
        let mut newest = self.frames.iter().rev().map(|held| &held.frame);
        let is_audio =
            |frame: &&Arc<Frame>| matches!(frame.kind, FrameKind::Audio | FrameKind::AudioHeader);
        audio::classify(&newest.find(is_audio)?.payload).ok()?.codec
    }

    /// What the newest picture, or the newest header of pictures, is, if any is held.
    pub(super) fn video_info(&self) -> Option<VideoInfo> {
        let is_video =
            |frame: &&Arc<Frame>| frame.kind.is_picture() || frame.kind == FrameKind::VideoHeader;
        let mut newest = self.frames.iter().rev().map(|held| &held.frame);
        video::classify(&newest.find(is_video)?.payload).ok()
    }

    /// Position of the oldest frame held.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// True while the epoch's first frame is held.
    pub(super) fn is_whole(&self) -> bool {
        self.start == self.epoch_start
    }

    pub(super) fn get(&self, position: u64) -> Option<&Arc<Frame>> {
        self.held(position).map(|held| &held.frame)
    }

    fn held(&self, position: u64) -> Option<&Held> {
        self.frames.get(usize::try_from(position.checked_sub(self.start)?).ok()?)
    }

    /// Headers in force for the next frame.
    pub(super) fn headers(&self) -> &Arc<Headers> {
        &self.headers
    }

    /// Where somebody who would get `next` and is behind goes on: at the last keyframe; in a stream without pictures at the newest
    /// frame, which may be the last one. Nothing when there is nothing better than to go on.
    pub(super) fn resync(&self, next: u64) -> Option<u64> {
        let newest = self.end().saturating_sub(1).max(self.start);
        let target = if self.has_no_picture() { newest } else { self.entry() };
        (target > next && target < self.end()).then_some(target)
    }

    /// Where somebody who joins starts: at the last keyframe, or with the next frame when there is none.
    pub(super) fn entry(&self) -> u64 {
        self.last_keyframe.unwrap_or_else(|| self.end())
    }

    /// True when there is no picture to wait for a keyframe with.
    pub(super) fn has_no_picture(&self) -> bool {
        self.held_pictures == 0
    }

    /// Payload bytes from `position`, which is held, to the end.
    pub(super) fn bytes_from(&self, position: u64) -> u64 {
        self.held(position).map_or(0, |held| self.total_bytes - held.bytes_before)
    }

    /// Appends a frame that was made with [`Self::headers`], and lets go what the limits say.
    pub(super) fn push(&mut self, frame: Arc<Frame>, slot: Option<HeaderSlot>) {
        match frame.kind {
            FrameKind::Keyframe => self.last_keyframe = Some(self.end()),
            // Silence is sent by publishers that have no audio track, too.
            FrameKind::Audio if frame.payload.is_empty() => {}
            FrameKind::Audio | FrameKind::AudioHeader => self.tracks.audio = true,
            _ => {}
        }
        if frame.kind.is_picture() {
            self.held_pictures += 1;
        }
        if frame.kind.is_picture() || frame.kind == FrameKind::VideoHeader {
            self.tracks.video = true;
        }
        if !matches!(frame.kind, FrameKind::Metadata | FrameKind::Data) {
            self.first_media_at.get_or_insert(frame.arrived_at);
        }
        let mut held_bytes = frame.held_bytes();
        if let Some(slot) = slot.filter(|slot| !self.headers.has(*slot, &frame)) {
            self.headers = Arc::new(self.headers.with(slot, &frame));
            held_bytes += self.headers.own_bytes();
        }
        self.held_bytes += held_bytes;
        let now = frame.arrived_at;
        let bytes_before = self.total_bytes;
        self.total_bytes += frame.payload.len() as u64;
        self.frames.push_back(Held { frame, bytes_before, held_bytes });
        self.trim(now);
    }

    /// The publisher announces tracks.
    pub(super) fn declare(&mut self, declared: DeclaredTracks) {
        self.declared = declared;
    }

    /// The publisher withdraws its metadata.
    pub(super) fn clear_metadata(&mut self) {
        self.headers = Arc::new(self.headers.without_metadata());
    }

    fn trim(&mut self, now: Instant) {
        let entry = self.entry();
        let is_cut_short = fault_point!("a ring lets go of all but its newest frame");
        while let Some(Held { frame: oldest, held_bytes, .. }) = self.frames.front() {
            let age = now.duration_since(oldest.arrived_at);
            let spare = self.start < entry && age > self.limits.keep;
            // The newest frame stays whatever its size: somebody has to be able to send it.
            let excess = self.frames.len() > 1
                && (age > self.limits.gop || self.held_bytes > self.limits.bytes || is_cut_short);
            if !spare && !excess {
                return;
            }
            self.held_bytes -= held_bytes;
            self.held_pictures -= usize::from(oldest.kind.is_picture());
            self.frames.pop_front();
            self.start += 1;
            if self.last_keyframe.is_some_and(|keyframe| keyframe < self.start) {
                sometimes!("a ring lets go of its last keyframe");
                self.last_keyframe = None;
            }
        }
    }

    /// The epoch's tracks, once they can be told at `now`: both have come, or all that the metadata announces, or
    /// `probe` has passed since the first media.
    /// Nothing can be told of an epoch that is over.
    pub(super) fn settled_tracks(&self, now: Instant, probe: Duration) -> Option<Tracks> {
        let Tracks { audio, video } = self.tracks;
        let announced = self.declared.audio.is_some_and(|declared| !declared || audio)
            && self.declared.video.is_some_and(|declared| !declared || video);
        let probed = self.first_media_at.is_some_and(|first| now.duration_since(first) >= probe);
        let settled = self.live && (audio || video) && (audio && video || announced || probed);
        settled.then_some(self.tracks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::TrackIds;

    const LIMITS: RingLimits =
        RingLimits { keep: Duration::from_secs(1), gop: Duration::from_secs(5), bytes: 1 << 20 };

    fn push(ring: &mut Ring, start: Instant, at_ms: u64, kind: FrameKind, bytes: usize) {
        let frame = Frame::new(
            kind,
            ring.epoch,
            at_ms as u32,
            start + Duration::from_millis(at_ms),
            vec![0; bytes].into(),
            Arc::clone(ring.headers()),
        );
        ring.push(Arc::new(frame), None);
    }

    fn begun(limits: RingLimits) -> (Ring, Instant) {
        let mut ring = Ring::new(limits);
        ring.begin_epoch();
        (ring, Instant::now())
    }

    #[test]
    fn frames_before_the_last_keyframe_are_kept_for_a_while_only() {
        let (mut ring, start) = begun(LIMITS);
        push(&mut ring, start, 0, FrameKind::Keyframe, 10);
        push(&mut ring, start, 900, FrameKind::Inter, 10);
        push(&mut ring, start, 1_800, FrameKind::Keyframe, 10);
        assert_eq!((ring.start(), ring.entry()), (1, 2));
        push(&mut ring, start, 4_000, FrameKind::Inter, 10);
        assert_eq!((ring.start(), ring.entry()), (2, 2), "the GOP itself stays");
    }

    #[test]
    fn an_old_gop_goes_and_nobody_enters_there() {
        let (mut ring, start) = begun(LIMITS);
        push(&mut ring, start, 0, FrameKind::Keyframe, 10);
        push(&mut ring, start, 5_001, FrameKind::Audio, 10);
        assert_eq!((ring.start(), ring.entry()), (1, 2));
        assert!(ring.has_no_picture());
    }

    #[test]
    fn bytes_are_bounded_but_the_newest_frame_stays() {
        let (mut ring, start) = begun(RingLimits { bytes: 10_000, ..LIMITS });
        for at_ms in 0..100 {
            push(&mut ring, start, at_ms, FrameKind::Inter, 900);
            assert!(ring.held_bytes <= 10_000);
        }
        assert!(ring.end() - ring.start() >= 7);
        push(&mut ring, start, 101, FrameKind::Keyframe, 20_000);
        assert_eq!((ring.start(), ring.end(), ring.entry()), (100, 101, 100));
    }

    #[test]
    fn frames_as_old_or_as_long_as_the_limit_are_kept() {
        let (mut ring, start) = begun(LIMITS);
        push(&mut ring, start, 0, FrameKind::Keyframe, 10);
        push(&mut ring, start, 1_000, FrameKind::Keyframe, 10);
        assert_eq!(ring.start(), 0, "kept for as long as it is to be");
        push(&mut ring, start, 6_000, FrameKind::Inter, 10);
        assert_eq!(ring.start(), 1, "the GOP is as old as it may be");
        let held_bytes = ring.held_bytes;
        let (mut ring, start) = begun(RingLimits { bytes: held_bytes, ..LIMITS });
        push(&mut ring, start, 0, FrameKind::Keyframe, 10);
        push(&mut ring, start, 10, FrameKind::Inter, 10);
        assert_eq!((ring.start(), ring.held_bytes), (0, held_bytes));
        push(&mut ring, start, 20, FrameKind::Inter, 10);
        assert_eq!((ring.start(), ring.held_bytes), (1, held_bytes));
    }

    #[test]
    fn each_version_of_the_headers_counts_as_long_as_its_frame_is_held() {
        let (mut ring, start) = begun(LIMITS);
        let mut expected_bytes = 0;
        for (slot, slots) in [(HeaderSlot::Metadata, 1), (HeaderSlot::Audio(TrackIds::DEFAULT), 2)]
        {
            let headers = Arc::clone(ring.headers());
            let payload = vec![0; 10].into();
            let frame = Arc::new(Frame::new(FrameKind::Metadata, 1, 0, start, payload, headers));
            let version_bytes = slots * size_of::<(HeaderSlot, Arc<Frame>)>();
            expected_bytes += frame.held_bytes() + size_of::<Headers>() + version_bytes;
            ring.push(frame, Some(slot));
            assert_eq!(ring.held_bytes, expected_bytes);
        }
        let later_ms = LIMITS.gop.as_millis() as u64 + 1;
        push(&mut ring, start, later_ms, FrameKind::Audio, 10);
        assert_eq!(ring.held_bytes, ring.get(2).expect("the newest stays").held_bytes());
    }

    #[test]
    fn headers_that_come_again_and_again_hold_nothing_of_the_past() {
        let (mut ring, start) = begun(LIMITS);
        let mut payloads = Vec::new();
        for at_ms in (0..20_000).step_by(1_000) {
            let now = start + Duration::from_millis(at_ms);
            let payload = bytes::Bytes::from(vec![0; 10]);
            payloads.push(payload.clone());
            let headers = Arc::clone(ring.headers());
            let frame = Frame::new(FrameKind::Metadata, 1, at_ms as u32, now, payload, headers);
            ring.push(Arc::new(frame), Some(HeaderSlot::Metadata));
        }
        let held = payloads.iter().filter(|payload| !payload.is_unique()).count();
        assert!(held <= 6, "{held} payloads are held, the ring keeps 5 s of one a second");
    }

    #[test]
    fn a_new_epoch_starts_empty_at_a_new_position() {
        let (mut ring, start) = begun(LIMITS);
        push(&mut ring, start, 0, FrameKind::Keyframe, 10);
        ring.begin_epoch();
        assert_eq!((ring.epoch, ring.start(), ring.end(), ring.entry()), (2, 1, 1, 1));
        assert!(ring.is_whole() && ring.get(0).is_none());
    }

    #[test]
    fn tracks_settle_when_both_came_or_the_announced_or_time_passed() {
        let probe = Duration::from_millis(500);
        let (mut ring, start) = begun(LIMITS);
        assert_eq!(ring.settled_tracks(start, probe), None);
        push(&mut ring, start, 0, FrameKind::Audio, 1);
        assert_eq!(ring.settled_tracks(start, probe), None);
        let audio = Some(Tracks { audio: true, video: false });
        assert_eq!(ring.settled_tracks(start + probe, probe), audio);
        ring.declare(DeclaredTracks { audio: Some(true), video: Some(false) });
        assert_eq!(ring.settled_tracks(start, probe), audio);
        ring.declare(DeclaredTracks { audio: Some(true), video: Some(true) });
        assert_eq!(ring.settled_tracks(start, probe), None);
        push(&mut ring, start, 0, FrameKind::VideoHeader, 1);
        assert_eq!(ring.settled_tracks(start, probe), Some(Tracks { audio: true, video: true }));
    }
}
