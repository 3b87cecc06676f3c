//! Links that lose packets and carry the stream all the same: everything arrives.

use std::time::Duration;

use rehearsal_sim::{
    Direction, LinkConfig, Rng,
    clients::{media::MediaPlan, publisher::PublishPlan, rtmp_player::PlayPlan},
};

use super::with_loss;
use crate::{
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    oracles::Violation,
    plan::{Plan, Protocol},
    run::Evidence,
};

/// Round trips by which loss may set a stream back besides waits for TCP's timer, which are measured. Over a satellite the
/// stream needs a window of 16 segments, and on every other line a smaller one. From 1 to 16 it grows by a segment in each
/// round trip, which leaves (15 + 14 + ... + 1) / 16 of them behind.
const ROUND_TRIPS: u64 = 8;
/// 0.5 %, 2 % and 5 %.
const LOSSES_PPM: [u32; 3] = [5_000, 20_000, 50_000];
/// From this on a line loses packets only once its client is served: one of a thousand handshakes would take longer than its
/// deadline allows, and the gateway be right to end it.
const LATE_LOSS_PPM: u32 = 50_000;
/// From a client's start until it is served, without loss.
const SERVED_MS: u64 = 2_000;

/// A plan in which what loss does is noticed soon.
fn attentive() -> Plan {
    let mut plan = Plan::empty();
    // A reset that is lost is noticed by the next ping.
    plan.config.rtmp.ping_ms = 10_000;
    plan.config.rtmp.ping_timeout_ms = 10_000;
    plan.terms.calm_ms = 90_000;
    plan
}

/// Has the oracles allow for the round trips of the longest line.
fn allow_for_round_trips(plan: &mut Plan) {
    let players = plan.players.iter().map(|player| player.link);
    let publishers = plan.publishers.iter().map(|publisher| publisher.link);
    let one_way = |direction: Direction| direction.delay_ns + direction.jitter_ns;
    let round_trip = |link: LinkConfig| one_way(link.up) + one_way(link.down);
    let longest_ns = players.chain(publishers).map(round_trip).max().unwrap_or(0);
    plan.terms.slack_ms = (ROUND_TRIPS * longest_ns).div_ceil(1_000_000);
}

/// Everybody has what was sent from when he was to be served, later by what loss held him up; gaps are O3's.
fn all_are_served(evidence: &Evidence) -> Vec<Violation> {
    let publisher = &evidence.plan.publishers[0].host;
    let sent = &evidence.publishers[0].sent;
    let Some(first) = sent.first() else {
        return unless(false, || "nobody published".to_owned()).into_iter().collect();
    };
    let players = evidence.plan.players.iter().zip(&evidence.players);
    players
        .filter_map(|(player, report)| {
            let comes = Duration::from_millis(player.plan.start_ms).max(first.at);
            let served = Duration::from_millis(SERVED_MS) + evidence.plan.slack();
            let served_at = evidence.due(&[&player.host, publisher], comes, served);
            let due = sent.iter().filter(|sent| sent.at > served_at).count();
            let count = report.received.len();
            unless(count >= due || report.gaps > 0, || {
                format!("{} received {count} messages of {due}", player.host)
            })
        })
        .collect()
}

/// The line that `host` has from the start when it is to lose `loss_ppm`; it may become worse when its client is served,
/// who comes at `comes_ms`.
fn line(
    plan: &mut Plan,
    host: &str,
    (loss_ppm, in_bursts): (u32, bool),
    comes_ms: u64,
) -> LinkConfig {
    let lossy = with_loss(LinkConfig::dsl(), loss_ppm, in_bursts);
    if loss_ppm < LATE_LOSS_PPM {
        return lossy;
    }
    plan.fault(comes_ms + SERVED_MS, host, Lever::Link(lossy));
    LinkConfig::dsl()
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
        let mut plan = attentive();
        let start_ms = rng.below(1_000);
        let first = PublishPlan { start_ms, ..publish(15_000, MediaPlan::default()) };
        plan.publisher("publisher", LinkConfig::lan(), first);
        for loss_ppm in LOSSES_PPM {
            for (host, protocol) in both() {
                let in_bursts = rng.below(2) == 0;
                let host = format!("{host}-{}", loss_ppm / 1_000);
                let comes_ms = rng.below(4_000);
                let loss = (loss_ppm, in_bursts);
                let link = line(&mut plan, &host, loss, comes_ms.max(start_ms));
                plan.player(&host, link, protocol, play(comes_ms, 40_000));
            }
        }
        allow_for_round_trips(&mut plan);
        plan
    },
    check: all_are_served,
};

/// Publishers behind loss.
pub const LOSSY_PUBLISHER: Scenario = Scenario {
    name: "lossy/publisher",
    about: "publishers behind 0.5, 2 and 5 % of loss, wifi, lte and satellite lose nothing",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/loss");
        let mut plan = attentive();
        let mut links: Vec<(String, LinkConfig)> = LOSSES_PPM
            .map(|loss_ppm| {
                let name = format!("loss-{}", loss_ppm / 1_000);
                let loss = (loss_ppm, rng.below(2) == 0);
                let link = line(&mut plan, &format!("publisher-{name}"), loss, 0);
                (name, link)
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
        allow_for_round_trips(&mut plan);
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
        let mut plan = attentive();
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
            plan.fault(leaves_ms, &host, Lever::Link(LinkConfig::lte()));
        }
        allow_for_round_trips(&mut plan);
        plan
    },
    check: all_are_served,
};
