//! What requests are refused with that cannot be dealt with, as it goes over the wire (RFC 3261, sections 8.2, 12.2.2 and 16.3).

use std::net::SocketAddr;

use bytes::Bytes;

use super::{pair::config, peer::Peer};
use crate::sip::{
    ParseLimits,
    agent::{ALLOW, AgentEvent},
    headers::HeaderName,
    message::{Fields, Message, Response},
    parse,
    transport::{Hop, Transport},
};

/// A request of `method` to `uri`, with `headers` besides those that each has, and `body`.
fn request(method: &str, uri: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK1\r\nFrom: <sip:x@192.0.2.50>;tag=1\r\n\
         To: <sip:talk@192.0.2.1>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\nContact: <sip:x@192.0.2.50>\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn invite(headers: &str, body: &str) -> String {
    request("INVITE", "sip:talk@192.0.2.1", headers, body)
}

/// Final answers that the agent has sent. What they repeat of a request may be as malformed as that.
fn finals(peer: &mut Peer) -> Vec<(u16, String)> {
    let sent = std::iter::from_fn(|| peer.agent.poll_transmit());
    let texts = sent.map(|own| String::from_utf8(own.bytes.to_vec()).expect("it is text"));
    let status = |text: &String| text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok();
    let answers = texts.map(|text| (status(&text).expect("an answer"), text));
    answers.filter(|(status, _)| *status >= 200).collect()
}

fn statuses(peer: &mut Peer) -> Vec<u16> {
    finals(peer).into_iter().map(|(status, _)| status).collect()
}

/// The last answer that it has sent.
fn answer(peer: &mut Peer) -> Response {
    let (_, text) = finals(peer).pop().expect("an answer");
    let limits = ParseLimits { message_bytes: 65_535, headers: 100 };
    match parse(text.as_bytes(), &limits) {
        Ok(Message::Response(response)) => response,
        other => panic!("no answer: {other:?}"),
    }
}

/// A new agent that has got `request`; nobody hears of it.
fn asked(request: &str) -> Peer {
    let mut peer = Peer::new(Transport::Udp);
    peer.agent.handle_bytes(peer.now, peer.hop, request.as_bytes());
    assert_eq!(peer.event(), None, "{request}");
    peer
}

#[test]
fn what_is_malformed_is_bad_and_counted() {
    let good = invite("", "");
    for (what, with) in [
        ("CSeq: 1 INVITE", "CSeq: one INVITE"),
        ("CSeq: 1 INVITE", "CSeq: 4294967296 INVITE"),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE"),
        ("From: <sip:x@192.0.2.50>;tag=1", "From: <sip:x@192.0.2.50;tag=1"),
        ("To: <sip:talk@192.0.2.1>", "To: \"talk <sip:talk@192.0.2.1>"),
        ("Call-ID: 1\r\n", ""),
        ("Contact: ", "Max-Forwards: many\r\nContact: "),
        ("Contact: ", "Expires: soon\r\nContact: "),
        ("Contact: <sip:x@192.0.2.50>", "Contact: <sip:x@192.0.2.50"),
        ("Contact: ", "no header at all\r\nContact: "),
        ("INVITE sip:talk@192.0.2.1 ", "INVITE sip:talk@192.0.2.1?subject=x "),
    ] {
        assert!(good.contains(what), "{what}");
        let mut peer = asked(&good.replacen(what, with, 1));
        assert_eq!(statuses(&mut peer), [400], "{with}");
        assert_eq!(peer.agent.counters().malformed, 1, "{with}");
    }
    // To whom would one answer?
    for (what, with) in
        [("Via: ", "Vie: "), ("SIP/2.0/UDP 192", "SIP 192"), (" SIP/2.0\r\n", "\r\n")]
    {
        let bad = good.replacen(what, with, 1);
        assert!(finals(&mut asked(&bad)).is_empty(), "{bad}");
    }
    // An ACK is never answered.
    let ack = request("ACK", "sip:talk@192.0.2.1", "", "").replace("Call-ID: 1\r\n", "");
    assert!(finals(&mut asked(&ack)).is_empty());
}

#[test]
fn what_is_not_understood_is_told_with_what_is() {
    let header = |name: &str| HeaderName::parse(name).unwrap();
    for (request, status, told) in [
        (
            invite("Require: 100rel, timer, nothing\r\n", ""),
            420,
            Some(("Unsupported", "100rel, nothing")),
        ),
        (invite("Content-Type: text/plain\r\n", "hello"), 415, Some(("Accept", "application/sdp"))),
        (
            invite("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "hello"),
            415,
            Some(("Accept", "application/sdp")),
        ),
        (request("INVITE", "tel:+15551234", "", ""), 416, None),
        (request("INVITE", "nobodyKnowsThisScheme:totallyopaque", "", ""), 416, None),
        (request("NEWMETHOD", "sip:talk@192.0.2.1", "", ""), 501, Some(("Allow", ALLOW))),
        (request("REGISTER", "sip:192.0.2.1", "", ""), 405, Some(("Allow", ALLOW))),
        (request("BYE", "sip:talk@192.0.2.1", "", ""), 481, None),
        (request("CANCEL", "sip:talk@192.0.2.1", "", ""), 481, None),
        (invite("", "").replace(" SIP/2.0\r\n", " SIP/7.0\r\n"), 505, None),
        // Within calls that there are not.
        (invite("", "").replace("192.0.2.1>\r\n", "192.0.2.1>;tag=9\r\n"), 481, None),
        (
            request("INFO", "sip:talk@192.0.2.1", "", "")
                .replace("192.0.2.1>\r\n", "192.0.2.1>;tag=9\r\n"),
            481,
            None,
        ),
    ] {
        let answer = answer(&mut asked(&request));
        assert_eq!(answer.status, status, "{request}");
        if let Some((name, value)) = told {
            assert_eq!(answer.headers.get(&header(name)), Some(value), "{request}");
        }
        assert!(answer.to().is_some_and(|to| to.tag().is_some()), "{request}");
    }
}

#[test]
fn what_came_by_two_ways_is_dealt_with_once() {
    let mut peer = Peer::new(Transport::Udp);
    peer.agent.handle_bytes(peer.now, peer.hop, invite("", "").as_bytes());
    assert!(matches!(peer.event(), Some(AgentEvent::Incoming { .. })));
    let other = invite("", "").replace("z9hG4bK1", "z9hG4bK2");
    peer.agent.handle_bytes(peer.now, peer.hop, other.as_bytes());
    assert_eq!(statuses(&mut peer), [482]);
    assert_eq!(peer.event(), None);
}

#[test]
fn within_a_call_what_is_old_or_unknown_is_refused_and_the_call_goes_on() {
    let mut peer = Peer::new(Transport::Udp);
    let first = invite("", "").replace("CSeq: 1 ", "CSeq: 5 ");
    peer.agent.handle_bytes(peer.now, peer.hop, first.as_bytes());
    let Some(AgentEvent::Incoming { call, .. }) = peer.event() else { panic!("no call") };
    peer.agent.answer(peer.now, call, Bytes::from_static(b"answer"));
    let tag = answer(&mut peer).to().unwrap().tag().unwrap();
    let mut ask = |method: &str, number: u32, headers: &str| {
        let within = request(method, "sip:talk@192.0.2.1", headers, "");
        let within = within.replace("CSeq: 1 ", &format!("CSeq: {number} "));
        let within = within.replace("192.0.2.1>\r\n", &format!("192.0.2.1>;tag={tag}\r\n"));
        let within = within.replace("z9hG4bK1", &format!("z9hG4bK{method}{number}"));
        peer.agent.handle_bytes(peer.now, peer.hop, within.as_bytes());
        statuses(&mut peer)
    };
    assert!(ask("ACK", 5, "").is_empty());
    assert_eq!(ask("UPDATE", 6, ""), [405]);
    assert_eq!(ask("NEWMETHOD", 7, ""), [405]);
    assert_eq!(ask("INVITE", 8, "Require: nothing\r\n"), [420]);
    // Behind that, what was said before it (section 12.2.2).
    assert_eq!(ask("INFO", 7, ""), [500]);
    assert_eq!(ask("BYE", 9, ""), [200]);
    assert_eq!(ask("INFO", 10, ""), [481]);
}

#[test]
fn one_call_more_than_there_may_be_is_busy() {
    let mut peer = Peer::new(Transport::Udp);
    let most = config(0).calls;
    for number in 0..=most {
        let invite = invite("", "").replace("Call-ID: 1", &format!("Call-ID: {number}"));
        let invite = invite.replace("z9hG4bK1", &format!("z9hG4bK{number}"));
        let address = SocketAddr::from(([192, 0, 2, 60 + number as u8], 5060));
        let from = Hop { transport: Transport::Udp, address };
        peer.agent.handle_bytes(peer.now, from, invite.as_bytes());
        let finals = statuses(&mut peer);
        match number < most {
            true => {
                assert!(matches!(peer.event(), Some(AgentEvent::Incoming { .. })));
                assert_eq!((finals, peer.agent.busy()), (vec![], 0));
            }
            false => {
                assert_eq!((finals, peer.event(), peer.agent.busy()), (vec![486], None, 1));
            }
        }
    }
}
