//! O8 bounded liveness of those who play: they stay until they go, and the end of a stream told when it is due, not before.

use std::time::Duration;

use rehearsal_sim::clients::rtmp_player::PlayReport;

use super::{
    epochs::{Epoch, Epochs, has_unanswered, has_unknown, may_be_given_up},
    subscribers::FIRST_FRAME,
};
use crate::{
    plan::{Player, Protocol},
    run::Evidence,
};

/// The end of an epoch is told within this, also to those behind on a narrow link.
const END_NOTICE: Duration = Duration::from_secs(3);

/// Players on hosts that fare as planned.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    let mut violations = Vec::new();
    let epochs = Epochs::of(evidence);
    for (player, report) in plan.players.iter().zip(&evidence.players) {
        let meets_outage = plan.meets_outage(player.plan.start_ms, player.plan.leave_ms);
        let is_in_order = matches!(report.end.as_str(), "left" | "end of the response");
        let is_given_up = !is_in_order && may_be_given_up(evidence, &player.host);
        let is_of_phone = plan.is_of_phone(&report.stream);
        if plan.is_faulty(&player.host) || meets_outage || is_given_up || is_of_phone {
            continue;
        }
        let found = end(evidence, player, report, epochs.of_stream(&report.stream));
        violations.extend(found.into_iter().map(|what| format!("{}: {what}", player.host)));
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
    let latest = |epoch: &Epoch<'_>| {
        let hosts = [player.host.as_str(), epoch.publisher.host.as_str()];
        evidence.due(&hosts, epoch.over.max(stalled), END_NOTICE + plan.slack())
    };
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
    let stream = &report.stream;
    let is_known = epochs.iter().all(|epoch| epoch.is_sound)
        && !has_unknown(evidence, stream)
        && !has_unanswered(evidence, stream);
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
    let wait = Duration::from_millis(plan.config.http.wait_publisher_ms);
    let due = came + wait;
    let latest = evidence.due(&[&player.host], came, wait + FIRST_FRAME + plan.slack());
    let in_time = (due..=latest).contains(&report.ended_at);
    let probe = Duration::from_millis(plan.config.live.flv_probe_ms) + FIRST_FRAME + plan.slack();
    let was_there = |epoch: &&Epoch<'_>| {
        let hosts = [player.host.as_str(), epoch.publisher.host.as_str()];
        let answered = evidence.due(&hosts, epoch.from.max(came), probe);
        epoch.is_sound && answered < epoch.over.min(due)
    };
    let there = epochs.iter().find(was_there).map(|epoch| {
        format!("was told that nobody publishes, which epoch {} did", epoch.report.epoch)
    });
    let late = (!in_time).then(|| {
        format!("was told at {:?} that nobody publishes, due at {due:?}", report.ended_at)
    });
    there.into_iter().chain(late).collect()
}
