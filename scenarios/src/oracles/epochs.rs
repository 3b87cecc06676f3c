//! Which publishes of each stream there were, when each of them was there, and what subscribers have of it.

use std::{collections::BTreeMap, time::Duration};

use rehearsal_sim::clients::{
    media::Generated,
    publisher::{Leave, PublishPlan, PublishReport, Source},
    rtmp_player::PlayReport,
    verify::{self, Kind, Logged},
};

use super::publishing::planned_end;
use crate::{
    fault::Lever,
    plan::{Player, Publisher},
    run::Evidence,
};

/// One publish that was accepted, or may have been: whose host crashed cannot tell.
pub(super) struct Epoch<'a> {
    pub(super) publisher: &'a Publisher,
    pub(super) report: &'a PublishReport,
    /// Pictures and audio that were sent. After a crash, those that would have been sent by then, each at its earliest.
    media: Vec<Logged>,
    /// When its first message was sent.
    pub(super) from: Duration,
    /// When it was over: its last message, or what is due after that, or an outage of the gateway.
    pub(super) over: Duration,
    /// When its name was free again at the latest: later than `over` when nobody knows what of it arrived.
    pub(super) released: Duration,
    /// Everything that was sent was received, and its end is known: its host does not misbehave, loss did not have the gateway
    /// give it up, and the gateway was there from its start to its end.
    pub(super) is_sound: bool,
}

/// The publishes of every stream, by its name, in the order they began.
pub(super) struct Epochs<'a>(BTreeMap<&'a str, Vec<Epoch<'a>>>);

impl<'a> Epochs<'a> {
    pub(super) fn of(evidence: &'a Evidence) -> Self {
        let mut streams = BTreeMap::<&str, Vec<Epoch<'_>>>::new();
        for (publisher, report) in evidence.plan.publishers.iter().zip(&evidence.publishers) {
            let epoch = match has_crashed(report) {
                true => crashed(evidence, publisher, report),
                false => epoch(evidence, publisher, report),
            };
            if let Some(epoch) = epoch {
                streams.entry(report.stream.as_str()).or_default().push(epoch);
            }
        }
        streams.values_mut().for_each(|epochs| epochs.sort_by_key(|epoch| epoch.from));
        Self(streams)
    }

    /// Those of `stream`.
    pub(super) fn of_stream(&self, stream: &str) -> &[Epoch<'a>] {
        self.0.get(stream).map_or(&[], Vec::as_slice)
    }

    /// Every stream with its publishes.
    pub(super) fn streams(&self) -> impl Iterator<Item = (&'a str, &[Epoch<'a>])> {
        self.0.iter().map(|(stream, epochs)| (*stream, epochs.as_slice()))
    }
}

fn epoch<'a>(
    evidence: &Evidence,
    publisher: &'a Publisher,
    report: &'a PublishReport,
) -> Option<Epoch<'a>> {
    let plan = &evidence.plan;
    let (from, last) = (report.sent.first()?.at, report.sent.last()?.at);
    let over = match publisher.plan.leave {
        Leave::Silent => last + Duration::from_millis(plan.config.rtmp.publisher_silence_ms),
        Leave::Orderly | Leave::Killed => last,
    };
    // A publisher who was cut off in mid-stream may have sent its last message just before.
    let ended = report.ended_at.unwrap_or(over).max(over);
    let cut =
        plan.outages().iter().map(|outage| outage.from).find(|at| (from..=ended).contains(at));
    let is_given_up =
        report.end != planned_end(publisher) && may_be_given_up(evidence, &publisher.host);
    let is_sound = !plan.is_faulty(&publisher.host) && cut.is_none() && !is_given_up;
    let over = cut.unwrap_or(over);
    let silence = Duration::from_millis(plan.config.rtmp.publisher_silence_ms);
    let released = match is_sound {
        true => over,
        false => evidence.due(&[&publisher.host], over, silence + plan.slack()),
    };
    let media = report.sent.iter().filter(|seen| is_media(seen)).copied().collect();
    Some(Epoch { publisher, report, media, from, over, released, is_sound })
}

/// The publish of somebody whose host crashed: at most from its start to the crash, and in the order of its plan.
fn crashed<'a>(
    evidence: &Evidence,
    publisher: &'a Publisher,
    report: &'a PublishReport,
) -> Option<Epoch<'a>> {
    let plan = &evidence.plan;
    let faults = plan.faults.iter().filter(|fault| fault.host == publisher.host);
    let crash = faults.filter(|fault| matches!(fault.lever, Lever::Crash));
    let over = Duration::from_millis(crash.map(|fault| fault.at_ms).min()?);
    let from = Duration::from_millis(publisher.plan.start_ms);
    let silence = Duration::from_millis(plan.config.rtmp.publisher_silence_ms);
    let released = over + silence + plan.slack();
    let media = planned_media(&publisher.plan, over.saturating_sub(from));
    Some(Epoch { publisher, report, media, from, over, released, is_sound: false })
}

/// What a publisher sends within `duration` of its start; nothing is known of a file.
fn planned_media(plan: &PublishPlan, duration: Duration) -> Vec<Logged> {
    let Source::Generated(media) = &plan.source else { return Vec::new() };
    let from = Duration::from_millis(plan.start_ms);
    let duration = duration.min(Duration::from_millis(plan.duration_ms));
    let items = Generated::new(media.clone(), &plan.stream, plan.epoch);
    let logged = items.take_while(|item| item.due < duration).filter_map(|item| {
        verify::log(item.type_id, item.timestamp_ms, &item.payload, from + item.due).ok()
    });
    logged.filter(is_media).collect()
}

fn has_crashed(report: &PublishReport) -> bool {
    report.end == "crashed"
}

/// Whether what somebody sent on `stream` is not known, because its host crashed.
pub(super) fn has_unknown(evidence: &Evidence, stream: &str) -> bool {
    evidence.publishers.iter().any(|report| report.stream == stream && has_crashed(report))
}

/// Whether somebody who wanted to publish `stream` was cut off before the answer came: the gateway may have begun to tell of it.
pub(super) fn has_unanswered(evidence: &Evidence, stream: &str) -> bool {
    let is_unanswered = |report: &PublishReport| report.answered_at.is_none();
    evidence.publishers.iter().any(|report| report.stream == stream && is_unanswered(report))
}

/// Whether a player may lack parts of its stream: it does not read for a while, its link is too slow, or loss held it up for so
/// long that it fell behind.
pub(super) fn may_skip(evidence: &Evidence, player: &Player) -> bool {
    let plan = &evidence.plan;
    let lag_max = Duration::from_millis(plan.config.live.lag_resync_ms);
    let is_held_up = evidence.longest(&player.host, plan.slack()) > lag_max;
    player.plan.stall.is_some() || plan.may_skip(&player.host) || is_held_up
}

/// Whether loss held up a client of `host` for so long that the gateway may have given it up: for longer than the least of its
/// deadlines for a peer from whom nothing comes, or who takes nothing.
pub(super) fn may_be_given_up(evidence: &Evidence, host: &str) -> bool {
    let config = &evidence.plan.config;
    let (rtmp, http) = (&config.rtmp, &config.http);
    let deadlines_ms = [
        rtmp.handshake_ms,
        rtmp.command_ms,
        rtmp.publisher_silence_ms,
        rtmp.ping_timeout_ms,
        http.head_ms,
        config.live.player_stall_ms,
        config.live.lag_close_ms,
    ];
    let least_ms = deadlines_ms.into_iter().min().unwrap_or(0);
    evidence.longest(host, evidence.plan.slack()) > Duration::from_millis(least_ms)
}

/// Pictures and audio, whose order and wholeness count.
fn is_media(seen: &Logged) -> bool {
    matches!(seen.kind, Kind::Keyframe | Kind::Inter | Kind::Audio)
}

/// What a subscriber has of one publish.
pub(super) struct Part<'a> {
    /// Index of the publish among those of its stream.
    pub(super) index: usize,
    pub(super) received: Vec<&'a Logged>,
}

/// What a subscriber has of each of `epochs`, in their order, and the first frame that is of none that was due.
pub(super) fn parts<'a>(
    report: &'a PlayReport,
    epochs: &[Epoch<'_>],
) -> (Vec<Part<'a>>, Option<&'a Logged>) {
    let mut rest = report.received.iter().filter(|seen| is_media(seen)).peekable();
    let mut parts = Vec::new();
    for (index, epoch) in epochs.iter().enumerate() {
        let is_of_epoch = |seen: &&Logged| epoch.has(seen);
        let received: Vec<_> = std::iter::from_fn(|| rest.next_if(is_of_epoch)).collect();
        if !received.is_empty() {
            parts.push(Part { index, received });
        }
    }
    (parts, rest.next())
}

/// Whether who received `pairs` has the keyframe on which the next pictures depend, and none missing in between.
fn has_keyframe(pairs: &[Pair<'_>]) -> bool {
    let is_picture = |frame: &Logged| matches!(frame.kind, Kind::Keyframe | Kind::Inter);
    pairs.iter().fold(false, |has, pair| {
        let is_whole = has && !pair.skipped.iter().any(is_picture);
        is_whole || pair.received.kind == Kind::Keyframe
    })
}

/// A frame that was received, and the one that was sent.
pub(super) struct Pair<'a> {
    pub(super) sent: &'a Logged,
    pub(super) received: &'a Logged,
    /// Frames that were sent before it and after the one before it.
    pub(super) skipped: &'a [Logged],
}

impl<'a> Epoch<'a> {
    /// Whether a message is one of this publish, as far as its stamp tells.
    fn has(&self, seen: &Logged) -> bool {
        seen.stamp.is_none_or(|stamp| stamp.epoch == self.report.epoch)
    }

    /// Until when there is something for who comes: who comes to a stream of pictures gets those since the last keyframe, unless
    /// that `may_be_gone`, and who comes to audio alone the next frame. Nobody hears of a publisher that sends no frame.
    pub(super) fn heard_until(&self, may_be_gone: bool) -> Duration {
        let is_audio = |sent: &Logged| sent.kind == Kind::Audio;
        match self.media.last() {
            None => Duration::ZERO,
            Some(last) if may_be_gone || self.media.iter().all(is_audio) => last.at.min(self.over),
            Some(_) => self.over,
        }
    }

    /// Its pictures and audio as they were sent.
    pub(super) fn sent(&self) -> impl Iterator<Item = &Logged> {
        self.media.iter()
    }

    /// What a subscriber has of its media.
    pub(super) fn received_by<'p>(
        &self,
        player: &'p PlayReport,
    ) -> impl Iterator<Item = &'p Logged> {
        player.received.iter().filter(move |seen| is_media(seen) && self.has(seen))
    }

    /// Finds each frame of `received` among those that were sent, from wherever the first one is; also how many were sent
    /// after the last one that were of use: who has no keyframe, and may skip, cannot use the pictures that depend on one.
    ///
    /// # Errors
    /// What is wrong with the first frame that is not the next one sent, or with `may_skip` none of those after it.
    pub(super) fn follow<'p>(
        &'p self,
        received: &[&'p Logged],
        may_skip: bool,
    ) -> Result<(Vec<Pair<'p>>, usize), String> {
        let same = |a: &Logged, b: &Logged| a.hash == b.hash && a.kind == b.kind;
        let mut pairs = Vec::with_capacity(received.len());
        let mut at = 0;
        for (index, frame) in received.iter().enumerate() {
            let ahead = &self.media[at..];
            let skipped = match may_skip || index == 0 {
                false => ahead.first().is_some_and(|sent| same(sent, frame)).then_some(0),
                true => ahead.iter().position(|sent| same(sent, frame)),
            };
            let Some(skipped) = skipped else {
                let (epoch, kind, ms) = (self.report.epoch, frame.kind, frame.timestamp_ms);
                let of = format!("frame {index} of epoch {epoch}, a {kind:?} at {ms} ms");
                return Err(format!("{of}, is not the next one sent"));
            };
            let before = if index == 0 { &[] } else { &ahead[..skipped] };
            pairs.push(Pair { sent: &ahead[skipped], received: frame, skipped: before });
            at += skipped + 1;
        }
        let rest = &self.media[at..];
        let depends =
            |sent: &&Logged| may_skip && !has_keyframe(&pairs) && sent.kind == Kind::Inter;
        let until_keyframe = rest.iter().take_while(|sent| sent.kind != Kind::Keyframe);
        let useless = until_keyframe.filter(depends).count();
        Ok((pairs, rest.len() - useless))
    }
}
