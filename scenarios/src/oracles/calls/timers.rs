//! O16: what may have been lost is said again after T1, twice that, and so on up to T2, until it is known to have arrived or
//! 64 T1 have passed.

use std::time::Duration;

use rehearsal_sim::clients::phone::{Saying, Signal, Way};

use super::{Case, is_ack, is_final, of_each, streams::copies};
use crate::run::Evidence;

/// Beyond its time, a copy comes late by a tick of each end, and by what other copies before it were late.
const LATE: Duration = Duration::from_millis(15);

/// Every phone whose line delivers what it takes: then copies come as they were sent.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        let mut found = Vec::new();
        if case.is_over_tcp() {
            found.extend(copies(case));
        }
        if !case.says_in_order() || !case.is_faithful() || !case.is_undisturbed() {
            return found;
        }
        if !case.keeps_connections() {
            return found;
        }
        let answers = case.answered().into_iter().filter(|copies| copies[0].method == "INVITE");
        // Over TCP only what takes a call is said again.
        let is_said_again =
            |it: &Signal| !case.is_over_tcp() || matches!(it.what, Saying::Response(..=299));
        let answers = answers.filter(|copies| is_said_again(copies[0]));
        let answers = answers.filter_map(|copies| answer(case, &copies));
        found.extend(answers);
        if !case.is_over_tcp() {
            let asked = case.asked().into_iter().filter(|copies| !is_ack(copies[0]));
            found.extend(asked.filter_map(|copies| request(case, &copies)));
        }
        found
    })
}

/// Copies of a final answer to INVITE end with the ACK.
fn answer(case: Case<'_>, copies: &[&Signal]) -> Option<String> {
    let first = copies[0];
    let is_accepted = matches!(first.what, Saying::Response(200..=299));
    let ends_it = |it: &Signal| {
        // Who hangs up knows that it was accepted.
        let is_bye = is_accepted && it.method == "BYE" && it.number > first.number;
        it.what == Saying::Request && (is_ack(it) && it.number == first.number || is_bye)
    };
    let known_at = case.sent().filter(|(_, it)| ends_it(it)).map(|(at, _)| at).min();
    // And who has hung up does not care.
    let is_bye = |copies: &Vec<&Signal>| copies[0].method == "BYE" && copies[0].at > first.at;
    let own_bye = case.asked().into_iter().find(is_bye).filter(|_| is_accepted);
    let own_bye_at = own_bye.map(|copies| copies[0].at);
    let until = known_at.into_iter().chain(own_bye_at).min();
    // Copies of the INVITE are answered, too, by all but a 2xx.
    let is_repeat = |it: &Signal| {
        it.what == Saying::Request && it.method == "INVITE" && it.branch == first.branch
    };
    let repeats = case.sent().filter(|(_, it)| is_repeat(it)).map(|(at, _)| at);
    let repeats: Vec<_> = repeats.collect();
    let is_asked_for =
        |at: Duration| repeats.iter().any(|asked| *asked <= at && at <= *asked + case.round_trip());
    let copies: Vec<Duration> = copies[1..].iter().map(|it| it.at).collect();
    let own = match first.what {
        Saying::Response(200..=299) => copies,
        _ => copies.into_iter().filter(|at| !is_asked_for(*at)).collect(),
    };
    let what = format!("{:?} at {:?}", first.what, first.at);
    steps(case, first.at, &own, true, until).map(|wrong| format!("{what}: {wrong}"))
}

/// Copies of a request end with the answer; an INVITE is said again more and more seldom.
fn request(case: Case<'_>, copies: &[&Signal]) -> Option<String> {
    let first = copies[0];
    let is_invite = first.method == "INVITE";
    let ends_it = |it: &Signal| {
        // Whoever is called is at it.
        let is_answer = is_final(it) || is_invite && matches!(it.what, Saying::Response(_));
        is_answer && it.branch == first.branch && it.method == first.method
    };
    let answered = case.sent().filter(|(_, it)| ends_it(it)).map(|(at, _)| at);
    // What is said in a call is not said again behind its end.
    let is_within = first.method == "INFO" || is_invite && first.to_tag.is_some();
    let is_end = |it: &Signal| it.method == "BYE" && it.what == Saying::Request;
    let hung_up = case.sent().filter(|(_, it)| is_end(it)).map(|(at, _)| at);
    let told = case.report.signals.iter().filter(|it| it.way == Way::Received && is_end(it));
    let over = hung_up.chain(told.map(|it| it.at)).filter(|_| is_within);
    let until = answered.chain(over).min();
    let own: Vec<Duration> = copies[1..].iter().map(|it| it.at).collect();
    let what = format!("{} at {:?}", first.method, first.at);
    let is_capped = first.method != "INVITE";
    steps(case, first.at, &own, is_capped, until).map(|wrong| format!("{what}: {wrong}"))
}

/// What is wrong with `copies` of what was said first at `first`, and is known to have arrived at `until`.
fn steps(
    case: Case<'_>,
    first: Duration,
    copies: &[Duration],
    is_capped: bool,
    until: Option<Duration>,
) -> Option<String> {
    let sip = &case.plan.config.sip;
    let (t1, t2) = (Duration::from_millis(sip.t1_ms), Duration::from_millis(sip.t2_ms));
    let over = first + 64 * t1;
    let late = LATE + case.round_trip();
    let (mut due, mut wait) = (first, t1);
    let mut rest = copies.iter();
    loop {
        due += wait;
        wait = if is_capped { (2 * wait).min(t2) } else { 2 * wait };
        // Time is up, and a copy may or may not be due at the very moment.
        let is_over = due + LATE >= over;
        let is_known = until.is_some_and(|until| until < due + LATE);
        let is_gone = due + late >= case.report.left_at;
        let Some(at) = rest.next() else {
            let is_missing = !is_over && !is_known && !is_gone;
            return is_missing.then(|| format!("the copy due at {due:?} did not come"));
        };
        if until.is_some_and(|until| *at > until + case.round_trip()) {
            return Some(format!("a copy came at {at:?}, behind what ends them at {until:?}"));
        }
        if at.abs_diff(due) > late || due > over + LATE {
            return Some(format!("a copy came at {at:?}, due was {due:?}"));
        }
    }
}
