//! O3 stream integrity and O10 timestamps: each subscriber's log against its publishers' logs.

use std::{collections::BTreeMap, time::Duration};

use rehearsal_sim::clients::{
    rtmp_player::PlayReport,
    verify::{Kind, Logged, Promise},
};

use super::{
    OVERLAP,
    epochs::{Epoch, Epochs, Pair, may_be_given_up, may_skip, parts},
    subscribers::breaches,
};
use crate::{plan::Player, run::Evidence};

/// O3: every received frame is the next one sent, from wherever it started. Who may skip goes on at a keyframe; nobody else
/// has a gap. Who stayed has the last frame.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut violations = breaches(evidence, Promise::Integrity);
    let epochs = Epochs::of(evidence);
    for (player, report) in evidence.plan.players.iter().zip(&evidence.players) {
        let host = &player.host;
        let may_lose = evidence.plan.is_of_phone(&report.stream);
        if report.gaps > 0 && !may_lose && !may_skip(evidence, player) {
            violations.push(format!("{host} kept up and has {} gaps", report.gaps));
        }
        let found = of_player(evidence, player, report, epochs.of_stream(&report.stream));
        violations.extend(found.into_iter().map(|what| format!("{host}: {what}")));
    }
    violations
}

fn of_player(
    evidence: &Evidence,
    player: &Player,
    report: &PlayReport,
    epochs: &[Epoch<'_>],
) -> Vec<String> {
    let mut violations = Vec::new();
    for part in parts(report, epochs).0 {
        let epoch = &epochs[part.index];
        match epoch.follow(&part.received, may_skip(evidence, player)) {
            Err(what) => violations.push(what),
            Ok((pairs, missing)) => {
                violations.extend(torn(&pairs));
                let next = epochs.get(part.index + 1).map(|next| next.from);
                if missing > 0 && has_stayed(evidence, player, epoch, next) {
                    violations.push(format!("{missing} frames at the end are missing"));
                }
            }
        }
    }
    violations
}

/// The first picture after a gap in the pictures, if it is not a keyframe.
fn torn(pairs: &[Pair<'_>]) -> Option<String> {
    let is_picture = |frame: &Logged| matches!(frame.kind, Kind::Keyframe | Kind::Inter);
    let mut is_in_gap = false;
    for pair in pairs {
        is_in_gap |= pair.skipped.iter().any(is_picture);
        match pair.received.kind {
            Kind::Keyframe => is_in_gap = false,
            Kind::Inter if is_in_gap => {
                let ms = pair.received.timestamp_ms;
                return Some(format!(
                    "the picture at {ms} ms comes after a gap and is not a keyframe"
                ));
            }
            _ => {}
        }
    }
    None
}

/// Whether the player was there long enough after the epoch to have all of it.
pub(super) fn has_stayed(
    evidence: &Evidence,
    player: &Player,
    epoch: &Epoch<'_>,
    next: Option<Duration>,
) -> bool {
    let plan = &evidence.plan;
    let stalled = player.plan.stall.map_or(0, |stall| stall.to_ms);
    let hosts = [player.host.as_str(), epoch.publisher.host.as_str()];
    let over = epoch.over.max(Duration::from_millis(stalled));
    let due = evidence.due(&hosts, over, OVERLAP + plan.slack());
    let leaves = Duration::from_millis(player.plan.leave_ms);
    epoch.is_sound
        && !plan.is_faulty(&player.host)
        && !may_be_given_up(evidence, &player.host)
        && !plan.meets_outage(player.plan.start_ms, player.plan.leave_ms)
        && leaves > due
        && next.is_none_or(|next| next > due)
}

/// O10: times are the publisher's, all shifted alike for everybody, and the first publish's are not shifted. How the next one's
/// go on is judged in [`super::timeline`].
pub(super) fn timestamps(evidence: &Evidence) -> Vec<String> {
    let mut violations = breaches(evidence, Promise::Timestamps);
    let all = Epochs::of(evidence);
    let mut shifts = BTreeMap::new();
    for (player, report) in evidence.plan.players.iter().zip(&evidence.players) {
        let host = &player.host;
        let epochs = all.of_stream(&report.stream);
        let parts = parts(report, epochs).0;
        for part in &parts {
            let epoch = &epochs[part.index];
            let followed = epoch.follow(&part.received, may_skip(evidence, player));
            let Ok((pairs, _)) = followed else { continue };
            let key = (report.stream.as_str(), part.index);
            for pair in pairs {
                let shift_ms = pair.received.timestamp_ms.wrapping_sub(pair.sent.timestamp_ms);
                let first_ms = if part.index == 0 { 0 } else { shift_ms };
                let expected_ms = *shifts.entry(key).or_insert(first_ms);
                if shift_ms != expected_ms {
                    let epoch = epoch.report.epoch;
                    violations.push(format!(
                        "{host}: epoch {epoch} is shifted by {shift_ms} ms, not by {expected_ms} ms"
                    ));
                    break;
                }
            }
        }
    }
    violations
}
