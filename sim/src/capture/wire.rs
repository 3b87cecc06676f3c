//! A packet of the fabric as the bytes a real network would carry: IPv4 and TCP or UDP headers.
//!
//! The fabric's segments know no options; what a dissector needs to show true windows is added to
//! the SYN: maximum segment size and window scale. A segment that is longer than an IPv4 packet can
//! be comes out as several.

use std::net::SocketAddrV4;

use bytes::Bytes;
use etherparse::{IpNumber, Ipv4Header, TcpHeader, TcpOptionElement, UdpHeader};

use crate::{
    fabric::packet::{Body, Flags, Packet, Segment},
    trace,
};

/// Each packet's time to live: Linux's default, as nobody routes here.
const TIME_TO_LIVE: u8 = 64;
/// Shift of every window but a SYN's, whose field is not scaled (RFC 7323, 2.2).
const WINDOW_SCALE: u8 = 7;
/// IPv4 packets are no longer than this.
const PACKET_BYTES_MAX: usize = u16::MAX as usize;
/// What an IPv4 packet can carry of a segment without options.
const TCP_PAYLOAD_BYTES_MAX: usize = PACKET_BYTES_MAX - Ipv4Header::MIN_LEN - TcpHeader::MIN_LEN;

/// Hands the bytes of `packet`, from its IP header on, to `emit`: once, or several times if it is
/// longer than an IPv4 packet. `next_id` counts them.
pub(super) fn serialise(packet: &Packet, next_id: &mut u16, mut emit: impl FnMut(&[u8])) {
    let mut emit = |protocol, transport: &[u8], payload: &[u8]| {
        let ip = ipv4(packet, protocol, transport.len() + payload.len(), *next_id);
        *next_id = next_id.wrapping_add(1);
        emit(&[&ip.to_bytes(), transport, payload].concat());
    };
    match &packet.body {
        Body::Tcp(segment) => {
            for (header, payload) in tcp(packet.from, packet.to, segment) {
                emit(IpNumber::TCP, &header.to_bytes(), &payload);
            }
        }
        Body::Udp(datagram) => {
            let ip = ipv4(packet, IpNumber::UDP, UdpHeader::LEN + datagram.len(), 0);
            let ports = (packet.from.port(), packet.to.port());
            let header = UdpHeader::with_ipv4_checksum(ports.0, ports.1, &ip, datagram)
                .expect("a socket takes no datagram that is too long for a packet");
            emit(IpNumber::UDP, &header.to_bytes(), datagram);
        }
    }
}

fn ipv4(packet: &Packet, protocol: IpNumber, payload_bytes: usize, id: u16) -> Ipv4Header {
    let payload_bytes = u16::try_from(payload_bytes).expect("payloads are cut to fit");
    let [source, destination] = [packet.from, packet.to].map(|address| address.ip().octets());
    let mut header = Ipv4Header::new(payload_bytes, TIME_TO_LIVE, protocol, source, destination)
        .expect("payloads are cut to fit");
    header.identification = id;
    header.header_checksum = header.calc_header_checksum();
    header
}

/// The headers and payloads that `segment` takes: one, unless its payload is too long.
fn tcp(from: SocketAddrV4, to: SocketAddrV4, segment: &Segment) -> Vec<(TcpHeader, Bytes)> {
    let whole = &segment.payload;
    let starts = (0..whole.len().max(1)).step_by(TCP_PAYLOAD_BYTES_MAX);
    let pieces = starts.map(|start| {
        let end = whole.len().min(start + TCP_PAYLOAD_BYTES_MAX);
        let payload = whole.slice(start..end);
        let is_last = end == whole.len();
        let mut header = header(from, to, segment, start as u64);
        header.fin &= is_last;
        header.psh = is_last && !payload.is_empty();
        header.checksum = header
            .calc_checksum_ipv4_raw(from.ip().octets(), to.ip().octets(), &payload)
            .expect("payloads are cut to fit");
        (header, payload)
    });
    pieces.collect()
}

/// The header of what begins `offset` bytes into `segment`, without checksum.
fn header(from: SocketAddrV4, to: SocketAddrV4, segment: &Segment, offset: u64) -> TcpHeader {
    let has = |flag: trace::Flags| segment.flags.has(flag);
    let is_syn = has(Flags::SYN);
    let window = if is_syn { segment.window_bytes } else { segment.window_bytes >> WINDOW_SCALE };
    let window = u16::try_from(window).unwrap_or(u16::MAX);
    // The low 32 bits, as the fabric's numbers do not wrap.
    let seq = (segment.seq + offset) as u32;
    let mut header = TcpHeader::new(from.port(), to.port(), seq, window);
    (header.syn, header.fin) = (is_syn, has(Flags::FIN));
    (header.rst, header.ack) = (has(Flags::RST), has(Flags::ACK));
    if header.ack {
        header.acknowledgment_number = segment.ack as u32;
    }
    if is_syn {
        let options = [
            TcpOptionElement::MaximumSegmentSize(segment.mss_bytes),
            TcpOptionElement::Noop,
            TcpOptionElement::WindowScale(WINDOW_SCALE),
        ];
        header.set_options(&options).expect("eight bytes fit");
    }
    header
}

#[cfg(test)]
mod tests {
    use etherparse::{SlicedPacket, TcpHeaderSlice, TransportSlice};

    use super::*;

    fn segment(seq: u64, flags: Flags, window_bytes: u32, payload: Bytes) -> Packet {
        let ack = (7 << 32) + 9;
        let segment = Segment {
            seq,
            ack,
            window_bytes,
            flags,
            mss_bytes: 1_400,
            sent_ns: 0,
            echo_ns: 0,
            payload,
            sender: None,
            receiver: None,
        };
        let [from, to] = ["10.0.0.1:1000", "10.0.0.2:2000"].map(|text| text.parse().expect("both"));
        Packet { from, to, body: Body::Tcp(segment) }
    }

    fn packets(packet: &Packet) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        serialise(packet, &mut 0, |bytes| packets.push(bytes.to_vec()));
        packets
    }

    /// The TCP header of a packet whose checksums have been looked at, and its payload.
    fn parse(bytes: &[u8]) -> (TcpHeader, Vec<u8>) {
        let sliced = SlicedPacket::from_ip(bytes).expect("a packet");
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("not TCP") };
        let ip = Ipv4Header::from_slice(bytes).expect("IPv4").0;
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        assert_eq!(usize::from(ip.total_len), bytes.len());
        let header = TcpHeaderSlice::from_slice(tcp.header_slice()).expect("TCP").to_header();
        let checksum = header.calc_checksum_ipv4(&ip, tcp.payload()).expect("fits");
        assert_eq!(header.checksum, checksum);
        (header, tcp.payload().to_vec())
    }

    #[test]
    fn a_syn_tells_mss_and_scale_and_an_unscaled_window() {
        let syn = segment(5, Flags::SYN, 131_072, Bytes::new());
        let (header, _) = parse(&packets(&syn)[0]);
        assert!(header.syn && !header.ack && !header.psh);
        assert_eq!((header.acknowledgment_number, header.window_size), (0, 65_535));
        let options: Vec<_> = header.options_iterator().map(|option| option.expect("is")).collect();
        assert!(options.contains(&TcpOptionElement::MaximumSegmentSize(1_400)), "{options:?}");
        assert!(options.contains(&TcpOptionElement::WindowScale(7)), "{options:?}");
    }

    #[test]
    fn numbers_are_cut_to_32_bits_and_windows_scaled() {
        let data = segment((3 << 32) + 8, Flags::ACK, 131_072, Bytes::from_static(b"abc"));
        let (header, payload) = parse(&packets(&data)[0]);
        assert_eq!((header.sequence_number, header.acknowledgment_number), (8, 9));
        assert_eq!((header.window_size, payload.as_slice()), (1_024, &b"abc"[..]));
        assert!(header.psh && header.ack && !header.syn);
    }

    #[test]
    fn what_is_longer_than_a_packet_is_split_and_only_the_last_piece_ends_the_stream() {
        let long: Bytes = (0..150_000_u32).map(|index| index as u8).collect();
        let packet = segment(u64::from(u32::MAX), Flags::ACK | Flags::FIN, 0, long.clone());
        let pieces: Vec<_> = packets(&packet).iter().map(|bytes| parse(bytes)).collect();
        let lengths: Vec<_> = pieces.iter().map(|(_, payload)| payload.len()).collect();
        assert_eq!(lengths, [65_495, 65_495, 19_010]);
        let fins: Vec<_> = pieces.iter().map(|(header, _)| header.fin).collect();
        assert_eq!(fins, [false, false, true]);
        let seqs: Vec<_> = pieces.iter().map(|(header, _)| header.sequence_number).collect();
        assert_eq!(seqs, [u32::MAX, 65_494, 130_989]);
        assert_eq!(pieces.into_iter().flat_map(|(_, payload)| payload).collect::<Bytes>(), long);
    }

    #[test]
    fn every_packet_has_an_identification_of_its_own() {
        let (mut next_id, mut ids) = (u16::MAX, Vec::new());
        let packet = segment(0, Flags::ACK, 0, Bytes::new());
        for _ in 0..2 {
            serialise(&packet, &mut next_id, |bytes| {
                ids.push(Ipv4Header::from_slice(bytes).expect("IPv4").0.identification);
            });
        }
        assert_eq!(ids, [u16::MAX, 0]);
    }

    #[test]
    fn the_longest_datagram_fits() {
        let mut packet = segment(0, Flags::ACK, 0, Bytes::new());
        packet.body = Body::Udp(Bytes::from(vec![7; crate::MAX_DATAGRAM_BYTES]));
        let bytes = packets(&packet).concat();
        let sliced = SlicedPacket::from_ip(&bytes).expect("a packet");
        let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("not UDP") };
        assert_eq!((bytes.len(), udp.payload().len()), (65_535, 65_507));
        assert_ne!(udp.checksum(), 0);
    }
}
