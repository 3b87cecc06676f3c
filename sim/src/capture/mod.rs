//! What passes a host's interface, as a pcapng file that Wireshark opens.
//!
//! A packet that the host sends is seen when a socket sends it, before the link's queue; one that
//! reaches the host is seen when it is delivered. So a packet that the network loses on its way to
//! the host is not in the file, and one it loses on the way from it is. Packets that stay on the
//! host are seen once.
//!
//! There are no Ethernet frames in the fabric: packets begin with their IP header. Timestamps are
//! the start of the hosts' wall clocks plus virtual time, in nanoseconds. Looking on changes no
//! event, no draw and no hash.

mod wire;

use std::{borrow::Cow, collections::VecDeque, net::Ipv4Addr, time::Duration};

use pcap_file::{
    DataLink, Endianness,
    pcapng::{
        PcapNgBlock, PcapNgWriter,
        blocks::{
            enhanced_packet::EnhancedPacketBlock,
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use crate::{env::WALL_CLOCK_START, executor::HostId, fabric::packet::Packet};

/// Length of a capture: when this is reached, it stops and only counts.
pub const CAPTURE_BYTES_MAX: usize = 256 << 20;
/// An Enhanced Packet Block without its packet and options.
const BLOCK_OVERHEAD_BYTES: usize = 32;
/// Timestamps count 10^-9 s.
const NANOSECONDS: u8 = 9;
/// No packet is cut.
const SNAP_BYTES: u32 = u16::MAX as u32;

/// A finished capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureFile {
    /// The file's content.
    pub pcapng: Vec<u8>,
    /// Packets in the file.
    pub packets: u64,
    /// Packets that came after [`CAPTURE_BYTES_MAX`] was reached and are not in the file.
    pub left_out: u64,
}

/// The captures that are going on.
#[derive(Debug, Default)]
pub(crate) struct Captures {
    captures: Vec<Capture>,
}

impl Captures {
    /// Begins to capture at `host`, anew if a capture is going on there.
    pub(crate) fn start(&mut self, host: HostId, name: &str, ip: Ipv4Addr) {
        self.captures.retain(|capture| capture.host != host);
        self.captures.push(Capture::new(host, name, ip, CAPTURE_BYTES_MAX));
    }

    /// Ends the capture at `host`, if there is one.
    pub(crate) fn take(&mut self, host: HostId, now_ns: u64) -> Option<CaptureFile> {
        let index = self.captures.iter().position(|capture| capture.host == host)?;
        Some(self.captures.remove(index).finish(now_ns))
    }

    /// Whether anything is captured anywhere.
    pub(crate) fn is_going_on(&self) -> bool {
        !self.captures.is_empty()
    }

    /// Sees a packet that a socket of `host` sends.
    pub(crate) fn sent(&mut self, now_ns: u64, host: HostId, packet: &Packet) {
        for capture in self.captures.iter_mut().filter(|capture| capture.host == host) {
            capture.record(now_ns, packet);
        }
    }

    /// Sees a packet that will be delivered to `host` at `at_ns`, of which nobody will tell it then.
    pub(crate) fn will_be_delivered(&mut self, at_ns: u64, host: HostId, packet: &Packet) {
        for capture in self.captures.iter_mut().filter(|capture| capture.host == host) {
            let place = capture.coming.partition_point(|(other_ns, _)| *other_ns <= at_ns);
            capture.coming.insert(place, (at_ns, packet.clone()));
        }
    }

    /// Sees a packet that is delivered to `host`.
    pub(crate) fn delivered(&mut self, now_ns: u64, host: HostId, packet: &Packet) {
        for capture in self.captures.iter_mut().filter(|capture| capture.host == host) {
            let source = *packet.from.ip();
            let was_seen = source.is_loopback() || source == capture.ip;
            if !was_seen {
                capture.record(now_ns, packet);
            }
        }
    }
}

struct Capture {
    host: HostId,
    /// Packets that are known to be delivered, and when; by time.
    coming: VecDeque<(u64, Packet)>,
    ip: Ipv4Addr,
    writer: PcapNgWriter<Vec<u8>>,
    bytes_max: usize,
    next_id: u16,
    packets: u64,
    left_out: u64,
}

impl Capture {
    fn new(host: HostId, name: &str, ip: Ipv4Addr, bytes_max: usize) -> Self {
        let section = SectionHeaderBlock {
            // The writer puts the two halves of a timestamp in the order of this.
            endianness: Endianness::Big,
            options: vec![SectionHeaderOption::UserApplication("rehearse".into())],
            ..SectionHeaderBlock::default()
        };
        let mut writer = PcapNgWriter::with_section_header(Vec::new(), section).expect(TO_MEMORY);
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: SNAP_BYTES,
            options: vec![
                InterfaceDescriptionOption::IfName(name.to_owned().into()),
                InterfaceDescriptionOption::IfDescription(format!("{name}, {ip}").into()),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        writer.write_pcapng_block(interface).expect(TO_MEMORY);
        Self {
            host,
            coming: VecDeque::new(),
            ip,
            writer,
            bytes_max,
            next_id: 0,
            packets: 0,
            left_out: 0,
        }
    }

    fn record(&mut self, now_ns: u64, packet: &Packet) {
        self.record_coming(now_ns);
        self.write(now_ns, packet);
    }

    /// Writes what was known to come and has come by now.
    fn record_coming(&mut self, now_ns: u64) {
        while let Some((at_ns, packet)) = self.coming.pop_front_if(|(at_ns, _)| *at_ns <= now_ns) {
            self.write(at_ns, &packet);
        }
    }

    fn write(&mut self, now_ns: u64, packet: &Packet) {
        let Self { writer, next_id, bytes_max, packets, left_out, .. } = self;
        wire::serialise(packet, next_id, |bytes| {
            let block_bytes = BLOCK_OVERHEAD_BYTES + bytes.len().next_multiple_of(4);
            // What follows the first packet that found no room is left out too: no hole in the file.
            if *left_out > 0 || writer.get_ref().len() + block_bytes > *bytes_max {
                *left_out += 1;
                return;
            }
            let block = EnhancedPacketBlock {
                interface_id: 0,
                timestamp: wall_clock(now_ns),
                original_len: bytes.len() as u32,
                data: Cow::Borrowed(bytes),
                options: Vec::new(),
            };
            writer.write_pcapng_block(block).expect(TO_MEMORY);
            *packets += 1;
        });
    }

    /// Writes at the end what was seen and what is in the file.
    fn finish(mut self, now_ns: u64) -> CaptureFile {
        self.record_coming(now_ns);
        let Self { packets, left_out, .. } = self;
        let mut options = vec![
            InterfaceStatisticsOption::IsbIfRecv(packets + left_out),
            InterfaceStatisticsOption::IsbOsDrop(left_out),
            InterfaceStatisticsOption::IsbUsrDeliv(packets),
        ];
        if left_out > 0 {
            let limit = self.bytes_max;
            let comment =
                format!("stopped at the limit of {limit} bytes: {left_out} packets left out");
            options.push(InterfaceStatisticsOption::Comment(comment.into()));
        }
        let timestamp = wall_clock(now_ns).as_nanos() as u64;
        let block = InterfaceStatisticsBlock { interface_id: 0, timestamp, options };
        self.writer.write_block(&block.into_block()).expect(TO_MEMORY);
        CaptureFile { pcapng: self.writer.into_inner(), packets, left_out }
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, packets, left_out, .. } = self;
        write!(f, "Capture of {host:?}: {packets} packets, {left_out} left out")
    }
}

const TO_MEMORY: &str = "a block of interface 0 is written to memory";

fn wall_clock(now_ns: u64) -> Duration {
    WALL_CLOCK_START + Duration::from_nanos(now_ns)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;
    use crate::fabric::packet::Body;

    fn datagram(from: &str, to: &str, bytes: usize) -> Packet {
        let [from, to] = [from, to].map(|text| text.parse().expect("an address"));
        Packet { from, to, body: Body::Udp(Bytes::from(vec![0; bytes])) }
    }

    fn blocks(file: &CaptureFile) -> Vec<Block<'static>> {
        let mut reader = PcapNgReader::new(file.pcapng.as_slice()).expect("a section");
        let mut blocks = Vec::new();
        while let Some(block) = reader.next_block() {
            blocks.push(block.expect("a whole block").into_owned());
        }
        blocks
    }

    #[test]
    fn a_capture_sees_its_own_host_and_local_packets_once() {
        let mut captures = Captures::default();
        let [here, there] = [HostId(0), HostId(1)];
        captures.start(here, "here", Ipv4Addr::new(10, 0, 0, 1));
        let out = datagram("10.0.0.1:5", "10.0.0.2:6", 1);
        captures.sent(1, here, &out);
        captures.delivered(2, there, &out);
        let answer = datagram("10.0.0.2:6", "10.0.0.1:5", 2);
        captures.sent(3, there, &answer);
        captures.delivered(4, here, &answer);
        for round in
            [datagram("127.0.0.1:5", "127.0.0.1:6", 3), datagram("10.0.0.1:5", "10.0.0.1:6", 4)]
        {
            captures.sent(5, here, &round);
            captures.delivered(6, here, &round);
        }
        assert_eq!(captures.take(there, 7), None);
        let file = captures.take(here, 7).expect("a capture");
        let seen: Vec<_> = blocks(&file)
            .into_iter()
            .filter_map(Block::into_enhanced_packet)
            .map(|packet| ((packet.timestamp - WALL_CLOCK_START).as_nanos(), packet.data.len()))
            .collect();
        assert_eq!(seen, [(1, 29), (4, 30), (5, 31), (5, 32)]);
        assert_eq!((file.packets, file.left_out), (4, 0));
        assert_eq!(captures.take(here, 7), None);
    }

    #[test]
    fn a_full_capture_stops_for_good_and_counts_what_it_leaves_out() {
        let mut capture = Capture::new(HostId(0), "here", Ipv4Addr::new(10, 0, 0, 1), 4_000);
        for bytes in [1_000, 1_000, 3_000, 1, 1] {
            capture.record(0, &datagram("10.0.0.1:5", "10.0.0.2:6", bytes));
        }
        let file = capture.finish(9);
        assert_eq!((file.packets, file.left_out), (2, 3));
        let last = blocks(&file).pop().and_then(Block::into_interface_statistics);
        let statistics = last.expect("statistics at the end");
        let left_out = InterfaceStatisticsOption::IsbOsDrop(3);
        assert!(statistics.options.contains(&left_out), "{statistics:?}");
        let at_ns = WALL_CLOCK_START.as_nanos() as u64 + 9;
        assert_eq!(statistics.timestamp, at_ns);
    }
}
