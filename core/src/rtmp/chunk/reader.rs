//! Chunks to messages, from any segmentation of the input.
//!
//! Set Chunk Size and Abort are applied here, because they change how the very next byte is read.
//!
//! Extended timestamps on continuation chunks are detected, not assumed: the 2012 text and today's
//! encoders repeat the four bytes, the 2009 text and older ones do not. They are taken as a timestamp when
//! they equal the one the message began with, in the form of its header or absolute.

use thiserror::Error;

use super::{
    super::message::{Message, be32, type_id},
    DEFAULT_CHUNK_BYTES, EXTENDED,
};

/// Longest header: 3 bytes basic, 11 message, 4 extended timestamp.
const HEADER_BYTES_MAX: usize = 18;
/// Bytes reserved for a message when its first arrive.
const FIRST_RESERVE_BYTES: usize = 64 * 1024;
/// The same while other messages are unfinished: a peer that begins one on each chunk stream shall not have them all reserved
/// for.
const FURTHER_RESERVE_BYTES: usize = 512;

/// What a peer may make the reader hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Length of a message, and bytes of unfinished messages on all chunk streams together.
    pub message_bytes: u32,
    /// Chunk size the peer may set.
    pub chunk_bytes: u32,
    /// Chunk streams the peer may use.
    pub chunk_streams: usize,
}

/// Why the input cannot be chunk data. The connection is beyond repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// A header without length or type on a chunk stream that had none before.
    #[error(
        "chunk stream {0}: first chunk has a header of form {1}, which needs a message before it"
    )]
    NoPreviousMessage(u32, u8),
    /// A header that starts a message while the previous one on the chunk stream is unfinished.
    #[error("chunk stream {0}: a new message starts inside an unfinished one")]
    MessageUnfinished(u32),
    /// A message, or all unfinished ones together, would be longer than the limit.
    #[error(
        "message of {length} bytes with {pending} bytes of others pending, the limit is {limit}"
    )]
    MessageTooLong {
        /// Announced length of the message.
        length: u32,
        /// Bytes of other unfinished messages.
        pending: u32,
        /// The limit in force.
        limit: u32,
    },
    /// More chunk streams than the limit.
    #[error("more than {0} chunk streams")]
    TooManyChunkStreams(usize),
    /// Set Chunk Size with 0 or above the limit.
    #[error("chunk size {size}, allowed are 1 to {limit}")]
    ChunkSize {
        /// What the peer asked for.
        size: u32,
        /// The limit in force.
        limit: u32,
    },
    /// A Set Chunk Size or Abort message with less than four bytes.
    #[error("control message of type {0} is too short")]
    ShortControl(u8),
}

/// One chunk stream's memory between chunks.
#[derive(Debug, Default)]
struct ChunkStream {
    id: u32,
    timestamp_ms: u32,
    /// What a header without timestamp adds.
    delta_ms: u32,
    /// The last 32-bit timestamp field, if the last header with a timestamp had one.
    extended: Option<u32>,
    length: u32,
    type_id: u8,
    stream_id: u32,
    body: Vec<u8>,
    /// A message has begun and is not complete.
    unfinished: bool,
}

/// A parsed chunk header.
struct Header {
    consumed: usize,
    form: u8,
    id: u32,
    /// Timestamp or delta, extended or not.
    time: Option<u32>,
    extended: bool,
    length: Option<u32>,
    type_id: Option<u8>,
    stream_id: Option<u32>,
}

/// The reading side of a connection.
#[derive(Debug)]
pub struct ChunkReader {
    limits: ChunkLimits,
    chunk_bytes: u32,
    streams: Vec<ChunkStream>,
    /// The start of a header that the input has cut.
    cut: Vec<u8>,
    /// Bytes taken for a header's that turned out to be what follows it.
    replay: Vec<u8>,
    /// Index of the chunk stream whose chunk is being read, and what is left of the chunk.
    current: Option<(usize, u32)>,
    /// Bytes held for unfinished messages.
    pending_bytes: u32,
}

impl ChunkReader {
    /// A reader at the start of chunk data.
    pub fn new(limits: ChunkLimits) -> Self {
        Self {
            limits,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            streams: Vec::new(),
            cut: Vec::new(),
            replay: Vec::new(),
            current: None,
            pending_bytes: 0,
        }
    }

    /// Chunk size the peer sends with.
    pub fn chunk_bytes(&self) -> u32 {
        self.chunk_bytes
    }

    /// Consumes from the front of `input` until a message is complete or the input is used up.
    ///
    /// # Errors
    /// Whatever [`ChunkError`] says; the reader must not be used after one.
    pub fn handle_input(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            let message = if self.replay.is_empty() {
                self.read(input)?
            } else {
                let replay = std::mem::take(&mut self.replay);
                let mut rest = &replay[..];
                let message = self.read(&mut rest)?;
                self.replay.extend_from_slice(rest);
                message
            };
            if message.is_some() || (input.is_empty() && self.replay.is_empty()) {
                return Ok(message);
            }
        }
    }

    /// As [`Self::handle_input`], but also stops when it has put bytes back into `replay`.
    fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            match self.current {
                None => {
                    if !self.read_header(input)? {
                        return Ok(None);
                    }
                }
                Some((index, left)) => {
                    let stream = &mut self.streams[index];
                    let taken = input.len().min(left as usize);
                    let is_alone = self.pending_bytes as usize == stream.body.len();
                    append(&mut stream.body, &input[..taken], stream.length as usize, is_alone);
                    *input = &input[taken..];
                    self.pending_bytes += taken as u32;
                    let left = left - taken as u32;
                    self.current = (left > 0).then_some((index, left));
                    if left > 0 {
                        return Ok(None);
                    }
                }
            }
            let message = self.take_complete()?;
            if message.is_some() || !self.replay.is_empty() {
                return Ok(message);
            }
        }
    }

    /// Reads one header; false when the input ends inside it.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool, ChunkError> {
        let already = self.cut.len();
        let header = if already == 0 {
            self.parse_header(input)
        } else {
            self.cut.extend_from_slice(&input[..input.len().min(HEADER_BYTES_MAX - already)]);
            self.parse_header(&self.cut)
        };
        let Some(header) = header else {
            if already == 0 {
                self.cut.extend_from_slice(input);
            }
            *input = &input[self.cut.len() - already..];
            return Ok(false);
        };
        // Bytes held back because they might have repeated a timestamp were body after all.
        self.replay.extend(self.cut.drain(..already).skip(header.consumed));
        self.cut = Vec::new();
        *input = &input[header.consumed.saturating_sub(already)..];
        self.begin_chunk(header)?;
        Ok(true)
    }

    /// Parses the header at the start of `bytes`; `None` when more bytes are needed.
    fn parse_header(&self, bytes: &[u8]) -> Option<Header> {
        let first = *bytes.first()?;
        let form = first >> 6;
        let (id, mut at) = match first & 0x3f {
            0 => (64 + u32::from(*bytes.get(1)?), 2),
            1 => (64 + u32::from(*bytes.get(1)?) + 256 * u32::from(*bytes.get(2)?), 3),
            id => (u32::from(id), 1),
        };
        let fields = bytes.get(at..at + [11, 7, 3, 0][usize::from(form)])?;
        at += fields.len();
        let be24 =
            |from: usize| fields[from..from + 3].iter().fold(0, |n, &b| n << 8 | u32::from(b));
        let mut header = Header {
            consumed: at,
            form,
            id,
            time: (form < 3).then(|| be24(0)),
            extended: false,
            length: (form < 2).then(|| be24(3)),
            type_id: (form < 2).then(|| fields[6]),
            stream_id: (form < 1)
                .then(|| u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]])),
        };
        if header.time == Some(EXTENDED) {
            header.time = Some(be32(bytes, at)?);
            header.extended = true;
            header.consumed += 4;
        } else if form == 3 {
            header.consumed += self.repeated_timestamp(id, &bytes[at..])?;
        }
        Some(header)
    }

    /// How many bytes of `rest` repeat the extended timestamp of chunk stream `id`: 4, 0, or not known yet.
    fn repeated_timestamp(&self, id: u32, rest: &[u8]) -> Option<usize> {
        let Some(stream) = self.streams.iter().find(|stream| stream.id == id) else {
            return Some(0);
        };
        let Some(extended) = stream.extended else { return Some(0) };
        let seen = &rest[..rest.len().min(4)];
        let repeats = |value: u32| value.to_be_bytes().starts_with(seen);
        match repeats(extended) || repeats(stream.timestamp_ms) {
            false => Some(0),
            true if seen.len() == 4 => Some(4),
            true => None,
        }
    }

    /// Applies a header and starts to read its chunk.
    fn begin_chunk(&mut self, header: Header) -> Result<(), ChunkError> {
        let index = match self.streams.iter().position(|stream| stream.id == header.id) {
            Some(index) => index,
            None if header.form >= 2 => {
                return Err(ChunkError::NoPreviousMessage(header.id, header.form));
            }
            None if self.streams.len() >= self.limits.chunk_streams => {
                return Err(ChunkError::TooManyChunkStreams(self.limits.chunk_streams));
            }
            None => {
                self.streams.push(ChunkStream { id: header.id, ..Default::default() });
                self.streams.len() - 1
            }
        };
        let stream = &mut self.streams[index];
        if header.form < 3 && stream.unfinished {
            // Some senders repeat the header of a message on its continuations.
            let repeated = header.form > 0
                && header.length.is_none_or(|length| length == stream.length)
                && header.type_id.is_none_or(|type_id| type_id == stream.type_id);
            if !repeated {
                return Err(ChunkError::MessageUnfinished(header.id));
            }
        } else if let Some(time) = header.time {
            stream.extended = header.extended.then_some(time);
            // Section 5.3.1.2.4: after an absolute time, a header without one adds that time again.
            stream.delta_ms = time;
            if header.form == 0 {
                stream.timestamp_ms = 0;
            }
        }
        stream.length = header.length.unwrap_or(stream.length);
        stream.type_id = header.type_id.unwrap_or(stream.type_id);
        stream.stream_id = header.stream_id.unwrap_or(stream.stream_id);
        if !stream.unfinished {
            stream.unfinished = true;
            if self.pending_bytes > 0 {
                sometimes!("a message begins inside one of another chunk stream");
            }
            stream.timestamp_ms = stream.timestamp_ms.wrapping_add(stream.delta_ms);
            if u64::from(stream.length) + u64::from(self.pending_bytes)
                > u64::from(self.limits.message_bytes)
            {
                return Err(ChunkError::MessageTooLong {
                    length: stream.length,
                    pending: self.pending_bytes,
                    limit: self.limits.message_bytes,
                });
            }
        }
        let left = (stream.length - stream.body.len() as u32).min(self.chunk_bytes);
        if u64::from(left) + u64::from(self.pending_bytes) > u64::from(self.limits.message_bytes) {
            return Err(ChunkError::MessageTooLong {
                length: stream.length,
                pending: self.pending_bytes - stream.body.len() as u32,
                limit: self.limits.message_bytes,
            });
        }
        self.current = (left > 0).then_some((index, left));
        Ok(())
    }

    /// The message that the last chunk completed, unless it was for this layer.
    fn take_complete(&mut self) -> Result<Option<Message>, ChunkError> {
        if self.current.is_some() {
            return Ok(None);
        }
        let complete = |s: &&mut ChunkStream| s.unfinished && s.body.len() == s.length as usize;
        let Some(stream) = self.streams.iter_mut().find(complete) else { return Ok(None) };
        stream.unfinished = false;
        self.pending_bytes -= stream.length;
        let message = Message {
            type_id: stream.type_id,
            stream_id: stream.stream_id,
            timestamp_ms: stream.timestamp_ms,
            payload: std::mem::take(&mut stream.body).into(),
        };
        let value = || be32(&message.payload, 0).ok_or(ChunkError::ShortControl(message.type_id));
        match message.type_id {
            type_id::SET_CHUNK_SIZE => {
                // The first bit is reserved (section 5.4.1).
                let size = value()? & 0x7fff_ffff;
                if size == 0 || size > self.limits.chunk_bytes {
                    return Err(ChunkError::ChunkSize { size, limit: self.limits.chunk_bytes });
                }
                if self.pending_bytes > 0 {
                    sometimes!("the chunk size changes inside a message");
                }
                // No message is longer than 2^24 - 1 bytes: larger sizes all mean the same (section 5.4.1).
                self.chunk_bytes = size.min(EXTENDED);
                Ok(None)
            }
            type_id::ABORT => {
                let id = value()?;
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
                    if stream.unfinished {
                        sometimes!("a message is aborted before it is whole");
                    }
                    self.pending_bytes -= stream.body.len() as u32;
                    stream.body = Vec::new();
                    stream.unfinished = false;
                }
                Ok(None)
            }
            _ => Ok(Some(message)),
        }
    }
}

/// Appends to a message of `length` bytes, growing so that the finished body has no spare capacity and an
/// announced length alone reserves little; less while others are unfinished.
fn append(body: &mut Vec<u8>, piece: &[u8], length: usize, is_alone: bool) {
    let needed = body.len() + piece.len();
    if body.capacity() < needed {
        let first = if is_alone { FIRST_RESERVE_BYTES } else { FURTHER_RESERVE_BYTES };
        let target = needed.max(body.capacity() * 2).max(first).min(length);
        body.reserve_exact(target - body.len());
    }
    body.extend_from_slice(piece);
}

#[cfg(test)]
mod tests;
