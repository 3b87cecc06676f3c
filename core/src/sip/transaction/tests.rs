//! What a connection changes: nothing is sent twice, nothing is waited for that cannot come, and what it breaks off has an end.

use std::net::SocketAddr;

use super::*;
use crate::sip::{
    ParseLimits,
    message::{Fields, Message},
    method::Method,
    uri::Uri,
};

const T1: Duration = Duration::from_millis(500);

fn transactions() -> Transactions {
    let config = TransactionConfig {
        timers: Timers::default(),
        parse_limits: ParseLimits { message_bytes: 65_535, headers: 100 },
        server_transactions: 10,
        server_transactions_per_address: 10,
        host: "192.0.2.1".into(),
        port: 5060,
        product: "test".into(),
    };
    Transactions::new(config, [1; 32])
}

fn hop(transport: Transport) -> Hop {
    Hop { transport, address: "192.0.2.50:61000".parse().unwrap() }
}

fn request(method: Method) -> Request {
    let mut request = Request::new(method.clone(), Uri::parse("sip:a@192.0.2.50").unwrap());
    for (name, value) in [
        (HeaderName::MAX_FORWARDS, "70".to_owned()),
        (HeaderName::FROM, "<sip:b@192.0.2.1>;tag=1".to_owned()),
        (HeaderName::TO, "<sip:a@192.0.2.50>".to_owned()),
        (HeaderName::CALL_ID, "c1".to_owned()),
        (HeaderName::CSEQ, format!("1 {method}")),
    ] {
        request.headers.push(name, value);
    }
    request
}

fn sent(transactions: &mut Transactions) -> Vec<Message> {
    let limits = ParseLimits { message_bytes: 65_535, headers: 100 };
    let all = std::iter::from_fn(|| transactions.poll_transmit());
    all.map(|transmit| parse(&transmit.bytes, &limits).unwrap()).collect()
}

/// Lets time go on until nothing is waited for; how much was sent meanwhile, and when that was.
fn wait(transactions: &mut Transactions, mut now: Duration) -> (usize, Duration) {
    let mut copies = 0;
    while let Some(at) = transactions.poll_timeout() {
        now = now.max(at);
        transactions.handle_timeout(now);
        copies += sent(transactions).len();
    }
    (copies, now)
}

/// A request of `method` that `transactions` has sent.
fn asked(transactions: &mut Transactions, method: Method, hop: Hop) -> Request {
    transactions.request(Duration::ZERO, request(method), (hop, None));
    match sent(transactions).remove(0) {
        Message::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn over_a_connection_a_request_is_sent_once_and_given_up_as_late() {
    for (method, copies) in [(Method::Invite, 6), (Method::Options, 10)] {
        for (transport, copies) in [(Transport::Udp, copies), (Transport::Tcp, 0)] {
            let mut own = transactions();
            let request = asked(&mut own, method.clone(), hop(transport));
            assert_eq!(request.top_via().unwrap().transport, transport.as_str());
            assert_eq!(wait(&mut own, Duration::ZERO), (copies, 64 * T1), "{method} {transport:?}");
            let failed = matches!(
                own.poll_event(),
                Some(TransactionEvent::Failed { failure: Failure::Timeout, .. })
            );
            assert!(failed && own.is_idle());
        }
    }
}

/// Two ways to one peer: the connection that it has made, and where it waits for others.
fn ways() -> (Hop, Hop) {
    let lost = hop(Transport::Tcp);
    (lost, lost.other("192.0.2.50:5060".parse().unwrap()).unwrap())
}

/// Where all that is to be sent goes.
fn sent_to(transactions: &mut Transactions) -> Vec<Hop> {
    std::iter::from_fn(|| transactions.poll_transmit()).map(|transmit| transmit.hop).collect()
}

#[test]
fn a_request_whose_connection_is_lost_goes_again_by_another_one_but_not_for_ever() {
    let (lost, other) = ways();
    let mut own = transactions();
    own.request(Duration::ZERO, request(Method::Bye), (lost, Some(other)));
    assert_eq!(sent_to(&mut own), [lost]);
    own.handle_lost_way(Duration::ZERO, hop(Transport::Udp));
    assert_eq!(sent_to(&mut own), []);
    for gone in [lost, other, other] {
        own.handle_lost_way(Duration::ZERO, gone);
        assert_eq!((sent_to(&mut own), own.poll_event()), (vec![other], None));
    }
    own.handle_lost_way(Duration::ZERO, other);
    assert_eq!(sent_to(&mut own), []);
    let failed = own.poll_event();
    assert!(matches!(failed, Some(TransactionEvent::Failed { failure: Failure::Unreachable, .. })));
    assert!(own.is_idle());
}

#[test]
fn an_answer_whose_connection_is_lost_goes_where_the_request_says_or_comes_from_next() {
    let (lost, other) = ways();
    let via = |bytes: &mut Request| {
        let via = "SIP/2.0/TCP 192.0.2.50:5060;branch=z9hG4bK1;rport";
        bytes.headers.push_front(HeaderName::VIA, via.to_owned());
    };
    let (mut invite, newer) = (
        request(Method::Invite),
        Hop { address: SocketAddr::new(lost.address.ip(), 62_000), ..lost },
    );
    via(&mut invite);
    let contact = "<sip:b@192.0.2.50>".to_owned();
    invite.headers.push(HeaderName::CONTACT, contact);
    for (moves, expected) in [(false, other), (true, newer)] {
        let mut own = transactions();
        own.handle_bytes(Duration::ZERO, lost, &invite.to_bytes(), 9, |_| false);
        let Some(TransactionEvent::Request { id, request, .. }) = own.poll_event() else {
            panic!()
        };
        assert_eq!(sent_to(&mut own), [lost]);
        own.handle_lost_way(Duration::ZERO, lost);
        if moves {
            own.handle_bytes(Duration::ZERO, newer, &invite.to_bytes(), 9, |_| false);
            assert_eq!(sent_to(&mut own), [newer]);
        }
        own.respond(Duration::ZERO, id, request.response(200, Some("near")));
        assert_eq!((sent_to(&mut own), own.answer_hop(id)), (vec![expected], Some(expected)));
    }
}

#[test]
fn over_a_connection_no_copies_of_an_answer_are_waited_for() {
    for (method, udp) in [(Method::Invite, 64 * T1), (Method::Options, Duration::from_secs(5))] {
        for (transport, expected) in [(Transport::Udp, udp), (Transport::Tcp, Duration::ZERO)] {
            let mut own = transactions();
            let request = asked(&mut own, method.clone(), hop(transport));
            let answer = request.response(404, Some("far")).to_bytes();
            own.handle_bytes(Duration::ZERO, hop(transport), &answer, 9, |_| false);
            assert_eq!(sent(&mut own).len(), usize::from(method == Method::Invite));
            assert_eq!(wait(&mut own, Duration::ZERO), (0, expected), "{method} {transport:?}");
        }
    }
}

#[test]
fn over_a_connection_an_answer_is_sent_once_and_no_copy_of_the_request_expected() {
    let now = Duration::ZERO;
    for (transport, copies) in [(Transport::Udp, 10), (Transport::Tcp, 0)] {
        for method in [Method::Invite, Method::Options] {
            let mut own = transactions();
            let mut request = request(method.clone());
            let via = format!("SIP/2.0/{} 192.0.2.50;branch=z9hG4bK1", transport.as_str());
            request.headers.push_front(HeaderName::VIA, via);
            let respond = |own: &mut Transactions| {
                own.handle_bytes(now, hop(transport), &request.to_bytes(), 9, |_| false);
                let Some(TransactionEvent::Request { id, request, .. }) = own.poll_event() else {
                    panic!("no request");
                };
                own.respond(now, id, request.response(486, Some("near")));
                sent(own);
            };
            respond(&mut own);
            let is_invite = method == Method::Invite;
            let (copies, ends_at) = match (is_invite, transport) {
                (true, _) => (copies, 64 * T1),
                (false, Transport::Udp) => (0, 64 * T1),
                (false, Transport::Tcp) => (0, now),
            };
            assert_eq!(wait(&mut own, now), (copies, ends_at), "{method} {transport:?}");
            if is_invite {
                let mut own = transactions();
                respond(&mut own);
                let mut ack = request.clone();
                ack.method = Method::Ack;
                ack.headers.set(HeaderName::CSEQ, "1 ACK");
                own.handle_bytes(now, hop(transport), &ack.to_bytes(), 9, |_| false);
                let t4 = Duration::from_secs(5);
                let expected = if transport == Transport::Udp { t4 } else { now };
                assert_eq!(wait(&mut own, now), (0, expected));
                assert!(own.is_idle());
            }
        }
    }
}

#[test]
fn a_connection_that_is_lost_ends_what_waits_for_an_answer_from_there() {
    let mut own = transactions();
    let lost = hop(Transport::Tcp);
    let other = Hop { address: "192.0.2.51:5060".parse().unwrap(), ..lost };
    let first = own.request(Duration::ZERO, request(Method::Options), (lost, None));
    own.request(Duration::ZERO, request(Method::Options), (other, None));
    own.request(Duration::ZERO, request(Method::Options), (hop(Transport::Udp), None));
    own.handle_unreachable(Duration::ZERO, lost);
    let failure = Failure::Unreachable;
    assert_eq!(own.poll_event(), Some(TransactionEvent::Failed { id: first, failure }));
    assert_eq!((own.poll_event(), own.clients.len()), (None, 2));
}
