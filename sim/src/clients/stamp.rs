//! What a generated frame says about itself, inside its payload.

use xxhash_rust::xxh3::xxh3_64;

const MAGIC: [u8; 4] = *b"RHSL";
/// Length of a stamp in bytes.
pub const STAMP_BYTES: usize = 36;

/// Identity of a generated frame or header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Hash of the stream's name.
    pub stream: u64,
    /// Which publish it belongs to, as the publisher counts.
    pub epoch: u32,
    /// Number of the frame in its track, or of the header.
    pub index: u32,
    /// Number of the header that it needs.
    pub config: u32,
    /// Milliseconds on the publisher's clock.
    pub timestamp_ms: u32,
}

/// Hash of a stream's name, for [`Stamp::stream`].
pub fn stream_hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

impl Stamp {
    /// Appends the stamp and `filler`, sealed with a checksum.
    pub fn seal(&self, filler: &[u8], payload: &mut Vec<u8>) {
        let start = payload.len();
        payload.extend_from_slice(&MAGIC);
        payload.extend_from_slice(&self.stream.to_be_bytes());
        for field in [self.epoch, self.index, self.config, self.timestamp_ms] {
            payload.extend_from_slice(&field.to_be_bytes());
        }
        let sum = checksum(&payload[start..], filler);
        payload.extend_from_slice(&sum.to_be_bytes());
        payload.extend_from_slice(filler);
    }

    /// Reads the stamp at the start of `sealed`. `None` without one; an error when the checksum is wrong.
    pub fn open(sealed: &[u8]) -> Option<Result<Self, WrongChecksum>> {
        let fields = sealed.get(..STAMP_BYTES)?;
        if fields[..4] != MAGIC {
            return None;
        }
        let u32_at = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| fields[at + i]));
        let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
        if checksum(&fields[..STAMP_BYTES - 8], &sealed[STAMP_BYTES..]) != u64_at(28) {
            return Some(Err(WrongChecksum));
        }
        Some(Ok(Self {
            stream: u64_at(4),
            epoch: u32_at(12),
            index: u32_at(16),
            config: u32_at(20),
            timestamp_ms: u32_at(24),
        }))
    }
}

/// A frame whose content is not what was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongChecksum;

fn checksum(fields: &[u8], filler: &[u8]) -> u64 {
    xxh3_64(fields) ^ xxh3_64(filler).rotate_left(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_altered_byte_is_noticed() {
        let stamp = Stamp { stream: 9, epoch: 1, index: 2, config: 3, timestamp_ms: 4 };
        let mut sealed = Vec::new();
        stamp.seal(b"filler", &mut sealed);
        assert_eq!(Stamp::open(&sealed), Some(Ok(stamp)));
        for at in 4..sealed.len() {
            sealed[at] ^= 0x10;
            assert_eq!(Stamp::open(&sealed), Some(Err(WrongChecksum)), "byte {at}");
            sealed[at] ^= 0x10;
        }
        assert_eq!(Stamp::open(&sealed[..20]), None);
        assert_eq!(Stamp::open(&[0; 60]), None);
    }
}
