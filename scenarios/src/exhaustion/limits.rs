//! Limits of the configuration that are so small that they are reached.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::PublishPlan,
        raw::RawPlan,
        rtmp_player::{PlayPlan, Stall},
    },
};

use super::first_at;
use crate::{
    catalogue::Scenario,
    live::{play, publish, unless},
    plan::{Listener, Plan, Protocol},
};

const LEAVE_MS: u64 = 20_000;

/// Room for four connections.
pub const CONNECTIONS: Scenario = Scenario {
    name: "exhaust/connections",
    about: "limits.max_connections is reached: more are closed at once, and served when there is room",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/connections");
        let mut plan = Plan::empty();
        plan.config.limits.max_connections = 4;
        plan.publisher("publisher", LinkConfig::lan(), publish(14_000, MediaPlan::default()));
        plan.player("player", LinkConfig::lan(), Protocol::Rtmp, play(200, LEAVE_MS));
        plan.player("viewer", LinkConfig::dsl(), Protocol::HttpFlv, play(300, LEAVE_MS));
        let free_ms = rng.range(6_000..=8_000);
        let idle = RawPlan {
            start_ms: 400,
            pieces: vec![vec![3]],
            pause_ms: 1,
            half_close: false,
            read_from_ms: 0,
            leave_ms: free_ms,
        };
        plan.raw_client("idle", LinkConfig::lan(), Listener::Rtmp, idle);
        for number in 0..rng.range(2..=5) {
            let protocol = if number % 2 == 0 { Protocol::Rtmp } else { Protocol::HttpFlv };
            let host = format!("more-{number}");
            let comes_ms = rng.range(700..=free_ms - 100);
            plan.player(&host, LinkConfig::lan(), protocol, play(comes_ms, LEAVE_MS));
            plan.terms.faulty.push(host);
        }
        let protocol = if rng.below(2) == 0 { Protocol::Rtmp } else { Protocol::HttpFlv };
        let late_ms = free_ms + rng.range(5..=500);
        plan.player("later", LinkConfig::lan(), protocol, play(late_ms, LEAVE_MS));
        plan.terms.twin_within_ms = Some(1);
        plan
    },
    check: |evidence| {
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        hosts
            .filter(|(player, _)| evidence.plan.is_faulty(&player.host))
            .filter_map(|(player, report)| {
                let came = Duration::from_millis(player.plan.start_ms);
                let at_once = report.ended_at < came + Duration::from_millis(50);
                unless(at_once && report.received.is_empty(), || {
                    format!("{} ended at {:?}: {}", player.host, report.ended_at, report.end)
                })
            })
            .collect()
    },
};

/// Room for two streams.
pub const STREAMS: Scenario = Scenario {
    name: "exhaust/streams",
    about: "live.max_streams is reached: publishers, players and viewers of more are told, until there is room",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/streams");
        let mut plan = Plan::empty();
        plan.config.live.max_streams = 2;
        let publishes = |stream: &str, start_ms, duration_ms| PublishPlan {
            stream: stream.to_owned(),
            start_ms,
            ..publish(duration_ms, MediaPlan::default())
        };
        let plays = |stream: &str, start_ms, leave_ms| PlayPlan {
            stream: stream.to_owned(),
            ..play(start_ms, leave_ms)
        };
        let free_ms = rng.range(6_000..=7_000);
        plan.publisher("stays", LinkConfig::lan(), publishes("live/a", 0, 14_000));
        plan.player("player", LinkConfig::lan(), Protocol::Rtmp, plays("live/a", 200, LEAVE_MS));
        // Somebody who waits for a stream holds its name as well as who publishes it.
        plan.player("waiter", LinkConfig::lan(), Protocol::Rtmp, plays("live/b", 100, free_ms));
        let more_ms = rng.range(1_000..=5_000);
        plan.publisher("more", LinkConfig::lan(), publishes("live/c", more_ms, 4_000));
        let mut refused = |host: &str, protocol| {
            let start_ms = rng.range(500..=5_500);
            plan.player(host, LinkConfig::lan(), protocol, plays("live/d", start_ms, LEAVE_MS));
            plan.terms.faulty.push(host.to_owned());
        };
        refused("more-player", Protocol::Rtmp);
        refused("more-viewer", Protocol::HttpFlv);
        plan.terms.faulty.push("more".to_owned());
        let later_ms = free_ms + rng.range(20..=500);
        let later = PublishPlan { epoch: 2, ..publishes("live/c", later_ms, 4_000) };
        plan.publisher("later", LinkConfig::lan(), later);
        let viewer = plays("live/c", later_ms + 200, LEAVE_MS);
        plan.player("viewer", LinkConfig::lan(), Protocol::HttpFlv, viewer);
        plan.terms.twin_within_ms = Some(1);
        plan
    },
    check: |evidence| {
        let mut violations = Vec::new();
        let refused = evidence.publishers[1].refused.as_deref();
        violations.extend(unless(refused == Some("NetStream.Publish.Denied"), || {
            format!("who published too many was answered {refused:?}")
        }));
        let ends = [&evidence.players[2].end[..], &evidence.players[3].end[..]];
        violations.extend(unless(ends == ["refused", "status 503"], || {
            format!("who played too many ended with {ends:?}")
        }));
        violations
    },
};

/// A ring that does not hold a GOP, and next to nothing on its way to a connection.
pub const MEMORY: Scenario = Scenario {
    name: "exhaust/memory",
    about: "with tiny limits of memory nobody who keeps up notices, and who does not starts again at a keyframe",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/memory");
        let mut plan = Plan::empty();
        let live = &mut plan.config.live;
        (live.ring_bytes, live.max_headers_bytes, live.in_flight_bytes) = (1 << 16, 4_096, 4_096);
        // A GOP is more than the ring may hold, a keyframe is not.
        let keyframe_bytes = rng.range(30_000..=50_000) as usize;
        let media = MediaPlan {
            gop_frames: 25,
            keyframe_bytes,
            header_every_gops: 2,
            ..MediaPlan::default()
        };
        plan.publisher("publisher", LinkConfig::lan(), publish(14_000, media));
        for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            plan.player(host, LinkConfig::lan(), protocol, play(rng.below(500), LEAVE_MS));
            let late = play(rng.range(2_000..=6_000), LEAVE_MS);
            plan.player(&format!("{host}-late"), LinkConfig::lan(), protocol, late);
            let from_ms = rng.range(2_000..=4_000);
            let stall = Some(Stall { from_ms, to_ms: from_ms + 6_000 });
            let slow = PlayPlan { stall, ..play(rng.below(500), LEAVE_MS) };
            plan.player(&format!("{host}-slow"), LinkConfig::lan(), protocol, slow);
        }
        // Who comes when the keyframe of the GOP is gone has audio until the next one.
        plan.terms.may_skip = plan.players.iter().map(|player| player.host.clone()).collect();
        plan
    },
    check: |evidence| {
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        hosts
            .filter_map(|(player, report)| {
                let slow = player.plan.stall.is_some();
                let served = first_at(report).is_some();
                unless(served && (report.gaps > 0) == slow, || {
                    format!("{} has {} gaps, served: {served}", player.host, report.gaps)
                })
            })
            .collect()
    },
};
