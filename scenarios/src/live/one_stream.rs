//! One stream that comes, goes and comes back, and players before, during and after.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::{Leave, PublishPlan, Source},
        rtmp_player::PlayReport,
        verify::{Kind, Logged},
    },
};

use super::{play, publish, unless};
use crate::{
    catalogue::Scenario,
    plan::{Plan, Protocol},
};

fn first_of(report: &PlayReport, kind: Kind) -> Option<&Logged> {
    report.received.iter().find(|seen| seen.kind == kind)
}

/// A publisher and three players around its start.
pub const ONE_PUBLISHER_THREE_PLAYERS: Scenario = Scenario {
    name: "live/one-publisher-three-players",
    about: "one publisher; two players over RTMP and one over HTTP-FLV get every frame",
    parity: true,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/start");
        let mut plan = Plan::empty();
        plan.publisher("publisher", LinkConfig::dsl(), publish(10_000, MediaPlan::default()));
        plan.player("player-lan", LinkConfig::lan(), Protocol::Rtmp, play(rng.below(500), 16_000));
        plan.player("player-dsl", LinkConfig::dsl(), Protocol::Rtmp, play(rng.below(500), 16_000));
        let viewer = play(rng.below(500), 16_000);
        plan.player("viewer-dsl", LinkConfig::dsl(), Protocol::HttpFlv, viewer);
        plan
    },
    check: |evidence| {
        let whole = |player: &PlayReport| player.received.len() >= 650 && player.gaps == 0;
        evidence
            .players
            .iter()
            .filter_map(|player| {
                unless(whole(player), || format!("only {} messages came", player.received.len()))
            })
            .collect()
    },
};

/// Players who come in the middle of a GOP.
pub const LATE_JOINER: Scenario = Scenario {
    name: "live/late-joiner",
    about: "players who come in mid-stream start at a keyframe with its headers, at once",
    parity: true,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/start");
        let mut plan = Plan::empty();
        plan.publisher("publisher", LinkConfig::dsl(), publish(10_000, MediaPlan::default()));
        for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            // In the middle of the second and the third GOP of 2 s.
            for gop in [1, 2] {
                let start_ms = 2_000 * gop + 400 + rng.below(1_200);
                let host = format!("{host}-{gop}");
                plan.player(&host, LinkConfig::dsl(), protocol, play(start_ms, 16_000));
            }
        }
        plan
    },
    check: |evidence| {
        let mut violations = Vec::new();
        for (player, report) in evidence.plan.players.iter().zip(&evidence.players) {
            let first = first_of(report, Kind::Keyframe).and_then(|seen| seen.stamp);
            let cached =
                first.is_some_and(|stamp| stamp.index > 0 && stamp.index.is_multiple_of(50));
            violations.extend(unless(cached, || {
                format!("{} did not start at a later keyframe: {first:?}", player.host)
            }));
            let waited_ms = report
                .received
                .first()
                .map_or(u64::MAX, |seen| seen.at.as_millis() as u64 - player.plan.start_ms);
            violations.extend(unless(waited_ms < 300, || {
                format!("{} waited {waited_ms} ms for cached frames", player.host)
            }));
        }
        violations
    },
};

/// A publisher goes and comes back, and a third tries to take the name.
pub const REPUBLISH: Scenario = Scenario {
    name: "live/republish",
    about: "a publisher goes, is killed, and comes back: epochs never mix, a taken name is refused",
    parity: true,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/start");
        let mut plan = Plan::empty();
        let epoch = |epoch, start_ms, leave| PublishPlan {
            epoch,
            start_ms,
            leave,
            digest: epoch == 2,
            ..publish(4_000, MediaPlan::default())
        };
        plan.publisher("publisher-1", LinkConfig::dsl(), epoch(1, 0, Leave::Orderly));
        let second_ms = 5_000 + rng.below(1_000);
        plan.publisher("publisher-2", LinkConfig::dsl(), epoch(2, second_ms, Leave::Killed));
        let third_ms = second_ms + 4_500 + rng.below(1_000);
        plan.publisher("publisher-3", LinkConfig::lan(), epoch(3, third_ms, Leave::Orderly));
        let intruder_ms = 1_000 + rng.below(2_000);
        plan.publisher("intruder", LinkConfig::lan(), epoch(9, intruder_ms, Leave::Orderly));
        let end_ms = third_ms + 8_000;
        plan.player("player-stays", LinkConfig::lan(), Protocol::Rtmp, play(200, end_ms));
        plan.player("player-dsl", LinkConfig::dsl(), Protocol::Rtmp, play(3_000, end_ms));
        plan.player("viewer-1", LinkConfig::lan(), Protocol::HttpFlv, play(300, end_ms));
        let second_viewer = play(second_ms + 500, end_ms);
        plan.player("viewer-2", LinkConfig::dsl(), Protocol::HttpFlv, second_viewer);
        plan
    },
    check: |evidence| {
        let mut violations = Vec::new();
        let refused = evidence.publishers[3].refused.as_deref();
        let bad_name = refused == Some("NetStream.Publish.BadName");
        violations.extend(unless(bad_name, || format!("the intruder was answered {refused:?}")));
        let mut epochs: Vec<_> =
            evidence.players[0].received.iter().filter_map(|seen| seen.stamp).collect();
        epochs.dedup_by_key(|stamp| stamp.epoch);
        let epochs: Vec<_> = epochs.iter().map(|stamp| stamp.epoch).collect();
        violations.extend(unless(epochs == [1, 2, 3], || {
            format!("the player who stayed saw epochs {epochs:?}")
        }));
        for viewer in &evidence.players[2..] {
            violations.extend(unless(viewer.end == "end of the response", || {
                format!("a viewer's response ended with: {}", viewer.end)
            }));
        }
        violations
    },
};

/// Players who wait for a publisher.
pub const PLAYER_FIRST: Scenario = Scenario {
    name: "live/player-first",
    about: "players who come before the publisher wait and get its first frame",
    parity: true,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/start");
        let mut plan = Plan::empty();
        let start_ms = 3_000 + rng.below(2_000);
        let first = PublishPlan { start_ms, ..publish(5_000, MediaPlan::default()) };
        plan.publisher("publisher", LinkConfig::dsl(), first);
        plan.player("player", LinkConfig::dsl(), Protocol::Rtmp, play(rng.below(1_000), 14_000));
        plan.player("viewer", LinkConfig::lan(), Protocol::HttpFlv, play(rng.below(1_000), 14_000));
        plan
    },
    check: |evidence| {
        let from_the_start = |player: &PlayReport| {
            [Kind::Keyframe, Kind::Audio].into_iter().all(|kind| {
                let first = first_of(player, kind).and_then(|seen| seen.stamp);
                first.is_some_and(|stamp| stamp.index == 0)
            })
        };
        let missed = |player: &PlayReport| {
            unless(from_the_start(player), || "a player missed the first frames".to_owned())
        };
        evidence.players.iter().filter_map(missed).collect()
    },
};

/// An FLV file made by ffmpeg.
pub const REAL_FILE: Scenario = Scenario {
    name: "live/real-file",
    about: "a real H.264 and AAC file arrives bit for bit over RTMP and HTTP-FLV",
    parity: true,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/start");
        let mut plan = Plan::empty();
        let source = Source::FlvFile("/testsrc.flv".into());
        let file = PublishPlan { source, start_ms: 1_000, ..publish(20_000, MediaPlan::default()) };
        plan.publisher("publisher", LinkConfig::dsl(), file);
        plan.player("player", LinkConfig::dsl(), Protocol::Rtmp, play(rng.below(900), 18_000));
        plan.player("viewer", LinkConfig::dsl(), Protocol::HttpFlv, play(rng.below(900), 18_000));
        let late = play(4_000 + rng.below(3_000), 18_000);
        plan.player("player-late", LinkConfig::lan(), Protocol::Rtmp, late);
        plan
    },
    check: |evidence| {
        let sent: Vec<_> = evidence.publishers[0].sent.iter().map(|seen| seen.hash).collect();
        let whole = |player: &PlayReport| {
            player.received.iter().map(|seen| seen.hash).eq(sent.iter().copied())
        };
        let early = &evidence.players[..2];
        let broken = |player: &PlayReport| {
            unless(whole(player), || {
                format!("{} messages came, {} were sent", player.received.len(), sent.len())
            })
        };
        early.iter().filter_map(broken).collect()
    },
};
