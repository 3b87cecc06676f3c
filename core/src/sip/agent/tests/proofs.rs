//! What is proven of who calls, in a call of many requests; and by which Contact it is reached.

use std::time::Duration;

use bytes::Bytes;

use super::peer::{Peer, challenge, credentials, cseq, proof};
use crate::sip::{
    agent::{AgentEvent, CallRef, Target},
    message::{Fields, Request},
    method::Method,
    transport::Transport,
};

const CONTACT: &str = "<sip:far@192.0.2.50>";

/// A call that is up, whose caller was asked for a proof with `n0`.
pub(super) fn call(transport: Transport) -> (Peer, CallRef) {
    let mut peer = Peer::new(transport);
    let target = Target {
        credentials: Some(credentials()),
        contact_user: Some("a1".into()),
        ..peer.target()
    };
    let call = peer.agent.call(peer.now, target, Bytes::from_static(b"offer"));
    let invite = peer.request().unwrap();
    peer.answer(&invite, 401, &[challenge("n0", false)]);
    assert_eq!(peer.request().unwrap().method, Method::Ack);
    let invite = peer.request().unwrap();
    peer.accept(&invite, &[CONTACT]);
    assert_eq!(peer.request().unwrap().method, Method::Ack);
    assert!(matches!(peer.event(), Some(AgentEvent::Answered { .. })));
    (peer, call)
}

pub(super) fn change(peer: &mut Peer, call: CallRef) -> Request {
    peer.agent.offer(peer.now, call, Bytes::from_static(b"change"));
    peer.request().unwrap()
}

#[test]
fn every_change_of_a_long_call_can_be_proven() {
    let (mut peer, call) = call(Transport::Udp);
    for number in 1..20 {
        peer.now += Duration::from_secs(60);
        peer.agent.handle_timeout(peer.now);
        let invite = change(&mut peer, call);
        let before = if number == 1 { "n0".to_owned() } else { format!("n{}", number - 1) };
        assert_eq!(proof(&invite), Some((before, 2)));
        let nonce = format!("n{number}");
        peer.answer(&invite, 401, &[challenge(&nonce, number % 2 == 0)]);
        assert_eq!(peer.request().unwrap().method, Method::Ack);
        let again = peer.request().expect("the change once more");
        assert_eq!((proof(&again), cseq(&again)), (Some((nonce, 1)), cseq(&invite) + 1));
        peer.accept(&again, &[CONTACT]);
        let ack = peer.request().unwrap();
        assert_eq!((ack.method.clone(), cseq(&ack)), (Method::Ack, cseq(&again)));
        assert!(matches!(peer.event(), Some(AgentEvent::OfferAccepted { .. })));
    }
}

#[test]
fn a_change_whose_proof_is_wrong_is_refused() {
    let (mut peer, call) = call(Transport::Udp);
    let invite = change(&mut peer, call);
    peer.answer(&invite, 401, &[challenge("n1", false)]);
    peer.request().unwrap();
    let again = peer.request().unwrap();
    peer.answer(&again, 401, &[challenge("n2", false)]);
    assert_eq!(peer.event(), Some(AgentEvent::OfferRefused { call, status: 401 }));
    assert_eq!(peer.request().unwrap().method, Method::Ack);
    assert_eq!(peer.request(), None);
    assert_eq!(proof(&change(&mut peer, call)), Some(("n1".into(), 2)));
}

#[test]
fn a_bye_that_has_to_be_proven_is_sent_once_more() {
    let (mut peer, call) = call(Transport::Udp);
    peer.agent.hang_up(peer.now, call);
    let bye = peer.request().unwrap();
    assert_eq!(proof(&bye), Some(("n0".into(), 2)));
    peer.answer(&bye, 401, &[challenge("n1", true)]);
    let again = peer.request().expect("the BYE once more");
    assert_eq!((proof(&again), cseq(&again)), (Some(("n1".into(), 1)), cseq(&bye) + 1));
    assert!(peer.agent.awaits_answers());
    peer.answer(&again, 401, &[challenge("n2", false)]);
    assert_eq!(peer.request(), None);
    assert!(!peer.agent.awaits_answers());
}

#[test]
fn the_user_part_of_the_contact_is_kept_in_the_call() {
    for (transport, uri) in [
        (Transport::Udp, "sip:a1@192.0.2.1:5060"),
        (Transport::Tcp, "sip:a1@192.0.2.1:5060;transport=tcp"),
    ] {
        let (mut peer, call) = call(transport);
        let invite = change(&mut peer, call);
        assert_eq!(invite.contact().unwrap().uri.to_string(), uri);
    }
}

#[test]
fn who_is_called_is_reached_by_the_user_that_was_called() {
    let mut peer = Peer::new(Transport::Udp);
    let invite = "INVITE sip:talk%20here@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50;branch=z9hG4bK1\r\n\
         From: <sip:x@192.0.2.50>;tag=1\r\nTo: <sip:talk@192.0.2.1>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:x@192.0.2.50>\r\n\r\n";
    peer.agent.handle_bytes(peer.now, peer.hop, invite.as_bytes());
    let Some(AgentEvent::Incoming { call, .. }) = peer.event() else { panic!("no call") };
    peer.agent.ring(peer.now, call);
    peer.agent.answer(peer.now, call, Bytes::from_static(b"answer"));
    let sent = std::iter::from_fn(|| peer.agent.poll_transmit());
    let contacts = sent.map(|own| {
        let text = String::from_utf8(own.bytes.to_vec()).unwrap();
        text.lines().find(|line| line.starts_with("Contact")).unwrap_or_default().to_owned()
    });
    let own = "Contact: <sip:talk%20here@192.0.2.1:5060>";
    assert_eq!(contacts.collect::<Vec<_>>(), ["", own, own]);
}
