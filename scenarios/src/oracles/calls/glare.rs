//! O18: offers that cross are both refused, and made again until one of them is taken; those that are refused change nothing.

use std::time::Duration;

use rehearsal_sim::clients::phone::{Direction, Saying, Signal, Way};

use super::{Case, is_final, of_each};
use crate::run::Evidence;

/// Refusals for glare after which an offer is taken: the two ends wait for times that have nothing in common.
const ROUNDS_MAX: usize = 2;
/// Who has not called waits for up to 2 s, who has for 2.1 s to 4 s (RFC 3261, section 14.1).
const CALLED_WAITS: Duration = Duration::from_secs(2);
const CALLER_WAITS: Duration = Duration::from_secs(4);
/// Packets on their way, and the gateway's queue of what is to be heard.
const ON_THEIR_WAY: Duration = Duration::from_millis(500);

/// Every phone whose line delivers what it takes.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        let is_plain = case.phone.plan.message_faults.is_empty();
        if !case.is_in_order() || !case.is_faithful() || !case.is_undisturbed() || !is_plain {
            return Vec::new();
        }
        let mut found = Vec::new();
        for way in [Way::Sent, Way::Received] {
            found.extend(rounds(case, way));
        }
        found.extend(postponed(case));
        found.extend(unasked(case));
        found
    })
}

/// Final answers to offers within the call that went `way`.
fn answered(case: Case<'_>, way: Way) -> Vec<&Signal> {
    let first = case.report.answered_at;
    let signals = case.report.signals.iter();
    let finals = signals.filter(|it| it.way == way && it.method == "INVITE" && is_final(it));
    let mut finals: Vec<&Signal> = finals.filter(|it| first.is_some_and(|at| it.at > at)).collect();
    finals.dedup_by(|a, b| a.branch == b.branch);
    finals
}

fn is_glare(signal: &Signal) -> bool {
    signal.what == Saying::Response(491)
}

/// An offer is not refused again and again because of another one.
fn rounds(case: Case<'_>, way: Way) -> Option<String> {
    let answers = answered(case, way);
    let row = answers.chunk_by(|one, next| is_glare(one) && is_glare(next));
    let long = row.into_iter().find(|row| row.len() > ROUNDS_MAX && is_glare(row[0]))?;
    Some(format!("from {:?} on offers were refused {} times for glare", long[0].at, long.len()))
}

/// The gateway makes an offer again that was refused for glare, when the time for it has come.
fn postponed(case: Case<'_>) -> Vec<String> {
    let (mut found, way) = (Vec::new(), case.round_trip());
    let over = case.report.ended.map_or(case.report.left_at, |(at, _)| at);
    let asked: Vec<Duration> =
        case.asked().iter().filter(|it| it[0].method == "INVITE").map(|it| it[0].at).collect();
    for refused in answered(case, Way::Sent).into_iter().filter(|it| is_glare(it)) {
        // It may have to wait for a change of the phone's, which waits for it.
        let due = refused.at + CALLED_WAITS + CALLER_WAITS + way;
        let is_again = asked.iter().any(|at| (refused.at..=due).contains(at));
        if due < over && !is_again {
            found.push(format!("the offer refused at {:?} was not made again", refused.at));
        }
    }
    found
}

/// While it was not agreed that the phone listens, it hears nothing, whatever offers were made and refused.
fn unasked(case: Case<'_>) -> Option<String> {
    let spans = &case.report.directions;
    let ends = spans.iter().skip(1).map(|(at, _)| *at).chain([Duration::MAX]);
    let spans = spans.iter().zip(ends);
    let mut deaf = spans.filter(|((_, direction), _)| !Direction::receives(*direction));
    deaf.find_map(|((from, direction), to)| {
        let span = *from + ON_THEIR_WAY + case.round_trip()..to;
        // An offer that is taken holds for the gateway before the phone knows, who may have hung up meanwhile.
        let mut byes = case.report.signals.iter().filter(|it| it.method == "BYE");
        let over = byes.next().map_or(Duration::MAX, |bye| bye.at);
        let is_wrong = |at: Duration| span.contains(&at) && at < over && !case.is_changing(at);
        let heard = case.report.heard.iter().find(|heard| is_wrong(heard.at))?;
        Some(format!("it is {direction:?} since {from:?}, and audio came at {:?}", heard.at))
    })
}
