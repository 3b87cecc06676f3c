//! Peers whose connection or host is lost, and who come back elsewhere.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, publisher::PublishPlan, rtmp_player::PlayPlan},
};

use crate::{
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    oracles::Violation,
    plan::{Plan, Protocol, VANISHED_CALM_MS},
    run::Evidence,
};

const SILENCE_MS: u64 = 3_000;

/// A publisher that `lever` strikes in mid-stream, and comebacks at times after it; and players throughout.
fn struck_publisher(seed: u64, lever: Lever, comebacks: [(u64, u64); 2]) -> Plan {
    let mut rng = Rng::named(seed, "scenario/strike");
    let mut plan = Plan::empty();
    plan.config.rtmp.publisher_silence_ms = SILENCE_MS;
    plan.terms.calm_ms = VANISHED_CALM_MS;
    plan.terms.slack_ms = 200;
    plan.terms.faulty.push("publisher".to_owned());
    let first = PublishPlan { start_ms: 200, ..publish(20_000, MediaPlan::default()) };
    plan.publisher("publisher", LinkConfig::dsl(), first);
    let struck_ms = rng.range(3_000..=6_000);
    plan.fault(struck_ms, "publisher", lever);
    for ((from_ms, to_ms), epoch) in comebacks.into_iter().zip(2..) {
        let start_ms = struck_ms + rng.range(from_ms..=to_ms);
        let again = PublishPlan { start_ms, epoch, ..publish(4_000, MediaPlan::default()) };
        plan.publisher(&format!("again-{epoch}"), LinkConfig::dsl(), again);
    }
    let leave_ms = struck_ms + 15_000;
    plan.player("player", LinkConfig::dsl(), Protocol::Rtmp, play(rng.below(500), leave_ms));
    plan.player("viewer", LinkConfig::lan(), Protocol::HttpFlv, play(rng.below(500), leave_ms));
    plan
}

/// The first publisher lost its connection with `end`, and each of the others was refused or not.
fn fared(evidence: &Evidence, end: &str, refused: [bool; 2]) -> Vec<Violation> {
    let [first, again @ ..] = &evidence.publishers[..] else { unreachable!() };
    let lost = unless(first.end == end, || format!("the first publisher ended: {}", first.end));
    let others = again.iter().zip(refused).filter_map(|(publisher, refused)| {
        unless(publisher.refused.is_some() == refused, || {
            format!("epoch {} was refused: {:?}", publisher.epoch, publisher.refused)
        })
    });
    lost.into_iter().chain(others).collect()
}

/// A NAT forgets a publisher.
pub const REBOUND_PUBLISHER: Scenario = Scenario {
    name: "churn/rebound-publisher",
    about: "a NAT forgets a publisher: its name is held for the silence that a peer may have, then free",
    parity: false,
    heavy: false,
    plan: |seed| {
        let comebacks = [(200, SILENCE_MS - 300), (SILENCE_MS + 100, SILENCE_MS + 2_000)];
        let mut plan = struck_publisher(seed, Lever::RebindNat, comebacks);
        // The NAT is there before its first packet.
        plan.fault(0, "publisher", Lever::RebindNat);
        plan
    },
    // The gateway knows no connection from the new port and says so.
    check: |evidence| fared(evidence, "connection reset", [true, false]),
};

/// A publisher's connections are reset.
pub const RESET_PUBLISHER: Scenario = Scenario {
    name: "churn/reset-publisher",
    about: "the connection of a publisher is reset: its name is free as soon as the gateway knows",
    parity: false,
    heavy: false,
    plan: |seed| {
        // The reset is on its way for 12 ms; who comes back in that time takes two round trips to ask.
        let comebacks = [(0, 60), (1_000, 3_000)];
        struck_publisher(seed, Lever::ResetConnections, comebacks)
    },
    check: |evidence| fared(evidence, "connection aborted", [false, true]),
};

/// Hosts of players crash.
pub const CRASHED_PLAYERS: Scenario = Scenario {
    name: "churn/crashed-players",
    about: "hosts of players crash, one comes back: nobody else notices, and nothing is left of them",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/crash");
        let mut plan = Plan::empty();
        plan.config.rtmp.ping_ms = 4_000;
        plan.config.rtmp.ping_timeout_ms = 2_000;
        plan.config.live.player_stall_ms = 4_000;
        plan.terms.calm_ms = VANISHED_CALM_MS;
        plan.terms.twin_within_ms = Some(1);
        // Enough to fill what the sockets buffer before the stream ends.
        let media = MediaPlan { keyframe_bytes: 60_000, ..MediaPlan::default() };
        plan.publisher("publisher", LinkConfig::lan(), publish(20_000, media));
        for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            plan.player(host, LinkConfig::lan(), protocol, play(rng.below(2_000), 26_000));
            for name in ["gone", "back"] {
                let crashed = format!("{host}-{name}");
                let start_ms = rng.below(3_000);
                plan.player(&crashed, LinkConfig::lan(), protocol, play(start_ms, 26_000));
                let crash_ms = start_ms + rng.range(1_000..=6_000);
                plan.fault(crash_ms, &crashed, Lever::Crash);
                if name == "back" {
                    plan.fault(crash_ms + rng.range(100..=2_000), &crashed, Lever::Restart);
                }
                plan.terms.faulty.push(crashed);
            }
        }
        // One that waits for a stream that never comes: nothing but a ping finds out.
        let waits = PlayPlan { stream: "live/never".into(), ..play(rng.below(3_000), 26_000) };
        plan.fault(waits.start_ms + rng.range(1_000..=6_000), "waiter-gone", Lever::Crash);
        plan.player("waiter-gone", LinkConfig::lan(), Protocol::Rtmp, waits);
        plan.terms.faulty.push("waiter-gone".to_owned());
        plan
    },
    check: |evidence| {
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        hosts
            .filter_map(|(player, report)| {
                let crashes = evidence.plan.is_faulty(&player.host);
                unless((report.end == "crashed") == crashes, || {
                    format!("{} ended with: {}", player.host, report.end)
                })
            })
            .collect()
    },
};
