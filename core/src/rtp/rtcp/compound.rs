//! Compound RTCP packets (RFC 3550 §6.1): a report, the canonical name, perhaps a farewell.

use rtcp_types::{
    Bye, Compound, PayloadFeedback, Pli, ReceiverReport, ReportBlock, ReportBlockBuilder,
    RtcpPacketParser, RtcpPacketWriterExt, Sdes, SdesChunk, SdesItem, SenderReport,
};
use thiserror::Error;

use super::super::reception::ReceptionReport;

/// Packet type of a sender report; those of RTCP go on to 223 (RFC 5761 §4).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const BYE: u8 = 203;
/// Feedback on a codec's affairs, and the one that tells of a lost picture (RFC 4585 §6.1, §6.3.1).
const PAYLOAD_FEEDBACK: u8 = 206;
const PICTURE_LOSS: u8 = 1;
/// Longest item of a source description (RFC 3550 §6.5).
const CNAME_BYTES_MAX: usize = 255;

/// A name that does not fit into a source description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("canonical name of {0} bytes, allowed are 1 to 255")]
pub struct CnameLength(pub usize);

/// Canonical name of this side (RFC 3550 §6.5.1, RFC 7022): the same in all its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cname(String);

impl Cname {
    /// A name.
    ///
    /// # Errors
    /// [`CnameLength`] if it is empty or longer than 255 bytes.
    pub fn new(name: impl Into<String>) -> Result<Self, CnameLength> {
        let name = name.into();
        match name.len() {
            1..=CNAME_BYTES_MAX => Ok(Self(name)),
            length => Err(CnameLength(length)),
        }
    }
}

/// What a sender report tells of the sender (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall clock, 32.32 bits since 1900.
    pub ntp: u64,
    /// RTP timestamp of the same moment.
    pub rtp_timestamp: u32,
    /// Packets sent, modulo 2^32.
    pub packets: u32,
    /// Bytes of payload sent, modulo 2^32.
    pub octets: u32,
}

/// A report to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// SSRC of this side.
    pub ssrc: u32,
    /// What it sent, if it sends.
    pub sender: Option<SenderInfo>,
    /// What it received, with the middle of the peer's last NTP time and the time since in 65536ths of a second.
    pub reception: Option<(ReceptionReport, u32, u32)>,
    /// What is wanted besides.
    pub occasion: Occasion,
}

/// What a report is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It is time for one.
    Regular,
    /// The stream of this SSRC has lost a picture.
    PictureLoss(u32),
    /// It is the last one.
    Bye,
}

impl Report {
    /// The datagram.
    pub fn encode(&self, cname: &Cname) -> Vec<u8> {
        let block = self.reception.map(|(reception, last, since)| block(&reception, last, since));
        let compound = match self.sender {
            Some(sender) => {
                let report = SenderReport::builder(self.ssrc)
                    .ntp_timestamp(sender.ntp)
                    .rtp_timestamp(sender.rtp_timestamp)
                    .packet_count(sender.packets)
                    .octet_count(sender.octets);
                Compound::builder().add_packet(match block {
                    Some(block) => report.add_report_block(block),
                    None => report,
                })
            }
            None => {
                let report = ReceiverReport::builder(self.ssrc);
                Compound::builder().add_packet(match block {
                    Some(block) => report.add_report_block(block),
                    None => report,
                })
            }
        };
        let name = SdesItem::builder(SdesItem::CNAME, &cname.0);
        let chunk = SdesChunk::builder(self.ssrc).add_item(name);
        let mut compound = compound.add_packet(Sdes::builder().add_chunk(chunk));
        match self.occasion {
            Occasion::Regular => {}
            Occasion::PictureLoss(of) => {
                let feedback = PayloadFeedback::builder_owned(Pli::builder());
                let feedback = feedback.sender_ssrc(self.ssrc).media_ssrc(of);
                compound = compound.add_packet(feedback);
            }
            Occasion::Bye => {
                compound = compound.add_packet(Bye::builder().add_source(self.ssrc));
            }
        }
        let length = rtcp_types::RtcpPacketWriter::calculate_size(&compound)
            .expect("one block, a loss of 24 bits, a name of 255 bytes at most");
        let mut datagram = vec![0; length];
        compound.write_into(&mut datagram).expect("as long as it was said to be");
        datagram
    }
}

fn block(reception: &ReceptionReport, last: u32, since: u32) -> ReportBlockBuilder {
    ReportBlock::builder(reception.ssrc)
        .fraction_lost(reception.fraction_lost)
        .cumulative_lost(reception.cumulative_lost as u32 & 0xff_ffff)
        .extended_sequence_number(reception.ext_highest)
        .interarrival_jitter(reception.jitter)
        .last_sender_report_timestamp(last)
        .delay_since_last_sender_report_timestamp(since)
}

/// What the peer tells of a stream of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardBlock {
    /// What it received.
    pub reception: ReceptionReport,
    /// Middle of the NTP time of our last report that it has; 0 if none.
    pub last: u32,
    /// How long it had that, in 65536ths of a second.
    pub since: u32,
}

/// What a datagram says that this side listens to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The peer's SSRC and the middle of its NTP time, from a sender report.
    pub sender: Option<(u32, u32)>,
    /// What it says of our stream.
    pub block: Option<HeardBlock>,
    /// Whether the stream we listen to has ended.
    pub is_bye: bool,
    /// Whether it has lost a picture of our stream.
    pub picture_loss: bool,
}

/// Whether a datagram on a port for both is RTCP (RFC 5761 §4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

/// Reads as much of a datagram as makes sense: some peers send reports alone, others what is cut short. `None` if its first
/// packet is none. Of report blocks only the one on `own_ssrc` counts, of farewells that of `peer_ssrc`.
pub fn parse(datagram: &[u8], own_ssrc: u32, peer_ssrc: Option<u32>) -> Option<Heard> {
    let mut heard = Heard::default();
    let mut rest = datagram;
    let mut is_first = true;
    while let Some((packet, after)) = split_first(rest) {
        rest = after;
        let understood = match packet[1] {
            SENDER_REPORT => SenderReport::parse(packet).ok().map(|report| {
                heard.sender = Some((report.ssrc(), (report.ntp_timestamp() >> 16) as u32));
                take_block(&mut heard, own_ssrc, report.report_blocks());
            }),
            RECEIVER_REPORT => ReceiverReport::parse(packet)
                .ok()
                .map(|report| take_block(&mut heard, own_ssrc, report.report_blocks())),
            BYE => Bye::parse(packet).ok().map(|bye| {
                heard.is_bye |= bye.ssrcs().any(|ssrc| peer_ssrc.is_none_or(|peer| peer == ssrc));
            }),
            PAYLOAD_FEEDBACK => PayloadFeedback::parse(packet).ok().map(|feedback| {
                let is_picture_loss = packet[0] & 0x1f == PICTURE_LOSS;
                heard.picture_loss |= is_picture_loss && feedback.media_ssrc() == own_ssrc;
            }),
            _ => is_rtcp(packet).then_some(()),
        };
        if understood.is_none() {
            break;
        }
        is_first = false;
    }
    (!is_first).then_some(heard)
}

fn take_block<'a>(
    heard: &mut Heard,
    own_ssrc: u32,
    mut blocks: impl Iterator<Item = ReportBlock<'a>>,
) {
    let Some(block) = blocks.find(|block| block.ssrc() == own_ssrc) else { return };
    // Eight bits up and down again bring the sign along.
    let cumulative_lost = (block.cumulative_lost() << 8) as i32 >> 8;
    heard.block = Some(HeardBlock {
        reception: ReceptionReport {
            ssrc: own_ssrc,
            fraction_lost: block.fraction_lost(),
            cumulative_lost,
            ext_highest: block.extended_sequence_number(),
            jitter: block.interarrival_jitter(),
        },
        last: block.last_sender_report_timestamp(),
        since: block.delay_since_last_sender_report_timestamp(),
    });
}

/// The first packet of a datagram by its length, and what follows.
fn split_first(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[_, _, high, low] = datagram.first_chunk()?;
    let length_bytes = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
    datagram.split_at_checked(length_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEPTION: ReceptionReport = ReceptionReport {
        ssrc: 9,
        fraction_lost: 12,
        cumulative_lost: -3,
        ext_highest: 70_000,
        jitter: 55,
    };

    fn report(sender: bool, is_bye: bool) -> Vec<u8> {
        let info =
            SenderInfo { ntp: 0x1111_2222_3333_4444, rtp_timestamp: 5, packets: 6, octets: 7 };
        let report = Report {
            ssrc: 1,
            sender: sender.then_some(info),
            reception: Some((RECEPTION, 0xaaaa, 0xbbbb)),
            occasion: if is_bye { Occasion::Bye } else { Occasion::Regular },
        };
        report.encode(&Cname::new("caller@example.com").unwrap())
    }

    #[test]
    fn what_one_side_writes_the_other_reads() {
        for sender in [false, true] {
            let heard = parse(&report(sender, true), 9, Some(1)).unwrap();
            assert_eq!(heard.sender, sender.then_some((1, 0x2222_3333)));
            let block = HeardBlock { reception: RECEPTION, last: 0xaaaa, since: 0xbbbb };
            assert_eq!(heard.block, Some(block));
            assert!(heard.is_bye);
        }
    }

    #[test]
    fn every_packet_has_a_report_and_a_name() {
        let compound = report(false, false);
        let types: Vec<u8> = Compound::parse(&compound)
            .unwrap()
            .map(|packet| rtcp_types::RtcpPacketParserExt::type_(&packet.unwrap()))
            .collect();
        assert_eq!(types, [201, 202]);
        assert!(compound.windows(18).any(|part| part == b"caller@example.com"));
    }

    #[test]
    fn a_lost_picture_is_told_to_whose_it_was() {
        let occasion = Occasion::PictureLoss(7);
        let report = Report { ssrc: 1, sender: None, reception: None, occasion };
        let datagram = report.encode(&Cname::new("a").unwrap());
        // RFC 4585 §6.1: version and format, type, two words more, who tells it, and of whom.
        assert!(datagram.ends_with(&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7]));
        assert!(parse(&datagram, 7, Some(1)).unwrap().picture_loss);
        assert!(!parse(&datagram, 8, Some(1)).unwrap().picture_loss);
        let mut other = datagram.clone();
        let at = datagram.len() - 12;
        other[at] = 0x84;
        assert!(!parse(&other, 7, Some(1)).unwrap().picture_loss, "FIR");
    }

    #[test]
    fn what_is_said_of_others_is_not_listened_to() {
        let heard = parse(&report(true, true), 8, Some(2)).unwrap();
        assert_eq!((heard.block, heard.is_bye), (None, false));
    }

    #[test]
    fn what_makes_sense_before_a_broken_end_counts() {
        let whole = report(true, true);
        let heard = parse(&whole[..whole.len() - 2], 9, Some(1)).unwrap();
        assert!(heard.block.is_some() && !heard.is_bye);
        assert_eq!(parse(&whole[..27], 9, Some(1)), None);
        assert_eq!(parse(&[0x80, 0, 0, 0], 9, None), None, "RTP");
    }

    #[test]
    fn a_name_has_1_to_255_bytes() {
        assert_eq!(Cname::new(""), Err(CnameLength(0)));
        assert_eq!(Cname::new("a".repeat(256)), Err(CnameLength(256)));
        let name = Cname::new("a".repeat(255)).unwrap();
        let occasion = Occasion::Regular;
        let report = Report { ssrc: 1, sender: None, reception: None, occasion };
        assert!(parse(&report.encode(&name), 1, None).is_some());
    }
}
