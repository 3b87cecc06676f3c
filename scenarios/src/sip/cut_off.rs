//! Phones that speak SIP over TCP and lose their connections: while it rings, while they talk, while they wait to be called.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Close, OverTcp, PhonePlan, Reply, Voice, Way},
};

use super::{
    call, call_by_name, call_out, callee, calm_ms, ends, hear_on,
    over_tcp::{any_way, called, heard_whole},
    registered::{BUSY, TAKES, of, registered, registers},
};
use crate::{catalogue::Scenario, fault::Lever, live::unless, plan::Plan};

/// How long the gateway waits to hear somebody who says nothing.
const SILENCE_MS: u64 = 6_000;

/// Connections are closed at that message.
fn closes(way: Way, index: u32, is_behind: bool, rng: &mut Rng) -> OverTcp {
    OverTcp { closes: vec![Close { way, index, is_behind }], ..any_way(rng) }
}

/// Calls whose connections are lost.
pub const TCP_CUT_OFF: Scenario = Scenario {
    name: "sip/tcp-cut-off",
    about: "connections are lost in calls, which go on; who ends them, phone or gateway, says so by another connection, if there is a way",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.rtp.silence_ms = SILENCE_MS;
        let talks = |dial: &str| {
            let call = call(500, 8_000);
            let stream = format!("call/{dial}");
            let voice = call.voice.clone().map(|voice| Voice { stream, ..voice });
            PhonePlan { dial: dial.to_owned(), voice, ..call }
        };
        // What it sends first and second are its INVITE and its ACK.
        let after_ack = |rng: &mut Rng| closes(Way::Sent, 1, true, rng);
        let resets = PhonePlan { tcp: Some(any_way(&mut rng)), ..talks("resets") };
        let closes_it = PhonePlan { tcp: Some(after_ack(&mut rng)), ..talks("closes") };
        let mute = |dial, tcp| PhonePlan { voice: None, tcp: Some(tcp), ..talks(dial) };
        let ended = PhonePlan { talk_ms: None, ..mute("ended", after_ack(&mut rng)) };
        let hidden = OverTcp { is_hidden: true, ..after_ack(&mut rng) };
        let hidden = PhonePlan { talk_ms: Some(12_000), ..mute("hidden", hidden) };
        for phone in [resets, closes_it, ended, hidden] {
            plan.phone(&phone.dial.clone(), LinkConfig::dsl(), phone);
        }
        plan.fault(2_000 + rng.below(4_000), "resets", Lever::ResetConnections);
        // It is asked by a connection that it closes before it says anything, or when it has said that it rings.
        let moment = [(Way::Received, 0, true), (Way::Sent, 1, true)][rng.below(2) as usize];
        let (way, index, is_behind) = moment;
        let reply = Reply { rings_ms: Some(200), ..TAKES };
        let rings = PhonePlan {
            tcp: Some(closes(way, index, is_behind, &mut rng)),
            ..callee("rings", vec![reply])
        };
        call_out(&mut plan, LinkConfig::dsl(), rings);
        for host in ["resets", "closes", "rings"] {
            hear_on(&mut plan, &format!("call/{host}"), 25_000);
        }
        plan.terms.calm_ms = calm_ms(&plan.config);
        plan
    },
    check: |evidence| {
        let over = [
            ("resets", "hung up"),
            ("closes", "hung up"),
            ("ended", "hung up by the gateway"),
            // Nobody could tell it.
            ("hidden", "hung up, answered with 481"),
            ("rings", "hung up"),
        ];
        let over = over.map(|(host, end)| ends(host, of(evidence, host), &[end]));
        let whole = ["resets", "closes", "rings"];
        let whole = whole.map(|host| heard_whole(evidence, host, &format!("call/{host}")));
        over.into_iter().chain(whole).flatten().collect()
    },
};

/// When connections of those who register are lost, after the start of the run.
const LOST_MS: u64 = 10_000;
/// Until the gateway calls again whoever did not take the call.
const REDIAL_MS: u64 = 30_000;

/// Registrations whose connections are lost.
pub const TCP_REGISTERED_ANEW: Scenario = Scenario {
    name: "sip/tcp-registered-anew",
    about: "who has registered over TCP and loses its connection registers again by another one, and is called by that",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        for (user, is_hidden) in [("hidden", true), ("open", false)] {
            let tcp = OverTcp { is_hidden, pings_ms: Some(5_000), ..any_way(&mut rng) };
            let phone = PhonePlan {
                start_ms: rng.below(1_000),
                tcp: Some(tcp),
                ..registered(registers(user, 100_000), vec![BUSY, TAKES])
            };
            plan.phone(user, LinkConfig::dsl(), phone);
            call_by_name(&mut plan, user).redial_ms = Some(REDIAL_MS);
            hear_on(&mut plan, &format!("call/{user}"), 100_000);
            plan.fault(LOST_MS + rng.below(10_000), user, Lever::ResetConnections);
        }
        plan
    },
    check: |evidence| {
        let each = ["hidden", "open"].into_iter().flat_map(|host| {
            let report = of(evidence, host);
            let lost = evidence.plan.faults.iter().find(|fault| fault.host == host);
            let lost = lost.map_or(Duration::ZERO, |fault| Duration::from_millis(fault.at_ms));
            let registrations = report.registrations.iter();
            let again = registrations.filter(|it| (lost..lost + SOON).contains(&it.asked_at));
            let again = again.filter(|it| it.granted_s.is_some()).count();
            let again =
                unless(again == 1, || format!("{host} was registered {again} times at {lost:?}"));
            let calls = called(report);
            let by: Vec<_> = calls.iter().map(|(_, over)| *over).collect();
            let is_right = by.starts_with(&[Some(0), Some(1)]);
            let by = unless(is_right, || format!("{host} was called by {by:?}"));
            [again, by, ends(host, report, &["hung up"])]
        });
        each.flatten().collect()
    },
};

/// For a phone to notice that its connection is gone, and to be registered by another one.
const SOON: Duration = Duration::from_millis(200);
