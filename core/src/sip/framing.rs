//! Messages from a stream: one ends where its `Content-Length` says (RFC 3261, section 18.3).
//!
//! What comes is pushed as it comes, and whole messages are taken out. Only the end of the head and the length are looked for here;
//! [`parse`](super::parse) reads the message. Each byte of a head is looked at once, however it is cut into pieces.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::{
    headers::HeaderName,
    parse::{ParseLimits, content_length, head_end, header_lines, header_of},
};

/// Two ends of lines between messages: a client asks whether the connection is still there (RFC 5626, section 3.5.1).
const PING: &[u8] = b"\r\n\r\n";
/// What answers that.
pub const PONG: &[u8] = b"\r\n";

/// Why a stream cannot be read any further. Nothing tells where the next message begins: the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FramingError {
    /// A message is, or would be, longer than the limit.
    #[error("a message is longer than sip.max_message_bytes")]
    TooLong,
    /// A message does not say how long its body is.
    #[error("a message has no Content-Length")]
    NoLength,
    /// A message says that in a way that makes no sense, or says several things.
    #[error("a message has a malformed Content-Length")]
    MalformedLength,
}

/// Makes messages of what one peer sends over a connection.
#[derive(Debug)]
pub struct StreamReader {
    limits: ParseLimits,
    buffer: BytesMut,
    /// Bytes of the present message in which its head does not end.
    scanned: usize,
    /// Length of the present message, as soon as its head is there.
    length: Option<usize>,
    /// How much of a [`PING`] has come.
    pinged: usize,
    pings: usize,
    error: Option<FramingError>,
}

impl StreamReader {
    /// A reader of messages of up to `limits.message_bytes`.
    pub fn new(limits: ParseLimits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            scanned: 0,
            length: None,
            pinged: 0,
            pings: 0,
            error: None,
        }
    }

    /// Takes what has come. All whole messages should be taken out before more is pushed: what waits here has no other limit.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole message; `None` when it has not come to its end yet.
    ///
    /// # Errors
    /// What comes cannot be told apart any more. All that follows is ignored, and the error stays.
    pub fn poll_message(&mut self) -> Result<Option<Bytes>, FramingError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let message = self.take_message();
        if let Err(error) = message {
            self.error = Some(error);
        }
        // A connection that says nothing has nothing here.
        if self.error.is_some() || self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        message
    }

    /// Whether a [`PONG`] is due to the peer; true once for each.
    pub fn poll_pong(&mut self) -> bool {
        let is_due = self.pings > 0;
        self.pings = self.pings.saturating_sub(1);
        is_due
    }

    fn take_message(&mut self) -> Result<Option<Bytes>, FramingError> {
        let length = match self.length {
            Some(length) => length,
            None => {
                self.skip_line_ends();
                let head_end = head_end(&self.buffer, self.scanned);
                self.scanned = self.buffer.len();
                if head_end.unwrap_or(self.buffer.len()) > self.limits.message_bytes {
                    return Err(FramingError::TooLong);
                }
                let Some(head_end) = head_end else { return Ok(None) };
                let length = head_end.saturating_add(body_length(&self.buffer[..head_end])?);
                if length > self.limits.message_bytes {
                    return Err(FramingError::TooLong);
                }
                *self.length.insert(length)
            }
        };
        if self.buffer.len() < length {
            return Ok(None);
        }
        (self.length, self.scanned) = (None, 0);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Takes the ends of lines away that stand before a message.
    fn skip_line_ends(&mut self) {
        while self.scanned == 0
            && let Some(&byte) = self.buffer.first()
        {
            if !matches!(byte, b'\r' | b'\n') {
                self.pinged = 0;
                return;
            }
            self.buffer.advance(1);
            self.pinged = match PING[self.pinged] == byte {
                true => self.pinged + 1,
                false => usize::from(byte == PING[0]),
            };
            if self.pinged == PING.len() {
                (self.pinged, self.pings) = (0, self.pings + 1);
            }
        }
    }
}

/// What a message's `head` says about its body.
fn body_length(head: &[u8]) -> Result<usize, FramingError> {
    let head = String::from_utf8_lossy(head);
    let (_, lines) = head.split_once('\n').unwrap_or_default();
    let lines: Vec<_> = header_lines(lines).collect();
    let lengths = lines.iter().filter_map(|line| header_of(line));
    let lengths = lengths.filter(|(name, _)| *name == HeaderName::CONTENT_LENGTH);
    match content_length(lengths.map(|(_, value)| value)) {
        Ok(Some(length)) => Ok(length),
        Ok(None) => Err(FramingError::NoLength),
        Err(_) => Err(FramingError::MalformedLength),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ParseLimits = ParseLimits { message_bytes: 200, headers: 10 };

    /// Messages and pongs that are due, in order, up to an error.
    fn read(stream: &[u8], piece: usize) -> (Vec<Bytes>, usize, Option<FramingError>) {
        let mut reader = StreamReader::new(LIMITS);
        let (mut messages, mut pongs) = (Vec::new(), 0);
        for piece in stream.chunks(piece) {
            reader.push(piece);
            loop {
                match reader.poll_message() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(reader.poll_message(), Err(error), "it stays");
                        return (messages, pongs, Some(error));
                    }
                }
            }
            while reader.poll_pong() {
                pongs += 1;
            }
        }
        (messages, pongs, None)
    }

    #[test]
    fn a_message_ends_where_its_length_says() {
        let messages = [
            "INVITE sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
            "SIP/2.0 200 OK\nl:\t2\n\nab",
            "BYE sip:a SIP/2.0\r\nCONTENT-length \t:\r\n  0\r\nl: 00\r\n\r\n",
            "X sip:a SIP/2.0\r\nSubject: x\r\n Content-Length: 9\r\nContent-Length: 1\r\n\r\n\n",
        ];
        let stream = messages.concat();
        for piece in 1..stream.len() {
            assert_eq!(read(stream.as_bytes(), piece), (messages.map(Bytes::from).into(), 0, None));
        }
    }

    #[test]
    fn a_stream_that_cannot_be_told_apart_is_given_up() {
        let long = format!("A sip:a SIP/2.0\r\nX: {}", "x".repeat(200));
        let cases = [
            ("A sip:a SIP/2.0\r\nContent-Type: x\r\n\r\n", FramingError::NoLength),
            ("A sip:a SIP/2.0\r\n\r\n", FramingError::NoLength),
            (
                "A sip:a SIP/2.0\r\nl: 1\r\nContent-Length: 2\r\n\r\nab",
                FramingError::MalformedLength,
            ),
            ("A sip:a SIP/2.0\r\nl: -1\r\n\r\n", FramingError::MalformedLength),
            ("A sip:a SIP/2.0\r\nl: 1\r\n 2\r\n\r\n", FramingError::MalformedLength),
            ("A sip:a SIP/2.0\r\nl: 99999999999999999999\r\n\r\n", FramingError::MalformedLength),
            ("A sip:a SIP/2.0\r\nl: 4294967295\r\n\r\n", FramingError::TooLong),
            ("A sip:a SIP/2.0\r\nl: 174\r\n\r\n", FramingError::TooLong),
            (long.as_str(), FramingError::TooLong),
        ];
        for (stream, error) in cases {
            for piece in [1, 7, 1_000] {
                assert_eq!(read(stream.as_bytes(), piece), (vec![], 0, Some(error)), "{stream}");
            }
        }
        let longest = format!("A sip:a SIP/2.0\r\nl: 173\r\n\r\n{}", "x".repeat(173));
        assert_eq!(longest.len(), LIMITS.message_bytes);
        assert_eq!(read(longest.as_bytes(), 1).0.len(), 1);
    }

    #[test]
    fn two_ends_of_lines_between_messages_are_answered_with_one() {
        let message = "A sip:a SIP/2.0\r\nl: 4\r\n\r\n\r\n\r\n";
        let cases = [
            ("\r\n\r\n", 1),
            ("\r\n\r\n\r\n\r\n", 2),
            ("\r\n", 0),
            ("\r\n\r\n\r\n", 1),
            ("\n\n\r\r\n\r\n", 1),
        ];
        for (between, due) in cases {
            let stream = [between, message, between, message].concat();
            for piece in 1..=stream.len() {
                let (messages, pongs, error) = read(stream.as_bytes(), piece);
                assert_eq!((messages.len(), pongs, error), (2, 2 * due, None), "{between:?}");
            }
        }
        // One end of a line before a message and one behind it are no two.
        let stream = ["\r\n", message, "\r\n"].concat();
        assert_eq!(read(stream.as_bytes(), 3).1, 0);
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_is_looked_at_once() {
        let mut reader = StreamReader::new(ParseLimits { message_bytes: 1 << 20, headers: 10 });
        let head = format!("A sip:a SIP/2.0\r\nX: {}\r\n", "x\r\n ".repeat(200_000));
        // Each byte of half a million that is looked at again with each that comes would take minutes.
        for byte in head.as_bytes() {
            reader.push(std::slice::from_ref(byte));
            assert_eq!(reader.poll_message(), Ok(None));
        }
        assert_eq!(reader.scanned, head.len());
        reader.push(b"l: 0\r\n\r\n");
        assert!(matches!(reader.poll_message(), Ok(Some(_))));
        assert_eq!(reader.buffer.capacity(), 0, "nothing is kept");
    }
}
