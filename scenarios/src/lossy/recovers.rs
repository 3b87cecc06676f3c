//! Links that lose packets and carry the stream all the same: everything arrives.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, publisher::PublishPlan, rtmp_player::PlayPlan},
};

use super::with_loss;
use crate::{
    catalogue::Scenario,
    live::{play, publish, unless},
    oracles::Violation,
    plan::{Plan, Protocol},
    run::Evidence,
};

/// What lost packets may cost: behind 5 % of loss one of some hundred players waits 15 s, because what is sent again is
/// lost again.
const SLACK_MS: u64 = 20_000;
/// 0.5 %, 2 % and 5 %.
const LOSSES_PPM: [u32; 3] = [5_000, 20_000, 50_000];

/// A plan whose deadlines leave room for lost packets.
fn patient() -> Plan {
    let mut plan = Plan::empty();
    plan.terms.slack_ms = SLACK_MS;
    // A reset that is lost is noticed by the next ping.
    plan.config.rtmp.ping_ms = 10_000;
    plan.config.rtmp.ping_timeout_ms = 10_000;
    // Of a thousand handshakes over 5 % of loss, one takes longer than the usual deadline allows.
    plan.config.rtmp.handshake_ms = 60_000;
    plan.terms.calm_ms = 90_000;
    plan
}

/// Everybody but one, whose handshake may be lost again and again, has most of the stream.
fn nearly_all_are_served(evidence: &Evidence) -> Vec<Violation> {
    let short = evidence.players.iter().filter(|player| player.received.len() <= 600);
    let count = short.count();
    unless(count <= 1, || format!("{count} players have little of the stream"))
        .into_iter()
        .collect()
}

fn both() -> [(&'static str, Protocol); 2] {
    [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)]
}

/// Players behind loss.
pub const LAST_MILE: Scenario = Scenario {
    name: "lossy/last-mile",
    about: "players behind 0.5, 2 and 5 % of loss, each packet for itself or in bursts, get every frame",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/loss");
        let mut plan = patient();
        let start_ms = rng.below(1_000);
        let first = PublishPlan { start_ms, ..publish(15_000, MediaPlan::default()) };
        plan.publisher("publisher", LinkConfig::lan(), first);
        for loss_ppm in LOSSES_PPM {
            for (host, protocol) in both() {
                let in_bursts = rng.below(2) == 0;
                let link = with_loss(LinkConfig::dsl(), loss_ppm, in_bursts);
                let host = format!("{host}-{}", loss_ppm / 1_000);
                plan.player(&host, link, protocol, play(rng.below(4_000), 40_000));
                if loss_ppm == LOSSES_PPM[2] {
                    // One of some hundred of them is lost for so long that a deadline ends it.
                    plan.terms.faulty.push(host);
                }
            }
        }
        plan
    },
    check: nearly_all_are_served,
};

/// Publishers behind loss.
pub const LOSSY_PUBLISHER: Scenario = Scenario {
    name: "lossy/publisher",
    about: "publishers behind 0.5, 2 and 5 % of loss, wifi, lte and satellite lose nothing",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/loss");
        let mut plan = patient();
        let mut links: Vec<(String, LinkConfig)> = LOSSES_PPM
            .map(|loss_ppm| {
                let link = with_loss(LinkConfig::dsl(), loss_ppm, rng.below(2) == 0);
                (format!("loss-{}", loss_ppm / 1_000), link)
            })
            .to_vec();
        let presets = [
            ("wifi", LinkConfig::wifi()),
            ("lte", LinkConfig::lte()),
            ("satellite", LinkConfig::satellite()),
        ];
        links.extend(presets.map(|(name, link)| (name.to_owned(), link)));
        for (name, link) in links {
            let stream = format!("live/{name}");
            let sends =
                PublishPlan { stream: stream.clone(), ..publish(12_000, MediaPlan::default()) };
            plan.publisher(&format!("publisher-{name}"), link, sends);
            let (host, protocol) = both()[rng.below(2) as usize];
            let plays = PlayPlan { stream, ..play(rng.below(3_000), 40_000) };
            plan.player(&format!("{host}-{name}"), LinkConfig::lan(), protocol, plays);
        }
        plan
    },
    check: |evidence| {
        evidence
            .publishers
            .iter()
            .filter_map(|publisher| {
                let count = publisher.sent.len();
                unless(count > 800, || format!("{} sent {count} messages", publisher.stream))
            })
            .collect()
    },
};

/// Links as people have them.
pub const PRESETS: Scenario = Scenario {
    name: "lossy/presets",
    about: "players on wifi, lte, satellite and a congested line, whose links also change in mid-stream",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/links");
        let mut plan = patient();
        plan.publisher("publisher", LinkConfig::dsl(), publish(15_000, MediaPlan::default()));
        let presets = [
            ("wifi", LinkConfig::wifi()),
            ("lte", LinkConfig::lte()),
            ("satellite", LinkConfig::satellite()),
            ("congested", LinkConfig::congested()),
        ];
        for (name, link) in presets {
            for (host, protocol) in both() {
                let host = format!("{host}-{name}");
                plan.player(&host, link, protocol, play(rng.below(4_000), 40_000));
            }
        }
        // Somebody goes out of the house.
        for (host, protocol) in both() {
            let host = format!("{host}-moves");
            plan.player(&host, LinkConfig::wifi(), protocol, play(rng.below(1_000), 40_000));
            let leaves_ms = rng.range(3_000..=10_000);
            plan.fault(leaves_ms, &host, crate::fault::Lever::Link(LinkConfig::lte()));
        }
        plan
    },
    check: nearly_all_are_served,
};
