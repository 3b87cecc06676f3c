//! Numbers of calls at their ends: sequence numbers and times of RTP that begin again at 0, requests numbered up to 2^31 - 1.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Change, Codec, Direction, Numbering, PhonePlan, Voice},
};

use super::{CALLED, call, ends, listen, publish_audio};
use crate::{
    catalogue::Scenario,
    live::unless,
    plan::{Plan, Protocol},
};
use rehearsal_sim::clients::rtmp_player::PlayPlan;

/// Greatest number of a request (RFC 3261, section 8.1.1.5).
const CSEQ_MAX: u32 = (1 << 31) - 1;
/// Requests of each call: INVITE, two changes and BYE.
const REQUESTS: u32 = 4;
/// Samples of a packet.
const PACKET: u32 = 160;

/// Phones whose numbers wrap within the first second, and after it.
pub const WRAPPING: Scenario = Scenario {
    name: "sip/wrapping-numbers",
    about: "calls whose RTP numbers and times begin again at 0, and whose requests come to the greatest number, are as others",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = Plan::empty();
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 15_000, Codec::Pcmu));
        for index in 0..4 {
            let mut rng = Rng::named(seed, &format!("scenario/sip/{index}"));
            let packets = 1 + rng.below(if index < 2 { 20 } else { 400 }) as u32;
            // Exactly 0 is one of the times, or none of them.
            let off = if rng.below(2) == 0 { 0 } else { 1 + rng.below(159) as u32 };
            let numbering = Some(Numbering {
                cseq: CSEQ_MAX + 1 - REQUESTS,
                sequence: 0_u16.wrapping_sub(1 + rng.below(20) as u16),
                timestamp: 0_u32.wrapping_sub(packets * PACKET).wrapping_add(off),
            });
            let change = |at_ms, direction| Change { at_ms, direction };
            let changes =
                vec![change(5_000, Direction::Inactive), change(6_000, Direction::SendRecv)];
            let stream = format!("{CALLED}-{index}");
            let dial = format!("talk-{index}");
            let voice = Some(Voice { stream: stream.clone(), epoch: 1 });
            let phone = match index {
                3 => listen(1_500, 9_000),
                _ => PhonePlan { dial, voice, ..call(1_500, 9_000) },
            };
            let phone = PhonePlan { numbering, changes, ..phone };
            plan.phone(&format!("phone-{index}"), LinkConfig::lan(), phone);
            let play = PlayPlan { stream, start_ms: 0, leave_ms: 15_000, stall: None, pause: None };
            plan.player(&format!("player-{index}"), LinkConfig::lan(), Protocol::Rtmp, play);
        }
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let over = phones.filter_map(|(phone, report)| ends(&phone.host, report, &["hung up"]));
        let numbers = evidence.phones.iter().flat_map(|report| &report.signals);
        let most = numbers.filter(|it| it.method == "BYE").map(|it| it.number).max();
        let came_to = unless(most == Some(CSEQ_MAX), || format!("{most:?} was the last request"));
        let wraps = evidence.phones.iter().filter(|report| {
            let spoken = report.spoken.windows(2);
            spoken.clone().any(|two| two[1].sequence < two[0].sequence)
                && spoken.clone().any(|two| two[1].timestamp < two[0].timestamp)
        });
        let wraps = wraps.count();
        let all = unless(wraps == 4, || format!("numbers of {wraps} phones began again"));
        over.chain(came_to).chain(all).collect()
    },
};
