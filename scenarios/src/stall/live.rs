//! Deadlines of those who watch: how long a viewer's header waits for a second track, and how long a frame may wait for somebody
//! who does not read.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan, publisher::PublishPlan, raw::RawPlan, rtmp_player::PlayPlan, verify::Kind,
    },
};

use super::SOON;
use crate::{
    base,
    catalogue::Scenario,
    live::{play, publish, unless},
    plan::{Listener, Plan, Protocol},
    wire::{opening, request},
};

/// From one picture to the next; audio comes more often.
const FRAME_MS: u64 = 40;
/// By so much before or after a deadline.
const MARGIN_MS: u64 = 30;

/// A stream of one track, and viewers from before its start.
pub const ONE_TRACK: Scenario = Scenario {
    name: "stall/one-track",
    about: "a viewer of audio or video alone gets its header when no second track may come any more, not before",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/one-track");
        let mut plan = Plan::empty();
        plan.config.live.flv_probe_ms = rng.range(300..=3_000);
        plan.terms.slack_ms = plan.config.live.flv_probe_ms;
        let audio = MediaPlan { gop_frames: 0, ..MediaPlan::default() };
        let video = MediaPlan { audio_bytes: 0, ..MediaPlan::default() };
        let start_ms = rng.range(1_000..=3_000);
        for (name, media) in [("audio", audio), ("video", video)] {
            let stream = format!("live/{name}");
            let alone = PublishPlan { stream: stream.clone(), start_ms, ..publish(8_000, media) };
            plan.publisher(&format!("publisher-{name}"), LinkConfig::lan(), alone);
            let mut add = |host: &str, start_ms| {
                let plays = PlayPlan { stream: stream.clone(), ..play(start_ms, 20_000) };
                let host = format!("{host}-{name}");
                plan.player(&host, LinkConfig::lan(), Protocol::HttpFlv, plays);
            };
            add("waits", rng.below(900));
            add("comes", start_ms + 20 + rng.below(270));
            add("late", start_ms + 3_200 + rng.below(2_000));
        }
        plan
    },
    check: |evidence| {
        let probe = Duration::from_millis(evidence.plan.config.live.flv_probe_ms);
        let players = evidence.plan.players.iter().zip(&evidence.players);
        players
            .filter_map(|(player, report)| {
                let publish = evidence.publishers.iter().find(|p| p.stream == report.stream)?;
                // What says what a track is counts as little as metadata.
                let media = |kind| matches!(kind, Kind::Keyframe | Kind::Inter | Kind::Audio);
                let began = publish.sent.iter().find(|sent| media(sent.kind))?.at;
                let came = Duration::from_millis(player.plan.start_ms);
                let due = (began + probe).max(came);
                let first_at = report.received.first().map(|first| first.at);
                // With the next frame after that.
                let in_time = due..due + Duration::from_millis(FRAME_MS) + SOON;
                unless(first_at.is_some_and(|at| in_time.contains(&at)), || {
                    format!("{} got its first message at {first_at:?}, due {due:?}", player.host)
                })
            })
            .collect()
    },
};

const PUBLISH_MS: u64 = 20_000;
/// Ends of the names of hosts.
const IN_TIME: &str = "in-time";
const TOO_LATE: &str = "too-late";

/// Keyframes that fill a socket at once.
fn large_media() -> MediaPlan {
    MediaPlan { keyframe_bytes: 500_000, ..MediaPlan::default() }
}

/// Subscribers that read nothing from the start, some until just before their first frame is too old, some a moment longer.
pub const TOO_OLD: Scenario = Scenario {
    name: "stall/too-old",
    about: "who reads again just before its next frame is too old goes on; a moment later it is closed",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/too-old");
        let mut plan = base::healthy(seed, PUBLISH_MS, large_media());
        let live = &mut plan.config.live;
        live.lag_close_ms = rng.range(5_000..=8_000);
        live.player_stall_ms = 12_000;
        live.lag_resync_ms = 4_000;
        let lag_close_ms = live.lag_close_ms;
        let play = opening("play", "cam");
        let view = request("GET", "/live/cam.flv", "");
        for (host, listener, opening) in
            [("player", Listener::Rtmp, play), ("viewer", Listener::Http, view)]
        {
            for name in [IN_TIME, TOO_LATE] {
                let start_ms = rng.range(1_000..=4_000);
                // What it gets first counts as old as it is there itself.
                let due_ms = start_ms + lag_close_ms;
                let read_from_ms = match name {
                    IN_TIME => due_ms - MARGIN_MS,
                    _ => due_ms + MARGIN_MS,
                };
                let raw = RawPlan {
                    start_ms,
                    pieces: vec![opening.clone()],
                    pause_ms: 0,
                    half_close: false,
                    read_from_ms,
                    leave_ms: 26_000,
                };
                let host = format!("{host}-{name}");
                plan.raw_client(&host, LinkConfig::lan(), listener, raw);
                plan.terms.faulty.push(host);
            }
        }
        plan
    },
    check: |evidence| {
        let clients = evidence.plan.raw_clients.iter().zip(&evidence.raw_clients);
        clients
            .filter_map(|(raw, report)| {
                let host = &raw.host;
                let due_ms = raw.plan.start_ms + evidence.plan.config.live.lag_close_ms;
                let due = Duration::from_millis(due_ms);
                if host.ends_with(TOO_LATE) {
                    let let_go = evidence.was_let_go(host, due..=due + SOON);
                    return unless(let_go.is_ok(), || let_go.err().unwrap_or_default());
                }
                let report = report.as_ref().ok()?;
                let stayed = report
                    .closed_at
                    .is_none_or(|at| at > Duration::from_millis(PUBLISH_MS - 1_000));
                unless(stayed, || {
                    format!("{host} was closed at {:?}, due {due:?}", report.closed_at)
                })
            })
            .collect()
    },
};
