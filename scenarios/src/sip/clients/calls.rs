//! Calls that clients make and take: both ends hear each other, and dial.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        phone::{Answer, Codec, Dialled, PhonePlan, PhoneReport, Reply},
        sip_client::{Command, Reaction, SipClientPlan, SipClientReport},
    },
};

use super::{add, are_done, called_by, client, exchange, invite, is_told, order, registered};
use crate::{catalogue::Scenario, live::unless, oracles::Violation, plan::Plan, sip::ends};

/// What is dialled one way and the other.
const DIALLED: [char; 3] = ['5', '#', '1'];
const ANSWERED_WITH: [char; 3] = ['7', '7', 'D'];

/// What the phone dials in its call.
fn digits(rng: &mut Rng) -> Vec<Dialled> {
    let times = (0..).map(|index| 2_000 + index * 700);
    let dialled = times.zip(ANSWERED_WITH);
    dialled.map(|(at_ms, digit)| Dialled { at_ms, digit, lost: rng.below(63) as u8 }).collect()
}

/// Both have said something for `packets` packets at least, and heard it.
fn heard(
    host: &str,
    report: &SipClientReport,
    phone: &PhoneReport,
    packets: usize,
) -> Option<Violation> {
    let (to_client, to_phone) = (report.received.len(), phone.heard.len());
    let spoken = phone.spoken.len();
    let is_whole = spoken >= packets && to_client + 10 >= spoken && to_phone >= packets;
    unless(is_whole, || {
        format!("{host} heard {to_client} of {spoken} packets, and was heard with {to_phone}")
    })
}

/// A call that a client makes, and ends.
pub const CLIENT_CALLS: Scenario = Scenario {
    name: "sip/client-calls",
    about: "a user agent over RTMP calls a phone: they hear each other, in G.711 or in wide band, and dial, one by commands, until it hangs up",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let takes =
            Reply { rings_ms: Some(200), after_ms: 1_200 + rng.below(500), answer: Answer::Accept };
        let codecs = vec![[Codec::Pcmu, Codec::Wideband][rng.below(2) as usize]];
        let alice = PhonePlan {
            codecs: codecs.clone(),
            digits: digits(&mut rng),
            leave_ms: 60_000,
            ..called_by("bob", 1, "alice", takes)
        };
        let mut orders = vec![order(500, invite("alice"))];
        let times = (0..).map(|index| 4_000 + index * 900);
        orders.extend(times.zip(DIALLED).map(|(at, digit)| order(at, Command::SendDtmf(digit))));
        orders.push(order(10_000 + rng.below(500), Command::Bye));
        add(&mut plan, LinkConfig::lan(), alice);
        let bob = SipClientPlan { codecs, orders, ..client("bob", "studio", 13_000) };
        plan.sip_client("bob", LinkConfig::lan(), bob);
        plan
    },
    check: |evidence| {
        let (bob, alice) = (&evidence.sip_clients[0], &evidence.phones[0]);
        let is_wide = evidence.plan.phones[0].plan.codecs == [Codec::Wideband];
        let accepted = if is_wide { "accepted speex" } else { "accepted pcmu" };
        let due = ["ringing 180", accepted, "dtmf 7", "dtmf 7", "dtmf D"];
        let found = [
            is_told("bob", bob, &due),
            are_done("bob", bob, 0),
            ends("alice", alice, &["hung up by the gateway"]),
            heard("bob", bob, alice, 370),
        ];
        found.into_iter().flatten().collect()
    },
};

/// A call that a client takes.
pub const CLIENT_CALLED: Scenario = Scenario {
    name: "sip/client-called",
    about: "an exchange calls a user agent that is registered there: it takes the call, and is told when the caller hangs up",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let calls = PhonePlan {
            calls_back_ms: Some(800 + rng.below(400)),
            talk_ms: Some(8_000),
            leave_ms: 60_000,
            ..exchange("bob", "exchange", 1)
        };
        add(&mut plan, LinkConfig::dsl(), calls);
        let accepts = Reaction { after_ms: 300 + rng.below(1_500), command: Command::Accept };
        let bob =
            SipClientPlan { reactions: vec![accepts], ..registered("bob", "exchange", 15_000) };
        plan.sip_client("bob", LinkConfig::lan(), bob);
        plan
    },
    check: |evidence| {
        let (bob, calls) = (&evidence.sip_clients[0], &evidence.phones[0]);
        let bindings: Vec<bool> = calls.bindings.iter().map(|it| it.granted_s > 0).collect();
        let found = [
            is_told("bob", bob, &["invited", "accepted pcmu", "byed"]),
            are_done("bob", bob, 0),
            ends("exchange", calls, &["hung up"]),
            heard("bob", bob, calls, 380),
            rings(calls),
            unless(bindings == [true, false], || format!("registrations were {bindings:?}")),
        ];
        found.into_iter().flatten().collect()
    },
};

/// The caller is told that it rings, before the call is taken.
fn rings(caller: &PhoneReport) -> Option<Violation> {
    let told = caller.rang_at.zip(caller.answered_at);
    unless(
        told.is_some_and(|(rang, answered)| rang + Duration::from_millis(200) < answered),
        || format!("the caller was told that it rings at {:?}", caller.rang_at),
    )
}
