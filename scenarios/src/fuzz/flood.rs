//! One stranger asks for so much that there is no more room, and phones call meanwhile.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::stranger::{StrangerPlan, Target},
};

use super::sip::{request, response};
use crate::{
    catalogue::Scenario,
    live::unless,
    plan::Plan,
    sip::{calls_go_on, calls_went_on},
};

/// Requests that there is room for, and how much of that one address may take. Phones need four.
const ROOM: usize = 60;
const ROOM_PER_ADDRESS: usize = 24;
/// Messages that the stranger sends. The first come before the first call does, the last when the last is nearly over.
const MESSAGES: usize = 1_500;
const EVERY_US: u64 = 10_000;
/// When copies of what he was answered are not expected any more.
const LEAVE_MS: u64 = 60_000;
/// Who registers and does not say for how long is forgotten after this.
const REGISTERED_MS: u64 = 3_600_000;

/// What he asks for; nothing of it calls.
const METHODS: [&str; 7] = ["OPTIONS", "REGISTER", "INFO", "BYE", "CANCEL", "SUBSCRIBE", "X"];

/// A flood from one address.
pub const SIP_FLOOD: Scenario = Scenario {
    name: "fuzz/sip-flood",
    about: "one address asks for more than there is room for: it is told to come again, and phones call as without it",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = Plan::empty();
        plan.config.sip.max_transactions = ROOM;
        plan.config.sip.max_transactions_per_address = ROOM_PER_ADDRESS;
        calls_go_on(&mut plan);
        let mut rng = Rng::named(seed, "scenario/fuzz/floods");
        let datagrams = (0..MESSAGES).map(|index| match index % (METHODS.len() + 1) {
            0 => response(&mut rng, index),
            kind => request(&mut rng, index, METHODS[kind - 1]),
        });
        let stranger = StrangerPlan {
            start_ms: 200,
            port: 0,
            target: Target::Sip,
            datagrams: datagrams.collect(),
            every_us: EVERY_US,
            leave_ms: LEAVE_MS,
        };
        plan.stranger("floods", LinkConfig::lan(), stranger);
        plan.terms.twin_within_ms = Some(2);
        plan.terms.calm_ms = REGISTERED_MS + 150_000;
        plan
    },
    check: |evidence| {
        let received = &evidence.strangers[0].received;
        let refused = received.iter().filter(|(_, _, it)| it.starts_with(b"SIP/2.0 503 ")).count();
        let most = ROOM_PER_ADDRESS.div_ceil(2);
        let asked = MESSAGES - MESSAGES.div_ceil(METHODS.len() + 1);
        let bounded = unless(received.len() == asked && refused == asked - most, || {
            let answers = received.len();
            format!(
                "{answers} of {asked} requests were answered, {refused} with 503; room is for {most}"
            )
        });
        bounded.into_iter().chain(calls_went_on(evidence)).collect()
    },
};
