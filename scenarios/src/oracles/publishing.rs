//! O5, O8 of those who publish: each ends as planned, or is refused because somebody else has the name.

use std::time::Duration;

use rehearsal_sim::clients::publisher::{Leave, PublishReport};

use crate::{
    plan::{Plan, Publisher},
    run::Evidence,
};

/// Publishers on hosts that fare as planned, except those whom an outage of the gateway met.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    let publishers = plan.publishers.iter().zip(&evidence.publishers);
    publishers
        .filter(|(publisher, _)| {
            let PublishTimes { from_ms, to_ms } = times(plan, publisher);
            !plan.is_faulty(&publisher.host) && !plan.meets_outage(from_ms, to_ms)
        })
        .filter_map(|(publisher, report)| {
            let what = end(evidence, publisher, report)?;
            Some(format!("{}: {what}", publisher.host))
        })
        .collect()
}

/// From when to when a publisher is there by its plan.
struct PublishTimes {
    from_ms: u64,
    to_ms: u64,
}

fn times(plan: &Plan, publisher: &Publisher) -> PublishTimes {
    let from_ms = publisher.plan.start_ms;
    let silence_ms = match publisher.plan.leave {
        Leave::Silent => plan.config.rtmp.publisher_silence_ms,
        Leave::Orderly | Leave::Killed => 0,
    };
    let to_ms = from_ms + publisher.plan.duration_ms + silence_ms + plan.terms.slack_ms;
    PublishTimes { from_ms, to_ms }
}

fn end(evidence: &Evidence, publisher: &Publisher, report: &PublishReport) -> Option<String> {
    let planned = match publisher.plan.leave {
        Leave::Orderly => "closed in order",
        Leave::Killed => "killed",
        Leave::Silent => "closed by the server",
    };
    match report.refused.as_deref() {
        None if report.end == planned => None,
        Some("NetStream.Publish.BadName") if may_be_taken(evidence, publisher, report) => None,
        refused => Some(format!("ended with {}, refused: {refused:?}", report.end)),
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
            let from = match plan.is_faulty(&other.host) {
                true => Some(Duration::from_millis(other.plan.start_ms)),
                false => report.sent.first().map(|first| first.at),
            };
            from.is_some_and(|from| from <= answered && came <= released(plan, other, report))
        })
}

/// When a publisher's name is free again at the latest.
fn released(plan: &Plan, publisher: &Publisher, report: &PublishReport) -> Duration {
    let last = report.sent.last().map_or(Duration::ZERO, |last| last.at);
    let silence = Duration::from_millis(plan.config.rtmp.publisher_silence_ms);
    match plan.is_faulty(&publisher.host) {
        // Nobody knows what of it arrived.
        true => {
            let sent_ms = publisher.plan.start_ms + publisher.plan.duration_ms;
            last.max(Duration::from_millis(sent_ms)) + silence + plan.slack()
        }
        false if publisher.plan.leave == Leave::Silent => last + silence + plan.slack(),
        false => last + plan.slack(),
    }
}
