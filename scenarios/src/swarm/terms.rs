//! What the oracles allow for in a drawn plan: it follows from the plan.

use std::collections::BTreeSet;

use rehearsal_core::config::Config;
use rehearsal_sim::{
    Direction, LinkConfig, ORPHAN_RETRIES, SEND_BUFFER_BYTES,
    clients::{media::MediaPlan, publisher::Source, rtmp_player::Stall},
};

use super::{
    clients::{LEAVE_MS, end_ms},
    features::Features,
    points,
};
use crate::{
    base::bytes_per_second,
    fault::Lever,
    plan::{Plan, Protocol, Publisher},
};

/// Tasks and the last bytes of somebody who leaves may take this long.
const SLACK_MS: u64 = 150;
/// Round trips by which loss may set a stream back besides waits for TCP's timer, which are measured.
const LOSSY_ROUND_TRIPS: u64 = 8;
/// A line with this share of loss or more need not carry a stream.
const POOR_LOSS_PPM: u32 = 3_000;
/// What peers agree on takes this long at most: who comes in this time before a fault may meet it.
const CONNECTS_MS: u64 = 1_500;
/// A stall that is shorter than each deadline by this comes to none.
const MARGIN_MS: u64 = 300;
/// The end of a connection is sent again after two minutes at most, and may be lost again.
const LOSSY_CALM_MS: u64 = 400_000;

/// Has the oracles allow for what `plan` does.
pub(super) fn allow(plan: &mut Plan, features: &Features) {
    let faulty: BTreeSet<String> = befallen(plan)
        .chain(poor(plan))
        .chain(refused(plan))
        .chain(unserved(plan))
        .chain(too_slow(plan))
        .collect();
    let may_skip = if may_skip(plan) {
        plan.players.iter().map(|player| player.host.clone()).collect()
    } else {
        Vec::new()
    };
    let slack_ms = SLACK_MS + way_ms(plan) + frozen_ms(plan) + probe_ms(plan) + entry_ms(plan);
    let calm_ms = calm_ms(plan);
    let ends_before = |publisher: &Publisher| end_ms(publisher) + CONNECTS_MS < LEAVE_MS;
    let is_twin = features.twin && plan.publishers.iter().all(ends_before);
    let terms = &mut plan.terms;
    terms.faulty = faulty.into_iter().collect();
    terms.may_skip = may_skip;
    terms.slack_ms = slack_ms;
    terms.calm_ms = calm_ms;
    terms.twin_within_ms = is_twin.then_some(2);
}

/// Hosts that a fault befalls which they notice.
fn befallen(plan: &Plan) -> impl Iterator<Item = String> {
    let noticed = plan.faults.iter().filter(|fault| match fault.lever {
        Lever::ShortIo(_) | Lever::StepWallClock(_) => false,
        Lever::Link(link) => is_poor(link),
        _ => true,
    });
    noticed.map(|fault| fault.host.clone()).filter(|host| host != "gateway")
}

/// Hosts whose links do not carry a stream for sure.
fn poor(plan: &Plan) -> impl Iterator<Item = String> {
    let is_poor = |host: &String| plan.link_of(host).is_some_and(is_poor);
    plan.hosts().into_iter().filter(is_poor)
}

fn is_poor(link: LinkConfig) -> bool {
    [link.up, link.down].iter().any(|way| way.loss_ppm >= POOR_LOSS_PPM)
}

/// Hosts of all clients, each with when they come and when they are to go.
fn clients(plan: &Plan) -> Vec<(&str, u64, u64)> {
    let publishers = plan.publishers.iter();
    let publishers = publishers
        .map(|publisher| (&publisher.host[..], publisher.plan.start_ms, end_ms(publisher)));
    let players = plan.players.iter();
    let players =
        players.map(|player| (&player.host[..], player.plan.start_ms, player.plan.leave_ms));
    let raw = plan.raw_clients.iter();
    let raw = raw.map(|raw| (&raw.host[..], raw.plan.start_ms, raw.plan.leave_ms));
    publishers.chain(players).chain(raw).collect()
}

/// Hosts of whom may be refused for want of room.
fn refused(plan: &Plan) -> Vec<String> {
    let Config { rtmp, live, limits, .. } = &plan.config;
    let lingers_ms =
        CONNECTS_MS + rtmp.publisher_silence_ms + limits.farewell_ms + live.player_stall_ms;
    let all = clients(plan);
    let publishers = plan.publishers.iter().map(|publisher| &publisher.plan.stream);
    let players = plan.players.iter().map(|player| &player.plan.stream);
    let streams: BTreeSet<_> = publishers.chain(players).collect();
    // A raw client may ask for a stream of its own.
    let has_room = streams.len() + plan.raw_clients.len() <= plan.config.live.max_streams;
    let is_refused = |host: &str, from_ms: u64| {
        let is_there = |(other, from, to): &&(&str, u64, u64)| {
            *other != host && *from <= from_ms + CONNECTS_MS && from_ms <= *to + lingers_ms
        };
        let others = all.iter().filter(is_there).count();
        !has_room || others >= plan.config.limits.max_connections
    };
    let refused = all.iter().filter(|(host, from_ms, _)| is_refused(host, *from_ms));
    refused.map(|(host, ..)| (*host).to_owned()).collect()
}

/// Hosts of whom the gateway may not accept at once, or at all.
fn unserved(plan: &Plan) -> Vec<String> {
    let mut windows = Vec::new();
    // Of these it is sure that they ask for a connection.
    let befallen: Vec<_> = befallen(plan).collect();
    let is_sure = |(host, from_ms, to_ms): &&(&str, u64, u64)| {
        to_ms - from_ms > CONNECTS_MS && !befallen.iter().any(|befallen| befallen == host)
    };
    let all = clients(plan);
    let mut comes: Vec<u64> = all.iter().filter(is_sure).map(|(_, from_ms, _)| *from_ms).collect();
    comes.sort_unstable();
    let of_gateway = plan.faults.iter().filter(|fault| fault.host == "gateway");
    for fault in of_gateway {
        match fault.lever {
            Lever::DescriptorLimit(Some(_)) => {
                let lifts = plan.faults.iter();
                let lifts = lifts.filter(|f| f.lever == Lever::DescriptorLimit(None));
                let to_ms = lifts.map(|lift| lift.at_ms).find(|at_ms| *at_ms >= fault.at_ms);
                windows.push((fault.at_ms, to_ms.unwrap_or(u64::MAX - CONNECTS_MS)));
            }
            Lever::FailAccepts(count) => {
                let mut after = comes.iter().filter(|at_ms| **at_ms >= fault.at_ms);
                let last_ms = after.nth(count as usize - 1).copied();
                windows.push((fault.at_ms, last_ms.unwrap_or(u64::MAX - CONNECTS_MS)));
            }
            _ => {}
        }
    }
    let is_unserved = |from_ms: u64| {
        windows.iter().any(|(begins_ms, ends_ms)| {
            (begins_ms.saturating_sub(CONNECTS_MS)..=ends_ms + CONNECTS_MS).contains(&from_ms)
        })
    };
    let all = clients(plan).into_iter().filter(|(_, from_ms, _)| is_unserved(*from_ms));
    all.map(|(host, ..)| host.to_owned()).collect()
}

/// Hosts of whom a stall may be too long.
fn too_slow(plan: &Plan) -> impl Iterator<Item = String> {
    let Config { rtmp, http, live, .. } = &plan.config;
    let of_live_ms = live.player_stall_ms.min(live.lag_close_ms);
    let most_ms = move |protocol| match protocol {
        // Who does not read does not answer pings.
        Protocol::Rtmp => of_live_ms.min(rtmp.ping_timeout_ms),
        Protocol::HttpFlv => of_live_ms.min(http.idle_ms),
    };
    let slow = plan.players.iter().filter(move |player| {
        let lasts_ms = |stall: Stall| stall.to_ms - stall.from_ms;
        player
            .plan
            .stall
            .is_some_and(|stall| lasts_ms(stall) + MARGIN_MS > most_ms(player.protocol))
    });
    slow.map(|player| player.host.clone())
}

fn media(publisher: &Publisher) -> Option<&MediaPlan> {
    match &publisher.plan.source {
        Source::Generated(media) => Some(media),
        Source::FlvFile(_) => None,
    }
}

fn gop_ms(media: &MediaPlan) -> u64 {
    u64::from(media.gop_frames * media.frame_ms)
}

/// Whether frames since the last keyframe may not be there for who comes, or be too many.
fn may_skip(plan: &Plan) -> bool {
    let live = &plan.config.live;
    let by_point = points::may_skip(&plan.fault_points);
    by_point
        || plan.publishers.iter().filter_map(media).any(|media| {
            let gop_bytes = bytes_per_second(media) * gop_ms(media).max(1_000) / 1_000;
            let most = 2 * (gop_bytes + media.keyframe_bytes as u64);
            // What does not fit into a socket at once is behind when the next keyframe comes.
            let is_behind =
                2 * gop_bytes > SEND_BUFFER_BYTES as u64 && gop_ms(media) > live.keep_ms;
            is_behind
                || gop_ms(media) + 200 >= live.gop_ms
                || most > live.lag_resync_bytes
                || most > live.ring_bytes as u64
        })
}

/// Who comes to video alone, and finds no keyframe, waits for the next one.
fn entry_ms(plan: &Plan) -> u64 {
    let alone = plan.publishers.iter().filter_map(media).filter(|media| media.audio_bytes == 0);
    if may_skip(plan) { alone.map(gop_ms).max().unwrap_or(0) } else { 0 }
}

/// All links of `plan`, and those that hosts get.
fn links(plan: &Plan) -> Vec<LinkConfig> {
    let changes = plan.faults.iter().filter_map(|fault| match fault.lever {
        Lever::Link(link) => Some(link),
        _ => None,
    });
    plan.hosts().iter().filter_map(|host| plan.link_of(host)).chain(changes).collect()
}

fn round_trip_ns(link: LinkConfig) -> u64 {
    let one_way = |direction: Direction| direction.delay_ns + direction.jitter_ns;
    one_way(link.up) + one_way(link.down)
}

/// What the longest way costs of those that carry a stream.
fn way_ms(plan: &Plan) -> u64 {
    let costs_ns = links(plan).into_iter().filter(|link| !is_poor(*link)).map(|link| {
        let round_trips = if is_lossy(link) { LOSSY_ROUND_TRIPS } else { 1 };
        round_trips * round_trip_ns(link)
    });
    costs_ns.max().unwrap_or(0).div_ceil(1_000_000)
}

fn is_lossy(link: LinkConfig) -> bool {
    [link.up, link.down].iter().any(|way| way.loss_ppm > 0 || way.burst_loss.is_some())
}

/// How long the gateway stands still.
fn frozen_ms(plan: &Plan) -> u64 {
    let of_gateway = plan.faults.iter().filter(|fault| fault.host == "gateway");
    let at_ms = |is_frozen| {
        let mut at = of_gateway.clone().filter(|f| f.lever == Lever::Frozen(is_frozen));
        at.next().map(|fault| fault.at_ms)
    };
    at_ms(true).zip(at_ms(false)).map_or(0, |(from_ms, to_ms)| to_ms.saturating_sub(from_ms))
}

/// How long a viewer's header may wait for a second track that never comes.
fn probe_ms(plan: &Plan) -> u64 {
    let mut media = plan.publishers.iter().filter_map(media);
    let has_one = media.any(|media| media.audio_bytes == 0 || media.gop_frames == 0);
    if has_one { plan.config.live.flv_probe_ms } else { 0 }
}

/// Until everything of the last client is gone.
fn calm_ms(plan: &Plan) -> u64 {
    let Config { rtmp, http, live, limits, .. } = &plan.config;
    let notices_ms = rtmp.ping_ms
        + rtmp.ping_timeout_ms
        + rtmp.idle_ms
        + http.idle_ms.max(http.head_ms)
        + live.player_stall_ms
        + limits.farewell_ms;
    // A kernel waits for the first acknowledgment of all for three round trips, or 200 ms beyond one, and twice as long each time.
    let round_trip_ms = links(plan).into_iter().map(round_trip_ns).max().unwrap_or(0) / 1_000_000;
    let forgets_ms = (200 + 3 * round_trip_ms) * ((1 << (ORPHAN_RETRIES + 1)) - 1);
    match (links(plan).into_iter().any(is_lossy), plan.faults.is_empty()) {
        (true, _) => notices_ms + forgets_ms.max(LOSSY_CALM_MS),
        (false, false) => notices_ms + forgets_ms,
        (false, true) => notices_ms,
    }
}
