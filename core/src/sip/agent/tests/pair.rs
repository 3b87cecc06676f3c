//! Two agents on a wire that loses, doubles and delays what it is told to, and what their users do.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::Bytes;

use super::registrar::registrar;
use crate::sip::{
    ParseLimits,
    agent::{Account, AccountRef, Agent, AgentConfig, AgentEvent, CallRef, Target},
    digest::Credentials,
    fields::NameAddr,
    message::{Fields, Message},
    method::Method,
    parse,
    transaction::{Timers, TransactionConfig},
    transport::{Hop, Transport},
    uri::Uri,
};

const DELAY: Duration = Duration::from_millis(20);

/// What befalls one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Drop,
    Duplicate,
    /// Comes when others that were sent later have come.
    Delay,
}

pub(super) const FAULTS: [Fault; 3] = [Fault::Drop, Fault::Duplicate, Fault::Delay];

/// What both users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// Called, rung, answered after 300 ms; who called hangs up after 3 s.
    CallerHangsUp,
    /// As before, but who was called hangs up.
    CalledHangsUp,
    /// Both hang up at once.
    BothHangUp,
    /// Who called gives up at 200 ms, before the answer.
    Cancel,
    /// It gives up as the answer is on its way.
    CancelLate,
    /// The call is not taken.
    Reject,
    /// Both change the call at 1 s.
    Glare,
    /// Who called changes it, then hangs up.
    Reoffer,
    /// It rings for longer than a request may go unanswered.
    LateAnswer,
    /// Nobody calls: one end registers with the other, refreshes that once, and takes it back.
    Register,
}

pub(super) const SCRIPTS: [Script; 10] = [
    Script::CallerHangsUp,
    Script::CalledHangsUp,
    Script::BothHangUp,
    Script::Cancel,
    Script::CancelLate,
    Script::Reject,
    Script::Glare,
    Script::Reoffer,
    Script::LateAnswer,
    Script::Register,
];

pub(super) struct End {
    pub(super) agent: Agent,
    hop: Hop,
    pub(super) call: Option<CallRef>,
    account: Option<AccountRef>,
    pub(super) is_up: bool,
    pub(super) events: Vec<String>,
    /// What the user does, and when.
    pub(super) todo: Vec<(Duration, &'static str)>,
}

pub(super) struct Pair {
    pub(super) now: Duration,
    pub(super) ends: [End; 2],
    /// By when it arrives; to which end, and what.
    wire: BTreeMap<(Duration, usize), (usize, Bytes)>,
    pub(super) faults: Vec<(usize, Fault)>,
    pub(super) sent: Vec<String>,
    /// Every message, with who sent it.
    pub(super) messages: Vec<(usize, Message)>,
    pub(super) script: Script,
}

pub(super) fn config(port: u16) -> AgentConfig {
    AgentConfig {
        transactions: TransactionConfig {
            timers: Timers::default(),
            parse_limits: ParseLimits { message_bytes: 65_535, headers: 100 },
            server_transactions: 100,
            server_transactions_per_address: 60,
            host: "192.0.2.1".into(),
            port,
            product: "test".into(),
        },
        calls: 10,
        unconfirmed_per_address: 4,
        answer_within: Duration::from_secs(60),
        session_expires: Duration::from_secs(1_800),
        session_expires_min: Duration::from_secs(90),
        contact: SocketAddr::from(([192, 0, 2, 1], port)),
        registrar: None,
    }
}

fn end(port: u16) -> End {
    let hop = Hop { transport: Transport::Udp, address: SocketAddr::from(([192, 0, 2, 1], port)) };
    let agent = Agent::new(config(port), [port as u8; 32]);
    End {
        agent,
        hop,
        call: None,
        account: None,
        is_up: false,
        events: Vec::new(),
        todo: Vec::new(),
    }
}

impl Pair {
    pub(super) fn new(script: Script, faults: &[(usize, Fault)]) -> Self {
        let mut pair = Self {
            now: Duration::ZERO,
            ends: [end(5060), end(5070)],
            wire: BTreeMap::new(),
            faults: faults.to_vec(),
            sent: Vec::new(),
            messages: Vec::new(),
            script,
        };
        let hop = pair.ends[1].hop;
        if script == Script::Register {
            pair.begin_registration();
            return pair;
        }
        let uri = Uri::parse("sip:talk@192.0.2.1:5070").unwrap();
        let from = NameAddr::parse("<sip:caller@192.0.2.1>").unwrap();
        let target = Target {
            uri,
            hop,
            other: None,
            behind: None,
            from,
            credentials: None,
            contact_user: None,
        };
        let caller = &mut pair.ends[0];
        caller.call = Some(caller.agent.call(pair.now, target, Bytes::from_static(b"offer")));
        let ms = Duration::from_millis;
        match script {
            Script::CallerHangsUp => caller.todo.push((ms(3_000), "hang up")),
            Script::Cancel => caller.todo.push((ms(200), "hang up")),
            Script::CancelLate => caller.todo.push((ms(330), "hang up")),
            Script::Reoffer => {
                caller.todo.extend([(ms(1_000), "offer"), (ms(9_000), "hang up")]);
            }
            Script::Glare => {
                caller.todo.extend([(ms(1_000), "offer"), (ms(60_000), "hang up")]);
                pair.ends[1].todo.push((ms(1_000), "offer"));
            }
            Script::BothHangUp => {
                caller.todo.push((ms(3_000), "hang up"));
                pair.ends[1].todo.push((ms(3_000), "hang up"));
            }
            Script::LateAnswer => caller.todo.push((ms(50_000), "hang up")),
            Script::CalledHangsUp => pair.ends[1].todo.push((ms(3_000), "hang up")),
            Script::Reject | Script::Register => {}
        }
        pair
    }

    fn begin_registration(&mut self) {
        let [client, server] = &mut self.ends;
        let mut config = config(5070);
        config.registrar = Some(registrar(&["talk"]));
        server.agent = Agent::new(config, [70; 32]);
        let credentials = Credentials { user: "talk".into(), password: "secret".into() };
        let account = Account {
            address: Uri::parse("sip:talk@192.0.2.1").unwrap(),
            registrar: Uri::parse("sip:192.0.2.1:5070").unwrap(),
            hop: server.hop,
            contact_user: "own".into(),
            credentials: Some(credentials),
            expires: Duration::from_secs(60),
        };
        client.account = Some(client.agent.register(self.now, account));
        client.todo.push((Duration::from_secs(100), "unregister"));
    }

    /// Has both ends tell and send what they have.
    fn drain(&mut self) {
        for own in 0..2 {
            while let Some(event) = self.ends[own].agent.poll_event() {
                self.handle(own, event);
            }
            while let Some(transmit) = self.ends[own].agent.poll_transmit() {
                let limits = ParseLimits { message_bytes: 65_535, headers: 100 };
                let message = parse(&transmit.bytes, &limits).expect("what is sent can be read");
                let line = match &message {
                    Message::Request(request) => request.method.to_string(),
                    Message::Response(response) => {
                        format!("{} {}", response.status, response.cseq().unwrap().method)
                    }
                };
                let index = self.sent.len();
                self.sent.push(format!("{:?} {own} {line}", self.now));
                self.messages.push((own, message));
                let fault =
                    self.faults.iter().find(|(at, _)| *at == index).map(|(_, fault)| *fault);
                let arrivals: &[Duration] = match fault {
                    None => &[DELAY],
                    Some(Fault::Drop) => &[],
                    Some(Fault::Duplicate) => &[DELAY, Duration::from_millis(21)],
                    Some(Fault::Delay) => &[Duration::from_millis(730)],
                };
                for (copy, delay) in arrivals.iter().enumerate() {
                    let key = (self.now + *delay, 2 * index + copy);
                    self.wire.insert(key, (1 - own, transmit.bytes.clone()));
                }
            }
        }
    }

    fn handle(&mut self, own: usize, event: AgentEvent) {
        let (now, script) = (self.now, self.script);
        let end = &mut self.ends[own];
        let said = format!("{event:?}");
        end.events.push(said.split([' ', '{']).next().unwrap_or_default().to_owned());
        match event {
            AgentEvent::Incoming { call, .. } => {
                end.call = Some(call);
                end.agent.ring(now, call);
                let what = if script == Script::Reject { "reject" } else { "answer" };
                let wait_ms = if script == Script::LateAnswer { 40_000 } else { 300 };
                end.todo.push((now + Duration::from_millis(wait_ms), what));
            }
            AgentEvent::Answered { .. } => end.is_up = true,
            AgentEvent::Offered { call, .. } => {
                end.agent.accept_offer(now, call, Bytes::from_static(b"answer"));
            }
            AgentEvent::Ended { call, .. } => {
                assert_eq!(end.call, Some(call));
                (end.call, end.is_up) = (None, false);
                end.todo.clear();
            }
            AgentEvent::RefreshDue { call } => {
                end.agent.offer(now, call, Bytes::from_static(b"refresh"));
            }
            _ => {}
        }
        end.todo.sort_unstable();
    }

    fn act(&mut self, own: usize, what: &str) {
        let now = self.now;
        let end = &mut self.ends[own];
        if let Some(account) = end.account.filter(|_| what == "unregister") {
            end.agent.unregister(now, account);
        }
        let Some(call) = end.call else { return };
        match what {
            "answer" => {
                end.agent.answer(now, call, Bytes::from_static(b"answer"));
                end.is_up = true;
            }
            "reject" => {
                end.agent.reject(now, call, 486);
                end.call = None;
            }
            "offer" => end.agent.offer(now, call, Bytes::from_static(b"change")),
            _ => {
                end.agent.hang_up(now, call);
                (end.call, end.is_up) = (None, false);
            }
        }
    }

    /// Goes on until nothing is left to happen, or `until`.
    pub(super) fn run(&mut self, until: Duration) {
        for _ in 0..10_000 {
            self.drain();
            let mut next = self.wire.keys().next().map(|(at, _)| *at);
            for end in &self.ends {
                let own = [end.agent.poll_timeout(), end.todo.first().map(|(at, _)| *at)];
                next = [next, own[0], own[1]].into_iter().flatten().min();
            }
            let Some(at) = next.filter(|at| *at <= until) else { return };
            self.now = self.now.max(at);
            let arrived = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now);
            if let Some(entry) = arrived {
                let (own, bytes) = entry.remove();
                let source = self.ends[1 - own].hop;
                self.ends[own].agent.handle_bytes(self.now, source, &bytes);
                continue;
            }
            for own in 0..2 {
                self.ends[own].agent.handle_timeout(self.now);
                while self.ends[own].todo.first().is_some_and(|(at, _)| *at <= self.now) {
                    let (_, what) = self.ends[own].todo.remove(0);
                    self.act(own, what);
                }
            }
        }
        panic!("it goes on and on:\n{}", self.sent[self.sent.len() - 40..].join("\n"));
    }

    /// O15 and O17, as far as the wire and the users tell.
    pub(super) fn check(&self) {
        for (own, end) in self.ends.iter().enumerate() {
            assert!(end.agent.is_idle(), "end {own} is not at rest: {:#?}", end.agent);
            assert_eq!(end.call, None, "end {own} has half a call");
            assert!(end.agent.dialogs.is_empty() && end.agent.servers.is_empty());
            assert_eq!(end.agent.poll_timeout(), None);
        }
        for own in 0..2 {
            let mut last = 0;
            let mut gone = false;
            let mut finals = BTreeMap::new();
            for (_, message) in self.messages.iter().filter(|(sender, _)| *sender == own) {
                match message {
                    Message::Request(request) => {
                        let number = request.cseq().unwrap().number;
                        let is_new = !matches!(request.method, Method::Ack | Method::Cancel);
                        assert!(!is_new || number >= last, "numbers go back: {request}");
                        if is_new {
                            last = number;
                        }
                        // A BYE ends the dialog: nothing new follows, copies do.
                        assert!(!gone || request.method != Method::Invite, "an INVITE after a BYE");
                        gone |= request.method == Method::Bye;
                    }
                    Message::Response(response) if response.is_final() => {
                        let branch = response.top_via().unwrap().params.get("branch");
                        let key = (branch, response.cseq().unwrap().method);
                        let before = finals.insert(key, response.status);
                        assert!(
                            before.is_none_or(|status| status == response.status),
                            "two finals"
                        );
                    }
                    Message::Response(_) => {}
                }
            }
        }
        // Losses are made good: who wanted to talk did.
        let [caller, called] = &self.ends;
        let has = |end: &End, event: &str| end.events.iter().any(|own| own == event);
        if self.script == Script::Register {
            assert_eq!(caller.events, ["Registered", "Registered"]);
            assert_eq!(called.events, ["Bound", "Unbound"]);
            return;
        }
        let is_taken = !matches!(self.script, Script::Cancel | Script::CancelLate | Script::Reject);
        if is_taken {
            assert!(has(caller, "Answered"), "{:?}", caller.events);
            assert!(has(called, "Confirmed"), "{:?}", called.events);
        }
        if matches!(self.script, Script::Glare | Script::Reoffer) {
            assert!(has(caller, "OfferAccepted"), "{:?}", caller.events);
        }
        if self.script == Script::Reject {
            assert_eq!(caller.events.last().map(String::as_str), Some("Ended"));
        }
    }
}

pub(super) fn run(script: Script, faults: &[(usize, Fault)]) -> Pair {
    let mut pair = Pair::new(script, faults);
    if script == Script::Register {
        // What was registered first has been over since a while, but for its refresh.
        pair.run(Duration::from_secs(90));
        let bound = pair.ends[1].agent.binding(pair.now, "talk").expect("a binding");
        assert_eq!(
            (bound.uri.to_string(), bound.hop),
            ("sip:own@192.0.2.1:5060".into(), pair.ends[0].hop)
        );
    }
    pair.run(Duration::from_secs(600));
    pair
}
