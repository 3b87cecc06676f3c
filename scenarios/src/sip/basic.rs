//! Calls in which everything goes well.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Change, Codec, Direction, PhonePlan, Saying, Voice, Way},
};

use super::{HEARD, call, ends, hear, lasted, listen, publish_audio};
use crate::{
    catalogue::Scenario, fault::Lever, live::unless, oracles::Violation, plan::Plan, run::Evidence,
};

/// A phone talks, and who plays its stream has all of it.
pub const BASIC_CALL: Scenario = Scenario {
    name: "sip/basic-call",
    about: "a phone calls, talks and hangs up; a player has everything that it said",
    parity: true,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let codec = if rng.below(2) == 0 { Codec::Pcmu } else { Codec::Pcma };
        let phone = PhonePlan { codecs: vec![codec], ..call(500 + rng.below(500), 3_000) };
        hear(&mut plan, 12_000);
        plan.phone("phone", LinkConfig::lan(), phone);
        plan
    },
    check: |evidence| {
        let (phone, player) = (&evidence.phones[0], &evidence.players[0]);
        let codec = evidence.plan.phones[0].plan.codecs[0];
        let agreed = unless(phone.codec == Some(codec), || {
            format!("{:?} was agreed on, asked for was {codec:?}", phone.codec)
        });
        let (said, has) = (phone.spoken.len(), player.received.len());
        let whole = unless(said >= 140 && has == said, || {
            format!("the phone said {said} packets, the player has {has}")
        });
        [ends("phone", phone, &["hung up"]), agreed, whole].into_iter().flatten().collect()
    },
};

/// A phone listens to what is published.
pub const PLAY: Scenario = Scenario {
    name: "sip/play",
    about: "a phone hears a stream in either codec, from its begin or from the midst of it, and its end",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let codec = if rng.below(2) == 0 { Codec::Pcmu } else { Codec::Pcma };
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(1_000, 6_000, codec));
        let both = vec![Codec::Pcmu, Codec::Pcma];
        let early = PhonePlan { codecs: vec![codec], ..listen(rng.below(900), 9_000) };
        let late = PhonePlan { codecs: both, ..listen(2_500 + rng.below(1_000), 2_000) };
        plan.phone("early", LinkConfig::lan(), early);
        plan.phone("late", LinkConfig::dsl(), late);
        plan
    },
    check: |evidence| {
        let sent = evidence.publishers[0].sent.len() - 1;
        let [early, late] = [0, 1].map(|index| &evidence.phones[index]);
        let (all, some) = (early.heard.len(), late.heard.len());
        let whole = unless(all == sent, || format!("early heard {all} packets of {sent}"));
        let part = unless((90..=106).contains(&some), || format!("late heard {some} packets"));
        let over =
            [("early", early), ("late", late)].map(|(host, it)| ends(host, it, &["hung up"]));
        [whole, part].into_iter().chain(over).flatten().collect()
    },
};

/// Two phones on one number after each other; the gateway is told to end while the second one talks.
pub const BOTH_HANG_UP: Scenario = Scenario {
    name: "sip/both-hang-up",
    about: "one call is ended by its phone, the next by the gateway, which is told to end, and one by both at once",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let first = call(200, 2_000 + rng.below(500));
        let voice = |epoch| Some(Voice { stream: super::CALLED.to_owned(), epoch });
        let second = PhonePlan { voice: voice(2), talk_ms: None, ..call(4_000, 3_000) };
        hear(&mut plan, 12_000);
        plan.phone("first", LinkConfig::lan(), first);
        plan.phone("second", LinkConfig::dsl(), second);
        let told_ms = 6_000 + rng.below(1_000);
        // It is answered 25 ms after it has begun, and messages are on their way for half of that.
        let both = listen(4_500, told_ms - 4_525);
        plan.phone("both", LinkConfig::dsl(), both);
        plan.fault(told_ms, "gateway", Lever::ShutDown);
        plan.fault(13_000, "gateway", Lever::Restart);
        plan
    },
    check: |evidence| {
        let [first, second, both] = [0, 1, 2].map(|index| &evidence.phones[index]);
        let is_bye = |way| {
            let mut signals = both.signals.iter();
            signals.any(|it| it.way == way && it.method == "BYE" && it.what == Saying::Request)
        };
        let crossed = unless(is_bye(Way::Sent) && is_bye(Way::Received), || {
            "no BYE of one end crossed that of the other".to_owned()
        });
        let told = Duration::from_millis(evidence.plan.faults[0].at_ms);
        let soon = Duration::from_millis(100);
        let ended = second.ended.map(|(at, _)| at).unwrap_or_default();
        let in_time = unless((told..told + soon).contains(&ended), || {
            format!("the gateway was told to end at {told:?}, and hung up at {ended:?}")
        });
        let ends = [
            ends("first", first, &["hung up"]),
            ends("second", second, &["hung up by the gateway"]),
            ends("both", both, &["hung up", "hung up by the gateway"]),
            crossed,
            in_time,
        ];
        ends.into_iter().flatten().collect()
    },
};

/// When the phone of [`HOLD`] stops to talk, and when it goes on, after the answer.
const HOLD_MS: [u64; 4] = [1_500, 4_000, 6_000, 8_000];

/// A phone that hears a stream, and does not for a while.
pub const HOLD: Scenario = Scenario {
    name: "sip/hold",
    about: "a phone that holds its call hears nothing until it goes on; who hears it hears nothing meanwhile",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 15_000, Codec::Pcmu));
        let directions =
            [Direction::Inactive, Direction::SendRecv, Direction::SendOnly, Direction::SendRecv];
        let mut changes = Vec::new();
        for (at_ms, direction) in HOLD_MS.into_iter().zip(directions) {
            changes.push(Change { at_ms, direction });
        }
        let both = [PhonePlan { changes, ..listen(500 + rng.below(500), 10_000) }];
        for phone in both {
            let talks =
                PhonePlan { changes: phone.changes.clone(), ..call(phone.start_ms, 10_000) };
            plan.phone("listens", LinkConfig::lan(), phone);
            plan.phone("talks", LinkConfig::lan(), talks);
        }
        hear(&mut plan, 20_000);
        plan
    },
    check: |evidence| {
        let phones = ["listens", "talks"].into_iter().zip(&evidence.phones);
        let over = phones.filter_map(|(host, report)| ends(host, report, &["hung up"]));
        over.chain(held(evidence)).collect()
    },
};

fn held(evidence: &Evidence) -> Vec<Violation> {
    let soon = Duration::from_millis(100);
    let [listens, talks] = [0, 1].map(|index| &evidence.phones[index]);
    let mut found = Vec::new();
    for (host, report) in [("listens", listens), ("talks", talks)] {
        let lasts = lasted(report);
        found.extend(unless(report.directions.len() == 5, || {
            format!("{host} changed {:?} in {lasts:?}", report.directions)
        }));
    }
    let spans = |report: &rehearsal_sim::clients::phone::PhoneReport| {
        let ends = report.directions.iter().skip(1).map(|(at, _)| *at);
        let over = report.ended.map(|(at, _)| at);
        let spans = report.directions.clone().into_iter().zip(ends.chain(over));
        spans.map(|((from, direction), to)| (from + soon..to, direction)).collect::<Vec<_>>()
    };
    for (span, direction) in spans(listens) {
        let heard = listens.heard.iter().filter(|heard| span.contains(&heard.at)).count();
        found.extend(unless((heard > 0) == direction.receives(), || {
            format!("listens heard {heard} packets while it was {direction:?}")
        }));
    }
    for (span, direction) in spans(talks) {
        let received = &evidence.players[0].received;
        let heard = received.iter().filter(|seen| span.contains(&seen.at)).count();
        found.extend(unless((heard > 0) == direction.sends(), || {
            format!("{heard} packets of {HEARD} were heard while talks was {direction:?}")
        }));
    }
    found
}
