//! Messages of a stream, told apart by a phone's own means (RFC 3261, section 18.3): nothing here is the core's.

use bytes::{Buf, Bytes, BytesMut};

const LINE_END: &[u8] = b"\r\n";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What a stream has next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framed {
    Message(Bytes),
    /// The end of an empty line between messages.
    LineEnd,
    /// Nothing that can be told apart; all that came is thrown away.
    Unreadable,
}

/// What came, and was not told apart yet.
#[derive(Debug, Default)]
pub(super) struct Framer(BytesMut);

impl Framer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// What is whole.
    pub(super) fn next(&mut self) -> Option<Framed> {
        if self.0.starts_with(LINE_END) {
            self.0.advance(LINE_END.len());
            return Some(Framed::LineEnd);
        }
        let mut places = self.0.windows(HEAD_END.len());
        let head = places.position(|bytes| bytes == HEAD_END)? + HEAD_END.len();
        let Some(body) = body_bytes(&self.0[..head]) else {
            self.0.clear();
            return Some(Framed::Unreadable);
        };
        let whole = head + body;
        (whole <= self.0.len()).then(|| Framed::Message(self.0.split_to(whole).freeze()))
    }
}

/// How long the body behind `head` is, as that says once.
fn body_bytes(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let mut said = fields.filter(|(name, _)| {
        let name = name.trim();
        name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("l")
    });
    let (_, bytes) = said.next()?;
    bytes.trim().parse().ok().filter(|_| said.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_apart(stream: &str, piece: usize) -> Vec<Framed> {
        let mut framer = Framer::default();
        let mut all = Vec::new();
        for piece in stream.as_bytes().chunks(piece) {
            framer.push(piece);
            all.extend(std::iter::from_fn(|| framer.next()));
        }
        all
    }

    #[test]
    fn messages_end_where_they_say_however_they_come() {
        let one = "BYE sip:a SIP/2.0\r\nX: 1\r\ncontent-length: 4\r\n\r\n\r\n\r\n";
        let two = "SIP/2.0 200 OK\r\nl:0\r\n\r\n";
        let message = |text: &str| Framed::Message(Bytes::copy_from_slice(text.as_bytes()));
        for piece in 1..=one.len() {
            let all = told_apart(&[one, "\r\n", two, two].concat(), piece);
            assert_eq!(all, [message(one), Framed::LineEnd, message(two), message(two)]);
        }
        let endless = "BYE sip:a SIP/2.0\r\nX: 1\r\n\r\n";
        assert_eq!(told_apart(endless, 100), [Framed::Unreadable]);
    }
}
