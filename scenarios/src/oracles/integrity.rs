//! O3 stream integrity and O10 timestamps: each subscriber's log against its publishers' logs.

use std::{collections::BTreeMap, time::Duration};

use rehearsal_core::media::timestamp::{elapsed_ms, wrapping_after};
use rehearsal_sim::clients::{
    rtmp_player::PlayReport,
    verify::{Kind, Logged, Promise},
};

use super::{
    OVERLAP,
    epochs::{Epoch, Epochs, Pair, Part, may_skip, parts},
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
        if report.gaps > 0 && !may_skip(evidence, player) {
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
    let due = epoch.over.max(Duration::from_millis(stalled)) + OVERLAP + plan.slack();
    let leaves = Duration::from_millis(player.plan.leave_ms);
    epoch.is_sound
        && !plan.is_faulty(&player.host)
        && !plan.meets_outage(player.plan.start_ms, player.plan.leave_ms)
        && leaves > due
        && next.is_none_or(|next| next > due)
}

/// The gateway's clock, its polls and the rounding of both ends' times, in milliseconds.
const CLOCK_MS: i64 = 2;

/// O10: times are the publisher's, all shifted alike for everybody; the first publish's are not shifted, and the next one's go
/// on where the last one's ended, by the time that passed.
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
        if !may_skip(evidence, player) {
            let next_to = |two: &&[Part<'_>]| two[1].index == two[0].index + 1;
            let jumps = parts.windows(2).filter(next_to).filter_map(|two| jump(two, epochs));
            violations.extend(jumps.map(|what| format!("{host}: {what}")));
        }
    }
    violations
}

/// What is wrong with the time from one publish to the next, as somebody saw it who was there and had everything.
///
/// The gateway had the newest frame of the one and the first of the other when they had been sent and before they came here:
/// that bounds the time that passed between the two at the gateway.
fn jump(two: &[Part<'_>], epochs: &[Epoch<'_>]) -> Option<String> {
    let (before, after) = (&epochs[two[0].index], &epochs[two[1].index]);
    let (pairs, _) = before.follow(&two[0].received, false).ok()?;
    let newest = pairs.iter().reduce(|newest, pair| {
        match wrapping_after(newest.received.timestamp_ms, pair.received.timestamp_ms) {
            true => newest,
            false => pair,
        }
    })?;
    let (pairs, _) = after.follow(&two[1].received, false).ok()?;
    let (seen, first) = (pairs.first()?, after.first_media()?);
    let shift_ms = seen.received.timestamp_ms.wrapping_sub(seen.sent.timestamp_ms);
    let first_ms = first.timestamp_ms.wrapping_add(shift_ms);
    let went_on_ms = elapsed_ms(first_ms, newest.received.timestamp_ms).into();
    let ms = |time: Duration| time.as_millis() as i64;
    let least_ms = ms(first.at.saturating_sub(newest.received.at)) - CLOCK_MS;
    let most_ms = ms(seen.received.at.saturating_sub(newest.sent.at)) + CLOCK_MS;
    let is_in_time = (least_ms.max(1)..=most_ms).contains(&went_on_ms);
    (!is_in_time).then(|| {
        let (one, two) = (before.report.epoch, after.report.epoch);
        format!("from epoch {one} to {two} times go on by {went_on_ms} ms, {least_ms} to {most_ms} ms passed")
    })
}
