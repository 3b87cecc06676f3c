//! What a phone sent over RTP, its audio and its pictures, source by source, and what became of it on its line.

use std::{collections::BTreeSet, time::Duration};

use super::Case;
use crate::run::{Evidence, Lost};

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

/// What links have dropped between the phone and the gateway; nothing where nobody knows.
pub(super) fn on_the_way<'a>(evidence: &'a Evidence, case: Case<'_>) -> &'a [Lost] {
    let host = evidence.host.as_ref();
    host.and_then(|host| host.lost.as_ref()?.get(&case.phone.host)).map_or(&[], Vec::as_slice)
}
