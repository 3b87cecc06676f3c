//! The reader and the writer of SIP messages from outside: messages made to be difficult, random ones, and another
//! implementation's opinion of both.

mod differential;
mod generated;
mod properties;
mod streams;
mod torture;

use rehearsal_core::sip::{
    ParseError, ParseLimits,
    message::{Fields, Message, Request, Response},
    parse,
};

const LIMITS: ParseLimits = ParseLimits { message_bytes: 65_535, headers: 128 };

/// A message as text, of which tests change what they are about.
#[derive(Clone)]
struct Text {
    start: String,
    lines: Vec<String>,
    body: Vec<u8>,
    /// Why others may read something else, where they do.
    differs: Option<&'static str>,
}

impl Text {
    /// A request or response with what every message must have; `method` goes into CSeq.
    fn new(start: &str, method: &str) -> Self {
        let cseq = format!("CSeq: 8 {method}");
        let lines = [
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKtorture",
            "Max-Forwards: 70",
            "From: <sip:caller@example.org>;tag=33242",
            "To: <sip:user@example.com>",
            "Call-ID: torture@192.0.2.1",
            &cseq,
        ];
        Self {
            start: start.into(),
            lines: lines.map(Into::into).into(),
            body: Vec::new(),
            differs: None,
        }
    }

    fn request(method: &str, uri: &str) -> Self {
        Self::new(&format!("{method} {uri} SIP/2.0"), method)
    }

    /// Nothing but these lines.
    fn bare(start: &str, lines: &[&str]) -> Self {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Self { start: start.into(), lines, body: Vec::new(), differs: None }
    }

    /// The same with this line instead of those of its name.
    fn with(self, line: &str) -> Self {
        let name = line.split(':').next().unwrap().trim_end().to_owned();
        self.without(&name).and(line)
    }

    /// The same with one line more.
    fn and(mut self, line: &str) -> Self {
        self.lines.push(line.into());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.lines.retain(|line| line.split(':').next() != Some(name));
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in std::iter::once(&self.start).chain(&self.lines) {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// As a request that can be worked with.
    #[track_caller]
    fn as_request(&self) -> Request {
        match parse(&self.bytes(), &LIMITS) {
            Ok(Message::Request(request)) => {
                self.compare(&Message::Request(request.clone()));
                request
            }
            other => panic!("{other:?}"),
        }
    }

    /// As a response that can be worked with.
    #[track_caller]
    fn as_response(&self) -> Response {
        match parse(&self.bytes(), &LIMITS) {
            Ok(Message::Response(response)) => {
                self.compare(&Message::Response(response.clone()));
                response
            }
            other => panic!("{other:?}"),
        }
    }

    /// As a request that is to be answered with `status`, and how that answer begins its way back.
    #[track_caller]
    fn is_refused(&self, status: u16, problem: &str) {
        match parse(&self.bytes(), &LIMITS) {
            Err(ParseError::Refused { request, status: own, problem: what }) => {
                assert_eq!((own, what), (status, problem));
                let answer = request.response(own, Some("t"));
                assert_eq!(answer.top_via(), request.top_via());
                assert!(answer.top_via().is_some());
            }
            other => panic!("{other:?}"),
        }
    }

    /// As nothing that anybody would answer.
    #[track_caller]
    fn is_dropped(&self, problem: &'static str) {
        assert_eq!(parse(&self.bytes(), &LIMITS), Err(ParseError::Unreadable(problem)));
    }
}
