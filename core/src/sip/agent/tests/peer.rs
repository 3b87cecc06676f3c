//! An agent whose peer is the test itself: it reads what is sent, and says what is answered.

use std::time::Duration;

use super::pair::config;
use crate::sip::{
    ParseLimits,
    agent::{Agent, AgentEvent, Target},
    digest::{Answer, Challenge, Credentials},
    fields::NameAddr,
    headers::HeaderName,
    message::{Fields, Message, Request},
    parse,
    transport::{Hop, Transport},
    uri::Uri,
};

pub(super) const REALM: &str = "example.org";

pub(super) struct Peer {
    pub(super) now: Duration,
    pub(super) agent: Agent,
    pub(super) hop: Hop,
}

pub(super) fn credentials() -> Credentials {
    Credentials { user: "talk".into(), password: "secret".into() }
}

/// A challenge with `nonce`.
pub(super) fn challenge(nonce: &str, stale: bool) -> (HeaderName, String) {
    let algorithm = crate::sip::digest::Algorithm::Sha256;
    let (realm, nonce) = (REALM.to_owned(), nonce.to_owned());
    let challenge = Challenge { realm, nonce, opaque: None, algorithm, qop_auth: true, stale };
    (HeaderName::WWW_AUTHENTICATE, challenge.to_header())
}

/// Nonce and count of what `request` proves.
pub(super) fn proof(request: &Request) -> Option<(String, u32)> {
    let answer = Answer::parse(request.headers.get(&HeaderName::AUTHORIZATION)?)?;
    assert!(answer.proves("secret", request.method.as_str()), "{answer:?}");
    Some((answer.nonce.clone(), answer.count?))
}

impl Peer {
    pub(super) fn new(transport: Transport) -> Self {
        let hop = Hop { transport, address: "192.0.2.50:5060".parse().unwrap() };
        Self { now: Duration::ZERO, agent: Agent::new(config(5060), [7; 32]), hop }
    }

    /// Whom the agent calls when it calls this one, who proves nothing.
    pub(super) fn target(&self) -> Target {
        Target {
            uri: Uri::parse("sip:far@example.org").unwrap(),
            hop: self.hop,
            other: None,
            behind: None,
            from: NameAddr::parse("<sip:talk@example.org>").unwrap(),
            credentials: None,
            contact_user: None,
        }
    }

    /// The next request that the agent sends, if it sends one now.
    pub(super) fn request(&mut self) -> Option<Request> {
        let transmit = self.agent.poll_transmit()?;
        assert_eq!(transmit.hop, self.hop);
        let limits = ParseLimits { message_bytes: 65_535, headers: 100 };
        match parse(&transmit.bytes, &limits) {
            Ok(Message::Request(request)) => Some(request),
            other => panic!("no request: {other:?}"),
        }
    }

    /// Answers `request`.
    pub(super) fn answer(
        &mut self,
        request: &Request,
        status: u16,
        headers: &[(HeaderName, String)],
    ) {
        let mut response = request.response(status, Some("far"));
        for (name, value) in headers {
            response.headers.push(name.clone(), value.clone());
        }
        self.agent.handle_bytes(self.now, self.hop, &response.to_bytes());
    }

    /// Answers `request` with 200, and each of `contacts`.
    pub(super) fn accept(&mut self, request: &Request, contacts: &[&str]) {
        let contacts = contacts.iter().map(|own| (HeaderName::CONTACT, (*own).to_owned()));
        self.answer(request, 200, &contacts.collect::<Vec<_>>());
    }

    pub(super) fn event(&mut self) -> Option<AgentEvent> {
        self.agent.poll_event()
    }

    /// Lets time go on until the agent sends something.
    pub(super) fn next_request(&mut self) -> Request {
        loop {
            if let Some(request) = self.request() {
                return request;
            }
            self.now = self.agent.poll_timeout().expect("there is something to wait for");
            self.agent.handle_timeout(self.now);
        }
    }
}

pub(super) fn cseq(request: &Request) -> u32 {
    request.cseq().unwrap().number
}
