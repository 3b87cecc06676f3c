//! O19: what a phone hears over RTP is in one numbering and on one clock, is what was published, and comes in time; and what
//! the gateway tells by RTCP of what it sends is true.

use std::{collections::BTreeMap, time::Duration};

use rehearsal_sim::clients::{
    phone::{Codec, Heard, is_dialled},
    publisher::Source,
    verify::Kind,
};

use super::{Case, DELAY_MAX, commands::round_trip, of_each, order::Order};
use crate::run::Evidence;

/// A pause that is no longer than this is none, for who hears it: what comes behind it follows at once.
const JUMP_MS: u32 = 40;
/// Longest silence between two packets of audio that is published evenly.
const GAP_MAX: Duration = Duration::from_millis(100);

/// Every phone, as far as its line lets through what is sent.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        if !case.is_in_order() {
            return Vec::new();
        }
        let mut found = Vec::new();
        found.extend(numbering(case));
        found.extend(contents(case));
        if case.is_faithful() && case.is_undisturbed() {
            found.extend(delays(evidence, case));
            found.extend(sender_reports(case));
        }
        found
    })
}

/// What `heard` is of, if it is audio, or else what was agreed on when that came.
fn codec_of(case: Case<'_>, heard: &Heard) -> Codec {
    let agreed = case.report.codecs.iter().filter(|(from, _)| *from <= heard.at);
    let agreed = agreed.map(|(_, codec)| *codec).next_back();
    let codec = Codec::numbered(heard.payload_type).or(agreed);
    codec.unwrap_or(case.phone.plan.codecs[0])
}

/// What the phone heard, in order. What came at once by the port that it had and by the one that it has is ordered by its numbers.
fn heard(case: Case<'_>) -> Vec<Heard> {
    let mut heard = case.report.heard.clone();
    if !case.report.moved.is_empty() {
        for at_once in heard.chunk_by_mut(|one, next| (one.at, one.ssrc) == (next.at, next.ssrc)) {
            let first = at_once[0].sequence;
            at_once.sort_by_key(|it| it.sequence.wrapping_sub(first) as i16);
        }
    }
    heard
}

/// One source for each clock, whose numbers go up by one for each packet, and whose times by what is in it.
fn numbering(case: Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for two in heard(case).windows(2) {
        let [one, next] = two else { continue };
        let at = next.at;
        let (before, codec) = (codec_of(case, one), codec_of(case, next));
        let is_other_clock = before.samples_per_ms() != codec.samples_per_ms();
        if (one.ssrc != next.ssrc) != is_other_clock {
            found.push(format!("at {at:?} the source changes"));
        }
        if one.ssrc != next.ssrc {
            continue;
        }
        // A digit has the time at which its key was pressed, as long as that is down.
        let is_digit = [one, next].iter().any(|it| is_dialled(it.payload_type));
        let steps = u32::from(next.sequence.wrapping_sub(one.sequence));
        let packet = codec.samples_per_packet();
        let is_other = before != codec;
        let passed = next.timestamp.wrapping_sub(one.timestamp);
        let may_miss = !case.is_faithful() || !case.is_undisturbed();
        if steps != 1 && !(may_miss && (2..1 << 15).contains(&steps)) {
            found.push(format!("at {at:?} number {} comes behind {}", next.sequence, one.sequence));
        } else if steps == 1 && !next.marker && !is_digit && !is_other && passed != packet {
            found.push(format!("at {at:?} time goes on by {passed}, not by {packet}"));
        } else if (passed as i32) < 0 {
            found.push(format!("at {at:?} time goes back"));
        }
    }
    found
}

/// What is in the packets was sealed by who publishes the stream that was dialled, in order, and once.
fn contents(case: Case<'_>) -> Vec<String> {
    let Some(stream) = case.plays() else {
        let heard = case.report.heard.iter().find(|it| !is_dialled(it.payload_type));
        return heard
            .map(|it| format!("it hears no stream, and audio came at {:?}", it.at))
            .into_iter()
            .collect();
    };
    let (mut found, mut order) = (Vec::new(), Order::of(&stream, "packet"));
    let (mut shifts, mut before) = (BTreeMap::new(), Duration::ZERO);
    // Whoever has said where he is, and not that he takes the call.
    let mut all = case.report.heard.iter();
    let early = all.find(|it| case.report.answered_at.is_none_or(|answered| it.at < answered));
    found.extend(early.map(|it| format!("at {:?} audio came before the answer", it.at)));
    for heard in heard(case).iter().filter(|it| !is_dialled(it.payload_type)) {
        let at = heard.at;
        let codec = codec_of(case, heard);
        let (samples_per_ms, lengths) = (codec.samples_per_ms(), codec.packet_bytes());
        if !is_agreed(case, heard) || !lengths.contains(&heard.bytes) {
            found.push(format!("at {at:?} came {} bytes of {}", heard.bytes, heard.payload_type));
        }
        let Ok(Some(stamp)) = heard.stamp else {
            found.push(format!("at {at:?} came what nobody published: {:?}", heard.stamp));
            continue;
        };
        found.extend(order.take(at, &stamp));
        let shift = heard.timestamp.wrapping_sub(stamp.timestamp_ms.wrapping_mul(samples_per_ms));
        let expected = shifts.entry((heard.ssrc, heard.payload_type, stamp.epoch)).or_insert(shift);
        let by = shift.wrapping_sub(*expected) as i32;
        let is_changed = case.report.directions.iter().any(|(changed, _)| {
            (before..=at + case.round_trip()).contains(&(*changed + case.round_trip()))
        });
        before = at;
        if is_changed && by.unsigned_abs() <= JUMP_MS * samples_per_ms {
            *expected = shift;
        } else if by != 0 {
            found.push(format!("at {at:?} the clock is off by {by} samples"));
        }
    }
    found
}

/// Whether the codec of `heard` is agreed on when that comes, or was, or is to be, and only one end knows.
fn is_agreed(case: Case<'_>, heard: &Heard) -> bool {
    let codecs = &case.report.codecs;
    let until = codecs.iter().skip(1).map(|(at, _)| *at).chain([Duration::MAX]);
    let mut agreed = codecs.iter().zip(until).filter(|((from, _), until)| {
        *from <= heard.at + case.round_trip() && heard.at <= until.saturating_add(case.round_trip())
    });
    // Whoever hung up as soon as he was answered has agreed on nothing, and may hear something until that is known.
    codecs.is_empty() || agreed.any(|((_, codec), _)| codec.payload_type() == heard.payload_type)
}

/// From who publishes to the phone nothing takes long, and nothing is left out in between.
fn delays(evidence: &Evidence, case: Case<'_>) -> Vec<String> {
    let Some(stream) = case.plays() else { return Vec::new() };
    let mut found = Vec::new();
    let publishers = evidence.plan.publishers.iter().zip(&evidence.publishers);
    let its = publishers.filter(|(publisher, _)| {
        let is_clean = publisher.link.up.loss_ppm == 0 && publisher.link.up.burst_loss.is_none();
        let is_even =
            matches!(&publisher.plan.source, Source::Generated(it) if it.telephone.is_some());
        publisher.plan.stream == stream && is_clean && is_even
    });
    let its = its.map(|(_, report)| (report.epoch, &report.sent, Duration::ZERO));
    let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
    let voices = clients.filter_map(|(client, report)| {
        // What is sent by who crashes is not known.
        let is_clean = client.link.up.loss_ppm == 0
            && client.link.up.burst_loss.is_none()
            && !evidence.plan.is_faulty(&client.host);
        let voice =
            client.plan.voice.as_ref().filter(|voice| voice.stream == stream && is_clean)?;
        Some((voice.epoch, &report.sent, round_trip(evidence, client)))
    });
    for (epoch, sent, way) in its.chain(voices) {
        let sent: BTreeMap<u32, Duration> = sent
            .iter()
            .filter(|sent| sent.kind == Kind::Audio)
            .filter_map(|sent| Some((sent.stamp?.index, sent.at)))
            .collect();
        let of_epoch =
            |heard: &&Heard| matches!(heard.stamp, Ok(Some(stamp)) if stamp.epoch == epoch);
        let heard: Vec<&Heard> = case.report.heard.iter().filter(of_epoch).collect();
        for it in &heard {
            let Ok(Some(stamp)) = it.stamp else { continue };
            let Some(sent) = sent.get(&stamp.index) else {
                found.push(format!(
                    "at {:?} came packet {}, which was not sent",
                    it.at, stamp.index
                ));
                continue;
            };
            let within = DELAY_MAX + case.round_trip() + way;
            if it.at < *sent || it.at > *sent + within {
                found.push(format!(
                    "packet {} was sent at {sent:?} and came at {:?}",
                    stamp.index, it.at
                ));
            }
        }
        // While it listens.
        let listens = |at: Duration| {
            let mut spans = case.report.directions.iter().filter(|(from, _)| *from <= at);
            spans.next_back().is_some_and(|(_, direction)| direction.receives())
        };
        let changes = case.report.directions.iter().skip(1);
        for two in heard.windows(2) {
            let (from, to) = (two[0].at, two[1].at);
            let is_changed = changes.clone().any(|(at, _)| (from..=to).contains(at));
            // A digit is heard in the place of what is said meanwhile.
            let is_dialled = case.report.tones.iter().any(|it| (from..=to).contains(&it.at));
            if to - from > GAP_MAX + case.round_trip() + way
                && listens(from)
                && !is_changed
                && !is_dialled
            {
                found.push(format!("between {from:?} and {to:?} nothing was heard"));
            }
        }
    }
    found
}

/// What the gateway says that it has sent is what came.
fn sender_reports(case: Case<'_>) -> Vec<String> {
    let way = case.round_trip();
    let all = &case.report.heard;
    let wrong = case.report.sender_reports.iter().filter_map(|report| {
        let at = report.at;
        // What is sent with another clock has another source.
        let heard = all.iter().filter(|it| it.ssrc == report.ssrc);
        let came = |by: Duration| heard.clone().filter(|it| it.at <= by).count() as u32;
        let (least, most) = (came(at.saturating_sub(way)), came(at + way));
        if !(least..=most).contains(&report.packets) {
            return Some(format!("at {at:?} it had sent {}, {least} came", report.packets));
        }
        let has_digits = heard.clone().any(|it| is_dialled(it.payload_type));
        // Packets of several lengths may come in wide band, and where a codec takes the place of another.
        let lengths = heard.clone().flat_map(|it| codec_of(case, it).packet_bytes()).copied();
        let (least, most) = (lengths.clone().min().unwrap_or(0), lengths.max().unwrap_or(0));
        let of = |bytes: usize| report.packets * bytes as u32;
        let range = of(least)..=of(most);
        if !range.contains(&report.bytes) && !has_digits {
            return Some(format!("at {at:?} it had sent {} bytes", report.bytes));
        }
        let is_known = all.is_empty() || heard.clone().next().is_some();
        (!is_known).then(|| format!("at {at:?} it told of another source"))
    });
    wrong.collect()
}
