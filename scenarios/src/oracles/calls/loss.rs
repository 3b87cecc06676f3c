//! O19: what the gateway tells a phone of its audio and its pictures by RTCP is what the phone sent and the links dropped.

use std::time::Duration;

use rehearsal_core::rtp::source::Follow;
use rehearsal_sim::clients::phone::{Deed, ReceptionReport};

use super::{
    Case, MOVES, of_each,
    sources::{Sent, Source, on_the_way, sources, sources_of_pictures},
};
use crate::run::Evidence;

/// Packets from a new port until it is followed, and one more.
const NEW_PACKETS: usize = 6;

/// What the reports are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Audio,
    Pictures,
}

/// Every phone whose line keeps packets in order.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        if !case.is_in_order() {
            return Vec::new();
        }
        let report = case.report;
        let mut found =
            told(evidence, case, Media::Audio, &report.reports, &sources(evidence, case));
        let sources = sources_of_pictures(evidence, case);
        found.extend(told(evidence, case, Media::Pictures, &report.pictures.reports, &sources));
        found
    })
}

fn told(
    evidence: &Evidence,
    case: Case<'_>,
    media: Media,
    reports: &[ReceptionReport],
    sources: &[Source],
) -> Vec<String> {
    let mut found = Vec::new();
    let mut before: Option<&ReceptionReport> = None;
    for report in reports {
        match sources.iter().find(|source| source.ssrc == report.about) {
            None => found.push(format!("at {:?} it was told of what it had not said", report.at)),
            Some(source) => {
                let before = before.filter(|before| before.about == report.about);
                found.extend(plain(case, media, source, report, before));
                if is_known(evidence, case) {
                    found.extend(losses(evidence, case, media, source, report, before));
                }
            }
        }
        before = Some(report);
    }
    found
}

/// Whether what the links dropped is all that can be missing.
fn is_known(evidence: &Evidence, case: Case<'_>) -> bool {
    let is_befallen = case.plan.is_befallen(&case.phone.host);
    let is_unheard = case.plan.config.rtp.follow == Follow::Nobody
        && case.phone.plan.acts.iter().any(|act| act.deed == Deed::Rebind);
    let is_noted = evidence.host.as_ref().is_some_and(|host| host.lost.is_some());
    case.is_undisturbed() && !is_befallen && !is_unheard && is_noted
}

/// It is of what was sent, counts no more than that, and agrees with the one before.
fn plain(
    case: Case<'_>,
    media: Media,
    source: &Source,
    report: &ReceptionReport,
    before: Option<&ReceptionReport>,
) -> Vec<String> {
    let (mut found, way) = (Vec::new(), case.round_trip());
    let (at, highest) = (report.at, source.place_of(report.highest));
    let Some(newest) = source.packets.get(highest).filter(|newest| newest.at <= at) else {
        return vec![format!("at {at:?} it was told of packet {highest}, which it had not sent")];
    };
    let sent = source
        .packets
        .iter()
        .filter(|it| it.at + way < at && !is_unsure(case, media, it.at))
        .count();
    let is_faithful = case.is_faithful() && case.is_undisturbed();
    let may_lose = media == Media::Audio && !case.phone.plan.digits.is_empty();
    if is_faithful && !may_lose && highest + 1 < sent {
        found.push(format!("at {at:?} packet {highest} was the newest, sent were {sent}"));
    }
    if i64::from(report.lost) > highest as i64 + 1 || report.lost < 0 {
        found.push(format!("at {at:?} {} packets were lost of {}", report.lost, highest + 1));
    }
    // Where the codec has changed, that of the faster clock.
    let clocks = case.report.codecs.iter().map(|(_, codec)| codec.samples_per_ms());
    let per_ms = clocks.max().unwrap_or(8);
    let jitter = Duration::from_micros(u64::from(report.jitter) * 1_000 / u64::from(per_ms));
    // One that was frozen sends late, and a picture goes out at once.
    if media == Media::Audio && jitter > way && !case.plan.is_faulty(&case.phone.host) {
        found.push(format!("at {at:?} the jitter is {jitter:?}, newest is of {:?}", newest.at));
    }
    if let Some(before) = before
        && (report.highest < before.highest || report.lost < before.lost)
    {
        found.push(format!("at {at:?} it was told less than at {:?}", before.at));
    }
    found
}

/// It counts what was lost, and the share of it since the report before.
fn losses(
    evidence: &Evidence,
    case: Case<'_>,
    media: Media,
    source: &Source,
    report: &ReceptionReport,
    before: Option<&ReceptionReport>,
) -> Vec<String> {
    let (at, highest) = (report.at, source.place_of(report.highest));
    let packets = &source.packets;
    let (Some(first), true) = (packets.iter().position(|it| !it.is_lost), highest < packets.len())
    else {
        return vec![format!("at {at:?} it was told of packets that all were lost")];
    };
    let (from, to) = (first, highest + 1);
    let lost_in = |from: usize, to: usize| packets[from..to].iter().filter(|it| it.is_lost).count();
    let unsure = packets[from..to].iter().filter(|it| is_unsure(case, media, it.at)).count();
    let sure = believed(case, media, packets).unwrap_or(to).min(to);
    let (least, most) = (lost_in(sure, to), lost_in(from, to) + unsure);
    let told = report.lost;
    if from >= to || !(least as i32..=most as i32).contains(&told) {
        return vec![format!("at {at:?} {told} packets were lost, the links lost {least}")];
    }
    let is_none_missing = |since: Duration| {
        let mut lost = on_the_way(evidence, case).iter();
        let is_report = |it: &&crate::run::Lost| it.packet.is_none() && !it.is_of_phone;
        !lost.any(|it| is_report(&it) && (since..=at).contains(&it.at))
    };
    let (since, since_at) = match before {
        Some(before) => (source.place_of(before.highest) + 1, before.at),
        // From which on it counts is not known.
        None if sure > from => return Vec::new(),
        None => (from, Duration::ZERO),
    };
    // One may have gone to a port that is not the phone's any more.
    let has_moved = case.report.moved.iter().any(|moved| (since_at..=at).contains(moved));
    if unsure > 0 || since > to || has_moved || !is_none_missing(since_at) {
        return Vec::new();
    }
    let (lost, due) = (lost_in(since, to), to - since);
    let share = (lost * 256).checked_div(due).unwrap_or(0).min(255);
    let is_share = usize::from(report.fraction_lost) == share;
    let told = (!is_share).then(|| {
        let fraction = report.fraction_lost;
        format!("at {at:?} {fraction} of 256 were lost, the links lost {lost} of {due} ({share})")
    });
    told.into_iter().collect()
}

/// The first packet that is sure to be counted. What comes before its answer is nobody's, as is what comes from where nobody knows it
/// to be; and one packet alone is no source yet, and
/// is forgotten if something is agreed on before the next one.
fn believed(case: Case<'_>, media: Media, packets: &[Sent]) -> Option<usize> {
    // Of pictures of a phone that has moved nobody knows which are, and those that are lost count all the same.
    let is_unheard = |it: &Sent| media == Media::Audio && is_unsure(case, media, it.at);
    let is_heard = |it: &Sent| !it.is_lost && !case.is_early(it.at) && !is_unheard(it);
    let heard = packets.iter().enumerate().filter(|(_, it)| is_heard(it));
    let heard: Vec<(usize, Duration)> = heard.map(|(place, it)| (place, it.at)).collect();
    let way = case.round_trip();
    let changes: Vec<Duration> = match media {
        Media::Audio => case.report.directions.iter().skip(1).map(|it| it.0).collect(),
        Media::Pictures => case.report.pictures.agreed.iter().skip(1).map(|it| it.0).collect(),
    };
    let is_forgotten = |from: Duration, to: Duration| {
        changes.iter().any(|at| from <= *at + way && *at <= to + way)
    };
    heard.windows(2).find(|two| !is_forgotten(two[0].1, two[1].1)).map(|two| two[0].0)
}

/// Whether it was sent from a port of which the gateway does not know yet whether it is the phone's, or knows that it no longer is.
fn is_unsure(case: Case<'_>, media: Media, sent: Duration) -> bool {
    // Pictures move with the audio.
    if media == Media::Pictures {
        return !case.report.moved.is_empty();
    }
    let is_moved = |moved: &Duration| sent.abs_diff(*moved) < MOVES + case.round_trip();
    // A port is the phone's when so many packets have come from it, however long that takes.
    let since = |moved: &Duration| {
        case.report.spoken.iter().filter(|it| (*moved..sent).contains(&it.at)).count()
    };
    let is_new = |moved: &Duration| *moved <= sent && since(moved) < NEW_PACKETS;
    let moves = case.phone.plan.acts.iter().any(|act| act.deed == Deed::Move);
    case.report.moved.iter().any(|moved| is_moved(moved) || is_new(moved))
        || moves && case.is_changing(sent)
}
