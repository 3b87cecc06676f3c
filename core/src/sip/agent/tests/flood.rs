//! Many calls from one address, of which none is confirmed.

use std::time::Duration;

use bytes::Bytes;

use super::pair::config;
use crate::sip::{
    ParseLimits,
    agent::{Agent, AgentEvent, CallRef},
    message::{Fields, Message, Response},
    parse,
    transport::{Hop, Transport},
};

const STRANGER: &str = "192.0.2.66:5060";
const FRIEND: &str = "192.0.2.7:5060";

struct Flooded {
    now: Duration,
    agent: Agent,
}

impl Flooded {
    fn new() -> Self {
        let config = config(5060);
        assert_eq!((config.unconfirmed_per_address, config.calls), (4, 10));
        Self { now: Duration::ZERO, agent: Agent::new(config, [7; 32]) }
    }

    /// A request of the call `call` from `address`, and its final answer, if it has one at once.
    fn ask(&mut self, address: &str, method: &str, call: &str, to: &str) -> Option<Response> {
        let source = Hop { transport: Transport::Udp, address: address.parse().unwrap() };
        let number = if method == "BYE" { 2 } else { 1 };
        // The ACK to what is not 2xx has the branch of its INVITE.
        let branch = if to.is_empty() { "INVITE" } else { method };
        let text = format!(
            "{method} sip:talk@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {address};rport;branch=z9hG4bK{branch}{call}\r\n\
             From: <sip:x@{address}>;tag=1\r\nTo: <sip:talk@192.0.2.1>{to}\r\nCall-ID: {call}\r\n\
             CSeq: {number} {method}\r\nContact: <sip:x@{address}>\r\n\r\n"
        );
        self.agent.handle_bytes(self.now, source, text.as_bytes());
        self.sent(source).into_iter().find(Response::is_final)
    }

    fn sent(&mut self, to: Hop) -> Vec<Response> {
        let limits = ParseLimits { message_bytes: 65_535, headers: 100 };
        let all = std::iter::from_fn(|| self.agent.poll_transmit());
        let all = all.filter(|transmit| transmit.hop == to);
        all.filter_map(|transmit| match parse(&transmit.bytes, &limits) {
            Ok(Message::Response(response)) => Some(response),
            _ => None,
        })
        .collect()
    }

    fn incoming(&mut self) -> Option<CallRef> {
        match self.agent.poll_event() {
            Some(AgentEvent::Incoming { call, .. }) => Some(call),
            _ => None,
        }
    }

    /// Has the stranger call `times`; how often it was refused. Others are not taken, or wait for an answer.
    fn flood(&mut self, round: &str, times: usize) -> usize {
        let mut refused = 0;
        for number in 0..times {
            let answer = self.ask(STRANGER, "INVITE", &format!("{round}{number}"), "");
            if let Some(answer) = answer {
                assert_eq!(answer.status, 503);
                let retry_after = crate::sip::headers::HeaderName::RETRY_AFTER;
                assert!(answer.headers.get(&retry_after).is_some());
                refused += 1;
            }
            if let Some(call) = self.incoming().filter(|_| number % 2 == 0) {
                self.agent.reject(self.now, call, 404);
                while self.agent.poll_transmit().is_some() {}
            }
        }
        refused
    }
}

#[test]
fn a_flood_from_one_address_leaves_others_alone() {
    let mut own = Flooded::new();
    assert_eq!(own.flood("a", 300), 296);
    assert_eq!(own.agent.counters().refused, 296);
    // A copy of one that is being answered is none more.
    assert_eq!(own.ask(STRANGER, "INVITE", "a0", "").map(|own| own.status), Some(404));
    assert_eq!(own.ask(FRIEND, "INVITE", "f", ""), None);
    let call = own.incoming().expect("a call");
    own.agent.answer(own.now, call, Bytes::from_static(b"answer"));
    let friend = Hop { transport: Transport::Udp, address: FRIEND.parse().unwrap() };
    let answer = own.sent(friend).pop().expect("an answer");
    let tag = format!(";tag={}", answer.to().unwrap().tag().unwrap());
    assert_eq!(own.flood("b", 300), 300);
    assert_eq!(own.ask(FRIEND, "ACK", "f", &tag), None);
    assert_eq!(own.agent.poll_event(), Some(AgentEvent::Confirmed { call, sdp: None }));
    assert_eq!(own.flood("c", 300), 300);
    assert_eq!(own.ask(FRIEND, "BYE", "f", &tag).map(|own| own.status), Some(200));
}

#[test]
fn whoever_confirms_may_call_on() {
    let mut own = Flooded::new();
    for number in 0..50 {
        let name = format!("f{number}");
        assert_eq!(own.ask(FRIEND, "INVITE", &name, ""), None);
        let call = own.incoming().expect("a call");
        let friend = Hop { transport: Transport::Udp, address: FRIEND.parse().unwrap() };
        if number % 2 == 0 {
            own.agent.reject(own.now, call, 404);
            own.ask(FRIEND, "ACK", &name, "");
            continue;
        }
        own.agent.answer(own.now, call, Bytes::from_static(b"answer"));
        let answer = own.sent(friend).pop().expect("an answer");
        let tag = format!(";tag={}", answer.to().unwrap().tag().unwrap());
        own.ask(FRIEND, "ACK", &name, &tag);
        assert_eq!(own.ask(FRIEND, "BYE", &name, &tag).map(|own| own.status), Some(200));
        while own.agent.poll_event().is_some() {}
    }
}

#[test]
fn a_flood_is_forgotten_when_it_is_over() {
    let mut own = Flooded::new();
    own.flood("a", 10);
    while let Some(at) = own.agent.poll_timeout() {
        own.now = own.now.max(at);
        own.agent.handle_timeout(own.now);
        while own.agent.poll_transmit().is_some() {}
        while own.agent.poll_event().is_some() {}
    }
    assert!(own.agent.is_idle());
    assert_eq!(own.flood("b", 10), 6);
}
