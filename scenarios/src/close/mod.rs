//! Family close: ends of every kind at every stage. The gateway is rid of each at once, or when it is due for those who say
//! nothing, and nobody else notices.

mod in_one_write;
mod requests;
mod vanish;

pub use in_one_write::IN_ONE_WRITE;
pub use requests::PIPELINED;
pub use vanish::VANISH;

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::{Leave, PublishPlan},
        raw::RawPlan,
        rtmp_player::PlayPlan,
    },
};

use crate::{
    base,
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    plan::{Listener, Plan, Protocol, RawClient},
    wire::{handshake, opening, opening_until, request},
};

/// Links and tasks may take this long.
const SOON: Duration = Duration::from_millis(20);

/// Stages at which a client ends, by the names of their hosts.
fn stages() -> [(&'static str, Listener, Vec<u8>); 9] {
    [
        ("before-c0", Listener::Rtmp, Vec::new()),
        ("in-c1", Listener::Rtmp, handshake()[..700].to_vec()),
        ("shaken", Listener::Rtmp, handshake()),
        ("created", Listener::Rtmp, opening_until("", "", 2)),
        ("publishing", Listener::Rtmp, opening("publish", "closed")),
        ("playing", Listener::Rtmp, opening("play", "cam")),
        ("in-line", Listener::Http, b"GET /live/c".to_vec()),
        ("waiting", Listener::Http, request("GET", "/live/nothing.flv", "")),
        ("viewing", Listener::Http, request("GET", "/live/cam.flv", "")),
    ]
}

/// A healthy stream of 10 s.
fn healthy(seed: u64) -> Plan {
    base::healthy(seed, 10_000, MediaPlan::default())
}

/// Adds a client at each stage that comes and goes when `rng` says.
fn add_stages(plan: &mut Plan, rng: &mut Rng, half_close: bool) {
    for (name, listener, opening) in stages() {
        let start_ms = 1_000 + rng.below(3_000);
        // Some read nothing, and leave with unread bytes behind them.
        let read_from_ms = if rng.below(2) == 0 || half_close { 0 } else { 60_000 };
        let raw = RawPlan {
            start_ms,
            pieces: if opening.is_empty() { Vec::new() } else { vec![opening] },
            pause_ms: 0,
            half_close,
            read_from_ms,
            leave_ms: if half_close { 60_000 } else { start_ms + rng.range(2..=4_000) },
        };
        plan.raw_client(name, LinkConfig::lan(), listener, raw);
        plan.terms.faulty.push(name.to_owned());
    }
}

/// FIN, and ready to read.
pub const HALF_CLOSE: Scenario = Scenario {
    name: "close/half-close",
    about: "who has sent its FIN, at any stage, is closed at once from the other side",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = healthy(seed);
        add_stages(&mut plan, &mut Rng::named(seed, "scenario/close"), true);
        plan
    },
    check: |evidence| {
        let clients = evidence.plan.raw_clients.iter().zip(&evidence.raw_clients);
        clients
            .filter_map(|(raw, report)| {
                let due = Duration::from_millis(raw.plan.start_ms);
                let closed_at = report.as_ref().ok().and_then(|report| report.closed_at);
                unless(closed_at.is_some_and(|at| at < due + SOON), || {
                    format!("{} closed at {closed_at:?}, came at {due:?}", raw.host)
                })
            })
            .collect()
    },
};

/// RST, and clients that are gone with bytes unread.
pub const RESET: Scenario = Scenario {
    name: "close/reset",
    about: "clients are reset at any stage, with bytes unread or not: a name is free at once, others do not notice",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = healthy(seed);
        let mut rng = Rng::named(seed, "scenario/close");
        add_stages(&mut plan, &mut rng, false);
        // Each is reset while it is there, from its first answer to the moment before it leaves.
        for index in 0..plan.raw_clients.len() {
            let RawClient { host, plan: raw, .. } = plan.raw_clients[index].clone();
            let reset_ms = rng.range(raw.start_ms + 1..=raw.leave_ms - 1);
            plan.fault(reset_ms, &host, Lever::ResetConnections);
            if host == "publishing" {
                let after = PublishPlan {
                    stream: "live/closed".to_owned(),
                    start_ms: reset_ms + 5 + rng.below(500),
                    ..publish(5_000, MediaPlan::default())
                };
                plan.publisher("after-raw", LinkConfig::lan(), after);
                let plays = PlayPlan {
                    stream: "live/closed".to_owned(),
                    ..play(reset_ms + 5 + rng.below(500), 20_000)
                };
                plan.player("watches-it", LinkConfig::lan(), Protocol::Rtmp, plays);
            }
        }
        // A publisher and its players of another stream; it is reset and somebody else publishes.
        let other = |epoch, start_ms, duration_ms| PublishPlan {
            stream: "live/reset".to_owned(),
            epoch,
            start_ms,
            leave: Leave::Killed,
            ..publish(duration_ms, MediaPlan::default())
        };
        let reset_ms = 2_000 + rng.below(3_000);
        plan.publisher("reset", LinkConfig::lan(), other(1, 100, 8_000));
        plan.fault(reset_ms, "reset", Lever::ResetConnections);
        let next_ms = reset_ms + 5 + rng.below(500);
        plan.publisher("next", LinkConfig::lan(), other(2, next_ms, 5_000));
        plan.terms.faulty.push("reset".to_owned());
        let plays =
            |start_ms| PlayPlan { stream: "live/reset".to_owned(), ..play(start_ms, 16_000) };
        plan.player("stays", LinkConfig::lan(), Protocol::Rtmp, plays(rng.below(500)));
        plan.player("cut-player", LinkConfig::lan(), Protocol::Rtmp, plays(rng.below(500)));
        plan.player("cut-viewer", LinkConfig::lan(), Protocol::HttpFlv, plays(rng.below(500)));
        for host in ["cut-player", "cut-viewer"] {
            plan.fault(1_000 + rng.below(6_000), host, Lever::ResetConnections);
            plan.terms.faulty.push(host.to_owned());
        }
        // The other stream is another one without the publisher that is reset.
        plan.terms.twin_within_ms = None;
        plan
    },
    check: |evidence| {
        let plan = &evidence.plan;
        let publishers = plan.publishers.iter().zip(&evidence.publishers);
        let after =
            publishers.filter(|(publisher, _)| matches!(&publisher.host[..], "next" | "after-raw"));
        let refused = after.filter_map(|(publisher, report)| {
            unless(report.refused.is_none(), || {
                format!("{} came after a reset and was told {:?}", publisher.host, report.refused)
            })
        });
        let reset = plan.faults.iter().find(|fault| fault.host == "reset");
        let reset_at = Duration::from_millis(reset.map_or(0, |fault| fault.at_ms));
        let mut players = plan.players.iter().zip(&evidence.players);
        let stays = players.find(|(player, _)| player.host == "stays");
        let told = stays.and_then(|(_, stays)| {
            stays.statuses.iter().find(|(_, code)| code.ends_with("UnpublishNotify"))
        });
        let in_time = told.is_some_and(|(at, _)| (reset_at..reset_at + SOON).contains(at));
        let late = unless(in_time, || format!("the reset at {reset_at:?} was told by {told:?}"));
        refused.chain(late).collect()
    },
};

/// The process ends while its kernel still has seconds of the stream to send.
pub const LAST_WORDS: Scenario = Scenario {
    name: "close/last-words",
    about: "what publishers wrote right before they closed arrives whole, however slow their lines",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/close");
        let mut plan = Plan::empty();
        // Of a stream of 270 kbit/s, headers not counted.
        let line = LinkConfig::dsl().with_rate_bps(rng.range(200_000..=270_000));
        for (epoch, leave) in [(1, Leave::Killed), (2, Leave::Orderly)] {
            let start_ms = u64::from(epoch - 1) * (16_000 + rng.below(1_000));
            let publish = publish(8_000, MediaPlan::default());
            let host = format!("publisher-{epoch}");
            plan.publisher(&host, line, PublishPlan { epoch, start_ms, leave, ..publish });
        }
        plan.player("player", LinkConfig::dsl(), Protocol::Rtmp, play(rng.below(500), 34_000));
        plan.player("viewer", LinkConfig::lan(), Protocol::HttpFlv, play(rng.below(500), 34_000));
        plan.terms.slack_ms = 5_000;
        plan
    },
    check: |evidence| {
        let last = evidence.publishers[0].sent.last().map_or(Duration::ZERO, |last| last.at);
        let seen = evidence.players[1].received.last().map_or(Duration::ZERO, |last| last.at);
        let behind = seen.saturating_sub(last);
        unless(behind > Duration::from_millis(500), || {
            format!("the line was only {behind:?} behind")
        })
        .into_iter()
        .collect()
    },
};
