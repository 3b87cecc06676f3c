//! What a phone sent over RTP, its audio and its pictures, source by source, and what became of it on its line.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rehearsal_sim::clients::phone::{Saying, Signal, Way};

use super::Case;
use crate::run::{Evidence, Lost};

/// So many packets are of a source, whichever are lost between them.
const MANY: usize = 8;

/// A source of a phone's: its packets in the order they were sent, whose numbers go up by one.
pub(super) struct Source {
    pub(super) ssrc: u32,
    pub(super) packets: Vec<Sent>,
}

/// A packet of audio, of a digit, or of a picture.
pub(super) struct Sent {
    pub(super) at: Duration,
    pub(super) sequence: u16,
    /// It did not get through, by the plan or by the links; what the links did is known on the fabric only.
    pub(super) is_lost: bool,
}

impl Source {
    /// The place of the packet that a report calls the highest.
    pub(super) fn place_of(&self, highest: u32) -> usize {
        let first = self.packets.first().map_or(0, |first| first.sequence);
        usize::from((highest as u16).wrapping_sub(first))
    }
}

/// The sources of the phone's audio, in the order they began.
pub(super) fn sources(evidence: &Evidence, case: Case<'_>) -> Vec<Source> {
    let report = case.report;
    let spoken = report.spoken.iter().map(|it| (it.at, it.ssrc, it.sequence, false));
    let dialled = report.dialled.iter().map(|it| (it.at, it.ssrc, it.sequence, it.is_lost));
    let mut all: Vec<_> = spoken.chain(dialled).collect();
    all.sort_by_key(|(at, ..)| *at);
    grouped(evidence, case, all)
}

/// That of its pictures.
pub(super) fn sources_of_pictures(evidence: &Evidence, case: Case<'_>) -> Vec<Source> {
    let sent = case.report.pictures.sent.iter();
    grouped(evidence, case, sent.map(|it| (it.at, it.ssrc, it.sequence, false)).collect())
}

fn grouped(
    evidence: &Evidence,
    case: Case<'_>,
    all: Vec<(Duration, u32, u16, bool)>,
) -> Vec<Source> {
    let lost = on_the_way(evidence, case).iter().filter(|lost| lost.is_of_phone);
    let lost: BTreeSet<(u32, u16)> = lost.filter_map(|lost| lost.packet).collect();
    let mut sources = Vec::<Source>::new();
    for (at, ssrc, sequence, is_lost) in all {
        if sources.last().is_none_or(|source| source.ssrc != ssrc) {
            sources.push(Source { ssrc, packets: Vec::new() });
        }
        let is_lost = is_lost || lost.contains(&(ssrc, sequence));
        let source = sources.last_mut().expect("there is one");
        source.packets.push(Sent { at, sequence, is_lost });
    }
    sources
}

/// From when on each source of its audio is sure to be listened to; those that are not sure to be are not there.
pub(super) fn believed(case: Case<'_>) -> BTreeMap<u32, Duration> {
    let sources = sources(case.evidence, case);
    sources.iter().filter_map(|it| Some((it.ssrc, believed_from(case, it)?))).collect()
}

/// From when on `source` is sure to be listened to: packets that come one behind the other are of a source, and so are many, while
/// one alone is nobody's, and forgotten if something is agreed on.
fn believed_from(case: Case<'_>, source: &Source) -> Option<Duration> {
    let heard = source.packets.iter().filter(|it| !it.is_lost && !case.is_early(it.at));
    let heard: Vec<&Sent> = heard.collect();
    let changes: Vec<Duration> = case.report.directions.iter().skip(1).map(|it| it.0).collect();
    let is_change =
        |it: &&Signal| it.way == Way::Sent && it.what == Saying::Request && it.method == "INVITE";
    let asked: Vec<Duration> =
        case.report.signals.iter().filter(is_change).map(|it| it.at).collect();
    let way = case.round_trip();
    let is_changed = |from: Duration, to: Duration| {
        let is_asked = asked.iter().any(|at| (from..=to).contains(at));
        is_asked || changes.iter().any(|at| from <= *at + way && *at <= to + way)
    };
    let mut pairs = heard.windows(2).filter(|two| {
        two[1].sequence == two[0].sequence.wrapping_add(1) && !is_changed(two[0].at, two[1].at)
    });
    let many = heard.get(MANY - 1).map(|it| it.at);
    [pairs.next().map(|two| two[0].at), many].into_iter().flatten().min()
}

/// What links have dropped between the phone and the gateway; nothing where nobody knows.
pub(super) fn on_the_way<'a>(evidence: &'a Evidence, case: Case<'_>) -> &'a [Lost] {
    let host = evidence.host.as_ref();
    host.and_then(|host| host.lost.as_ref()?.get(&case.phone.host))
        .map_or(&[], |lost| &lost.packets)
}
