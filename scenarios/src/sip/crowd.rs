//! As many calls at once as the gateway takes by default.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{PhonePlan, Voice},
};

use super::{call, calm_ms, ends};
use crate::{catalogue::Scenario, plan::Plan};

/// Phones, each on a number of its own.
const PHONES: usize = 1_000;
/// How long each talks.
const TALK_MS: u64 = 60_000;

/// A thousand calls at once for a minute.
pub const THOUSAND_CALLS: Scenario = Scenario {
    name: "sip/thousand-calls",
    about: "a thousand phones talk at once for a minute, each on a stream of its own",
    parity: false,
    heavy: true,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.sip.max_calls = PHONES;
        for index in 0..PHONES {
            let dial = format!("c{index}");
            let voice = Some(Voice { stream: format!("call/{dial}"), epoch: 1 });
            let start_ms = 100 + rng.below(5_000);
            let phone = PhonePlan { dial, voice, ..call(start_ms, TALK_MS) };
            plan.phone(&format!("phone-{index}"), LinkConfig::lan(), phone);
        }
        plan.terms.calm_ms = calm_ms(&plan.config);
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        phones.filter_map(|(phone, report)| ends(&phone.host, report, &["hung up"])).collect()
    },
};
