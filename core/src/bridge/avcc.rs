//! How H.264 is configured and framed in FLV: AVCDecoderConfigurationRecord, and NAL units behind their
//! lengths (ISO/IEC 14496-15 §5.2.4.1, §5.2.3).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

const VERSION: u8 = 1;
/// Lengths are written with four bytes; the six bits above are reserved ones.
const LENGTH_OF_FOUR_BYTES: u8 = 0xff;
const RESERVED_3: u8 = 0xe0;

/// Why a record or an access unit makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AvccError {
    /// It ends within what it announces.
    #[error("AVC data is cut short")]
    Truncated,
    /// The record is of another version than 1.
    #[error("AVC configuration has version {0}")]
    UnknownVersion(u8),
    /// Lengths of three bytes, which are reserved.
    #[error("AVC configuration has lengths of three bytes")]
    LengthSize,
}

/// What a decoder needs before the first picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderConfiguration {
    /// Bytes of the length in front of a NAL unit: 1, 2 or 4.
    pub length_bytes: usize,
    /// Sequence parameter sets, as NAL units.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, as NAL units.
    pub pps: Vec<Bytes>,
}

impl DecoderConfiguration {
    /// Reads a record. What profiles above Main add at its end is in the parameter sets, too, and is
    /// not read.
    ///
    /// # Errors
    /// Any [`AvccError`].
    pub fn parse(mut record: Bytes) -> Result<Self, AvccError> {
        let [version, _, _, _, length_size, sps_count] =
            *record.first_chunk().ok_or(AvccError::Truncated)?;
        if version != VERSION {
            return Err(AvccError::UnknownVersion(version));
        }
        let length_bytes = usize::from(length_size & 3) + 1;
        if length_bytes == 3 {
            return Err(AvccError::LengthSize);
        }
        record.advance(6);
        let sps = take_units(&mut record, sps_count & 0x1f)?;
        let pps_count = record.try_get_u8().map_err(|_| AvccError::Truncated)?;
        let pps = take_units(&mut record, pps_count)?;
        Ok(Self { length_bytes, sps, pps })
    }

    /// Splits an access unit into its NAL units; empty ones are left out.
    ///
    /// # Errors
    /// [`AvccError::Truncated`].
    pub fn split(&self, mut access_unit: Bytes) -> Result<Vec<Bytes>, AvccError> {
        let mut units = Vec::new();
        while access_unit.has_remaining() {
            let length = access_unit.try_get_uint(self.length_bytes);
            let length = length.map_err(|_| AvccError::Truncated)? as usize;
            if length > access_unit.len() {
                return Err(AvccError::Truncated);
            }
            let unit = access_unit.split_to(length);
            if !unit.is_empty() {
                units.push(unit);
            }
        }
        Ok(units)
    }
}

fn take_units(record: &mut Bytes, count: u8) -> Result<Vec<Bytes>, AvccError> {
    let mut units = Vec::new();
    for _ in 0..count {
        let length = record.try_get_u16().map_err(|_| AvccError::Truncated)?;
        if usize::from(length) > record.len() {
            return Err(AvccError::Truncated);
        }
        units.push(record.split_to(length.into()));
    }
    Ok(units)
}

/// Writes a record for access units with lengths of four bytes. The profile is that of the first SPS.
///
/// # Panics
/// If there is no SPS, one of less than four bytes, more than 31, more than 255 PPS, or a set of more
/// than 65,535 bytes.
pub(super) fn write_record(sps: &[Bytes], pps: &[Bytes], out: &mut BytesMut) {
    let first = sps.first().expect("there is an SPS");
    out.put_u8(VERSION);
    out.put_slice(&first[1..4]);
    out.put_u8(LENGTH_OF_FOUR_BYTES);
    assert!(sps.len() <= 31, "the number of SPS has five bits");
    out.put_u8(RESERVED_3 | sps.len() as u8);
    put_units(sps, out);
    out.put_u8(pps.len().try_into().expect("the number of PPS has eight bits"));
    put_units(pps, out);
}

fn put_units(units: &[Bytes], out: &mut BytesMut) {
    for unit in units {
        out.put_u16(unit.len().try_into().expect("the length of a set has 16 bits"));
        out.put_slice(unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &[u8] =
        b"\x01\x42\x00\x1e\xff\xe1\0\x04\x67\x42\x00\x1e\x02\0\x01\x68\0\x02\x68x";

    #[test]
    fn a_record_is_read_and_written_alike() {
        let read = DecoderConfiguration::parse(Bytes::from_static(RECORD)).unwrap();
        assert_eq!(read.length_bytes, 4);
        assert_eq!(read.sps, [&b"\x67\x42\x00\x1e"[..]]);
        assert_eq!(read.pps, [&b"\x68"[..], &b"\x68x"[..]]);
        let mut written = BytesMut::new();
        write_record(&read.sps, &read.pps, &mut written);
        assert_eq!(written, RECORD);
    }

    #[test]
    fn a_record_that_ends_anywhere_is_cut_short() {
        for end in 0..RECORD.len() {
            let parsed = DecoderConfiguration::parse(Bytes::from_static(&RECORD[..end]));
            assert_eq!(parsed, Err(AvccError::Truncated), "{end} bytes");
        }
    }

    #[test]
    fn units_are_split_by_lengths_of_each_size() {
        for (length_bytes, unit) in [(1, &b"\x02ab\x01c"[..]), (2, b"\0\x02ab\0\x01c")] {
            let configuration =
                DecoderConfiguration { length_bytes, sps: Vec::new(), pps: Vec::new() };
            let units = configuration.split(Bytes::copy_from_slice(unit)).unwrap();
            assert_eq!(units, [&b"ab"[..], &b"c"[..]]);
            let cut = Bytes::copy_from_slice(&unit[..unit.len() - 1]);
            assert_eq!(configuration.split(cut), Err(AvccError::Truncated));
        }
    }
}
