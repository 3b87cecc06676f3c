//! O17 where RTMP is one of the sides: a call is up for the phone and for its client, or for neither; and what a client is told
//! follows from what it was told before.

use std::time::Duration;

use rehearsal_sim::clients::sip_client::{SipClientReport, Talk};

use super::{
    Case,
    agreement::ON_THEIR_WAY,
    calls,
    commands::{is_undisturbed, round_trip},
    is_faithful, is_with, of_each,
};
use crate::{plan::SipClient, run::Evidence};

/// One side of calls with one phone.
struct Side<'a> {
    client: &'a SipClient,
    report: &'a SipClientReport,
    talks: Vec<&'a Talk>,
}

/// Every client, and every phone that one calls, or is called by.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
    let surprises = clients.flat_map(|(client, report)| {
        report.surprises.iter().map(|what| format!("{}: {what}", client.host))
    });
    let mut found: Vec<String> = surprises.collect();
    found.extend(of_each(evidence, |case| of_phone(evidence, case)));
    found
}

/// The clients that may have talked to the phone, with what they know of that.
fn sides<'a>(evidence: &'a Evidence, case: Case<'a>) -> Vec<Side<'a>> {
    let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
    let its = clients.filter(|(client, _)| calls(client, case.phone));
    let sides = its.map(|(client, report)| {
        let talks = report.talks.iter().filter(|talk| is_with(client, talk, case.phone));
        Side { client, report, talks: talks.collect() }
    });
    sides.collect()
}

fn of_phone(evidence: &Evidence, case: Case<'_>) -> Vec<String> {
    let sides = sides(evidence, case);
    let is_gateway_befallen = evidence.plan.is_befallen("gateway");
    if sides.is_empty() || is_gateway_befallen {
        return Vec::new();
    }
    let is_sound = sides.iter().all(|side| is_undisturbed(evidence, side.client));
    let within = within(evidence, case, &sides);
    match (case.is_undisturbed(), is_sound) {
        (true, true) => both(case, &sides, within),
        (true, false) => phone_alone(evidence, case, &sides, within),
        (false, true) => clients_alone(evidence, case, &sides, within),
        (false, false) => Vec::new(),
    }
}

/// How long one side may know what the other does not know yet.
fn within(evidence: &Evidence, case: Case<'_>, sides: &[Side<'_>]) -> Duration {
    let ways = sides.iter().map(|side| round_trip(evidence, side.client));
    let mut links = sides.iter().flat_map(|side| [side.client.link.up, side.client.link.down]);
    let arrives = case.is_faithful()
        && case.phone.plan.message_faults.is_empty()
        && links.all(|direction| is_faithful(&direction));
    let repeated = Duration::from_millis(64 * evidence.plan.config.sip.t1_ms);
    let lost = if arrives { Duration::ZERO } else { repeated };
    ON_THEIR_WAY + case.round_trip() + ways.max().unwrap_or_default() + lost
}

/// Nothing befalls either: they know the same.
fn both(case: Case<'_>, sides: &[Side<'_>], within: Duration) -> Vec<String> {
    let mut found = Vec::new();
    let talks = sides.iter().flat_map(|side| &side.talks);
    if let Some((over, _)) = case.report.ended {
        for talk in talks.clone().filter(|talk| talk.up_at.is_none()) {
            if talk.ended.is_none_or(|(at, _)| at > over + within) {
                found.push(format!(
                    "it gave up at {over:?}, which its client knew at {:?}",
                    talk.ended
                ));
            }
        }
    }
    let up: Vec<&&Talk> = talks.filter(|talk| talk.up_at.is_some()).collect();
    let left_at = case.report.left_at;
    let over = case.report.ended.map(|(at, _)| at);
    match (case.report.answered_at, &up[..]) {
        (None, []) => {}
        (None, [talk, ..]) => {
            found.push(format!("a client talks to it since {:?}, and it does not", talk.up_at));
        }
        // Whoever hangs up at once may never have heard that it was taken.
        (Some(answered), []) => {
            let is_over = over.unwrap_or(left_at) <= answered + within;
            if !is_over {
                found.push(format!(
                    "from {answered:?} to {over:?} it was in a call, and no client was"
                ));
            }
        }
        (Some(answered), [talk]) => {
            let up_at = talk.up_at.unwrap_or_default();
            if up_at.abs_diff(answered) > within {
                found.push(format!(
                    "its call is up since {answered:?}, for its client since {up_at:?}"
                ));
            }
            let ended = talk.ended.map_or(Duration::MAX, |(at, _)| at);
            let is_alike = match over {
                Some(over) => over.abs_diff(ended) <= within,
                None => ended.saturating_add(within) >= left_at,
            };
            if !is_alike {
                found.push(format!(
                    "its call was over at {over:?}, for its client at {:?}",
                    talk.ended
                ));
            }
        }
        (Some(_), [..]) => found.push(format!("it was in one call, and its clients in {up:?}")),
    }
    found
}

/// Its client is gone, nobody knows since when: the gateway ends the call when it has noticed that.
fn phone_alone(
    evidence: &Evidence,
    case: Case<'_>,
    sides: &[Side<'_>],
    within: Duration,
) -> Vec<String> {
    let rtmp = &evidence.plan.config.rtmp;
    let noticed = Duration::from_millis(rtmp.ping_ms + rtmp.ping_timeout_ms);
    let gone = sides.iter().map(|side| gone_at(evidence, &side.client.host)).max();
    let due = gone.unwrap_or_default() + noticed + within;
    let over = case.report.ended.map_or(case.report.left_at, |(at, _)| at);
    let is_late = case.report.answered_at.is_some() && over > due;
    is_late
        .then(|| format!("its client is gone, and its call was over at {over:?}, due was {due:?}"))
        .into_iter()
        .collect()
}

/// It is gone: its client is told when nothing was heard of it for so long, or nothing answered.
fn clients_alone(
    evidence: &Evidence,
    case: Case<'_>,
    sides: &[Side<'_>],
    within: Duration,
) -> Vec<String> {
    let config = &evidence.plan.config;
    let given_up = Duration::from_millis(64 * config.sip.t1_ms);
    let silence = Duration::from_millis(config.rtp.silence_ms.max(config.sip.ring_ms));
    let due = gone_at(evidence, &case.phone.host) + silence + given_up + within;
    let mut found = Vec::new();
    for side in sides.iter().filter(|side| side.report.ended_at > due) {
        let late = side.talks.iter().filter(|talk| talk.ended.is_none_or(|(at, _)| at > due));
        found.extend(late.map(|talk| {
            format!("it is gone, and {} was in {talk:?}, due was {due:?}", side.client.host)
        }));
    }
    found
}

/// When the last thing befell `host`.
fn gone_at(evidence: &Evidence, host: &str) -> Duration {
    let faults = evidence.plan.faults.iter().filter(|fault| fault.host == host);
    Duration::from_millis(faults.map(|fault| fault.at_ms).max().unwrap_or(0))
}
