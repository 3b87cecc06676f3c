//! Floods from one address, or from many: calls of others come through.

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
        // The ACK to what is not 2xx has the branch of its INVITE.
        let branch = if method == "ACK" && to.is_empty() { "INVITE" } else { method };
        self.ask_as(address, method, &format!("{branch}{call}"), call, to)
    }

    /// The same, with a branch of its own.
    fn ask_as(
        &mut self,
        address: &str,
        method: &str,
        branch: &str,
        call: &str,
        to: &str,
    ) -> Option<Response> {
        let source = Hop { transport: Transport::Udp, address: address.parse().unwrap() };
        let number = if matches!(method, "BYE" | "INFO") { 2 } else { 1 };
        let text = format!(
            "{method} sip:talk@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {address};rport;branch=z9hG4bK{branch}\r\n\
             From: <sip:x@{address}>;tag=1\r\nTo: <sip:talk@192.0.2.1>{to}\r\nCall-ID: {call}\r\n\
             CSeq: {number} {method}\r\nContact: <sip:x@{address}>\r\n\r\n"
        );
        self.agent.handle_bytes(self.now, source, text.as_bytes());
        self.sent(source).into_iter().find(Response::is_final)
    }

    /// A call of `address` is up; the tag that its requests have.
    fn up(&mut self, address: &str, name: &str) -> String {
        assert_eq!(self.ask(address, "INVITE", name, ""), None);
        let call = self.incoming().expect("a call");
        self.agent.answer(self.now, call, Bytes::from_static(b"answer"));
        let hop = Hop { transport: Transport::Udp, address: address.parse().unwrap() };
        let answer = self.sent(hop).pop().expect("an answer");
        let tag = format!(";tag={}", answer.to().unwrap().tag().unwrap());
        assert_eq!(self.ask(address, "ACK", name, &tag), None);
        assert_eq!(
            self.agent.poll_event(),
            Some(AgentEvent::Confirmed { call, answer: Some(Bytes::new()) })
        );
        tag
    }

    /// Somebody at `address` can call, and hang up.
    fn can_call(&mut self, address: &str, name: &str) {
        let tag = self.up(address, name);
        assert_eq!(self.ask(address, "BYE", name, &tag).map(|own| own.status), Some(200));
        while self.agent.poll_event().is_some() {}
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
    assert_eq!(
        own.agent.poll_event(),
        Some(AgentEvent::Confirmed { call, answer: Some(Bytes::new()) })
    );
    assert_eq!(own.flood("c", 300), 300);
    assert_eq!(own.ask(FRIEND, "BYE", "f", &tag).map(|own| own.status), Some(200));
}

#[test]
fn whoever_confirms_may_call_on() {
    let mut own = Flooded::new();
    for number in 0..30 {
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
fn whatever_else_one_address_asks_for_leaves_others_alone() {
    let mut own = Flooded::new();
    let most = config(5060).transactions.server_transactions_per_address;
    for (round, method) in
        ["OPTIONS", "REGISTER", "INFO", "BYE", "CANCEL", "X", "ACK"].into_iter().enumerate()
    {
        for number in 0..100 {
            own.ask(STRANGER, method, &format!("{method}{number}"), "");
        }
        own.can_call(FRIEND, &format!("f{round}"));
    }
    assert_eq!(own.agent.counters().refused, 600 - most.div_ceil(2) as u64);
    // Responses that nobody waits for.
    let source = Hop { transport: Transport::Udp, address: STRANGER.parse().unwrap() };
    let response = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nFrom: <sip:x@x>;tag=1\r\n\
        To: <sip:y@y>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
    (0..1_000).for_each(|_| own.agent.handle_bytes(own.now, source, response));
    assert_eq!(own.agent.counters().dropped, 1_000);
    own.can_call(FRIEND, "last");
}

#[test]
fn what_one_address_asks_for_within_its_call_leaves_others_alone() {
    let mut own = Flooded::new();
    let tag = own.up(STRANGER, "s");
    let asked = (0..300).filter(|number| {
        let branch = format!("INFO{number}");
        own.ask_as(STRANGER, "INFO", &branch, "s", &tag).is_some_and(|own| own.status != 503)
    });
    let most = config(5060).transactions.server_transactions_per_address;
    assert_eq!(asked.count(), most.div_ceil(4) * 5 - 1);
    own.can_call(FRIEND, "f");
}

#[test]
fn what_does_not_call_leaves_room_for_calls_from_however_many_addresses_it_comes() {
    let mut own = Flooded::new();
    let asked = (0..250).filter(|number| {
        let address = format!("198.51.100.{number}:5060");
        let answer = own.ask(&address, "OPTIONS", &format!("o{number}"), "");
        answer.is_some_and(|own| own.status == 200)
    });
    assert_eq!(asked.count(), config(5060).transactions.server_transactions.div_ceil(2));
    own.can_call(FRIEND, "f");
}

#[test]
fn an_address_that_asks_for_much_can_still_cancel_and_end_its_calls() {
    let mut own = Flooded::new();
    let tag = own.up(STRANGER, "up");
    assert_eq!(own.ask(STRANGER, "INVITE", "rings", ""), None);
    for number in 0..100 {
        own.ask(STRANGER, "OPTIONS", &format!("o{number}"), "");
    }
    let cancelled = own.ask_as(STRANGER, "CANCEL", "INVITErings", "rings", "");
    assert_eq!(cancelled.map(|own| own.status), Some(200));
    assert_eq!(own.ask(STRANGER, "BYE", "up", &tag).map(|own| own.status), Some(200));
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
