//! Calls that end otherwise than by a phone that hangs up.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Cancel, Fault, MessageFault, PhonePlan, Voice, Way},
};

use super::{CALLED, LINGER_MS, call, calm_ms, ends, hear};
use crate::{catalogue::Scenario, fault::Lever, live::unless, plan::Plan};

/// Phones that give up, some before the answer is known to them.
pub const CANCEL: Scenario = Scenario {
    name: "sip/cancel",
    about: "phones give up: before the gateway has the call, while the answer is on its way, and behind it",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let fault = |way, index, fault| MessageFault { way, index, fault };
        let late = fault(Way::Sent, 0, Fault::DelayPastNext);
        let lost = [0, 1].map(|index| fault(Way::Received, index, Fault::Drop));
        let cases = [
            ("overtakes", 20, vec![late]),
            ("crosses", 0, Vec::new()),
            ("unheard", 100, lost.to_vec()),
            ("answered", 700, Vec::new()),
        ];
        for ((host, after_ms, message_faults), epoch) in cases.into_iter().zip(1..) {
            let start_ms = 5_000 * u64::from(epoch - 1) + rng.below(1_000);
            let cancel = Some(Cancel { after_ms, hasty: true });
            let voice = Some(Voice { stream: CALLED.to_owned(), epoch });
            let phone =
                PhonePlan { cancel, voice, message_faults, talk_ms: None, ..call(start_ms, 3_000) };
            plan.phone(host, LinkConfig::dsl(), phone);
        }
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        phones
            .filter_map(|(phone, report)| ends(&phone.host, report, &["hung up", "cancelled"]))
            .collect()
    },
};

/// A phone whose line is cut in mid-call, and one that is just gone.
pub const VANISHED_PHONE: Scenario = Scenario {
    name: "sip/vanished-phone",
    about: "phones vanish in mid-call, and the gateway ends their calls when it has heard nothing for long enough",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.rtp.silence_ms = 10_000;
        let cut_ms = 3_000 + rng.below(1_000);
        let talks = PhonePlan { talk_ms: None, ..call(500, 3_000) };
        let leaves = PhonePlan {
            dial: "other".to_owned(),
            voice: Some(Voice { stream: "call/other".to_owned(), epoch: 1 }),
            leave_ms: 5_000,
            ..talks.clone()
        };
        let still = PhonePlan {
            dial: "still".to_owned(),
            voice: None,
            leave_ms: 500 + LINGER_MS,
            ..talks.clone()
        };
        plan.phone("cut-off", LinkConfig::lan(), talks);
        plan.phone("leaves", LinkConfig::lan(), leaves);
        plan.phone("still", LinkConfig::lan(), still);
        hear(&mut plan, 30_000);
        plan.fault(cut_ms, "cut-off", Lever::BlackHole(true));
        plan.terms.faulty = vec!["cut-off".to_owned(), "leaves".to_owned()];
        plan.terms.calm_ms = calm_ms(&plan.config);
        plan
    },
    check: |evidence| {
        let plan = &evidence.plan;
        let silence = Duration::from_millis(plan.config.rtp.silence_ms);
        let soon = Duration::from_millis(1_000);
        let told = evidence.players[0].statuses.iter();
        let mut told = told.filter(|(_, code)| code.ends_with("UnpublishNotify"));
        let cut = Duration::from_millis(plan.faults[0].at_ms);
        let due = cut + silence;
        let is_told = told.any(|(at, _)| (due - soon..due + soon).contains(at));
        let is_told = unless(is_told, || format!("nobody was told of the end, due at {due:?}"));
        let still = &evidence.phones[2];
        let (from, to) = (still.answered_at, still.ended.map(|(at, _)| at));
        let lasted = from.zip(to).map(|(from, to)| to - from).unwrap_or_default();
        let in_time = unless((silence..silence + soon).contains(&lasted), || {
            format!("a phone that is silent was given {lasted:?}, due are {silence:?}")
        });
        [is_told, in_time, ends("still", still, &["hung up by the gateway"])]
            .into_iter()
            .flatten()
            .collect()
    },
};
