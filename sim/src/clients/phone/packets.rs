//! NAL units of H.264 in RTP packets and out of them again, by a phone itself (RFC 6184, packetization mode 1).

use std::time::Duration;

use super::{
    super::{
        access_unit::{self, PPS, SPS, stamp_of_set},
        stamp::Stamp,
    },
    report::{Heard, Torn},
    video::{Broken, Seen},
};

pub(super) const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const START: u8 = 0x80;
const END: u8 = 0x40;
const IMPORTANCE: u8 = 0xe0;

/// The payloads of an access unit, in order. `aggregates` puts together what fits.
pub(super) fn payloads(units: &[Vec<u8>], bytes_max: usize, aggregates: bool) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut together: Vec<&Vec<u8>> = Vec::new();
    for unit in units {
        let length = |units: &[&Vec<u8>]| 1 + units.iter().map(|it| 2 + it.len()).sum::<usize>();
        if !together.is_empty() && length(&together) + 2 + unit.len() > bytes_max {
            payloads.push(aggregate(&std::mem::take(&mut together)));
        }
        if unit.len() > bytes_max {
            payloads.extend(parts(unit, bytes_max));
        } else if aggregates && length(&[unit]) <= bytes_max {
            together.push(unit);
        } else {
            payloads.push(unit.clone());
        }
    }
    if !together.is_empty() {
        payloads.push(aggregate(&together));
    }
    payloads
}

/// Several units in one packet (section 5.7.1); a single one goes by itself.
fn aggregate(units: &[&Vec<u8>]) -> Vec<u8> {
    let [several @ .., last] = units else { return Vec::new() };
    if several.is_empty() {
        return (*last).clone();
    }
    let importance = units.iter().map(|unit| unit[0] & 0x60).max().unwrap_or(0);
    let mut payload = vec![importance | STAP_A];
    for unit in units {
        payload.extend_from_slice(&(unit.len() as u16).to_be_bytes());
        payload.extend_from_slice(unit);
    }
    payload
}

/// One unit in several packets (section 5.8).
fn parts(unit: &[u8], bytes_max: usize) -> Vec<Vec<u8>> {
    let chunks: Vec<&[u8]> = unit[1..].chunks(bytes_max - 2).collect();
    let last = chunks.len() - 1;
    let part = |(at, chunk): (usize, &&[u8])| {
        let position = if at == 0 { START } else { 0 } | if at == last { END } else { 0 };
        let mut payload = vec![unit[0] & IMPORTANCE | FU_A, position | unit[0] & 0x1f];
        payload.extend_from_slice(chunk);
        payload
    };
    chunks.iter().enumerate().map(part).collect()
}

/// A picture of which not all has come.
#[derive(Debug)]
struct Current {
    ssrc: u32,
    timestamp: u32,
    units: Vec<Vec<u8>>,
    /// The last of them has parts to come.
    is_open: bool,
    broken: Option<Broken>,
    at: Duration,
}

/// Puts pictures together, from packets as they come.
#[derive(Debug, Default)]
pub(super) struct Reading {
    current: Option<Current>,
    /// Source and number of the newest packet.
    newest: Option<(u32, u16)>,
    /// Each packet is to have one whole NAL unit.
    whole_units: bool,
}

impl Reading {
    /// Nothing was read yet; each packet is to have one whole NAL unit if `whole_units`.
    pub(super) fn new(whole_units: bool) -> Self {
        Self { whole_units, ..Self::default() }
    }

    /// What is whole, or known to be broken, with the packet `heard` of `payload`.
    pub(super) fn take(&mut self, heard: &Heard, payload: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        let newest = self.newest.replace((heard.ssrc, heard.sequence));
        let is_next = |(ssrc, sequence): (u32, u16)| {
            ssrc == heard.ssrc && heard.sequence == sequence.wrapping_add(1)
        };
        let is_missing = newest.is_some_and(|newest| !is_next(newest));
        let is_other = |it: &mut Current| (it.ssrc, it.timestamp) != (heard.ssrc, heard.timestamp);
        if let Some(mut before) = self.current.take_if(is_other) {
            before.broken.get_or_insert(if is_missing {
                Broken::Missing
            } else {
                Broken::NoMarker
            });
            seen.push(finish(before));
        }
        let mut current = self.current.take().unwrap_or_else(|| Current {
            ssrc: heard.ssrc,
            timestamp: heard.timestamp,
            units: Vec::new(),
            is_open: false,
            broken: None,
            at: heard.at,
        });
        current.at = heard.at;
        if is_missing {
            current.broken.get_or_insert(Broken::Missing);
        }
        let is_whole = payload.first().is_none_or(|it| ![FU_A, STAP_A].contains(&(it & 0x1f)));
        if self.whole_units && !is_whole {
            current.broken.get_or_insert(Broken::Mode);
        }
        current.put(payload);
        match heard.marker {
            true => seen.push(finish(current)),
            false => self.current = Some(current),
        }
        seen
    }
}

impl Current {
    fn put(&mut self, payload: &[u8]) {
        let Some((header, rest)) = payload.split_first() else { return };
        let is_part = header & 0x1f == FU_A;
        if self.is_open && !is_part {
            self.broken.get_or_insert(Broken::Parts);
            self.is_open = false;
        }
        match header & 0x1f {
            FU_A => self.put_part(*header, rest),
            STAP_A => self.put_several(rest),
            _ => self.units.push(payload.to_vec()),
        }
    }

    fn put_part(&mut self, indicator: u8, rest: &[u8]) {
        let Some((position, part)) = rest.split_first() else {
            self.broken.get_or_insert(Broken::Parts);
            return;
        };
        let is_start = position & START != 0;
        if is_start == self.is_open {
            self.broken.get_or_insert(Broken::Parts);
        }
        if is_start {
            self.units.push(vec![indicator & IMPORTANCE | position & 0x1f]);
        }
        self.is_open = position & END == 0;
        if let Some(unit) = self.units.last_mut() {
            unit.extend_from_slice(part);
        }
    }

    fn put_several(&mut self, mut rest: &[u8]) {
        while let Some((length, behind)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((unit, behind)) = behind.split_at_checked(length) else { break };
            self.units.push(unit.to_vec());
            rest = behind;
        }
        if !rest.is_empty() {
            self.broken.get_or_insert(Broken::Aggregate);
        }
    }
}

fn finish(mut current: Current) -> Seen {
    if current.is_open {
        current.broken.get_or_insert(Broken::Parts);
    }
    let kind = |unit: &Vec<u8>| unit.first().map_or(0, |header| header & 0x1f);
    let (sets, units): (Vec<_>, Vec<_>) =
        current.units.into_iter().partition(|unit| [SPS, PPS].contains(&kind(unit)));
    let has_pictures_set = sets.iter().any(|unit| kind(unit) == PPS);
    let sequence_set = sets.iter().find(|unit| kind(unit) == SPS);
    let sets: Option<Stamp> = sequence_set
        .filter(|_| has_pictures_set)
        .and_then(|unit| stamp_of_set(unit))
        .and_then(Result::ok);
    Seen {
        at: current.at,
        ssrc: current.ssrc,
        timestamp: current.timestamp,
        is_key: access_unit::is_key(&units),
        sets,
        stamp: access_unit::open(&units).transpose().map_err(|_| Torn),
        broken: current.broken,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::access_unit::{Shape, sets, units},
        *,
    };

    const STAMP: Stamp = Stamp { stream: 9, epoch: 1, index: 2, config: 3, timestamp_ms: 4 };

    fn picture(bytes_max: usize, aggregates: bool) -> Vec<Vec<u8>> {
        let shape = Shape { is_key: true, slices: 2, slice_bytes: 300, is_adorned: true };
        let units: Vec<_> = sets(&STAMP).into_iter().chain(units(&STAMP, shape)).collect();
        payloads(&units, bytes_max, aggregates)
    }

    /// What comes of payloads whose numbers go up by one but where one `is_lost`.
    fn seen(payloads: &[Vec<u8>], is_lost: impl Fn(usize) -> bool) -> Vec<Seen> {
        let (mut reading, last) = (Reading::default(), payloads.len() - 1);
        let kept = payloads.iter().enumerate().filter(|(at, _)| !is_lost(*at));
        kept.flat_map(|(at, payload)| {
            let heard = Heard {
                at: Duration::ZERO,
                ssrc: 1,
                sequence: at as u16,
                timestamp: 7,
                payload_type: 99,
                marker: at == last,
                bytes: payload.len(),
                stamp: Ok(None),
            };
            reading.take(&heard, payload)
        })
        .collect()
    }

    #[test]
    fn a_picture_is_put_together_as_it_was_taken_apart() {
        for (bytes_max, aggregates, packets) in
            [(1_000, false, 6), (1_000, true, 1), (200, false, 8), (200, true, 5)]
        {
            let payloads = picture(bytes_max, aggregates);
            assert_eq!(payloads.len(), packets, "{bytes_max} {aggregates}");
            let [seen] = &seen(&payloads, |_| false)[..] else { panic!("one picture") };
            assert_eq!((seen.broken, seen.is_key), (None, true));
            assert_eq!((seen.sets, seen.stamp), (Some(STAMP), Ok(Some(STAMP))));
        }
    }

    #[test]
    fn a_picture_that_lacks_a_packet_is_not_whole() {
        let payloads = picture(200, true);
        for lost in 1..payloads.len() - 1 {
            let [seen] = &seen(&payloads, |at| at == lost)[..] else { panic!("one picture") };
            assert_eq!(seen.broken, Some(Broken::Missing));
            assert_eq!(seen.stamp, Err(Torn), "without {lost}");
        }
    }

    #[test]
    fn parts_that_do_not_end_or_begin_are_noticed() {
        let whole = picture(200, false);
        let part = whole.iter().position(|it| it[0] & 0x1f == FU_A).unwrap();
        for position in [START, END, START | END] {
            let mut payloads = whole.clone();
            payloads[part][1] ^= position;
            let [seen] = &seen(&payloads, |_| false)[..] else { panic!("one picture") };
            assert_eq!(seen.broken, Some(Broken::Parts), "{position:x}");
        }
    }
}
