//! Messages to chunks.
//!
//! Two ways to write: [`ChunkWriter`] compresses headers against what it sent before and suits what one peer
//! gets; [`MessageHead`] is a header that depends on nothing before it, so that one encoding of a live frame
//! serves every player.

use super::{super::message::Message, DEFAULT_CHUNK_BYTES, EXTENDED};

/// Highest chunk stream id that fits the one-byte basic header.
const ONE_BYTE_ID_MAX: u32 = 63;

/// The header of form 0 and the header of the continuations of one message, on a chunk stream below 64.
///
/// The message stream id is left to the sender, so that players who chose different ids share the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHead {
    bytes: [u8; 16],
    len: u8,
    continuation: u8,
}

impl MessageHead {
    /// Where the message stream id stands, little-endian, zero here.
    pub const STREAM_ID_AT: usize = 8;

    /// The head of a message of `length` bytes, at most 2^24 - 1.
    pub fn new(chunk_stream_id: u32, type_id: u8, timestamp_ms: u32, length: u32) -> Self {
        assert!((2..=ONE_BYTE_ID_MAX).contains(&chunk_stream_id), "needs a one-byte basic header");
        assert!(length <= 0x00ff_ffff, "a message length has 24 bits");
        let mut bytes = [0; 16];
        bytes[0] = chunk_stream_id as u8;
        bytes[1..4].copy_from_slice(&timestamp_ms.min(EXTENDED).to_be_bytes()[1..]);
        bytes[4..7].copy_from_slice(&length.to_be_bytes()[1..]);
        bytes[7] = type_id;
        let extended = timestamp_ms >= EXTENDED;
        if extended {
            bytes[12..16].copy_from_slice(&timestamp_ms.to_be_bytes());
        }
        let len = if extended { 16 } else { 12 };
        Self { bytes, len, continuation: 0xc0 | chunk_stream_id as u8 }
    }

    /// The header of the first chunk, with a message stream id of 0 at [`Self::STREAM_ID_AT`].
    pub fn first(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The basic header of every further chunk; [`Self::extended`] follows it.
    pub fn continuation(&self) -> &[u8] {
        std::slice::from_ref(&self.continuation)
    }

    /// The extended timestamp, repeated on every chunk; empty below 2^24 - 1 ms.
    pub fn extended(&self) -> &[u8] {
        &self.bytes[12..usize::from(self.len)]
    }
}

/// What was sent last on a chunk stream.
#[derive(Clone, Copy, Debug)]
struct Last {
    chunk_stream_id: u32,
    timestamp_ms: u32,
    /// Delta of the last header; `None` after form 0, whose implied delta peers disagree about.
    delta_ms: Option<u32>,
    length: u32,
    type_id: u8,
    stream_id: u32,
}

/// The writing side of a connection, for everything that is not shared between peers.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_bytes: u32,
    last: Vec<Last>,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self { chunk_bytes: DEFAULT_CHUNK_BYTES, last: Vec::new() }
    }
}

impl ChunkWriter {
    /// Chunk size of the messages to come. The caller tells the peer first.
    pub fn set_chunk_bytes(&mut self, chunk_bytes: u32) {
        assert!(chunk_bytes > 0, "a chunk holds at least one byte");
        self.chunk_bytes = chunk_bytes;
    }

    /// Appends `message` to `output` on `chunk_stream_id`, with the shortest header that every peer reads alike.
    pub fn write(&mut self, chunk_stream_id: u32, message: &Message, output: &mut Vec<u8>) {
        let length = message.payload.len() as u32;
        assert!(length <= 0x00ff_ffff, "a message length has 24 bits");
        let index = self.last.iter().position(|last| last.chunk_stream_id == chunk_stream_id);
        let previous = index.map(|index| self.last[index]);
        let (form, time) = choose_form(previous.as_ref(), message, length);
        let extended = (time >= EXTENDED).then_some(time);

        basic_header(form, chunk_stream_id, output);
        if form < 3 {
            output.extend_from_slice(&time.min(EXTENDED).to_be_bytes()[1..]);
        }
        if form < 2 {
            output.extend_from_slice(&length.to_be_bytes()[1..]);
            output.push(message.type_id);
        }
        if form == 0 {
            output.extend_from_slice(&message.stream_id.to_le_bytes());
        }
        let mut first = true;
        let mut rest = &message.payload[..];
        loop {
            if !first {
                basic_header(3, chunk_stream_id, output);
            }
            if let Some(extended) = extended {
                output.extend_from_slice(&extended.to_be_bytes());
            }
            let (chunk, left) = rest.split_at(rest.len().min(self.chunk_bytes as usize));
            output.extend_from_slice(chunk);
            (rest, first) = (left, false);
            if rest.is_empty() {
                break;
            }
        }

        let last = Last {
            chunk_stream_id,
            timestamp_ms: message.timestamp_ms,
            delta_ms: (form > 0).then_some(time),
            length,
            type_id: message.type_id,
            stream_id: message.stream_id,
        };
        match index {
            Some(index) => self.last[index] = last,
            None => self.last.push(last),
        }
    }
}

/// The header form, and the absolute time for form 0 or the delta for the others.
fn choose_form(previous: Option<&Last>, message: &Message, length: u32) -> (u8, u32) {
    let Some(previous) = previous else { return (0, message.timestamp_ms) };
    let delta = message.timestamp_ms.wrapping_sub(previous.timestamp_ms);
    // Peers disagree about large deltas (some take an extended delta for a time), and time that goes back
    // has no delta at all.
    if previous.stream_id != message.stream_id || delta >= EXTENDED {
        return (0, message.timestamp_ms);
    }
    if previous.length != length || previous.type_id != message.type_id {
        return (1, delta);
    }
    if previous.delta_ms == Some(delta) { (3, delta) } else { (2, delta) }
}

fn basic_header(form: u8, chunk_stream_id: u32, output: &mut Vec<u8>) {
    let form = form << 6;
    match chunk_stream_id {
        2..=ONE_BYTE_ID_MAX => output.push(form | chunk_stream_id as u8),
        64..=319 => output.extend_from_slice(&[form, (chunk_stream_id - 64) as u8]),
        _ => {
            let id = u16::try_from(chunk_stream_id - 64).expect("chunk stream ids end at 65599");
            output.push(form | 1);
            output.extend_from_slice(&id.to_le_bytes());
        }
    }
}
