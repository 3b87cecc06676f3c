//! O4 single ownership: a stream has one publisher at a time, and all its subscribers see that one.

use std::{collections::BTreeMap, time::Duration};

use rehearsal_sim::clients::publisher::PublishReport;

use super::epochs::{Epoch, Epochs, may_skip, parts};
use crate::{fault::Lever, plan::Publisher, run::Evidence};

/// Publishes of a stream never overlap as far as they are sure, and neither does what subscribers get of them.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let all = Epochs::of(evidence);
    let mut violations = Vec::new();
    for (stream, epochs) in all.streams().filter(|(_, epochs)| epochs.len() > 1) {
        let owned = epochs.iter().map(|epoch| owned(evidence, epoch.publisher, epoch.report));
        let owned: Vec<_> = owned.collect();
        let relayed = relayed(evidence, stream, epochs);
        for (one, two) in pairs(epochs.len()) {
            let (first, second) = (epochs[one].report.epoch, epochs[two].report.epoch);
            if overlap(owned[one], owned[two]) {
                violations.push(format!(
                    "{stream} was published as epochs {first} and {second} at a time"
                ));
            }
            if overlap(relayed[one], relayed[two]) {
                violations.push(format!(
                    "{stream} was relayed from epochs {first} and {second} at a time"
                ));
            }
        }
    }
    violations
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |one| (one + 1..count).map(move |two| (one, two)))
}

type Interval = Option<(Duration, Duration)>;

fn overlap(one: Interval, two: Interval) -> bool {
    one.zip(two)
        .is_some_and(|((from, to), (other_from, other_to))| from < other_to && other_from < to)
}

/// From when to when a publisher had its stream for sure: from the answer to what it sent last before it ended it.
fn owned(evidence: &Evidence, publisher: &Publisher, report: &PublishReport) -> Interval {
    let plan = &evidence.plan;
    let is_planned = matches!(report.end.as_str(), "closed in order" | "killed");
    let cuts = plan.faults.iter().filter(|fault| {
        let is_about = fault.host == publisher.host || fault.host == "gateway";
        is_about && cuts_connections(&fault.lever)
    });
    let cut = cuts.map(|fault| Duration::from_millis(fault.at_ms)).min().unwrap_or(Duration::MAX);
    let (from, to) = (report.answered_at?, report.sent.last()?.at.min(cut));
    (is_planned && from < to).then_some((from, to))
}

/// Whether a connection may be over for one end and not for the other once this has happened.
fn cuts_connections(lever: &Lever) -> bool {
    match lever {
        Lever::Link(_)
        | Lever::BlackHole(_)
        | Lever::PartitionTo(..)
        | Lever::RebindNat
        | Lever::Crash
        | Lever::Restart
        | Lever::Frozen(_)
        | Lever::ResetConnections
        | Lever::ShutDown => true,
        Lever::DescriptorLimit(_)
        | Lever::FailAccepts(_)
        | Lever::EphemeralPorts(..)
        | Lever::ShortIo(_)
        | Lever::StepWallClock(_)
        | Lever::Disk(_) => false,
    }
}

/// For each publish, from when somebody first received a frame of it to when the last frame was sent that somebody received:
/// in between it was relayed.
fn relayed(evidence: &Evidence, stream: &str, epochs: &[Epoch<'_>]) -> Vec<Interval> {
    let mut relayed = BTreeMap::<usize, (Duration, Duration)>::new();
    let players = evidence.plan.players.iter().zip(&evidence.players);
    for (player, report) in players.filter(|(_, report)| report.stream == stream) {
        for part in parts(report, epochs).0 {
            let followed = epochs[part.index].follow(&part.received, may_skip(evidence, player));
            let Ok((pairs, _)) = followed else { continue };
            let (Some(first), Some(last)) = (pairs.first(), pairs.last()) else { continue };
            let (from, to) = relayed.entry(part.index).or_insert((Duration::MAX, Duration::ZERO));
            *from = first.received.at.min(*from);
            *to = last.sent.at.max(*to);
        }
    }
    (0..epochs.len()).map(|index| relayed.get(&index).copied()).collect()
}
