//! How long a session lasts, who refreshes it, and what becomes of it when nobody does (RFC 4028).

use std::time::Duration;

use bytes::Bytes;

use super::peer::{Peer, cseq};
use crate::sip::{
    ParseLimits,
    agent::{AgentEvent, CallRef, End, SDP},
    headers::HeaderName,
    message::{Fields, Message, Request, Response},
    method::Method,
    parse,
    transport::Transport,
};

const EXPIRES: HeaderName = HeaderName::SESSION_EXPIRES;
const CONTACT: (HeaderName, &str) = (HeaderName::CONTACT, "<sip:far@192.0.2.50>");

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn field(message: &impl Fields, name: HeaderName) -> Option<String> {
    message.headers().get(&name).map(str::to_owned)
}

/// The agent calls: its INVITE.
fn calling() -> (Peer, CallRef, Request) {
    let mut peer = Peer::new(Transport::Udp);
    let target = peer.target();
    let call = peer.agent.call(peer.now, target, Bytes::from_static(b"offer"));
    let invite = peer.request().unwrap();
    (peer, call, invite)
}

/// Answers `invite` with 200 and `headers`, and takes the ACK.
fn accept(peer: &mut Peer, invite: &Request, headers: &[(HeaderName, &str)]) {
    let headers = headers.iter().chain([&CONTACT]);
    let headers: Vec<_> = headers.map(|(name, it)| (name.clone(), (*it).to_owned())).collect();
    peer.answer(invite, 200, &headers);
    assert_eq!(peer.request().map(|ack| ack.method), Some(Method::Ack));
}

/// Answers `invite` with 422, takes the ACK, and gives what the agent sends then.
fn refuse(peer: &mut Peer, invite: &Request, least: Option<u64>) -> Option<Request> {
    let headers = least.map(|least| (HeaderName::MIN_SE, least.to_string()));
    peer.answer(invite, 422, headers.as_slice());
    let mut sent: Vec<_> = std::iter::from_fn(|| peer.request()).collect();
    let acks = sent.extract_if(.., |request| request.method == Method::Ack).count();
    assert_eq!(acks, 1, "{sent:?}");
    sent.pop()
}

/// The next thing that the agent tells, and when.
fn next_event(peer: &mut Peer) -> (Duration, AgentEvent) {
    loop {
        if let Some(event) = peer.event() {
            return (peer.now, event);
        }
        peer.now = peer.agent.poll_timeout().expect("something is due");
        peer.agent.handle_timeout(peer.now);
    }
}

/// An INVITE of the peer's, numbered `number`, with `headers`; `to_tag` within a call.
fn invite(peer: &mut Peer, number: u32, to_tag: Option<&str>, headers: &str) {
    let tag = to_tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
    let invite = format!(
        "INVITE sip:talk@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK{number}\r\n\
         From: <sip:x@192.0.2.50>;tag=1\r\nTo: <sip:talk@192.0.2.1>{tag}\r\nCall-ID: 1\r\nCSeq: {number} INVITE\r\n\
         Contact: <sip:x@192.0.2.50>\r\n{headers}Content-Type: {SDP}\r\nContent-Length: 5\r\n\r\noffer"
    );
    peer.agent.handle_bytes(peer.now, peer.hop, invite.as_bytes());
}

/// The peer's ACK to what answered its INVITE `number`: of its own, or to a refusal of the INVITE's transaction.
fn ack(peer: &mut Peer, number: u32, response: &Response) {
    let own = if response.status < 300 { "a" } else { "" };
    let to_tag = response.to().unwrap().tag().unwrap();
    let ack = format!(
        "ACK sip:talk@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK{own}{number}\r\n\
         From: <sip:x@192.0.2.50>;tag=1\r\nTo: <sip:talk@192.0.2.1>;tag={to_tag}\r\nCall-ID: 1\r\n\
         CSeq: {number} ACK\r\nContent-Length: 0\r\n\r\n"
    );
    peer.agent.handle_bytes(peer.now, peer.hop, ack.as_bytes());
}

/// The last answer that the agent has sent.
fn answered(peer: &mut Peer) -> Response {
    let limits = ParseLimits { message_bytes: 65_535, headers: 100 };
    let sent = std::iter::from_fn(|| peer.agent.poll_transmit());
    match parse(&sent.last().expect("it answers").bytes, &limits) {
        Ok(Message::Response(response)) => response,
        other => panic!("no answer: {other:?}"),
    }
}

/// The peer calls with `headers`, and the call is taken: what was answered.
fn called(headers: &str) -> (Peer, CallRef, Response) {
    let mut peer = Peer::new(Transport::Udp);
    invite(&mut peer, 1, None, headers);
    let Some(AgentEvent::Incoming { call, .. }) = peer.event() else { panic!("no call") };
    peer.agent.answer(peer.now, call, Bytes::from_static(b"answer"));
    let response = answered(&mut peer);
    ack(&mut peer, 1, &response);
    assert!(matches!(peer.event(), Some(AgentEvent::Confirmed { .. })));
    (peer, call, response)
}

#[test]
fn an_interval_that_is_too_small_is_asked_for_again_and_kept() {
    let (mut peer, call, first) = calling();
    assert_eq!(field(&first, EXPIRES).as_deref(), Some("1800"));
    assert_eq!(field(&first, HeaderName::MIN_SE), None);
    let again = refuse(&mut peer, &first, Some(3_600)).expect("the INVITE once more");
    assert_eq!(cseq(&again), cseq(&first) + 1);
    assert_eq!(field(&again, HeaderName::CALL_ID), field(&first, HeaderName::CALL_ID));
    assert_eq!(field(&again, EXPIRES).as_deref(), Some("3600"));
    assert_eq!(field(&again, HeaderName::MIN_SE).as_deref(), Some("3600"));
    accept(&mut peer, &again, &[(EXPIRES, "3600;refresher=uac")]);
    assert!(matches!(peer.event(), Some(AgentEvent::Answered { .. })));

    // Refreshed at half of it, by a request that asks for the same.
    assert_eq!(next_event(&mut peer), (seconds(1_800), AgentEvent::RefreshDue { call }));
    peer.agent.offer(peer.now, call, Bytes::from_static(b"same"));
    let refresh = peer.request().unwrap();
    assert_eq!(field(&refresh, EXPIRES).as_deref(), Some("3600;refresher=uac"));
    assert_eq!(field(&refresh, HeaderName::MIN_SE).as_deref(), Some("3600"));

    // For which somebody wants yet more.
    assert_eq!(refuse(&mut peer, &refresh, Some(7_200)), None);
    assert_eq!(peer.event(), Some(AgentEvent::OfferPostponed { call }));
    peer.agent.handle_timeout(peer.now);
    assert_eq!(peer.event(), Some(AgentEvent::RefreshDue { call }));
    peer.agent.offer(peer.now, call, Bytes::from_static(b"same"));
    let refresh = peer.request().unwrap();
    assert_eq!(field(&refresh, EXPIRES).as_deref(), Some("7200;refresher=uac"));
    assert_eq!(field(&refresh, HeaderName::MIN_SE).as_deref(), Some("7200"));
    accept(&mut peer, &refresh, &[(EXPIRES, "7200;refresher=uac")]);
    assert_eq!(next_event(&mut peer).1, AgentEvent::OfferAccepted { call, sdp: None });
    assert_eq!(next_event(&mut peer), (seconds(1_800 + 3_600), AgentEvent::RefreshDue { call }));
}

#[test]
fn who_always_wants_more_is_not_called_for_ever() {
    let (mut peer, call, mut invite) = calling();
    let mut sent = 1;
    while let Some(again) = refuse(&mut peer, &invite, Some(1_800 + sent)) {
        (invite, sent) = (again, sent + 1);
        assert!(sent < 100);
    }
    assert_eq!(sent, 11);
    let end = End::Rejected { status: 422, reason: "Session Interval Too Small".into() };
    assert_eq!(peer.event(), Some(AgentEvent::Ended { call, end }));
    assert!(!peer.agent.awaits_answers());
}

#[test]
fn what_makes_no_sense_as_a_least_interval_is_a_refusal() {
    for least in [None, Some(0), Some(1_800), Some(86_401), Some(u64::from(u32::MAX))] {
        let (mut peer, call, invite) = calling();
        assert_eq!(refuse(&mut peer, &invite, least), None, "{least:?}");
        let ended = peer.event();
        assert!(
            matches!(ended, Some(AgentEvent::Ended { call: of, .. }) if of == call),
            "{ended:?}"
        );
    }
}

#[test]
fn a_callee_that_refreshes_is_waited_for_and_no_longer() {
    let (mut peer, call, first) = calling();
    accept(&mut peer, &first, &[(EXPIRES, "300;refresher=uas")]);
    assert!(matches!(peer.event(), Some(AgentEvent::Answered { .. })));
    // Whoever only waits gives up 32 s before its end, or a third of it (section 10).
    let (at, event) = next_event(&mut peer);
    assert_eq!((at, event), (seconds(300 - 32), AgentEvent::Ended { call, end: End::Expired }));
    assert_eq!(peer.request().map(|bye| bye.method), Some(Method::Bye));
}

#[test]
fn a_callee_that_knows_of_no_sessions_is_asked_whether_it_is_there() {
    let (mut peer, call, first) = calling();
    accept(&mut peer, &first, &[]);
    assert!(matches!(peer.event(), Some(AgentEvent::Answered { .. })));
    assert_eq!(next_event(&mut peer), (seconds(900), AgentEvent::RefreshDue { call }));
}

#[test]
fn a_caller_that_asks_for_too_little_is_told_what_is_enough() {
    for headers in [
        "Session-Expires: 60\r\nSupported: timer\r\n",
        "x: 89;refresher=uac\r\nk: 100rel, timer\r\n",
        "Session-Expires: 0\r\nRequire: timer\r\n",
    ] {
        let mut peer = Peer::new(Transport::Udp);
        invite(&mut peer, 1, None, headers);
        let response = answered(&mut peer);
        assert_eq!((response.status, peer.event()), (422, None), "{headers}");
        assert_eq!(field(&response, HeaderName::MIN_SE).as_deref(), Some("90"));
    }
    // One that could not make sense of that has it made longer.
    let (_, _, response) = called("Session-Expires: 60\r\n");
    assert_eq!(field(&response, EXPIRES).as_deref(), Some("90;refresher=uas"));
    assert_eq!(field(&response, HeaderName::REQUIRE), None);
}

#[test]
fn a_caller_is_answered_what_holds() {
    for (headers, expires, requires) in [
        // It refreshes, if it can and does not say otherwise.
        ("Session-Expires: 100\r\nSupported: timer\r\n", "100;refresher=uac", true),
        ("Session-Expires: 100;refresher=uac\r\nSupported: timer\r\n", "100;refresher=uac", true),
        ("Session-Expires: 100;refresher=uas\r\nSupported: timer\r\n", "100;refresher=uas", true),
        // It is made shorter, but not shorter than the caller and those on the way can bear.
        ("Session-Expires: 7200\r\nSupported: timer\r\n", "1800;refresher=uac", true),
        (
            "Session-Expires: 7200\r\nMin-SE: 3600\r\nSupported: timer\r\n",
            "3600;refresher=uac",
            true,
        ),
        ("Supported: timer\r\n", "1800;refresher=uas", true),
        ("Min-SE: 3600\r\nSupported: timer\r\n", "3600;refresher=uas", true),
        ("", "1800;refresher=uas", false),
    ] {
        let (_, _, response) = called(headers);
        assert_eq!(field(&response, EXPIRES).as_deref(), Some(expires), "{headers}");
        assert_eq!(field(&response, HeaderName::REQUIRE).is_some(), requires, "{headers}");
    }
}

#[test]
fn a_caller_that_refreshes_keeps_its_call_as_long_as_it_does() {
    let timer = "Session-Expires: 300;refresher=uac\r\nSupported: timer\r\n";
    let (mut peer, call, response) = called(timer);
    let tag = response.to().unwrap().tag().unwrap();
    for number in 2..5 {
        peer.now += seconds(200);
        peer.agent.handle_timeout(peer.now);
        assert_eq!(peer.event(), None);
        // A refresh that asks for too little changes nothing.
        invite(&mut peer, 10 * number, Some(&tag), "Session-Expires: 10\r\nSupported: timer\r\n");
        let refused = answered(&mut peer);
        assert_eq!(refused.status, 422);
        assert_eq!(field(&refused, HeaderName::MIN_SE).as_deref(), Some("90"));
        ack(&mut peer, 10 * number, &refused);
        invite(&mut peer, 10 * number + 1, Some(&tag), timer);
        assert!(matches!(peer.event(), Some(AgentEvent::Offered { .. })));
        peer.agent.accept_offer(peer.now, call, Bytes::from_static(b"answer"));
        let response = answered(&mut peer);
        assert_eq!(field(&response, EXPIRES).as_deref(), Some("300;refresher=uac"));
        ack(&mut peer, 10 * number + 1, &response);
        assert!(matches!(peer.event(), Some(AgentEvent::Confirmed { .. })));
    }
    let due = peer.now + seconds(300 - 32);
    assert_eq!(next_event(&mut peer), (due, AgentEvent::Ended { call, end: End::Expired }));
    assert_eq!(peer.request().map(|bye| bye.method), Some(Method::Bye));
}
