//! Changes of a call by both ends at once.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Change, Direction, PhonePlan, Saying, Voice, Way},
};

use super::{call, ends};
use crate::{catalogue::Scenario, live::unless, plan::Plan};

/// The gateway refreshes a call each half of this.
const SESSION_MS: u64 = 32_000;
const PHONES: u64 = 6;
/// One way of each phone's line.
const DELAY_MS: u64 = 40;

/// Phones that change their calls just when the gateway refreshes them.
pub const GLARE: Scenario = Scenario {
    name: "sip/glare",
    about: "phones change their calls when the gateway refreshes them: both are refused, wait, and come to terms",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = Plan::empty();
        plan.config.sip.session_expires_ms = SESSION_MS;
        plan.config.sip.session_expires_min_ms = SESSION_MS / 4;
        for index in 0..PHONES {
            let mut rng = Rng::named(seed, &format!("scenario/sip/{index}"));
            let dial = format!("talk-{index}");
            let voice = Some(Voice { stream: format!("call/{dial}"), epoch: 1 });
            // On its way when the gateway's is.
            let first = SESSION_MS / 2 - 1 - rng.below(DELAY_MS);
            let changes = vec![
                Change { at_ms: first, direction: Direction::Inactive },
                Change { at_ms: first + 7_000 + rng.below(4_000), direction: Direction::SendRecv },
            ];
            let phone = PhonePlan { dial, voice, changes, ..call(rng.below(1_000), 45_000) };
            let link = LinkConfig::dsl().with_delay_ms(DELAY_MS);
            plan.phone(&format!("phone-{index}"), link, phone);
        }
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        phones
            .flat_map(|(phone, report)| {
                let refused = [Way::Sent, Way::Received].map(|way| {
                    let signals = report.signals.iter().filter(|it| it.way == way);
                    signals.filter(|it| it.what == Saying::Response(491)).count()
                });
                let crossed = unless(refused[0] > 0 && refused[1] > 0, || {
                    format!("{} refused, and was refused, {refused:?} changes", phone.host)
                });
                let directions: Vec<_> = report.directions.iter().map(|(_, it)| *it).collect();
                let due = [Direction::SendRecv, Direction::Inactive, Direction::SendRecv];
                let changed = unless(directions == due, || {
                    format!("{} was changed to {directions:?}", phone.host)
                });
                [ends(&phone.host, report, &["hung up"]), crossed, changed]
            })
            .flatten()
            .collect()
    },
};
