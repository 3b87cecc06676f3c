//! What the enhanced headers of audio and video have in common (ER v2, `ExVideoTagHeader` and
//! `ExAudioTagHeader`): ModEx prefixes in front, FourCC, and the tracks behind.

use super::{ClassifyError, FourCc, Multitrack, TrackIds};

const MOD_EX: u8 = 7;

/// An enhanced header, read up to the body of its first track.
pub(super) struct Header<'a> {
    /// The packet type of the tracks, never multitrack or ModEx.
    pub(super) packet_type: u8,
    /// The codec of the first track.
    pub(super) four_cc: FourCc,
    pub(super) multitrack: Option<Multitrack>,
    pub(super) track_ids: TrackIds,
    pub(super) first_body: &'a [u8],
}

/// Moves `rest` behind the ModEx prefixes that packet type `packet_type` announces; gives the packet
/// type that follows them.
pub(super) fn skip_mod_ex(mut packet_type: u8, rest: &mut &[u8]) -> Result<u8, ClassifyError> {
    while packet_type == MOD_EX {
        let [short_size] = take(rest)?;
        let size = match short_size {
            u8::MAX => usize::from(u16::from_be_bytes(take(rest)?)) + 1,
            _ => usize::from(short_size) + 1,
        };
        split(rest, size)?;
        packet_type = take::<1>(rest)?[0] & 0x0f;
    }
    Ok(packet_type)
}

/// Reads what follows `packet_type`, which is behind all prefixes; `multitrack_type` is the packet
/// type that means multitrack.
pub(super) fn header(
    packet_type: u8,
    multitrack_type: u8,
    mut rest: &[u8],
) -> Result<Header<'_>, ClassifyError> {
    if packet_type != multitrack_type {
        let four_cc = FourCc(take(&mut rest)?);
        let track_ids = TrackIds::DEFAULT;
        return Ok(Header { packet_type, four_cc, multitrack: None, track_ids, first_body: rest });
    }

    let [types] = take(&mut rest)?;
    let multitrack = match types >> 4 {
        0 => Multitrack::OneTrack,
        1 => Multitrack::ManyTracks,
        2 => Multitrack::ManyTracksManyCodecs,
        unknown => return Err(ClassifyError::UnknownMultitrackType(unknown)),
    };
    let packet_type = types & 0x0f;
    if packet_type == multitrack_type || packet_type == MOD_EX {
        return Err(ClassifyError::NestedPacketType(packet_type));
    }

    // The FourCC stands in front of the first track's id in either case.
    let four_cc = FourCc(take(&mut rest)?);
    let mut track_ids = TrackIds::NONE;
    track_ids.insert(take::<1>(&mut rest)?[0]);
    let first_body = match multitrack {
        Multitrack::OneTrack => rest,
        _ => sized_body(&mut rest)?,
    };
    if multitrack != Multitrack::OneTrack {
        while !rest.is_empty() {
            if multitrack == Multitrack::ManyTracksManyCodecs {
                take::<4>(&mut rest)?;
            }
            track_ids.insert(take::<1>(&mut rest)?[0]);
            sized_body(&mut rest)?;
        }
    }
    Ok(Header { packet_type, four_cc, multitrack: Some(multitrack), track_ids, first_body })
}

fn sized_body<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ClassifyError> {
    let [high, middle, low] = take(rest)?;
    split(rest, u32::from_be_bytes([0, high, middle, low]) as usize)
}

fn split<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], ClassifyError> {
    rest.split_off(..len).ok_or(ClassifyError::Truncated)
}

/// The first `N` bytes of `rest`, which moves behind them.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ClassifyError> {
    let (array, behind) = rest.split_first_chunk().ok_or(ClassifyError::Truncated)?;
    *rest = behind;
    Ok(*array)
}
