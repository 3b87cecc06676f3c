//! Frames that look like Speex (its manual, sections 9 and 10; RFC 5574) whose bits are a stamp: 20 ms for narrow band, and behind it the
//! layer that only decoders of wide band read.

use super::stamp::{STAMP_BYTES, Stamp, WrongChecksum};

/// "Not wide band", and the narrow band's mode of the greatest rate, of 492 bits in all.
const NARROW_HEAD: (u32, u32) = (0b0_0111, 5);
const NARROW_BITS: usize = 492;
/// "Wide band", and a mode of the layer, of 192 bits in all.
const WIDE_HEAD: (u32, u32) = (0b1_011, 4);
const WIDE_BITS: usize = 192;
/// The stamp and what fills it up, which begins in the midst of a byte.
const SEALED_BYTES: usize = 60;

/// Bytes of a frame of narrow band, and of one that has both.
pub const NARROW_BYTES: usize = NARROW_BITS.div_ceil(8);
/// As before.
pub const WIDE_BYTES: usize = (NARROW_BITS + WIDE_BITS).div_ceil(8);

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    /// The lowest `count` bits of `value`, the highest of them first.
    fn put(&mut self, (value, count): (u32, u32)) {
        for shift in (0..count).rev() {
            if self.len.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = (value >> shift & 1) as u8;
            *self.bytes.last_mut().expect("there is one") |= bit << (7 - self.len % 8);
            self.len += 1;
        }
    }

    /// The bits up to a whole byte: a zero, and ones (RFC 5574, section 3.3).
    fn finish(mut self) -> Vec<u8> {
        let left = (8 - self.len % 8) % 8;
        self.put(((1 << left.saturating_sub(1)) - 1, left as u32));
        self.bytes
    }
}

/// The frame that `stamp` is sealed in.
pub fn frame(stamp: &Stamp, is_wide: bool) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(SEALED_BYTES);
    stamp.seal(&[stamp.index as u8; SEALED_BYTES - STAMP_BYTES], &mut sealed);
    let mut bits = Bits::default();
    bits.put(NARROW_HEAD);
    sealed.iter().for_each(|byte| bits.put((u32::from(*byte), 8)));
    while bits.len < NARROW_BITS {
        bits.put((0, 1));
    }
    if is_wide {
        bits.put(WIDE_HEAD);
        while bits.len < NARROW_BITS + WIDE_BITS {
            bits.put((stamp.index, 4));
        }
    }
    bits.finish()
}

/// Reads the stamp in a frame, which is whole with the layer of wide band or without. `None` without a stamp.
pub fn open(payload: &[u8]) -> Option<Result<Stamp, WrongChecksum>> {
    let (head, bits) = NARROW_HEAD;
    let shift = 8 - bits;
    if u32::from(*payload.first()?) >> shift != head || payload.len() <= SEALED_BYTES {
        return None;
    }
    let bytes = payload.windows(2).take(SEALED_BYTES);
    let sealed: Vec<u8> = bytes.map(|two| two[0] << bits | two[1] >> shift).collect();
    let stamp = Stamp::open(&sealed)?;
    let is_whole = |stamp: &Stamp| [false, true].iter().any(|wide| frame(stamp, *wide) == payload);
    Some(stamp.and_then(|stamp| is_whole(&stamp).then_some(stamp).ok_or(WrongChecksum)))
}

#[cfg(test)]
mod tests {
    use rehearsal_core::bridge::narrowed;

    use super::*;

    const STAMP: Stamp = Stamp { stream: 9, epoch: 1, index: 2, config: 3, timestamp_ms: 4 };

    #[test]
    fn a_frame_says_what_was_sealed_in_it_and_any_altered_bit_is_noticed() {
        for (is_wide, bytes) in [(false, NARROW_BYTES), (true, WIDE_BYTES)] {
            let mut payload = frame(&STAMP, is_wide);
            assert_eq!(payload.len(), bytes);
            assert_eq!(open(&payload), Some(Ok(STAMP)));
            for bit in 40..8 * payload.len() {
                payload[bit / 8] ^= 0x80 >> (bit % 8);
                assert_eq!(open(&payload), Some(Err(WrongChecksum)), "bit {bit}");
                payload[bit / 8] ^= 0x80 >> (bit % 8);
            }
            assert_eq!(open(&payload[..bytes - 1]), Some(Err(WrongChecksum)));
        }
        assert_eq!(open(&[0; 100]), None);
    }

    #[test]
    fn a_frame_is_what_the_gateway_takes_for_one() {
        let narrow = frame(&STAMP, false);
        assert_eq!(narrowed(&narrow).as_deref(), Some(&narrow[..]));
        assert_eq!(narrowed(&frame(&STAMP, true)).as_deref(), Some(&narrow[..]));
    }
}
