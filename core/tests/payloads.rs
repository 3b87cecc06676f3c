//! Audio and video payloads, made by hand from the specifications, are placed right.

use proptest::prelude::*;
use rehearsal_core::media::{
    AudioCodec, ClassifyError, FourCc, Multitrack, TrackIds, VideoCodec,
    audio::{self, AudioInfo, AudioKind},
    video::{self, VideoInfo, VideoKind},
};

fn video(payload: &[u8]) -> (VideoCodec, VideoKind, i32) {
    let info = video::classify(payload).unwrap();
    (info.codec.unwrap(), info.kind, info.composition_ms)
}

fn audio(payload: &[u8]) -> (AudioCodec, AudioKind) {
    let info = audio::classify(payload).unwrap();
    (info.codec.unwrap(), info.kind)
}

fn ids(info: VideoInfo) -> Vec<u8> {
    info.track_ids.iter().collect()
}

#[test]
fn avc_is_placed_by_packet_type_and_frame_type() {
    use VideoCodec::Avc;
    assert_eq!(video(b"\x17\x00\x00\x00\x00\x01\x64"), (Avc, VideoKind::SequenceHeader, 0));
    assert_eq!(video(b"\x17\x01\x00\x00\x50\0\0\0\x01e"), (Avc, VideoKind::Keyframe, 80));
    assert_eq!(video(b"\x27\x01\xff\xff\xd8\0\0\0\x01A"), (Avc, VideoKind::Inter, -40));
    assert_eq!(video(b"\x37\x01\x00\x00\x00"), (Avc, VideoKind::Disposable, 0));
    assert_eq!(video(b"\x47\x01\x00\x00\x00"), (Avc, VideoKind::Keyframe, 0));
    assert_eq!(video(b"\x17\x02\x00\x00\x00"), (Avc, VideoKind::EndOfSequence, 0));
    assert_eq!(video(b"\x17\x02"), (Avc, VideoKind::EndOfSequence, 0));
    assert_eq!(video(b"\x57\x00"), (Avc, VideoKind::Command, 0));
}

#[test]
fn sequence_header_is_one_whatever_its_frame_type() {
    assert_eq!(video(b"\x27\x00\x00\x00\x00").1, VideoKind::SequenceHeader);
    assert_eq!(video(b"\xa0hvc1").1, VideoKind::SequenceHeader);
}

#[test]
fn legacy_hevc_is_read_like_avc() {
    use VideoCodec::Hevc;
    assert_eq!(video(b"\x1c\x00\x00\x00\x00\x01"), (Hevc, VideoKind::SequenceHeader, 0));
    assert_eq!(video(b"\x1c\x01\x00\x00\x21"), (Hevc, VideoKind::Keyframe, 33));
    assert_eq!(video(b"\x2c\x01\x00\x00\x21"), (Hevc, VideoKind::Inter, 33));
}

#[test]
fn old_and_unknown_video_codecs_are_placed_by_frame_type() {
    assert_eq!(video(b"\x12"), (VideoCodec::H263, VideoKind::Keyframe, 0));
    assert_eq!(video(b"\x32x"), (VideoCodec::H263, VideoKind::Disposable, 0));
    assert_eq!(video(b"\x24x"), (VideoCodec::Vp6, VideoKind::Inter, 0));
    assert_eq!(video(b"\x1fx"), (VideoCodec::OtherId(15), VideoKind::Keyframe, 0));
    assert_eq!(video(b"\x2f"), (VideoCodec::OtherId(15), VideoKind::Inter, 0));
    let strange = VideoCodec::OtherFourCc(FourCc(*b"zzzz"));
    assert_eq!(video(b"\x91zzzz\xff\xff\xff"), (strange, VideoKind::Keyframe, 0));
}

#[test]
fn enhanced_video_is_placed_by_packet_type() {
    for (four_cc, codec) in [
        (b"avc1", VideoCodec::Avc),
        (b"hvc1", VideoCodec::Hevc),
        (b"vvc1", VideoCodec::Vvc),
        (b"av01", VideoCodec::Av1),
        (b"vp08", VideoCodec::Vp8),
        (b"vp09", VideoCodec::Vp9),
    ] {
        let payload = |first: u8| [&[first], &four_cc[..], &[0xff, 0xff, 0xfe, 1, 2]].concat();
        let has_offset = matches!(codec, VideoCodec::Avc | VideoCodec::Hevc | VideoCodec::Vvc);
        let offset_ms = if has_offset { -2 } else { 0 };
        assert_eq!(video(&payload(0x90)), (codec, VideoKind::SequenceHeader, 0));
        assert_eq!(video(&payload(0x91)), (codec, VideoKind::Keyframe, offset_ms));
        assert_eq!(video(&payload(0xa1)), (codec, VideoKind::Inter, offset_ms));
        assert_eq!(video(&payload(0xa3)), (codec, VideoKind::Inter, 0));
        assert_eq!(video(&payload(0x93)), (codec, VideoKind::Keyframe, 0));
        assert_eq!(video(&payload(0x92)), (codec, VideoKind::EndOfSequence, 0));
        assert_eq!(video(&payload(0x94)), (codec, VideoKind::Metadata, 0));
        assert_eq!(video(&payload(0x95)), (codec, VideoKind::SequenceHeader, 0));
    }
}

#[test]
fn enhanced_command_names_no_codec_but_metadata_does() {
    let command = video::classify(b"\xd0\x00").unwrap();
    assert_eq!((command.codec, command.kind), (None, VideoKind::Command));
    assert_eq!(video(b"\xd4hvc1\x02"), (VideoCodec::Hevc, VideoKind::Metadata, 0));
}

#[test]
fn only_enhanced_headers_are_marked() {
    assert!(!video::classify(b"\x17\x00\0\0\0").unwrap().enhanced);
    assert!(video::classify(b"\x90av01").unwrap().enhanced);
    assert!(!audio::classify(b"\xaf\x00").unwrap().enhanced);
    assert!(audio::classify(b"\x90Opus").unwrap().enhanced);
}

#[test]
fn mod_ex_prefixes_are_passed_over() {
    let nano_offset = b"\x97\x02\x0f\x42\x3f\x01hvc1\x00\x00\x10";
    assert_eq!(video(nano_offset), (VideoCodec::Hevc, VideoKind::Keyframe, 16));

    let twice = b"\x97\x00a\x07\x00b\x00hvc1";
    assert_eq!(video(twice), (VideoCodec::Hevc, VideoKind::SequenceHeader, 0));

    // 0xff says that the size has 16 bits: 300 bytes of data.
    let long = [&b"\x97\xff\x01\x2b"[..], &[0x77; 300], b"\x03av01"].concat();
    assert_eq!(video(&long), (VideoCodec::Av1, VideoKind::Keyframe, 0));

    assert_eq!(audio(b"\x97\x02\0\0\x01\x01Opus"), (AudioCodec::Opus, AudioKind::Frame));
}

#[test]
fn one_track_carries_its_id() {
    let start = video::classify(b"\x96\x00hvc1\x05\x01\x02").unwrap();
    assert_eq!(
        (start.kind, start.multitrack),
        (VideoKind::SequenceHeader, Some(Multitrack::OneTrack))
    );
    assert_eq!(ids(start), [5]);

    let frame = video::classify(b"\xa6\x01avc1\x01\x00\x00\x21").unwrap();
    assert_eq!((frame.kind, frame.composition_ms), (VideoKind::Inter, 33));
    assert_eq!(ids(frame), [1]);

    let plain = video::classify(b"\x90hvc1").unwrap();
    assert_eq!((plain.multitrack, plain.track_ids), (None, TrackIds::DEFAULT));
}

#[test]
fn many_tracks_carry_all_their_ids() {
    let start = video::classify(b"\x96\x10hvc1\x00\0\0\x02aa\x07\0\0\x01b").unwrap();
    let expected = (VideoKind::SequenceHeader, Some(Multitrack::ManyTracks));
    assert_eq!((start.kind, start.multitrack), expected);
    assert_eq!(ids(start), [0, 7]);

    let frame = video::classify(b"\x96\x21hvc1\x03\0\0\x04\0\0\x10xav01\x01\0\0\x00").unwrap();
    assert_eq!(frame.multitrack, Some(Multitrack::ManyTracksManyCodecs));
    assert_eq!((frame.codec, frame.kind), (Some(VideoCodec::Hevc), VideoKind::Keyframe));
    assert_eq!(frame.composition_ms, 16);
    assert_eq!(ids(frame), [1, 3]);

    let sound = audio::classify(b"\x95\x10Opus\x01\0\0\x00\x02\0\0\x00").unwrap();
    assert_eq!(sound.kind, AudioKind::SequenceHeader);
    assert!(sound.track_ids.iter().eq([1, 2]));
}

#[test]
fn composition_offset_stays_within_the_first_track() {
    let payload = b"\x96\x11hvc1\x00\0\0\x02aa\x01\0\0\x03\0\0\x05";
    assert_eq!(video::classify(payload), Err(ClassifyError::Truncated));
}

#[test]
fn malformed_multitrack_is_an_error() {
    assert_eq!(video::classify(b"\x96\x30hvc1\0"), Err(ClassifyError::UnknownMultitrackType(3)));
    assert_eq!(video::classify(b"\x96\x06hvc1\0"), Err(ClassifyError::NestedPacketType(6)));
    assert_eq!(video::classify(b"\x96\x07hvc1\0"), Err(ClassifyError::NestedPacketType(7)));
    assert_eq!(audio::classify(b"\x95\x05Opus\0"), Err(ClassifyError::NestedPacketType(5)));
}

#[test]
fn reserved_numbers_are_errors() {
    for frame_type in [0, 6, 7] {
        let reserved = Err(ClassifyError::ReservedFrameType(frame_type));
        assert_eq!(video::classify(&[frame_type << 4 | 2, 0]), reserved);
        assert_eq!(video::classify(&[0x83 | frame_type << 4, b'a', b'v', b'0', b'1']), reserved);
    }
    assert_eq!(video::classify(b"\x17\x03\0\0\0"), Err(ClassifyError::UnknownPacketType(3)));
    assert_eq!(video::classify(b"\x98hvc1"), Err(ClassifyError::UnknownPacketType(8)));
    assert_eq!(audio::classify(b"\xaf\x02"), Err(ClassifyError::UnknownPacketType(2)));
    assert_eq!(audio::classify(b"\x93Opus"), Err(ClassifyError::UnknownPacketType(3)));
}

#[test]
fn legacy_audio_is_placed_by_format() {
    assert_eq!(audio(b"\xaf\x00\x12\x10"), (AudioCodec::Aac, AudioKind::SequenceHeader));
    assert_eq!(audio(b"\xaf\x01\x21"), (AudioCodec::Aac, AudioKind::Frame));
    for (first, codec) in [
        (0x2f, AudioCodec::Mp3),
        (0xe2, AudioCodec::Mp3),
        (0xb2, AudioCodec::Speex),
        (0x72, AudioCodec::Pcma),
        (0x82, AudioCodec::Pcmu),
        (0x3e, AudioCodec::Pcm),
        (0x1e, AudioCodec::Adpcm),
        (0x52, AudioCodec::Nellymoser),
        (0xf0, AudioCodec::OtherId(15)),
    ] {
        assert_eq!(audio(&[first, 0]), (codec, AudioKind::Frame));
    }
}

#[test]
fn enhanced_audio_is_placed_by_packet_type() {
    for (four_cc, codec) in [
        (b"Opus", AudioCodec::Opus),
        (b"fLaC", AudioCodec::Flac),
        (b"ac-3", AudioCodec::Ac3),
        (b"ec-3", AudioCodec::Eac3),
        (b".mp3", AudioCodec::Mp3),
        (b"mp4a", AudioCodec::Aac),
        (b"zzzz", AudioCodec::OtherFourCc(FourCc(*b"zzzz"))),
    ] {
        for (packet_type, kind) in [
            (0, AudioKind::SequenceHeader),
            (1, AudioKind::Frame),
            (2, AudioKind::EndOfSequence),
            (4, AudioKind::MultichannelConfig),
        ] {
            assert_eq!(audio(&[&[0x90 | packet_type], &four_cc[..]].concat()), (codec, kind));
        }
    }
}

#[test]
fn empty_audio_is_silence_and_empty_video_is_truncated() {
    let AudioInfo { codec, kind, .. } = audio::classify(b"").unwrap();
    assert_eq!((codec, kind), (None, AudioKind::Silence));
    assert_eq!(video::classify(b""), Err(ClassifyError::Truncated));
}

#[test]
fn header_cut_anywhere_is_truncated() {
    let truncated_video: [&[u8]; 5] = [
        b"\x17\x01\x00\x00\x50",
        b"\x91hvc1\x00\x00\x10",
        b"\x97\x02\0\0\x01\x03av01",
        b"\x96\x01avc1\x01\x00\x00\x21",
        b"\x96\x20hvc1\x03\0\0\x01x",
    ];
    for payload in truncated_video {
        assert!(video::classify(payload).is_ok(), "{payload:x?}");
        for len in 0..payload.len() {
            let cut = &payload[..len];
            assert_eq!(video::classify(cut), Err(ClassifyError::Truncated), "{cut:x?}");
        }
    }
    for payload in
        [&b"\xaf\x01"[..], b"\x90Opus", b"\x95\x00Opus\x01", b"\x95\x10Opus\x01\0\0\x01x"]
    {
        assert!(audio::classify(payload).is_ok(), "{payload:x?}");
        for len in 1..payload.len() {
            let cut = &payload[..len];
            assert_eq!(audio::classify(cut), Err(ClassifyError::Truncated), "{cut:x?}");
        }
    }
}

/// Bytes that often begin with an enhanced header.
fn plausible_payload() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![any::<u8>(), 0x90..=0x97_u8, 0xa0..=0xa7_u8];
    let rest = prop::collection::vec(prop_oneof![0..8_u8, any::<u8>()], 0..40);
    (first, rest).prop_map(|(first, rest)| [vec![first], rest].concat())
}

proptest! {
    #[test]
    fn any_payload_is_placed_or_refused(payload in plausible_payload()) {
        if let Ok(info) = video::classify(&payload) {
            prop_assert!((-(1 << 23)..1 << 23).contains(&info.composition_ms));
            prop_assert!(info.track_ids.iter().next().is_some());
        }
        if let Ok(info) = audio::classify(&payload) {
            prop_assert_eq!(info.codec.is_none(), info.kind == AudioKind::Silence);
        }
    }
}
