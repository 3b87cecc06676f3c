//! O2, O10 and O19 of pictures: what phones see is whole, on one clock and begins by a keyframe; what they show is what those have who
//! play their streams, as far as every packet of it and of what it refers to got through; and who lost some asks for a keyframe, not too
//! often.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rehearsal_sim::clients::{
    phone::{Asked, Broken, PICTURES, Saying, Seen, Shown, Signal},
    publisher::Source,
    rtmp_player::PlayReport,
    stamp::Stamp,
    verify::{Kind, Logged},
};

use super::{BEFORE, Case, DELAY_MAX, HELD, is_ack, of_each, order::Order, sources::on_the_way};
use crate::run::Evidence;

/// Ticks of H.264 in a millisecond.
const TICKS_PER_MS: u32 = 90;
/// Who is connected with a stream sees something within this.
const FIRST_PICTURE: Duration = Duration::from_secs(2);
/// How far the audio and the pictures of a phone may be apart in what becomes of them, besides what its line does.
const SKEW_MAX: Duration = Duration::from_millis(60);
/// By then what asks for a keyframe has had its effect.
const ANSWERED: Duration = Duration::from_millis(600);

/// O19, O10: numbers, marks, times and delays of the pictures that phones see.
pub(crate) fn watched(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        if !case.is_in_order() {
            return Vec::new();
        }
        let mut found = numbering(case);
        found.extend(contents(evidence, case));
        if is_whole(case) {
            found.extend(delays(evidence, case));
            found.extend(sender_reports(case));
            found.extend(answers(case));
        }
        found
    })
}

fn is_whole(case: Case<'_>) -> bool {
    case.is_faithful() && case.is_undisturbed()
}

/// One source, whose numbers go up by one, and whose pictures end with a mark and nowhere else.
fn numbering(case: Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let came = &case.report.pictures.came;
    if let Some(other) = came.iter().find(|it| it.payload_type != PICTURES) {
        found.push(format!("at {:?} came a picture as {}", other.at, other.payload_type));
    }
    for two in came.windows(2) {
        let [one, next] = two else { continue };
        let at = next.at;
        let steps = next.sequence.wrapping_sub(one.sequence);
        if one.ssrc != next.ssrc {
            found.push(format!("at {at:?} the source of pictures changes"));
        } else if steps != 1 && (is_whole(case) || !(2..1 << 15).contains(&steps)) {
            found.push(format!(
                "at {at:?} number {} of pictures comes behind {}",
                next.sequence, one.sequence
            ));
        } else if steps == 1
            && one.marker != (one.timestamp != next.timestamp)
            // What waits to be sent when the call is held is left out.
            && !is_changed(case, one.at, next.at)
        {
            found.push(format!(
                "at {at:?} the picture of {} is followed by {}, with mark: {}",
                one.timestamp, next.timestamp, one.marker
            ));
        }
    }
    found
}

/// What came is what was published, in order, once and on its clock.
fn contents(evidence: &Evidence, case: Case<'_>) -> Vec<String> {
    let seen = &case.report.pictures.seen;
    let Some(stream) = case.plays() else {
        let first = seen.first();
        return first
            .map(|it| format!("it sees no stream, and a picture came at {:?}", it.at))
            .into_iter()
            .collect();
    };
    let (mut found, mut shifts) = (Vec::new(), BTreeMap::new());
    let mut order = Order::of(&stream, "picture");
    for (place, picture) in seen.iter().enumerate() {
        let at = picture.at;
        match picture.broken {
            None => {}
            Some(Broken::Missing) if !is_whole(case) => continue,
            // What is lost before the first packet, no number tells.
            Some(Broken::Parts) if !is_whole(case) && place == 0 => continue,
            Some(_) if is_changed(case, at, at) => continue,
            Some(how) => {
                found.push(format!("at {at:?} came a picture that is not whole: {how:?}"));
                continue;
            }
        }
        let Ok(Some(stamp)) = picture.stamp else {
            found.push(format!("at {at:?} came a picture that nobody published: {picture:?}"));
            continue;
        };
        found.extend(order.take(at, &stamp));
        let shown_ms = stamp.timestamp_ms.wrapping_add(composition_ms(evidence, &stream, stamp));
        let shift = picture.timestamp.wrapping_sub(shown_ms.wrapping_mul(TICKS_PER_MS));
        let expected = *shifts.entry((picture.ssrc, stamp.epoch)).or_insert(shift);
        if shift != expected {
            let by = shift.wrapping_sub(expected) as i32;
            found.push(format!("at {at:?} the clock of pictures is off by {by} ticks"));
        }
    }
    found
}

/// How much later than it is decoded a picture is shown.
fn composition_ms(evidence: &Evidence, stream: &str, stamp: Stamp) -> u32 {
    let mut publishers = evidence.plan.publishers.iter();
    let its = publishers.find(|it| it.plan.stream == stream && it.plan.epoch == stamp.epoch);
    match its.map(|its| &its.plan.source) {
        Some(Source::Generated(media)) if media.gop_frames > 0 => media.composition_ms(stamp.index),
        _ => 0,
    }
}

/// Whether what was agreed on of pictures has changed between `from` and `to`, or may have.
fn is_changed(case: Case<'_>, from: Duration, to: Duration) -> bool {
    let way = case.round_trip();
    let span = from.saturating_sub(way)..=to + way;
    // The first is where it begins.
    case.report.pictures.agreed.iter().skip(1).any(|(at, ..)| span.contains(at))
}

/// O2: the first picture that a phone sees, and the first one after a gap, is a keyframe with what it is coded with.
pub(crate) fn resumed(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        if !case.is_in_order() {
            return Vec::new();
        }
        let (mut found, mut last) = (Vec::new(), None::<(Duration, Stamp)>);
        for picture in &case.report.pictures.seen {
            let at = picture.at;
            let whole = picture.stamp.ok().flatten().filter(|_| picture.broken.is_none());
            let Some(stamp) = whole else { continue };
            // What is lost before the first packet, no number tells.
            let is_sure = last.is_some() || is_whole(case);
            let lacks_sets = picture.sets.is_none_or(|sets| sets.config != stamp.config);
            if picture.is_key && is_sure && lacks_sets {
                found.push(format!("at {at:?} a keyframe came without what it is coded with"));
            }
            let is_next = |(_, last): (Duration, Stamp)| {
                last.epoch == stamp.epoch && stamp.index == last.index + 1
            };
            if last.is_none_or(|last| !is_next(last)) && !picture.is_key && is_whole(case) {
                found.push(format!("at {at:?} it goes on by picture {}, no keyframe", stamp.index));
            }
            if let Some((before, _)) =
                last.filter(|last| !is_next(*last) && last.1.epoch == stamp.epoch)
                && is_whole(case)
                && !is_changed(case, before, at)
            {
                found.push(format!("between {before:?} and {at:?} pictures are missing"));
            }
            last = Some((at, stamp));
        }
        found
    })
}

/// From who publishes to the phone nothing takes long, and who is connected sees something soon.
fn delays(evidence: &Evidence, case: Case<'_>) -> Vec<String> {
    let Some(stream) = case.plays() else { return Vec::new() };
    let mut found = Vec::new();
    let publishers = evidence.plan.publishers.iter().zip(&evidence.publishers);
    let its = publishers.filter(|(publisher, _)| {
        publisher.plan.stream == stream
            && publisher.link.up.loss_ppm == 0
            && publisher.link.up.burst_loss.is_none()
    });
    for (_, report) in its {
        let is_picture = |sent: &&Logged| matches!(sent.kind, Kind::Keyframe | Kind::Inter);
        let sent: Vec<(u32, &Logged)> = report
            .sent
            .iter()
            .filter(is_picture)
            .filter_map(|sent| Some((sent.stamp?.index, sent)))
            .collect();
        let by_index: BTreeMap<u32, Duration> =
            sent.iter().map(|(index, sent)| (*index, sent.at)).collect();
        let (Some((_, first)), Some((_, last))) = (sent.first(), sent.last()) else { continue };
        let within = DELAY_MAX + case.round_trip();
        // Who hangs up at once has agreed on nothing.
        let agreed_at = case.report.pictures.agreed.first().map(|(at, ..)| *at);
        let agreed_at = agreed_at.or(case.report.answered_at);
        // Who calls is sent nothing before its ACK comes.
        let confirmed_at = case.sent().find(|(_, it)| is_ack(it)).map(|(at, _)| at);
        let confirmed_at = confirmed_at.filter(|_| case.phone.plan.called.is_none());
        let agreed_at = agreed_at.max(confirmed_at);
        for (picture, stamp) in of_epoch(case, report.epoch) {
            let Some(sent) = by_index.get(&stamp.index) else {
                found.push(format!(
                    "at {:?} came picture {}, which was not sent",
                    picture.at, stamp.index
                ));
                continue;
            };
            // Who comes in the midst gets what there is since the last keyframe.
            let due = agreed_at.map_or(*sent, |agreed_at| agreed_at.max(*sent));
            if picture.at < *sent || picture.at > due + within {
                let (index, at) = (stamp.index, picture.at);
                found.push(format!("picture {index} was sent at {sent:?} and came at {at:?}"));
            }
        }
        let agreed = &case.report.pictures.agreed;
        let Some((from, ..)) = agreed.first() else { continue };
        let from = (*from).max(first.at);
        let sees = agreed.iter().rfind(|(at, ..)| *at <= from).is_some_and(|(.., sees)| *sees);
        if !sees {
            continue;
        }
        let over = case.report.ended.map_or(case.report.left_at, |(at, _)| at);
        let is_there = last.at.min(over) > from + FIRST_PICTURE + case.round_trip();
        let came = of_epoch(case, report.epoch).next().map(|(picture, _)| picture.at);
        if is_there
            && !is_changed(case, from + case.round_trip() * 2, from + FIRST_PICTURE)
            && came.is_none_or(|at| at > from + FIRST_PICTURE + case.round_trip())
        {
            found.push(format!("from {from:?} on there were pictures, the first came at {came:?}"));
        }
    }
    found
}

/// Pictures that the phone saw of a publish.
fn of_epoch(case: Case<'_>, epoch: u32) -> impl Iterator<Item = (&Seen, Stamp)> {
    let seen = case.report.pictures.seen.iter();
    let seen = seen.filter_map(|picture| Some((picture, picture.stamp.ok().flatten()?)));
    seen.filter(move |(_, stamp)| stamp.epoch == epoch)
}

/// What the gateway says that it has sent of pictures is what came.
fn sender_reports(case: Case<'_>) -> Vec<String> {
    let (way, pictures) = (case.round_trip(), &case.report.pictures);
    let wrong = pictures.sender_reports.iter().filter_map(|report| {
        let at = report.at;
        let came = |by: Duration| pictures.came.iter().filter(move |it| it.at <= by);
        let (least, most) = (came(at.saturating_sub(way)).count(), came(at + way).count());
        let bytes = |by| came(by).map(|it| it.bytes as u32).sum::<u32>();
        let is_true = (least..=most).contains(&(report.packets as usize))
            && (bytes(at.saturating_sub(way))..=bytes(at + way)).contains(&report.bytes)
            && pictures.came.iter().all(|it| it.ssrc == report.ssrc);
        (!is_true).then(|| format!("at {at:?} it was told {report:?}, {least} packets came"))
    });
    wrong.collect()
}

/// When what the phone has asked for at `at` is on its line: an INFO waits until what is asked before is answered, and the call may be
/// over by then.
fn came(case: Case<'_>, at: Duration, by_rtcp: bool) -> Option<Duration> {
    let words = b"picture_fast_update";
    let mut infos = case.sent().filter(|(_, it)| {
        it.what == Saying::Request
            && it.method == "INFO"
            && it.at >= at
            && it.raw.windows(words.len()).any(|part| part == words)
    });
    if by_rtcp { Some(at) } else { infos.next().map(|(came, _)| came) }
}

/// Who asks for a keyframe is told once more what the pictures are coded with, and nobody else is.
fn answers(case: Case<'_>) -> Vec<String> {
    let (mut found, way) = (Vec::new(), case.round_trip());
    let pictures = &case.report.pictures;
    let is_told = |picture: &&Seen| picture.sets.is_some() && !picture.is_key;
    let asks: Vec<Duration> =
        pictures.asks.iter().filter_map(|(at, by_rtcp)| came(case, *at, *by_rtcp)).collect();
    for asked in &asks {
        let span = *asked..=*asked + ANSWERED + way;
        let after = pictures.seen.iter().filter(|it| span.contains(&it.at));
        let is_due = after.clone().filter(|it| it.at > *asked + way).count() >= 2;
        if is_due && !after.clone().any(|it| it.sets.is_some()) {
            found.push(format!("a keyframe was asked for at {asked:?}, and nothing was told"));
        }
    }
    let wrong = pictures.seen.iter().filter(is_told).find(|picture| {
        let since = picture.at.saturating_sub(ANSWERED + way)..=picture.at;
        !asks.iter().any(|asked| since.contains(asked))
    });
    found.extend(wrong.map(|it| format!("at {:?} it was told what nobody had asked for", it.at)));
    found
}

/// Whether a picture that was shown is one that players get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Yes,
    /// It is not whole, or refers to one that is not.
    No,
    /// That depends on when what comes.
    Maybe,
}

/// What links dropped of the pictures of the phone, by source and number; `None` where nobody knows, or more than links befalls it.
fn lost(evidence: &Evidence, case: Case<'_>) -> Option<BTreeSet<(u32, u16)>> {
    let is_noted = evidence.host.as_ref().is_some_and(|host| host.lost.is_some());
    let is_known = is_noted
        && case.is_in_order()
        && case.is_undisturbed()
        && case.report.moved.is_empty()
        && !case.plan.is_befallen(&case.phone.host);
    let lost = on_the_way(evidence, case).iter().filter(|lost| lost.is_of_phone);
    is_known.then(|| lost.filter_map(|lost| lost.packet).collect())
}

/// Whether any packet of `picture` was lost.
fn is_damaged(case: Case<'_>, picture: &Shown, lost: &BTreeSet<(u32, u16)>) -> bool {
    let (from, to) = picture.packets;
    case.report.pictures.sent[from..to].iter().any(|it| lost.contains(&(it.ssrc, it.sequence)))
}

/// What is due of each picture that was shown.
fn due(case: Case<'_>, lost: &BTreeSet<(u32, u16)>) -> Vec<Due> {
    let is_even = case.phone.link.up.jitter_ns == 0 && case.plan.gateway_link.up.jitter_ns == 0;
    let (mut state, mut was_damaged, mut dues) = (Due::No, false, Vec::new());
    for (picture, place) in case.report.pictures.shown.iter().zip(0..) {
        let is_damaged = is_damaged(case, picture, lost);
        let is_unsure = may_be_left_out(case, picture, place);
        // What only begins it is not missed where more does.
        let (from, to) = picture.packets;
        let rest = Shown { packets: (from + picture.begun.saturating_sub(1), to), ..*picture };
        let is_spoilt = self::is_damaged(case, &rest, lost);
        state = match picture.is_key {
            true if is_damaged && !is_spoilt => Due::Maybe,
            _ if is_damaged && place > 0 => Due::No,
            // Nobody knows of a packet that was lost before the first.
            true if place == 0 && is_damaged => Due::Maybe,
            // The packet that is missing may have been one of its own, for who does not see it begin.
            true if was_damaged && picture.begun == 0 => Due::Maybe,
            true => Due::Yes,
            false => state,
        };
        if state == Due::Yes && (is_unsure || !is_even) {
            state = Due::Maybe;
        }
        dues.push(state);
        was_damaged = is_damaged;
    }
    dues
}

/// What is shown as the call begins, just before it is over, or while something changes, may be left out. The first packets of a
/// source are not believed at once.
fn may_be_left_out(case: Case<'_>, picture: &Shown, place: usize) -> bool {
    let at = picture.at;
    case.is_early(at)
        || case.is_changing(at)
        || case.is_cut_short(at)
        || case.may_be_hung_up_on(at)
        || place == 0 && picture.packets.1 < 2
}

/// O19: what phones show is what those have who play their streams.
pub(crate) fn shown(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        let is_known = shows(case) && !case.has_crashed();
        let Some(voice) = case.phone.plan.voice.as_ref().filter(|_| is_known) else {
            return Vec::new();
        };
        let players = evidence.plan.players.iter().zip(&evidence.players);
        let its = players.filter(|(player, _)| player.plan.stream == voice.stream);
        let lost = lost(evidence, case);
        let found = its.flat_map(|(player, report)| {
            let span = (player.plan.start_ms, player.plan.leave_ms);
            let span = (Duration::from_millis(span.0) + BEFORE, Duration::from_millis(span.1));
            let was_there = !case.plan.is_faulty(&player.host) && !case.plan.may_skip(&player.host);
            let found = of_player(case, voice.epoch, report, was_there.then_some(span), &lost);
            let host = &player.host;
            found.into_iter().map(move |what| format!("{host} {what}"))
        });
        found.collect()
    })
}

fn shows(case: Case<'_>) -> bool {
    case.phone.plan.video.as_ref().is_some_and(|video| video.shows.is_some())
}

fn of_player(
    case: Case<'_>,
    epoch: u32,
    report: &PlayReport,
    span: Option<(Duration, Duration)>,
    lost: &Option<BTreeSet<(u32, u16)>>,
) -> Vec<String> {
    let mut found = Vec::new();
    let of_epoch = |seen: &&Logged| seen.stamp.is_some_and(|stamp| stamp.epoch == epoch);
    let is_picture = |seen: &&Logged| matches!(seen.kind, Kind::Keyframe | Kind::Inter);
    let received = report.received.iter().filter(of_epoch);
    let its: BTreeMap<u32, &Logged> = received
        .clone()
        .filter(is_picture)
        .filter_map(|seen| Some((seen.stamp?.index, seen)))
        .collect();
    let shown = &case.report.pictures.shown;
    let most = HELD
        + Duration::from_millis(case.plan.config.rtp.max_delay_ms)
        + case.round_trip()
        + case.queued_for();
    let late = if is_whole(case) { HELD + case.round_trip() } else { most };
    for (index, seen) in &its {
        let Some(shown) = shown.get(*index as usize) else {
            found.push(format!("has picture {index}, which was not shown"));
            continue;
        };
        if shown.is_key != (seen.kind == Kind::Keyframe) {
            found.push(format!("has picture {index} as a {:?}", seen.kind));
        }
        if seen.at < shown.at || seen.at > shown.at + late {
            found.push(format!("has picture {index}, shown at {:?}, at {:?}", shown.at, seen.at));
        }
    }
    found.extend(skew(case, received, late));
    let (Some(lost), Some((from, to))) = (lost, span) else { return found };
    for (shown, due) in shown.iter().zip(due(case, lost)) {
        let has = its.contains_key(&shown.index);
        let is_there = from <= shown.at && shown.at + most < to;
        let (index, at) = (shown.index, shown.at);
        if due == Due::Yes && !has && is_there {
            found
                .push(format!("lacks picture {index}, shown at {at:?}, of which nothing was lost"));
        }
        if due == Due::No && has {
            found
                .push(format!("has picture {index}, shown at {at:?}, of which something was lost"));
        }
    }
    found
}

/// O10: what a phone says and shows at once is at about the same time of its stream.
fn skew<'a>(
    case: Case<'_>,
    received: impl Iterator<Item = &'a Logged> + Clone,
    late: Duration,
) -> Option<String> {
    if case.plan.begins_anew(&case.phone.plan.voice.as_ref()?.stream) {
        return None;
    }
    let shift = |is_audio: bool| {
        let mut its = received.clone().filter(|it| {
            matches!(it.kind, Kind::Audio | Kind::Keyframe | Kind::Inter)
                && is_audio == (it.kind == Kind::Audio)
        });
        its.find_map(|it| Some(it.timestamp_ms.wrapping_sub(it.stamp?.timestamp_ms)))
    };
    let by_ms = shift(true)?.wrapping_sub(shift(false)?) as i32;
    let by = Duration::from_millis(by_ms.unsigned_abs().into());
    let bound = if is_whole(case) { SKEW_MAX + case.round_trip() } else { SKEW_MAX + late };
    (by > bound).then(|| format!("hears it {by_ms} ms after it sees it"))
}

/// O19: who lost something of a picture asks for a keyframe, in the way that was agreed on, soon, and not too often.
pub(crate) fn requests(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        let mut found = Vec::new();
        let Some(video) = &case.phone.plan.video else { return found };
        let asked = &case.report.pictures.asked;
        // What is not lost comes as it is sent, but for how tasks and links are.
        let down = [case.phone.link.down, case.plan.gateway_link.down];
        let is_told_surely = down.iter().all(super::is_faithful);
        let slack = if is_told_surely { case.plan.slack() } else { Duration::ZERO };
        let way = case.round_trip() - slack;
        let every = Duration::from_millis(case.plan.config.rtp.keyframe_request_ms);
        if let Some(wrong) = asked.iter().find(|it| it.by_rtcp != video.tells_by_rtcp) {
            found.push(format!("at {:?} it was asked for a keyframe in another way", wrong.at));
        }
        found.extend(too_often(case, asked, every, way));
        if let Some(lost) = lost(evidence, case) {
            found.extend(causes(case, asked, &lost));
        }
        found
    })
}

/// What is asked more often than it may be.
fn too_often(case: Case<'_>, asked: &[Asked], every: Duration, way: Duration) -> Vec<String> {
    // Of an INFO that is lost a copy comes, any time later.
    let infos = case.asked();
    let said_at = |it: &Asked| {
        let is_its = |info: &&Signal| info.method == "INFO" && info.at == it.at && !it.by_rtcp;
        let its = infos.iter().find(|copies| copies.iter().any(is_its));
        its.map_or(Some(it.at), |copies| case.said_at(copies[0]))
    };
    let mut found = Vec::new();
    for two in asked.windows(2) {
        let Some((one, next)) = said_at(&two[0]).zip(said_at(&two[1])) else { continue };
        if next + way < one + every {
            found
                .push(format!("it was asked for a keyframe at {:?}, {every:?} apart", (one, next)));
        }
    }
    found
}

/// Nothing is asked for without a loss, and each loss is told of, if none was just before.
fn causes(case: Case<'_>, asked: &[Asked], lost: &BTreeSet<(u32, u16)>) -> Vec<String> {
    let (mut found, way) = (Vec::new(), case.round_trip());
    let every = Duration::from_millis(case.plan.config.rtp.keyframe_request_ms);
    let most = HELD + Duration::from_millis(case.plan.config.rtp.max_delay_ms) + way;
    let pictures = &case.report.pictures;
    let damaged: Vec<&Shown> =
        pictures.shown.iter().filter(|shown| is_damaged(case, shown, lost)).collect();
    // What is left out while something changes is as if it were lost; the first picture of all begins it.
    let is_left_out = |until: Duration| {
        let mut shown = pictures.shown.iter().skip(1).take_while(|shown| shown.at < until);
        shown.any(|shown| may_be_left_out(case, shown, 1))
    };
    if let Some(early) = asked.iter().find(|it| damaged.iter().all(|shown| shown.at > it.at))
        && !is_left_out(early.at)
    {
        found.push(format!("at {:?} it was asked for a keyframe, and nothing was lost", early.at));
    }
    let [phone, gateway] = [case.phone.link.down, case.plan.gateway_link.down];
    let is_told_surely = super::is_faithful(&phone) && super::is_faithful(&gateway);
    let infos = case.asked().into_iter().map(|copies| copies[0]);
    let infos: Vec<&Signal> = infos.filter(|it| it.method == "INFO").collect();
    for (at, shown) in damaged.iter().map(|shown| (shown.at, shown)) {
        let until = at + most;
        // Something has to come behind it, so that it is missed.
        let mut later = pictures.shown[shown.index as usize + 1..].iter();
        let is_missed = later.any(|it| !is_damaged(case, it, lost) && it.at + most < at + most * 2);
        // Nothing is asked for as long as what was asked before is not known to be heard.
        let is_asking =
            infos.iter().any(|info| case.is_open_at(info, at) || case.is_open_at(info, until));
        let is_unsure = may_be_left_out(case, shown, 1)
            || is_asking
            || case.report.ended.is_some_and(|(ended, _)| ended < until + way)
            || is_changed(case, at, until);
        let is_told = asked.iter().any(|it| {
            let it = it.at;
            at.saturating_sub(every + way) <= it && it <= until
        });
        if is_told_surely && is_missed && !is_unsure && !is_told {
            found.push(format!("at {at:?} a picture was damaged, and no keyframe was asked for"));
        }
    }
    found
}
