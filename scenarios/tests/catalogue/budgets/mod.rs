//! Budgets: what each connection, subscriber and stream costs the gateway, against `snapshots/budgets.snap`.

#![allow(clippy::disallowed_methods, reason = "reads the golden file")]

mod costs;
mod golden;
mod user_agents;

use std::path::PathBuf;

use insta::Settings;

use costs::{Media, Subscribers};
use golden::{Budget, Unit, settled};

/// The most that a subscriber may cost that keeps up, whatever the golden file says: the oracle of bounded memory counts on it.
const SUBSCRIBER_BYTES_MAX: f64 = 8_192.0;
/// The same for frames: most are delivered without an allocation.
const ALLOCATIONS_PER_1000_FRAMES_MAX: f64 = 100.0;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../snapshots")
}

fn budgets() -> Vec<Budget> {
    let mut budgets = Vec::new();
    let mut add = |what, cost: costs::Cost| {
        budgets.push(Budget { what, unit: Unit::Bytes, value: cost.bytes });
        budgets.push(Budget { what, unit: Unit::Blocks, value: cost.blocks });
    };
    let subscribers = [("RTMP", false), ("HTTP-FLV", true)].map(|(protocol, over_http)| {
        let seen = costs::subscribers(over_http);
        assert_within_bounds(protocol, &seen);
        seen
    });
    add("a gateway that has just started", costs::started());
    add("an idle RTMP connection, after connect", costs::idle_rtmp());
    add("a user agent over RTMP without a call", user_agents::without_call(false));
    add("a user agent over RTMP that is registered", user_agents::without_call(true));
    add("a user agent over RTMP in a call without media", user_agents::in_call());
    add("an idle HTTP connection, after an answer", costs::idle_http());
    add("a player over RTMP that keeps up", subscribers[0].cost);
    add("a viewer over HTTP-FLV that keeps up", subscribers[1].cost);
    add("a publish that has sent nothing", costs::publishes(Media::None));
    add("a publish of 47 audio frames of 40 bytes a second", costs::publishes(Media::Audio));
    add("a publish of 25 pictures, 6 kB keyframes, and audio", costs::publishes(Media::Whole));
    let names = ["delivery to 1,100 players over RTMP", "delivery to 1,100 viewers over HTTP-FLV"];
    for (what, seen) in names.into_iter().zip(&subscribers) {
        let value = seen.allocations_per_1000_frames;
        budgets.push(Budget { what, unit: Unit::AllocationsPer1000, value });
    }
    budgets
}

fn assert_within_bounds(protocol: &str, seen: &Subscribers) {
    let Subscribers { cost, allocations_per_1000_frames: allocations } = seen;
    assert!(cost.bytes > 500.0, "{protocol}: {} bytes cannot be all of it", cost.bytes);
    assert!(cost.bytes <= SUBSCRIBER_BYTES_MAX, "{protocol}: a subscriber holds {}", cost.bytes);
    assert!(*allocations > 0.0, "{protocol}: the publisher's frames are allocated");
    assert!(*allocations <= ALLOCATIONS_PER_1000_FRAMES_MAX, "{protocol}: {allocations}");
}

#[test]
fn everything_costs_what_the_golden_file_says() {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path(folder());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    let recorded = std::fs::read_to_string(folder().join("budgets.snap")).unwrap_or_default();
    insta::assert_snapshot!("budgets", settled(&budgets(), &recorded));
}
