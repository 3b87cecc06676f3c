//! Single messages of calls that are lost, come twice, or come late.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Cancel, Change, Direction, Fault, MessageFault, PhonePlan, Voice, Way},
};

use super::{call, calm_ms};
use crate::{catalogue::Scenario, plan::Plan};

/// Messages from the first on that faults befall.
const MESSAGES: u64 = 6;
/// Phones that call at a time, each another number.
const PHONES: u64 = 12;

/// Draws what befalls one message.
fn fault(rng: &mut Rng) -> MessageFault {
    let way = if rng.below(2) == 0 { Way::Sent } else { Way::Received };
    let fault = [Fault::Drop, Fault::Duplicate, Fault::DelayPastNext][rng.below(3) as usize];
    MessageFault { way, index: rng.below(MESSAGES) as u32, fault }
}

/// Calls of every kind, each with two faults. `tests/sip/faults.rs` has all that there are of the plain ones.
pub const MESSAGE_FAULTS: Scenario = Scenario {
    name: "sip/message-faults",
    about: "messages are lost, come twice or come late, and every call comes to an end that both know of",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = Plan::empty();
        plan.config.rtp.silence_ms = 10_000;
        for index in 0..PHONES {
            let mut rng = Rng::named(seed, &format!("scenario/sip/{index}"));
            let dial = format!("talk-{index}");
            let voice = Some(Voice { stream: format!("call/{dial}"), epoch: 1 });
            let cancel = (index % 3 == 1)
                .then(|| Cancel { after_ms: rng.below(700), hasty: rng.below(2) == 0 });
            let change = Change { at_ms: rng.below(1_500), direction: Direction::Inactive };
            let changes = if index % 3 == 2 { vec![change] } else { Vec::new() };
            let message_faults = vec![fault(&mut rng), fault(&mut rng)];
            let phone = PhonePlan {
                dial,
                voice,
                cancel,
                changes,
                message_faults,
                ..call(rng.below(3_000), 2_000)
            };
            plan.phone(&format!("phone-{index}"), LinkConfig::lan(), phone);
        }
        plan.terms.calm_ms = calm_ms(&plan.config);
        plan
    },
    check: |_| Vec::new(),
};
