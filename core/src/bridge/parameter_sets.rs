//! The parameter sets that a peer sent in its stream, as a sequence header for RTMP (H.264 §7.3.2.1,
//! §7.3.2.2).

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64_NOPAD;

use super::{
    avcc::write_record,
    h264::{SPS, unit_type},
};

/// NAL header, profile, constraints and level stand before the id of an SPS.
const SPS_ID_AT: usize = 4;
/// The NAL header stands before the id of a PPS.
const PPS_ID_AT: usize = 1;
/// Ids that the sequence header has room for.
const SPS_ID_MAX: u32 = 31;
const PPS_ID_MAX: u32 = 255;
/// What the sequence header has room for, of either kind.
const SETS_MAX: usize = 31;
const SET_BYTES_MAX: usize = 0xffff;

const KEY_AVC: u8 = 0x17;
const SEQUENCE_HEADER: u8 = 0;

/// The latest set of each id.
#[derive(Debug)]
pub(super) struct ParameterSets {
    sets_max: usize,
    set_bytes_max: usize,
    sps: Vec<(u32, Bytes)>,
    pps: Vec<(u32, Bytes)>,
    /// Whether the last header no longer tells what they are.
    changed: bool,
}

impl ParameterSets {
    pub fn new(sets_max: usize, set_bytes_max: usize) -> Self {
        Self {
            sets_max: sets_max.min(SETS_MAX),
            set_bytes_max: set_bytes_max.min(SET_BYTES_MAX),
            sps: Vec::new(),
            pps: Vec::new(),
            changed: false,
        }
    }

    /// Whether there is what a decoder needs.
    pub fn are_complete(&self) -> bool {
        !self.sps.is_empty() && !self.pps.is_empty()
    }

    /// Takes the NAL unit of an SPS or PPS; `false` if it makes no sense or is beyond a limit.
    #[must_use]
    pub fn put(&mut self, unit: &[u8]) -> bool {
        let (sets, id_at, id_max) = match unit_type(unit[0]) {
            SPS => (&mut self.sps, SPS_ID_AT, SPS_ID_MAX),
            _ => (&mut self.pps, PPS_ID_AT, PPS_ID_MAX),
        };
        let id = unit.get(id_at..).and_then(exp_golomb).filter(|id| *id <= id_max);
        let Some(id) = id.filter(|_| unit.len() <= self.set_bytes_max) else { return false };
        let is_full = sets.len() == self.sets_max;
        match sets.iter_mut().find(|(known, _)| *known == id) {
            Some((_, known)) if known[..] == *unit => return true,
            Some((_, known)) => *known = Bytes::copy_from_slice(unit),
            None if is_full => return false,
            None => sets.push((id, Bytes::copy_from_slice(unit))),
        }
        self.changed = true;
        true
    }

    /// Has the next header be due whether or not anything changes.
    pub fn tell_again(&mut self) {
        self.changed = true;
    }

    /// The sequence header, if it is due.
    pub fn poll_header(&mut self) -> Option<Bytes> {
        if !self.changed || !self.are_complete() {
            return None;
        }
        self.changed = false;
        let units = |sets: &[(u32, Bytes)]| -> Vec<Bytes> {
            sets.iter().map(|(_, unit)| unit.clone()).collect()
        };
        let mut body = BytesMut::from(&[KEY_AVC, SEQUENCE_HEADER, 0, 0, 0][..]);
        write_record(&units(&self.sps), &units(&self.pps), &mut body);
        Some(body.freeze())
    }
}

/// The NAL units of `sprop-parameter-sets` in the parameters of a format, as far as they are any.
pub(super) fn described_sets(parameters: &str) -> Vec<Bytes> {
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("sprop-parameter-sets").then_some(value)
    });
    let written = value.into_iter().flat_map(|value| value.split(',')).take(2 * SETS_MAX);
    written.filter_map(|set| base64(set.trim())).filter(|set| !set.is_empty()).collect()
}

/// What is written in Base64, with or without what fills up its end.
fn base64(text: &str) -> Option<Bytes> {
    BASE64_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok().map(Bytes::from)
}

/// An unsigned Exp-Golomb number at the beginning (H.264 §9.1), if it is one of up to 31 bits.
fn exp_golomb(bytes: &[u8]) -> Option<u32> {
    let mut first = [0; 4];
    let known = bytes.len().min(4);
    first[..known].copy_from_slice(&bytes[..known]);
    let bits = u32::from_be_bytes(first);
    let zeros = bits.leading_zeros();
    let length = 2 * zeros + 1;
    (length as usize <= 8 * known && length < 32).then(|| (bits >> (32 - length)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read() {
        assert_eq!(exp_golomb(&[0b1000_0000]), Some(0));
        assert_eq!(exp_golomb(&[0b0101_1111]), Some(1));
        assert_eq!(exp_golomb(&[0b0010_0000]), Some(3));
        assert_eq!(exp_golomb(&[0b0000_0000, 0b1000_0000, 0]), Some(255));
        assert_eq!(exp_golomb(&[0b0000_0001]), None, "goes beyond the end");
        assert_eq!(exp_golomb(&[]), None);
    }

    #[test]
    fn base64_is_read_with_and_without_its_end() {
        for (text, bytes) in [("", &b""[..]), ("Zg==", b"f"), ("Zm8", b"fo"), ("Zm9v", b"foo")] {
            assert_eq!(base64(text).unwrap(), bytes);
        }
        assert_eq!(base64("+/8=").unwrap(), [0xfb, 0xff][..]);
        assert_eq!(base64("Zm 9v"), None);
    }

    #[test]
    fn a_header_is_due_when_both_are_there_and_after_each_change() {
        let mut sets = ParameterSets::new(8, 100);
        assert!(sets.put(b"\x67\x42\x00\x1e\x80"));
        assert_eq!(sets.poll_header(), None);
        assert!(sets.put(b"\x68\x80"));
        let header = sets.poll_header().unwrap();
        assert_eq!(
            header[..],
            b"\x17\0\0\0\0\x01\x42\x00\x1e\xff\xe1\0\x05\x67\x42\x00\x1e\x80\x01\0\x02\x68\x80"[..]
        );
        assert!(sets.put(b"\x68\x80") && sets.put(b"\x67\x42\x00\x1e\x80"));
        assert_eq!(sets.poll_header(), None, "nothing has changed");
        assert!(sets.put(b"\x68\x81"));
        assert!(sets.poll_header().unwrap().ends_with(b"\x01\0\x02\x68\x81"), "it is replaced");
        assert!(sets.put(b"\x68\x40"));
        assert!(sets.poll_header().unwrap().ends_with(b"\x02\0\x02\x68\x81\0\x02\x68\x40"));
    }

    #[test]
    fn sets_that_are_too_many_too_long_or_no_sets_are_refused() {
        let mut sets = ParameterSets::new(1, 6);
        assert!(sets.put(b"\x67\x42\x00\x1e\x80"));
        assert!(!sets.put(b"\x67\x42\x00\x1e\x40"));
        assert!(!sets.put(b"\x67\x42\x00\x1e\x80xx"));
        assert!(!sets.put(b"\x67\x42\x00"));
        assert!(!sets.put(b"\x68"));
    }
}
