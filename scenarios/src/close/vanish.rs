//! Peers that vanish: no packet of theirs comes any more, and nobody says so.

use std::{ops::RangeInclusive, time::Duration};

use rehearsal_core::config::Config;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, raw::RawPlan},
};

use super::{SOON, stages};
use crate::{
    base,
    catalogue::Scenario,
    fault::Lever,
    live::unless,
    plan::{Plan, RawClient, VANISHED_CALM_MS},
};

/// Of a stream that fills a socket in less than a second.
fn media() -> MediaPlan {
    MediaPlan { keyframe_bytes: 60_000, ..MediaPlan::default() }
}

/// Nothing at all, for ever.
pub const VANISH: Scenario = Scenario {
    name: "close/vanish",
    about: "who is cut off at any stage and never heard of again is given up when due, not before",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/close");
        let mut plan = base::healthy(seed, 20_000, media());
        let Config { rtmp, http, live, .. } = &mut plan.config;
        rtmp.handshake_ms = rng.range(5_000..=7_000);
        rtmp.command_ms = rng.range(5_000..=7_000);
        rtmp.publisher_silence_ms = rng.range(5_000..=12_000);
        // Who vanishes in mid-stream is given up by the ping or the stall, whichever is first.
        rtmp.ping_ms = rng.range(4_000..=6_000);
        rtmp.ping_timeout_ms = rng.range(3_000..=5_000);
        live.player_stall_ms = rng.range(4_000..=7_000);
        http.head_ms = rng.range(5_000..=7_000);
        http.wait_publisher_ms = rng.range(4_000..=7_000);
        for (name, listener, opening) in stages() {
            let start_ms = 1_000 + rng.below(3_000);
            let raw = RawPlan {
                start_ms,
                pieces: if opening.is_empty() { Vec::new() } else { vec![opening] },
                pause_ms: 0,
                half_close: false,
                read_from_ms: 0,
                leave_ms: 25_000,
            };
            plan.raw_client(name, LinkConfig::lan(), listener, raw);
            // Some are gone within the handshake of TCP already.
            let vanishes_ms = start_ms + rng.below(4) * rng.below(700);
            plan.fault(vanishes_ms, name, Lever::BlackHole(true));
            plan.terms.faulty.push(name.to_owned());
        }
        plan.terms.calm_ms = VANISHED_CALM_MS;
        plan
    },
    check: |evidence| {
        let raw_clients = evidence.plan.raw_clients.iter();
        raw_clients
            .filter_map(|raw| {
                let let_go = evidence.was_let_go(&raw.host, due(&evidence.plan, raw)?);
                unless(let_go.is_ok(), || let_go.err().unwrap_or_default())
            })
            .collect()
    },
};

/// When the gateway is to give up who vanished at a stage; never if it was gone before the gateway knew of it.
fn due(plan: &Plan, raw: &RawClient) -> Option<RangeInclusive<Duration>> {
    let Config { rtmp, http, live, limits, .. } = &plan.config;
    let vanished_ms = plan.faults.iter().find(|fault| fault.host == raw.host)?.at_ms;
    let start_ms = raw.plan.start_ms;
    let fills_ms = base::fills_socket_ms(&media());
    let stall_ms = vanished_ms + live.player_stall_ms;
    let ping_ms = start_ms + rtmp.ping_ms + rtmp.ping_timeout_ms;
    let (from_ms, to_ms) = match &raw.host[..] {
        "before-c0" | "in-c1" => (start_ms + rtmp.handshake_ms, 0),
        "shaken" => (start_ms + rtmp.command_ms, 0),
        "created" => (start_ms + rtmp.command_ms.min(rtmp.ping_ms + rtmp.ping_timeout_ms), 0),
        "publishing" => (ping_ms.min(start_ms + rtmp.publisher_silence_ms), 0),
        // A session that ends says so for a while to a socket that does not take it.
        "playing" if ping_ms <= stall_ms + fills_ms => {
            (ping_ms.min(stall_ms), ping_ms + limits.farewell_ms)
        }
        "playing" | "viewing" => (stall_ms, stall_ms + fills_ms),
        "in-line" => (start_ms + http.head_ms, 0),
        // The answer goes nowhere, and then the next request is waited for.
        "waiting" => (start_ms + http.wait_publisher_ms + http.head_ms, 0),
        other => panic!("no deadline is known for {other}"),
    };
    let (from, to) = (Duration::from_millis(from_ms), Duration::from_millis(to_ms.max(from_ms)));
    (vanished_ms > start_ms).then_some(from..=to + SOON)
}
