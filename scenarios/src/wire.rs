//! Bytes of clients that wait for no answer: for raw clients, which may stop or go wrong at any of them; and what they receive.

use std::time::Duration;

use rehearsal_core::{
    amf::{Object, Value},
    rtmp::{
        chunk::ChunkLimits,
        command::{Command, Encoding},
        link::{Incoming, Link},
        message::type_id,
    },
};

/// A whole handshake.
pub fn handshake() -> Vec<u8> {
    [&[3][..], &[0; 2 * 1536]].concat()
}

/// A link to write messages with, and to read those of the gateway.
pub fn link() -> Link {
    let limits = ChunkLimits { message_bytes: 1 << 20, chunk_bytes: 1 << 20, chunk_streams: 8 };
    Link::new(limits, Duration::ZERO)
}

/// Calls of the application live, each with the message stream it is sent on: connect, createStream, `name` for `stream`, and
/// closeStream.
fn calls(name: &str, stream: &str) -> [(u32, Command); 4] {
    let command =
        |name: &str, transaction, values| Command { name: name.into(), transaction, values };
    [
        (0, command("connect", 1.0, vec![Object::new().with("app", "live").into()])),
        (0, command("createStream", 2.0, vec![Value::Null])),
        (1, command(name, 3.0, vec![Value::Null, stream.into()])),
        (1, command("closeStream", 0.0, vec![Value::Null])),
    ]
}

/// Handshake, connect, createStream, and `name` for a stream of the application live.
pub fn opening(name: &str, stream: &str) -> Vec<u8> {
    opening_until(name, stream, 3)
}

/// As [`opening`], with the first `count` calls, of which closeStream is the fourth.
pub fn opening_until(name: &str, stream: &str, count: usize) -> Vec<u8> {
    let mut link = link();
    for (stream_id, call) in &calls(name, stream)[..count] {
        link.send_command(*stream_id, call, Encoding::Amf0);
    }
    [handshake(), link.poll_output()].concat()
}

/// A call on a message stream.
pub fn call(name: &str, stream_id: u32, values: Vec<Value>) -> Vec<u8> {
    let mut link = link();
    let command = Command { name: name.into(), transaction: 9.0, values };
    link.send_command(stream_id, &command, Encoding::Amf0);
    link.poll_output()
}

/// Calls that want an answer each and change nothing.
pub fn pointless_calls(count: u32) -> Vec<u8> {
    let mut link = link();
    for index in 0..count {
        let values = vec![Value::Null];
        let call = Command { name: "_checkbw".into(), transaction: f64::from(index + 10), values };
        link.send_command(0, &call, Encoding::Amf0);
    }
    link.poll_output()
}

/// A request of HTTP/1.1 for `path`, with the head's lines `more`, each with its end.
pub fn request(method: &str, path: &str, more: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n").into_bytes()
}

/// Cuts `bytes` into pieces of the given lengths, over and over; the end of many is one piece.
pub fn cut(bytes: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for &length in lengths.iter().cycle().take(500).chain([&usize::MAX]) {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}

/// What the gateway sent to a raw client over RTMP.
#[derive(Debug, Default)]
pub struct Received {
    /// `_result`.
    pub replies: usize,
    /// Audio and video.
    pub media: usize,
}

impl Received {
    /// Reads `bytes`, a handshake and messages, of which the last may be cut off.
    ///
    /// # Errors
    /// What makes no sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut input = bytes.get(handshake().len()..).ok_or("no handshake")?;
        let (mut link, mut received) = (link(), Self::default());
        let next = |input: &mut &[u8], link: &mut Link| {
            link.handle_input(Duration::ZERO, input).map_err(|error| error.to_string())
        };
        while let Some(incoming) = next(&mut input, &mut link)? {
            let Incoming::Message(message) = incoming else { continue };
            match message.type_id {
                type_id::AUDIO | type_id::VIDEO => received.media += 1,
                type_id::COMMAND_AMF0 if message.payload.starts_with(b"\x02\0\x07_result") => {
                    received.replies += 1;
                }
                _ => {}
            }
        }
        Ok(received)
    }
}
