//! Audio of phones that goes on from elsewhere in mid-call: as another source, from other ports, from behind a NAT.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use rehearsal_core::rtp::source::Follow;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Act, Deed, PhonePlan, PhoneReport},
    second_ip,
};

use super::{call, ends, hear, listen, publish_audio};
use crate::{
    catalogue::Scenario, fault::Lever, live::unless, oracles::Violation, plan::Plan, run::Evidence,
};
use rehearsal_sim::clients::phone::Codec;

/// When a phone's audio goes on from elsewhere, after the answer, or a second later.
const MOVES_MS: u64 = 3_000;
/// Packets of a port that the gateway does not know yet until it follows, and those that are held then.
const PACKETS_UNTIL_FOLLOWED: usize = 8;
/// The same as time, with the way there and back.
const FOLLOWED_WITHIN: Duration = Duration::from_millis(250);

fn act(rng: &mut Rng, deed: Deed) -> Act {
    Act { at_ms: MOVES_MS + rng.below(1_000), deed }
}

/// A phone that begins to number anew, more than once.
pub const SOURCE_CHANGE: Scenario = Scenario {
    name: "sip/source-change",
    about: "a phone's audio goes on with other numbers and another source, and nothing of it is left out",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        // Time enough for a report of each.
        let mut at = |at_ms| Act { at_ms: at_ms + rng.below(1_000), deed: Deed::NewSource };
        let acts = vec![at(9_000), at(18_000)];
        hear(&mut plan, 35_000);
        plan.phone("phone", LinkConfig::lan(), PhonePlan { acts, ..call(1_500, 27_000) });
        plan
    },
    check: |evidence| {
        let phone = &evidence.phones[0];
        let mut sources: Vec<u32> = phone.reports.iter().map(|report| report.about).collect();
        sources.dedup();
        let told = unless(sources.len() == 3, || format!("it was told of sources {sources:?}"));
        [ends("phone", phone, &["hung up"]), told, heard_all_but(evidence, 0, 0)]
            .into_iter()
            .flatten()
            .collect()
    },
};

/// Phones that say where they move to, and a gateway that listens to nobody who does not.
pub const PORT_MOVE: Scenario = Scenario {
    name: "sip/port-move",
    about: "phones move to other ports by INVITE: what they say and hear goes on, though the gateway follows nobody",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.rtp.follow = Follow::Nobody;
        both_ways(&mut plan, |phone| {
            let acts = vec![act(&mut rng, Deed::Move)];
            PhonePlan { acts, ..phone }
        });
        plan
    },
    check: have_moved,
};

/// Both phones have, once, and what they said and heard is whole.
fn have_moved(evidence: &Evidence) -> Vec<Violation> {
    let [talks, listens] = [0, 1].map(|index| &evidence.phones[index]);
    let moved = [talks, listens].map(|phone| phone.moved.len());
    let moved = unless(moved == [1, 1], || format!("the phones moved {moved:?} times"));
    let over = [ends("talks", talks, &["hung up"]), ends("listens", listens, &["hung up"])];
    // One may be on its way from the former port.
    let whole = [heard_all_but(evidence, 0, 1), gap(listens, Duration::from_millis(100))];
    over.into_iter().chain(whole).chain([moved]).flatten().collect()
}

/// The second address of the host at 10.0.0.`index`.
fn elsewhere(index: u8) -> IpAddr {
    IpAddr::V4(second_ip(Ipv4Addr::new(10, 0, 0, index)))
}

/// Phones that say that they are in another network, as one does that goes from its cable to the air.
pub const ADDRESS_MOVE: Scenario = Scenario {
    name: "sip/address-move",
    about: "phones move to other addresses by INVITE: what they say is heard from there, and what they hear goes there",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.rtp.follow = [Follow::Nobody, Follow::SameIp][rng.below(2) as usize];
        // The gateway, the publisher and the player are at the addresses before.
        let mut places = [4, 5].map(elsewhere).into_iter();
        both_ways(&mut plan, |phone| {
            let acts = places.next().map(|ip| act(&mut rng, Deed::MoveTo(ip)));
            PhonePlan { acts: acts.into_iter().collect(), ..phone }
        });
        plan
    },
    check: have_moved,
};

/// Phones behind NATs, which do not know their own addresses, and whose ports become others.
pub const REBOUND: Scenario = Scenario {
    name: "sip/rebound",
    about: "NATs give phones other ports in mid-call, and neither says so: their audio is followed there",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        both_ways(&mut plan, |phone| {
            let acts = vec![act(&mut rng, Deed::Rebind)];
            PhonePlan { acts, says_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), ..phone }
        });
        // And one whose messages of SIP come from elsewhere, too.
        let listens = listen(600 + rng.below(400), 8_000);
        plan.phone("forgotten", LinkConfig::lan(), listens);
        plan.fault(0, "forgotten", Lever::RebindNat);
        plan.fault(4_000 + rng.below(1_000), "forgotten", Lever::RebindNat);
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let over = phones.filter_map(|(phone, report)| ends(&phone.host, report, &["hung up"]));
        let gaps = evidence.phones[1..].iter().map(|report| gap(report, FOLLOWED_WITHIN));
        let heard = heard_all_but(evidence, 0, PACKETS_UNTIL_FOLLOWED);
        over.chain(gaps.flatten()).chain(heard).collect()
    },
};

/// A phone that talks and is heard, and one that listens; `change` makes them what they are.
fn both_ways(plan: &mut Plan, mut change: impl FnMut(PhonePlan) -> PhonePlan) {
    plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 15_000, Codec::Pcmu));
    plan.phone("talks", LinkConfig::lan(), change(call(1_500, 8_000)));
    plan.phone("listens", LinkConfig::lan(), change(listen(1_000, 8_000)));
    hear(plan, 15_000);
}

/// The player has what the phone with `index` said, but for `most` packets.
fn heard_all_but(evidence: &Evidence, index: usize, most: usize) -> Option<Violation> {
    let said = evidence.phones[index].spoken.len();
    let has = evidence.players[0].received.iter().filter(|seen| seen.stamp.is_some()).count();
    unless(said >= 300 && has <= said && has + most >= said, || {
        format!("the phone said {said} packets, the player has {has}")
    })
}

/// The phone heard something all the time, but for `longest`.
fn gap(report: &PhoneReport, longest: Duration) -> Option<Violation> {
    let over = report.ended.map(|(at, _)| at).unwrap_or_default();
    let times = report.heard.iter().map(|heard| heard.at).chain([over]);
    let times: Vec<Duration> = times.collect();
    let gap = times.windows(2).map(|two| two[1].saturating_sub(two[0])).max().unwrap_or_default();
    unless(times.len() > 300 && gap <= longest, || {
        format!("{} packets were heard, none for {gap:?}", times.len() - 1)
    })
}
