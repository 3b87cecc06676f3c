//! O20: each digit that a phone dials is told once to who plays its stream, in order, if any packet of it gets through.

use std::collections::BTreeSet;

use super::{Case, of_each, sources::on_the_way};
use crate::{plan::Player, run::Evidence};

/// Every phone that dials, for each player of its stream who is there all the time.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
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
        wrong.collect()
    })
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
