//! Chunks written by hand, each read whole and in small steps.

use super::*;

const LIMITS: ChunkLimits =
    ChunkLimits { message_bytes: 1 << 20, chunk_bytes: 1 << 16, chunk_streams: 4 };

fn read_in_steps(input: &[u8], step: usize) -> Result<Vec<Message>, ChunkError> {
    let mut reader = ChunkReader::new(LIMITS);
    let mut messages = Vec::new();
    for mut piece in input.chunks(step.max(1)) {
        while let Some(message) = reader.handle_input(&mut piece)? {
            messages.push(message);
        }
        assert!(piece.is_empty(), "a reader that gives nothing has used everything");
    }
    assert_eq!(
        reader.pending_bytes,
        reader.streams.iter().map(|s| s.body.len() as u32).sum::<u32>()
    );
    Ok(messages)
}

/// Reads whole and in small steps; all must agree.
fn read(input: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let whole = read_in_steps(input, input.len());
    for step in [1, 2, 3, 5, 7, 64] {
        assert_eq!(read_in_steps(input, step), whole, "segments of {step} bytes");
    }
    whole
}

fn times(input: &[u8]) -> Vec<u32> {
    read(input).unwrap().iter().map(|message| message.timestamp_ms).collect()
}

/// Form 0 on chunk stream 4 with a one-byte audio body.
fn form0(time: [u8; 3]) -> Vec<u8> {
    [&[0x04][..], &time, &[0, 0, 1, 8, 1, 0, 0, 0]].concat()
}

#[test]
fn all_four_forms_add_their_times() {
    let mut input = [form0([0, 0, 100]), vec![b'a']].concat();
    input.extend([0x44, 0, 0, 20, 0, 0, 2, 9, b'b', b'c']);
    input.extend([0x84, 0, 0, 30, b'd', b'e']);
    input.extend([0xc4, b'f', b'g']);
    let messages = read(&input).unwrap();
    let seen: Vec<_> =
        messages.iter().map(|m| (m.type_id, m.stream_id, m.timestamp_ms, &m.payload[..])).collect();
    assert_eq!(
        seen,
        [(8, 1, 100, &b"a"[..]), (9, 1, 120, b"bc"), (9, 1, 150, b"de"), (9, 1, 180, b"fg")]
    );
}

#[test]
fn form_3_after_form_0_adds_the_absolute_time_again() {
    let input = [form0([0, 0, 40]), vec![b'a', 0xc4, b'b']].concat();
    assert_eq!(times(&input), [40, 80]);
}

#[test]
fn basic_headers_of_two_and_three_bytes_reach_every_id() {
    for (basic, id) in [(vec![0x00, 0], 64), (vec![0x00, 255], 319), (vec![0x01, 2, 3], 834)] {
        let mut input = basic;
        input.extend([0, 0, 1, 0, 0, 1, 8, 1, 0, 0, 0, b'x']);
        let mut reader = ChunkReader::new(LIMITS);
        assert!(reader.handle_input(&mut input.as_slice()).unwrap().is_some());
        assert_eq!(reader.streams[0].id, id);
    }
}

#[test]
fn interleaved_messages_are_put_together() {
    let mut input = vec![0x04, 0, 0, 0, 0, 0, 200, 8, 1, 0, 0, 0];
    input.extend([1; 128]);
    input.extend([0x05, 0, 0, 0, 0, 0, 3, 9, 1, 0, 0, 0, 7, 7, 7]);
    input.push(0xc4);
    input.extend([2; 72]);
    let messages = read(&input).unwrap();
    assert_eq!(messages.iter().map(|m| m.payload.len()).collect::<Vec<_>>(), [3, 200]);
    assert_eq!(messages[1].payload[..], [[1; 128].as_slice(), &[2; 72]].concat());
}

#[test]
fn chunk_size_changes_inside_another_message() {
    let mut input = vec![0x04, 0, 0, 0, 0, 0, 200, 8, 1, 0, 0, 0];
    input.extend([1; 128]);
    input.extend([0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 36]);
    input.push(0xc4);
    input.extend([2; 36]);
    input.push(0xc4);
    input.extend([3; 36]);
    let messages = read(&input).unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].payload[164..], [3; 36]);
}

#[test]
fn abort_discards_the_unfinished_message() {
    let mut input = vec![0x04, 0, 0, 0, 0, 0, 200, 8, 1, 0, 0, 0];
    input.extend([1; 128]);
    input.extend([0x02, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 4]);
    input.extend(form0([0, 0, 9]));
    input.push(b'x');
    let messages = read(&input).unwrap();
    assert_eq!(messages.iter().map(|m| &m.payload[..]).collect::<Vec<_>>(), [b"x"]);
}

fn extended(repeat: bool) -> Vec<u8> {
    let mut input = vec![0x04, 255, 255, 255, 0, 0, 200, 8, 1, 0, 0, 0, 1, 0, 0, 5];
    input.extend([9; 128]);
    input.push(0xc4);
    if repeat {
        input.extend([1, 0, 0, 5]);
    }
    input.extend([8; 72]);
    input
}

#[test]
fn extended_timestamp_is_read_whether_continuations_repeat_it_or_not() {
    for repeat in [true, false] {
        let messages = read(&extended(repeat)).unwrap();
        assert_eq!(messages[0].timestamp_ms, 0x0100_0005);
        assert_eq!(messages[0].payload[128..], [8; 72], "repeat {repeat}");
    }
}

#[test]
fn a_body_that_begins_like_the_timestamp_is_not_lost() {
    for (tail, next) in [(vec![1, 0, 0, 6], 0), (vec![1, 0], 1), (vec![1], 1), (vec![1, 0, 0], 1)] {
        let mut input = vec![0x04, 255, 255, 255, 0, 0, 128, 8, 1, 0, 0, 0, 1, 0, 0, 5];
        input[6] += tail.len() as u8;
        input.extend([9; 128]);
        input.push(0xc4);
        input.extend(&tail);
        for _ in 0..next {
            input.extend(form0([0, 0, 1]));
            input.push(b'n');
        }
        let messages = read(&input).unwrap();
        assert_eq!(messages.len(), 1 + next, "{tail:?}");
        assert_eq!(messages[0].payload[128..], tail);
    }
}

#[test]
fn extended_delta_is_a_delta() {
    let mut input = [form0([0, 0, 7]), vec![b'a']].concat();
    input.extend([0x44, 255, 255, 255, 0, 0, 1, 8, 1, 0, 0, 0, b'b']);
    assert_eq!(times(&input), [7, 0x0100_0007]);
}

#[test]
fn time_wraps_at_32_bits() {
    let mut input = vec![0x04, 255, 255, 255, 0, 0, 1, 8, 1, 0, 0, 0, 255, 255, 255, 250, b'a'];
    input.extend([0x84, 0, 0, 10, b'b']);
    assert_eq!(times(&input), [0xffff_fffa, 4]);
}

#[test]
fn a_fresh_chunk_stream_may_begin_with_form_1_only() {
    let ping = [0x42, 0, 0, 0, 0, 0, 6, 4, 0, 6, 0, 0, 0, 1];
    assert_eq!(read(&ping).unwrap()[0].type_id, 4);
    assert_eq!(read(&[0x84, 0, 0, 0]), Err(ChunkError::NoPreviousMessage(4, 2)));
    assert_eq!(read(&[0xc4]), Err(ChunkError::NoPreviousMessage(4, 3)));
}

#[test]
fn what_exceeds_a_limit_is_refused() {
    let long = [0x04, 0, 0, 0, 0x20, 0, 0, 8, 1, 0, 0, 0];
    assert!(matches!(read(&long), Err(ChunkError::MessageTooLong { .. })));
    for size in [[0, 0, 0, 0], [0, 1, 0, 1], [0x80, 0, 0, 0]] {
        let set = [&[0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..], &size].concat();
        assert!(matches!(read(&set), Err(ChunkError::ChunkSize { .. })), "{size:?}");
    }
    let many: Vec<u8> = (3..8).flat_map(|id| [id, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0]).collect();
    assert_eq!(read(&many), Err(ChunkError::TooManyChunkStreams(4)));
}

#[test]
fn a_header_inside_an_unfinished_message_is_refused() {
    let mut input = vec![0x04, 0, 0, 0, 0, 0, 200, 8, 1, 0, 0, 0];
    input.extend([1; 128]);
    input.extend(form0([0, 0, 0]));
    assert_eq!(read(&input), Err(ChunkError::MessageUnfinished(4)));
}

#[test]
fn unfinished_messages_together_stay_below_the_limit() {
    let mut reader = ChunkReader::new(LIMITS);
    let mut refused = false;
    for round in 0..20_000 {
        for id in 3..7 {
            let header = [id, 0, 0, 0, 0x0f, 0, 0, 8, 1, 0, 0, 0];
            let header: &[u8] = if round == 0 { &header } else { &[0xc0 | id] };
            let chunk = [header, &[0; 128]].concat();
            refused |= reader.handle_input(&mut &chunk[..]).is_err();
        }
        if refused {
            break;
        }
    }
    assert!(refused && reader.pending_bytes <= LIMITS.message_bytes);
}

/// What becomes of a message of each length, on chunk streams 4 and 5, whose chunks alternate: the limit is 300 bytes.
fn alternating(lengths: [u8; 2]) -> Result<usize, ChunkError> {
    let mut reader = ChunkReader::new(ChunkLimits { message_bytes: 300, ..LIMITS });
    let mut input = Vec::new();
    for (id, length) in [4, 5].into_iter().zip(lengths) {
        input.extend([id, 0, 0, 0, 0, 0, length, 8, 1, 0, 0, 0]);
        input.extend(vec![7; usize::from(length.min(128))]);
    }
    for (id, length) in [4, 5].into_iter().zip(lengths) {
        input.push(0xc0 | id);
        input.extend(vec![7; usize::from(length - 128)]);
    }
    let (mut rest, mut messages) = (&input[..], 0);
    while reader.handle_input(&mut rest)?.is_some() {
        messages += 1;
    }
    Ok(messages)
}

#[test]
fn what_is_unfinished_may_be_as_much_as_the_limit_and_no_more() {
    let too_long = |length, pending| ChunkError::MessageTooLong { length, pending, limit: 300 };
    assert_eq!(alternating([172, 172]), Ok(2));
    assert_eq!(alternating([172, 173]), Err(too_long(173, 128)), "it cannot become whole");
    assert_eq!(alternating([173, 172]), Err(too_long(173, 128)), "with what the other has");
}

#[test]
fn a_header_that_is_repeated_inside_its_message_is_a_continuation() {
    for again in [vec![0x44, 0, 0, 9, 0, 0, 200, 8], vec![0x84, 0, 0, 9]] {
        let mut input = vec![0x04, 0, 0, 7, 0, 0, 200, 8, 1, 0, 0, 0];
        input.extend([1; 128]);
        input.extend(again);
        input.extend([2; 72]);
        let messages = read(&input).unwrap();
        assert_eq!((messages[0].timestamp_ms, messages[0].payload.len()), (7, 200));
    }
}

#[test]
fn the_largest_chunk_size_is_as_good_as_any_above_every_message() {
    let limits = ChunkLimits { chunk_bytes: 0x7fff_ffff, ..LIMITS };
    let mut reader = ChunkReader::new(limits);
    let set = [0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff];
    assert_eq!(reader.handle_input(&mut &set[..]), Ok(None));
    assert_eq!(reader.chunk_bytes(), 0x00ff_ffff);
}

#[test]
fn an_announced_length_reserves_little() {
    let mut reader = ChunkReader::new(LIMITS);
    let mut input = &[0x04, 0, 0, 0, 0x0f, 0, 0, 8, 1, 0, 0, 0, 1][..];
    assert!(reader.handle_input(&mut input).unwrap().is_none());
    assert!(reader.streams[0].body.capacity() <= FIRST_RESERVE_BYTES);
}

#[test]
fn messages_begun_on_every_chunk_stream_reserve_little_together() {
    let limits = ChunkLimits { chunk_streams: 64, ..LIMITS };
    let mut reader = ChunkReader::new(limits);
    for id in 2..66 {
        // The header and the first byte of a chunk, the rest of which would come after those of others: a chunk of one byte.
        let set = [0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        if id == 2 {
            assert_eq!(reader.handle_input(&mut &set[..]), Ok(None));
            continue;
        }
        let basic = if id < 64 { vec![id as u8] } else { vec![0, id as u8 - 64] };
        let begun = [&basic[..], &[0, 0, 0, 0x00, 0xff, 0, 8, 1, 0, 0, 0, 7]].concat();
        assert_eq!(reader.handle_input(&mut &begun[..]), Ok(None));
    }
    let reserved: usize = reader.streams.iter().map(|stream| stream.body.capacity()).sum();
    assert!(reader.streams.len() > 60, "{}", reader.streams.len());
    assert!(reserved <= FIRST_RESERVE_BYTES + 63 * FURTHER_RESERVE_BYTES, "{reserved}");
}
