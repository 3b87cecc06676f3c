//! O19 the other way: what phones say is what those have who play their streams, whole where the line is, and what the gateway
//! tells phones of loss is what is missing there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rehearsal_sim::clients::{
    phone::Spoken,
    verify::{Breach, Kind, Logged, Promise},
};

use super::{BEFORE, Case, HELD, MOVES, commands::round_trip, is_with, of_each, sources::believed};
use crate::run::Evidence;

/// Every stream that phones say something on and that is played.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut found = strangers(evidence);
    found.extend(of_each(evidence, |case| {
        let Some(voice) = &case.phone.plan.voice else { return Vec::new() };
        if case.has_crashed() {
            return Vec::new();
        }
        let players = evidence.plan.players.iter().zip(&evidence.players);
        let its = players.filter(|(player, _)| player.plan.stream == voice.stream);
        let heard = its.map(|(player, report)| {
            let (from, to) = (player.plan.start_ms, player.plan.leave_ms);
            let (from, to) = (Duration::from_millis(from), Duration::from_millis(to));
            let (way, received) = (Duration::ZERO, &report.received[..]);
            Listener { host: &player.host, from, to, way, received }
        });
        let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
        let its = clients.filter(|(it, _)| it.plan.listens.as_ref() == Some(&voice.stream));
        let by_clients = its.filter_map(|(client, report)| {
            let mut talks = report.talks.iter().filter(|talk| talk.up_at.is_some());
            talks.find(|talk| is_with(client, talk, case.phone))?;
            let (host, received) = (&client.host, &report.received);
            let (from, _) = report.connected.as_ref()?;
            let to = report.ended_at.min(Duration::from_millis(client.plan.leave_ms));
            let way = round_trip(evidence, client);
            Some(Listener { host, from: *from, to, way, received })
        });
        heard.chain(by_clients).flat_map(|it| of_listener(case, voice.epoch, it)).collect()
    }));
    found.extend(breaches(evidence));
    found
}

/// Who plays a phone's stream hears phones of that stream only, and each as long as nobody else has come.
fn strangers(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let players = evidence.plan.players.iter().zip(&evidence.players);
    let players = players.map(|(it, report)| (&it.host, &report.stream, &report.received));
    let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
    let clients = clients
        .filter_map(|(it, report)| Some((&it.host, it.plan.listens.as_ref()?, &report.received)));
    for (host, stream, received) in players.chain(clients) {
        if !evidence.plan.is_of_phone(stream) {
            continue;
        }
        let voices = evidence.plan.phones.iter().filter_map(|phone| phone.plan.voice.as_ref());
        let own: Vec<u32> = voices.filter(|it| it.stream == *stream).map(|it| it.epoch).collect();
        let published = evidence.publishers.iter().filter(|it| it.stream == *stream);
        let own: Vec<u32> = own.into_iter().chain(published.map(|it| it.epoch)).collect();
        let is_strange = |seen: &&Logged| seen.stamp.is_none_or(|it| !own.contains(&it.epoch));
        let media = received.iter().filter(|seen| seen.stamp.is_some());
        if let Some(seen) = media.clone().find(is_strange) {
            found.push(format!("{host}: what came at {:?} is of nobody", seen.at));
        }
    }
    found
}

/// What clients of the application `sip` say of what they hear.
fn breaches(evidence: &Evidence) -> Vec<String> {
    let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
    let found = clients.flat_map(|(client, report)| {
        let stream = client.plan.listens.as_deref().unwrap_or_default();
        let begins_anew = evidence.plan.begins_anew(stream);
        let held = |it: &&Breach| it.promise != Promise::Timestamps || !begins_anew;
        let breaches = report.violations.iter().filter(held);
        breaches.map(|it| format!("{}: {}", client.host, it.what)).collect::<Vec<_>>()
    });
    found.collect()
}

/// Somebody who hears phones, and from when to when he was there.
struct Listener<'a> {
    host: &'a str,
    from: Duration,
    to: Duration,
    /// What its line may take, there and back.
    way: Duration,
    received: &'a [Logged],
}

fn of_listener(case: Case<'_>, epoch: u32, listener: Listener<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let Listener { host, from, to, received, .. } = listener;
    let its: BTreeMap<u32, &Logged> = received
        .iter()
        .filter(|seen| seen.kind == Kind::Audio)
        .filter_map(|seen| Some((seen.stamp.filter(|stamp| stamp.epoch == epoch)?.index, seen)))
        .collect();
    let spoken = &case.report.spoken;
    let way = case.round_trip() + listener.way;
    let max_delay = Duration::from_millis(case.plan.config.rtp.max_delay_ms);
    let most = HELD + max_delay + way + case.queued_for();
    let is_whole = case.is_faithful() && case.is_undisturbed();
    let mut first_of = BTreeSet::new();
    for (index, seen) in &its {
        let Some(said) = spoken.get(*index as usize) else {
            found.push(format!("{host} has packet {index}, which was not said"));
            continue;
        };
        let is_early = case.report.answered_at.is_none_or(|at| said.at + case.uneven() < at);
        if is_early {
            let at = said.at;
            found.push(format!("{host} has packet {index}, said at {at:?}, before the answer"));
        }
        let late = if is_whole { HELD + way } else { most };
        // One packet alone is no source yet, and waits for the next that comes, if that is not too late to play it.
        let is_first = first_of.insert(said.ssrc);
        let next = its.range(index + 1..).next().and_then(|(next, _)| spoken.get(*next as usize));
        let next = next.filter(|next| is_first && next.ssrc == said.ssrc);
        let due = next.map_or(said.at, |next| next.at.min(said.at + max_delay));
        if seen.at < said.at || seen.at > due + late {
            found.push(format!(
                "{host} has packet {index}, said at {:?}, at {:?}",
                said.at, seen.at
            ));
        }
    }
    let from = from + BEFORE;
    let was_there = !case.plan.is_faulty(host) && !case.plan.may_skip(host);
    let due = spoken.iter().filter(|said| from <= said.at && said.at + most < to);
    if is_whole && was_there {
        let believed = believed(case);
        let mut due = due.filter(|said| !may_be_left_out(case, said, &believed));
        let missing = due.find(|said| !its.contains_key(&said.index));
        if let Some(said) = missing {
            found.push(format!("{host} lacks packet {}, said at {:?}", said.index, said.at));
        }
    }
    let hears_all = case.report.answered_at.is_some_and(|at| from <= at) && case.is_undisturbed();
    // What it says is all that it sends, in one numbering.
    let hears_all =
        hears_all && case.phone.plan.acts.is_empty() && case.phone.plan.digits.is_empty();
    if was_there && hears_all && case.is_in_order() {
        // What was on its way when it went is not lost.
        found.extend(losses(case, host, &its, to.saturating_sub(way)));
    }
    found
}

/// What crosses the end of the call, or a change of it, may be left out.
fn may_be_left_out(case: Case<'_>, said: &Spoken, believed: &BTreeMap<u32, Duration>) -> bool {
    let mut moves = case.report.moved.iter();
    let is_unsure = moves.any(|moved| said.at.abs_diff(*moved) < MOVES + case.round_trip());
    let is_alone = believed.get(&said.ssrc).is_none_or(|from| said.at < *from);
    if case.is_early(said.at) || is_alone || is_unsure || case.is_changing(said.at) {
        return true;
    }
    case.may_be_hung_up_on(said.at) || case.is_cut_short(said.at)
}

/// As many are said to be lost, by those reports that come before `until`, as are missing, of those up to the greatest number
/// that came.
fn losses(
    case: Case<'_>,
    host: &str,
    its: &BTreeMap<u32, &Logged>,
    until: Duration,
) -> Vec<String> {
    let (Some(first), Some(base)) = (case.report.spoken.first(), its.keys().next()) else {
        return Vec::new();
    };
    let is_even = case.phone.link.up.jitter_ns == 0;
    let believed = believed(case);
    let reports = case.report.reports.iter().filter(|report| report.at < until);
    let wrong = reports.filter_map(|report| {
        let highest = u32::from((report.highest as u16).wrapping_sub(first.sequence));
        let missing: Vec<&Spoken> = case
            .report
            .spoken
            .iter()
            .filter(|said| (*base..=highest).contains(&said.index))
            .filter(|said| !its.contains_key(&said.index))
            .collect();
        let most = missing.len() as i32;
        let unsure =
            missing.iter().filter(|said| may_be_left_out(case, said, &believed)).count() as i32;
        // What comes too late to be put in order is not lost, and does not get through.
        let least = if is_even { most - unsure } else { 0 };
        let is_true = (least..=most).contains(&report.lost);
        (!is_true).then(|| {
            let (at, told) = (report.at, report.lost);
            format!("at {at:?} {told} of its packets were lost, {host} lacks {most}")
        })
    });
    wrong.collect()
}
