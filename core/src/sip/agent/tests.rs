//! Two agents on a wire that loses, doubles and delays what it is told to.

mod peer;
mod proofs;
mod registration;

use std::collections::BTreeMap;

use super::*;
use crate::sip::{
    ParseLimits,
    message::{Fields, Message},
    method::Method,
    parse,
    transaction::Timers,
    transport::Transport,
};

const DELAY: Duration = Duration::from_millis(20);

/// What befalls one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Drop,
    Duplicate,
    /// Comes when others that were sent later have come.
    Delay,
}

const FAULTS: [Fault; 3] = [Fault::Drop, Fault::Duplicate, Fault::Delay];

/// What both users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
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
}

const SCRIPTS: [Script; 8] = [
    Script::CallerHangsUp,
    Script::CalledHangsUp,
    Script::BothHangUp,
    Script::Cancel,
    Script::CancelLate,
    Script::Reject,
    Script::Glare,
    Script::Reoffer,
];

struct End {
    agent: Agent,
    hop: Hop,
    call: Option<CallRef>,
    is_up: bool,
    events: Vec<String>,
    /// What the user does, and when.
    todo: Vec<(Duration, &'static str)>,
}

struct Pair {
    now: Duration,
    ends: [End; 2],
    /// By when it arrives; to which end, and what.
    wire: BTreeMap<(Duration, usize), (usize, Bytes)>,
    faults: Vec<(usize, Fault)>,
    sent: Vec<String>,
    /// Every message, with who sent it.
    messages: Vec<(usize, Message)>,
    script: Script,
}

fn config(port: u16) -> AgentConfig {
    AgentConfig {
        transactions: TransactionConfig {
            timers: Timers::default(),
            parse_limits: ParseLimits { message_bytes: 65_535, headers: 100 },
            server_transactions: 100,
            host: "192.0.2.1".into(),
            port,
            product: "test".into(),
        },
        calls: 10,
        answer_within: Duration::from_secs(60),
        session_expires: Duration::from_secs(1_800),
        session_expires_min: Duration::from_secs(90),
        contact: SocketAddr::from(([192, 0, 2, 1], port)),
    }
}

fn end(port: u16) -> End {
    let hop = Hop { transport: Transport::Udp, address: SocketAddr::from(([192, 0, 2, 1], port)) };
    let agent = Agent::new(config(port), [port as u8; 32]);
    End { agent, hop, call: None, is_up: false, events: Vec::new(), todo: Vec::new() }
}

impl Pair {
    fn new(script: Script, faults: &[(usize, Fault)]) -> Self {
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
        let uri = Uri::parse("sip:talk@192.0.2.1:5070").unwrap();
        let from = NameAddr::parse("<sip:caller@192.0.2.1>").unwrap();
        let target = Target { uri, hop, from, credentials: None, contact_user: None };
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
            Script::CalledHangsUp => pair.ends[1].todo.push((ms(3_000), "hang up")),
            Script::Reject => {}
        }
        pair
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
                end.todo.push((now + Duration::from_millis(300), what));
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
    fn run(&mut self, until: Duration) {
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
    fn check(&self) {
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

fn run(script: Script, faults: &[(usize, Fault)]) -> Pair {
    let mut pair = Pair::new(script, faults);
    pair.run(Duration::from_secs(600));
    pair
}

#[test]
fn calls_go_their_way_when_nothing_is_lost() {
    let lines = |script| {
        let pair = run(script, &[]);
        pair.check();
        let strip = |line: &String| line.split_once(' ').unwrap().1.to_owned();
        pair.sent.iter().map(strip).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        lines(Script::CallerHangsUp),
        "0 INVITE, 1 100 INVITE, 1 180 INVITE, 1 200 INVITE, 0 ACK, 0 BYE, 1 200 BYE"
    );
    assert_eq!(
        lines(Script::CalledHangsUp),
        "0 INVITE, 1 100 INVITE, 1 180 INVITE, 1 200 INVITE, 0 ACK, 1 BYE, 0 200 BYE"
    );
    assert_eq!(
        lines(Script::Cancel),
        "0 INVITE, 1 100 INVITE, 1 180 INVITE, 0 CANCEL, 1 200 CANCEL, 1 487 INVITE, 0 ACK"
    );
    assert_eq!(
        lines(Script::CancelLate),
        "0 INVITE, 1 100 INVITE, 1 180 INVITE, 1 200 INVITE, 0 CANCEL, 0 ACK, 0 BYE, 1 200 CANCEL, 1 200 BYE"
    );
    assert_eq!(lines(Script::Reject), "0 INVITE, 1 100 INVITE, 1 180 INVITE, 1 486 INVITE, 0 ACK");
    assert_eq!(
        lines(Script::Reoffer),
        "0 INVITE, 1 100 INVITE, 1 180 INVITE, 1 200 INVITE, 0 ACK, 0 INVITE, 1 100 INVITE, 1 200 INVITE, 0 ACK, \
         0 BYE, 1 200 BYE"
    );
}

#[test]
fn crossing_changes_are_both_made_one_after_the_other() {
    let pair = run(Script::Glare, &[]);
    pair.check();
    for end in &pair.ends {
        let accepted = end.events.iter().filter(|event| *event == "OfferAccepted").count();
        let offered = end.events.iter().filter(|event| *event == "Offered").count();
        assert_eq!((accepted, offered), (1, 1), "{:?}", end.events);
    }
    assert!(pair.sent.iter().any(|line| line.contains("491")), "{:?}", pair.sent);
}

#[test]
fn no_single_loss_copy_or_delay_leaves_half_a_call() {
    for script in SCRIPTS {
        let messages = run(script, &[]).sent.len();
        for at in 0..messages {
            for fault in FAULTS {
                run(script, &[(at, fault)]).check();
            }
        }
    }
}

#[test]
fn no_two_losses_copies_or_delays_leave_half_a_call() {
    for script in SCRIPTS {
        let messages = run(script, &[]).sent.len();
        for first in 0..messages {
            for second in first + 1..messages + 1 {
                for (one, other) in FAULTS.into_iter().flat_map(|a| FAULTS.map(|b| (a, b))) {
                    run(script, &[(first, one), (second, other)]).check();
                }
            }
        }
    }
}

#[test]
fn a_peer_that_is_gone_ends_the_call_when_its_session_does() {
    let mut pair = Pair::new(Script::CalledHangsUp, &[]);
    pair.ends[1].todo.clear();
    pair.run(Duration::from_secs(10));
    assert!(pair.ends.iter().all(|end| end.is_up));
    // From now on nothing arrives.
    pair.faults = (pair.sent.len()..pair.sent.len() + 1_000).map(|at| (at, Fault::Drop)).collect();
    pair.run(Duration::from_secs(4_000));
    pair.check();
    assert!(pair.now < Duration::from_secs(2_000), "{:?}", pair.now);
}

#[test]
fn a_session_is_refreshed_for_days() {
    let mut pair = Pair::new(Script::CalledHangsUp, &[]);
    pair.ends[0].todo.clear();
    pair.ends[1].todo = Vec::new();
    pair.script = Script::CallerHangsUp;
    let day = Duration::from_secs(24 * 3_600);
    pair.run(day);
    assert!(pair.ends.iter().all(|end| end.is_up), "{:?}", pair.ends[0].events);
    let refreshes = pair.ends.iter().flat_map(|end| &end.events);
    let refreshes = refreshes.filter(|event| *event == "RefreshDue").count();
    assert!((90..=100).contains(&refreshes), "{refreshes} refreshes a day of one in 15 minutes");
}

#[test]
fn a_flood_of_requests_does_not_keep_a_call_from_its_end() {
    let mut pair = Pair::new(Script::CallerHangsUp, &[]);
    pair.run(Duration::from_millis(1_000));
    assert!(pair.ends.iter().all(|end| end.is_up));
    let room = config(0).transactions.server_transactions;
    let stranger = Hop { transport: Transport::Udp, address: "192.0.2.66:5060".parse().unwrap() };
    for number in 0..2 * room {
        let options = format!(
            "OPTIONS sip:talk@192.0.2.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.66;branch=z9hG4bK{number}\r\n\
             From: <sip:x@192.0.2.66>;tag={number}\r\nTo: <sip:talk@192.0.2.1>\r\nCall-ID: {number}\r\n\
             CSeq: 1 OPTIONS\r\n\r\n"
        );
        pair.ends[1].agent.handle_bytes(pair.now, stranger, options.as_bytes());
        while pair.ends[1].agent.poll_transmit().is_some() {}
    }
    assert!(pair.ends[1].agent.counters().refused >= room as u64);
    pair.run(Duration::from_secs(600));
    pair.check();
    assert_eq!(pair.ends[1].events.last().map(String::as_str), Some("Ended"));
    let refused = pair.messages.iter().filter(
        |(_, message)| matches!(message, Message::Response(response) if response.status == 503),
    );
    assert_eq!(refused.count(), 0, "the call's own BYE is refused");
}

#[test]
fn retransmissions_double_up_to_t2_and_end_after_64_t1() {
    let mut pair = Pair::new(Script::CallerHangsUp, &[]);
    pair.faults = (0..1_000).map(|at| (at, Fault::Drop)).collect();
    pair.run(Duration::from_secs(600));
    let times: Vec<_> = pair.sent.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(times, ["0ns", "500ms", "1.5s", "3.5s", "7.5s", "15.5s", "31.5s"]);
    assert_eq!(pair.now, Duration::from_secs(32));
    assert_eq!(pair.ends[0].call, None);
}
