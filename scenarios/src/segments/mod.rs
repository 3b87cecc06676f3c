//! Family segments: bytes that come and go in pieces of any length, and answers while a write is blocked.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, publisher::PublishPlan, raw::RawPlan},
};

use crate::{
    base,
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    oracles::Violation,
    plan::{Listener, Plan, Protocol},
    run::Evidence,
    wire::{Received, cut, opening, pointless_calls},
};

/// Small frames: each byte costs an event.
fn small_media() -> MediaPlan {
    MediaPlan { keyframe_bytes: 600, audio_bytes: 60, ..MediaPlan::default() }
}

/// A publisher of 5 s and two subscribers from its start, one of each protocol, on links of one kind.
fn small_stream(seed: u64, link: LinkConfig) -> Plan {
    let mut rng = Rng::named(seed, "scenario/start");
    let start_ms = 300 + rng.below(1_000);
    let digest = seed % 2 == 1;
    let publish = PublishPlan { start_ms, digest, ..publish(5_000, small_media()) };
    base::stream(seed, [link; 3], publish)
}

/// Everybody has some hundred frames and no gap.
fn everything_came(evidence: &Evidence) -> Vec<Violation> {
    let players = evidence.plan.players.iter().zip(&evidence.players);
    let lacking = players.filter_map(|(player, report)| {
        unless(report.received.len() > 150 && report.gaps == 0, || {
            format!("{} has {} messages", player.host, report.received.len())
        })
    });
    lacking.collect()
}

/// A segment for each byte.
pub const ONE_BYTE: Scenario = Scenario {
    name: "segments/one-byte",
    about: "a stream over links that carry one byte a packet arrives whole over both protocols",
    parity: false,
    heavy: false,
    plan: |seed| {
        // Without jitter a run of packets that share their fate would arrive as one.
        let jittery = LinkConfig::lan().with(|direction| direction.jitter_ns = 1_000);
        small_stream(seed, jittery.with_mtu_bytes(41))
    },
    check: everything_came,
};

/// Reads and writes that move what they like.
pub const SHORT_IO: Scenario = Scenario {
    name: "segments/short-io",
    about: "reads and writes of a few bytes at every host, drawn each time, change nothing",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/short-io");
        let mut plan = small_stream(seed, LinkConfig::lan());
        for host in ["gateway", "publisher", "player", "viewer"] {
            let bytes_max = [1, 2, 3, 17, 100, 4_000][rng.below(6) as usize];
            plan.fault(0, host, Lever::ShortIo(Some(bytes_max)));
            if rng.below(3) == 0 {
                plan.fault(2_000 + rng.below(3_000), host, Lever::ShortIo(None));
            }
        }
        plan
    },
    check: everything_came,
};

/// Calls that wait for an answer while the player reads nothing.
const CALLS: u32 = 3_000;

/// Answers to calls have to find their place between whole messages.
pub const BLOCKED_REPLIES: Scenario = Scenario {
    name: "segments/blocked-replies",
    about: "a player that reads late and calls meanwhile gets each answer once, between whole messages",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/calls");
        let mut plan = Plan::empty();
        // Nobody is skipped or given up: what was blocked comes whole.
        plan.config.live.lag_resync_ms = 25_000;
        plan.config.live.keep_ms = 25_000;
        // Less than the answers come to: in the end the calls are not read any more.
        plan.config.live.in_flight_bytes = 1 << 16;
        let media = MediaPlan { keyframe_bytes: 60_000, ..MediaPlan::default() };
        plan.publisher("publisher", LinkConfig::lan(), publish(12_000, media));
        plan.player("player", LinkConfig::lan(), Protocol::Rtmp, play(300, 18_000));
        let lengths: Vec<usize> = (0..20).map(|_| 1 + rng.below(400) as usize).collect();
        let mut pieces = vec![opening("play", "cam")];
        pieces.extend(cut(&pointless_calls(CALLS), &lengths));
        let read_from_ms = 5_000 + rng.below(4_000);
        let pause_ms = (4_000 / pieces.len() as u64).max(1);
        let caller = RawPlan {
            start_ms: 1_000,
            pieces,
            pause_ms,
            half_close: false,
            read_from_ms,
            leave_ms: 18_000,
        };
        plan.raw_client("caller", LinkConfig::lan(), Listener::Rtmp, caller);
        plan.terms.faulty.push("caller".to_owned());
        plan.terms.twin_within_ms = Some(2);
        plan
    },
    check: |evidence| {
        let Some(Ok(report)) = evidence.raw_clients.first() else {
            return unless(false, || "the caller could not connect".to_owned())
                .into_iter()
                .collect();
        };
        let seen = Received::parse(&report.received);
        let expected = CALLS as usize + 2;
        let is_whole = seen.as_ref().is_ok_and(|seen| seen.replies == expected && seen.media > 500);
        unless(is_whole, || format!("{expected} replies expected and 500 frames, seen {seen:?}"))
            .into_iter()
            .collect()
    },
};
