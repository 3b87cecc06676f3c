//! A stream from its first to its last client, each of whom ends in order.

use rehearsal_sim::{
    LinkConfig, Rng, clients::publisher::PublishPlan, clients::rtmp_player::PlayReport,
};

use super::{has_all_of, plays, publishes};
use crate::{
    catalogue::Scenario,
    live::{STREAM, unless},
    plan::{Plan, Player, Protocol},
};

/// Time to be told of the end of the stream.
const LEAVE_AFTER_MS: u64 = 3_500;

/// Publish, play, stop.
pub const PUBLISH_PLAY_STOP: Scenario = Scenario {
    name: "leak/publish-play-stop",
    about: "a stream, those who waited for it and those who joined it; everybody ends in order",
    parity: true,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/leak/publish-play-stop");
        let mut plan = Plan::empty();
        let start_ms = rng.range(800..=1_200);
        let digest = rng.below(2) == 0;
        let publish = PublishPlan { digest, ..publishes(STREAM, start_ms, 4_000) };
        plan.publisher("publisher", LinkConfig::lan(), publish);
        let over_ms = start_ms + 4_000 + LEAVE_AFTER_MS;
        for (host, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
            let waits = plays(STREAM, rng.below(400), over_ms + rng.below(500));
            plan.player(host, LinkConfig::lan(), protocol, waits);
            // In the middle of the second GOP of 2 s.
            let joins_ms = start_ms + rng.range(2_300..=3_000);
            let joins = plays(STREAM, joins_ms, over_ms + rng.below(500));
            plan.player(&format!("{host}-late"), LinkConfig::lan(), protocol, joins);
        }
        plan
    },
    check: |evidence| {
        let publish = &evidence.publishers[0];
        let players = evidence.plan.players.iter().zip(&evidence.players);
        let check = |(player, report): (&Player, &PlayReport)| {
            let has_what_it_came_for = match player.host.ends_with("late") {
                true => report.received.len() > 30 && report.gaps == 0,
                false => has_all_of(publish, report),
            };
            let end = match player.protocol {
                Protocol::Rtmp => "left",
                Protocol::HttpFlv => "end of the response",
            };
            unless(has_what_it_came_for && report.end == end, || {
                let (host, count, end) = (&player.host, report.received.len(), &report.end);
                format!("{host} got {count} messages and ended with: {end}")
            })
        };
        let ended = unless(publish.end == "closed in order", || {
            format!("the publisher ended: {}", publish.end)
        });
        players.filter_map(check).chain(ended).collect()
    },
};
