//! What holds for every message, and for every sequence of bytes.

use proptest::{collection::vec, prelude::*};
use rehearsal_core::sip::{
    ParseError, ParseLimits,
    fields::{CSeq, NameAddr, Via},
    headers::{HeaderName, Headers},
    message::{Fields, Message},
    method::Method,
    parse,
    uri::Uri,
};

use crate::{
    LIMITS, Text,
    generated::{ANY_NAME, cseq, message, method, name_addr, sip_uri, via},
};

fn headers_of(message: &Message) -> &Headers {
    match message {
        Message::Request(request) => &request.headers,
        Message::Response(response) => &response.headers,
    }
}

/// Everything that is asked of what was read.
fn ask(fields: &impl Fields) {
    let _ = (fields.top_via(), fields.from().map(|from| from.tag()), fields.to(), fields.contact());
    let _ = (fields.call_id(), fields.cseq(), fields.content_type());
    let _ = fields.has_token(&HeaderName::SUPPORTED, "timer");
}

/// Reads `bytes`; what can be read is asked, and is read again as it was, once it is written.
fn survive(bytes: &[u8]) -> Result<(), TestCaseError> {
    // Known names are written in full, and the length always.
    let wide = ParseLimits { message_bytes: 1 << 20, ..LIMITS };
    match parse(bytes, &LIMITS) {
        Ok(read) => {
            match &read {
                Message::Request(request) => ask(request),
                Message::Response(response) => ask(response),
            }
            prop_assert_eq!(parse(&read.to_bytes(), &wide), Ok(read));
        }
        Err(ParseError::Refused { request, status, .. }) => {
            ask(&*request);
            prop_assert!(status == 400 || status == 505);
            let answer = request.response(status, Some("t"));
            prop_assert!(answer.top_via().is_some());
            ask(&answer);
            answer.to_bytes();
        }
        Err(ParseError::Unreadable(_)) => {}
    }
    Ok(())
}

/// Pieces that messages are made of, and that go wrong next to each other.
const PIECES: &[&str] = &[
    "INVITE",
    "SIP/2.0",
    "200 OK",
    " ",
    "\t",
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\r\n ",
    ":",
    ";",
    ",",
    "<",
    ">",
    "\"",
    "\\",
    "@",
    "?",
    "=",
    "/",
    "[",
    "]",
    "%",
    "%00",
    "*",
    "sip:",
    "a",
    "é",
    "\0",
    "1",
    "\u{a0}",
    "Via: SIP/2.0/UDP h",
    "v",
    "From: <sip:a@b>;tag=1\r\n",
    "To: <sip:a@b>\r\n",
    "i: 1\r\n",
    "CSeq: 1 INVITE\r\n",
    "Contact: ",
    "Content-Length: 1",
    "INVITE sip:a@b SIP/2.0\r\n",
];

proptest! {
    #[test]
    fn a_uri_is_read_as_it_was_written(uri in sip_uri()) {
        let uri = Uri::Sip(uri);
        prop_assert_eq!(Uri::parse(&uri.to_string()), Some(uri));
    }

    #[test]
    fn an_address_is_read_as_it_was_written(address in name_addr(ANY_NAME)) {
        prop_assert_eq!(NameAddr::parse(&address.to_string()), Some(address));
    }

    #[test]
    fn a_via_is_read_as_it_was_written(via in via()) {
        prop_assert_eq!(Via::parse(&via.to_string()), Some(via));
    }

    #[test]
    fn a_cseq_is_read_as_it_was_written(cseq in method().prop_flat_map(cseq)) {
        prop_assert_eq!(CSeq::parse(&cseq.to_string()), Some(cseq));
    }

    #[test]
    fn a_message_is_read_as_it_was_written(message in message(ANY_NAME)) {
        let read = parse(&message.to_bytes(), &LIMITS).unwrap();
        // That the case of a name does not count is no reason to change it.
        let names = |message| headers_of(message).iter().map(|own| own.0.to_string()).collect::<Vec<_>>();
        prop_assert_eq!(names(&read), names(&message));
        prop_assert_eq!(read, message);
    }

    #[test]
    fn a_message_has_one_length(mut message in message(ANY_NAME), lie in any::<u32>()) {
        let written = message.to_bytes();
        if let Message::Request(request) = &mut message {
            request.headers.push(HeaderName::CONTENT_LENGTH, lie.to_string());
        }
        prop_assert_eq!(message.to_bytes(), written);
    }

    #[test]
    fn bytes_behind_the_body_and_blank_lines_before_the_message_change_nothing(
        message in message(ANY_NAME),
        behind in vec(any::<u8>(), 0..40),
        blank in 0..4_usize,
    ) {
        let mut bytes = b"\r\n".repeat(blank);
        bytes.extend(message.to_bytes());
        bytes.extend(behind);
        prop_assert_eq!(parse(&bytes, &LIMITS), Ok(message));
    }

    #[test]
    fn folded_lines_and_compact_names_are_read_alike(message in message(ANY_NAME), fold in "[ \t]{1,3}") {
        let compact = [
            ("Call-ID", "i"), ("Contact", "m"), ("From", "F"), ("To", "t"), ("Via", "v"),
            ("Content-Length", "l"),
        ];
        let bytes = message.to_bytes();
        let end = bytes.windows(4).position(|own| own == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let mut folded = lines.next().unwrap().to_owned();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let name = compact.iter().find(|own| own.0 == name).map_or(name, |own| own.1);
            // Where there are two spaces, a fold would leave one.
            let value = if value.contains("  ") || value.contains('\t') {
                value.to_owned()
            } else {
                value.replace(' ', &format!("\t\r\n{fold}"))
            };
            folded.push_str(&format!("\r\n{name} \t:{fold}\r\n{fold}{value}{fold}"));
        }
        let bytes = [folded.as_bytes(), &bytes[end..]].concat();
        prop_assert_eq!(parse(&bytes, &LIMITS), Ok(message));
    }

    #[test]
    fn limits_are_kept_to_the_byte_and_to_the_line(message in message(ANY_NAME)) {
        let bytes = message.to_bytes();
        // One is the length, which is counted, but not kept.
        let just = ParseLimits { message_bytes: bytes.len(), headers: headers_of(&message).len() + 1 };
        prop_assert_eq!(parse(&bytes, &just), Ok(message.clone()));
        let tight = ParseLimits { message_bytes: bytes.len() - 1, ..just };
        let long = "the message is longer than sip.max_message_bytes";
        prop_assert_eq!(parse(&bytes, &tight), Err(ParseError::Unreadable(long)));
        let tight = ParseLimits { headers: just.headers - 1, ..just };
        let many = "Too many headers";
        let (is_answered, is_dropped) = match parse(&bytes, &tight) {
            Err(ParseError::Refused { status: 400, problem, .. }) => (problem == many, false),
            error => (false, error == Err(ParseError::Unreadable(many))),
        };
        let may_be_answered =
            matches!(&message, Message::Request(request) if request.method != Method::Ack);
        prop_assert_eq!((is_answered, is_dropped), (may_be_answered, !may_be_answered));
    }

    #[test]
    fn no_value_begins_another_header(value in "([\r\n:a ]|\\PC){0,20}", reason in "[\r\na ]{0,9}") {
        let mut response = Text::new("SIP/2.0 200 OK", "INVITE").as_response();
        let before: Vec<_> = response.headers.iter().map(|own| own.0.clone()).collect();
        response.headers.replace_first(&HeaderName::MAX_FORWARDS, value);
        response.reason = reason;
        let read = parse(&response.to_bytes(), &LIMITS).unwrap();
        prop_assert!(headers_of(&read).iter().map(|own| own.0).eq(&before));
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..600)) {
        survive(&bytes)?;
    }

    #[test]
    fn any_pieces_are_survived(pieces in vec(prop::sample::select(PIECES), 0..60)) {
        survive(pieces.concat().as_bytes())?;
    }

    #[test]
    fn any_values_are_survived(pieces in vec(prop::sample::select(PIECES), 0..12)) {
        let text = pieces.concat();
        if let Some(uri) = Uri::parse(&text) {
            prop_assert_eq!(Uri::parse(&uri.to_string()), Some(uri));
        }
        if let Some(address) = NameAddr::parse(&text) {
            prop_assert_eq!(NameAddr::parse(&address.to_string()), Some(address));
        }
        if let Some(via) = Via::parse(&text) {
            prop_assert_eq!(Via::parse(&via.to_string()), Some(via));
        }
        if let Some(cseq) = CSeq::parse(&text) {
            prop_assert_eq!(CSeq::parse(&cseq.to_string()), Some(cseq));
        }
    }

    #[test]
    fn mutated_messages_are_survived(
        message in message(ANY_NAME),
        bytes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        pieces in vec((any::<prop::sample::Index>(), prop::sample::select(PIECES)), 0..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut mutated = message.to_bytes().to_vec();
        for (at, byte) in bytes {
            let at = at.index(mutated.len());
            mutated[at] = byte;
        }
        for (at, piece) in pieces {
            let at = at.index(mutated.len());
            mutated.splice(at..at, piece.bytes());
        }
        if let Some(cut) = cut {
            mutated.truncate(cut.index(mutated.len()));
        }
        survive(&mutated)?;
    }
}

#[test]
fn the_longest_messages_are_survived_whatever_they_repeat() {
    let starts = [
        "Via: SIP/2.0/UDP a",
        "Contact: <sip:a@b>",
        "Contact: sip:a@b",
        "To: <sip:a@b",
        "From: ",
        "Route: <",
        "CSeq: 1",
        "Call-ID: ",
        "X: a",
        "X: a\r\n ",
        "Content-Length: 1",
        "",
    ];
    for start in starts {
        for piece in
            PIECES.iter().chain(&[",a", ";a", ";a=%", "\r\nX: ", "\r\n \r\n ", "\"a\"", "<a>"])
        {
            let text = Text::request("INVITE", "sip:a@b");
            let room = LIMITS.message_bytes - text.bytes().len() - start.len() - 2;
            let line = format!("{start}{}", piece.repeat(room / piece.len()));
            survive(&text.and(&line).bytes()).unwrap();
        }
    }
}
