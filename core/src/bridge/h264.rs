//! NAL units of H.264 and how RTP packs them (H.264 §7.4.1, RFC 6184 §5.2).

pub(super) const IDR: u8 = 5;
/// Supplemental enhancement information.
pub(super) const SEI: u8 = 6;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;
pub(super) const DELIMITER: u8 = 9;
/// Several NAL units of one time in a packet.
pub(super) const STAP_A: u8 = 24;
/// A part of a NAL unit.
pub(super) const FU_A: u8 = 28;

/// The bits of a NAL header that say how important it is.
pub(super) const IMPORTANCE: u8 = 0xe0;
/// The first part of a NAL unit.
pub(super) const FU_START: u8 = 0x80;
/// The last part of a NAL unit.
pub(super) const FU_END: u8 = 0x40;

/// The type in the header of a NAL unit.
pub(super) fn unit_type(header: u8) -> u8 {
    header & 0x1f
}

/// Whether a type is one of H.264 itself, not one of RTP's or none.
pub(super) fn is_plain(unit_type: u8) -> bool {
    (1..=23).contains(&unit_type)
}

/// Whether a NAL unit of the type is a piece of a picture.
pub(super) fn is_picture(unit_type: u8) -> bool {
    (1..=IDR).contains(&unit_type)
}
