//! Everybody does everything at the same millisecond.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::{Leave, PublishPlan},
        rtmp_player::PlayPlan,
    },
};

use crate::{
    catalogue::Scenario,
    live::{play, publish, unless},
    plan::{Plan, Protocol},
};

const STREAMS: u32 = 3;
const START_MS: u64 = 1_000;
const SILENCE_MS: u64 = 4_000;

/// Ties of every kind.
pub const TIES: Scenario = Scenario {
    name: "clock/ties",
    about: "publishers and players of three streams come, send, end and go at the same milliseconds",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/ties");
        let mut plan = Plan::empty();
        // Nothing takes any time on these links.
        let link = LinkConfig::ideal();
        plan.gateway_link = link;
        plan.config.rtmp.publisher_silence_ms = SILENCE_MS;
        // Pings and the end of the silence are due together.
        plan.config.rtmp.ping_ms = SILENCE_MS;
        plan.terms.slack_ms = 100;
        let duration_ms = 4_000;
        let leaves = [Leave::Orderly, Leave::Killed, Leave::Silent];
        for number in 0..STREAMS {
            let stream = format!("live/tie-{number}");
            let epoch = |epoch, start_ms, leave| PublishPlan {
                stream: stream.clone(),
                epoch,
                start_ms,
                leave,
                ..publish(duration_ms, MediaPlan::default())
            };
            let leave = leaves[rng.below(3) as usize];
            // Two at a time: one of them gets the name.
            plan.publisher(&format!("one-{number}"), link, epoch(1, START_MS, leave));
            plan.publisher(&format!("other-{number}"), link, epoch(2, START_MS, leave));
            // The next one comes when the last frame, of audio, is due, or when the silence after it is over.
            let last_ms = START_MS + 3_989;
            let next_ms = rng.range(last_ms - 3..=last_ms + 3);
            let next_ms = match leave {
                Leave::Silent => next_ms + SILENCE_MS,
                Leave::Orderly | Leave::Killed => next_ms,
            };
            plan.publisher(&format!("next-{number}"), link, epoch(3, next_ms, Leave::Orderly));
            for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
                let mut add = |what: &str, start_ms, leave_ms| {
                    let play = PlayPlan { stream: stream.clone(), ..play(start_ms, leave_ms) };
                    plan.player(&format!("{host}-{what}-{number}"), link, protocol, play);
                };
                add("comes", START_MS, 18_000);
                add("goes", START_MS, START_MS + duration_ms);
                add("follows", next_ms, 18_000);
            }
        }
        plan
    },
    check: |evidence| {
        let pairs = evidence.publishers.chunks(3);
        let one_of = |trio: &[rehearsal_sim::clients::publisher::PublishReport]| {
            let refused = [0, 1].map(|index| trio[index].refused.is_some());
            unless(refused[0] != refused[1], || {
                format!("of two who came together were refused: {refused:?}")
            })
        };
        pairs.filter_map(one_of).collect()
    },
};
