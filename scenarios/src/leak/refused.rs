//! Operations that the gateway refuses: a name that is taken, streams and connections beyond their limits.

use std::time::Duration;

use rehearsal_sim::{LinkConfig, Rng, clients::publisher::PublishPlan};

use super::{has_all_of, plays, publishes, sends};
use crate::{
    catalogue::Scenario,
    live::unless,
    plan::{Listener, Plan, Protocol},
};

const PUBLISH_MS: u64 = 7_000;
const LEAVE_MS: u64 = 11_500;
/// When as many connections are there as may be, and until when.
const FULL_MS: (u64, u64) = (4_500, 6_500);
/// Connections that there may be: of two who stay, one who waits, and two who say nothing.
const CONNECTIONS: usize = 5;
/// Refused publishers of each kind.
const PUBLISHERS: u64 = 3;

/// Everything that is refused.
pub const REFUSED_PUBLISH: Scenario = Scenario {
    name: "leak/refused-publish",
    about: "publishers, players, viewers and connections are refused for a taken name or a limit; others stay",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/leak/refused-publish");
        let mut plan = Plan::empty();
        plan.config.live.max_streams = 2;
        plan.config.limits.max_connections = CONNECTIONS;
        plan.terms.twin_within_ms = Some(1);
        plan.publisher("stays", LinkConfig::lan(), publishes("live/a", 100, PUBLISH_MS));
        let play = plays("live/a", 300, LEAVE_MS);
        plan.player("player", LinkConfig::lan(), Protocol::Rtmp, play);
        // Who waits for a stream holds its name as well as who publishes it.
        let wait = plays("live/b", 200, LEAVE_MS);
        plan.player("waiter", LinkConfig::lan(), Protocol::Rtmp, wait);
        // One after the other, so that nobody is refused for want of connections.
        let mut turn_ms = 600;
        let mut turn = |rng: &mut Rng| {
            turn_ms += 400;
            turn_ms - rng.below(300)
        };
        for number in 1..=PUBLISHERS as u32 {
            for (host, stream) in [("taken", "live/a"), ("more", "live/c")] {
                let refused =
                    PublishPlan { epoch: 100 + number, ..publishes(stream, turn(&mut rng), 2_000) };
                let host = format!("{host}-{number}");
                plan.publisher(&host, LinkConfig::lan(), refused);
                plan.terms.faulty.push(host);
            }
        }
        let protocols = [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)];
        for (host, protocol) in protocols {
            let refused = plays("live/d", turn(&mut rng), LEAVE_MS);
            let host = format!("more-{host}");
            plan.player(&host, LinkConfig::lan(), protocol, refused);
            plan.terms.faulty.push(host);
        }
        // Before a look at who is there, both are.
        for (host, listener) in [("idle-rtmp", Listener::Rtmp), ("idle-http", Listener::Http)] {
            let says_nothing = sends(FULL_MS.0, Vec::new(), FULL_MS.1);
            plan.raw_client(host, LinkConfig::lan(), listener, says_nothing);
            plan.terms.faulty.push(host.to_owned());
        }
        for (host, protocol) in protocols {
            let comes_ms = FULL_MS.0 + 100 + rng.below(FULL_MS.1 - FULL_MS.0 - 200);
            let host = format!("crowded-{host}");
            plan.player(&host, LinkConfig::lan(), protocol, plays("live/a", comes_ms, LEAVE_MS));
            plan.terms.faulty.push(host);
        }
        plan
    },
    check: |evidence| {
        let hosts = evidence.plan.publishers.iter().zip(&evidence.publishers);
        let publishers = hosts.filter_map(|(publisher, report)| {
            let expected = match publisher.plan.stream.as_str() {
                _ if publisher.host == "stays" => None,
                "live/a" => Some("NetStream.Publish.BadName"),
                _ => Some("NetStream.Publish.Denied"),
            };
            let refused = report.refused.as_deref();
            unless(refused == expected, || {
                format!("{} was answered {refused:?}, not {expected:?}", publisher.host)
            })
        });
        let hosts = evidence.plan.players.iter().zip(&evidence.players);
        let players = hosts.filter_map(|(player, report)| {
            let came = Duration::from_millis(player.plan.start_ms);
            let at_once = report.ended_at < came + Duration::from_millis(50);
            let is_as_expected = match player.host.as_str() {
                "player" => has_all_of(&evidence.publishers[0], report) && report.end == "left",
                "waiter" => report.received.is_empty() && report.end == "left",
                "more-player" => report.end == "refused",
                "more-viewer" => report.end == "status 503",
                _ => at_once && report.received.is_empty(),
            };
            unless(is_as_expected, || {
                format!("{} ended at {:?} with: {}", player.host, report.ended_at, report.end)
            })
        });
        publishers.chain(players).collect()
    },
};
