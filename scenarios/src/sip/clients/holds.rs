//! Calls of clients that are held, by one end, the other, and both.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        phone::{Answer, Change, Direction, PhonePlan, Reply},
        sip_client::{Command, SipClientPlan},
    },
};

use super::{add, are_done, called_by, client, invite, is_told, order};
use crate::{catalogue::Scenario, live::unless, plan::Plan, sip::ends};

/// When each end holds and goes on, after the answer and after the start; for a while both do.
const PHONE_MS: [u64; 2] = [5_000, 9_000];
const CLIENT_MS: [u64; 2] = [4_000, 9_500];

/// A call that both ends hold.
pub const CLIENT_HOLDS: Scenario = Scenario {
    name: "sip/client-holds",
    about: "a user agent over RTMP holds its call and goes on, and so does the phone: each is told, and heard when both go on",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let takes = Reply { rings_ms: Some(100), after_ms: 500, answer: Answer::Accept };
        let change = |at_ms, direction| Change { at_ms, direction };
        let alice = PhonePlan {
            changes: vec![
                change(PHONE_MS[0] + rng.below(300), Direction::SendOnly),
                change(PHONE_MS[1] + rng.below(300), Direction::SendRecv),
            ],
            leave_ms: 60_000,
            ..called_by("bob", 1, "alice", takes)
        };
        add(&mut plan, LinkConfig::lan(), alice);
        let orders = vec![
            order(500, invite("alice")),
            order(CLIENT_MS[0], Command::Hold(true)),
            order(CLIENT_MS[1], Command::Hold(false)),
            order(14_000, Command::Bye),
        ];
        let bob = SipClientPlan { orders, ..client("bob", "studio", 17_000) };
        plan.sip_client("bob", LinkConfig::lan(), bob);
        plan
    },
    check: |evidence| {
        let (bob, alice) = (&evidence.sip_clients[0], &evidence.phones[0]);
        let due = ["ringing 180", "accepted pcmu", "holded true", "holded false"];
        let directions: Vec<Direction> = alice.directions.iter().map(|(_, it)| *it).collect();
        use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
        let agreed = [SendRecv, RecvOnly, Inactive, SendOnly, SendRecv];
        let agreed = unless(directions == agreed, || format!("alice was in {directions:?}"));
        let (from, to) =
            (Duration::from_millis(CLIENT_MS[0] + 500), Duration::from_millis(CLIENT_MS[1]));
        let held = bob.received.iter().find(|it| (from..to).contains(&it.at));
        let held = unless(held.is_none(), || format!("held, bob heard something: {held:?}"));
        let after = Duration::from_millis(11_000);
        let heard = bob.received.iter().filter(|it| it.at > after).count();
        let again = unless(heard >= 140, || format!("bob heard {heard} packets afterwards"));
        let found = [
            is_told("bob", bob, &due),
            are_done("bob", bob, 0),
            ends("alice", alice, &["hung up by the gateway"]),
            agreed,
            held,
            again,
        ];
        found.into_iter().flatten().collect()
    },
};
