//! What phones do over and over: they call, change their calls, give up, are refused, and vanish.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Cancel, Change, Codec, Direction, PhonePlan, Voice},
};

use super::plays;
use crate::{
    catalogue::Scenario,
    live::unless,
    plan::{Plan, Protocol},
    sip::{any_way, call, calm_ms, publish_on},
};

/// T1 of all, so that what was said is forgotten within a few seconds.
const T1_MS: u64 = 50;
/// A call of which nothing is heard for so long is hung up.
const SILENCE_MS: u64 = 2_000;
/// What some hear, and until when it is published.
const HEARD: &str = "live/x";
const PUBLISH_MS: u64 = 7_000;

/// Calls of each kind.
pub const CALLS: Scenario = Scenario {
    name: "leak/calls",
    about: "phones talk, listen, hold, speak over TCP, give up, are refused, and vanish, all in a few seconds",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/leak/calls");
        let mut plan = Plan::empty();
        let sip = &mut plan.config.sip;
        (sip.t1_ms, sip.t2_ms, sip.t4_ms) = (T1_MS, 8 * T1_MS, 8 * T1_MS);
        (sip.connect_ms, sip.message_ms, sip.idle_ms) = (1_000, 1_000, 10_000);
        plan.config.rtp.silence_ms = SILENCE_MS;
        plan.config.rtp.quarantine_ms = 1_000;
        let publisher = publish_on(HEARD, 0, PUBLISH_MS, Codec::Pcmu);
        plan.publisher("publisher", LinkConfig::lan(), publisher);
        let mut phone = |plan: &mut Plan, host: &str, link: LinkConfig, phone: PhonePlan| {
            let start_ms = 500 + rng.below(500);
            let leave_ms = phone.leave_ms.min(start_ms + 9_000);
            let phone = PhonePlan { start_ms, leave_ms, t1_ms: Some(T1_MS), ..phone };
            plan.phone(host, link, phone);
        };
        let named = |dial: &str, talk_ms: u64| {
            let voice = Some(Voice { stream: format!("call/{dial}"), epoch: 1 });
            PhonePlan { dial: dial.to_owned(), voice, ..call(0, talk_ms) }
        };
        let heard = Some(Voice { stream: HEARD.to_owned(), epoch: 99 });
        let listens = PhonePlan { voice: heard, ..named("play-x", 3_000) };
        let changes = [(300, Direction::Inactive), (900, Direction::SendRecv)];
        let changes = changes.map(|(at_ms, direction)| Change { at_ms, direction }).to_vec();
        let mut draws = Rng::named(seed, "scenario/leak/calls/draws");
        let over_tcp = PhonePlan { tcp: Some(any_way(&mut draws)), ..named("tcp", 2_000) };
        let refused =
            PhonePlan { codecs: vec![Codec::Pcma], voice: None, ..named("play-x", 1_000) };
        let cancel = Some(Cancel { after_ms: 0, hasty: true });
        let gives_up = PhonePlan { cancel, voice: None, ..named("gives-up", 1_000) };
        let vanishes = PhonePlan { talk_ms: None, leave_ms: 2_500, ..named("vanishes", 0) };
        let (lan, dsl) = (LinkConfig::lan(), LinkConfig::dsl());
        phone(&mut plan, "talks", dsl, named("talks", 3_000));
        phone(&mut plan, "listens", lan, listens);
        phone(&mut plan, "holds", dsl, PhonePlan { changes, ..named("holds", 2_500) });
        phone(&mut plan, "over-tcp", lan, over_tcp);
        phone(&mut plan, "refused", lan, refused);
        phone(&mut plan, "gives-up", dsl, gives_up);
        phone(&mut plan, "vanishes", lan, vanishes);
        plan.terms.faulty = vec!["vanishes".to_owned()];
        plan.player("player", lan, Protocol::Rtmp, plays("call/talks", 0, 8_000));
        plan.terms.calm_ms = calm_ms(&plan.config) + plan.config.sip.idle_ms;
        plan
    },
    check: |evidence| {
        let due = |host: &str| match host {
            "refused" => "rejected with 488",
            "gives-up" => "cancelled",
            "vanishes" => "left in mid-call",
            _ => "hung up",
        };
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let wrong = phones.filter_map(|(phone, report)| {
            let (end, due) = (report.end(), due(&phone.host));
            // Who gives up at once may hear that the call was taken before.
            let is_due = end == due || due == "cancelled" && end == "hung up";
            unless(is_due, || format!("{} ended with {end}, not {due}", phone.host))
        });
        wrong.collect()
    },
};
