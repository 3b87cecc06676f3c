//! O19: a phone that reports by RTCP can tell by the gateway's reports how long its line takes there and back: each names a report of the
//! phone's and how long ago that came (RFC 3550, section 6.4.1).

use std::time::Duration;

use rehearsal_sim::clients::phone::{ReceptionReport, Told};

use super::{Case, MOVES, of_each, sources::believed};
use crate::run::Evidence;

/// Both times are of whole 65,536ths of a second.
const ROUNDED: Duration = Duration::from_micros(2 * 16);

/// Every phone that is there all the time, like the gateway.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        if !case.is_undisturbed() {
            return Vec::new();
        }
        let (report, pictures) = (case.report, &case.report.pictures);
        let believed = believed(case);
        // Of one who says nothing nobody knows that he reports.
        let is_listened = |it: &Told| believed.get(&it.ssrc).is_some_and(|from| *from < it.at);
        let audio = report.reports.iter();
        let audio = audio.filter_map(|it| is_wrong(case, it, &report.told, is_listened));
        let pictures_wrong = pictures.reports.iter();
        let pictures_wrong =
            pictures_wrong.filter_map(|it| is_wrong(case, it, &pictures.told, |_| true));
        audio.chain(pictures_wrong).collect()
    })
}

/// What is wrong with what `report` says of what the phone has `told`, of which that `is_listened` to whose source is known.
fn is_wrong(
    case: Case<'_>,
    report: &ReceptionReport,
    told: &[Told],
    is_listened: impl Fn(&Told) -> bool,
) -> Option<String> {
    let at = report.at;
    let its = told.iter().filter(|it| it.ssrc == report.about && it.at <= at);
    // Before the call is up nobody listens, nor where it has moved to or from while only one end knows.
    let is_moving = |it: &Told| {
        let mut moved = case.report.moved.iter();
        let is_new = moved.any(|moved| it.at.abs_diff(*moved) < MOVES + case.round_trip());
        is_new || case.is_changing(it.at)
    };
    let mut listened =
        its.clone().filter(|it| !case.is_early(it.at) && !is_moving(it) && is_listened(it));
    let newest = listened.rfind(|it| it.at + case.round_trip() < at);
    let newest = newest.filter(|_| case.is_faithful());
    if report.last == 0 {
        return newest.map(|it| format!("at {at:?} its report of {:?} was not known", it.at));
    }
    let Some(named) = its.rev().find(|it| it.middle == report.last) else {
        return Some(format!("at {at:?} a report was named that it has not sent: {}", report.last));
    };
    if let Some(newest) = newest.filter(|newest| newest.at > named.at) {
        return Some(format!(
            "at {at:?} its report of {:?} was named, not that of {:?}",
            named.at, newest.at
        ));
    }
    let held = Duration::from_nanos((u64::from(report.since) * 1_000_000_000) >> 16);
    let way = (at + ROUNDED).checked_sub(named.at + held);
    let least = case.least_round_trip();
    let is_true = way.is_some_and(|way| way >= least && way <= case.round_trip() + 2 * ROUNDED);
    (!is_true).then(|| {
        format!(
            "at {at:?} its report of {:?} was held for {held:?}, its line takes {least:?}",
            named.at
        )
    })
}
