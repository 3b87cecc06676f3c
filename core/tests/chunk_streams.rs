//! Chunk writer and reader against each other and against arbitrary bytes.

use bytes::Bytes;
use proptest::prelude::*;
use rehearsal_core::rtmp::{
    chunk::{ChunkLimits, ChunkReader, ChunkWriter, MessageHead},
    message::Message,
};

const LIMITS: ChunkLimits =
    ChunkLimits { message_bytes: 1 << 20, chunk_bytes: 1 << 20, chunk_streams: 8 };

/// A message on one of four chunk streams, its time anywhere, often near the extended boundary or the wrap.
fn message() -> impl Strategy<Value = (u32, Message)> {
    let chunk_stream = prop_oneof![Just(3u32), Just(63), Just(64), Just(400)];
    let time =
        prop_oneof![0..200u32, 0x00ff_ff00..0x0100_0100u32, 0xffff_ff00..=u32::MAX, any::<u32>(),];
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 100..700),
    ];
    (chunk_stream, time, body, prop_oneof![Just(8u8), Just(9), Just(20)], 0..2u32).prop_map(
        |(chunk_stream, timestamp_ms, body, type_id, stream_id)| {
            (chunk_stream, Message { type_id, stream_id, timestamp_ms, payload: body.into() })
        },
    )
}

fn set_chunk_size(bytes: u32) -> Message {
    let payload = Bytes::copy_from_slice(&bytes.to_be_bytes());
    Message { type_id: 1, stream_id: 0, timestamp_ms: 0, payload }
}

fn read_cut(wire: &[u8], cuts: &[usize]) -> Result<Vec<Message>, String> {
    let mut reader = ChunkReader::new(LIMITS);
    let mut messages = Vec::new();
    let (mut at, mut cuts) = (0, cuts.iter().cycle());
    while at < wire.len() {
        let end = (at + cuts.next().expect("cycle")).min(wire.len());
        let mut piece = &wire[at..end];
        while let Some(message) =
            reader.handle_input(&mut piece).map_err(|error| error.to_string())?
        {
            messages.push(message);
        }
        at = end;
    }
    Ok(messages)
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_every_segmentation(
        messages in prop::collection::vec((message(), prop::option::of(1..300u32)), 1..12),
        cuts in prop::collection::vec(1..50usize, 1..20),
    ) {
        let mut writer = ChunkWriter::default();
        let mut wire = Vec::new();
        for ((chunk_stream, message), size) in &messages {
            if let Some(size) = size {
                writer.write(2, &set_chunk_size(*size), &mut wire);
                writer.set_chunk_bytes(*size);
            }
            writer.write(*chunk_stream, message, &mut wire);
        }
        let sent: Vec<_> = messages.into_iter().map(|((_, message), _)| message).collect();
        prop_assert_eq!(read_cut(&wire, &cuts), Ok(sent));
    }

    #[test]
    fn any_bytes_give_the_same_result_in_every_segmentation(
        wire in prop::collection::vec(any::<u8>(), 0..600),
        cuts in prop::collection::vec(1..50usize, 1..20),
    ) {
        prop_assert_eq!(read_cut(&wire, &cuts), read_cut(&wire, &[600]));
    }

    #[test]
    fn mutated_chunks_give_the_same_result_in_every_segmentation(
        messages in prop::collection::vec(message(), 1..8),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cuts in prop::collection::vec(1..50usize, 1..20),
    ) {
        let mut writer = ChunkWriter::default();
        let mut wire = Vec::new();
        for (chunk_stream, message) in &messages {
            writer.write(*chunk_stream, message, &mut wire);
        }
        for (at, value) in mutations {
            let at = at.index(wire.len());
            wire[at] = value;
        }
        prop_assert_eq!(read_cut(&wire, &cuts), read_cut(&wire, &[usize::MAX / 2]));
    }

    #[test]
    fn a_shared_head_reads_like_a_written_message(
        (_, message) in message(),
        chunk_bytes in 1..300usize,
    ) {
        let head = MessageHead::new(7, message.type_id, message.timestamp_ms, message.payload.len() as u32);
        let mut wire = head.first().to_vec();
        wire[MessageHead::STREAM_ID_AT..][..4].copy_from_slice(&message.stream_id.to_le_bytes());
        for (index, chunk) in message.payload.chunks(chunk_bytes).enumerate() {
            if index > 0 {
                wire.extend(head.continuation());
                wire.extend(head.extended());
            }
            wire.extend(chunk);
        }
        // Readers put up with an extended timestamp that is not repeated, but some players do not.
        let mut writer = ChunkWriter::default();
        writer.set_chunk_bytes(chunk_bytes as u32);
        let mut written = Vec::new();
        writer.write(7, &message, &mut written);
        prop_assert_eq!(&wire, &written);
        let mut control = Vec::new();
        ChunkWriter::default().write(2, &set_chunk_size(chunk_bytes as u32), &mut control);
        let whole = [control, wire].concat();
        prop_assert_eq!(read_cut(&whole, &[1]), Ok(vec![message]));
    }
}

#[test]
fn a_message_is_written_as_the_specification_has_it() {
    let payload = Bytes::from_static(b"abcde");
    let message = Message { type_id: 8, stream_id: 1, timestamp_ms: 0x0102_0304, payload };
    for (chunk_stream, first, further) in [
        (63, vec![63], vec![0xc0 | 63]),
        (64, vec![0, 0], vec![0xc0, 0]),
        (319, vec![0, 255], vec![0xc0, 255]),
        (320, vec![1, 0, 1], vec![0xc1, 0, 1]),
        (65_599, vec![1, 255, 255], vec![0xc1, 255, 255]),
    ] {
        let mut writer = ChunkWriter::default();
        writer.set_chunk_bytes(3);
        let mut wire = Vec::new();
        writer.write(chunk_stream, &message, &mut wire);
        let time = [1, 2, 3, 4];
        let header = [0xff, 0xff, 0xff, 0, 0, 5, 8, 1, 0, 0, 0];
        let expected = [&first[..], &header, &time, b"abc", &further, &time, b"de"].concat();
        assert_eq!(wire, expected, "chunk stream {chunk_stream}");
    }
}
