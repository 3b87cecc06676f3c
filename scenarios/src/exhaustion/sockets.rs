//! A client's host runs out of ports.

use rehearsal_sim::{LinkConfig, Rng, TIME_WAIT, clients::media::MediaPlan};

use super::first_at;
use crate::{
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    plan::{Plan, Protocol},
};

/// More players on one host than it has ports.
pub const PORTS: Scenario = Scenario {
    name: "exhaust/ports",
    about: "a client's host has no port left: who is connected goes on, who comes later is served",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/ports");
        let mut plan = Plan::empty();
        let time_wait_ms = TIME_WAIT.as_millis() as u64;
        let leave_ms = time_wait_ms + 20_000;
        let media = MediaPlan { audio_bytes: 0, ..MediaPlan::default() };
        plan.publisher("publisher", LinkConfig::lan(), publish(leave_ms - 6_000, media));
        plan.player("elsewhere", LinkConfig::lan(), Protocol::Rtmp, play(500, leave_ms));
        plan.fault(0, "office", Lever::EphemeralPorts(40_000, 40_001));
        let gone_ms = rng.range(6_000..=8_000);
        let player = Protocol::Rtmp;
        let viewer = Protocol::HttpFlv;
        let (stays, goes) = if rng.below(2) == 0 { (player, viewer) } else { (viewer, player) };
        let late_ms = gone_ms + time_wait_ms + rng.range(500..=2_000);
        let mut add = |protocol, start_ms, leave_ms| {
            plan.player("office", LinkConfig::lan(), protocol, play(start_ms, leave_ms));
        };
        add(stays, rng.range(100..=2_000), leave_ms);
        add(goes, rng.range(100..=2_000), gone_ms);
        add(player, rng.range(2_500..=5_000), leave_ms);
        add(viewer, rng.range(2_500..=5_000), leave_ms);
        // A port waits for late packets of its last connection.
        add(goes, late_ms, leave_ms);
        plan.terms.faulty.push("office".to_owned());
        plan.terms.twin_within_ms = Some(1);
        plan
    },
    check: |evidence| {
        let office = evidence.players[1..].iter().zip([true, true, false, false, true]);
        office
            .enumerate()
            .filter_map(|(index, (report, served))| {
                let fared = first_at(report).is_some() == served
                    && (served || report.end == "address not available");
                unless(fared, || format!("player {index} of the office ended: {}", report.end))
            })
            .collect()
    },
};
