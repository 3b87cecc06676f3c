//! The sending half of a TCP connection: what was written, sent and acknowledged.
//!
//! Written bytes stay here, in the chunks they were written in, until they are acknowledged; a
//! segment is a slice of one chunk. The FIN takes the sequence number after the last byte.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{MSS_BYTES, SEND_BUFFER_BYTES};

#[derive(Debug)]
pub(crate) struct SendQueue {
    /// First sequence number that is not acknowledged.
    una: u64,
    /// Next sequence number to send.
    nxt: u64,
    /// After the last byte written; the FIN's number once there is one.
    end: u64,
    /// First sequence number beyond what the peer can take.
    window_end: u64,
    chunks: VecDeque<Bytes>,
    /// Sequence number of the first byte of the first chunk.
    chunks_start: u64,
    /// Chunk and place in it that `nxt` stands at.
    cursor: (usize, usize),
    is_closed: bool,
}

/// What goes out next.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) seq: u64,
    pub(crate) payload: Bytes,
    pub(crate) is_fin: bool,
}

impl SendQueue {
    /// A queue whose SYN, with sequence number `initial`, is being sent.
    pub(crate) fn new(initial: u64) -> Self {
        Self {
            una: initial,
            nxt: initial + 1,
            end: initial + 1,
            window_end: initial + 1,
            chunks: VecDeque::new(),
            chunks_start: initial + 1,
            cursor: (0, 0),
            is_closed: false,
        }
    }

    /// The sequence number of the SYN, until it is acknowledged.
    pub(crate) fn una(&self) -> u64 {
        self.una
    }

    pub(crate) fn nxt(&self) -> u64 {
        self.nxt
    }

    /// Bytes written and not acknowledged.
    pub(crate) fn queued_bytes(&self) -> usize {
        // Before the SYN is acknowledged `una` is below the first byte, after the FIN above `end`.
        self.end.saturating_sub(self.una.max(self.chunks_start)) as usize
    }

    pub(crate) fn free_bytes(&self) -> usize {
        SEND_BUFFER_BYTES - self.queued_bytes()
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        assert!(!self.is_closed, "nothing is written after the FIN");
        assert!(chunk.len() <= self.free_bytes(), "a write is cut to the room there is");
        self.end += chunk.len() as u64;
        self.chunks.push_back(chunk);
    }

    /// Appends the FIN.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(crate) fn is_fin_acknowledged(&self) -> bool {
        self.is_closed && self.una > self.end
    }

    /// The next segment that the peer's window has room for; then the FIN, which needs none.
    pub(crate) fn next_segment(&mut self) -> Option<Outgoing> {
        let seq = self.nxt;
        if seq < self.end {
            let room = self.window_end.saturating_sub(seq) as usize;
            if room == 0 {
                return None;
            }
            let (index, start) = self.cursor;
            let chunk = &self.chunks[index];
            let stop = chunk.len().min(start + MSS_BYTES.min(room));
            let payload = chunk.slice(start..stop);
            self.cursor = if stop == chunk.len() { (index + 1, 0) } else { (index, stop) };
            self.nxt += payload.len() as u64;
            return Some(Outgoing { seq, payload, is_fin: false });
        }
        if self.is_closed && seq == self.end {
            self.nxt += 1;
            return Some(Outgoing { seq, payload: Bytes::new(), is_fin: true });
        }
        None
    }

    /// Takes in a cumulative acknowledgment with the window the peer offers from there.
    pub(crate) fn on_ack(&mut self, ack: u64, window_bytes: u32) {
        if ack > self.nxt {
            return;
        }
        self.window_end = self.window_end.max(ack + u64::from(window_bytes));
        self.una = self.una.max(ack);
        while let Some(chunk) = self.chunks.front() {
            let chunk_end = self.chunks_start + chunk.len() as u64;
            if chunk_end > self.una {
                break;
            }
            self.chunks_start = chunk_end;
            self.chunks.pop_front();
            self.cursor.0 -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(queue: &mut SendQueue) -> Vec<usize> {
        std::iter::from_fn(|| queue.next_segment()).map(|segment| segment.payload.len()).collect()
    }

    #[test]
    fn segments_are_cut_at_chunk_mss_and_window() {
        let mut queue = SendQueue::new(100);
        queue.on_ack(101, 2_000);
        queue.push(Bytes::from(vec![1; 10]));
        queue.push(Bytes::from(vec![2; 3_000]));
        assert_eq!(lengths(&mut queue), [10, 1_460, 530]);
        queue.on_ack(111, 60_000);
        assert_eq!(lengths(&mut queue), [1_010]);
        assert_eq!(queue.queued_bytes(), 3_000);
    }

    #[test]
    fn the_fin_takes_a_number_after_the_last_byte() {
        let mut queue = SendQueue::new(0);
        queue.on_ack(1, 10);
        queue.push(Bytes::from_static(b"abc"));
        queue.close();
        assert_eq!(queue.next_segment().map(|segment| segment.is_fin), Some(false));
        let fin = queue.next_segment().expect("the FIN follows");
        assert_eq!((fin.seq, fin.is_fin), (4, true));
        assert!(queue.next_segment().is_none());
        queue.on_ack(4, 10);
        assert!(!queue.is_fin_acknowledged());
        queue.on_ack(5, 10);
        assert!(queue.is_fin_acknowledged());
        assert_eq!(queue.queued_bytes(), 0);
    }
}
