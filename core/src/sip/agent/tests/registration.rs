//! Accounts: registered, refreshed, refused, tried again and taken back.

use std::time::Duration;

use super::peer::{Peer, challenge, credentials, cseq, proof};
use crate::sip::{
    agent::{Account, AccountRef, AgentEvent},
    headers::HeaderName,
    message::{Fields, Request},
    transport::{Hop, Transport},
    uri::Uri,
};

const OWN: &str = "<sip:a1@192.0.2.1:5060>";

fn account(hop: Hop) -> Account {
    Account {
        address: Uri::parse("sip:talk@example.org").unwrap(),
        registrar: Uri::parse("sip:example.org").unwrap(),
        hop,
        contact_user: "a1".into(),
        credentials: Some(credentials()),
        expires: Duration::from_secs(3_600),
    }
}

/// An account whose first REGISTER is on its way.
fn begun(transport: Transport) -> (Peer, AccountRef, Request) {
    let mut peer = Peer::new(transport);
    let account = peer.agent.register(peer.now, account(peer.hop));
    let request = peer.request().expect("a REGISTER");
    (peer, account, request)
}

fn registered(peer: &mut Peer) -> Option<u64> {
    match peer.event() {
        Some(AgentEvent::Registered { expires, .. }) => Some(expires.as_secs()),
        None => None,
        other => panic!("{other:?}"),
    }
}

fn failed(peer: &mut Peer) -> Option<u16> {
    match peer.event() {
        Some(AgentEvent::RegistrationFailed { status, .. }) => Some(status),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_register_says_who_can_be_reached_where_and_for_how_long() {
    let (_, _, request) = begun(Transport::Udp);
    assert_eq!(request.to_string(), "REGISTER sip:example.org SIP/2.0");
    let header = |name| request.headers.get(&name);
    assert_eq!(header(HeaderName::TO), Some("<sip:talk@example.org>"));
    assert!(header(HeaderName::FROM).unwrap().starts_with("<sip:talk@example.org>;tag="));
    assert_eq!(header(HeaderName::CONTACT), Some("<sip:a1@192.0.2.1:5060>;expires=3600"));
    assert_eq!(header(HeaderName::EXPIRES), Some("3600"));
    assert_eq!(header(HeaderName::AUTHORIZATION), None);
    let (_, _, request) = begun(Transport::Tcp);
    let contact = "<sip:a1@192.0.2.1:5060;transport=tcp>;expires=3600";
    assert_eq!(request.headers.get(&HeaderName::CONTACT), Some(contact));
    assert_eq!(request.top_via().unwrap().transport, "TCP");
}

#[test]
fn it_is_refreshed_a_little_before_what_was_granted_is_over() {
    let (mut peer, _, mut request) = begun(Transport::Udp);
    let expires = |seconds: &str| (HeaderName::EXPIRES, seconds.to_owned());
    let contact = |contact: &str| (HeaderName::CONTACT, contact.to_owned());
    // Headers of the answer, what was granted, and after how long the next REGISTER comes.
    let cases = [
        (
            vec![contact("<sip:x@192.0.2.9>;expires=7, <sip:a1@192.0.2.1:5060>;expires=60")],
            60,
            57_000,
        ),
        (vec![contact(OWN), expires("1800")], 1_800, 1_795_000),
        (vec![contact("<sip:a1@192.0.2.1:5060>;expires=200"), expires("1800")], 200, 195_000),
        (vec![contact("<sip:%611@192.0.2.1:5060;ob>;expires=40")], 40, 38_000),
        // Written anew by something on the way.
        (vec![contact("<sip:a1@198.51.100.7:61000>;expires=30")], 30, 28_500),
        (vec![], 3_600, 3_595_000),
        (vec![contact("<sip:a1@192.0.2.1:5060>;expires=1")], 1, 1_000),
    ];
    for (headers, granted, wait_ms) in cases {
        peer.answer(&request, 200, &headers);
        assert_eq!(registered(&mut peer), Some(granted));
        let before = peer.now;
        let next = peer.next_request();
        assert_eq!(peer.now - before, Duration::from_millis(wait_ms), "{headers:?}");
        assert_eq!(next.call_id(), request.call_id());
        assert_eq!(next.from(), request.from());
        assert_eq!(cseq(&next), cseq(&request) + 1);
        let branch = |own: &Request| own.top_via().unwrap().params.get("branch");
        assert_ne!(branch(&next), branch(&request));
        request = next;
    }
}

#[test]
fn a_nonce_is_used_until_it_is_too_old_and_a_challenge_at_each_refresh_is_none_too_many() {
    let (mut peer, _, request) = begun(Transport::Udp);
    peer.answer(&request, 401, &[challenge("n0", false)]);
    let mut request = peer.request().expect("one with a proof");
    assert_eq!(proof(&request), Some(("n0".into(), 1)));
    for refresh in 1..20 {
        peer.accept(&request, &["<sip:a1@192.0.2.1:5060>;expires=60"]);
        assert_eq!(registered(&mut peer), Some(60));
        request = peer.next_request();
        let uses = if refresh % 2 == 1 { 2 } else { 3 };
        assert_eq!(proof(&request).unwrap().1, uses);
        if refresh % 2 == 1 {
            continue;
        }
        // Some do not call it stale.
        let nonce = format!("n{refresh}");
        let number = cseq(&request);
        peer.answer(&request, 401, &[challenge(&nonce, refresh % 4 == 0)]);
        request = peer.request().expect("one with a new proof");
        assert_eq!((proof(&request), cseq(&request)), (Some((nonce, 1)), number + 1));
    }
}

#[test]
fn a_wrong_password_is_told_of_and_not_tried_for_ever() {
    let (mut peer, _, mut request) = begun(Transport::Udp);
    let mut sent = 1;
    for round in 0..3 {
        // Whatever they call it.
        for nonce in 0.. {
            peer.answer(&request, 401, &[challenge(&format!("{round}.{nonce}"), round == 2)]);
            let Some(next) = peer.request() else { break };
            (request, sent) = (next, sent + 1);
        }
        assert_eq!(failed(&mut peer), Some(401));
        assert!(sent <= [2, 4, 11][round], "{sent} sent");
        request = peer.next_request();
        sent += 1;
    }
}

#[test]
fn an_interval_that_is_too_brief_is_made_longer_once() {
    let (mut peer, _, request) = begun(Transport::Udp);
    let least = |seconds: u32| [(HeaderName::MIN_EXPIRES, seconds.to_string())];
    peer.answer(&request, 423, &least(7_200));
    let longer = peer.request().expect("one more");
    assert_eq!(longer.headers.get(&HeaderName::EXPIRES), Some("7200"));
    assert_eq!(longer.contact().unwrap().params.get("expires").as_deref(), Some("7200"));
    peer.answer(&longer, 423, &least(9_000));
    assert_eq!((failed(&mut peer), peer.request()), (Some(423), None));
    // It is remembered.
    let next = peer.next_request();
    assert_eq!(next.headers.get(&HeaderName::EXPIRES), Some("7200"));
    peer.answer(&next, 423, &[]);
    assert_eq!((failed(&mut peer), peer.request()), (Some(423), None));
}

#[test]
fn what_comes_to_nothing_is_tried_again_ever_more_rarely() {
    let (mut peer, _, mut request) = begun(Transport::Udp);
    for bound_s in [30, 60, 120, 240, 480, 960, 1_800, 1_800] {
        peer.answer(&request, 302, &[(HeaderName::CONTACT, "<sip:192.0.2.99>".into())]);
        assert_eq!(failed(&mut peer), Some(302));
        let before = peer.now;
        request = peer.next_request();
        let waited = peer.now - before;
        let bound = Duration::from_secs(bound_s);
        assert!((bound / 2..=bound).contains(&waited), "{waited:?} of {bound:?}");
    }
    peer.accept(&request, &[OWN]);
    assert_eq!(registered(&mut peer), Some(3_600));
    request = peer.next_request();
    // After one that succeeded it begins anew; a registrar may ask for more.
    peer.answer(&request, 503, &[(HeaderName::RETRY_AFTER, "100 (busy)".into())]);
    assert_eq!(failed(&mut peer), Some(503));
    let before = peer.now;
    request = peer.next_request();
    assert_eq!(peer.now - before, Duration::from_secs(100));
    peer.answer(&request, 200, &[(HeaderName::EXPIRES, "0".into())]);
    assert_eq!(failed(&mut peer), Some(200), "nothing was granted");
}

#[test]
fn a_registrar_that_is_silent_or_away_is_told_of() {
    let (mut peer, _, _) = begun(Transport::Udp);
    while peer.agent.awaits_answers() {
        peer.now = peer.agent.poll_timeout().unwrap();
        peer.agent.handle_timeout(peer.now);
        while peer.request().is_some() {}
    }
    assert_eq!((failed(&mut peer), peer.now), (Some(408), Duration::from_secs(32)));
    peer.next_request();
    peer.agent.handle_unreachable(peer.now, peer.hop);
    assert_eq!((failed(&mut peer), failed(&mut peer)), (Some(503), None));
    assert!(!peer.agent.awaits_answers() && !peer.agent.is_idle());
}

#[test]
fn whoever_is_not_wanted_any_more_is_taken_back_and_nothing_is_told() {
    let (mut peer, account, request) = begun(Transport::Udp);
    peer.answer(&request, 401, &[challenge("n0", false)]);
    let request = peer.request().unwrap();
    peer.accept(&request, &[OWN]);
    assert!(!peer.agent.awaits_answers());
    peer.agent.unregister(peer.now, account);
    assert_eq!(peer.event(), None, "not even of what was before");
    assert!(peer.agent.awaits_answers());
    let last = peer.request().unwrap();
    assert_eq!(last.headers.get(&HeaderName::EXPIRES), Some("0"));
    let contact = "<sip:a1@192.0.2.1:5060>;expires=0";
    assert_eq!(last.headers.get(&HeaderName::CONTACT), Some(contact));
    assert_eq!(proof(&last), Some(("n0".into(), 2)));
    peer.answer(&last, 401, &[challenge("n1", true)]);
    let last = peer.request().unwrap();
    assert_eq!(proof(&last), Some(("n1".into(), 1)));
    peer.accept(&last, &[]);
    assert!(!peer.agent.awaits_answers());
    assert_eq!((peer.event(), peer.request()), (None, None));
    peer.now += Duration::from_secs(3_600);
    peer.agent.handle_timeout(peer.now);
    assert!(peer.agent.is_idle() && peer.agent.poll_timeout().is_none());
}

#[test]
fn a_register_that_is_on_its_way_is_answered_before_it_is_taken_back() {
    let (mut peer, account, request) = begun(Transport::Udp);
    peer.agent.unregister(peer.now, account);
    assert_eq!(peer.request(), None);
    peer.accept(&request, &[OWN]);
    let last = peer.request().expect("it is taken back");
    assert_eq!(last.headers.get(&HeaderName::EXPIRES), Some("0"));
    assert_eq!(cseq(&last), cseq(&request) + 1);
    peer.agent.handle_unreachable(peer.now, peer.hop);
    assert_eq!((peer.event(), peer.request()), (None, None));
    assert!(!peer.agent.awaits_answers());
    // The registrar has never had it.
    let (mut peer, account, request) = begun(Transport::Udp);
    peer.answer(&request, 403, &[]);
    peer.agent.unregister(peer.now, account);
    assert_eq!((peer.event(), peer.request()), (None, None));
    let (mut peer, account, request) = begun(Transport::Udp);
    peer.agent.unregister(peer.now, account);
    peer.answer(&request, 401, &[challenge("n0", false)]);
    assert_eq!((peer.event(), peer.request()), (None, None));
}

#[test]
fn a_connection_that_is_lost_brings_the_refresh_forward() {
    for (transport, most_s) in [(Transport::Tcp, 30), (Transport::Udp, 3_595)] {
        let (mut peer, _, request) = begun(transport);
        peer.accept(&request, &[]);
        assert_eq!(registered(&mut peer), Some(3_600));
        peer.agent.handle_unreachable(peer.now, peer.hop);
        assert_eq!(peer.event(), None);
        peer.next_request();
        let least_s = if most_s == 30 { 15 } else { 3_595 };
        assert!((least_s..=most_s).contains(&peer.now.as_secs()), "{:?}", peer.now);
    }
}

#[test]
fn a_registrar_that_has_moved_is_asked_where_it_is_now() {
    let (mut peer, account, request) = begun(Transport::Udp);
    while peer.event().is_none() {
        peer.now = peer.agent.poll_timeout().expect("it is given up");
        peer.agent.handle_timeout(peer.now);
        while peer.request().is_some() {}
    }
    peer.hop = Hop { address: "192.0.2.60:5060".parse().unwrap(), ..peer.hop };
    peer.agent.move_registrar(account, peer.hop);
    // Each request is looked at for where it goes.
    let again = peer.next_request();
    assert_eq!(cseq(&again), cseq(&request) + 1);
    peer.accept(&again, &[OWN]);
    assert_eq!(registered(&mut peer), Some(3_600));
}
