//! Pictures through RTP and back, audio through RTP and back, and hostile payloads.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use rehearsal_core::{
    bridge::{
        AudioFormat, AudioPacketizer, AudioPacketizerConfig, DecoderConfiguration,
        DepacketizerConfig, H264Depacketizer, H264Packet, H264Packetizer, H264PacketizerConfig,
        VideoEvent, from_flv, narrowed, to_flv,
    },
    sdp::Codec,
};

const SEQUENCE_HEADER: &[u8] =
    b"\x17\0\0\0\0\x01\x42\x00\x1e\xff\xe1\0\x05\x67\x42\x00\x1e\x80\x01\0\x02\x68\x80";

/// The NAL units of an access unit with at least one piece of a picture.
fn access_unit(is_keyframe: bool) -> impl Strategy<Value = Vec<Bytes>> {
    let picture = if is_keyframe { 0x65 } else { 0x41 };
    let header = prop_oneof![Just(0x06), Just(picture), Just(0x21)];
    let rest = prop::collection::vec(any::<u8>(), 0..300);
    prop::collection::vec((header, rest), 0..5).prop_map(move |mut units| {
        units.push((picture, vec![1, 2, 3]));
        let unit = |(header, rest): (u8, Vec<u8>)| [vec![header], rest].concat().into();
        units.into_iter().map(unit).collect()
    })
}

fn message(is_keyframe: bool, units: &[Bytes]) -> Bytes {
    let mut body = BytesMut::from(&[if is_keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0][..]);
    for unit in units {
        body.put_u32(unit.len() as u32);
        body.put_slice(unit);
    }
    body.freeze()
}

proptest! {
    #[test]
    fn pictures_come_back_with_the_same_nal_units(
        first in access_unit(true),
        rest in prop::collection::vec(
            any::<bool>().prop_flat_map(|key| (Just(key), access_unit(key))), 0..8),
        payload_bytes_max in 3usize..200,
    ) {
        let config =
            H264PacketizerConfig { payload_bytes_max, ..H264PacketizerConfig::default() };
        let mut packetizer = H264Packetizer::new(config);
        let mut depacketizer = H264Depacketizer::new(DepacketizerConfig::default());
        packetizer.handle_message(0, &Bytes::from_static(SEQUENCE_HEADER)).unwrap();
        let framing = DecoderConfiguration { length_bytes: 4, sps: vec![], pps: vec![] };
        let mut headers = 0;
        let units = std::iter::once((true, first)).chain(rest);
        for (index, (is_keyframe, units)) in units.enumerate() {
            let ms = 40 * index as u32;
            let mut received = Vec::new();
            for packet in packetizer.handle_message(ms, &message(is_keyframe, &units)).unwrap() {
                prop_assert!(packet.payload.len() <= payload_bytes_max);
                prop_assert_eq!(packet.timestamp, ms * 90);
                received.extend(depacketizer.handle_packet(Duration::ZERO, H264Packet {
                    timestamp: packet.timestamp.into(),
                    marker: packet.marker,
                    lost_before: false,
                    payload: &packet.payload,
                }));
            }
            if let Some(VideoEvent::SequenceHeader { body, .. }) = received.first() {
                prop_assert_eq!(&body[..], SEQUENCE_HEADER);
                headers += 1;
                received.remove(0);
            }
            let [VideoEvent::AccessUnit { is_keyframe: key, body, .. }] = &received[..] else {
                panic!("one message: {received:?}");
            };
            prop_assert_eq!(*key, is_keyframe);
            prop_assert_eq!(body[0], if is_keyframe { 0x17 } else { 0x27 });
            prop_assert_eq!(framing.split(body.slice(5..)).unwrap(), units);
        }
        prop_assert_eq!(headers, 1);
    }

    #[test]
    fn no_packets_panic_and_no_message_is_too_long(
        packets in prop::collection::vec((
            0u64..3,
            any::<bool>(),
            prop::bool::weighted(0.1),
            prop::sample::select(vec![0x65u8, 0x41, 0x67, 0x68, 0x78, 0x5c, 0x7c, 0x00, 0x5f]),
            prop::collection::vec(any::<u8>(), 0..40),
        ), 0..60),
    ) {
        let config =
            DepacketizerConfig { access_unit_bytes_max: 90, ..DepacketizerConfig::default() };
        let mut depacketizer = H264Depacketizer::new(config);
        for payload in [&b"\x67\x42\x00\x1e\x80"[..], b"\x68\x80", b"\x65x"] {
            let packet = H264Packet { timestamp: 0, marker: true, lost_before: false, payload };
            depacketizer.handle_packet(Duration::ZERO, packet);
        }
        for (timestamp, marker, lost_before, header, mut payload) in packets {
            payload.insert(0, header);
            let packet = H264Packet { timestamp, marker, lost_before, payload: &payload };
            for event in depacketizer.handle_packet(Duration::ZERO, packet) {
                if let VideoEvent::AccessUnit { body, .. } = event {
                    prop_assert!(body.len() <= 90);
                    let framing = DecoderConfiguration { length_bytes: 4, sps: vec![], pps: vec![] };
                    prop_assert!(!framing.split(body.slice(5..)).unwrap().is_empty());
                }
            }
        }
    }

    #[test]
    fn no_messages_panic(bodies in prop::collection::vec(
        (prop::sample::select(vec![0x17u8, 0x27, 0x72, 0x82, 0xb2, 0x90]), 0u8..3,
            prop::collection::vec(any::<u8>(), 0..60)), 0..10)
    ) {
        let mut video = H264Packetizer::new(H264PacketizerConfig::default());
        let _ = video.handle_message(0, &Bytes::from_static(SEQUENCE_HEADER));
        let config = AudioPacketizerConfig::default();
        let codecs = [Codec::Pcmu, Codec::Pcma, Codec::Narrowband, Codec::Wideband];
        let mut audio = codecs.map(|codec| AudioPacketizer::new(codec, config));
        for (first, second, rest) in bodies {
            let body = Bytes::from([vec![first, second], rest].concat());
            let _ = video.handle_message(u32::MAX, &body);
            for packetizer in &mut audio {
                packetizer.handle_message(u32::MAX, &body);
            }
            // What was narrowed once is narrow.
            if let Some(narrow) = narrowed(&body) {
                prop_assert_eq!(narrowed(&narrow), Some(narrow));
            }
        }
    }

    #[test]
    fn samples_come_through_in_order_however_they_are_cut(
        lengths in prop::collection::vec(1usize..2_000, 1..20),
    ) {
        let mut packetizer = AudioPacketizer::new(Codec::Pcma, AudioPacketizerConfig::default());
        let (mut sent, mut received, mut samples) = (Vec::new(), Vec::new(), 0);
        for length in lengths {
            let part: Vec<u8> = (0..length).map(|index| (samples + index) as u8).collect();
            let body = to_flv(AudioFormat::Pcma, &part);
            for packet in packetizer.handle_message((samples / 8) as u32, &body) {
                prop_assert_eq!(packet.payload.len(), 160);
                prop_assert_eq!(packet.timestamp as usize, received.len());
                prop_assert_eq!(packet.marker, received.is_empty());
                let body = to_flv(AudioFormat::Pcma, &packet.payload);
                received.extend_from_slice(&from_flv(&body).unwrap().1);
            }
            sent.extend_from_slice(&part);
            samples += length;
        }
        prop_assert!(sent.starts_with(&received));
        prop_assert!(sent.len() - received.len() < 160);
    }
}
