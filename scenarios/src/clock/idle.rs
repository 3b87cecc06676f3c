//! Days in which players wait for somebody to publish.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, publisher::PublishPlan},
};

use crate::{
    catalogue::Scenario,
    live::{play, publish, unless},
    plan::{Plan, Protocol, VANISHED_CALM_MS},
};

const HOUR_MS: u64 = 3_600_000;

/// Three days, two publishes.
pub const IDLE_DAYS: Scenario = Scenario {
    name: "clock/idle-days",
    about: "players wait for days, pinged all the time, and get the first frame of who comes at last",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/days");
        let mut plan = Plan::empty();
        let first_ms = rng.range(20 * HOUR_MS..=30 * HOUR_MS);
        let second_ms = first_ms + rng.range(30 * HOUR_MS..=45 * HOUR_MS);
        for (start_ms, epoch) in [(first_ms, 1), (second_ms, 2)] {
            let comes = PublishPlan { epoch, start_ms, ..publish(6_000, MediaPlan::default()) };
            plan.publisher(&format!("publisher-{epoch}"), LinkConfig::dsl(), comes);
        }
        let leave_ms = second_ms + 12_000;
        plan.player("player-dsl", LinkConfig::dsl(), Protocol::Rtmp, play(100, leave_ms));
        plan.player("player-lte", LinkConfig::lte(), Protocol::Rtmp, play(200, leave_ms));
        // One that nobody waits with is told after a while, and comes back.
        plan.player("viewer", LinkConfig::lan(), Protocol::HttpFlv, play(300, 20_000));
        let again = play(second_ms - 2_000, leave_ms);
        plan.player("viewer-again", LinkConfig::lan(), Protocol::HttpFlv, again);
        plan.terms.slack_ms = 2_000;
        // A reset that is lost is noticed by the next ping, which is sooner.
        plan.terms.calm_ms = VANISHED_CALM_MS;
        plan
    },
    check: |evidence| {
        let mut violations = Vec::new();
        for player in &evidence.players[..2] {
            let mut epochs: Vec<_> =
                player.received.iter().filter_map(|seen| Some(seen.stamp?.epoch)).collect();
            epochs.dedup();
            violations.extend(unless(epochs == [1, 2], || {
                format!("a player who waited saw epochs {epochs:?} and ended: {}", player.end)
            }));
        }
        let told = &evidence.players[2];
        let in_time = told.end == "status 404" && told.ended_at < Duration::from_secs(15);
        violations.extend(unless(in_time, || {
            format!("a viewer of nothing ended at {:?}: {}", told.ended_at, told.end)
        }));
        violations
    },
};
