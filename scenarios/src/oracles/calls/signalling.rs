//! O15: what the gateway says over SIP follows from what was said before.

use std::time::Duration;

use std::collections::{BTreeMap, BTreeSet};

use rehearsal_sim::clients::phone::{Saying, Signal, Way};

use super::{Case, is_ack, is_final, of_each, streams::connections};
use crate::run::Evidence;

/// Every phone's call, whatever befell it.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        let mut found = Vec::new();
        if case.is_over_tcp() {
            found.extend(connections(case));
        }
        if case.says_in_order() {
            found.extend(unreadable(case));
            found.extend(answers(case));
            found.extend(requests(case));
            found.extend(after_the_end(case));
        }
        if case.says_in_order() && case.is_faithful() && case.is_undisturbed() {
            found.extend(unanswered(case));
            found.extend(unacknowledged(case));
        }
        found
    })
}

fn unreadable(case: Case<'_>) -> Option<String> {
    let mut received = case.report.signals.iter().filter(|it| it.way == Way::Received);
    let wrong = received.find(|it| it.what == Saying::Unreadable)?;
    Some(format!("what came at {:?} is no SIP", wrong.at))
}

/// Datagrams that are sent one after the other may overtake each other by so much.
const OVERTAKEN: Duration = Duration::from_millis(100);

/// A request has one final answer, each copy of which is the same, and no provisional one behind it; one INVITE makes one dialog.
fn answers(case: Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for copies in case.answered() {
        let (first, others) = copies.split_first().expect("each has one");
        // A gateway that has begun anew knows nothing of what it said before, and over TCP that is forgotten at once of all but INVITE.
        let is_forgotten =
            case.is_over_tcp() && first.method != "INVITE" && !case.keeps_connections();
        let is_known = case.is_undisturbed() && !is_forgotten;
        let is_same = |other: &Signal| other.raw == first.raw || !is_known;
        if let Some(other) = others.iter().find(|other| !is_same(other)) {
            found.push(format!(
                "the {} of {} at {:?} and the one at {:?} are not the same",
                first.method, first.number, first.at, other.at
            ));
        }
        let of_it = |it: &&Signal| it.branch == first.branch && it.method == first.method;
        let responses = case.report.signals.iter().filter(|it| it.way == Way::Received);
        let mut responses = responses.filter(of_it).filter(|it| it.what != Saying::Request);
        let late = responses.clone().find(|it| it.at > first.at + OVERTAKEN && !is_final(it));
        let (from, to) = (case.phone.plan.start_ms, case.phone.plan.leave_ms);
        if let Some(late) = late.filter(|_| !case.plan.meets_outage(from, to)) {
            found.push(format!("{:?} came at {:?}, behind a final answer", late.what, late.at));
        }
        let other_tag = responses.find(|it| it.to_tag.is_some() && it.to_tag != first.to_tag);
        if let Some(other) = other_tag.filter(|_| is_known) {
            found.push(format!(
                "the answers at {:?} and {:?} are of two dialogs",
                first.at, other.at
            ));
        }
    }
    found
}

/// Copies of a request are the same, and a new one has a greater number.
fn requests(case: Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    // By the call and the tag: the greatest number, and when it was said first.
    let mut newest = BTreeMap::<(&str, Option<&str>), (u32, Option<Duration>)>::new();
    for copies in case.asked() {
        let (first, others) = copies.split_first().expect("each has one");
        // A gateway that has begun anew knows nothing of what it said before.
        let is_same = |other: &Signal| other.raw == first.raw || !case.is_undisturbed();
        if let Some(other) = others.iter().find(|other| !is_same(other)) {
            found.push(format!("copies at {:?} and {:?} differ", first.at, other.at));
        }
        if is_ack(first) || first.method == "CANCEL" {
            continue;
        }
        // What begins a call counts for all who take it.
        let (call, tag) = (&first.call_id[..], first.to_tag.as_deref());
        let before = [newest.get(&(call, None)), newest.get(&(call, tag))].into_iter().flatten();
        let newest_before = before.max().copied();
        let (number, at) = (first.number, first.at);
        // Of what is lost a copy may come behind what was asked later.
        let said_at = case.said_at(first);
        if let Some((before, its)) = newest_before.filter(|(before, _)| number <= *before) {
            let loses = !case.is_over_tcp() && !case.is_faithful();
            let is_behind = said_at.zip(its).is_some_and(|(at, its)| at > its + case.round_trip());
            if number == before || !loses || is_behind {
                let method = &first.method;
                found.push(format!("the {method} at {at:?} has number {number}, behind {before}"));
            }
            continue;
        }
        newest.insert((call, tag), (number, said_at));
    }
    found
}

/// Whoever has hung up, or knows that the other has, asks nothing more.
fn after_the_end(case: Case<'_>) -> Option<String> {
    let received = case.report.signals.iter().filter(|it| it.way == Way::Received);
    let mut byes = received.filter(|it| it.method == "BYE");
    let over = byes.find(|it| matches!(it.what, Saying::Request | Saying::Response(200)))?;
    let own_tag = if over.what == Saying::Request { &over.to_tag } else { &over.from_tag };
    let behind = case.asked().into_iter().map(|copies| copies[0]);
    let behind = behind.filter(|it| it.to_tag.is_some() && it.to_tag == *own_tag);
    let mut behind = behind.filter(|it| it.at > over.at && !is_ack(it) && it.branch != over.branch);
    // What was said before by another connection may come later, when it has to be sent again.
    let within = case.round_trip();
    let known_at = case.evidence.due(&[&case.phone.host], over.at, within);
    let is_late = |it: &Signal| !case.is_faithful() && it.over != over.over && it.at <= known_at;
    let new = behind.find(|it| !is_late(it))?;
    Some(format!("the call was over at {:?}, and {} came at {:?}", over.at, new.method, new.at))
}

/// What arrived at the gateway is answered, once at least and soon.
fn unanswered(case: Case<'_>) -> Option<String> {
    let within = case.round_trip() + case.lost_for();
    let mut seen = BTreeSet::new();
    let mut requests = case.sent().filter(|(_, it)| it.what == Saying::Request && !is_ack(it));
    let (at, request) = requests.find(|(at, it)| {
        let is_first = seen.insert((&it.branch, &it.method));
        // Whoever a client is asks that before it answers a call.
        let is_asked =
            case.phone.plan.calls_back_ms.is_some() && it.method == "INVITE" && it.to_tag.is_none();
        let is_due = *at + within < case.report.left_at && !is_asked;
        let mut responses = case.report.signals.iter().filter(|it| it.way == Way::Received);
        let is_answered = responses.any(|other| {
            is_final(other)
                && other.branch == it.branch
                && other.method == it.method
                && other.at <= *at + within
        });
        is_first && is_due && !is_answered && !case.may_be_lost(*at, within)
    })?;
    Some(format!("the {} at {at:?} was not answered within {within:?}", request.method))
}

/// How long copies of a refusal may come at least (RFC 3261, section 17.1.1.2).
const TIMER_D: Duration = Duration::from_secs(32);

/// Whether it takes a call.
fn is_accepted(signal: &Signal) -> bool {
    matches!(signal.what, Saying::Response(200..=299))
}

/// What the phone answered to an INVITE of the gateway's, as soon as that arrives, is acknowledged by its number. If the ACK is lost
/// with its connection, only what takes a call is said again over TCP. What comes when copies are not expected any more (RFC 3261,
/// section 17.1.1.2: timer D) is of nothing that the gateway knows.
fn unacknowledged(case: Case<'_>) -> Option<String> {
    let within = case.round_trip() + case.lost_for();
    let answers = || case.sent().filter(|(_, it)| is_final(it) && it.method == "INVITE");
    let given_up = Duration::from_millis(64 * case.plan.config.sip.t1_ms);
    let (at, _) = answers().find(|(at, it)| {
        let is_copy = |other: &Signal| (&other.branch, &other.to_tag) == (&it.branch, &it.to_tag);
        let copies_come = if is_accepted(it) { given_up } else { given_up.max(TIMER_D) };
        let first = answers().find(|(_, other)| is_copy(other)).map_or(*at, |(first, _)| first);
        let is_late = *at + case.round_trip() >= first + copies_come;
        let mut received = case.report.signals.iter().filter(|it| it.way == Way::Received);
        let is_due = *at + within < case.report.left_at;
        is_due
            && !is_late
            && !case.may_be_lost(*at, within)
            && (case.keeps_connections() || is_accepted(it))
            && !received.any(|ack| {
                is_ack(ack)
                    && (ack.number, &ack.to_tag) == (it.number, &it.to_tag)
                    && (*at..=*at + within).contains(&ack.at)
            })
    })?;
    Some(format!("the answer at {at:?} was not acknowledged within {within:?}"))
}
