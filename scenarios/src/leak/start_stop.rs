//! The gateway ends while clients are there, told to or not, and is started again.

use std::time::Duration;

use rehearsal_sim::{LinkConfig, Rng, clients::publisher::PublishPlan};

use super::{has_all_of, media_of, plays, publishes, sends};
use crate::{
    catalogue::Scenario,
    fault::Lever,
    live::{STREAM, unless},
    plan::{Listener, Plan, Protocol},
    run::{Evidence, Life},
    wire::handshake,
};

/// When the three lives of the gateway begin, roughly.
const BEGINS_MS: [u64; 3] = [0, 6_000, 11_000];
/// Clients are there for so long before their gateway ends.
const SERVED_MS: u64 = 3_000;
/// The last life's stream.
const LAST_MS: u64 = 3_000;
/// Time to be told of the end of the stream.
const LEAVE_AFTER_MS: u64 = 3_500;
/// Links and tasks may take this long.
const SOON: Duration = Duration::from_millis(50);

/// Told to end, crashed, and used in order.
pub const START_STOP: Scenario = Scenario {
    name: "leak/start-stop",
    about: "the gateway ends in order and crashes with clients there, and serves as before when it is back",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/leak/start-stop");
        let mut plan = Plan::empty();
        plan.config.limits.shutdown_ms = 2_000;
        plan.config.limits.farewell_ms = 500;
        for (life, begins_ms) in (1..).zip(BEGINS_MS) {
            let is_last = begins_ms == BEGINS_MS[2];
            let start_ms = begins_ms + rng.range(100..=400);
            // A publisher that is cut off would go on for longer.
            let duration_ms = if is_last { LAST_MS } else { 6_000 };
            let publish = PublishPlan {
                epoch: life,
                digest: rng.below(2) == 0,
                ..publishes(STREAM, start_ms, duration_ms)
            };
            plan.publisher(&format!("publisher-{life}"), LinkConfig::lan(), publish);
            let leave_ms = start_ms + duration_ms + LEAVE_AFTER_MS;
            for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
                let comes_ms = start_ms - rng.below(90);
                let play = plays(STREAM, comes_ms, leave_ms);
                plan.player(&format!("{host}-{life}"), LinkConfig::lan(), protocol, play);
                let waits = plays("live/nothing", comes_ms, leave_ms);
                plan.player(&format!("{host}-waits-{life}"), LinkConfig::lan(), protocol, waits);
            }
            let half = [
                ("shaken", Listener::Rtmp, handshake()[..2_000].to_vec()),
                ("in-head", Listener::Http, b"GET /live/cam.flv HTTP/1.1\r\nHo".to_vec()),
            ];
            for (host, listener, bytes) in half {
                let raw = sends(start_ms, bytes, leave_ms);
                plan.raw_client(&format!("{host}-{life}"), LinkConfig::lan(), listener, raw);
            }
        }
        let ends_ms = BEGINS_MS[0] + SERVED_MS + rng.below(300);
        plan.fault(ends_ms, "gateway", Lever::ShutDown);
        plan.fault(ends_ms + rng.range(2_100..=2_600), "gateway", Lever::Restart);
        let crash_ms = BEGINS_MS[1] + SERVED_MS + rng.below(300);
        plan.fault(crash_ms, "gateway", Lever::Crash);
        plan.fault(crash_ms + rng.range(300..=1_600), "gateway", Lever::Restart);
        plan
    },
    check: |evidence| {
        let Evidence { lives, publishers, players, plan, .. } = evidence;
        let mut violations = Vec::new();
        // The last life ends with the run, if at all.
        let is_as_planned = matches!(lives[..], [Life::ToldToEnd { .. }, Life::Crashed, ..]);
        violations.extend(unless(is_as_planned, || format!("the gateway's lives were {lives:?}")));
        let told = plan.outages()[0].from;
        let hosts = plan.players.iter().zip(players);
        for (player, report) in hosts.filter(|(player, _)| player.plan.stream == STREAM) {
            let life = player.host[player.host.len() - 1..].parse().unwrap_or(0);
            let count = media_of(life, &report.received).len();
            let is_told = match (life, player.protocol) {
                (1, Protocol::Rtmp) => report.end == "closed by the server",
                (1, Protocol::HttpFlv) => report.end == "end of the response",
                _ => true,
            };
            let is_whole = life < 3 || has_all_of(&publishers[2], report);
            let in_time = life > 1 || (told..told + SOON).contains(&report.ended_at);
            violations.extend(unless(count > 100 && is_told && is_whole && in_time, || {
                let (host, at, end) = (&player.host, report.ended_at, &report.end);
                format!("{host} got {count} frames and ended at {at:?} with: {end}")
            }));
        }
        let ends: Vec<_> = publishers.iter().map(|publisher| &publisher.end[..]).collect();
        let expected = ["closed by the server", "connection reset", "closed in order"];
        violations.extend(unless(ends == expected, || format!("the publishers ended: {ends:?}")));
        // Whoever was in the middle of something when the gateway was told to end is closed.
        let halves = plan.raw_clients.iter().zip(&evidence.raw_clients).take(2);
        violations.extend(halves.filter_map(|(raw, report)| {
            let closed_at = report.as_ref().ok().and_then(|report| report.closed_at);
            let in_time = closed_at.is_some_and(|at| (told..told + SOON).contains(&at));
            unless(in_time, || format!("{} was closed at {closed_at:?}", raw.host))
        }));
        violations
    },
};
