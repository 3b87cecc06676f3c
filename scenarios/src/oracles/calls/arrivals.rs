//! O19 where packets come unevenly, in another order or twice: what the gateway tells a phone of its audio and its pictures by RTCP is
//! what RFC 3550 makes of the packets that came to it.
//!
//! When it wrote a report is not known; what was the highest number then is. So each count of packets behind which that was the
//! highest is tried, and one has to fit all that the report says, and one that fits the report before it.

use std::{collections::BTreeSet, time::Duration};

use rehearsal_sim::clients::phone::ReceptionReport;

use super::{of_each, sources::on_the_way};
use crate::run::{Arrived, Evidence};

/// By how much a jitter may be off that is worked out from times that begin elsewhere, in units of the clock.
const ROUNDED: u32 = 2;
/// Ticks of a picture's time in a millisecond.
const PICTURE_TICKS_PER_MS: u32 = 90;

/// Every phone that spoke of its own accord from the first packet on, and was always listened to.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    let arrived = evidence.host.as_ref().and_then(|host| host.arrived.as_ref());
    let Some(arrived) = arrived else { return Vec::new() };
    of_each(evidence, |case| {
        let plan = &case.phone.plan;
        let is_plain = plan.called.is_none()
            && plan.acts.is_empty()
            && case.report.moved.is_empty()
            && case.report.directions.len() <= 1
            && case.report.codecs.len() <= 1
            && plan.message_faults.is_empty();
        let links = [case.phone.link.up, case.plan.gateway_link.down];
        let is_whole = links.iter().all(|direction| direction.corrupt_ppm == 0);
        let is_befallen = case.plan.is_befallen(&case.phone.host);
        let Some(arrived) = arrived.get(&case.phone.host) else { return Vec::new() };
        if !is_plain || !is_whole || is_befallen || !case.is_undisturbed() {
            return Vec::new();
        }
        let report = case.report;
        let dialled: BTreeSet<(u32, u16)> =
            report.dialled.iter().map(|it| (it.ssrc, it.sequence)).collect();
        let per_ms = report.codec.map_or(8, |codec| codec.samples_per_ms());
        let audio = Line { arrived, dialled, per_ms };
        let pictures = Line { dialled: BTreeSet::new(), per_ms: PICTURE_TICKS_PER_MS, ..audio };
        let lost = on_the_way(evidence, case).iter();
        let missing = lost.filter(|lost| lost.packet.is_none() && !lost.is_of_phone);
        let missing: Vec<Duration> = missing.map(|lost| lost.at).collect();
        let audio = audio.told(&report.reports, &missing);
        audio.into_iter().chain(pictures.told(&report.pictures.reports, &missing)).collect()
    })
}

/// The reports about `source` as they were written, each once: some may have come twice, or behind others.
fn in_order(reports: &[ReceptionReport], source: u32) -> Vec<&ReceptionReport> {
    let mut its: Vec<_> = reports.iter().filter(|report| report.about == source).collect();
    let key = |report: &&ReceptionReport| (report.highest, report.last, report.since);
    its.sort_by_key(key);
    its.dedup_by_key(|report| (key(report), report.lost, report.fraction_lost, report.jitter));
    its
}

/// What came on one media line.
struct Line<'a> {
    arrived: &'a [Arrived],
    /// Digits, whose time stands still.
    dialled: BTreeSet<(u32, u16)>,
    /// Units of the clock in a millisecond.
    per_ms: u32,
}

/// What is counted of a source when some packets of it have come.
#[derive(Clone, Copy, Debug)]
struct Count {
    /// The highest number, beyond the first one.
    highest: i64,
    expected: i64,
    received: i64,
    jitter: u32,
}

impl Line<'_> {
    /// What is wrong with `reports`; others of the gateway's were lost when `missing` says.
    fn told(&self, reports: &[ReceptionReport], missing: &[Duration]) -> Vec<String> {
        let mut found = Vec::new();
        let sources: BTreeSet<u32> = reports.iter().map(|report| report.about).collect();
        for source in sources {
            let counts = self.counts(source);
            let mut before = vec![Count { highest: 0, expected: 0, received: 0, jitter: 0 }];
            let mut at = Duration::ZERO;
            for report in in_order(reports, source) {
                let is_behind = !missing.iter().any(|lost| (at..=report.at).contains(lost));
                let before_it = is_behind.then_some(&before[..]);
                let (fitting, near) = self.fitting(source, &counts, before_it, report);
                at = report.at;
                if fitting.is_empty() {
                    let ReceptionReport { at, highest, lost, fraction_lost, jitter, .. } = report;
                    let came = near.map_or("which did not come".to_owned(), |near| {
                        let lost = near.expected - near.received;
                        format!("behind which {lost} were lost, with a jitter of {}", near.jitter)
                    });
                    found.push(format!(
                        "at {at:?} it was told of {lost} lost, {fraction_lost} of 256, a jitter of {jitter}, and packet {highest}, {came}"
                    ));
                    break;
                }
                before = fitting;
            }
        }
        found
    }

    /// What is counted behind each packet of `source`.
    fn counts(&self, source: u32) -> Vec<Count> {
        let its = self.arrived.iter().filter(|it| it.ssrc == source);
        let mut counts = Vec::new();
        let mut seen = BTreeSet::new();
        let Some(first) = its.clone().next().map(|it| it.sequence) else { return counts };
        let (mut highest, mut lowest, mut received) = (0_i64, 0_i64, 0);
        let (mut jitter_16ths, mut transit) = (0_i64, None::<u32>);
        for packet in its {
            let step = packet.sequence.wrapping_sub(first.wrapping_add(highest as u16)) as i16;
            let number = highest + i64::from(step);
            highest = highest.max(number);
            lowest = lowest.min(number);
            received += 1;
            let is_new = seen.insert(number);
            if is_new && !self.dialled.contains(&(source, packet.sequence)) {
                let at = packet.at.as_nanos() * u128::from(self.per_ms) / 1_000_000;
                let now = (at as u32).wrapping_sub(packet.timestamp);
                if let Some(before) = transit {
                    let by = i64::from((now.wrapping_sub(before) as i32).unsigned_abs());
                    jitter_16ths += by - ((jitter_16ths + 8) >> 4);
                }
                transit = Some(now);
            }
            let jitter = (jitter_16ths >> 4) as u32;
            counts.push(Count { highest, expected: highest - lowest + 1, received, jitter });
        }
        counts
    }

    /// Those of `counts` that `report` may be made of, behind one of `before` if it is known what was before; and the one that is
    /// nearest to what it says.
    fn fitting(
        &self,
        source: u32,
        counts: &[Count],
        before: Option<&[Count]>,
        report: &ReceptionReport,
    ) -> (Vec<Count>, Option<Count>) {
        let first = self.arrived.iter().find(|it| it.ssrc == source).map_or(0, |it| it.sequence);
        let its = counts
            .iter()
            .filter(|it| first.wrapping_add(it.highest as u16) == report.highest as u16);
        let fits = |it: &&Count| {
            let is_share = before.is_none_or(|all| {
                all.iter().any(|before| {
                    let expected = it.expected - before.expected;
                    let lost = (expected - (it.received - before.received)).max(0);
                    let share = (lost * 256).checked_div(expected).unwrap_or(0).min(255);
                    share == i64::from(report.fraction_lost)
                })
            });
            let is_lost = it.expected - it.received == i64::from(report.lost);
            is_share && is_lost && it.jitter.abs_diff(report.jitter) <= ROUNDED
        };
        let near =
            its.clone().min_by_key(|it| (it.expected - it.received).abs_diff(report.lost.into()));
        (its.filter(fits).copied().collect(), near.copied())
    }
}
