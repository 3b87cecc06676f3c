//! Speex for peers that understand the narrowband alone: wideband frames are a narrowband frame
//! followed by a layer of their own, which is left out (Speex manual §9 and §10, RFC 5574 §3.2).

use bytes::Bytes;

/// Bits of a narrowband frame by its mode, with the bit for "not wideband" and the four of the mode.
const NARROWBAND_BITS: [usize; 9] = [5, 43, 119, 160, 220, 300, 364, 492, 79];
/// Bits of a wideband layer by its mode, with the bit for "wideband" and the three of the mode.
const WIDEBAND_BITS: [usize; 5] = [4, 36, 112, 192, 352];
/// The mode that says that no frame follows.
const TERMINATOR: usize = 15;

/// The narrowband frames of a payload, with their wideband layers left out; `None` if it holds something
/// else or ends within a frame.
pub fn narrowed(payload: &[u8]) -> Option<Bytes> {
    let bits_len = payload.len() * 8;
    let mut kept = BitWriter::default();
    let mut at = 0;
    // Less than a header is padding.
    while at + 5 <= bits_len {
        let mode = bits(payload, at, 5);
        if mode == TERMINATOR {
            break;
        }
        // The first bit of what should be a frame is that of a layer without one: mode 16 and above.
        let end = at + NARROWBAND_BITS.get(mode)?;
        if end > bits_len {
            return None;
        }
        (at..end).for_each(|index| kept.push(bit(payload, index)));
        at = end;
        while at + 4 <= bits_len && bit(payload, at) {
            at += WIDEBAND_BITS.get(bits(payload, at + 1, 3))?;
            if at > bits_len {
                return None;
            }
        }
    }
    kept.finish()
}

fn bit(bytes: &[u8], index: usize) -> bool {
    bytes[index / 8] & 0x80 >> (index % 8) != 0
}

fn bits(bytes: &[u8], from: usize, count: usize) -> usize {
    (from..from + count).fold(0, |value, index| value << 1 | usize::from(bit(bytes, index)))
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    len: usize,
}

impl BitWriter {
    fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if bit {
            self.bytes[self.len / 8] |= 0x80 >> (self.len % 8);
        }
        self.len += 1;
    }

    /// The bits, filled up to a byte by a zero and then ones (RFC 5574 §3.3); `None` without any.
    fn finish(mut self) -> Option<Bytes> {
        let mut padding = false;
        while !self.len.is_multiple_of(8) {
            self.push(padding);
            padding = true;
        }
        (!self.bytes.is_empty()).then(|| self.bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a string of bits; the last byte is filled up as frames are.
    fn packed(text: &str) -> Option<Bytes> {
        let mut writer = BitWriter::default();
        text.bytes().for_each(|digit| writer.push(digit == b'1'));
        writer.finish()
    }

    fn narrowband(mode: usize) -> String {
        format!("0{mode:04b}{}", "10".repeat(250)).split_at(NARROWBAND_BITS[mode]).0.to_owned()
    }

    fn wideband(mode: usize) -> String {
        format!("1{mode:03b}{}", "01".repeat(200)).split_at(WIDEBAND_BITS[mode]).0.to_owned()
    }

    #[test]
    fn the_narrowband_frame_of_every_mode_is_kept_bit_by_bit() {
        for mode in 0..NARROWBAND_BITS.len() {
            for layer in 0..WIDEBAND_BITS.len() {
                let both = packed(&(narrowband(mode) + &wideband(layer))).unwrap();
                assert_eq!(narrowed(&both), packed(&narrowband(mode)), "{mode} with {layer}");
            }
        }
    }

    #[test]
    fn padding_is_a_zero_and_then_ones() {
        // Mode 1 has 43 bits, here zero after the mode; a layer of four follows.
        let frame = [0b0000_1000, 0, 0, 0, 0, 0b0001_0000];
        assert_eq!(narrowed(&frame).unwrap()[..], [0b0000_1000, 0, 0, 0, 0, 0b0000_1111]);
    }

    #[test]
    fn several_frames_of_a_payload_lose_each_their_layer() {
        let payload = packed(&(narrowband(5) + &wideband(1) + &narrowband(3) + &wideband(4)));
        assert_eq!(narrowed(&payload.unwrap()), packed(&(narrowband(5) + &narrowband(3))));
    }

    #[test]
    fn narrowband_stays_as_it_is() {
        let payload = packed(&narrowband(5)).unwrap();
        assert_eq!(narrowed(&payload), Some(payload));
    }

    #[test]
    fn what_follows_a_terminator_is_left_out() {
        let payload = packed(&(narrowband(3) + "01111" + &"1".repeat(19))).unwrap();
        assert_eq!(narrowed(&payload), packed(&narrowband(3)));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(narrowed(b""), None);
        assert_eq!(narrowed(&[0b0100_1000; 80]), None, "mode 9 is reserved");
        assert_eq!(narrowed(&[0b1000_0000; 80]), None, "a layer without a frame");
        assert_eq!(narrowed(&packed(&narrowband(7)).unwrap()[..60]), None, "cut short");
    }
}
