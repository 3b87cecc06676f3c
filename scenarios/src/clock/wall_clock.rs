//! The gateway's wall clock is set while streams run.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, raw::RawPlan},
};

use crate::{
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    plan::{Listener, Plan, Protocol},
    run::Evidence,
};

const HOUR_MS: i64 = 3_600_000;
const LEAVE_MS: u64 = 16_000;

/// The `Date` that the raw client at `index` was told.
fn date(evidence: &Evidence, index: usize) -> Option<String> {
    let report = evidence.raw_clients[index].as_ref().ok()?;
    let text = String::from_utf8_lossy(&report.received).to_lowercase();
    text.lines().find_map(|line| line.strip_prefix("date: ").map(str::to_owned))
}

/// Steps of an hour and more.
pub const WALL_CLOCK_STEPS: Scenario = Scenario {
    name: "clock/wall-clock-steps",
    about: "the wall clock steps by an hour in mid-stream: media do not notice, the Date of HTTP follows",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/steps");
        let mut plan = Plan::empty();
        plan.publisher("publisher", LinkConfig::dsl(), publish(10_000, MediaPlan::default()));
        for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            plan.player(host, LinkConfig::dsl(), protocol, play(rng.below(500), LEAVE_MS));
            let late = play(rng.range(2_000..=7_000), LEAVE_MS);
            plan.player(&format!("{host}-late"), LinkConfig::lan(), protocol, late);
        }
        let ask = |start_ms| RawPlan {
            start_ms,
            pieces: vec![b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec()],
            pause_ms: 1,
            half_close: false,
            read_from_ms: 0,
            leave_ms: LEAVE_MS,
        };
        plan.raw_client("asks-before", LinkConfig::lan(), Listener::Http, ask(500));
        let direction = if rng.below(2) == 0 { 1 } else { -1 };
        // The last of them leaves the clock two hours from where it was.
        for step_ms in [HOUR_MS, -2 * HOUR_MS, 3 * HOUR_MS] {
            let at_ms = rng.range(1_000..=9_000);
            plan.fault(at_ms, "gateway", Lever::StepWallClock(direction * step_ms));
        }
        plan.raw_client("asks-after", LinkConfig::lan(), Listener::Http, ask(9_500));
        // The twin's clock does not step, and everything arrives at the very same time.
        plan.terms.faulty.push("gateway".to_owned());
        plan.terms.twin_within_ms = Some(0);
        plan
    },
    check: |evidence| {
        let [before, after] = [0, 1].map(|index| date(evidence, index));
        let twin = evidence.twin.as_ref().and_then(|twin| date(twin, 1));
        let follows = before.is_some() && after.is_some() && after != twin;
        unless(follows, || format!("Dates are {before:?} and {after:?}, without steps {twin:?}"))
            .into_iter()
            .collect()
    },
};
