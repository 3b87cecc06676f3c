//! O1 epoch isolation, O2 decodable start and resume, and what else subscribers find by themselves in their bytes.

use std::time::Duration;

use rehearsal_sim::clients::{
    rtmp_player::PlayPlan,
    verify::{OTHER_TRACK, Promise},
};

use super::{
    OVERLAP,
    epochs::{Epochs, may_be_given_up, parts},
};
use crate::{
    plan::{Player, Protocol},
    run::Evidence,
};

/// A subscriber of an active stream gets its first frame within this.
pub(super) const FIRST_FRAME: Duration = Duration::from_secs(2);

/// What subscribers say of one promise; bytes that came count on faulty hosts, too.
pub(super) fn breaches(evidence: &Evidence, promise: Promise) -> Vec<String> {
    let players = evidence.plan.players.iter().zip(&evidence.players);
    let is_judged =
        |player: &Player| promise != Promise::Announced || !is_held_up(evidence, player);
    let found = players.filter(|(player, _)| is_judged(player)).flat_map(|(player, report)| {
        // Where a phone's source is replaced, or says nothing for a while, when its packets come sets its times anew.
        let begins_anew = evidence.plan.begins_anew(&report.stream);
        // What the two tracks of a phone have in common is when their packets come: that is for those who judge phones.
        let has_pictures = evidence.plan.has_pictures_of_phone(&report.stream);
        let is_allowed = move |what: &str| {
            begins_anew && what.contains("is shifted by")
                || has_pictures && what.contains(OTHER_TRACK)
        };
        let broken = report.violations.iter().filter(move |breach| breach.promise == promise);
        let broken = broken.filter(move |breach| !is_allowed(&breach.what));
        broken.map(|breach| format!("{}: {}", player.host, breach.what))
    });
    found.collect()
}

/// What is sent at once is there within this, unless it is held up.
const TOGETHER: Duration = Duration::from_millis(50);

/// Whether the tracks of what `player` gets may come one after the other, and the second too late for a header: a publisher
/// misbehaves, or loss holds it up for longer than a header waits.
fn is_held_up(evidence: &Evidence, player: &Player) -> bool {
    let plan = &evidence.plan;
    let probe = Duration::from_millis(plan.config.live.flv_probe_ms);
    let its = plan.publishers.iter().filter(|its| its.plan.stream == player.plan.stream);
    let mut hosts = its.map(|publisher| &publisher.host);
    hosts.any(|host| plan.is_faulty(host) || evidence.longest(host, TOGETHER) > probe)
}

/// O1: no subscriber receives anything of an epoch once the next has begun, nor anything that nobody had sent.
pub(super) fn isolation(evidence: &Evidence) -> Vec<String> {
    let mut violations = breaches(evidence, Promise::EpochIsolation);
    let epochs = Epochs::of(evidence);
    for (player, report) in evidence.plan.players.iter().zip(&evidence.players) {
        // What phones say is judged by those who hear it.
        if evidence.plan.is_of_phone(&report.stream) {
            continue;
        }
        if let (_, Some(frame)) = parts(report, epochs.of_stream(&report.stream)) {
            let (kind, at) = (frame.kind, frame.at);
            violations.push(format!("{}: a {kind:?} at {at:?} is of no epoch due", player.host));
        }
    }
    violations
}

/// When somebody who is there at `since` reads: then, or after the stall that it is in or comes into.
fn reads_from(plan: &PlayPlan, since: Duration) -> Duration {
    let ms = Duration::from_millis;
    let stall = plan.stall.filter(|s| ms(s.from_ms) <= since + FIRST_FRAME && since < ms(s.to_ms));
    stall.map_or(since, |stall| ms(stall.to_ms))
}

/// O2: who is there while somebody publishes receives something soon, and what comes can be decoded.
pub(super) fn decodable(evidence: &Evidence) -> Vec<String> {
    let mut violations = breaches(evidence, Promise::Decodable);
    violations.extend(breaches(evidence, Promise::Announced));
    let plan = &evidence.plan;
    let all = Epochs::of(evidence);
    for (player, report) in plan.players.iter().zip(&evidence.players) {
        let from = Duration::from_millis(player.plan.start_ms);
        let to = Duration::from_millis(player.plan.leave_ms);
        let epochs = all.of_stream(&report.stream);
        for (index, epoch) in epochs.iter().enumerate() {
            // A viewer over HTTP sees the epoch it came for, and no other.
            let other_epoch = player.protocol == Protocol::HttpFlv
                && epochs[..index].iter().any(|before| before.released > from);
            let since = reads_from(&player.plan, from.max(epoch.from));
            let over_ms = epoch.over.as_millis() as u64;
            // A viewer whose response is over does not see who comes afterwards; whether it is over in time is O8's.
            let is_over = matches!(report.end.as_str(), "status 404" | "end of the response");
            let to = if is_over { to.min(report.ended_at) } else { to };
            let is_cut = plan.meets_outage(player.plan.start_ms, over_ms.max(player.plan.start_ms));
            let hosts = [player.host.as_str(), epoch.publisher.host.as_str()];
            let is_short = to.min(epoch.heard_until(plan.may_skip(&player.host)))
                < evidence.due(&hosts, since, OVERLAP + plan.slack());
            let due = evidence.due(&hosts, since, FIRST_FRAME + plan.slack());
            let is_judged = epoch.is_sound
                && !plan.is_faulty(&player.host)
                && !may_be_given_up(evidence, &player.host);
            if !is_judged || is_cut || other_epoch || is_short {
                continue;
            }
            let host = &player.host;
            match epoch.received_by(report).next() {
                Some(seen) if seen.at <= due => {}
                Some(seen) => {
                    violations.push(format!("{host} waited {:?} for a frame", seen.at - since));
                }
                None => {
                    let epoch = epoch.report.epoch;
                    violations.push(format!("{host} received nothing of epoch {epoch}"));
                }
            }
        }
    }
    violations
}
