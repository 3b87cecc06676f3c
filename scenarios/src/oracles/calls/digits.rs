//! O20: each digit that a phone dials is told once to who plays its stream, in order, if any packet of it gets through.

use std::{collections::BTreeSet, time::Duration};

use rehearsal_sim::clients::sip_client::{Callback, Command};

use super::{Case, calls, of_each, sources::on_the_way};
use crate::{plan::Player, run::Evidence};

/// A digit of a client is over so long after it was dialled, if none is before it.
const DIALLED: Duration = Duration::from_millis(1_000);

/// Every phone that dials, for each player of its stream who is there all the time.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut found = dialled_by_clients(evidence);
    found.extend(of_each(evidence, |case| {
        let Some(voice) = &case.phone.plan.voice else { return Vec::new() };
        if case.phone.plan.digits.is_empty() || !case.is_in_order() || !case.is_undisturbed() {
            return Vec::new();
        }
        let players = evidence.plan.players.iter().zip(&evidence.players);
        let its = players.filter(|(player, _)| player.plan.stream == voice.stream);
        let its = its.filter(|(player, _)| was_there(case, player));
        let due = due(evidence, case);
        let wrong = its.filter_map(|(player, report)| {
            let told: String = report.digits.iter().map(|(_, digit)| *digit).collect();
            (told != due).then(|| format!("{} was told of {told}, dialled was {due}", player.host))
        });
        let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
        let its = clients.filter(|(client, _)| {
            client.plan.listens.as_ref() == Some(&voice.stream)
                && !evidence.plan.is_faulty(&client.host)
        });
        let over = case.report.ended.map_or(case.report.left_at, |(at, _)| at);
        let its = its.filter(|(_, report)| over < report.ended_at);
        let of_clients = its.filter_map(|(client, report)| {
            let told = report.callbacks.iter().filter_map(|(_, told)| match told {
                Callback::Dtmf(digit) => Some(*digit),
                _ => None,
            });
            let told: String = told.collect();
            (told != due).then(|| format!("{} was told of {told}, dialled was {due}", client.host))
        });
        wrong.chain(of_clients).collect()
    }));
    found
}

/// Each digit that a client dials, and may, is heard once by the phone that it talks to, in order.
fn dialled_by_clients(evidence: &Evidence) -> Vec<String> {
    let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
    let mut found = Vec::new();
    for (client, report) in clients {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let mut its = phones.filter(|(phone, _)| calls(client, phone));
        let (Some((phone, heard)), None) = (its.next(), its.next()) else { continue };
        let case = Case { plan: &evidence.plan, phone, report: heard };
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
        if !told.starts_with(&due) || !all.starts_with(&told) || !is_let_go {
            found.push(format!("{} heard {told}, {} has dialled {due}", phone.host, client.host));
        }
    }
    found
}

fn was_there(case: Case<'_>, player: &Player) -> bool {
    let from = std::time::Duration::from_millis(player.plan.start_ms + 1_000);
    let to = std::time::Duration::from_millis(player.plan.leave_ms);
    let over = case.report.ended.map_or(case.report.left_at, |(at, _)| at);
    case.report.answered_at.is_some_and(|at| from <= at)
        && over < to
        && !case.plan.may_skip(&player.host)
}

/// The digits of which any packet gets through, in order.
fn due(evidence: &Evidence, case: Case<'_>) -> String {
    let lost = on_the_way(evidence, case).iter().filter(|lost| lost.is_of_phone);
    let lost: BTreeSet<(u32, u16)> = lost.filter_map(|lost| lost.packet).collect();
    let came = case.report.dialled.iter().filter(|it| !it.is_lost);
    let came = came.filter(|it| !lost.contains(&(it.ssrc, it.sequence)));
    let mut keys: Vec<_> = came.map(|it| (it.ssrc, it.timestamp, it.digit)).collect();
    keys.dedup();
    keys.into_iter().map(|(.., digit)| digit).collect()
}
