//! Runs with clients of the application `sip` in which just one thing is broken.

use rehearsal_sim::{
    LinkConfig,
    clients::{
        phone::{Answer, CallEnd, Called, Dialled, PhonePlan, Reply, Voice},
        sip_client::{Callback, Command, Order, SipClientPlan, TalkEnd},
    },
};

use super::*;

/// A client that calls a phone, dials, and hangs up.
static CLIENTS: Scenario = Scenario {
    name: "oracles/clients",
    about: "",
    parity: false,
    heavy: false,
    plan: |_| {
        let mut plan = Plan::empty();
        let reply = Reply { rings_ms: Some(100), after_ms: 500, answer: Answer::Accept };
        let (replies, away_ms) = (vec![reply], Vec::new());
        let alice = PhonePlan {
            dial: "alice".to_owned(),
            called: Some(Called { replies, proof: None, registrar: None, away_ms }),
            voice: Some(Voice { stream: "bob/remote".to_owned(), epoch: 1 }),
            digits: vec![Dialled { at_ms: 3_000, digit: '7', lost: 0 }],
            leave_ms: 50_000,
            ..PhonePlan::default()
        };
        let order = |at_ms, command| Order { at_ms, command };
        let bob = SipClientPlan {
            address: "bob@studio".to_owned(),
            voice: Some(Voice { stream: "bob/local".to_owned(), epoch: 1 }),
            listens: Some("bob/remote".to_owned()),
            orders: vec![
                order(500, Command::Invite("sip:alice@alice".to_owned())),
                order(5_000, Command::SendDtmf('5')),
                order(9_000, Command::Bye),
            ],
            leave_ms: 12_000,
            ..SipClientPlan::default()
        };
        plan.phone("alice", LinkConfig::lan(), alice);
        plan.sip_client("bob", LinkConfig::lan(), bob);
        plan
    },
    check: |_| Vec::new(),
};

const O8: &str = "O8 bounded liveness";
const O17: &str = "O17 call agreement";
const O20: &str = "O20 DTMF exactly once";

/// What is broken in [`CLIENTS`], and how.
pub(super) const PLANTED_CLIENTS: &[Planted] = &[
    (O8, "a command is never answered", &CLIENTS, |seen| {
        seen.sip_clients[0].ordered[1].answered = None;
    }),
    (O8, "a command is answered late", &CLIENTS, |seen| {
        let (at, _) = seen.sip_clients[0].ordered[1].answered.as_mut().unwrap();
        *at += 1_000 * MS;
    }),
    (O8, "connect is answered late", &CLIENTS, |seen| {
        seen.sip_clients[0].connected.as_mut().unwrap().0 += 5_000 * MS;
    }),
    (O17, "a client is told what does not follow", &CLIENTS, |seen| {
        seen.sip_clients[0].surprises.push("at 1s came Byed".to_owned());
    }),
    (O17, "a client is not told that nobody calls any more", &CLIENTS, |seen| {
        seen.phones[0].answered_at = None;
        seen.phones[0].ended = Some((2_000 * MS, CallEnd::Cancelled));
        seen.sip_clients[0].talks[0].up_at = None;
    }),
    (O17, "a call is up for the phone alone", &CLIENTS, |seen| {
        seen.sip_clients[0].talks[0].up_at = None;
    }),
    (O17, "a call is up for the client alone", &CLIENTS, |seen| {
        seen.phones[0].answered_at = None;
    }),
    (O17, "a call is up for the client late", &CLIENTS, |seen| {
        *seen.sip_clients[0].talks[0].up_at.as_mut().unwrap() += 1_000 * MS;
    }),
    (O17, "a call goes on for the phone", &CLIENTS, |seen| seen.phones[0].ended = None),
    (O17, "a call is over for the phone alone", &CLIENTS, |seen| {
        seen.phones[0].ended.as_mut().unwrap().0 -= 3_000 * MS;
    }),
    (O17, "a call is over for the client alone", &CLIENTS, |seen| {
        let over = seen.phones[0].ended.unwrap().0;
        seen.sip_clients[0].talks[0].ended = Some((over - 3_000 * MS, TalkEnd::Told));
    }),
    (O17, "a phone is not hung up on whose client is gone", &CLIENTS, |seen| {
        seen.plan.fault(9_000, "bob", Lever::Crash);
        seen.plan.terms.faulty.push("bob".to_owned());
        (seen.plan.config.rtmp.ping_ms, seen.plan.config.rtmp.ping_timeout_ms) = (5_000, 5_000);
        seen.phones[0].ended = None;
    }),
    (O17, "a client is not told that its phone is gone", &CLIENTS, |seen| {
        seen.plan.fault(0, "alice", Lever::Crash);
        seen.plan.terms.faulty.push("alice".to_owned());
        (seen.plan.config.rtp.silence_ms, seen.plan.config.sip.ring_ms) = (1_000, 1_000);
        seen.plan.config.sip.t1_ms = 20;
    }),
    (O19, "a client lacks what was said", &CLIENTS, |seen| {
        seen.sip_clients[0].received.remove(20);
    }),
    (O19, "a client hears a stranger", &CLIENTS, |seen| {
        let last = seen.sip_clients[0].received.last_mut().unwrap();
        last.stamp.as_mut().unwrap().epoch = 77;
    }),
    (O19, "a client hears what is torn", &CLIENTS, |seen| {
        let (promise, what) = (Promise::Integrity, "torn".to_owned());
        seen.sip_clients[0].violations.push(Breach { promise, what });
    }),
    (O19, "a phone hears what its client has not said", &CLIENTS, |seen| {
        seen.sip_clients[0].sent.truncate(100);
    }),
    (O20, "a digit of a client is not heard", &CLIENTS, |seen| seen.phones[0].tones.clear()),
    (O20, "a digit of a client never ends", &CLIENTS, |seen| {
        seen.phones[0].tones.iter_mut().for_each(|tone| tone.is_end = false);
    }),
    (O20, "a client is not told of a digit", &CLIENTS, |seen| {
        let is_digit = |told: &Callback| matches!(told, Callback::Dtmf(_));
        seen.sip_clients[0].callbacks.retain(|(_, told)| !is_digit(told));
    }),
];
