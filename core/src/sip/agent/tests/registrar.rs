//! Phones that register: known, refused, reached, forgotten.

use std::time::Duration;

use super::{pair::config, peer::Peer};
use crate::sip::{
    ParseLimits,
    agent::{Agent, AgentEvent},
    digest::{Algorithm, Challenge, Credentials},
    headers::HeaderName,
    message::{Fields, Message, Request, Response},
    method::Method,
    parse,
    registrar::{RegistrarConfig, User},
    transport::{Hop, Transport},
    uri::Uri,
};

const S: Duration = Duration::from_secs(1);
const CONTACT: &str = "<sip:a@192.0.2.50:5060>";

pub(super) fn registrar(users: &[&str]) -> RegistrarConfig {
    let user = |name: &&str| User { name: (*name).into(), password: "secret".into() };
    RegistrarConfig {
        realm: "example.org".into(),
        users: users.iter().map(user).collect(),
        bindings: 3,
        bindings_per_user: 2,
        expires_min: 60 * S,
        sha256: true,
        expires_max: 7_200 * S,
    }
}

/// An agent with whom phones may register, and the numbers of their requests.
struct Registrar {
    peer: Peer,
    cseq: u32,
}

impl Registrar {
    fn new(transport: Transport, users: &[&str]) -> Self {
        let mut peer = Peer::new(transport);
        let mut config = config(5060);
        config.registrar = Some(registrar(users));
        peer.agent = Agent::new(config, [7; 32]);
        Self { peer, cseq: 0 }
    }

    /// A REGISTER of `user`, with other headers as they are given.
    fn request(&mut self, user: &str, headers: &[(HeaderName, &str)]) -> Request {
        self.cseq += 1;
        let uri = Uri::parse("sip:example.org").unwrap();
        let mut request = Request::new(Method::Register, uri);
        for (name, value) in [
            (HeaderName::VIA, format!("SIP/2.0/UDP 10.0.0.5;rport;branch=z9hG4bK{}", self.cseq)),
            (HeaderName::FROM, format!("<sip:{user}@example.org>;tag=1")),
            (HeaderName::TO, format!("<sip:{user}@example.org>")),
            (HeaderName::CALL_ID, "c1".to_owned()),
            (HeaderName::CSEQ, format!("{} REGISTER", self.cseq)),
        ] {
            request.headers.push(name, value);
        }
        for (name, value) in headers {
            request.headers.push(name.clone(), *value);
        }
        request
    }

    fn answer(&mut self, request: &Request) -> Response {
        let Self { peer, .. } = self;
        peer.agent.handle_bytes(peer.now, peer.hop, &request.to_bytes());
        let transmit = peer.agent.poll_transmit().expect("an answer");
        assert_eq!(transmit.hop, peer.hop);
        let limits = ParseLimits { message_bytes: 65_535, headers: 100 };
        match parse(&transmit.bytes, &limits) {
            Ok(Message::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, user: &str, headers: &[(HeaderName, &str)]) -> Response {
        let request = self.request(user, headers);
        self.answer(&request)
    }

    /// Status, and all contacts that are listed.
    fn register(&mut self, user: &str, contact: &str) -> (u16, String) {
        let response = self.ask(user, &[(HeaderName::CONTACT, contact)]);
        (response.status, response.headers.list(&HeaderName::CONTACT).join(", "))
    }

    /// As the first, with a proof of who asks.
    fn prove(&mut self, user: &str, challenge: &Challenge, password: &str, count: u32) -> Response {
        let credentials = Credentials { user: "a".into(), password: password.into() };
        let answer = challenge.answer(&credentials, "REGISTER", "sip:example.org", count, "c");
        let headers = [(HeaderName::CONTACT, CONTACT), (HeaderName::AUTHORIZATION, &*answer)];
        self.ask(user, &headers)
    }

    fn reached(&self, user: &str) -> Option<String> {
        let binding = self.peer.agent.binding(self.peer.now, user)?;
        Some(format!("{} by {}", binding.uri, binding.hop))
    }

    fn wait(&mut self, seconds: u32) {
        let until = self.peer.now + seconds * S;
        while let Some(at) = self.peer.agent.poll_timeout().filter(|at| *at <= until) {
            self.peer.now = self.peer.now.max(at);
            self.peer.agent.handle_timeout(self.peer.now);
        }
        self.peer.now = until;
    }

    fn told(&mut self) -> Vec<String> {
        let events = std::iter::from_fn(|| self.peer.event());
        let written = |event| match event {
            AgentEvent::Bound { user, uri } => format!("+{user} {uri}"),
            AgentEvent::Unbound { user } => format!("-{user}"),
            other => panic!("{other:?}"),
        };
        events.map(written).collect()
    }
}

fn challenges(response: &Response) -> Vec<Challenge> {
    let values = response.headers.all(&HeaderName::WWW_AUTHENTICATE);
    values.map(|value| Challenge::parse(value).unwrap()).collect()
}

#[test]
fn a_phone_is_reached_from_when_it_registers_until_it_does_not_want_to_be() {
    let mut own = Registrar::new(Transport::Udp, &[]);
    assert_eq!(own.register("a", CONTACT), (200, format!("{CONTACT};expires=3600")));
    assert_eq!(own.reached("a").unwrap(), "sip:a@192.0.2.50:5060 by UDP 192.0.2.50:5060");
    assert_eq!((own.reached("b"), own.told()), (None, vec!["+a sip:a@192.0.2.50:5060".into()]));
    own.wait(10);
    let listed = own.ask("a", &[]);
    assert_eq!(listed.contact().unwrap().params.get("expires").as_deref(), Some("3590"));
    // What a contact says itself goes before what the header says.
    let headers =
        [(HeaderName::CONTACT, "<sip:a@192.0.2.50:5060>;expires=99"), (HeaderName::EXPIRES, "70")];
    let refreshed = own.ask("a", &headers);
    assert_eq!(refreshed.contact().unwrap().params.get("expires").as_deref(), Some("99"));
    let other = [(HeaderName::CONTACT, "<sip:a@192.0.2.51>"), (HeaderName::EXPIRES, "70")];
    assert_eq!(own.ask("a", &other).headers.list(&HeaderName::CONTACT).len(), 2);
    assert_eq!(own.reached("a").unwrap(), "sip:a@192.0.2.51 by UDP 192.0.2.51:5060");
    let all = [(HeaderName::CONTACT, "*"), (HeaderName::EXPIRES, "0")];
    let none = own.ask("a", &all);
    assert_eq!((none.status, none.contact(), own.reached("a")), (200, None, None));
    assert_eq!(own.told(), ["+a sip:a@192.0.2.51", "-a"]);
    own.register("a", CONTACT);
    assert_eq!(own.register("a", "<sip:a@192.0.2.50:5060>;expires=0"), (200, String::new()));
    own.register("a", "<sip:a@192.0.2.50:5060>;expires=60");
    own.wait(60);
    assert_eq!(own.told(), ["+a sip:a@192.0.2.50:5060", "-a", "+a sip:a@192.0.2.50:5060", "-a"]);
    own.wait(32);
    assert!(own.peer.agent.is_idle() && own.peer.agent.poll_timeout().is_none());
}

#[test]
fn a_phone_behind_a_nat_or_a_connection_is_reached_by_the_way_it_came() {
    let hidden = "<sip:a@10.0.0.5:5062>";
    let mut own = Registrar::new(Transport::Udp, &[]);
    own.register("a", hidden);
    assert_eq!(own.reached("a").unwrap(), "sip:a@10.0.0.5:5062 by UDP 192.0.2.50:5060");
    own.peer.agent.handle_unreachable(own.peer.now, own.peer.hop);
    assert!(own.reached("a").is_some(), "a datagram that was lost says little");
    let mut own = Registrar::new(Transport::Tcp, &[]);
    own.register("a", "<sip:a@192.0.2.77:5062;transport=tcp>");
    let by = "sip:a@192.0.2.77:5062;transport=tcp by TCP 192.0.2.50:5060";
    assert_eq!(own.reached("a").unwrap(), by);
    own.told();
    own.peer.agent.handle_unreachable(own.peer.now, own.peer.hop);
    assert_eq!((own.reached("a"), own.told()), (None, vec!["-a".into()]));
}

#[test]
fn a_phone_whose_connection_is_lost_is_called_where_it_waits_for_others_on_its_own_host() {
    let mut own = Registrar::new(Transport::Tcp, &[]);
    let lost = own.peer.hop;
    own.register("a", "<sip:a@192.0.2.50:5062;transport=tcp>");
    own.register("b", "<sip:b@192.0.2.77:5062;transport=tcp>");
    own.told();
    own.peer.agent.handle_lost_way(own.peer.now, lost);
    let by = "sip:a@192.0.2.50:5062;transport=tcp by TCP 192.0.2.50:5062";
    assert_eq!(own.reached("a").unwrap(), by);
    assert_eq!((own.reached("b"), own.told()), (None, vec!["-b".into()]));
    let waits = Hop { address: "192.0.2.50:5062".parse().unwrap(), ..lost };
    own.peer.agent.handle_unreachable(own.peer.now, waits);
    assert_eq!((own.reached("a"), own.told()), (None, vec!["-a".into()]));
}

#[test]
fn whoever_registers_has_to_prove_who_it_is_if_users_are_known() {
    let mut own = Registrar::new(Transport::Udp, &["a", "b"]);
    let asked = own.ask("a", &[(HeaderName::CONTACT, CONTACT)]);
    let offered = challenges(&asked);
    let algorithms: Vec<_> = offered.iter().map(|own| own.algorithm).collect();
    assert_eq!((asked.status, algorithms), (401, vec![Algorithm::Sha256, Algorithm::Md5]));
    assert_eq!(own.prove("a", &offered[0], "guess", 1).status, 401);
    assert_eq!(own.prove("b", &offered[0], "secret", 1).status, 403, "that is another's");
    assert_eq!((own.reached("a"), own.told()), (None, vec![]));
    assert_eq!(own.prove("a", &offered[1], "secret", 2).status, 200);
    assert!(own.reached("a").is_some());
    // The same once more is what somebody has overheard; what came too late is told from that.
    let again = own.prove("a", &offered[1], "secret", 2);
    assert_eq!((again.status, challenges(&again)[0].stale), (401, true));
    own.wait(301);
    let old = own.prove("a", &offered[0], "secret", 3);
    assert_eq!((old.status, challenges(&old)[0].stale), (401, true));
    assert_eq!(own.prove("a", &challenges(&old)[0], "secret", 1).status, 200);
    assert!(!challenges(&own.prove("a", &offered[0], "guess", 9))[0].stale);
}

#[test]
fn what_cannot_be_registered_is_refused_with_what_is_wrong() {
    let mut own = Registrar::new(Transport::Udp, &[]);
    let brief = own.ask("a", &[(HeaderName::CONTACT, CONTACT), (HeaderName::EXPIRES, "59")]);
    assert_eq!((brief.status, brief.headers.get(&HeaderName::MIN_EXPIRES)), (423, Some("60")));
    let star = |expires| vec![(HeaderName::CONTACT, "*"), (HeaderName::EXPIRES, expires)];
    assert_eq!(own.ask("a", &star("1")).status, 400);
    assert_eq!(own.ask("a", &[(HeaderName::CONTACT, "*")]).status, 400);
    assert_eq!(own.register("a", "<sips:a@192.0.2.50>").0, 400);
    assert_eq!(own.register("a", &format!("{CONTACT}, <tel:1>")).0, 400, "all or nothing");
    let mut nobody = own.request("a", &[(HeaderName::CONTACT, CONTACT)]);
    nobody.headers.set(HeaderName::TO, "<sip:example.org>");
    assert_eq!(own.answer(&nobody).status, 404);
    let required = [(HeaderName::CONTACT, CONTACT), (HeaderName::REQUIRE, "path")];
    assert_eq!(own.ask("a", &required).status, 420);
    assert_eq!((own.reached("a"), own.told()), (None, vec![]));
    let mut early = own.request("a", &[(HeaderName::CONTACT, CONTACT), (HeaderName::EXPIRES, "0")]);
    assert_eq!(own.register("a", CONTACT).0, 200);
    assert_eq!(own.answer(&early).status, 500, "it was overtaken");
    early.headers.set(HeaderName::CALL_ID, "c2");
    early.headers.replace_first(&HeaderName::VIA, "SIP/2.0/UDP 10.0.0.5;rport;branch=z9hG4bKc2");
    assert_eq!((own.answer(&early).status, own.reached("a")), (200, None));
}

#[test]
fn there_is_room_for_so_many_phones() {
    let mut own = Registrar::new(Transport::Udp, &[]);
    assert_eq!(own.register("a", "<sip:a@192.0.2.1>;expires=90").0, 200);
    assert_eq!(own.register("a", "<sip:a@192.0.2.2>").0, 200);
    let third = own.ask("a", &[(HeaderName::CONTACT, "<sip:a@192.0.2.3>")]);
    assert_eq!((third.status, third.headers.get(&HeaderName::RETRY_AFTER)), (503, Some("90")));
    assert_eq!(own.register("b", "<sip:b@192.0.2.1>").0, 200);
    assert_eq!(own.register("c", "<sip:c@192.0.2.1>").0, 503);
    own.wait(90);
    assert_eq!(own.register("c", "<sip:c@192.0.2.1>").0, 200);
}

#[test]
fn only_a_registrar_says_that_it_is_one() {
    let allows = |own: &mut Registrar, status| {
        let mut options = own.request("a", &[]);
        options.method = Method::Options;
        options.headers.set(HeaderName::CSEQ, "1 OPTIONS");
        let response = own.answer(&options);
        let allow = response.headers.get(&HeaderName::ALLOW).unwrap();
        assert_eq!(response.headers.all(&HeaderName::ALLOW).count(), 1);
        assert_eq!(own.ask("a", &[]).status, status);
        allow.ends_with(", REGISTER")
    };
    assert!(allows(&mut Registrar::new(Transport::Udp, &[]), 200));
    let mut none = Registrar { peer: Peer::new(Transport::Udp), cseq: 0 };
    assert!(!allows(&mut none, 405));
    assert_eq!(none.reached("a"), None);
    let hop = Hop { transport: Transport::Tcp, address: "192.0.2.1:1".parse().unwrap() };
    none.peer.agent.handle_unreachable(S, hop);
}
