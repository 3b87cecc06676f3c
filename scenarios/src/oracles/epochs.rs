//! Which publishes of a stream there were, and when each of them was there.

use std::time::Duration;

use rehearsal_sim::clients::{
    publisher::{Leave, PublishReport},
    rtmp_player::PlayReport,
    verify::{Kind, Logged},
};

use crate::{plan::Publisher, run::Evidence};

/// One publish that was accepted.
pub(super) struct Epoch<'a> {
    pub(super) report: &'a PublishReport,
    /// When its first message was sent.
    pub(super) from: Duration,
    /// When it was over: its last message, or what is due after that, or an outage of the gateway.
    pub(super) over: Duration,
    /// Everything that was sent was received, and its end is known: its host does not misbehave, and the gateway was there
    /// from its start to its end.
    pub(super) is_sound: bool,
}

/// The publishes of `stream` whose messages are known, in the order they began.
pub(super) fn epochs<'a>(evidence: &'a Evidence, stream: &str) -> Vec<Epoch<'a>> {
    let plan = &evidence.plan;
    let publishers = plan.publishers.iter().zip(&evidence.publishers);
    let mut epochs: Vec<_> = publishers
        .filter(|(_, report)| report.stream == stream)
        .filter_map(|(publisher, report)| epoch(evidence, publisher, report))
        .collect();
    epochs.sort_by_key(|epoch| epoch.from);
    epochs
}

fn epoch<'a>(
    evidence: &Evidence,
    publisher: &Publisher,
    report: &'a PublishReport,
) -> Option<Epoch<'a>> {
    let plan = &evidence.plan;
    let (from, last) = (report.sent.first()?.at, report.sent.last()?.at);
    let over = match publisher.plan.leave {
        Leave::Silent => last + Duration::from_millis(plan.config.rtmp.publisher_silence_ms),
        Leave::Orderly | Leave::Killed => last,
    };
    let cut = plan.outages().iter().map(|outage| outage.from).find(|at| (from..=over).contains(at));
    let is_sound = !plan.is_faulty(&publisher.host) && cut.is_none();
    Some(Epoch { report, from, over: cut.unwrap_or(over), is_sound })
}

/// Whether what somebody sent on `stream` is not known, because its host crashed.
pub(super) fn has_unknown(evidence: &Evidence, stream: &str) -> bool {
    evidence.publishers.iter().any(|report| report.stream == stream && report.end == "crashed")
}

/// Pictures and audio, whose order and wholeness count.
pub(super) fn is_media(seen: &Logged) -> bool {
    matches!(seen.kind, Kind::Keyframe | Kind::Inter | Kind::Audio)
}

impl Epoch<'_> {
    /// What a subscriber has of its media.
    pub(super) fn received_by<'a>(
        &self,
        player: &'a PlayReport,
    ) -> impl Iterator<Item = &'a Logged> {
        let epoch = self.report.epoch;
        player.received.iter().filter(move |seen| {
            is_media(seen) && seen.stamp.is_none_or(|stamp| stamp.epoch == epoch)
        })
    }
}
