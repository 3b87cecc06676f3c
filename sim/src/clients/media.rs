//! What publishers send: generated look-alikes of H.264 and AAC with B-frames, of HEVC and Opus in Enhanced RTMP, or of G.711 and
//! Speex; or the tags of an FLV file.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rehearsal_core::{
    amf::{Object, Value, amf0},
    media::flv::{BODY_BYTES_MAX, DemuxError, Demuxer, TagKind},
    rtmp::message::type_id,
};
use serde::{Deserialize, Serialize};

use super::{
    access_unit,
    phone::{Codec, PACKET_MS},
    stamp::{STAMP_BYTES, Stamp, stream_hash},
};

/// AAC frames of 1024 samples at 48 kHz.
const AUDIO_SAMPLES: u64 = 1024;
const AUDIO_RATE: u64 = 48_000;

/// Enhanced RTMP: SequenceStart of HEVC.
pub(super) const HEVC_HEADER: [u8; 5] = *b"\x90hvc1";
/// Enhanced RTMP: CodedFrames of an HEVC keyframe; a composition offset follows.
pub(super) const HEVC_KEYFRAME: [u8; 5] = *b"\x91hvc1";
/// Enhanced RTMP: CodedFrames of another HEVC picture.
pub(super) const HEVC_INTER: [u8; 5] = *b"\xa1hvc1";
/// Enhanced RTMP: SequenceStart of Opus.
pub(super) const OPUS_HEADER: [u8; 5] = *b"\x90Opus";
/// Enhanced RTMP: CodedFrames of Opus.
pub(super) const OPUS_FRAME: [u8; 5] = *b"\x91Opus";

/// A message for the gateway, due at its timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// RTMP message type.
    pub type_id: u8,
    /// Milliseconds on the publisher's clock.
    pub timestamp_ms: u32,
    /// When to send it, after the start.
    pub due: Duration,
    /// The body.
    pub payload: Bytes,
}

/// What to generate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaPlan {
    /// Duration of a video frame in milliseconds.
    pub frame_ms: u32,
    /// Video frames from keyframe to keyframe; 0 for no video.
    pub gop_frames: u32,
    /// B-frames between anchors.
    pub b_frames: u32,
    /// Bytes of a keyframe; an inter frame has a fifth.
    pub keyframe_bytes: usize,
    /// Bytes of an audio frame; 0 for no audio. In a codec of telephony it has as many as 20 ms take.
    pub audio_bytes: usize,
    /// First timestamp.
    pub first_timestamp_ms: u32,
    /// A new video header is sent before every so many keyframes; 0 for once only.
    pub header_every_gops: u32,
    /// HEVC and Opus as Enhanced RTMP carries them.
    pub enhanced: bool,
    /// Audio in this codec of telephony, in frames of 20 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telephone: Option<Codec>,
}

impl Default for MediaPlan {
    fn default() -> Self {
        Self {
            frame_ms: 40,
            gop_frames: 50,
            b_frames: 2,
            keyframe_bytes: 6_000,
            audio_bytes: 200,
            first_timestamp_ms: 0,
            header_every_gops: 0,
            enhanced: false,
            telephone: None,
        }
    }
}

impl MediaPlan {
    /// How much later than it is decoded picture `index` is shown: in decoding order an anchor comes before the B-frames that are
    /// shown before it.
    pub fn composition_ms(&self, index: u32) -> u32 {
        let (in_gop, anchors) = (index % self.gop_frames, self.b_frames + 1);
        let shown_late_frames = match in_gop {
            0 => 1,
            _ if (in_gop - 1).is_multiple_of(anchors) => anchors,
            _ => 0,
        };
        shown_late_frames * self.frame_ms
    }
}

/// Media without end, made from a plan.
#[derive(Debug)]
pub struct Generated {
    plan: MediaPlan,
    stream: u64,
    epoch: u32,
    video_index: u32,
    audio_index: u32,
    config: u32,
    /// Messages made and not yet taken.
    ready: std::collections::VecDeque<Item>,
}

impl Generated {
    /// The media of publish `epoch` of the stream called `name`.
    pub fn new(plan: MediaPlan, name: &str, epoch: u32) -> Self {
        let mut generated = Self {
            plan,
            stream: stream_hash(name),
            epoch,
            video_index: 0,
            audio_index: 0,
            config: 0,
            ready: std::collections::VecDeque::new(),
        };
        let first = generated.item(type_id::DATA_AMF0, 0, generated.metadata());
        generated.ready.push_back(first);
        // Nobody has to be told how to decode G.711, or Speex.
        if generated.plan.audio_bytes > 0 && generated.plan.telephone.is_none() {
            // An AudioSpecificConfig or the FourCC of Opus, and behind it what it is.
            let mut config = match generated.plan.enhanced {
                true => OPUS_HEADER.to_vec(),
                false => vec![0xaf, 0, 0x11, 0x90],
            };
            generated.stamp(0, 0).seal(&[], &mut config);
            let header = generated.item(type_id::AUDIO, 0, config);
            generated.ready.push_back(header);
        }
        generated
    }

    fn item(&self, type_id: u8, at_ms: u64, payload: Vec<u8>) -> Item {
        Item {
            type_id,
            timestamp_ms: self.timestamp_ms(at_ms),
            due: Duration::from_millis(at_ms),
            payload: payload.into(),
        }
    }

    fn metadata(&self) -> Vec<u8> {
        let mut object = Object::new().with("encoder", "rehearsal");
        if self.plan.gop_frames > 0 {
            object = object.with("width", 320.0).with("height", 180.0).with("videocodecid", 7.0);
        }
        if self.plan.audio_bytes > 0 {
            let (rate, codec) = match self.plan.telephone {
                None => (AUDIO_RATE as f64, 10.0),
                Some(codec) => (8_000.0, f64::from(codec.rtmp_tag() >> 4)),
            };
            object = object.with("audiosamplerate", rate).with("audiocodecid", codec);
        }
        let mut body = BytesMut::new();
        for value in ["@setDataFrame".into(), "onMetaData".into(), Value::EcmaArray(object)] {
            amf0::encode(&value, &mut body);
        }
        body.to_vec()
    }

    /// What 32 bits have of the time `at_ms` after the start.
    fn timestamp_ms(&self, at_ms: u64) -> u32 {
        self.plan.first_timestamp_ms.wrapping_add(at_ms as u32)
    }

    fn stamp(&self, index: u32, at_ms: u64) -> Stamp {
        let timestamp_ms = self.timestamp_ms(at_ms);
        let (stream, epoch, config) = (self.stream, self.epoch, self.config);
        Stamp { stream, epoch, index, config, timestamp_ms }
    }

    fn video_at_ms(&self) -> u64 {
        u64::from(self.video_index) * u64::from(self.plan.frame_ms)
    }

    fn audio_at_ms(&self) -> u64 {
        match self.plan.telephone {
            None => u64::from(self.audio_index) * AUDIO_SAMPLES * 1000 / AUDIO_RATE,
            Some(_) => u64::from(self.audio_index) * u64::from(PACKET_MS),
        }
    }

    /// The decoder configuration (ISO/IEC 14496-15, 5.3.3.1) with a stamp in the place of an SPS.
    fn video_header(&self, at_ms: u64) -> Item {
        if self.plan.enhanced {
            let mut payload = HEVC_HEADER.to_vec();
            self.stamp(self.config, at_ms).seal(&[], &mut payload);
            return self.item(type_id::VIDEO, at_ms, payload);
        }
        let [sps, pps] = access_unit::sets(&self.stamp(self.config, at_ms));
        let mut payload = vec![0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1e, 0xff, 0xe1];
        payload.extend_from_slice(&(sps.len() as u16).to_be_bytes());
        payload.extend_from_slice(&sps);
        payload.extend_from_slice(&[1, 0, pps.len() as u8]);
        payload.extend_from_slice(&pps);
        self.item(type_id::VIDEO, at_ms, payload)
    }

    fn make_video(&mut self) {
        let (at_ms, in_gop) = (self.video_at_ms(), self.video_index % self.plan.gop_frames);
        let gop = self.video_index / self.plan.gop_frames;
        let every = self.plan.header_every_gops;
        if in_gop == 0 && (gop == 0 || every > 0 && gop.is_multiple_of(every)) {
            self.config = gop + 1;
            let header = self.video_header(at_ms);
            self.ready.push_back(header);
        }
        let composition_ms = self.plan.composition_ms(self.video_index);
        let key = in_gop == 0;
        let (nal, bytes) = match key {
            true => (0x65, self.plan.keyframe_bytes),
            false => (0x41, self.plan.keyframe_bytes / 5),
        };
        let mut payload = match (self.plan.enhanced, key) {
            (true, true) => HEVC_KEYFRAME.to_vec(),
            (true, false) => HEVC_INTER.to_vec(),
            (false, true) => vec![0x17, 1],
            (false, false) => vec![0x27, 1],
        };
        payload.extend_from_slice(&composition_ms.to_be_bytes()[1..]);
        let filler = vec![self.video_index as u8; bytes.saturating_sub(50)];
        let mut unit = vec![nal];
        self.stamp(self.video_index, at_ms).seal(&filler, &mut unit);
        payload.extend_from_slice(&(unit.len() as u32).to_be_bytes());
        payload.extend_from_slice(&unit);
        let item = self.item(type_id::VIDEO, at_ms, payload);
        self.ready.push_back(item);
        self.video_index += 1;
    }

    fn make_audio(&mut self) {
        let at_ms = self.audio_at_ms();
        let stamp = self.stamp(self.audio_index, at_ms);
        let payload = match (self.plan.telephone, self.plan.enhanced) {
            (Some(codec), _) => [&[codec.rtmp_tag()][..], &codec.frame(&stamp)].concat(),
            (None, is_enhanced) => {
                let head = if is_enhanced { &OPUS_FRAME[..] } else { &[0xaf, 1] };
                let filler_bytes = self.plan.audio_bytes.saturating_sub(STAMP_BYTES + 2);
                let filler = vec![self.audio_index as u8; filler_bytes];
                let mut payload = head.to_vec();
                stamp.seal(&filler, &mut payload);
                payload
            }
        };
        let item = self.item(type_id::AUDIO, at_ms, payload);
        self.ready.push_back(item);
        self.audio_index += 1;
    }
}

impl Iterator for Generated {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.ready.is_empty() {
            let (video, audio) = (self.plan.gop_frames > 0, self.plan.audio_bytes > 0);
            match (video, audio) {
                (true, true) if self.audio_at_ms() < self.video_at_ms() => self.make_audio(),
                (true, _) => self.make_video(),
                (false, true) => self.make_audio(),
                (false, false) => {}
            }
        }
        self.ready.pop_front()
    }
}

/// The tags of an FLV file as messages.
///
/// # Errors
/// The file is not FLV.
pub fn from_flv(file: &[u8]) -> Result<Vec<Item>, DemuxError> {
    let mut demuxer = Demuxer::new(BODY_BYTES_MAX);
    demuxer.feed(file);
    let mut items = Vec::new();
    while let Some(tag) = demuxer.next_tag()? {
        let type_id = match tag.kind {
            TagKind::Audio => type_id::AUDIO,
            TagKind::Video => type_id::VIDEO,
            TagKind::Script => type_id::DATA_AMF0,
        };
        let due = Duration::from_millis(tag.timestamp_ms.into());
        items.push(Item { type_id, timestamp_ms: tag.timestamp_ms, due, payload: tag.body });
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_media_is_in_order_and_interleaved() {
        let items: Vec<_> = Generated::new(MediaPlan::default(), "x", 1).take(300).collect();
        assert!(items.windows(2).all(|pair| pair[0].due <= pair[1].due));
        let of = |wanted| items.iter().filter(move |item| item.type_id == wanted).count();
        assert!(of(type_id::VIDEO) > 90 && of(type_id::AUDIO) > 180);
        let keys = items.iter().filter(|item| item.payload[..2] == [0x17, 1]).count();
        assert_eq!(keys, 3);
    }

    #[test]
    fn frames_of_a_gop_are_shown_once_each() {
        let plan = MediaPlan { audio_bytes: 0, ..MediaPlan::default() };
        let mut shown: Vec<_> = Generated::new(plan, "x", 1)
            .filter(|item| item.type_id == type_id::VIDEO && item.payload[1] == 1)
            .take(50)
            .map(|item| item.timestamp_ms + u32::from(item.payload[4]))
            .collect();
        shown.sort_unstable();
        assert!(shown.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
    }
}
