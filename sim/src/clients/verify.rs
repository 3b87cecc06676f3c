//! What a subscriber checks in everything it receives, knowing nothing but the bytes.
//!
//! - Headers come before media, and every frame fits the header before it.
//! - The first picture is a keyframe, and so is the first one after a gap.
//! - Frames are whole, of the right stream, and in order; an epoch never comes back.
//! - Times never go back, and within an epoch all are shifted alike.
//!
//! Whether times run ahead takes both ends to tell: that is for the oracles.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use rehearsal_core::{media::timestamp::elapsed_ms, rtmp::message::type_id};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    access_unit, media, speex,
    stamp::{Stamp, WrongChecksum, stream_hash},
};

/// What a message is, as read from its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `onMetaData`.
    Metadata,
    /// Other data.
    Data,
    /// Video decoder configuration.
    VideoHeader,
    /// Audio decoder configuration.
    AudioHeader,
    /// A keyframe.
    Keyframe,
    /// Another picture.
    Inter,
    /// Audio.
    Audio,
}

/// What a subscriber may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// An epoch is over once the next one begins.
    EpochIsolation,
    /// What comes can be decoded, from the start and after each gap.
    Decodable,
    /// Frames are whole, of the right stream, and in order.
    Integrity,
    /// Times are the publisher's, all shifted alike, and never go back.
    Timestamps,
    /// A header says which tracks come.
    Announced,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which one.
    pub promise: Promise,
    /// What was seen instead, and when.
    pub what: String,
}

/// A message as sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// What it is.
    pub kind: Kind,
    /// Milliseconds as on the wire.
    pub timestamp_ms: u32,
    /// Since the start of the run.
    pub at: Duration,
    /// Hash of the payload.
    pub hash: u64,
    /// Its own word about itself, if it is generated.
    pub stamp: Option<Stamp>,
}

/// How it is said that audio and pictures are not shifted alike.
pub const OTHER_TRACK: &str = "the other track";

/// First byte of audio in G.711, µ-law.
const PCMU: u8 = 0x82;
/// The same in A-law.
const PCMA: u8 = 0x72;
/// Speex, of whatever rate.
const SPEEX: u8 = 0xb2;

/// Whether a decoder of this audio has to be configured.
fn needs_header(payload: &[u8]) -> bool {
    !matches!(payload, [PCMU | PCMA | SPEEX, ..])
}

/// Reads what a message of type `type_id` is: AVC and AAC, HEVC and Opus in Enhanced RTMP, G.711 or Speex.
pub fn kind_of(type_id: u8, payload: &[u8]) -> Option<Kind> {
    let enhanced = payload.first_chunk().and_then(|first| match (type_id, *first) {
        (type_id::VIDEO, media::HEVC_HEADER) => Some(Kind::VideoHeader),
        (type_id::VIDEO, media::HEVC_KEYFRAME) => Some(Kind::Keyframe),
        (type_id::VIDEO, media::HEVC_INTER) => Some(Kind::Inter),
        (type_id::AUDIO, media::OPUS_HEADER) => Some(Kind::AudioHeader),
        (type_id::AUDIO, media::OPUS_FRAME) => Some(Kind::Audio),
        _ => None,
    });
    if enhanced.is_some() {
        return enhanced;
    }
    Some(match (type_id, payload) {
        (type_id::VIDEO, [first, 0, ..]) if first & 0x0f == 7 => Kind::VideoHeader,
        (type_id::VIDEO, [0x17, 1, ..]) => Kind::Keyframe,
        (type_id::VIDEO, [0x27, 1, ..]) => Kind::Inter,
        // End of sequence: nothing depends on it.
        (type_id::VIDEO, [first, 2, ..]) if first & 0x0f == 7 => Kind::Data,
        (type_id::AUDIO, [PCMU | PCMA | SPEEX, _, ..]) => Kind::Audio,
        (type_id::AUDIO, [0xaf, 0, ..]) => Kind::AudioHeader,
        (type_id::AUDIO, [0xaf, 1, ..]) => Kind::Audio,
        (type_id::DATA_AMF0, [2, 0, 10, name @ ..]) if name.starts_with(b"onMetaData") => {
            Kind::Metadata
        }
        (type_id::DATA_AMF0, [2, ..]) => Kind::Data,
        _ => return None,
    })
}

/// Where the stamp stands in a payload of `kind`.
fn stamp_of(kind: Kind, payload: &[u8]) -> Option<Result<Stamp, WrongChecksum>> {
    let enhanced = matches!(payload.get(1..5)?, b"hvc1" | b"Opus");
    let at = match kind {
        Kind::Audio if payload.first() == Some(&SPEEX) => return speex::open(&payload[1..]),
        Kind::Audio if !needs_header(payload) => 1,
        Kind::Keyframe | Kind::Inter if enhanced => 13,
        Kind::VideoHeader | Kind::AudioHeader | Kind::Audio if enhanced => 5,
        Kind::Keyframe | Kind::Inter => {
            let Some(units) = access_unit::split(payload) else { return Some(Err(WrongChecksum)) };
            let is_key = access_unit::is_key(&units) == (kind == Kind::Keyframe);
            let stamp = access_unit::open(&units)?;
            return Some(stamp.and_then(|stamp| is_key.then_some(stamp).ok_or(WrongChecksum)));
        }
        Kind::Audio => 2,
        Kind::AudioHeader => 4,
        Kind::VideoHeader => {
            // The SPS with the stamp, and not what follows it.
            let length = usize::from(u16::from_be_bytes([*payload.get(11)?, *payload.get(12)?]));
            return Stamp::open(payload.get(17..13 + length)?);
        }
        _ => return None,
    };
    Stamp::open(payload.get(at..)?)
}

/// Makes a log entry; an error text when the payload is not what it seems.
///
/// # Errors
/// The payload is of no known kind, or its checksum is wrong.
pub fn log(
    type_id: u8,
    timestamp_ms: u32,
    payload: &Bytes,
    at: Duration,
) -> Result<Logged, String> {
    let kind = kind_of(type_id, payload).ok_or_else(|| {
        let start = &payload[..payload.len().min(16)];
        format!("a message of type {type_id} is of no known kind: {start:02x?}")
    })?;
    let stamp = stamp_of(kind, payload)
        .transpose()
        .map_err(|_| format!("a {kind:?} at {timestamp_ms} ms has a wrong checksum"))?;
    Ok(Logged { kind, timestamp_ms, at, hash: xxh3_64(payload), stamp })
}

/// The checks of one subscriber.
#[derive(Debug)]
pub struct Verifier {
    stream: u64,
    epoch: Option<u32>,
    /// Epochs that others came after.
    over: BTreeSet<u32>,
    video_header: Option<Option<Stamp>>,
    audio_header: bool,
    last_video: Option<Option<Stamp>>,
    last_audio: Option<Option<Stamp>>,
    last_time: [Option<u32>; 2],
    /// Of audio and of pictures.
    shift_ms: [Option<u32>; 2],
    gaps: u64,
    received: Vec<Logged>,
    /// Only the last message is kept.
    is_lean: bool,
    frames: u64,
    violations: Vec<Breach>,
}

impl Verifier {
    /// Checks for a subscriber of the stream called `name`.
    pub fn new(name: &str) -> Self {
        Self {
            stream: stream_hash(name),
            epoch: None,
            over: BTreeSet::new(),
            video_header: None,
            audio_header: false,
            last_video: None,
            last_audio: None,
            last_time: [None; 2],
            shift_ms: [None; 2],
            gaps: 0,
            received: Vec::new(),
            is_lean: false,
            frames: 0,
            violations: Vec::new(),
        }
    }

    /// The same checks for one of many: it remembers the last message only.
    pub fn lean(name: &str) -> Self {
        Self { is_lean: true, ..Self::new(name) }
    }

    /// Whether it remembers the last message only.
    pub fn is_lean(&self) -> bool {
        self.is_lean
    }

    /// How many messages were received.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Everything received so far; of a lean one, the last message.
    pub fn received(&self) -> &[Logged] {
        &self.received
    }

    /// What was received, what was wrong with it, and how many gaps there were.
    pub fn finish(self) -> (Vec<Logged>, Vec<Breach>, u64) {
        (self.received, self.violations, self.gaps)
    }

    fn breach(&mut self, promise: Promise, at: Duration, what: impl std::fmt::Display) {
        self.violations.push(Breach { promise, what: format!("at {at:?}: {what}") });
    }

    /// Checks one message.
    pub fn receive(&mut self, type_id: u8, timestamp_ms: u32, payload: &Bytes, at: Duration) {
        let logged = match log(type_id, timestamp_ms, payload, at) {
            Ok(logged) => logged,
            Err(wrong) => return self.breach(Promise::Integrity, at, wrong),
        };
        if self.is_lean {
            self.received.clear();
        }
        self.received.push(logged);
        self.frames += 1;
        if let Some(stamp) = logged.stamp {
            self.check_stamp(&logged, stamp);
        }
        self.check_time(&logged);
        match logged.kind {
            Kind::VideoHeader => self.video_header = Some(logged.stamp),
            Kind::AudioHeader => self.audio_header = true,
            Kind::Keyframe | Kind::Inter => self.check_picture(&logged),
            Kind::Audio => self.check_audio(&logged, needs_header(payload)),
            Kind::Metadata | Kind::Data => {}
        }
    }

    fn check_stamp(&mut self, logged: &Logged, stamp: Stamp) {
        let at = logged.at;
        if stamp.stream != self.stream {
            self.breach(
                Promise::Integrity,
                at,
                format_args!("a {:?} of another stream", logged.kind),
            );
        }
        match self.epoch {
            Some(epoch) if self.over.contains(&stamp.epoch) => {
                let what = format!("a {:?} of epoch {} in epoch {epoch}", logged.kind, stamp.epoch);
                self.breach(Promise::EpochIsolation, at, what);
            }
            Some(epoch) if stamp.epoch == epoch => {}
            _ => {
                self.over.extend(self.epoch);
                self.epoch = Some(stamp.epoch);
                self.shift_ms = [None; 2];
                self.last_video = None;
                self.last_audio = None;
                self.video_header = None;
                self.audio_header = false;
            }
        }
        // A header may be sent again at the time of the frame after it.
        if !matches!(logged.kind, Kind::VideoHeader | Kind::AudioHeader) {
            let shift_ms = logged.timestamp_ms.wrapping_sub(stamp.timestamp_ms);
            let track = usize::from(logged.kind != Kind::Audio);
            let (own, other) = (self.shift_ms[track], self.shift_ms[1 - track]);
            self.shift_ms[track].get_or_insert(shift_ms);
            let wrong = match (own, other) {
                (Some(own), _) if own != shift_ms => Some(format!("others by {own} ms")),
                (None, Some(other)) if other != shift_ms => {
                    Some(format!("{OTHER_TRACK} by {other} ms"))
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                let what = format!("a {:?} is shifted by {shift_ms} ms, {wrong}", logged.kind);
                self.breach(Promise::Timestamps, at, what);
            }
        }
    }

    fn check_time(&mut self, logged: &Logged) {
        let track = match logged.kind {
            Kind::Metadata | Kind::Data => return,
            Kind::AudioHeader | Kind::Audio => 0,
            _ => 1,
        };
        let now_ms = logged.timestamp_ms;
        if let Some(last_ms) = self.last_time[track]
            && elapsed_ms(now_ms, last_ms) < 0
        {
            self.breach(
                Promise::Timestamps,
                logged.at,
                format!("time goes back from {last_ms} to {now_ms} ms"),
            );
        }
        self.last_time[track] = Some(now_ms);
    }

    fn check_picture(&mut self, logged: &Logged) {
        let (at, key) = (logged.at, logged.kind == Kind::Keyframe);
        match self.video_header {
            None => self.breach(Promise::Decodable, at, "a picture before its header"),
            Some(Some(header)) => {
                if logged.stamp.is_none_or(|stamp| stamp.config != header.config) {
                    self.breach(
                        Promise::Decodable,
                        at,
                        "a picture that does not fit the header before it",
                    );
                }
            }
            Some(None) => {}
        }
        match self.last_video {
            None if !key => {
                self.breach(Promise::Decodable, at, "the first picture is not a keyframe")
            }
            Some(last) if is_gap(last, logged.stamp) => {
                self.gaps += 1;
                if !key {
                    self.breach(
                        Promise::Decodable,
                        at,
                        "the first picture after a gap is not a keyframe",
                    );
                }
            }
            _ => {}
        }
        self.check_order(at, self.last_video, logged.stamp);
        self.last_video = Some(logged.stamp);
    }

    fn check_audio(&mut self, logged: &Logged, needs_header: bool) {
        if needs_header && !self.audio_header {
            self.breach(Promise::Decodable, logged.at, "audio before its header");
        }
        if self.last_audio.is_some_and(|last| is_gap(last, logged.stamp)) {
            self.gaps += 1;
        }
        self.check_order(logged.at, self.last_audio, logged.stamp);
        self.last_audio = Some(logged.stamp);
    }

    fn check_order(&mut self, at: Duration, last: Option<Option<Stamp>>, now: Option<Stamp>) {
        if let (Some(Some(last)), Some(now)) = (last, now)
            && now.index <= last.index
        {
            let what = format!("frame {} after frame {}", now.index, last.index);
            self.breach(Promise::Integrity, at, what);
        }
    }
}

fn is_gap(last: Option<Stamp>, now: Option<Stamp>) -> bool {
    last.zip(now).is_some_and(|(last, now)| now.index > last.index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::media::{Generated, Item, MediaPlan};

    fn violations(items: impl Iterator<Item = Item>) -> Vec<String> {
        let mut verifier = Verifier::new("live/x");
        for item in items {
            // As a server strips it: without "@setDataFrame".
            let stripped = item.type_id == type_id::DATA_AMF0;
            let payload = if stripped { item.payload.slice(16..) } else { item.payload };
            verifier.receive(item.type_id, item.timestamp_ms, &payload, item.due);
        }
        verifier.finish().1.into_iter().map(|breach| breach.what).collect()
    }

    fn media(name: &str, epoch: u32) -> impl Iterator<Item = Item> {
        let plan = MediaPlan { header_every_gops: 1, ..MediaPlan::default() };
        Generated::new(plan, name, epoch).take(500)
    }

    fn is_key(item: &Item) -> bool {
        item.payload.starts_with(&[0x17, 1])
    }

    #[test]
    fn what_was_sent_is_right() {
        assert_eq!(violations(media("live/x", 1)), Vec::<String>::new());
    }

    #[test]
    fn whole_gops_may_be_missing() {
        let mut keys = 0;
        let without_second = media("live/x", 1).filter(|item| {
            keys += u32::from(item.type_id == type_id::VIDEO && item.payload[1] == 0);
            keys != 2
        });
        assert_eq!(violations(without_second), Vec::<String>::new());
    }

    /// Every check trips on the fault it is for.
    #[test]
    fn every_fault_is_noticed() {
        let expect = |items: Vec<Item>, expected: &str| {
            let found = violations(items.into_iter());
            assert!(found.iter().any(|v| v.contains(expected)), "{expected:?} not in {found:?}");
        };
        let all: Vec<Item> = media("live/x", 1).collect();
        let key = all.iter().position(is_key).unwrap();
        let without = |index: usize| {
            let mut items = all.clone();
            items.remove(index);
            items
        };
        let changed = |index: usize, change: &dyn Fn(&mut Item)| {
            let mut items = all.clone();
            change(&mut items[index]);
            items
        };
        expect(without(key), "the first picture is not a keyframe");
        expect(without(key - 1), "a picture before its header");
        expect(without(1), "audio before its header");
        let inter = all.iter().position(|item| item.payload.starts_with(&[0x27, 1])).unwrap();
        expect(without(inter), "the first picture after a gap is not a keyframe");
        let header =
            all.iter().rposition(|item| item.type_id == 9 && item.payload[1] == 0).unwrap();
        expect(without(header), "does not fit the header");
        expect(changed(inter, &|item| item.timestamp_ms += 1), "is shifted by");
        expect(changed(inter, &|item| item.timestamp_ms = u32::MAX), "time goes back");
        let second: Vec<Item> = media("live/x", 2).collect();
        let headless = second.iter().filter(|item| !item.payload.starts_with(&[0xaf, 0]));
        expect(all.iter().chain(headless).cloned().collect(), "audio before its header");
        let flip = |item: &mut Item| {
            let mut payload = item.payload.to_vec();
            *payload.last_mut().unwrap() ^= 1;
            item.payload = payload.into();
        };
        expect(changed(inter, &flip), "wrong checksum");
        expect(media("live/y", 1).collect(), "of another stream");
        let back = [1, 2, 1].into_iter().flat_map(|epoch| media("live/x", epoch));
        expect(back.collect(), "of epoch 1 in epoch 2");
        let mut twice = all.clone();
        twice.insert(inter + 1, all[inter].clone());
        expect(twice, "after frame");
        expect(changed(inter, &|item| item.payload = vec![9, 9].into()), "no known kind");
    }
}
