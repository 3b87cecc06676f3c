//! O7 non-interference: what healthy clients get does not depend on the faulty ones; and O14, wall-clock steps are invisible.

use std::time::Duration;

use rehearsal_sim::clients::{
    phone::PhoneReport, rtmp_player::PlayReport, sip_client::SipClientReport,
};

use crate::{fault::Lever, run::Evidence};

/// Clients on healthy hosts fare as in the run without the faulty ones, each message in time.
pub(super) fn interference(evidence: &Evidence) -> Vec<String> {
    let Some((twin, within_ms)) = evidence.twin.as_deref().zip(evidence.plan.terms.twin_within_ms)
    else {
        return Vec::new();
    };
    differences(evidence, twin, Duration::from_millis(within_ms))
}

/// When steps of wall clocks are all that the twin lacks, the two runs are equal to the nanosecond.
pub(super) fn wall_clock(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    let Some(twin) = evidence.twin.as_deref() else { return Vec::new() };
    let is_step = |lever: &Lever| matches!(lever, Lever::StepWallClock(_));
    let others = plan.faults.iter().filter(|fault| !is_step(&fault.lever));
    let only_steps = plan.faults.iter().any(|fault| is_step(&fault.lever))
        && others.eq(&twin.plan.faults)
        && plan.hosts() == twin.plan.hosts();
    match only_steps {
        true => differences(evidence, twin, Duration::ZERO),
        false => Vec::new(),
    }
}

fn differences(evidence: &Evidence, twin: &Evidence, within: Duration) -> Vec<String> {
    let plan = &evidence.plan;
    let mut violations = Vec::new();
    let players = plan.players.iter().zip(&evidence.players);
    let healthy = players.filter(|(player, _)| !plan.is_faulty(&player.host));
    for ((player, report), alone) in healthy.zip(&twin.players) {
        let differs = differs(report, alone, within);
        violations.extend(differs.map(|what| format!("{}: {what}", player.host)));
    }
    let publishers = plan.publishers.iter().zip(&evidence.publishers);
    let healthy = publishers.filter(|(publisher, _)| !plan.is_faulty(&publisher.host));
    for ((publisher, report), alone) in healthy.zip(&twin.publishers) {
        let (host, ended, alone) = (&publisher.host, &report.end, &alone.end);
        if ended != alone {
            violations.push(format!("{host} ended with {ended}, alone with {alone}"));
        }
    }
    let phones = plan.phones.iter().zip(&evidence.phones);
    let healthy = phones.filter(|(phone, _)| !plan.is_faulty(&phone.host));
    for ((phone, report), alone) in healthy.zip(&twin.phones) {
        let differs = hears_otherwise(report, alone, within);
        violations.extend(differs.map(|what| format!("{}: {what}", phone.host)));
    }
    let sip_clients = plan.sip_clients.iter().zip(&evidence.sip_clients);
    let healthy = sip_clients.filter(|(client, _)| !plan.is_faulty(&client.host));
    for ((client, report), alone) in healthy.zip(&twin.sip_clients) {
        let differs = is_told_otherwise(report, alone, within);
        violations.extend(differs.map(|what| format!("{}: {what}", client.host)));
    }
    violations
}

/// The first difference of what a client of the application `sip` was told.
fn is_told_otherwise(
    report: &SipClientReport,
    alone: &SipClientReport,
    within: Duration,
) -> Option<String> {
    for ((at, told), (due, expected)) in report.callbacks.iter().zip(&alone.callbacks) {
        if told != expected || at.abs_diff(*due) > within {
            return Some(format!("{told:?} came at {at:?}, alone {expected:?} at {due:?}"));
        }
    }
    let (count, expected) = (report.callbacks.len(), alone.callbacks.len());
    let (end, alone) = (&report.end, &alone.end);
    (count != expected || end != alone).then(|| {
        format!(
            "was told {count} things, alone {expected}; it ended with {end}, alone with {alone}"
        )
    })
}

/// The first difference of what a phone heard.
fn hears_otherwise(report: &PhoneReport, alone: &PhoneReport, within: Duration) -> Option<String> {
    for (index, (heard, expected)) in report.heard.iter().zip(&alone.heard).enumerate() {
        if heard.stamp != expected.stamp || heard.at.abs_diff(expected.at) > within {
            let (at, due) = (heard.at, expected.at);
            return Some(format!("packet {index} was heard at {at:?}, alone at {due:?}"));
        }
    }
    let (heard, expected) = (report.heard.len(), alone.heard.len());
    let (end, alone) = (report.end(), alone.end());
    (heard != expected || end != alone).then(|| {
        format!(
            "{heard} packets were heard, alone {expected}; it ended with {end}, alone with {alone}"
        )
    })
}

/// The first difference of what a player got with the faulty clients there and without them.
fn differs(report: &PlayReport, alone: &PlayReport, within: Duration) -> Option<String> {
    for (index, (seen, expected)) in report.received.iter().zip(&alone.received).enumerate() {
        if (seen.hash, seen.timestamp_ms) != (expected.hash, expected.timestamp_ms) {
            return Some(format!(
                "message {index} is a {:?} of {} ms, alone a {:?} of {} ms",
                seen.kind, seen.timestamp_ms, expected.kind, expected.timestamp_ms
            ));
        }
        if seen.at.abs_diff(expected.at) > within {
            let (kind, at, alone) = (seen.kind, seen.at, expected.at);
            return Some(format!(
                "message {index}, a {kind:?}, came at {at:?}, alone at {alone:?}"
            ));
        }
    }
    let (count, expected) = (report.received.len(), alone.received.len());
    if count != expected {
        return Some(format!("{count} messages came, alone {expected}"));
    }
    (report.end != alone.end)
        .then(|| format!("ended with {}, alone with {}", report.end, alone.end))
}
