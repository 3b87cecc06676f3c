//! FLV files: framing as specified, and back into tags from any segmentation.

use bytes::Bytes;
use proptest::prelude::*;
use rehearsal_core::media::flv::{
    BODY_BYTES_MAX, DemuxError, Demuxer, FileHeader, Tag, TagKind, encode_header,
    previous_tag_size, tag_header,
};

fn tag(kind: TagKind, timestamp_ms: u32, body: &'static [u8]) -> Tag {
    Tag { kind, timestamp_ms, body: Bytes::from_static(body) }
}

fn encoded(tag: &Tag) -> Vec<u8> {
    let mut bytes = tag_header(tag.kind, tag.timestamp_ms, tag.body.len()).to_vec();
    bytes.extend(&tag.body);
    bytes.extend(previous_tag_size(tag.body.len()).to_be_bytes());
    bytes
}

fn file(tags: &[Tag]) -> Vec<u8> {
    [encode_header(true, true).to_vec(), tags.iter().flat_map(encoded).collect()].concat()
}

/// A demuxer that was fed `bytes` at once.
fn fed(bytes: &[u8]) -> Demuxer {
    let mut demuxer = Demuxer::new(1000);
    demuxer.feed(bytes);
    demuxer
}

fn first_error(bytes: &[u8]) -> DemuxError {
    let mut demuxer = fed(bytes);
    let error = demuxer.next_tag().unwrap_err();
    demuxer.feed(b"more");
    assert_eq!(demuxer.next_tag(), Err(error), "an error stays");
    error
}

#[test]
fn file_begins_as_specified() {
    assert_eq!(&encode_header(true, true), b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
    assert_eq!(&encode_header(true, false), b"FLV\x01\x04\0\0\0\x09\0\0\0\0");
    assert_eq!(&encode_header(false, true), b"FLV\x01\x01\0\0\0\x09\0\0\0\0");
}

#[test]
fn timestamp_carries_its_high_byte_last() {
    let header = tag_header(TagKind::Video, 0x0102_0304, 0x0a0b0c);
    assert_eq!(&header, b"\x09\x0a\x0b\x0c\x02\x03\x04\x01\0\0\0");
    assert_eq!(tag_header(TagKind::Audio, 0, 1)[0], 8);
    assert_eq!(tag_header(TagKind::Script, 0, 1)[0], 18);
    assert_eq!(previous_tag_size(5), 16);
}

#[test]
fn largest_body_can_be_framed() {
    assert_eq!(tag_header(TagKind::Video, 0, BODY_BYTES_MAX)[1..4], [0xff; 3]);
    assert_eq!(previous_tag_size(BODY_BYTES_MAX), 0x0100_000a);
}

#[test]
#[should_panic(expected = "at most 16777215 bytes")]
fn larger_body_is_refused() {
    tag_header(TagKind::Video, 0, BODY_BYTES_MAX + 1);
}

#[test]
fn tag_is_there_before_its_size_is_repeated() {
    let expected = tag(TagKind::Audio, 40, b"\xaf\x01");
    let bytes = file(std::slice::from_ref(&expected));
    let mut demuxer = fed(&bytes[..bytes.len() - 5]);
    assert_eq!(demuxer.next_tag(), Ok(None));
    demuxer.feed(&bytes[bytes.len() - 5..bytes.len() - 4]);
    assert_eq!(demuxer.next_tag(), Ok(Some(expected)));
    assert_eq!(demuxer.next_tag(), Ok(None));
}

#[test]
fn header_says_what_it_announces() {
    let mut demuxer = fed(b"FLV\x01\x04\0\0\0");
    assert_eq!((demuxer.next_tag(), demuxer.header()), (Ok(None), None));
    demuxer.feed(b"\x09");
    assert_eq!(demuxer.next_tag(), Ok(None));
    assert_eq!(demuxer.header(), Some(FileHeader { has_audio: true, has_video: false }));
}

#[test]
fn longer_file_header_is_passed_over() {
    let expected = tag(TagKind::Script, 0, b"\x02\x00\x00");
    let bytes = [&b"FLV\x01\x05\0\0\0\x0cxyz\0\0\0\0"[..], &encoded(&expected)].concat();
    assert_eq!(fed(&bytes).next_tag(), Ok(Some(expected)));

    // Two gigabytes of extension are passed over as they come.
    let mut demuxer = fed(b"FLV\x01\x05\x80\0\0\0");
    for _ in 0..3 {
        demuxer.feed(&[0; 1 << 16]);
        assert_eq!(demuxer.next_tag(), Ok(None));
    }
}

#[test]
fn wrong_previous_size_is_counted_only() {
    let expected = tag(TagKind::Audio, 1, b"a");
    let mut bytes = file(&[expected.clone(), expected.clone(), expected.clone()]);
    bytes[12] = 1;
    let first_previous_size = 13 + 12;
    bytes[first_previous_size..][..4].fill(0);
    let mut demuxer = fed(&bytes);
    for _ in 0..3 {
        assert_eq!(demuxer.next_tag(), Ok(Some(expected.clone())));
    }
    assert_eq!(demuxer.next_tag(), Ok(None));
    assert_eq!(demuxer.previous_size_mismatches(), 2);
}

#[test]
fn bytes_that_are_no_file_are_refused() {
    assert_eq!(first_error(b"G"), DemuxError::NoSignature);
    assert_eq!(first_error(b"FLX"), DemuxError::NoSignature);
    assert_eq!(first_error(b"FLV\x02\x05\0\0\0\x09"), DemuxError::UnknownVersion(2));
    assert_eq!(first_error(b"FLV\x01\x05\0\0\0\x08"), DemuxError::HeaderTooShort(8));
}

#[test]
fn tags_that_cannot_be_read_are_refused() {
    let file_with = |header: [u8; 11]| [&encode_header(true, true)[..], &header].concat();
    let mut header = tag_header(TagKind::Video, 0, 1);
    header[0] = 0x29;
    assert_eq!(first_error(&file_with(header)), DemuxError::Encrypted);
    header[0] = 10;
    assert_eq!(first_error(&file_with(header)), DemuxError::UnknownTagType(10));

    let header = tag_header(TagKind::Video, 0, 1001);
    let too_large = DemuxError::TagTooLarge { body_bytes: 1001, limit_bytes: 1000 };
    assert_eq!(first_error(&file_with(header)), too_large);
    let header = tag_header(TagKind::Video, 0, 1000);
    assert_eq!(fed(&file_with(header)).next_tag(), Ok(None));
}

fn any_tag() -> impl Strategy<Value = Tag> {
    let kind = prop_oneof![Just(TagKind::Audio), Just(TagKind::Video), Just(TagKind::Script)];
    (kind, any::<u32>(), prop::collection::vec(any::<u8>(), 0..60))
        .prop_map(|(kind, timestamp_ms, body)| Tag { kind, timestamp_ms, body: Bytes::from(body) })
}

proptest! {
    #[test]
    fn tags_survive_any_segmentation(
        tags in prop::collection::vec(any_tag(), 0..12),
        segments in prop::collection::vec(1..40_usize, 1..40),
    ) {
        let bytes = file(&tags);
        let mut demuxer = Demuxer::new(1000);
        let mut received = Vec::new();
        let mut rest = &bytes[..];
        for len in segments.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (segment, behind) = rest.split_at((*len).min(rest.len()));
            rest = behind;
            demuxer.feed(segment);
            while let Some(tag) = demuxer.next_tag().unwrap() {
                received.push(tag);
            }
        }
        prop_assert_eq!(received, tags);
        prop_assert_eq!(demuxer.previous_size_mismatches(), 0);
    }

    #[test]
    fn any_bytes_are_tags_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut demuxer = fed(&[&encode_header(true, true)[..], &bytes].concat());
        while let Ok(Some(_)) = demuxer.next_tag() {}
    }
}
