//! Calls over TCP whose connection is lost, or which go on by another one: where the phone is reached then.

use std::time::Duration;

use bytes::Bytes;

use super::{
    pair::config,
    peer::{challenge, credentials},
};
use crate::sip::{
    ParseLimits,
    agent::{Agent, AgentConfig, AgentEvent, CallRef, Target},
    fields::NameAddr,
    headers::HeaderName,
    message::{Fields, Message, Request},
    method::Method,
    parse,
    transport::{Hop, Transport},
    uri::Uri,
};

/// Where the phone says that it waits for connections.
const WAITS: u16 = 5060;
/// The one by which it has called.
const FIRST: u16 = 40_001;

fn hop(port: u16) -> Hop {
    Hop { transport: Transport::Tcp, address: ([192, 0, 2, 7], port).into() }
}

/// An agent that a phone has called by its first connection.
struct Called {
    agent: Agent,
    call: CallRef,
    tag: String,
}

impl Called {
    fn new() -> Self {
        Self::confirmed_by(FIRST)
    }

    /// By the connection from `port`.
    fn confirmed_by(port: u16) -> Self {
        let mut agent = Agent::new(config(5060), [7; 32]);
        say(&mut agent, FIRST, "INVITE", 1, "");
        let Some(AgentEvent::Incoming { call, .. }) = agent.poll_event() else { panic!("no call") };
        agent.answer(Duration::ZERO, call, Bytes::from_static(b"answer"));
        let answer = sent(&mut agent).pop().expect("an answer");
        let Message::Response(response) = answer.1 else { panic!("no answer") };
        let tag = format!(";tag={}", response.to().unwrap().tag().unwrap());
        say(&mut agent, port, "ACK", 1, &tag);
        assert_eq!(
            agent.poll_event(),
            Some(AgentEvent::Confirmed { call, answer: Some(Bytes::new()) })
        );
        Self { agent, call, tag }
    }

    /// Where the agent sends the BYE when it ends the call.
    fn bye(mut self) -> Vec<Hop> {
        sent(&mut self.agent);
        self.agent.hang_up(Duration::ZERO, self.call);
        let is_bye = |message: &Message| matches!(message, Message::Request(request) if request.method == Method::Bye);
        let all = sent(&mut self.agent).into_iter();
        all.filter(|(_, message)| is_bye(message)).map(|(hop, _)| hop).collect()
    }
}

#[test]
fn a_caller_is_told_each_minute_that_it_rings() {
    let answer_within = Duration::from_secs(200);
    let mut agent = Agent::new(AgentConfig { answer_within, ..config(5060) }, [7; 32]);
    say(&mut agent, FIRST, "INVITE", 1, "");
    let Some(AgentEvent::Incoming { call, .. }) = agent.poll_event() else { panic!("no call") };
    sent(&mut agent);
    agent.ring(Duration::ZERO, call);
    let rings = |agent: &mut Agent| {
        let all = sent(agent).into_iter();
        all.filter(|(_, it)| matches!(it, Message::Response(it) if it.status == 180)).count()
    };
    assert_eq!(rings(&mut agent), 1);
    let told = (1..150).filter(|second| {
        agent.handle_timeout(Duration::from_secs(*second));
        rings(&mut agent) == 1
    });
    assert_eq!(told.collect::<Vec<u64>>(), [60, 120]);
}

/// The phone says something by its connection from `port`.
fn say(agent: &mut Agent, port: u16, method: &str, number: u32, tag: &str) {
    let text = format!(
        "{method} sip:talk@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/TCP 192.0.2.7:{WAITS};branch=z9hG4bK{method}{number}\r\n\
         From: <sip:x@192.0.2.7>;tag=1\r\nTo: <sip:talk@192.0.2.1>{tag}\r\nCall-ID: c1\r\n\
         CSeq: {number} {method}\r\nContact: <sip:x@192.0.2.7:{WAITS};transport=tcp>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    agent.handle_bytes(Duration::ZERO, hop(port), text.as_bytes());
}

fn sent(agent: &mut Agent) -> Vec<(Hop, Message)> {
    let limits = ParseLimits { message_bytes: 65_535, headers: 100 };
    let all = std::iter::from_fn(|| agent.poll_transmit());
    all.map(|transmit| (transmit.hop, parse(&transmit.bytes, &limits).unwrap())).collect()
}

#[test]
fn a_phone_is_reached_by_its_connection_as_long_as_that_is_there() {
    assert_eq!(Called::new().bye(), [hop(FIRST)]);
}

#[test]
fn a_phone_whose_connection_is_lost_is_reached_where_it_waits_for_others() {
    let mut own = Called::new();
    own.agent.handle_lost_way(Duration::ZERO, hop(FIRST));
    assert_eq!(own.bye(), [hop(WAITS)]);
    let mut own = Called::new();
    own.agent.handle_lost_way(Duration::ZERO, hop(FIRST + 1));
    assert_eq!(own.bye(), [hop(FIRST)], "that is another's");
}

#[test]
fn a_phone_that_goes_on_by_another_connection_is_reached_by_that() {
    assert_eq!(Called::confirmed_by(FIRST + 1).bye(), [hop(FIRST + 1)]);
    let mut own = Called::new();
    let tag = own.tag.clone();
    say(&mut own.agent, FIRST + 1, "INFO", 2, &tag);
    assert_eq!(own.bye(), [hop(FIRST + 1)]);
    // By one of which only a copy comes, too.
    let mut own = Called::new();
    let tag = own.tag.clone();
    say(&mut own.agent, FIRST, "INFO", 2, &tag);
    own.agent.handle_timeout(Duration::ZERO);
    say(&mut own.agent, FIRST + 1, "INFO", 2, &tag);
    assert_eq!(own.bye(), [hop(FIRST + 1)]);
    // What was overtaken moves nothing.
    let mut own = Called::new();
    let tag = own.tag.clone();
    say(&mut own.agent, FIRST + 1, "INFO", 3, &tag);
    say(&mut own.agent, FIRST + 2, "INFO", 2, &tag);
    assert_eq!(own.bye(), [hop(FIRST + 1)]);
}

/// An agent that calls a phone by the connection that the phone has registered by.
struct Calling {
    agent: Agent,
    call: CallRef,
    /// What waits for an answer.
    asked: Request,
}

impl Calling {
    fn new() -> Self {
        Self::of_phone(true)
    }

    /// `waits`: the phone waits for connections where it says that it is.
    fn of_phone(waits: bool) -> Self {
        let mut agent = Agent::new(config(5060), [7; 32]);
        let said = format!("sip:x@192.0.2.7:{WAITS};transport=tcp");
        let target = Target {
            uri: Uri::parse(&said).unwrap(),
            hop: hop(FIRST),
            other: hop(FIRST).other(hop(WAITS).address).filter(|_| waits),
            behind: None,
            from: NameAddr::parse("<sip:talk@192.0.2.1>").unwrap(),
            credentials: Some(credentials()),
            contact_user: None,
        };
        let call = agent.call(Duration::ZERO, target, Bytes::from_static(b"offer"));
        let mut own =
            Self { agent, call, asked: Request::new(Method::Invite, Uri::parse(&said).unwrap()) };
        own.asked = own.requests_to(FIRST).pop().expect("an INVITE");
        own
    }

    /// What is asked, all of it of the one at `port`.
    fn requests_to(&mut self, port: u16) -> Vec<Request> {
        let asked = sent(&mut self.agent).into_iter().map(|(to, message)| {
            assert_eq!(to, hop(port), "{message:?}");
            let Message::Request(request) = message else { panic!("{message:?}") };
            request
        });
        asked.collect()
    }

    fn lose(&mut self, port: u16) {
        self.agent.handle_lost_way(Duration::ZERO, hop(port));
    }

    /// By the connection at `port`.
    fn answer(&mut self, port: u16, status: u16, header: (HeaderName, String)) {
        let mut response = self.asked.response(status, Some("far"));
        response.headers.push(header.0, header.1);
        self.agent.handle_bytes(Duration::ZERO, hop(port), &response.to_bytes());
    }

    fn accept(&mut self, port: u16) {
        let contact = format!("<sip:x@192.0.2.7:{WAITS};transport=tcp>");
        self.answer(port, 200, (HeaderName::CONTACT, contact));
    }

    fn ring(&mut self, port: u16) {
        self.answer(port, 180, (HeaderName::ALLOW, "INVITE".into()));
    }
}

fn methods(requests: &[Request]) -> Vec<Method> {
    requests.iter().map(|request| request.method.clone()).collect()
}

#[test]
fn a_call_goes_on_by_the_connection_that_it_is_taken_by() {
    let mut own = Calling::new();
    own.lose(FIRST);
    assert_eq!(methods(&own.requests_to(WAITS)), [Method::Invite]);
    own.accept(WAITS);
    assert_eq!(methods(&own.requests_to(WAITS)), [Method::Ack]);
    // A copy may take another one.
    own.accept(FIRST + 1);
    assert_eq!(methods(&own.requests_to(FIRST + 1)), [Method::Ack]);
    own.agent.hang_up(Duration::ZERO, own.call);
    assert_eq!(methods(&own.requests_to(WAITS)), [Method::Bye]);
}

#[test]
fn a_phone_that_rings_answers_by_another_connection_though_its_own_is_lost_and_it_waits_for_none() {
    let mut own = Calling::of_phone(false);
    own.ring(FIRST);
    own.lose(FIRST);
    assert_eq!(own.requests_to(FIRST), []);
    own.accept(FIRST + 1);
    assert_eq!(methods(&own.requests_to(FIRST + 1)), [Method::Ack]);
    own.agent.hang_up(Duration::ZERO, own.call);
    assert_eq!(methods(&own.requests_to(FIRST + 1)), [Method::Bye]);
}

#[test]
fn a_phone_that_rings_and_is_not_heard_of_again_is_given_up() {
    let mut own = Calling::of_phone(false);
    own.ring(FIRST);
    let ringing = own.agent.poll_event();
    assert!(matches!(ringing, Some(AgentEvent::Ringing { .. })));
    own.lose(FIRST);
    let cancel_at = own.agent.poll_timeout().expect("a time to give up");
    assert_eq!(cancel_at, Duration::from_secs(32));
    own.agent.handle_timeout(cancel_at);
    assert_eq!(methods(&own.requests_to(FIRST)), [Method::Cancel]);
    own.agent.handle_unreachable(cancel_at, hop(FIRST));
    assert!(matches!(own.agent.poll_event(), Some(AgentEvent::Ended { .. })));
    assert!(own.agent.is_idle());
}

#[test]
fn a_phone_that_says_nothing_when_its_connection_is_lost_is_given_up_soon() {
    let mut own = Calling::of_phone(false);
    own.lose(FIRST);
    assert_eq!(own.agent.poll_event(), None);
    let given_up_at = own.agent.poll_timeout().expect("a time to give up");
    assert_eq!(given_up_at, Duration::from_secs(4));
    own.agent.handle_timeout(given_up_at);
    assert!(matches!(own.agent.poll_event(), Some(AgentEvent::Ended { .. })));
    assert!(own.agent.is_idle());
    // One that cannot be connected to has never heard of it.
    let mut own = Calling::of_phone(false);
    own.agent.handle_unreachable(Duration::ZERO, hop(FIRST));
    assert!(matches!(own.agent.poll_event(), Some(AgentEvent::Ended { .. })));
}

#[test]
fn a_phone_answers_by_another_connection_though_nothing_has_come_by_its_first_one() {
    let mut own = Calling::of_phone(false);
    own.lose(FIRST);
    own.ring(FIRST + 1);
    own.agent.handle_timeout(Duration::from_secs(4));
    own.accept(FIRST + 1);
    assert_eq!(methods(&own.requests_to(FIRST + 1)), [Method::Ack]);
}

#[test]
fn a_call_is_proven_by_the_connection_that_the_proof_is_wanted_by() {
    let mut own = Calling::new();
    own.lose(FIRST);
    own.requests_to(WAITS);
    own.answer(WAITS, 401, challenge("n", false));
    let proven = own.requests_to(WAITS);
    assert_eq!(methods(&proven), [Method::Ack, Method::Invite]);
}

#[test]
fn an_end_is_proven_by_the_connection_that_the_proof_is_wanted_by() {
    let mut own = Calling::new();
    own.answer(FIRST, 401, challenge("n", false));
    own.asked = own.requests_to(FIRST).pop().expect("an INVITE");
    own.accept(FIRST);
    own.requests_to(FIRST);
    own.agent.hang_up(Duration::ZERO, own.call);
    own.asked = own.requests_to(FIRST).pop().expect("a BYE");
    own.lose(FIRST);
    assert_eq!(methods(&own.requests_to(WAITS)), [Method::Bye]);
    own.answer(WAITS, 401, challenge("m", true));
    assert_eq!(methods(&own.requests_to(WAITS)), [Method::Bye]);
}

#[test]
fn an_answer_that_nobody_wants_is_confirmed_again_by_another_connection() {
    let mut own = Calling::new();
    own.ring(FIRST);
    own.agent.hang_up(Duration::ZERO, own.call);
    assert_eq!(methods(&own.requests_to(FIRST)), [Method::Cancel]);
    own.accept(FIRST);
    assert_eq!(methods(&own.requests_to(FIRST)), [Method::Ack, Method::Bye]);
    own.lose(FIRST);
    // The answers to both may be lost with it.
    assert_eq!(methods(&own.requests_to(WAITS)), [Method::Cancel, Method::Bye]);
    own.accept(WAITS);
    assert_eq!(methods(&own.requests_to(WAITS)), [Method::Ack]);
}
