//! Aggregate messages (RTMP 1.0, section 7.1.6): several audio, video and data messages in one.
//!
//! The body is a run of FLV tags, each followed by its back-pointer. The times inside are shifted so that
//! the first one equals the time of the aggregate.

use bytes::Bytes;
use thiserror::Error;

use super::message::{Message, type_id};

/// Header of a part: type 1, size 3, time 3 + 1, stream id 3.
const HEADER_BYTES: usize = 11;
/// Length of a part's trailing back-pointer.
const BACK_POINTER_BYTES: usize = 4;

/// A part that runs past the end of its aggregate. The parts before it have been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("aggregate message: a part needs {needed} bytes, {left} are left")]
pub struct AggregateError {
    /// Bytes that the part's header announces.
    pub needed: usize,
    /// Bytes left in the aggregate.
    pub left: usize,
}

/// The parts of an aggregate, in order.
#[derive(Debug)]
pub struct Parts {
    rest: Bytes,
    stream_id: u32,
    time_ms: u32,
    first_ms: Option<u32>,
}

/// Splits `aggregate`, a message of type 22.
pub fn split(aggregate: &Message) -> Parts {
    Parts {
        rest: aggregate.payload.clone(),
        stream_id: aggregate.stream_id,
        time_ms: aggregate.timestamp_ms,
        first_ms: None,
    }
}

impl Iterator for Parts {
    type Item = Result<Message, AggregateError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let part = match self.take_part() {
                Ok(part) => part,
                Err(error) => {
                    self.rest.clear();
                    return Some(Err(error));
                }
            };
            // An aggregate inside an aggregate would be a way to nest without bound.
            if part.type_id != type_id::AGGREGATE {
                return Some(Ok(part));
            }
        }
    }
}

impl Parts {
    fn take_part(&mut self) -> Result<Message, AggregateError> {
        let left = self.rest.len();
        if left < HEADER_BYTES {
            return Err(AggregateError { needed: HEADER_BYTES, left });
        }
        let header = self.rest.split_to(HEADER_BYTES);
        let size =
            usize::from(header[1]) << 16 | usize::from(header[2]) << 8 | usize::from(header[3]);
        let part_ms = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
        if self.rest.len() < size {
            return Err(AggregateError { needed: HEADER_BYTES + size, left });
        }
        // Copied: a small part that is kept would keep the whole aggregate.
        let payload = Bytes::copy_from_slice(&self.rest.split_to(size));
        // The last part's back-pointer is sometimes left out.
        let _back_pointer = self.rest.split_to(self.rest.len().min(BACK_POINTER_BYTES));
        let first_ms = *self.first_ms.get_or_insert(part_ms);
        Ok(Message {
            type_id: header[0],
            stream_id: self.stream_id,
            timestamp_ms: self.time_ms.wrapping_add(part_ms.wrapping_sub(first_ms)),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(type_id: u8, time_ms: u32, body: &[u8]) -> Vec<u8> {
        let (time, size) = (time_ms.to_be_bytes(), (body.len() as u32).to_be_bytes());
        let mut bytes =
            vec![type_id, size[1], size[2], size[3], time[1], time[2], time[3], time[0]];
        bytes.extend([0, 0, 0]);
        bytes.extend(body);
        bytes.extend((HEADER_BYTES as u32 + body.len() as u32).to_be_bytes());
        bytes
    }

    fn aggregate(payload: Vec<u8>) -> Message {
        Message { type_id: 22, stream_id: 1, timestamp_ms: 5_000, payload: payload.into() }
    }

    #[test]
    fn parts_are_rebased_to_the_time_of_the_aggregate() {
        let payload = [part(8, 0x0100_0000, b"a"), part(9, 0x0100_0028, b"video")].concat();
        let parts: Vec<_> = split(&aggregate(payload)).map(Result::unwrap).collect();
        let seen: Vec<_> =
            parts.iter().map(|p| (p.type_id, p.timestamp_ms, &p.payload[..])).collect();
        assert_eq!(seen, [(8, 5_000, &b"a"[..]), (9, 5_040, b"video")]);
        assert!(parts.iter().all(|part| part.stream_id == 1));
    }

    #[test]
    fn parts_are_of_any_size_and_the_last_one_needs_no_back_pointer() {
        let long = vec![7; 0x01_0203];
        let payload = [part(9, 0, &long), part(8, 0, b"")].concat();
        for cut in 0..=BACK_POINTER_BYTES {
            let payload = payload[..payload.len() - cut].to_vec();
            let parts: Vec<_> = split(&aggregate(payload)).map(Result::unwrap).collect();
            assert_eq!(parts.len(), 2);
            assert!(parts[0].payload == long && parts[1].payload.is_empty());
        }
    }

    #[test]
    fn a_truncated_part_is_an_error_after_the_whole_ones() {
        let mut payload = [part(8, 0, b"a"), part(9, 40, b"video")].concat();
        payload.truncate(payload.len() - 6);
        let parts: Vec<_> = split(&aggregate(payload)).collect();
        assert_eq!(parts.len(), 2);
        assert!(parts[0].is_ok());
        assert_eq!(parts[1], Err(AggregateError { needed: 16, left: 14 }));
    }

    #[test]
    fn a_part_does_not_keep_its_aggregate() {
        let aggregate = aggregate(part(8, 0, b"a"));
        let part = split(&aggregate).next().unwrap().unwrap();
        let whole = aggregate.payload.as_ptr_range();
        assert!(!whole.contains(&part.payload.as_ptr()));
    }

    #[test]
    fn nested_aggregates_are_skipped() {
        let inner = part(8, 0, b"x");
        let payload = [part(22, 0, &inner), part(8, 20, b"y")].concat();
        let parts: Vec<_> = split(&aggregate(payload)).map(Result::unwrap).collect();
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].payload, "y");
    }
}
