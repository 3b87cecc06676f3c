//! O8 bounded liveness of those who play: first frames in time, and the end of a stream told when it is due, not before.

use std::time::Duration;

use rehearsal_sim::clients::rtmp_player::PlayReport;

use super::{
    OVERLAP,
    epochs::{Epoch, epochs, has_unknown},
};
use crate::{
    plan::{Player, Protocol},
    run::Evidence,
};

/// A subscriber of an active stream gets its first frame within this.
const FIRST_FRAME: Duration = Duration::from_secs(2);
/// The end of an epoch is told within this, also to those behind on a narrow link.
const END_NOTICE: Duration = Duration::from_secs(3);

/// Players on hosts that fare as planned.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut violations = Vec::new();
    for (player, report) in evidence.plan.players.iter().zip(&evidence.players) {
        if evidence.plan.is_faulty(&player.host) {
            continue;
        }
        let epochs = epochs(evidence, &report.stream);
        let mut found = first_frames(evidence, player, report, &epochs);
        if !evidence.plan.meets_outage(player.plan.start_ms, player.plan.leave_ms) {
            found.extend(end(evidence, player, report, &epochs));
        }
        violations.extend(found.into_iter().map(|what| format!("{}: {what}", player.host)));
    }
    violations
}

/// Who is there while somebody publishes receives something soon.
fn first_frames(
    evidence: &Evidence,
    player: &Player,
    report: &PlayReport,
    epochs: &[Epoch<'_>],
) -> Vec<String> {
    let plan = &evidence.plan;
    let from = Duration::from_millis(player.plan.start_ms);
    let to = Duration::from_millis(player.plan.leave_ms);
    let mut violations = Vec::new();
    for (index, epoch) in epochs.iter().enumerate() {
        // A viewer over HTTP sees the epoch it came for, and no other.
        let other_epoch = player.protocol == Protocol::HttpFlv
            && epochs[..index].iter().any(|before| before.over > from);
        let since = from.max(epoch.from);
        let (first_ms, over_ms) = (player.plan.start_ms, epoch.over.as_millis() as u64);
        let is_cut = plan.meets_outage(first_ms, over_ms.max(first_ms));
        let is_short = to.min(epoch.over) < since + OVERLAP + plan.slack();
        if !epoch.is_sound || is_cut || other_epoch || is_short {
            continue;
        }
        match epoch.received_by(report).next() {
            Some(seen) if seen.at <= since + FIRST_FRAME + plan.slack() => {}
            Some(seen) => violations.push(format!("waited {:?} for a frame", seen.at - since)),
            None => violations.push(format!("nothing of epoch {} came", epoch.report.epoch)),
        }
    }
    violations
}

/// A player stays until it leaves and is told of each epoch's end; a viewer's response ends with its epoch.
fn end(
    evidence: &Evidence,
    player: &Player,
    report: &PlayReport,
    epochs: &[Epoch<'_>],
) -> Vec<String> {
    let plan = &evidence.plan;
    let mut violations = Vec::new();
    let told: Vec<Duration> = match (player.protocol, report.end.as_str()) {
        (Protocol::Rtmp, end) => {
            if end != "left" {
                violations.push(format!("ended with: {end}"));
            }
            let told = report.statuses.iter();
            told.filter(|(_, code)| code == "NetStream.Play.UnpublishNotify")
                .map(|(at, _)| *at)
                .collect()
        }
        (Protocol::HttpFlv, "left") => Vec::new(),
        (Protocol::HttpFlv, "end of the response") => vec![report.ended_at],
        (Protocol::HttpFlv, "status 404") => return nobody_came(evidence, player, report, epochs),
        (Protocol::HttpFlv, end) => {
            violations.push(format!("ended with: {end}"));
            Vec::new()
        }
    };
    let stalled = Duration::from_millis(player.plan.stall.map_or(0, |stall| stall.to_ms));
    let latest = |epoch: &Epoch<'_>| epoch.over.max(stalled) + END_NOTICE + plan.slack();
    let tells = plan.config.live.notify_unpublish || player.protocol == Protocol::HttpFlv;
    let leaves = Duration::from_millis(player.plan.leave_ms);
    for epoch in epochs.iter().filter(|epoch| tells && epoch.is_sound) {
        let came = epoch.received_by(report).next().is_some();
        let in_time = |at: &Duration| (epoch.over..latest(epoch)).contains(at);
        if came && latest(epoch) < leaves && !told.iter().any(in_time) {
            let over = epoch.over;
            violations.push(format!("the end of its stream at {over:?} was told at {told:?}"));
        }
    }
    // Whoever misbehaves may be given up at any time, and what is told of it is not false.
    let is_known =
        epochs.iter().all(|epoch| epoch.is_sound) && !has_unknown(evidence, &report.stream);
    let is_true =
        |at: &Duration| epochs.iter().any(|epoch| (epoch.over..latest(epoch)).contains(at));
    if let Some(at) = told.iter().find(|at| is_known && !is_true(at)) {
        violations.push(format!("it was told at {at:?} of an end that was none"));
    }
    violations
}

/// A viewer whose stream nobody publishes is told so when its patience is over.
fn nobody_came(
    evidence: &Evidence,
    player: &Player,
    report: &PlayReport,
    epochs: &[Epoch<'_>],
) -> Vec<String> {
    let plan = &evidence.plan;
    let came = Duration::from_millis(player.plan.start_ms);
    let due = came + Duration::from_millis(plan.config.http.wait_publisher_ms);
    let in_time = (due..=due + FIRST_FRAME + plan.slack()).contains(&report.ended_at);
    let probe = Duration::from_millis(plan.config.live.flv_probe_ms) + FIRST_FRAME + plan.slack();
    let was_there =
        |epoch: &&Epoch<'_>| epoch.is_sound && epoch.from.max(came) + probe < epoch.over.min(due);
    let there = epochs.iter().find(was_there).map(|epoch| {
        format!("was told that nobody publishes, which epoch {} did", epoch.report.epoch)
    });
    let late = (!in_time).then(|| {
        format!("was told at {:?} that nobody publishes, due at {due:?}", report.ended_at)
    });
    there.into_iter().chain(late).collect()
}
