//! What came back to a raw client, without what chance or the time of day has a part in.

use std::time::Duration;

use bytes::Bytes;
use rehearsal_core::rtmp::{link::Incoming, message::type_id};

use crate::wire::{handshake, link};

/// A command of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    stream_id: u32,
    payload: Bytes,
}

impl Answer {
    /// Whether it answers a call.
    pub(super) fn is_reply(&self) -> bool {
        // AMF3 has a format byte first.
        let body = self.payload.strip_prefix(b"\0").unwrap_or(&self.payload);
        body.starts_with(b"\x02\0\x07_result") || body.starts_with(b"\x02\0\x06_error")
    }

    /// Whether it tells of somebody else's coming or going.
    fn is_notice(&self) -> bool {
        let notices: [&[u8]; 2] =
            [b"NetStream.Play.PublishNotify", b"NetStream.Play.UnpublishNotify"];
        let has = |notice: &&[u8]| self.payload.windows(notice.len()).any(|bytes| bytes == *notice);
        notices.iter().any(has)
    }
}

/// The commands that came over RTMP, as far as the last one is whole.
///
/// The random handshake is left out, and so is what comes when it comes: media, pings, acknowledgements, notices of
/// publishers.
///
/// # Errors
/// What came is no RTMP.
pub(super) fn of_rtmp(received: &[u8]) -> Result<Vec<Answer>, String> {
    let whole = handshake().len();
    let Some(mut input) = received.get(whole..) else {
        let is_part = received.is_empty() || received[0] == 3;
        return if is_part { Ok(Vec::new()) } else { Err("no handshake".to_owned()) };
    };
    let (mut link, mut answers) = (link(), Vec::new());
    while let Some(incoming) =
        link.handle_input(Duration::ZERO, &mut input).map_err(|error| error.to_string())?
    {
        let Incoming::Message(message) = incoming else { continue };
        if matches!(message.type_id, type_id::COMMAND_AMF0 | type_id::COMMAND_AMF3) {
            let answer = Answer { stream_id: message.stream_id, payload: message.payload };
            answers.extend((!answer.is_notice()).then_some(answer));
        }
    }
    Ok(answers)
}

/// What came over HTTP: the answers up to the head of a live response, without the date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpAnswers {
    text: Vec<u8>,
    /// They end with the head of a live response.
    pub(super) is_stream: bool,
}

impl HttpAnswers {
    /// Whether `other` begins with these answers.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        other.text.starts_with(&self.text)
    }
}

/// The header of a live response.
const STREAM: &[u8] = b"content-type: video/x-flv\r\n";
/// How a head is refused that makes no sense or is too long; the connection ends with it.
const REFUSALS: [&[u8]; 3] = [
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
];

/// Reads what came over HTTP, and whether the last head was refused.
///
/// That is no part of the answers: hyper looks into a head that comes in pieces only once it is whole, too long or
/// late, and into one that comes at once at once. One that is a little too long may so be answered in pieces.
pub(super) fn of_http(received: &[u8]) -> (HttpAnswers, bool) {
    let after = |text: &[u8], from: usize| {
        let found = received[from..].windows(text.len()).position(|bytes| bytes == text);
        found.map(|at| from + at + text.len())
    };
    let live = after(STREAM, 0).and_then(|from| after(b"\r\n\r\n", from));
    let kept = &received[..live.unwrap_or(received.len())];
    let answered = REFUSALS.iter().find_map(|refusal| kept.strip_suffix(*refusal));
    let lines = answered.unwrap_or(kept).split_inclusive(|byte| *byte == b'\n');
    let text = lines.filter(|line| !line.starts_with(b"date:")).flatten().copied().collect();
    (HttpAnswers { text, is_stream: live.is_some() }, answered.is_some())
}
