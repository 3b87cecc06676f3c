//! What is said within a call, by INFO.

use std::time::Duration;

use bytes::Bytes;

use super::{
    peer::{Peer, challenge, cseq, proof},
    proofs::call,
};
use crate::sip::{agent::CallRef, method::Method, transport::Transport};

const TYPE: &str = "text/plain";

fn say(peer: &mut Peer, call: CallRef, what: &'static str) -> bool {
    peer.agent.send_info(peer.now, call, TYPE, Bytes::from_static(what.as_bytes()))
}

#[test]
fn the_next_is_said_when_the_last_one_is_answered() {
    let (mut peer, call) = call(Transport::Udp);
    assert!(!peer.agent.is_saying(call, TYPE));
    assert!(say(&mut peer, call, "a") && say(&mut peer, call, "b"));
    let first = peer.request().unwrap();
    assert_eq!((&first.method, &first.body[..]), (&Method::Info, &b"a"[..]));
    assert_eq!(peer.request(), None);
    // What is lost is said again, and nothing overtakes it.
    let copy = peer.next_request();
    assert_eq!((cseq(&copy), &copy.body[..]), (cseq(&first), &b"a"[..]));
    peer.answer(&first, 500, &[]);
    let second = peer.request().unwrap();
    assert_eq!((cseq(&second), &second.body[..]), (cseq(&first) + 1, &b"b"[..]));
    assert!(peer.agent.is_saying(call, TYPE) && !peer.agent.is_saying(call, "text/html"));
    peer.answer(&second, 200, &[]);
    assert_eq!(peer.request(), None);
    assert!(!peer.agent.is_saying(call, TYPE));
}

#[test]
fn what_nobody_answers_does_not_hold_up_the_rest_for_ever() {
    let (mut peer, call) = call(Transport::Udp);
    assert!(say(&mut peer, call, "a") && say(&mut peer, call, "b"));
    let first = peer.request().unwrap();
    let next = loop {
        let next = peer.next_request();
        if next.body != first.body {
            break next;
        }
    };
    assert_eq!((&next.body[..], peer.now), (&b"b"[..], Duration::from_secs(32)));
}

#[test]
fn who_wants_to_know_who_says_it_is_told() {
    let (mut peer, call) = call(Transport::Udp);
    assert!(say(&mut peer, call, "a") && say(&mut peer, call, "b"));
    let first = peer.request().unwrap();
    peer.answer(&first, 401, &[challenge("n1", true)]);
    let again = peer.request().unwrap();
    assert_eq!((cseq(&again), &again.body[..]), (cseq(&first) + 1, &b"a"[..]));
    assert_eq!(proof(&again), Some(("n1".to_owned(), 1)));
    // Who does not believe that never will.
    peer.answer(&again, 401, &[challenge("n2", false)]);
    let next = peer.request().unwrap();
    assert_eq!((cseq(&next), &next.body[..]), (cseq(&again) + 1, &b"b"[..]));
}

#[test]
fn so_much_may_wait_to_be_said() {
    let (mut peer, call) = call(Transport::Udp);
    let said = (0..40).filter(|_| say(&mut peer, call, "a")).count();
    assert_eq!(said, 33, "one that is said, and 32 that wait");
}

#[test]
fn who_has_hung_up_says_nothing_more() {
    let (mut peer, call) = call(Transport::Udp);
    assert!(say(&mut peer, call, "a") && say(&mut peer, call, "b"));
    let info = peer.request().unwrap();
    peer.agent.hang_up(peer.now, call);
    let bye = peer.request().unwrap();
    assert_eq!((bye.method.clone(), peer.agent.unsaid()), (Method::Bye, 1));
    assert!(!say(&mut peer, call, "c"));
    let copy = peer.next_request();
    assert_eq!(copy.method, Method::Bye, "no copy of what nobody needs to hear any more");
    peer.answer(&bye, 200, &[]);
    assert!(!peer.agent.awaits_answers());
    peer.answer(&info, 481, &[]);
    while let Some(at) = peer.agent.poll_timeout() {
        peer.agent.handle_timeout(at);
        assert_eq!(peer.request(), None);
    }
    assert!(peer.agent.is_idle());
}
