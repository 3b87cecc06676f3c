//! Family slow: one subscriber that takes too little, of each kind, beside healthy ones that do not notice.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, MSS_BYTES, MTU_BYTES, Rng,
    clients::{
        media::MediaPlan,
        publisher::PublishPlan,
        raw::RawPlan,
        rtmp_player::{PlayPlan, PlayReport, Stall},
        verify::Kind,
    },
};

use crate::{
    base,
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    oracles::Violation,
    plan::{Listener, Plan, Player, Protocol, VANISHED_CALM_MS},
    run::Evidence,
    wire::{opening, request},
};

const PUBLISH_MS: u64 = 20_000;
const LEAVE_MS: u64 = 30_000;
/// Links and tasks may take this long, and from one frame to the next.
const SOON: Duration = Duration::from_millis(100);

/// Of some 5 Mbit/s.
fn media() -> MediaPlan {
    MediaPlan { keyframe_bytes: 110_000, gop_frames: 25, ..MediaPlan::default() }
}

/// A line that carries `percent` of the stream, the heads of packets counted.
fn line_of(percent: u64) -> LinkConfig {
    let rate_bps = 8 * base::bytes_per_second(&media()) * u64::from(MTU_BYTES) / MSS_BYTES as u64;
    LinkConfig::dsl().with_rate_bps(rate_bps * percent / 100)
}

/// A stream, healthy subscribers, and on hosts of their own a slow player and a slow viewer, which `link` and `stall` make
/// slow; small limits, drawn by the seed.
fn plan(seed: u64, link: LinkConfig, stall: Option<Stall>) -> Plan {
    let mut rng = Rng::named(seed, "scenario/slow");
    let mut plan = Plan::empty();
    let live = &mut plan.config.live;
    live.in_flight_bytes = rng.range(8 << 10..=256 << 10) as usize;
    live.keep_ms = rng.range(1_000..=3_000);
    live.lag_resync_ms = rng.range(1_000..=4_000);
    live.lag_resync_bytes = rng.range(1 << 20..=4 << 20);
    live.lag_close_ms = rng.range(6_000..=12_000);
    live.player_stall_ms = rng.range(3_000..=8_000);
    live.ring_bytes = rng.range(4 << 20..=8 << 20) as usize;
    plan.publisher("publisher", LinkConfig::lan(), publish(PUBLISH_MS, media()));
    // So near that TCP's window never holds up a keyframe: on a line of 12 ms, whether its end waits for an acknowledgment is a
    // matter of how many there were, and so of microseconds at the gateway.
    let near = LinkConfig::dsl().with_delay_ms(1);
    for index in 0..2 + rng.below(5) {
        let (link, protocol) = match index % 4 {
            0 => (LinkConfig::lan(), Protocol::Rtmp),
            1 => (LinkConfig::lan(), Protocol::HttpFlv),
            2 => (near, Protocol::HttpFlv),
            _ => (near, Protocol::Rtmp),
        };
        plan.player(&format!("fine-{index}"), link, protocol, play(rng.below(3_000), LEAVE_MS));
    }
    for (host, protocol) in [("slow-player", Protocol::Rtmp), ("slow-viewer", Protocol::HttpFlv)] {
        let slow = PlayPlan { stall, ..play(500 + rng.below(1_500), LEAVE_MS) };
        plan.player(host, link, protocol, slow);
        plan.terms.faulty.push(host.to_owned());
    }
    plan.terms.twin_within_ms = Some(2);
    plan
}

fn slow(evidence: &Evidence) -> impl Iterator<Item = (&Player, &PlayReport)> {
    let players = evidence.plan.players.iter().zip(&evidence.players);
    players.filter(|(player, _)| player.host.starts_with("slow"))
}

/// A window of zero, for ever.
pub const WINDOW_ZERO: Scenario = Scenario {
    name: "slow/window-zero",
    about: "subscribers that never read are given up, and hold one batch at most until then",
    parity: false,
    heavy: false,
    plan: |seed| {
        let from_ms = 3_000 + Rng::named(seed, "scenario/stall").below(2_000);
        plan(seed, LinkConfig::lan(), Some(Stall { from_ms, to_ms: LEAVE_MS - 1_000 }))
    },
    check: |evidence| {
        let given_up =
            |report: &PlayReport| report.end != "left" && report.end != "end of the response";
        let check = |(player, report): (&Player, &PlayReport)| {
            unless(given_up(report), || format!("{} ended with {}", player.host, report.end))
        };
        slow(evidence).filter_map(check).collect()
    },
};

/// A link that carries a tenth of the stream.
pub const TENTH: Scenario = Scenario {
    name: "slow/tenth",
    about: "subscribers on a tenth of the rate skip to keyframes or are given up",
    parity: false,
    heavy: false,
    plan: |seed| plan(seed, line_of(10), None),
    check: |evidence| {
        let check = |(player, report): (&Player, &PlayReport)| {
            let is_slow = report.gaps > 0 || report.end != "left";
            unless(is_slow && report.received.len() > 10, || {
                let (count, end) = (report.received.len(), &report.end);
                format!("{} has {count} messages and ended with {end}", player.host)
            })
        };
        slow(evidence).filter_map(check).collect()
    },
};

/// A line that carries almost all of the stream, for so long that what the sockets hold does not make up for it.
pub const NEARLY: Scenario = Scenario {
    name: "slow/nearly",
    about: "subscribers on 95 % of the rate fall behind a little, lack no more than that, and are not given up",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = plan(seed, line_of(95), None);
        // Two GOPs: who is so far behind wins one of them at least by going on at the last keyframe, and so does not do it often.
        let live = &mut plan.config.live;
        live.lag_resync_ms = live.lag_resync_ms.max(2_000);
        live.keep_ms = live.keep_ms.max(2_000);
        plan.publishers[0].plan.duration_ms = 2 * PUBLISH_MS;
        plan.players.iter_mut().for_each(|player| player.plan.leave_ms += PUBLISH_MS);
        plan
    },
    check: |evidence| {
        let kept =
            slow(evidence).filter_map(|(player, report)| reaches_the_end(evidence, player, report));
        kept.chain(slow(evidence).filter_map(lacks_little)).collect()
    },
};

/// Pictures and audio have a gap each when a subscriber goes on at a keyframe: four times in 40 s.
const GAPS_MAX: u64 = 8;

/// The 5 % that do not fit, and what it was behind when it came: that is all that a subscriber lacks, and it goes on at a keyframe
/// seldom.
fn lacks_little((player, report): (&Player, &PlayReport)) -> Option<Violation> {
    let pictures =
        report.received.iter().filter(|s| matches!(s.kind, Kind::Keyframe | Kind::Inter));
    let indexes: Vec<u32> = pictures.filter_map(|seen| Some(seen.stamp?.index)).collect();
    let (first, last) = (*indexes.first()?, *indexes.last()?);
    let sent = u64::from(last - first + 1);
    let lacking = sent - indexes.len() as u64;
    let not_carried = sent / 20 + u64::from(media().gop_frames);
    unless(lacking <= not_carried && report.gaps <= GAPS_MAX, || {
        let (host, gaps) = (&player.host, report.gaps);
        format!("{host} lacks {lacking} of {sent} pictures, in {gaps} gaps of pictures or audio")
    })
}

/// A stall, and then everything is well again.
pub const RECOVERS: Scenario = Scenario {
    name: "slow/recovers",
    about: "subscribers that stall for less than allowed go on at a keyframe, to the end",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = plan(seed, LinkConfig::lan(), None);
        let mut rng = Rng::named(seed, "scenario/stall");
        let live = &plan.config.live;
        let for_ms = live.player_stall_ms.min(live.lag_close_ms) - 50 - rng.below(1_500);
        let from_ms = 3_000 + rng.below(4_000);
        let stall = Some(Stall { from_ms, to_ms: from_ms + for_ms });
        let slow = plan.players.iter_mut().filter(|player| player.host.starts_with("slow"));
        slow.for_each(|player| player.plan.stall = stall);
        plan
    },
    check: |evidence| {
        slow(evidence)
            .filter_map(|(player, report)| reaches_the_end(evidence, player, report))
            .collect()
    },
};

/// The gateway's fault point by which whoever has something to skip is late.
const LATE: &str = "a subscriber is taken to be late";
/// Of a million times, so many it fires.
const LATE_PPM: u32 = 50_000;

/// Lines that fall behind, but not so far that the gateway would have anybody skip by itself.
pub const TAKEN_TO_BE_LATE: Scenario = Scenario {
    name: "slow/taken-to-be-late",
    about: "subscribers that skip though they need not go on at a keyframe, and lack nothing else",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = plan(seed, line_of(80), None);
        let live = &mut plan.config.live;
        (live.lag_resync_ms, live.lag_resync_bytes) = (60_000, live.ring_bytes as u64);
        plan.fault_points.insert(LATE.to_owned(), LATE_PPM);
        plan.terms.may_skip = plan.players.iter().map(|player| player.host.clone()).collect();
        plan.terms.twin_within_ms = None;
        plan
    },
    check: |evidence| {
        let check = |(player, report): (&Player, &PlayReport)| {
            let skips = unless(report.gaps > 0, || format!("{} has skipped nothing", player.host));
            [skips, reaches_the_end(evidence, player, report)]
        };
        slow(evidence).flat_map(check).flatten().collect()
    },
};

/// A black hole.
pub const VANISHES: Scenario = Scenario {
    name: "slow/vanishes",
    about: "subscribers that vanish in mid-stream are given up when due, not before",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/stall");
        let mut plan = plan(seed, LinkConfig::dsl(), None);
        for host in ["slow-player", "slow-viewer"] {
            plan.fault(3_000 + rng.below(6_000), host, Lever::BlackHole(true));
        }
        plan.terms.calm_ms = VANISHED_CALM_MS;
        plan
    },
    check: |evidence| {
        let Plan { config, faults, .. } = &evidence.plan;
        let given_up_ms = config.live.player_stall_ms.min(config.live.lag_close_ms);
        let fills_ms = base::fills_socket_ms(&media());
        faults
            .iter()
            .filter_map(|fault| {
                let due_ms = fault.at_ms + given_up_ms;
                let due =
                    Duration::from_millis(due_ms)..=Duration::from_millis(due_ms + fills_ms) + SOON;
                let let_go = evidence.was_let_go(&fault.host, due);
                unless(let_go.is_ok(), || let_go.err().unwrap_or_default())
            })
            .collect()
    },
};

/// A stall in which one publish ends and the next begins.
pub const ACROSS_EPOCHS: Scenario = Scenario {
    name: "slow/across-epochs",
    about: "subscribers that stall while one publish ends and the next begins see the one, then the other",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/epochs");
        let mut plan = plan(seed, LinkConfig::lan(), None);
        let first_ms = 7_000 + rng.below(3_000);
        let next_ms = first_ms + 50 + rng.below(1_000);
        let first = &mut plan.publishers[0].plan;
        first.duration_ms = first_ms;
        let second =
            PublishPlan { epoch: 2, start_ms: next_ms, duration_ms: 10_000, ..first.clone() };
        plan.publisher("publisher-2", LinkConfig::lan(), second);
        let stall_ms = plan.config.live.player_stall_ms.min(plan.config.live.lag_close_ms) - 50;
        let from_ms = (next_ms - 200 - rng.below(stall_ms - 500)).max(3_500);
        let stall = Some(Stall { from_ms, to_ms: from_ms + stall_ms });
        let slow = plan.players.iter_mut().filter(|player| player.host.starts_with("slow"));
        slow.for_each(|player| player.plan.stall = stall);
        // They are slow and nothing befalls them: how they fare is judged.
        plan.terms.faulty.clear();
        plan.terms.twin_within_ms = None;
        plan
    },
    check: |evidence| {
        let saw = |report: &PlayReport, epoch| {
            report.received.iter().any(|seen| seen.stamp.is_some_and(|stamp| stamp.epoch == epoch))
        };
        let check = |(player, report): (&Player, &PlayReport)| {
            let sees_both =
                saw(report, 1) && (saw(report, 2) || player.protocol == Protocol::HttpFlv);
            unless(sees_both, || format!("{} did not see both", player.host))
        };
        slow(evidence).filter_map(check).collect()
    },
};

/// FIN in mid-stream, and goes on reading.
pub const HALF_CLOSED: Scenario = Scenario {
    name: "slow/half-closed",
    about: "subscribers that send their FIN in mid-stream, reading or not, are closed at once",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/half-close");
        let mut plan = plan(seed, LinkConfig::lan(), None);
        plan.players.retain(|player| !player.host.starts_with("slow"));
        let play = opening("play", "cam");
        let view = request("GET", "/live/cam.flv", "");
        for (host, listener, opening) in
            [("slow-player", Listener::Rtmp, play), ("slow-viewer", Listener::Http, view)]
        {
            let start_ms = 500 + rng.below(1_500);
            let pause_ms = 1_000 + rng.below(2_500);
            // What it reads late is there when its FIN comes, and the socket is full.
            let read_from_ms = start_ms + rng.below(2) * pause_ms;
            let raw = RawPlan {
                start_ms,
                pieces: vec![opening],
                pause_ms,
                half_close: true,
                read_from_ms,
                leave_ms: LEAVE_MS,
            };
            plan.raw_client(host, LinkConfig::lan(), listener, raw);
        }
        plan
    },
    check: |evidence| {
        let clients = evidence.plan.raw_clients.iter().zip(&evidence.raw_clients);
        clients
            .filter_map(|(raw, report)| {
                let due = Duration::from_millis(raw.plan.start_ms + raw.plan.pause_ms);
                let closed_at = report.as_ref().ok().and_then(|report| report.closed_at);
                let soon = due..due + Duration::from_millis(20);
                unless(closed_at.is_some_and(|at| soon.contains(&at)), || {
                    format!("{} closed at {closed_at:?}, its FIN was sent at {due:?}", raw.host)
                })
            })
            .collect()
    },
};

/// Who is not given up has the last frame, however much it lacks in between.
fn reaches_the_end(evidence: &Evidence, player: &Player, report: &PlayReport) -> Option<Violation> {
    let sent = evidence.publishers[0].sent.last().map(|last| last.hash);
    let got = report.received.last().map(|last| last.hash);
    let last = report.received.last().map_or(Duration::ZERO, |last| last.at);
    let is_kept = matches!(report.end.as_str(), "left" | "end of the response");
    unless(is_kept && sent == got, || {
        format!("{} ended with {}, its last frame came at {last:?}", player.host, report.end)
    })
}
