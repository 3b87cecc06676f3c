//! Generated access units of H.264: NAL units that each say of which one they are, which of its units, and of how many.

use super::stamp::{STAMP_BYTES, Stamp, WrongChecksum};

/// Types of NAL units (H.264, table 7-1).
pub(super) const SLICE: u8 = 1;
pub(super) const IDR_SLICE: u8 = 5;
pub(super) const ENHANCEMENT: u8 = 6;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;
pub(super) const DELIMITER: u8 = 9;

/// What stands behind the stamp of a unit that is one of several, in front of its place and their number.
const ONE_OF: &[u8; 4] = b"UNIT";
/// What the header of a slice begins with: that of a picture's first macroblock, and of another one.
const FIRST_MACROBLOCK: u8 = 0x88;
const OTHER_MACROBLOCK: u8 = 0x48;
/// Picture parameter set 0.
const PICTURE_SET: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];
/// Header, profile, constraints and level of a sequence parameter set: baseline, level 3.0.
const SEQUENCE_SET: [u8; 4] = [0x67, 0x42, 0xc0, 0x1e];

/// What the picture of `stamp` is coded with: the stamp in the place of what a sequence parameter set says, and a picture parameter set.
pub(super) fn sets(stamp: &Stamp) -> [Vec<u8>; 2] {
    let mut sequence = SEQUENCE_SET.to_vec();
    stamp.seal(&[], &mut sequence);
    [sequence, PICTURE_SET.to_vec()]
}

/// The stamp in a sequence parameter set.
pub(super) fn stamp_of_set(unit: &[u8]) -> Option<Result<Stamp, WrongChecksum>> {
    Stamp::open(unit.get(SEQUENCE_SET.len()..)?)
}

/// How an access unit is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) is_key: bool,
    /// Slices, of which each has as many bytes.
    pub(super) slices: u8,
    pub(super) slice_bytes: usize,
    /// A delimiter and enhancement information in front of them.
    pub(super) is_adorned: bool,
}

/// Its NAL units, without parameter sets.
pub(super) fn units(stamp: &Stamp, shape: Shape) -> Vec<Vec<u8>> {
    let Shape { is_key, slices, slice_bytes, is_adorned } = shape;
    let header = if is_key { 0x60 | IDR_SLICE } else { 0x40 | SLICE };
    let slices = std::iter::repeat_n((header, slice_bytes), slices.into());
    let enhancement = is_adorned.then_some((ENHANCEMENT, 0));
    let numbered: Vec<(u8, usize)> = enhancement.into_iter().chain(slices).collect();
    let count = numbered.len() as u8;
    let first_slice = u8::from(is_adorned);
    let numbered = numbered.into_iter().zip(0..).map(|((header, bytes), place)| {
        let mut filler = ONE_OF.to_vec();
        filler.extend_from_slice(&[place, count]);
        let length = bytes.saturating_sub(2 + STAMP_BYTES).max(filler.len());
        filler.resize(length, stamp.index as u8);
        let mut unit = vec![header];
        if header & 0x1f != ENHANCEMENT {
            let is_first = place == first_slice;
            unit.push(if is_first { FIRST_MACROBLOCK } else { OTHER_MACROBLOCK });
        }
        stamp.seal(&filler, &mut unit);
        unit
    });
    is_adorned.then(|| vec![DELIMITER, 0xf0]).into_iter().chain(numbered).collect()
}

/// The stamp of the NAL units of one access unit, without parameter sets; an error if one of them is altered, missing or of another
/// one. `None` without a stamp.
pub(super) fn open<U: AsRef<[u8]>>(units: &[U]) -> Option<Result<Stamp, WrongChecksum>> {
    let of_type = |unit: &U| unit.as_ref().first().map_or(0, |header| header & 0x1f);
    let units: Vec<&[u8]> =
        units.iter().filter(|unit| of_type(unit) != DELIMITER).map(AsRef::as_ref).collect();
    // Behind the header of the unit, or that of the slice.
    let sealed = |unit: &&[u8]| {
        let unit = *unit;
        [1, 2].into_iter().find(|at| unit.get(*at..).is_some_and(|it| Stamp::open(it).is_some()))
    };
    let stamps: Vec<_> =
        units.iter().map(|unit| sealed(unit).and_then(|at| Stamp::open(&unit[at..]))).collect();
    let first = stamps.iter().flatten().next()?;
    let place = |unit: &[u8]| {
        let numbers = unit.get(sealed(&unit)? + STAMP_BYTES..)?.strip_prefix(ONE_OF)?;
        numbers.first_chunk::<2>().copied()
    };
    let count = units.len();
    let is_in_place = |(unit, at): (&&[u8], usize)| match place(unit) {
        Some([place, of]) => (usize::from(place), usize::from(of)) == (at, count),
        None => count == 1,
    };
    let is_whole = stamps.iter().all(|stamp| stamp.as_ref() == Some(first))
        && units.iter().zip(0..).all(is_in_place);
    Some((*first).and_then(|stamp| is_whole.then_some(stamp).ok_or(WrongChecksum)))
}

/// Whether NAL units have a slice of a picture that needs no other.
pub(super) fn is_key<U: AsRef<[u8]>>(units: &[U]) -> bool {
    units.iter().any(|unit| unit.as_ref().first().is_some_and(|it| it & 0x1f == IDR_SLICE))
}

/// The NAL units behind their lengths in a picture of RTMP; `None` if it is cut short.
pub(super) fn split(payload: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut rest, mut units) = (payload.get(5..)?, Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (unit, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        units.push(unit);
        rest = behind;
    }
    rest.is_empty().then_some(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { stream: 9, epoch: 1, index: 2, config: 3, timestamp_ms: 4 };

    #[test]
    fn a_unit_that_is_missing_altered_or_out_of_place_is_noticed() {
        for is_adorned in [false, true] {
            let shape = Shape { is_key: true, slices: 3, slice_bytes: 100, is_adorned };
            let units = units(&STAMP, shape);
            assert!(is_key(&units) && units.iter().all(|unit| unit.len() <= 100));
            assert_eq!(open(&units), Some(Ok(STAMP)));
            let first = usize::from(is_adorned);
            for at in first..units.len() {
                let mut without = units.clone();
                without.remove(at);
                assert_eq!(open(&without), Some(Err(WrongChecksum)), "without {at}");
                let mut altered = units.clone();
                *altered[at].last_mut().unwrap() ^= 1;
                assert_eq!(open(&altered), Some(Err(WrongChecksum)), "{at} altered");
                let mut alone = units.clone();
                alone = alone.split_off(at);
                alone.truncate(1);
                assert_eq!(open(&alone), Some(Err(WrongChecksum)), "{at} alone");
            }
            let mut mixed = units.clone();
            mixed.swap(first, first + 1);
            assert_eq!(open(&mixed), Some(Err(WrongChecksum)));
        }
        assert_eq!(
            open(&[b"\x65some picture that nobody has stamped, of any length".to_vec()]),
            None
        );
    }

    #[test]
    fn units_are_split_by_their_lengths() {
        let payload = b"\x17\x01\0\0\0\0\0\0\x02ab\0\0\0\x01c";
        assert_eq!(split(payload), Some(vec![&b"ab"[..], b"c"]));
        assert_eq!(split(&payload[..15]), None);
        assert_eq!(split(&payload[..14]), None);
    }
}
