//! The gateway's process stands still while its kernel goes on.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, publisher::PublishPlan},
};

use crate::{
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    plan::{Plan, Protocol},
};

/// A stream and its players, among them some who come while nothing moves, for `freeze_ms`.
fn frozen(seed: u64, freeze_ms: (u64, u64)) -> Plan {
    let mut rng = Rng::named(seed, "scenario/freeze");
    let mut plan = Plan::empty();
    let freeze_ms = rng.range(freeze_ms.0..=freeze_ms.1);
    let from_ms = rng.range(2_500..=6_000);
    plan.fault(from_ms, "gateway", Lever::Frozen(true));
    plan.fault(from_ms + freeze_ms, "gateway", Lever::Frozen(false));
    let duration_ms = from_ms + freeze_ms + 8_000;
    let leave_ms = duration_ms + freeze_ms + 8_000;
    plan.publisher("publisher", LinkConfig::dsl(), publish(duration_ms, MediaPlan::default()));
    let other = PublishPlan {
        stream: "live/silence".into(),
        ..publish(duration_ms, MediaPlan { gop_frames: 0, ..MediaPlan::default() })
    };
    plan.publisher("radio", LinkConfig::lan(), other);
    for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
        plan.player(host, LinkConfig::dsl(), protocol, play(rng.below(1_000), leave_ms));
        let comes_ms = from_ms + rng.below(freeze_ms);
        let meanwhile = play(comes_ms, leave_ms);
        plan.player(&format!("{host}-meanwhile"), LinkConfig::lan(), protocol, meanwhile);
        let late = play(from_ms + freeze_ms + rng.below(2_000), leave_ms);
        plan.player(&format!("{host}-late"), LinkConfig::lan(), protocol, late);
    }
    plan.terms.slack_ms = freeze_ms;
    plan
}

/// Shorter than every deadline.
pub const FREEZE: Scenario = Scenario {
    name: "stop/freeze",
    about: "the gateway's process stands still for less than its deadlines: everything arrives, later",
    parity: false,
    heavy: false,
    plan: |seed| frozen(seed, (100, 3_500)),
    check: |evidence| {
        evidence
            .players
            .iter()
            .filter_map(|player| unless(player.gaps == 0, || format!("{} gaps", player.gaps)))
            .collect()
    },
};

/// Longer than most.
pub const FREEZE_BEYOND_DEADLINES: Scenario = Scenario {
    name: "stop/freeze-beyond-deadlines",
    about: "the gateway's process stands still for longer than its deadlines: nobody who did his part is closed",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = frozen(seed, (1_500, 2_900));
        let rtmp = &mut plan.config.rtmp;
        // The silence is over before a ping is due, which would be sent first.
        (rtmp.publisher_silence_ms, rtmp.ping_ms, rtmp.ping_timeout_ms) = (1_000, 1_100, 300);
        (rtmp.handshake_ms, rtmp.command_ms) = (1_000, 1_000);
        plan.config.http.head_ms = 1_000;
        plan.config.live.player_stall_ms = 1_000;
        plan
    },
    check: |evidence| {
        evidence
            .publishers
            .iter()
            .filter_map(|publisher| {
                unless(publisher.end == "closed in order", || {
                    format!("the publisher of {} ended: {}", publisher.stream, publisher.end)
                })
            })
            .collect()
    },
};
