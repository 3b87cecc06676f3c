//! Calls in which one end says nothing, and audio that comes before the call is confirmed.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Codec, Direction, Fault, MessageFault, PhonePlan, Saying, Voice, Way},
};

use super::{CALLED, call, ends, hear, lasted, listen, publish_audio};
use crate::{catalogue::Scenario, live::unless, plan::Plan};

/// How long the gateway bears a phone that says nothing although it could.
const SILENCE_MS: u64 = 6_000;

/// Phones that hear and say nothing, or say something and hear nothing.
pub const ONE_WAY: Scenario = Scenario {
    name: "sip/one-way",
    about: "who hears and may speak but does not is hung up on in time; who said that it only hears, or only speaks, is not",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.rtp.silence_ms = SILENCE_MS;
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 25_000, Codec::Pcmu));
        let start_ms = 500 + rng.below(500);
        let mute = PhonePlan { voice: None, ..listen(start_ms, 20_000) };
        let hears = PhonePlan { direction: Direction::RecvOnly, ..mute.clone() };
        let speaks = PhonePlan { direction: Direction::SendOnly, ..call(start_ms + 1_000, 15_000) };
        plan.phone("mute", LinkConfig::lan(), mute);
        plan.phone("hears", LinkConfig::lan(), hears);
        plan.phone("speaks", LinkConfig::lan(), speaks);
        hear(&mut plan, 25_000);
        plan
    },
    check: |evidence| {
        let [mute, hears, speaks] = [0, 1, 2].map(|index| &evidence.phones[index]);
        let (silence, soon) = (Duration::from_millis(SILENCE_MS), Duration::from_millis(500));
        let given = lasted(mute);
        let in_time = unless((silence..silence + soon).contains(&given), || {
            format!("who says nothing was given {given:?}, due are {silence:?}")
        });
        let heard = [mute, hears].map(|phone| phone.heard.len());
        let heard = unless(heard[0] >= 290 && heard[1] >= 990, || {
            format!("mute and hears heard {heard:?} packets")
        });
        let (said, has) = (speaks.spoken.len(), evidence.players[0].received.len());
        let whole = unless(said >= 740 && said == has, || {
            format!("speaks said {said} packets, the player has {has}")
        });
        [
            ends("mute", mute, &["hung up by the gateway"]),
            ends("hears", hears, &["hung up"]),
            ends("speaks", speaks, &["hung up"]),
            in_time,
            heard,
            whole,
        ]
        .into_iter()
        .flatten()
        .collect()
    },
};

/// Phones whose ACK is lost again and again: one of them talks meanwhile, the other has to be given time.
pub const EARLY_MEDIA: Scenario = Scenario {
    name: "sip/early-media",
    about: "what a phone says before its ACK arrives is heard; who may be somebody else's address hears nothing before",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 15_000, Codec::Pcmu));
        let lost = |index| MessageFault { way: Way::Sent, index, fault: Fault::Drop };
        let message_faults: Vec<_> = (1..2 + rng.below(3) as u32).map(lost).collect();
        let early = PhonePlan { message_faults: message_faults.clone(), ..call(1_500, 6_000) };
        let mute = PhonePlan { voice: None, message_faults, ..listen(1_000, 8_000) };
        plan.phone("early", LinkConfig::lan(), early);
        plan.phone("mute", LinkConfig::lan(), mute);
        hear(&mut plan, 15_000);
        plan
    },
    check: |evidence| {
        let [early, mute] = [0, 1].map(|index| &evidence.phones[index]);
        let mut acks = mute.signals.iter().filter(|it| it.way == Way::Sent && it.method == "ACK");
        let acked = acks.find_map(|it| it.arrived_at.filter(|_| it.what == Saying::Request));
        let first = mute.heard.first().map(|heard| heard.at);
        let in_turn = unless(acked.is_some() && acked < first, || {
            format!("the ACK came at {acked:?}, and audio at {first:?}")
        });
        let (said, has) = (early.spoken.len(), evidence.players[0].received.len());
        let whole = unless(said >= 290 && said == has, || {
            format!("early said {said} packets, the player has {has}")
        });
        let over = [ends("early", early, &["hung up"]), ends("mute", mute, &["hung up"])];
        over.into_iter().chain([in_turn, whole]).flatten().collect()
    },
};

/// One call after the other on one number, with the gateway gone in the midst of the first.
pub const RESTART: Scenario = Scenario {
    name: "sip/restart",
    about: "the gateway crashes in mid-call and comes back: the phone ends its call by itself, and the next one is taken",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let voice = |epoch| Some(Voice { stream: CALLED.to_owned(), epoch });
        let first = call(1_500, 4_000 + rng.below(6_000));
        let second = PhonePlan { voice: voice(2), ..call(15_000, 4_000) };
        plan.phone("first", LinkConfig::lan(), first);
        plan.phone("second", LinkConfig::lan(), second);
        hear(&mut plan, 25_000);
        let play = rehearsal_sim::clients::rtmp_player::PlayPlan {
            start_ms: 12_000,
            ..plan.players[0].plan.clone()
        };
        plan.player("after", LinkConfig::lan(), crate::plan::Protocol::Rtmp, play);
        let gone_ms = 3_000 + rng.below(2_000);
        plan.fault(gone_ms, "gateway", crate::fault::Lever::Crash);
        plan.fault(gone_ms + 200 + rng.below(6_000), "gateway", crate::fault::Lever::Restart);
        plan.terms.calm_ms = super::calm_ms(&plan.config);
        plan
    },
    check: |evidence| {
        let [first, second] = [0, 1].map(|index| &evidence.phones[index]);
        let epochs = |index: usize| {
            let seen = evidence.players[index].received.iter();
            let mut epochs: Vec<u32> = seen.filter_map(|seen| Some(seen.stamp?.epoch)).collect();
            epochs.dedup();
            epochs
        };
        let seen = [epochs(0), epochs(1)];
        let in_turn = unless(seen == [vec![1], vec![2]], || {
            format!("the players before and after heard calls {seen:?}")
        });
        let (said, has) = (second.spoken.len(), evidence.players[1].received.len());
        let whole = unless(said >= 190 && said == has, || {
            format!("the second call said {said} packets, {has} were heard")
        });
        let by_itself = ["hung up, answered with 481", "hung up, no answer"];
        let over = [ends("first", first, &by_itself), ends("second", second, &["hung up"])];
        over.into_iter().chain([in_turn, whole]).flatten().collect()
    },
};
