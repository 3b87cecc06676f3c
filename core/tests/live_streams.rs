//! What subscribers of a live stream get, step by step and without a runtime: time is an argument.

use std::{sync::Arc, time::Duration};

use rehearsal_core::{
    live::{Frame, FrameKind, LiveLimits, PublishError, Publisher, Registry, Subscriber, Taken},
    rtmp::message::{Message, type_id},
};
use tokio::time::Instant;

const LIMITS: LiveLimits = LiveLimits {
    streams: 3,
    keep: Duration::from_secs(10),
    gop: Duration::from_secs(60),
    ring_bytes: 1 << 20,
    headers_bytes: 10_000,
    lag_resync: Duration::from_secs(3),
    lag_resync_bytes: 100_000,
    lag_close: Duration::from_secs(10),
    probe: Duration::from_millis(500),
    in_flight_bytes: 1 << 20,
};

/// A stream whose publisher's clock started with the test.
struct Stage {
    registry: Registry,
    publisher: Publisher,
    start: Instant,
}

impl Stage {
    fn new(limits: LiveLimits) -> Self {
        let registry = Registry::new(limits);
        let publisher = registry.publish("live/cam").unwrap();
        Self { registry, publisher, start: Instant::now() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn push(&mut self, at_ms: u64, type_id: u8, payload: Vec<u8>) {
        let timestamp_ms = at_ms as u32;
        let message = Message { type_id, stream_id: 1, timestamp_ms, payload: payload.into() };
        self.publisher.push(message, self.at(at_ms)).expect("media that makes sense");
    }

    /// A video header that says `config`.
    fn header(&mut self, at_ms: u64, config: u8) {
        self.push(at_ms, type_id::VIDEO, vec![0x17, 0, 0, 0, 0, config]);
    }

    fn key(&mut self, at_ms: u64) {
        self.push(at_ms, type_id::VIDEO, vec![0x17, 1, 0, 0, 0, 9]);
    }

    fn inter(&mut self, at_ms: u64) {
        self.push(at_ms, type_id::VIDEO, vec![0x27, 1, 0, 0, 0, 9]);
    }

    fn audio(&mut self, at_ms: u64) {
        self.push(at_ms, type_id::AUDIO, vec![0xaf, 1, 9]);
    }

    /// GOPs of one second with ten pictures, from `from_s` to before `to_s`.
    fn gops(&mut self, from_s: u64, to_s: u64) {
        for at_ms in (from_s * 1_000..to_s * 1_000).step_by(100) {
            match at_ms % 1_000 {
                0 => self.key(at_ms),
                _ => self.inter(at_ms),
            }
        }
    }

    fn subscribe(&self, at_ms: u64) -> Subscriber {
        self.registry.subscribe("live/cam", self.at(at_ms)).unwrap()
    }

    /// Takes everything there is.
    fn take(&self, subscriber: &mut Subscriber, at_ms: u64) -> (Vec<Arc<Frame>>, Vec<Taken>) {
        let (mut frames, mut events) = (Vec::new(), Vec::new());
        loop {
            let taken = subscriber.take(self.at(at_ms), |frame| {
                frames.push(frame);
                true
            });
            match taken {
                Taken::Nothing => return (frames, events),
                Taken::Frames => {}
                event => events.push(event),
            }
        }
    }
}

fn seen(frames: &[Arc<Frame>]) -> Vec<(FrameKind, u32)> {
    frames.iter().map(|frame| (frame.kind, frame.timestamp_ms)).collect()
}

use FrameKind::{Audio, AudioHeader, Inter, Keyframe, Metadata, VideoHeader};

#[test]
fn a_late_joiner_gets_the_headers_and_the_last_gop() {
    let mut stage = Stage::new(LIMITS);
    let metadata = b"\x02\0\x0aonMetaData\x08\0\0\0\0\0\0\x09".to_vec();
    stage.push(0, type_id::AUDIO, vec![0xaf, 0, 1]);
    stage.header(0, 1);
    stage.push(0, type_id::DATA_AMF0, metadata);
    stage.gops(0, 2);
    stage.audio(1_950);
    let mut late = stage.subscribe(1_960);
    let (frames, events) = stage.take(&mut late, 1_960);
    assert_eq!(events, [Taken::Joined]);
    let expected = [(Metadata, 0), (VideoHeader, 1_000), (AudioHeader, 1_000), (Keyframe, 1_000)];
    assert_eq!(seen(&frames)[..4], expected);
    assert_eq!(frames.len(), 4 + 9 + 1);
    assert_eq!((late.skipped_frames(), late.resyncs()), (0, 0), "nothing was lost to slowness");
}

#[test]
fn who_joins_gets_the_newest_metadata_unless_it_was_withdrawn() {
    let mut stage = Stage::new(LIMITS);
    let metadata = |name: &[u8]| [b"\x02\0\x0aonMetaData\x08\0\0\0\0", name, b"\0\0\x09"].concat();
    let (older, newer) = (metadata(b"\0\x01a\x05"), metadata(b"\0\x01b\x05"));
    for payload in [&older, &newer] {
        stage.push(0, type_id::DATA_AMF0, payload.clone());
    }
    stage.header(0, 1);
    stage.key(0);
    let mut player = stage.subscribe(10);
    let (frames, _) = stage.take(&mut player, 10);
    assert_eq!(seen(&frames), [(Metadata, 0), (VideoHeader, 0), (Keyframe, 0)]);
    assert_eq!(frames[0].payload, newer);

    stage.push(20, type_id::DATA_AMF0, b"\x02\0\x0f@clearDataFrame\x02\0\x0aonMetaData".to_vec());
    stage.key(40);
    let mut player = stage.subscribe(50);
    let (frames, _) = stage.take(&mut player, 50);
    assert_eq!(seen(&frames), [(VideoHeader, 40), (Keyframe, 40)]);
    assert_eq!((stage.publisher.name(), stage.publisher.frames()), ("live/cam", 5));
}

#[test]
fn who_waited_gets_the_epoch_from_its_first_frame() {
    let registry = Registry::new(LIMITS);
    let start = Instant::now();
    let mut early = registry.subscribe("live/cam", start).unwrap();
    let publisher = registry.publish("live/cam").unwrap();
    let mut stage = Stage { registry, publisher, start };
    assert_eq!(stage.take(&mut early, 0).1, [Taken::Began]);
    stage.audio(5);
    stage.header(10, 1);
    stage.gops(1, 3);
    let (frames, events) = stage.take(&mut early, 3_000);
    assert_eq!((frames.len(), events), (22, vec![]));
    assert_eq!(seen(&frames)[..3], [(Audio, 5), (VideoHeader, 10), (Keyframe, 1_000)]);
}

#[test]
fn before_the_first_keyframe_audio_flows_and_pictures_wait() {
    let mut stage = Stage::new(LIMITS);
    stage.header(0, 1);
    stage.inter(10);
    let mut player = stage.subscribe(15);
    stage.inter(20);
    stage.audio(30);
    stage.inter(40);
    stage.key(50);
    stage.inter(60);
    let (frames, _) = stage.take(&mut player, 60);
    let expected = [(VideoHeader, 50), (Keyframe, 50), (Inter, 60)];
    assert_eq!(seen(&frames), expected, "it joined when the keyframe was there");

    let mut stage = Stage::new(LIMITS);
    stage.header(0, 1);
    stage.inter(10);
    let mut player = stage.subscribe(15);
    assert_eq!(stage.take(&mut player, 15).1, [Taken::Joined]);
    stage.inter(20);
    stage.audio(30);
    stage.inter(40);
    stage.key(50);
    let (frames, _) = stage.take(&mut player, 50);
    assert_eq!(seen(&frames), [(VideoHeader, 30), (Audio, 30), (Keyframe, 50)]);
}

#[test]
fn a_stream_without_pictures_starts_at_the_next_frame() {
    let mut stage = Stage::new(LIMITS);
    stage.push(0, type_id::AUDIO, vec![0xaf, 0, 1]);
    (0..100).for_each(|index| stage.audio(index * 20));
    let mut player = stage.subscribe(2_000);
    assert_eq!(stage.take(&mut player, 2_000).0.len(), 0);
    stage.audio(2_020);
    let (frames, _) = stage.take(&mut player, 2_020);
    assert_eq!(seen(&frames), [(AudioHeader, 2_020), (Audio, 2_020)]);
}

/// A player that has read the first GOP and then nothing until `now_ms`.
fn behind(stage: &mut Stage, now_ms: u64) -> (Subscriber, Vec<Arc<Frame>>) {
    stage.header(0, 1);
    stage.gops(0, 1);
    let mut player = stage.subscribe(950);
    assert_eq!(stage.take(&mut player, 950).0.len(), 11);
    stage.header(1_500, 2);
    stage.gops(2, 4);
    stage.header(4_500, 3);
    stage.gops(5, 6);
    let (frames, _) = stage.take(&mut player, now_ms);
    (player, frames)
}

#[test]
fn a_player_within_its_lag_gets_everything() {
    let mut stage = Stage::new(LIMITS);
    // The oldest unread frame came at 1.5 s; the limit is 3 s.
    let (player, frames) = behind(&mut stage, 4_500);
    assert_eq!((frames.len(), player.resyncs()), (32, 0));
}

#[test]
fn a_player_beyond_its_lag_goes_on_at_the_last_keyframe_with_its_headers() {
    let mut stage = Stage::new(LIMITS);
    let (player, frames) = behind(&mut stage, 4_501);
    assert_eq!(seen(&frames)[..2], [(VideoHeader, 5_000), (Keyframe, 5_000)]);
    assert_eq!(frames[0].payload[5], 3, "the header in force at the keyframe");
    assert_eq!((frames.len(), player.resyncs(), player.skipped_frames()), (11, 1, 22));
}

#[test]
fn after_going_on_elsewhere_lateness_counts_anew() {
    let mut stage = Stage::new(LIMITS);
    let (player, frames) = behind(&mut stage, 7_000);
    assert_eq!(player.resyncs(), 1);
    assert_eq!(player.close_at(&frames[0]), stage.at(17_000), "not ten seconds after it came");
}

#[test]
fn who_is_late_or_was_paused_and_stands_at_the_last_keyframe_goes_on_without_its_headers() {
    let mut stage = Stage::new(LIMITS);
    stage.header(0, 1);
    stage.key(0);
    let mut player = stage.subscribe(0);
    stage.take(&mut player, 0);
    for resumes in [false, true] {
        let at_ms = if resumes { 20_000 } else { 10_000 };
        stage.key(at_ms);
        if resumes {
            player.resume(stage.at(at_ms));
        }
        let (frames, _) = stage.take(&mut player, at_ms + 3_500);
        assert_eq!(seen(&frames), [(Keyframe, at_ms as u32)]);
        assert_eq!((player.resyncs(), player.skipped_frames()), (0, 0));
    }
}

#[test]
fn too_many_unread_bytes_are_too_much_lag() {
    for (bytes, resyncs) in [(9_000, 0), (10_000, 0), (10_001, 1)] {
        let mut stage = Stage::new(LIMITS);
        stage.key(0);
        let mut player = stage.subscribe(0);
        stage.take(&mut player, 0);
        for index in 0..10 {
            let mut payload = vec![if index == 9 { 0x17 } else { 0x27 }, 1, 0, 0, 0];
            payload.resize(bytes, 0);
            stage.push(index, type_id::VIDEO, payload);
        }
        stage.take(&mut player, 10);
        assert_eq!(player.resyncs(), resyncs, "{bytes} bytes ten times");
    }
}

#[test]
fn a_player_that_the_ring_has_overrun_goes_on_at_a_keyframe() {
    let mut stage = Stage::new(LiveLimits { ring_bytes: 20_000, ..LIMITS });
    stage.header(0, 1);
    stage.key(0);
    let mut player = stage.subscribe(0);
    stage.take(&mut player, 0);
    stage.gops(1, 3);
    for at_ms in 3_000..3_500 {
        stage.inter(at_ms);
    }
    // The last keyframe is gone, too: pictures wait for the next.
    let (frames, _) = stage.take(&mut player, 3_500);
    assert!(frames.is_empty() && player.resyncs() == 1, "{:?}", seen(&frames));
    stage.inter(3_501);
    stage.key(3_502);
    let (frames, _) = stage.take(&mut player, 3_502);
    assert_eq!(seen(&frames), [(VideoHeader, 3_502), (Keyframe, 3_502)]);
}

#[test]
fn who_is_late_for_audio_alone_gets_its_newest_frame_which_may_be_the_last() {
    let mut stage = Stage::new(LIMITS);
    stage.push(0, type_id::AUDIO, vec![0xaf, 0, 1]);
    let mut player = stage.subscribe(0);
    stage.take(&mut player, 0);
    (0..=200).for_each(|index| stage.audio(index * 20));
    drop(stage.publisher);
    let mut given = Vec::new();
    let now = stage.start + Duration::from_millis(4_000);
    let taken = player.take(now, |frame| {
        given.push(frame);
        true
    });
    assert_eq!((taken, player.resyncs(), player.skipped_frames()), (Taken::Frames, 1, 200));
    assert_eq!(seen(&given), [(AudioHeader, 4_000), (Audio, 4_000)]);
}

#[test]
fn an_epoch_is_given_to_its_end_and_then_the_next() {
    let mut stage = Stage::new(LIMITS);
    stage.key(0);
    let mut player = stage.subscribe(0);
    stage.take(&mut player, 0);
    stage.inter(40);
    drop(stage.publisher);
    let next = |player: &mut Subscriber| {
        let mut given = 0;
        let taken = player.take(stage.start, |_| {
            given += 1;
            true
        });
        (taken, given)
    };
    assert_eq!(next(&mut player), (Taken::Frames, 1));
    assert_eq!(next(&mut player), (Taken::Ended, 0));
    assert_eq!(next(&mut player), (Taken::Nothing, 0));
    let _next = stage.registry.publish("live/cam").unwrap();
    assert_eq!(next(&mut player), (Taken::Began, 0));
}

#[test]
fn nothing_of_an_epoch_is_given_once_the_next_has_begun() {
    let mut stage = Stage::new(LIMITS);
    stage.key(0);
    let mut player = stage.subscribe(0);
    stage.take(&mut player, 0);
    stage.inter(40);
    let Stage { registry, publisher, start } = stage;
    drop(publisher);
    let publisher = registry.publish("live/cam").unwrap();
    let mut stage = Stage { registry, publisher, start };
    stage.key(80);
    let (frames, events) = stage.take(&mut player, 90);
    assert_eq!(events, [Taken::Ended, Taken::Began]);
    assert!(frames.iter().all(|frame| frame.epoch == 2) && frames.len() == 1);
    assert_eq!(player.newest_epoch(), 2);
}

#[test]
fn an_epoch_that_came_and_went_between_two_looks_is_given_to_who_waited() {
    let registry = Registry::new(LIMITS);
    let start = Instant::now();
    let mut early = registry.subscribe("live/cam", start).unwrap();
    let publisher = registry.publish("live/cam").unwrap();
    let mut stage = Stage { registry, publisher, start };
    stage.key(0);
    let Stage { registry, publisher, .. } = stage;
    drop(publisher);
    let mut late = registry.subscribe("live/cam", start).unwrap();
    let all = |player: &mut Subscriber| {
        let mut taken = [Taken::Nothing; 4];
        taken.iter_mut().for_each(|taken| *taken = player.take(start, |_| true));
        taken
    };
    assert_eq!(all(&mut early), [Taken::Began, Taken::Frames, Taken::Ended, Taken::Nothing]);
    assert_eq!(all(&mut late), [Taken::Nothing; 4]);
}

#[test]
fn a_frame_is_too_late_ten_seconds_after_it_came_or_the_player_did() {
    let mut stage = Stage::new(LIMITS);
    stage.key(0);
    let mut player = stage.subscribe(7_000);
    stage.key(8_000);
    let (frames, _) = stage.take(&mut player, 8_000);
    assert_eq!(player.close_at(&frames[0]), stage.at(18_000));
    let old = stage.subscribe(9_000);
    assert_eq!(old.close_at(&frames[0]), stage.at(19_000));
}

#[test]
fn a_pause_ends_at_the_last_keyframe_or_where_it_began() {
    let mut stage = Stage::new(LIMITS);
    stage.gops(0, 1);
    let mut player = stage.subscribe(0);
    stage.take(&mut player, 900);
    stage.gops(1, 5);
    player.resume(stage.at(4_950));
    let (frames, _) = stage.take(&mut player, 4_950);
    assert_eq!(seen(&frames)[0], (Keyframe, 4_000));
    player.resume(stage.at(4_960));
    assert!(stage.take(&mut player, 4_960).0.is_empty(), "nothing is given again");
    stage.inter(4_970);
    assert_eq!(seen(&stage.take(&mut player, 4_970).0), [(Inter, 4_970)]);
    assert_eq!(player.resyncs(), 0);
}

#[test]
fn a_stream_has_one_publisher_and_lives_as_long_as_somebody_holds_it() {
    let registry = Registry::new(LIMITS);
    let now = Instant::now();
    let first = registry.publish("live/a").unwrap();
    assert_eq!(registry.publish("live/a").unwrap_err(), PublishError::Taken);
    assert!(registry.is_published("live/a"));
    let player = registry.subscribe("live/a", now).unwrap();
    drop(first);
    assert!(!registry.is_published("live/a") && registry.len() == 1);
    let second = registry.publish("live/a").unwrap();
    assert_eq!(second.epoch(), 2);
    drop((second, player));
    assert!(registry.is_empty());
    assert_eq!(registry.publish("live/a").unwrap().epoch(), 1, "it is another stream now");
}

#[test]
fn there_are_no_more_streams_than_the_limit() {
    let registry = Registry::new(LIMITS);
    let now = Instant::now();
    let held: Vec<_> =
        ["a", "b", "c"].map(|name| registry.subscribe(name, now).unwrap()).into_iter().collect();
    assert!(registry.subscribe("d", now).is_err());
    assert!(matches!(registry.publish("d"), Err(PublishError::TooManyStreams(_))));
    assert!(registry.publish("a").is_ok(), "a stream that exists is no further one");
    drop(held);
    assert!(registry.publish("d").is_ok());
}

/// An Opus header for one track of an Enhanced RTMP multitrack stream.
fn track_header(track: u8, content: &[u8]) -> Vec<u8> {
    [&[0x95, 0x00, b'O', b'p', b'u', b's', track], content].concat()
}

fn try_push(stage: &mut Stage, type_id: u8, payload: Vec<u8>) -> bool {
    let message = Message { type_id, stream_id: 1, timestamp_ms: 0, payload: payload.into() };
    stage.publisher.push(message, stage.start).is_ok()
}

#[test]
fn headers_are_bounded_in_number_and_in_bytes() {
    let mut stage = Stage::new(LIMITS);
    let taken = (0..100).filter(|&track| try_push(&mut stage, 8, track_header(track, b""))).count();
    assert_eq!(taken, 32);
    assert!(try_push(&mut stage, 8, track_header(5, b"newer")), "one that replaces another fits");

    let mut stage = Stage::new(LIMITS);
    assert!(try_push(&mut stage, 8, track_header(0, &[0; 6_000])));
    assert!(!try_push(&mut stage, 8, track_header(1, &[0; 6_000])), "the limit is 10,000 bytes");
    assert!(try_push(&mut stage, 8, track_header(0, &[0; 9_000])));
}

#[test]
fn headers_that_come_again_unchanged_do_not_fill_the_ring() {
    let mut stage = Stage::new(LiveLimits { ring_bytes: 8 << 20, ..LIMITS });
    stage.key(0);
    for round in 0..300 {
        for track in 0..30 {
            assert!(try_push(&mut stage, 8, track_header(track, b"")), "round {round}");
        }
    }
    // Frames alone fit; a version of all headers for each would be twice the ring.
    let mut player = stage.subscribe(0);
    assert_eq!(stage.take(&mut player, 0).0.len(), 1 + 9_000);
}

#[test]
fn a_newer_header_for_more_tracks_replaces_those_of_each() {
    let many = |version| {
        let track = |id| [id, 0, 0, 1, version];
        [&[0x95, 0x10, b'O', b'p', b'u', b's'][..], &track(0), &track(1)].concat()
    };
    let mut stage = Stage::new(LIMITS);
    for header in [many(1), track_header(1, &[2]), many(3)] {
        stage.push(0, type_id::AUDIO, header);
    }
    stage.key(10);
    let mut player = stage.subscribe(10);
    let (frames, _) = stage.take(&mut player, 10);
    let versions: Vec<_> = frames.iter().map(|frame| *frame.payload.last().unwrap()).collect();
    assert_eq!(versions, [3, 9]);
}

#[test]
fn a_keyframe_of_another_track_is_no_place_to_start() {
    let mut stage = Stage::new(LIMITS);
    stage.key(0);
    let other = [&[0x96, 0x01][..], b"avc1", &[1, 0, 0, 0, 7]].concat();
    stage.push(0, type_id::VIDEO, other);
    stage.inter(40);
    let mut player = stage.subscribe(50);
    let (frames, _) = stage.take(&mut player, 50);
    assert_eq!(seen(&frames), [(Keyframe, 0), (Inter, 0), (Inter, 40)]);
}

#[test]
fn tracks_are_told_of_the_living_epoch_only() {
    let mut stage = Stage::new(LIMITS);
    stage.audio(0);
    stage.key(0);
    let mut viewer = stage.subscribe(0);
    let Stage { registry, publisher, start } = stage;
    drop(publisher);
    assert_eq!(viewer.join_settled(start), None);
    let publisher = registry.publish("live/cam").unwrap();
    let mut stage = Stage { registry, publisher, start };
    stage.audio(0);
    assert_eq!(viewer.join_settled(stage.at(499)), None, "a second track may come");
    let tracks = viewer.join_settled(stage.at(500)).expect("it has not");
    assert!(tracks.audio && !tracks.video);
    // It has joined: if the publisher goes now, it is told.
    drop(stage.publisher);
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(viewer.take(stage.start, |_| true));
    }
    assert_eq!(events, [Taken::Frames, Taken::Ended, Taken::Nothing]);
}

#[test]
fn silence_is_no_audio_track() {
    let mut stage = Stage::new(LIMITS);
    stage.push(0, type_id::AUDIO, vec![]);
    stage.key(0);
    let mut viewer = stage.subscribe(0);
    let tracks = viewer.join_settled(stage.at(500)).unwrap();
    assert!(tracks.video && !tracks.audio);
}

#[test]
fn a_paused_player_hears_of_epochs_and_gets_no_frames() {
    let mut stage = Stage::new(LIMITS);
    stage.key(0);
    let mut player = stage.subscribe(0);
    stage.take(&mut player, 0);
    stage.inter(40);
    assert_eq!(player.watch(stage.at(50)), Taken::Nothing);
    let Stage { registry, publisher, start } = stage;
    drop(publisher);
    assert_eq!(player.watch(start), Taken::Ended);
    assert_eq!(player.watch(start), Taken::Nothing);
    let publisher = registry.publish("live/cam").unwrap();
    let mut stage = Stage { registry, publisher, start };
    assert_eq!(player.watch(start), Taken::Began);
    stage.gops(1, 3);
    assert_eq!(player.watch(stage.at(2_950)), Taken::Nothing);
    player.resume(stage.at(2_960));
    let (frames, _) = stage.take(&mut player, 2_960);
    assert_eq!((frames[0].kind, frames.len()), (Keyframe, 10));
}

#[test]
fn who_resumes_goes_on_where_it_stopped_when_no_keyframe_is_left_and_at_the_newest_audio() {
    let mut stage = Stage::new(LiveLimits { gop: Duration::from_secs(1), ..LIMITS });
    stage.key(0);
    let mut player = stage.subscribe(0);
    stage.take(&mut player, 0);
    (1..=20).for_each(|index| stage.inter(index * 40));
    stage.take(&mut player, 800);
    // The keyframe goes, and not yet what comes next for who has had it.
    (21..=30).for_each(|index| stage.inter(index * 40));
    player.resume(stage.at(1_200));
    assert_eq!(stage.take(&mut player, 1_200).0.len(), 10);

    let mut stage = Stage::new(LIMITS);
    stage.audio(0);
    let mut player = stage.subscribe(0);
    stage.take(&mut player, 0);
    (1..=100).for_each(|index| stage.audio(index * 20));
    player.resume(stage.at(2_000));
    assert_eq!(seen(&stage.take(&mut player, 2_000).0), [(Audio, 2_000)]);
}

#[test]
fn a_panic_of_one_reader_leaves_the_stream_to_the_others() {
    let mut stage = Stage::new(LIMITS);
    let (mut one, mut other) = (stage.subscribe(0), stage.subscribe(0));
    for player in [&mut one, &mut other] {
        stage.take(player, 0);
    }
    stage.key(10);
    let now = stage.at(10);
    let broken = std::panic::AssertUnwindSafe(|| one.take(now, |_| panic!("in its reader")));
    assert!(std::panic::catch_unwind(broken).is_err());
    drop(one);
    stage.inter(20);
    assert_eq!(seen(&stage.take(&mut other, 20).0), [(Keyframe, 10), (Inter, 20)]);
}
