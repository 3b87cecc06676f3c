//! O5 failed operations have no effect, and O8 of those who publish: each ends as planned, or is refused because somebody
//! else has the name, who does not notice.

use std::time::Duration;

use rehearsal_sim::clients::publisher::{Leave, PublishReport};

use super::{
    epochs::{Epoch, Epochs, may_be_given_up, may_skip, parts},
    integrity::has_stayed,
};
use crate::{
    plan::{Plan, Player, Publisher},
    run::Evidence,
};

/// O5: a publisher is refused only while somebody else has the name; that one goes on, and nobody receives anything of the
/// one that was refused. Whoever comes when the name is free gets it.
pub(super) fn refusals(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    let all = Epochs::of(evidence);
    let mut violations = Vec::new();
    for (publisher, report) in plan.publishers.iter().zip(&evidence.publishers) {
        let Some(code) = &report.refused else { continue };
        let host = &publisher.host;
        if is_judged(plan, publisher, report)
            && !(code == "NetStream.Publish.BadName" && may_be_taken(evidence, publisher, report))
        {
            violations.push(format!("{host} was refused with {code}, and the name was free"));
        }
        for (player, played) in plan.players.iter().zip(&evidence.players) {
            let is_its = |epoch| played.stream == report.stream && epoch == report.epoch;
            let left =
                played.received.iter().find(|seen| seen.stamp.is_some_and(|s| is_its(s.epoch)));
            if let Some(seen) = left {
                violations.push(format!(
                    "{host} was refused, and {} has a {:?} of it",
                    player.host, seen.kind
                ));
            }
        }
        let Some(at) = report.answered_at else { continue };
        let epochs = all.of_stream(&report.stream);
        for (index, epoch) in epochs.iter().enumerate() {
            if !epoch.is_sound || !(epoch.from..epoch.over).contains(&at) {
                continue;
            }
            let (there, end) = (epoch.publisher, &epoch.report.end);
            if end != planned_end(there) {
                violations.push(format!("{host} was refused, and {} ended with {end}", there.host));
            }
            let lost = losers(evidence, epochs, index);
            violations.extend(lost.map(|player| {
                format!("{host} was refused, and {} lost {} by it", player.host, there.host)
            }));
        }
    }
    violations
}

/// Players who had the publish at `index` of their stream and do not have all that came after.
fn losers<'a>(
    evidence: &'a Evidence,
    epochs: &'a [Epoch<'a>],
    index: usize,
) -> impl Iterator<Item = &'a Player> {
    let epoch = &epochs[index];
    let next = epochs.get(index + 1).map(|next| next.from);
    let players = evidence.plan.players.iter().zip(&evidence.players);
    let its = players.filter(|(_, report)| report.stream == epoch.report.stream);
    its.filter(move |(player, report)| {
        let parts = parts(report, epochs).0;
        let part = parts.iter().find(|part| part.index == index);
        part.is_some_and(|part| match epoch.follow(&part.received, may_skip(evidence, player)) {
            Ok((_, missing)) => missing > 0 && has_stayed(evidence, player, epoch, next),
            Err(_) => true,
        })
    })
    .map(|(player, _)| player)
}

/// O8: who is not refused ends as planned.
pub(super) fn ends(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    let publishers = plan.publishers.iter().zip(&evidence.publishers);
    publishers
        .filter(|(publisher, report)| {
            let is_refused = report.refused.is_some();
            let is_as_planned =
                report.end == planned_end(publisher) || may_be_given_up(evidence, &publisher.host);
            is_judged(plan, publisher, report) && !is_refused && !is_as_planned
        })
        .map(|(publisher, report)| format!("{} ended with {}", publisher.host, report.end))
        .collect()
}

/// Publishers on hosts that fare as planned, except those whom an outage of the gateway met.
fn is_judged(plan: &Plan, publisher: &Publisher, report: &PublishReport) -> bool {
    let from_ms = publisher.plan.start_ms;
    // It publishes from the answer on.
    let begins_ms = report.answered_at.map_or(from_ms, |at| at.as_millis() as u64);
    let silence_ms = match publisher.plan.leave {
        Leave::Silent => plan.config.rtmp.publisher_silence_ms,
        Leave::Orderly | Leave::Killed => 0,
    };
    let to_ms = begins_ms + publisher.plan.duration_ms + silence_ms + plan.terms.slack_ms;
    !plan.is_faulty(&publisher.host) && !plan.meets_outage(from_ms, to_ms)
}

/// How the plan has a publisher end.
pub(super) fn planned_end(publisher: &Publisher) -> &'static str {
    match publisher.plan.leave {
        Leave::Orderly => "closed in order",
        Leave::Killed => "killed",
        Leave::Silent => "closed by the server",
    }
}

/// Whether somebody else may have had the name when this publisher was refused.
fn may_be_taken(evidence: &Evidence, publisher: &Publisher, report: &PublishReport) -> bool {
    let plan = &evidence.plan;
    let came = Duration::from_millis(publisher.plan.start_ms);
    let answered = report.answered_at.unwrap_or(came);
    let others = plan.publishers.iter().zip(&evidence.publishers);
    others
        .filter(|(other, report)| report.stream == publisher.plan.stream && *other != publisher)
        .any(|(other, report)| {
            let from = match plan.is_faulty(&other.host) || report.refused.is_none() {
                true => Some(Duration::from_millis(other.plan.start_ms)),
                false => None,
            };
            from.is_some_and(|from| from <= answered && came <= released(evidence, other, report))
        })
}

/// When a publisher's name is free again at the latest.
fn released(evidence: &Evidence, publisher: &Publisher, report: &PublishReport) -> Duration {
    let plan = &evidence.plan;
    let due = |since, allowed| evidence.due(&[&publisher.host], since, allowed);
    let last = report.sent.last().map_or(Duration::ZERO, |last| last.at);
    let silence = Duration::from_millis(plan.config.rtmp.publisher_silence_ms);
    match plan.is_faulty(&publisher.host) {
        // Nobody knows what of it arrived.
        true => {
            let sent_ms = publisher.plan.start_ms + publisher.plan.duration_ms;
            // It ends when all that it sent has arrived, or the gateway has closed it: that may take its line long.
            let arrived = report.ended_at.unwrap_or_default();
            let over = due(last.max(Duration::from_millis(sent_ms)), silence + plan.slack());
            over.max(arrived + plan.slack())
        }
        false if publisher.plan.leave == Leave::Silent => due(last, silence + plan.slack()),
        false => due(last, plan.slack()),
    }
}
