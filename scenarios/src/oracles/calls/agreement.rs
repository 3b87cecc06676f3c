//! O17: a call is up for both, or for none: at the phone, at the gateway and for who plays it.

use std::time::Duration;

use rehearsal_sim::clients::phone::{CallEnd, Saying, Way};

use super::{Case, follows::may_be_let_go, of_each};
use crate::run::Evidence;

/// Packets that were on their way, and those that the gateway holds to put them in order.
pub(super) const ON_THEIR_WAY: Duration = Duration::from_millis(500);

/// What the phone and those who play its stream know of the end.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut found = of_each(evidence, |case| {
        let mut found = Vec::new();
        found.extend(unended(case));
        found.extend(unexpected(case));
        found.extend(expired(case));
        found.extend(still_heard(case));
        found
    });
    found.extend(of_each(evidence, |case| still_played(evidence, case)));
    found
}

/// Whether what either end says arrives in the end: single messages are said again, by datagrams or by TCP.
fn gets_through(case: Case<'_>) -> bool {
    let is_plain = case.is_faithful() && case.is_undisturbed();
    // By another connection, if need be.
    is_plain || case.is_over_tcp() && case.is_at_most_cut_off()
}

/// When what begins at `since` is over that needs `allowed` of who does not wait for TCP to send again what was lost.
fn due(case: Case<'_>, since: Duration, allowed: Duration) -> Duration {
    case.evidence.due(&[&case.phone.host], since, allowed)
}

/// Whether the answer to the first `method` of the phone may not have come by `at`, for a connection had to be made, or what is said
/// by it was lost, again and again.
fn may_be_unanswered(case: Case<'_>, method: &str, at: Duration) -> bool {
    let mut signals = case.report.signals.iter().filter(|it| it.way == Way::Sent);
    let asked = signals.find(|it| it.what == Saying::Request && it.method == method);
    asked.is_some_and(|asked| due(case, asked.at, 4 * case.round_trip()) >= at)
}

/// Every call comes to an end before its phone has to leave in the midst of it.
fn unended(case: Case<'_>) -> Option<String> {
    let plan = &case.phone.plan;
    let has_time = plan.talk_ms.is_some_and(|talk_ms| {
        let needs_ms = talk_ms + 3 * 64 * case.plan.config.sip.t1_ms + case.plan.terms.slack_ms;
        let [from, needs, leaves] =
            [plan.start_ms, needs_ms, plan.leave_ms].map(Duration::from_millis);
        due(case, from, needs) < leaves
    });
    let was_taken = plan.called.is_none() || case.report.answered_at.is_some();
    let is_half = gets_through(case) && has_time && was_taken && case.report.ended.is_none();
    is_half.then(|| format!("the call has no end: {}", case.report.end()))
}

/// A call is not ended, nor forgotten, by a gateway that has no reason to.
fn unexpected(case: Case<'_>) -> Option<String> {
    let plan = &case.phone.plan;
    let (at, end) = case.report.ended?;
    // What it says by a line that loses segments may come later than its silence is noticed, and so may the answer at the phone.
    let silence = Duration::from_millis(case.plan.config.rtp.silence_ms);
    let mut asked = case.report.signals.iter().filter(|it| it.way == Way::Sent);
    let asked = asked.find(|it| it.method == "INVITE" && it.what == Saying::Request);
    let taken_for = case.report.answered_at.zip(asked.filter(|_| plan.called.is_none()));
    let taken_for = taken_for.map_or(Duration::ZERO, |(at, asked)| at.saturating_sub(asked.at));
    let is_long = plan.talk_ms.is_none_or(|ms| taken_for + Duration::from_millis(ms) >= silence);
    let has_hung_up = !case.is_faithful()
        && case.report.signals.iter().any(|it| {
            it.method == "BYE" && it.way == Way::Sent && it.at + silence <= at + case.round_trip()
        });
    let is_wrong = match end {
        CallEnd::Forgotten | CallEnd::HungUpRefused(_) => true,
        CallEnd::NoAnswer => !may_be_unanswered(case, "INVITE", at),
        CallEnd::HungUpUnanswered => !may_be_unanswered(case, "BYE", at),
        // Because its client has, and that is judged there.
        CallEnd::ByGateway => {
            let forgets = plan.session.is_some_and(|session| session.refreshes_max.is_some());
            let is_let_go = may_be_let_go(case, at) || forgets;
            !is_long && !has_hung_up && case.client().is_none() && !is_let_go
        }
        CallEnd::Rejected(_) | CallEnd::Cancelled | CallEnd::HungUp | CallEnd::Crashed => false,
    };
    let is_wrong = is_wrong && is_plain(case);
    is_wrong.then(|| format!("at {at:?} the call ended with: {}", case.report.end()))
}

/// Whether all messages of the call get through, once.
fn is_plain(case: Case<'_>) -> bool {
    case.phone.plan.message_faults.is_empty() && gets_through(case) && case.keeps_connections()
}

/// Who is to refresh a session does so.
fn expired(case: Case<'_>) -> Option<String> {
    let at = case.report.expired_at.filter(|_| is_plain(case))?;
    Some(format!("at {at:?} its session was over, and nobody had refreshed it"))
}

/// Nothing is sent to a phone whose call is over, as both know.
fn still_heard(case: Case<'_>) -> Option<String> {
    let (at, end) = case.report.ended?;
    let both_know = matches!(end, CallEnd::HungUp | CallEnd::ByGateway);
    let until = at + ON_THEIR_WAY + case.round_trip();
    let late = case.report.heard.iter().find(|heard| heard.at > until)?;
    both_know.then(|| format!("the call was over at {at:?}, and audio came at {:?}", late.at))
}

/// Who plays what the phone says hears nothing of it once the call is over, and is told of the end.
fn still_played(evidence: &Evidence, case: Case<'_>) -> Vec<String> {
    let (Some((at, end)), Some(voice)) = (case.report.ended, &case.phone.plan.voice) else {
        return Vec::new();
    };
    let both_know = matches!(end, CallEnd::HungUp | CallEnd::ByGateway);
    if !both_know || case.report.answered_at.is_none() || !case.is_undisturbed() {
        return Vec::new();
    }
    let until = at + ON_THEIR_WAY + case.round_trip();
    // Whoever hangs up may have to say so again and again, for the answer gets lost.
    let byes = case.report.signals.iter().filter(|it| it.method == "BYE");
    let hung_up_at = byes.map(|bye| bye.at.saturating_sub(case.round_trip())).min().unwrap_or(at);
    let mut found = Vec::new();
    let players = evidence.plan.players.iter().zip(&evidence.players);
    for (player, played) in players.filter(|(player, _)| player.plan.stream == voice.stream) {
        let is_its = |epoch: Option<u32>| epoch == Some(voice.epoch);
        let mut its = played.received.iter().filter(|it| is_its(it.stamp.map(|stamp| stamp.epoch)));
        let is_heard = its.clone().next().is_some();
        if let Some(late) = its.find(|seen| seen.at > until) {
            found.push(format!(
                "the call was over at {at:?}, and {} heard it at {:?}",
                player.host, late.at
            ));
        }
        let leaves = Duration::from_millis(player.plan.leave_ms);
        let was_told = played.statuses.iter().any(|(told_at, code)| {
            code.ends_with("UnpublishNotify") && (hung_up_at..=until).contains(told_at)
        });
        let tells = evidence.plan.config.live.notify_unpublish;
        if tells && is_heard && until < leaves && !was_told {
            found.push(format!("{} was not told that the call was over at {at:?}", player.host));
        }
    }
    found
}
