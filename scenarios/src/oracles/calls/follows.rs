//! O19: a phone hears its stream whatever that has, if it can take it; whose call is there for nothing else, and cannot, is let go.

use std::time::Duration;

use rehearsal_sim::clients::{publisher::Source, verify::Kind};

use super::{Case, of_each};
use crate::run::Evidence;

/// Least time from one change that follows a stream to the next.
const FOLLOWS_EVERY: Duration = Duration::from_secs(1);

/// Audio that somebody publishes on the stream that a phone hears.
struct Publish {
    from: Duration,
    to: Duration,
    epoch: u32,
    /// The phone can take it.
    is_taken: bool,
}

/// Every phone that wants to hear all the time.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        let plan = &case.phone.plan;
        let listens = plan.changes.is_empty() && plan.acts.is_empty() && plan.direction.receives();
        let is_plain = plan.message_faults.is_empty() && plan.tcp.is_none();
        if !listens || !is_plain || !case.is_faithful() || !case.is_undisturbed() {
            return Vec::new();
        }
        publishes(case).filter_map(|publish| is_wrong(case, &publish)).collect()
    })
}

fn is_wrong(case: Case<'_>, publish: &Publish) -> Option<String> {
    let report = case.report;
    // It may have asked for another change, and been refused, just before.
    let due = publish.from + 2 * FOLLOWS_EVERY + 4 * case.round_trip();
    let ended = report.ended.map_or(report.left_at, |(at, _)| at);
    let is_up = report.answered_at.is_some_and(|at| at + case.round_trip() <= publish.from);
    if !is_up || publish.to < due || ended < publish.from {
        return None;
    }
    let Publish { from, epoch, is_taken, .. } = publish;
    if !is_taken {
        let is_kept = is_there_for_it(case) && ended > due;
        return is_kept.then(|| {
            format!(
                "it cannot take what its stream has since {from:?}, and was kept until {ended:?}"
            )
        });
    }
    let is_heard = report.heard.iter().any(|heard| {
        matches!(heard.stamp, Ok(Some(stamp)) if stamp.epoch == *epoch) && heard.at <= due
    });
    (!is_heard && ended > due)
        .then(|| format!("it hears nothing of what is published from {from:?}"))
}

/// Whether the gateway may end the call at `at`: its stream has, or had just before, what the phone cannot take.
pub(super) fn may_be_let_go(case: Case<'_>, at: Duration) -> bool {
    let way = FOLLOWS_EVERY + 4 * case.round_trip();
    let within = |it: &Publish| it.from <= at && at <= it.to + way;
    is_there_for_it(case) && publishes(case).any(|it| !it.is_taken && within(&it))
}

/// Whether its call is there to hear a stream, and for nothing else.
fn is_there_for_it(case: Case<'_>) -> bool {
    case.publishes().is_none() && case.client().is_none() && case.phone.plan.video.is_none()
}

/// What is published on the stream that the phone hears.
fn publishes(case: Case<'_>) -> impl Iterator<Item = Publish> {
    let stream = case.plays().filter(|_| case.client().is_none());
    let publishers = case.evidence.plan.publishers.iter().zip(&case.evidence.publishers);
    publishers.filter_map(move |(publisher, report)| {
        let Source::Generated(media) = &publisher.plan.source else { return None };
        let mut audio = report.sent.iter().filter(|sent| sent.kind == Kind::Audio);
        let its = Some(&publisher.plan.stream) == stream.as_ref();
        let first = audio.next().filter(|_| its)?;
        let codecs = &case.phone.plan.codecs;
        let is_taken = media.telephone.is_some_and(|has| {
            codecs.iter().any(|takes| *takes == has || takes.is_speex() && has.is_speex())
        });
        let to = audio.next_back().map_or(first.at, |last| last.at);
        Some(Publish { from: first.at, to, epoch: report.epoch, is_taken })
    })
}
