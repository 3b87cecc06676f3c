//! O20: each digit that a phone dials is told once to who plays its stream, in order, if any packet of it gets through, or the
//! INFO that it is in.

use std::{collections::BTreeSet, time::Duration};

use rehearsal_sim::clients::{
    phone::{Deed, Keyed, Tone},
    sip_client::{Callback, Command},
};

use super::{
    Case, MOVES, calls, of_each,
    sources::{believed, on_the_way},
};
use crate::{plan::Player, run::Evidence};

/// A digit of a client is over so long after it was dialled, if none is before it.
const DIALLED: Duration = Duration::from_millis(1_000);

/// How long a digit of a client is heard, in milliseconds.
const DIGIT_MS: u32 = 160;

/// What phones and clients dial.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut found = told_to_players(evidence);
    found.extend(told_to_clients(evidence));
    found.extend(dialled_by_clients(evidence));
    found
}

/// Every stream whose phones dial, for each player of it who is there all the time.
fn told_to_players(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    let phones = plan.phones.iter().zip(&evidence.phones);
    let mut cases: Vec<_> =
        phones.map(|(phone, report)| Case { evidence, plan, phone, report }).collect();
    // One after the other has the stream; who is not answered never has, unless nobody knows.
    cases.retain(|case| case.report.answered_at.is_some() || plan.is_faulty(&case.phone.host));
    cases.sort_by_key(|case| case.report.answered_at);
    let players = plan.players.iter().zip(&evidence.players);
    let wrong = players.filter_map(|(player, report)| {
        let stream = &player.plan.stream;
        let its = cases.iter().copied().filter(|case| case.publishes().as_ref() == Some(stream));
        let its: Vec<Case<'_>> = its.collect();
        let dials = its.iter().any(|case| !case.phone.plan.digits.is_empty());
        if !dials || !its.iter().all(|case| is_judged(*case) && was_there(*case, player)) {
            return None;
        }
        let due: Vec<Due> = its.iter().flat_map(|case| due(evidence, *case)).collect();
        let told: Vec<char> = report.digits.iter().map(|(_, digit)| *digit).collect();
        (!is_of(&told, &due)).then(|| is_wrong(&player.host, &told, &due))
    });
    wrong.collect()
}

/// Every phone that dials, for the client that talks to it.
fn told_to_clients(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        let dials = !case.phone.plan.digits.is_empty();
        let Some(voice) = case.phone.plan.voice.as_ref().filter(|_| dials) else {
            return Vec::new();
        };
        if !is_judged(case) {
            return Vec::new();
        }
        let due = due(evidence, case);
        let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
        let its = clients.filter(|(client, _)| {
            client.plan.listens.as_ref() == Some(&voice.stream)
                && !evidence.plan.is_faulty(&client.host)
        });
        let over = case.report.ended.map_or(case.report.left_at, |(at, _)| at);
        let its = its.filter(|(_, report)| over < report.ended_at);
        let wrong = its.filter_map(|(client, report)| {
            let told = report.callbacks.iter().filter_map(|(_, told)| match told {
                Callback::Dtmf(digit) => Some(*digit),
                _ => None,
            });
            let told: Vec<char> = told.collect();
            (!is_of(&told, &due)).then(|| is_wrong(&client.host, &told, &due))
        });
        wrong.collect()
    })
}

/// Each digit that a client dials, and may, is heard once by the phone that it talks to, in order.
fn dialled_by_clients(evidence: &Evidence) -> Vec<String> {
    let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
    let mut found = Vec::new();
    for (client, report) in clients {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let mut its = phones.filter(|(phone, _)| calls(client, phone));
        let (Some((phone, heard)), None) = (its.next(), its.next()) else { continue };
        let case = Case { evidence, plan: &evidence.plan, phone, report: heard };
        if !case.is_faithful() || !case.is_undisturbed() || evidence.plan.is_faulty(&client.host) {
            continue;
        }
        let dialled = report.ordered.iter().filter_map(|it| match (&it.command, &it.answered) {
            (Command::SendDtmf(digit), Some((at, Ok(())))) => Some((*at, *digit)),
            _ => None,
        });
        let dialled: Vec<(Duration, char)> = dialled.collect();
        // What is dialled just before the end may not get away.
        let over = heard.ended.map_or(heard.left_at, |(at, _)| at);
        let in_time = dialled.iter().filter(|(at, _)| *at + DIALLED < over);
        let due: String = in_time.map(|(_, digit)| digit).collect();
        let all: String = dialled.iter().map(|(_, digit)| digit).collect();
        let mut keys: Vec<_> =
            heard.tones.iter().map(|it| (it.ssrc, it.timestamp, it.digit)).collect();
        keys.dedup();
        let told: String = keys.into_iter().map(|(.., digit)| digit).collect();
        let is_let_go = told != due || heard.tones.last().is_none_or(|tone| tone.is_end);
        let per_ms = heard.codec.map_or(8, |codec| codec.samples_per_ms());
        let mut ends = heard.tones.iter().filter(|tone| tone.is_end);
        if let Some(tone) = ends.find(|tone| u32::from(tone.samples) != DIGIT_MS * per_ms) {
            let Tone { at, digit, samples, .. } = tone;
            found.push(format!("{}: at {at:?} {digit} ends after {samples} samples", phone.host));
        }
        if !told.starts_with(&due) || !all.starts_with(&told) || !is_let_go {
            found.push(format!("{} heard {told}, {} has dialled {due}", phone.host, client.host));
        }
    }
    found
}

/// Whether what the phone says arrives in order, at somebody who is there and listens: not before it knows that the phone has
/// taken its call, and not to one that does not say where it has moved to.
fn is_judged(case: Case<'_>) -> bool {
    let is_heard = case.phone.plan.dials_by_info
        || !case.phone.plan.acts.iter().any(|act| act.deed == Deed::Rebind)
            && !case.report.dialled.iter().any(|it| case.is_early(it.at));
    case.is_in_order() && case.is_undisturbed() && is_heard
}

fn was_there(case: Case<'_>, player: &Player) -> bool {
    let from = Duration::from_millis(player.plan.start_ms + 1_000);
    let to = Duration::from_millis(player.plan.leave_ms);
    let over = case.report.ended.map_or(case.report.left_at, |(at, _)| at);
    case.report.answered_at.is_some_and(|at| from <= at)
        && over < to
        && !case.plan.may_skip(&player.host)
}

/// A digit of which something gets through.
struct Due {
    digit: char,
    /// It is listened to for sure.
    is_sure: bool,
}

/// The digits of which any packet gets through, or the INFO, in order.
fn due(evidence: &Evidence, case: Case<'_>) -> Vec<Due> {
    if case.phone.plan.dials_by_info {
        // One that was made again may have been taken the first time, its answer lost with the connection.
        let keyed = case.report.keyed.iter().filter(|it| it.is_again || !is_refused(it));
        let due = keyed.map(|it| Due { digit: it.digit, is_sure: it.status == Some(200) });
        return due.collect();
    }
    let lost = on_the_way(evidence, case).iter().filter(|lost| lost.is_of_phone);
    let lost: BTreeSet<(u32, u16)> = lost.filter_map(|lost| lost.packet).collect();
    let came = case.report.dialled.iter().filter(|it| !it.is_lost);
    let came = came.filter(|it| !lost.contains(&(it.ssrc, it.sequence)));
    let believed = believed(case);
    // Of each key, whether any packet of it is sure to be listened to.
    let mut keys: Vec<((u32, u32, char), bool)> = Vec::new();
    for it in came {
        let is_unsure = believed.get(&it.ssrc).is_none_or(|from| it.at < *from)
            || is_moving(case, it.at)
            || case.is_changing(it.at)
            || case.is_cut_short(it.at)
            || case.may_be_hung_up_on(it.at);
        let (key, is_sure) = ((it.ssrc, it.timestamp, it.digit), !is_unsure);
        match keys.last_mut() {
            Some((last, was_sure)) if *last == key => *was_sure |= is_sure,
            _ => keys.push((key, is_sure)),
        }
    }
    keys.into_iter().map(|((.., digit), is_sure)| Due { digit, is_sure }).collect()
}

fn is_refused(keyed: &Keyed) -> bool {
    keyed.status.is_some_and(|status| status != 200)
}

/// Whether `told` is all that is sure of `due`, and of the rest some, in order.
fn is_of(told: &[char], due: &[Due]) -> bool {
    // How much of `told` may be by what is due so far.
    let mut ends = BTreeSet::from([0]);
    for Due { digit, is_sure } in due {
        let with = ends.iter().filter(|end| told.get(**end) == Some(digit)).map(|end| end + 1);
        let without = ends.iter().filter(|_| !is_sure).copied();
        ends = with.chain(without).collect();
    }
    ends.contains(&told.len())
}

fn is_wrong(host: &str, told: &[char], due: &[Due]) -> String {
    let told: String = told.iter().collect();
    let in_words =
        |it: &Due| if it.is_sure { it.digit.to_string() } else { format!("[{}]", it.digit) };
    let due: String = due.iter().map(in_words).collect();
    format!("{host} was told of {told}, dialled was {due}")
}

/// Whether the phone and the gateway may not be of one mind, at `at`, from where it speaks.
fn is_moving(case: Case<'_>, at: Duration) -> bool {
    let has_moved = |moved: &Duration| at.abs_diff(*moved) < MOVES + case.round_trip();
    let moves = case.phone.plan.acts.iter().any(|act| act.deed == Deed::Move);
    case.report.moved.iter().any(has_moved) || moves && case.is_changing(at)
}
