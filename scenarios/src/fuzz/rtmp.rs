//! Sessions of RTMP, and what may be wrong with them: headers of chunks, control messages, AMF, aggregates, and bytes.

use rehearsal_core::{
    amf::{Object, Value},
    rtmp::{
        command::{Command, Encoding},
        link::Link,
        message::{Message, type_id},
    },
};
use rehearsal_sim::{
    Rng,
    clients::media::{Generated, MediaPlan},
};

use super::mutate::{self, noise, pick};
use crate::wire::{handshake, link};

/// Chunk size until somebody sets another.
const CHUNK_BYTES: usize = 128;
/// Media messages of a publisher.
const MEDIA: usize = 24;

/// A session for the stream called `name`, mostly with mistakes.
pub(super) fn input(rng: &mut Rng, name: &str) -> Vec<u8> {
    let mut messages = match rng.below(3) {
        0 => publisher(name),
        1 => player(),
        _ => caller(name),
    };
    // What is well formed has one outcome, too.
    for _ in 0..rng.below(4) {
        mistake(rng, &mut messages);
    }
    let mut bytes = [handshake_with(rng), messages.concat()].concat();
    if rng.below(4) == 0 {
        mutate::bytes(rng, &mut bytes);
    }
    bytes
}

/// A handshake, of which a few are wrong, too.
fn handshake_with(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = handshake();
    match rng.below(16) {
        0 => mutate::bytes(rng, &mut bytes),
        1 => bytes[0] = *pick(rng, &[0, 2, 6, b'G', 0x80]),
        2..=5 => {
            let block = noise(rng, bytes.len() - 1);
            bytes[1..].copy_from_slice(&block);
        }
        _ => {}
    }
    bytes
}

/// Takes what a link has to send for one message.
struct Script {
    link: Link,
    messages: Vec<Vec<u8>>,
}

impl Script {
    fn new() -> Self {
        Self { link: link(), messages: Vec::new() }
    }

    fn call(&mut self, stream_id: u32, name: &str, values: Vec<Value>) {
        self.call_as(stream_id, name, values, Encoding::Amf0);
    }

    fn call_as(&mut self, stream_id: u32, name: &str, values: Vec<Value>, encoding: Encoding) {
        let transaction = (self.messages.len() + 1) as f64;
        let command = Command { name: name.into(), transaction, values };
        self.link.send_command(stream_id, &command, encoding);
        self.messages.push(self.link.poll_output());
    }

    fn media(&mut self, name: &str) {
        let plan = MediaPlan {
            gop_frames: 5,
            keyframe_bytes: 300,
            audio_bytes: 60,
            ..MediaPlan::default()
        };
        for item in Generated::new(plan, &format!("live/{name}"), 1).take(MEDIA) {
            let (type_id, timestamp_ms, payload) = (item.type_id, item.timestamp_ms, item.payload);
            let message = Message { type_id, stream_id: 1, timestamp_ms, payload };
            self.link.send_message(if type_id == type_id::AUDIO { 6 } else { 7 }, &message);
            self.messages.push(self.link.poll_output());
        }
    }
}

/// As OBS publishes.
fn publisher(name: &str) -> Vec<Vec<u8>> {
    let mut script = Script::new();
    let object = Object::new()
        .with("app", "live")
        .with("type", "nonprivate")
        .with("flashVer", "FMLE/3.0")
        .with("tcUrl", "rtmp://x/live");
    script.call(0, "connect", vec![object.into()]);
    script.link.send_set_chunk_size(CHUNK_BYTES as u32);
    script.messages.push(script.link.poll_output());
    script.call(0, "releaseStream", vec![Value::Null, name.into()]);
    script.call(0, "FCPublish", vec![Value::Null, name.into()]);
    script.call(0, "createStream", vec![Value::Null]);
    script.call(1, "publish", vec![Value::Null, name.into(), "live".into()]);
    script.media(name);
    script.call(0, "FCUnpublish", vec![Value::Null, name.into()]);
    script.call(0, "deleteStream", vec![Value::Null, 1.0.into()]);
    script.messages
}

/// A player of the healthy stream that uses every button.
fn player() -> Vec<Vec<u8>> {
    let mut script = Script::new();
    script.call(0, "connect", vec![Object::new().with("app", "live").into()]);
    script.call(0, "createStream", vec![Value::Null]);
    script.call(0, "getStreamLength", vec![Value::Null, "cam".into()]);
    script.call(1, "play", vec![Value::Null, "cam".into(), (-2_000.0).into()]);
    script.call(1, "pause", vec![Value::Null, true.into(), 0.0.into()]);
    script.call(1, "pause", vec![Value::Null, false.into(), 0.0.into()]);
    script.call(1, "seek", vec![Value::Null, 5_000.0.into()]);
    script.call(1, "play", vec![Value::Null, "cam".into()]);
    script.call(1, "closeStream", vec![Value::Null]);
    script.call(1, "play", vec![Value::Null, "cam".into()]);
    script.messages
}

/// Somebody who speaks AMF3 and asks for much.
fn caller(name: &str) -> Vec<Vec<u8>> {
    let mut script = Script::new();
    let object = Object::new().with("app", "live").with("objectEncoding", 3.0);
    script.call(0, "connect", vec![object.into()]);
    for call in ["createStream", "_checkbw", "createStream", "createStream", "unheard-of"] {
        script.call_as(0, call, vec![Value::Null], Encoding::Amf3);
    }
    script.call_as(2, "publish", vec![Value::Null, name.into()], Encoding::Amf3);
    script.call_as(3, "publish", vec![Value::Null, name.into()], Encoding::Amf3);
    script.call_as(1, "play", vec![Value::Null, name.into()], Encoding::Amf3);
    script.call_as(0, "deleteStream", vec![Value::Null, 2.0.into()], Encoding::Amf3);
    script.call_as(1, "closeStream", vec![Value::Null], Encoding::Amf3);
    script.messages
}

/// Makes one mistake somewhere in a session.
fn mistake(rng: &mut Rng, messages: &mut Vec<Vec<u8>>) {
    let at = rng.below(messages.len() as u64 + 1) as usize;
    let changed = at.min(messages.len().saturating_sub(1));
    match rng.below(12) {
        0 | 1 => mutate::order(rng, messages),
        2 | 3 if !messages.is_empty() => mutate::bytes(rng, &mut messages[changed]),
        4 | 5 if !messages.is_empty() => header(rng, &mut messages[changed]),
        6 => messages.insert(at, control(rng)),
        7 => {
            let id = *pick(rng, &[3, 4, 6]);
            messages.insert(at, chunked(id, 20, 0, &amf(rng)));
        }
        8 => {
            let type_id = *pick(rng, &[15, 17, 18]);
            messages.insert(at, chunked(8, type_id, 1, &amf(rng)));
        }
        9 => messages.insert(at, chunked(9, 22, 1, &aggregate(rng))),
        10 => messages.insert(at, unfinished(rng)),
        _ => {
            let count = 1 + rng.below(60) as usize;
            messages.insert(at, noise(rng, count));
        }
    }
}

/// Changes a field of the first header of a message.
fn header(rng: &mut Rng, message: &mut [u8]) {
    let Some(&first) = message.first() else { return };
    match rng.below(4) {
        0 => message[0] = first & 0xc0 | rng.below(64) as u8,
        1 => message[0] = first & 0x3f | (rng.below(4) as u8) << 6,
        2 if first < 0x80 && message.len() > 7 => {
            let length = u32::from_be_bytes([0, message[4], message[5], message[6]]);
            let lengths = [0, 1, length + 1, length.saturating_sub(1), length * 2, 0x80_0001];
            let new = *pick(rng, &lengths);
            message[4..7].copy_from_slice(&new.to_be_bytes()[1..]);
        }
        3 if first < 0x80 && message.len() > 7 => message[7] = rng.below(24) as u8,
        _ if first < 0xc0 && message.len() > 4 => message[1..4].fill(0xff),
        _ => {}
    }
}

/// A message in chunks of 128 bytes, its header whole.
fn chunked(id: u8, type_id: u8, stream_id: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let mut bytes = vec![id, 0, 0, 0, length[1], length[2], length[3], type_id, stream_id, 0, 0, 0];
    for (piece, index) in body.chunks(CHUNK_BYTES).zip(0..) {
        if index > 0 {
            bytes.push(0xc0 | id);
        }
        bytes.extend_from_slice(piece);
    }
    bytes
}

/// A control message with a value that few would send, or too short.
fn control(rng: &mut Rng) -> Vec<u8> {
    let values = [0, 1, 64, 127, 129, 5_000, 0x7fff_ffff, 0x8000_0001, u32::MAX];
    let mut body = pick(rng, &values).to_be_bytes().to_vec();
    let type_id = *pick(rng, &[1, 1, 1, 2, 2, 3, 4, 5, 6]);
    match rng.below(6) {
        0 => body.truncate(rng.below(4) as usize),
        1 => body.extend(noise(rng, 12)),
        // Events of user control: most with a stream.
        _ if type_id == 4 => {
            body = [&[0, rng.below(10) as u8][..], &body].concat();
        }
        _ => {}
    }
    chunked(2, type_id, 0, &body)
}

/// A call whose values are nested, long or pointing at themselves beyond reason.
fn amf(rng: &mut Rng) -> Vec<u8> {
    let name = *pick(rng, &[&b"\x02\0\x07connect"[..], b"\x02\0\x09unheardof", b""]);
    let depth = *pick(rng, &[3, 63, 64, 65, 2_000]);
    let values: Vec<u8> = match rng.below(12) {
        0 => b"\x0a\0\0\0\x01".repeat(depth),
        1 => b"\x03\0\x01a".repeat(depth),
        2 => [b"\x08\0\0\0\x01\0\x01a".repeat(depth), b"\0\0\x09".repeat(depth)].concat(),
        3 => [&b"\x0a\xff\xff\xff\xff"[..], &b"\x05".repeat(rng.below(3_000) as usize)].concat(),
        4 => b"\x02\xff\xffshort".to_vec(),
        5 => b"\x0c\xff\xff\xff\xffshort".to_vec(),
        // References: to nothing, to what contains them, and to much.
        6 => b"\x07\xff\xff".to_vec(),
        7 => b"\x03\0\x01a\x07\0\0\0\0\x09".to_vec(),
        8 => [&b"\x0a\0\0\0\x02\x05\x05"[..], &b"\x07\0\0".repeat(depth)].concat(),
        // AMF3: arrays, byte arrays and traits of absurd lengths.
        9 => [&b"\x11"[..], &b"\x09\x03\x01".repeat(depth)].concat(),
        10 => [b"\x11", *pick(rng, &AMF3)].concat(),
        _ => noise(rng, 30),
    };
    let transaction = b"\0\x3f\xf0\0\0\0\0\0\0";
    [name, transaction, &values].concat()
}

/// Values of AMF3 that announce more than there is, or refer to nothing.
const AMF3: [&[u8]; 5] = [
    b"\x09\xff\xff\xff\xff\x01",
    b"\x0c\xff\xff\xff\xff",
    b"\x0a\xff\xff\xff\xff",
    b"\x06\xff\xff\xff\xfe",
    b"\x0a\x07\x01x",
];

/// Parts with lengths, types and times at random.
fn aggregate(rng: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..rng.below(5) {
        let part = noise(rng, 20);
        let length = match rng.below(4) {
            0 => *pick(rng, &[0, 19, 21, 0xff]),
            _ => part.len() as u8,
        };
        let type_id = *pick(rng, &[8, 9, 18, 20, 22, 1]);
        body.extend([type_id, 0, 0, length, 0, 0, rng.below(256) as u8, 0, 0, 0, 0]);
        body.extend(part);
        body.extend([0, 0, 0, 31]);
    }
    body
}

/// Beginnings of long messages on many chunk streams; then the first one is aborted, or the chunk size changes.
fn unfinished(rng: &mut Rng) -> Vec<u8> {
    let count = *pick(rng, &[2, 30, 70]);
    let length = *pick(rng, &[200, 60_000, 4 << 20, 8 << 20]);
    let mut bytes = Vec::new();
    for index in 0..count {
        let length = u32::to_be_bytes(length);
        bytes.extend([0, index, 0, 0, 0, length[1], length[2], length[3], 9, 1, 0, 0, 0]);
        bytes.extend([0x17; CHUNK_BYTES]);
    }
    // Chunk streams with a basic header of two bytes begin at 64.
    match rng.below(2) {
        0 => bytes.extend(chunked(2, type_id::ABORT, 0, &64_u32.to_be_bytes())),
        _ => bytes.extend(chunked(2, type_id::SET_CHUNK_SIZE, 0, &4_096_u32.to_be_bytes())),
    }
    bytes
}
