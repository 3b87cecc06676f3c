//! O3 stream integrity: each subscriber's log against its publishers' logs.

use std::time::Duration;

use rehearsal_sim::clients::{
    rtmp_player::PlayReport,
    verify::{Kind, Logged},
};

use super::{
    OVERLAP,
    epochs::{Epoch, epochs, has_unknown, is_media},
};
use crate::{plan::Player, run::Evidence};

/// Every received frame is the next one sent, from wherever it started. Who may skip goes on at a keyframe; nobody else has
/// a gap. Who stayed has the last frame.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut violations = Vec::new();
    for (player, report) in evidence.plan.players.iter().zip(&evidence.players) {
        let host = &player.host;
        if report.gaps > 0 && !may_skip(evidence, player) {
            violations.push(format!("{host} kept up and has {} gaps", report.gaps));
        }
        violations.extend(
            of_player(evidence, player, report).into_iter().map(|what| format!("{host}: {what}")),
        );
    }
    violations
}

fn may_skip(evidence: &Evidence, player: &Player) -> bool {
    player.plan.stall.is_some() || evidence.plan.may_skip(&player.host)
}

fn of_player(evidence: &Evidence, player: &Player, report: &PlayReport) -> Vec<String> {
    let mut violations = Vec::new();
    let epochs = epochs(evidence, &report.stream);
    let received: Vec<&Logged> = report.received.iter().filter(|seen| is_media(seen)).collect();
    let mut rest = &received[..];
    for (index, epoch) in epochs.iter().enumerate() {
        let is_of_epoch =
            |seen: &&&Logged| seen.stamp.is_none_or(|stamp| stamp.epoch == epoch.report.epoch);
        let (mine, after) = rest.split_at(rest.iter().take_while(is_of_epoch).count());
        rest = after;
        if mine.is_empty() {
            continue;
        }
        match in_order(epoch, mine, may_skip(evidence, player)) {
            Err(what) => violations.push(what),
            Ok(missing) => {
                let next = epochs.get(index + 1).map(|next| next.from);
                if missing > 0 && has_stayed(evidence, player, epoch, next) {
                    violations.push(format!("{missing} frames at the end are missing"));
                }
            }
        }
    }
    if let Some(frame) = rest.first()
        && !has_unknown(evidence, &report.stream)
    {
        violations
            .push(format!("a {:?} at {:?} is of no epoch that was due", frame.kind, frame.at));
    }
    violations
}

/// Follows the frames that were sent; gives how many are left after the last one received.
fn in_order(epoch: &Epoch<'_>, mine: &[&Logged], may_skip: bool) -> Result<usize, String> {
    let sent: Vec<&Logged> = epoch.report.sent.iter().filter(|seen| is_media(seen)).collect();
    let same = |a: &Logged, b: &Logged| a.hash == b.hash && a.kind == b.kind;
    let Some(mut at) = sent.iter().position(|frame| same(frame, mine[0])) else {
        return Err(format!("the first {:?} was never sent", mine[0].kind));
    };
    for (index, frame) in mine.iter().enumerate() {
        let skipped = match may_skip {
            false => sent.get(at).is_some_and(|sent| same(sent, frame)).then_some(0),
            true => sent[at..].iter().position(|sent| same(sent, frame)),
        };
        let wrong = |what: &str| {
            let (epoch, kind, ms) = (epoch.report.epoch, frame.kind, frame.timestamp_ms);
            format!("frame {index} of epoch {epoch}, a {kind:?} at {ms} ms, {what}")
        };
        let Some(skipped) = skipped else { return Err(wrong("is not the next one sent")) };
        let is_picture = |frame: &Logged| matches!(frame.kind, Kind::Keyframe | Kind::Inter);
        let without_picture = sent[at..at + skipped].iter().any(|frame| is_picture(frame));
        if without_picture && frame.kind == Kind::Inter {
            return Err(wrong("comes after a gap and is not a keyframe"));
        }
        at += skipped + 1;
    }
    Ok(sent.len() - at)
}

/// Whether the player was there long enough after the epoch to have all of it.
fn has_stayed(
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
