//! RTP and RTCP as far as a phone needs them (RFC 3550), written and read by itself.

use super::{
    super::{speex, stamp::Stamp},
    acts::{DIGIT_PACKETS, KEYS},
    report::{Heard, Pressed, ReceptionReport, SenderReport, Spoken, Told, Tone, Torn},
};

/// How loud a digit is, in -dBm0.
const VOLUME: u8 = 10;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
/// Feedback about a codec's affairs, with the version and the number of the one that tells of a lost picture (RFC 4585, section 6).
const FEEDBACK: u8 = 206;
const PICTURE_LOSS: u8 = 0x81;
/// Bytes of a block about what is received.
const BLOCK_BYTES: usize = 24;

/// The packet of `spoken`, with `payload`.
pub(super) fn packet(spoken: &Spoken, payload_type: u8, marker: bool, payload: &[u8]) -> Vec<u8> {
    let Spoken { ssrc, sequence, timestamp, .. } = *spoken;
    let mut packet = head(ssrc, sequence, timestamp, payload_type, marker);
    packet.extend_from_slice(payload);
    packet
}

/// The packet of `pressed`, a key of number `code`, at `step` of its [`DIGIT_PACKETS`], of which each is `samples` long.
pub(super) fn digit(
    pressed: &Pressed,
    payload_type: u8,
    code: u8,
    step: u32,
    samples: u32,
) -> Vec<u8> {
    let Pressed { ssrc, sequence, timestamp, .. } = *pressed;
    let mut packet = head(ssrc, sequence, timestamp, payload_type, step == 0);
    // The end comes three times, each with how long it was.
    let end = DIGIT_PACKETS / 2;
    let duration = (step.min(end) + 1) * samples;
    packet.extend_from_slice(&[code, VOLUME | if step >= end { 0x80 } else { 0 }]);
    packet.extend_from_slice(&(duration as u16).to_be_bytes());
    packet
}

fn head(ssrc: u32, sequence: u16, timestamp: u32, payload_type: u8, marker: bool) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type | if marker { 0x80 } else { 0 }];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet
}

/// Whether what came is RTCP, at whatever port (RFC 5761, section 4).
pub(super) fn is_report(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

/// What an RTP packet carries.
pub(super) fn payload(packet: &[u8]) -> Option<&[u8]> {
    let head: &[u8; 12] = packet.first_chunk()?;
    if head[0] >> 6 != 2 {
        return None;
    }
    let mut audio = packet.get(12 + 4 * usize::from(head[0] & 0x0f)..)?;
    if head[0] & 0x10 != 0 {
        let words = usize::from(u16::from_be_bytes([*audio.get(2)?, *audio.get(3)?]));
        audio = audio.get(4 + 4 * words..)?;
    }
    if head[0] & 0x20 != 0 {
        let padding = usize::from(*audio.last()?);
        audio = audio.get(..audio.len().checked_sub(padding)?)?;
    }
    Some(audio)
}

/// Reads an RTP packet that came at `at`; what is said of its content is so of audio.
pub(super) fn heard(packet: &[u8], at: std::time::Duration) -> Option<Heard> {
    let head: &[u8; 12] = packet.first_chunk()?;
    let audio = payload(packet)?;
    let stamp = Stamp::open(audio).or_else(|| speex::open(audio));
    Some(Heard {
        at,
        ssrc: u32_at(head, 8)?,
        sequence: u16::from_be_bytes([head[2], head[3]]),
        timestamp: u32_at(head, 4)?,
        payload_type: head[1] & 0x7f,
        marker: head[1] & 0x80 != 0,
        bytes: audio.len(),
        stamp: stamp.transpose().map_err(|_| Torn),
    })
}

/// Reads what `heard`, the packet of a digit, says; `None` if it is none.
pub(super) fn tone(heard: &Heard, packet: &[u8]) -> Option<Tone> {
    let [code, flags, samples @ ..] = *packet.get(12..)?.first_chunk::<4>()?;
    let samples = u16::from_be_bytes(samples);
    let Heard { at, ssrc, timestamp, .. } = *heard;
    let digit = KEYS.chars().nth(code.into())?;
    Some(Tone { at, ssrc, timestamp, digit, samples, is_end: flags & 0x80 != 0 })
}

/// Reads a compound packet that came at `at` into what it tells; `None` when it is none.
pub(super) fn reports(
    compound: &[u8],
    at: std::time::Duration,
) -> Option<(Vec<ReceptionReport>, Vec<SenderReport>)> {
    let (mut about, mut own) = (Vec::new(), Vec::new());
    let mut rest = compound;
    while !rest.is_empty() {
        let head: &[u8; 4] = rest.first_chunk()?;
        let bytes = 4 * (1 + usize::from(u16::from_be_bytes([head[2], head[3]])));
        if head[0] >> 6 != 2 {
            return None;
        }
        let (packet, behind) = rest.split_at_checked(bytes)?;
        rest = behind;
        let blocks_from = match head[1] {
            SENDER_REPORT => {
                own.push(SenderReport {
                    at,
                    ssrc: u32_at(packet, 4)?,
                    timestamp: u32_at(packet, 16)?,
                    packets: u32_at(packet, 20)?,
                    bytes: u32_at(packet, 24)?,
                });
                28
            }
            RECEIVER_REPORT => 8,
            _ => continue,
        };
        for index in 0..usize::from(head[0] & 0x1f) {
            let from = blocks_from + BLOCK_BYTES * index;
            let lost = u32_at(packet, from + 4)?;
            about.push(ReceptionReport {
                at,
                about: u32_at(packet, from)?,
                fraction_lost: (lost >> 24) as u8,
                // 24 bits with a sign.
                lost: (lost << 8) as i32 >> 8,
                highest: u32_at(packet, from + 8)?,
                jitter: u32_at(packet, from + 12)?,
                last: u32_at(packet, from + 16)?,
                since: u32_at(packet, from + 20)?,
            });
        }
    }
    Some((about, own))
}

/// What a phone has sent and received so far.
pub(super) struct Balance {
    pub(super) ssrc: u32,
    /// Time of day, as NTP writes it.
    pub(super) ntp: u64,
    /// The same time in samples.
    pub(super) timestamp: u32,
    pub(super) packets: u32,
    pub(super) bytes: u32,
    /// The source that is heard; first and greatest of its sequence numbers, and how many packets of it came.
    pub(super) heard: Option<(u32, u16, u32, u32)>,
}

impl Balance {
    /// What is kept of its report, which is sent at `at`.
    pub(super) fn told(&self, at: std::time::Duration) -> Told {
        Told { at, ssrc: self.ssrc, middle: (self.ntp >> 16) as u32 }
    }
}

/// A sender report with a description of the source.
pub(super) fn sender_report(balance: &Balance) -> Vec<u8> {
    let blocks = u16::from(balance.heard.is_some());
    let mut compound = vec![0x80 | blocks as u8, SENDER_REPORT];
    compound.extend_from_slice(&(6 + 6 * blocks).to_be_bytes());
    compound.extend_from_slice(&balance.ssrc.to_be_bytes());
    compound.extend_from_slice(&balance.ntp.to_be_bytes());
    for field in [balance.timestamp, balance.packets, balance.bytes] {
        compound.extend_from_slice(&field.to_be_bytes());
    }
    if let Some((ssrc, first, highest, came)) = balance.heard {
        let expected = highest.wrapping_sub(u32::from(first)).wrapping_add(1);
        let lost = expected.wrapping_sub(came) & 0x00ff_ffff;
        for field in [ssrc, lost, highest, 0, 0, 0] {
            compound.extend_from_slice(&field.to_be_bytes());
        }
    }
    let name = b"phone";
    compound.extend_from_slice(&[0x81, DESCRIPTION, 0, 3]);
    compound.extend_from_slice(&balance.ssrc.to_be_bytes());
    compound.extend_from_slice(&[1, name.len() as u8]);
    compound.extend_from_slice(name);
    // The list ends with a zero, and then there are zeros up to a whole word.
    compound.resize(compound.len().next_multiple_of(4).max(compound.len() + 1), 0);
    compound
}

/// The same, and that a picture of the source `of` is lost.
pub(super) fn picture_loss(balance: &Balance, of: u32) -> Vec<u8> {
    let mut compound = sender_report(balance);
    compound.extend_from_slice(&[PICTURE_LOSS, FEEDBACK, 0, 2]);
    for source in [balance.ssrc, of] {
        compound.extend_from_slice(&source.to_be_bytes());
    }
    compound
}

/// The sources of which `compound` says that a picture is lost.
pub(super) fn lost_pictures(compound: &[u8]) -> Vec<u32> {
    let (mut lost, mut rest) = (Vec::new(), compound);
    while let Some(head) = rest.first_chunk::<4>() {
        let bytes = 4 * (1 + usize::from(u16::from_be_bytes([head[2], head[3]])));
        let Some((packet, behind)) = rest.split_at_checked(bytes) else { break };
        if packet[..2] == [PICTURE_LOSS, FEEDBACK] {
            lost.extend(u32_at(packet, 8));
        }
        rest = behind;
    }
    lost
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::codec::Codec, *};

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        let at = Duration::from_secs(1);
        let spoken = Spoken { at, ssrc: 0xdead_beef, sequence: 65_535, timestamp: 7, index: 300 };
        let stamp = Stamp { stream: 1, epoch: 2, index: 300, config: 0, timestamp_ms: 9 };
        let mut packet = packet(&spoken, 8, true, &Codec::Pcma.frame(&stamp));
        assert_eq!(packet.len(), 12 + 160);
        let read = heard(&packet, at).unwrap();
        assert_eq!((read.ssrc, read.sequence, read.timestamp), (0xdead_beef, 65_535, 7));
        assert_eq!((read.payload_type, read.marker, read.bytes), (8, true, 160));
        assert_eq!(read.stamp, Ok(Some(stamp)));
        *packet.last_mut().unwrap() ^= 1;
        assert_eq!(heard(&packet, at).unwrap().stamp, Err(Torn));
    }

    #[test]
    fn the_end_of_a_digit_comes_three_times() {
        let (at, is_lost) = (Duration::ZERO, false);
        let pressed = Pressed { at, ssrc: 1, sequence: 2, timestamp: 3, digit: '#', is_lost };
        let events: Vec<[u8; 4]> = (0..DIGIT_PACKETS)
            .map(|step| *digit(&pressed, 101, 11, step, 160).last_chunk().unwrap())
            .collect();
        let going_on = [160, 320, 480].map(|it: u16| [11, 10, it.to_be_bytes()[0], it as u8]);
        assert_eq!(events[..3], going_on);
        assert_eq!(events[3..], [[11, 138, 2, 128]; 3]);
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let heard = Some((5, 65_530, 65_540, 20));
        let balance = Balance { ssrc: 1, ntp: 2, timestamp: 3, packets: 4, bytes: 640, heard };
        let compound = sender_report(&balance);
        let (about, own) = reports(&compound, Duration::ZERO).unwrap();
        assert_eq!((own[0].ssrc, own[0].timestamp, own[0].packets, own[0].bytes), (1, 3, 4, 640));
        // 11 were due, and 20 came.
        assert_eq!((about[0].about, about[0].highest, about[0].lost), (5, 65_540, -9));
        assert_eq!(reports(&compound[..compound.len() - 1], Duration::ZERO), None);
        assert_eq!(reports(&[0x80, 201, 0, 9], Duration::ZERO), None);
        let with_loss = picture_loss(&balance, 77);
        assert_eq!((lost_pictures(&with_loss), lost_pictures(&compound)), (vec![77], vec![]));
        assert_eq!(reports(&with_loss, Duration::ZERO).unwrap().0.len(), 1);
    }
}
