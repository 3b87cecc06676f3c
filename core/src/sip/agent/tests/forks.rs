//! One INVITE that several answer.

use bytes::Bytes;

use super::peer::Peer;
use crate::sip::{
    agent::AgentEvent,
    message::{Fields, Request},
    method::Method,
    transport::Transport,
};

/// A call that `fork` can answer several times.
fn call() -> (Peer, Request) {
    let mut peer = Peer::new(Transport::Udp);
    let target = peer.target();
    peer.agent.call(peer.now, target, Bytes::from_static(b"offer"));
    let invite = peer.request().unwrap();
    (peer, invite)
}

/// The end called `tag` answers.
fn fork(peer: &mut Peer, invite: &Request, status: u16, tag: &str) {
    let mut response = invite.response(status, Some(tag));
    let contact = format!("<sip:{tag}@192.0.2.50>");
    response.headers.push(crate::sip::headers::HeaderName::CONTACT, contact);
    peer.agent.handle_bytes(peer.now, peer.hop, &response.to_bytes());
}

fn sent(peer: &mut Peer) -> Vec<String> {
    let all = std::iter::from_fn(|| peer.request());
    all.map(|own| format!("{} {}", own.method, own.to().unwrap().tag().unwrap())).collect()
}

#[test]
fn the_first_that_answers_is_talked_to_and_the_others_are_hung_up_on() {
    let (mut peer, invite) = call();
    for tag in ["a", "b", "c"] {
        fork(&mut peer, &invite, 180, tag);
        assert!(matches!(peer.event(), Some(AgentEvent::Ringing { status: 180, .. })));
    }
    fork(&mut peer, &invite, 200, "b");
    assert_eq!(sent(&mut peer), ["ACK b"]);
    assert!(matches!(peer.event(), Some(AgentEvent::Answered { .. })));
    fork(&mut peer, &invite, 200, "a");
    assert_eq!(sent(&mut peer), ["ACK a", "BYE a"]);
    // Copies are confirmed, and nothing else; what comes late is dealt with no otherwise.
    fork(&mut peer, &invite, 200, "b");
    fork(&mut peer, &invite, 200, "a");
    fork(&mut peer, &invite, 200, "c");
    fork(&mut peer, &invite, 180, "d");
    assert_eq!(sent(&mut peer), ["ACK b", "ACK a", "ACK c", "BYE c"]);
    assert_eq!((peer.event(), peer.agent.calls()), (None, 1));
}

#[test]
fn only_who_rings_is_told_to_ring() {
    let (mut peer, invite) = call();
    for status in [100, 181, 182, 199] {
        fork(&mut peer, &invite, status, "a");
        assert_eq!(peer.event(), None, "{status}");
    }
    fork(&mut peer, &invite, 183, "a");
    assert!(matches!(peer.event(), Some(AgentEvent::Ringing { status: 183, .. })));
}

#[test]
fn a_call_that_is_not_wanted_any_more_is_ended_at_whoever_answers() {
    let (mut peer, invite) = call();
    fork(&mut peer, &invite, 180, "a");
    let Some(AgentEvent::Ringing { call, .. }) = peer.event() else { panic!("no ringing") };
    peer.agent.hang_up(peer.now, call);
    assert_eq!(peer.request().unwrap().method, Method::Cancel);
    for tag in ["a", "b"] {
        fork(&mut peer, &invite, 200, tag);
        assert_eq!(sent(&mut peer), [format!("ACK {tag}"), format!("BYE {tag}")]);
    }
    assert_eq!((peer.event(), peer.agent.calls()), (None, 0));
}
