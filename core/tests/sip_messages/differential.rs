//! What `ezk-sip-types`, written by others, sees in the same bytes.
//!
//! It is asked about every valid message of `torture` and about random ones. Where it may see something else, the message says
//! why by [`Text::differs`], and then it must; random messages have nothing in them that it takes for something else:
//!
//! - A method that begins with the name of a known one is the known one to it: `INVITEX` is `INVITE`.
//! - A tag or branch is unescaped, although no header has escapes (RFC 3261, section 25.1: `%` is a letter of a token).
//! - A display name ends at the first quote, escaped or not; the case of the names of parameters counts.

use bytes::Bytes;
use ezk_sip_types::{
    Headers, Name,
    header::typed::{CSeq, CallID, ContentLength, FromTo, Via},
    host::HostPort,
    msg::{Line, MessageLine, PullParser},
    parse::Parse,
    uri::SipUri,
};
use proptest::prelude::*;
use rehearsal_core::sip::{
    fields::NameAddr,
    message::{Fields, Message},
    parse, uri,
};

use crate::{LIMITS, Text, generated::message};

/// What two readers of a message have to agree about.
#[derive(Debug, PartialEq)]
pub struct Seen {
    start: Start,
    from: Address,
    to: Address,
    call_id: String,
    cseq: (u32, String),
    /// Transport, sent-by, branch.
    via: (String, Host, Option<String>),
    body: Bytes,
}

#[derive(Debug, PartialEq)]
enum Start {
    Request(String, Target),
    Response(u16, String),
}

/// A name is as it stands, an address as it is written best.
type Host = (String, Option<u16>);
/// Whether it is secure, user without escapes, host.
type Target = (bool, Option<String>, Host);
/// Whose, and the tag.
type Address = (Target, Option<String>);

fn their_host(at: &HostPort) -> Host {
    (at.host.to_string(), at.port)
}

fn their_target(uri: &SipUri) -> Target {
    // The type of the user is nobody's to name: it is as they write it.
    let written = format!("{uri:?}");
    let user = written.split_once('@').and_then(|(before, _)| before.split(':').nth(1));
    let unescape = |user| percent_encoding::percent_decode_str(user).decode_utf8().unwrap();
    let user = user.map(|user| unescape(user).into_owned());
    (uri.sips, user, their_host(&uri.host_port))
}

fn their_address(headers: &Headers, name: Name) -> Option<Address> {
    let address: FromTo = headers.get(name).ok()?;
    Some((their_target(&address.uri.uri), address.tag.map(|tag| tag.to_string())))
}

pub fn theirs(bytes: &[u8]) -> Option<Seen> {
    let bytes = Bytes::copy_from_slice(bytes);
    let mut parser = PullParser::new(&bytes, 0);
    let text = |line: Option<Result<_, _>>| std::str::from_utf8(line?.ok()?).ok();
    let (_, start) = MessageLine::parse(&bytes)(text(parser.next())?).ok()?;
    let mut headers = Headers::new();
    for line in parser.by_ref() {
        let (_, line) = Line::parse(&bytes, text(Some(line))?).ok()?;
        headers.insert(line.name, line.value);
    }
    let rest = bytes.slice(parser.head_end()..);
    let body = match headers.try_get_named::<ContentLength>() {
        Some(length) => rest.slice(..length.ok()?.0.min(rest.len())),
        None => rest,
    };
    let start = match start {
        MessageLine::Request(line) => {
            Start::Request(line.method.to_string(), their_target(&line.uri))
        }
        MessageLine::Response(line) => {
            let reason = line.reason.map(|reason| reason.to_string());
            Start::Response(line.code.into_u16(), reason.unwrap_or_default())
        }
    };
    let via = headers.get_named::<Vec<Via>>().ok()?.into_iter().next()?;
    let branch = via.params.get_val("branch").map(|branch| branch.to_string());
    let cseq: CSeq = headers.get_named().ok()?;
    Some(Seen {
        start,
        from: their_address(&headers, Name::FROM)?,
        to: their_address(&headers, Name::TO)?,
        call_id: headers.get_named::<CallID>().ok()?.0.to_string(),
        cseq: (cseq.cseq, cseq.method.to_string()),
        via: (via.transport.to_string(), their_host(&via.sent_by), branch),
        body,
    })
}

fn our_host(host: &str, port: Option<u16>) -> Host {
    let bare = host.trim_matches(['[', ']']);
    let host = match bare.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]"),
        Err(_) => host.to_owned(),
    };
    (host, port)
}

fn our_target(uri: &uri::Uri) -> Option<Target> {
    let uri = uri.as_sip()?;
    Some((uri.secure, uri.user_name(), our_host(&uri.host, uri.port)))
}

fn our_address(address: &NameAddr) -> Option<Address> {
    Some((our_target(&address.uri)?, address.tag()))
}

fn our_fields(start: Start, fields: &impl Fields, body: &Bytes) -> Option<Seen> {
    let via = fields.top_via()?;
    let cseq = fields.cseq()?;
    Some(Seen {
        start,
        from: our_address(&fields.from()?)?,
        to: our_address(&fields.to()?)?,
        call_id: fields.call_id()?.to_owned(),
        cseq: (cseq.number, cseq.method.to_string()),
        via: (via.transport.clone(), our_host(&via.host, via.port), via.params.get("branch")),
        body: body.clone(),
    })
}

/// The same of what we have read; `None` where an address is of another scheme, which they do not read.
pub fn ours(message: &Message) -> Option<Seen> {
    match message {
        Message::Request(request) => {
            let start = Start::Request(request.method.to_string(), our_target(&request.uri)?);
            our_fields(start, request, &request.body)
        }
        Message::Response(response) => {
            // They take white space around a reason away.
            let start = Start::Response(response.status, response.reason.trim().to_owned());
            our_fields(start, response, &response.body)
        }
    }
}

impl Text {
    /// The same message, of which others see something else.
    pub fn differs(mut self, why: &'static str) -> Self {
        self.differs = Some(why);
        self
    }

    /// Holds what we have read against what others read.
    #[track_caller]
    pub fn compare(&self, message: &Message) {
        let (ours, theirs) = (ours(message), theirs(&self.bytes()));
        match self.differs {
            None => assert_eq!(ours, theirs),
            Some(why) => assert_ne!(ours, theirs, "no more: {why}"),
        }
    }
}

proptest! {
    #[test]
    fn others_see_the_same_in_random_messages(message in message("[a-z<>,;:@]([a-z<>,;:@ é]{0,9}[a-z<>])?")) {
        let bytes = message.to_bytes();
        let read = parse(&bytes, &LIMITS).unwrap();
        prop_assert_eq!(ours(&read), theirs(&bytes));
    }
}
