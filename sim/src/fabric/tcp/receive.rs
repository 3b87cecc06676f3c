//! The receiving half of a TCP connection: what came in order and waits for the reader, and what came
//! after a gap and waits for that to close.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::{RECEIVE_BUFFER_BYTES, WINDOW_STEP_BYTES, queue::Queue};

#[derive(Debug)]
pub(crate) struct ReceiveQueue {
    /// Next sequence number expected: what is acknowledged.
    nxt: u64,
    /// First sequence number beyond the window advertised; never goes back.
    edge: u64,
    chunks: Queue<Bytes>,
    queued_bytes: usize,
    has_fin: bool,
    /// What came too early, which is mostly nothing.
    early: Option<Box<Early>>,
}

/// What came after a gap.
#[derive(Debug, Default)]
struct Early {
    /// Sequence number of a FIN.
    fin: Option<u64>,
    /// Bytes, by their first sequence number.
    payloads: BTreeMap<u64, Bytes>,
}

impl ReceiveQueue {
    /// A queue whose peer's first byte will have sequence number `nxt`.
    pub(crate) fn new(nxt: u64) -> Self {
        Self {
            nxt,
            edge: nxt + RECEIVE_BUFFER_BYTES as u64,
            chunks: Queue::default(),
            queued_bytes: 0,
            has_fin: false,
            early: None,
        }
    }

    pub(crate) fn nxt(&self) -> u64 {
        self.nxt
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether the peer has sent all it will.
    pub(crate) fn has_fin(&self) -> bool {
        self.has_fin
    }

    /// Whether something came early and waits.
    pub(crate) fn has_gap(&self) -> bool {
        self.early.is_some() && !self.has_fin
    }

    /// First sequence number beyond the window advertised.
    pub(crate) fn edge(&self) -> u64 {
        self.edge
    }

    /// Takes `payload`, as far as it is within the window and new; true if the reader has more now.
    pub(crate) fn accept(&mut self, seq: u64, mut payload: Bytes) -> bool {
        if self.has_fin || seq >= self.edge {
            return false;
        }
        payload.truncate((self.edge - seq) as usize);
        if seq > self.nxt {
            let known = self.early.get_or_insert_default().payloads.entry(seq).or_default();
            if known.len() < payload.len() {
                *known = payload;
            }
            return false;
        }
        let has_more = self.append(seq, payload);
        if let Some(mut early) = self.early.take() {
            while let Some(first) = early.payloads.first_entry()
                && *first.key() <= self.nxt
            {
                let (seq, payload) = first.remove_entry();
                self.append(seq, payload);
            }
            let is_over = early.payloads.is_empty() && early.fin.is_none();
            self.early = (!is_over).then_some(early);
        }
        has_more
    }

    /// Queues what of `payload`, which begins at or before what is expected, is new; true if any is.
    fn append(&mut self, seq: u64, mut payload: Bytes) -> bool {
        payload.advance(payload.len().min((self.nxt - seq) as usize));
        if payload.is_empty() {
            return false;
        }
        self.nxt += payload.len() as u64;
        self.queued_bytes += payload.len();
        self.chunks.push_back(payload);
        true
    }

    /// Takes the FIN with sequence number `seq`, or one that came before, if it is next in order; true
    /// if it is.
    pub(crate) fn accept_fin(&mut self, seq: Option<u64>) -> bool {
        let known = self.early.as_ref().and_then(|early| early.fin);
        let fin = known.or(seq.filter(|seq| *seq <= self.edge));
        if self.has_fin || fin != Some(self.nxt) {
            if fin != known {
                self.early.get_or_insert_default().fin = fin;
            }
            return false;
        }
        self.early = None;
        self.nxt += 1;
        self.edge = self.edge.max(self.nxt);
        self.has_fin = true;
        true
    }

    /// Moves what fits into `buf`.
    pub(crate) fn read(&mut self, buf: &mut ReadBuf<'_>) {
        while let Some(chunk) = self.chunks.front_mut() {
            let fits = chunk.len().min(buf.remaining());
            buf.put_slice(&chunk[..fits]);
            self.queued_bytes -= fits;
            if fits < chunk.len() {
                chunk.advance(fits);
                return;
            }
            self.chunks.pop_front();
        }
    }

    /// The window to advertise now, which the peer may rely on from then on.
    pub(crate) fn advertise(&mut self) -> u32 {
        let free = (RECEIVE_BUFFER_BYTES - self.queued_bytes) as u64;
        self.edge = self.edge.max(self.nxt + free);
        (self.edge - self.nxt) as u32
    }

    /// Whether reading has freed so much that the peer should hear of it without being asked: at
    /// least twice what it knows of, and no silly little (RFC 9293, 3.8.6.2.2).
    pub(crate) fn wants_window_update(&self) -> bool {
        let free = (RECEIVE_BUFFER_BYTES - self.queued_bytes) as u64;
        let known = self.edge - self.nxt;
        !self.has_fin && free >= WINDOW_STEP_BYTES && free >= 2 * known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_bytes_are_cut_off_and_what_comes_early_waits() {
        let mut queue = ReceiveQueue::new(10);
        assert!(queue.accept(10, Bytes::from_static(b"abcd")));
        assert!(queue.accept(12, Bytes::from_static(b"cdef")));
        assert!(!queue.accept(12, Bytes::from_static(b"cd")));
        assert!(!queue.accept(17, Bytes::from_static(b"h")));
        assert!(!queue.accept(17, Bytes::from_static(b"hij")));
        assert!(!queue.accept(19, Bytes::from_static(b"jk")));
        assert!(!queue.accept_fin(Some(21)));
        assert_eq!(queue.nxt(), 16);
        assert!(queue.accept(16, Bytes::from_static(b"g")));
        assert!(queue.accept_fin(None));
        let mut space = [0; 16];
        let mut buf = ReadBuf::new(&mut space);
        queue.read(&mut buf);
        assert_eq!(buf.filled(), b"abcdefghijk");
    }

    #[test]
    fn bytes_beyond_the_window_are_refused() {
        let mut queue = ReceiveQueue::new(0);
        assert!(queue.accept(0, Bytes::from(vec![0; RECEIVE_BUFFER_BYTES + 1])));
        assert_eq!(queue.queued_bytes(), RECEIVE_BUFFER_BYTES);
        assert_eq!(queue.advertise(), 0);
        assert!(!queue.accept(queue.nxt(), Bytes::from_static(b"x")));
    }

    #[test]
    fn a_closed_window_is_reopened_by_a_step_not_by_a_byte() {
        let mut queue = ReceiveQueue::new(0);
        queue.accept(0, Bytes::from(vec![0; RECEIVE_BUFFER_BYTES]));
        let mut space = vec![0; WINDOW_STEP_BYTES as usize];
        queue.read(&mut ReadBuf::new(&mut space[..1]));
        assert!(!queue.wants_window_update());
        queue.read(&mut ReadBuf::new(&mut space));
        assert!(queue.wants_window_update());
        assert_eq!(queue.advertise() as u64, WINDOW_STEP_BYTES + 1);
        assert!(!queue.wants_window_update());
    }
}
