//! The sending half of a TCP connection: what was written, sent and acknowledged.
//!
//! Written bytes stay here, in the chunks they were written in, until they are acknowledged; a
//! segment is a slice of one chunk, and can be cut again when it was lost. The FIN takes the sequence
//! number after the last byte.

use bytes::Bytes;

use super::{SEND_BUFFER_BYTES, queue::Queue};

#[derive(Debug)]
pub(crate) struct SendQueue {
    /// First sequence number that is not acknowledged.
    una: u64,
    /// Next sequence number to send; goes back to `una` when the retransmission timer runs out.
    nxt: u64,
    /// First sequence number that was never sent.
    sent: u64,
    /// After the last byte written; the FIN's number once there is one.
    end: u64,
    /// First sequence number beyond what the peer can take.
    window_end: u64,
    chunks: Queue<Bytes>,
    /// Sequence number of the first byte of the first chunk.
    chunks_start: u64,
    /// Chunk and place in it that `nxt` stands at.
    cursor: (u32, u32),
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
            sent: initial + 1,
            end: initial + 1,
            window_end: initial + 1,
            chunks: Queue::default(),
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

    /// First sequence number that was never sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sequence numbers that are on their way, or lost.
    pub(crate) fn flight_bytes(&self) -> u64 {
        self.nxt - self.una
    }

    /// Bytes written and not acknowledged.
    pub(crate) fn queued_bytes(&self) -> usize {
        // Before the SYN is acknowledged `una` is below the first byte, after the FIN above `end`.
        self.end.saturating_sub(self.una.max(self.chunks_start)) as usize
    }

    pub(crate) fn free_bytes(&self) -> usize {
        SEND_BUFFER_BYTES - self.queued_bytes()
    }

    /// Bytes that could go out if the windows allowed it.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.end.saturating_sub(self.nxt) as usize
    }

    /// Whether there is something that could go out if the windows allowed it.
    pub(crate) fn has_unsent(&self) -> bool {
        self.nxt < self.end || self.is_closed && self.nxt == self.end
    }

    /// Whether the peer's window has no room for the next byte, or the FIN.
    pub(crate) fn is_window_closed(&self) -> bool {
        self.has_unsent() && self.window_end <= self.nxt
    }

    /// Bytes that the peer's window has room for, beyond what is on its way.
    pub(crate) fn window_free_bytes(&self) -> usize {
        self.window_end.saturating_sub(self.nxt) as usize
    }

    /// The edge of the peer's window.
    pub(crate) fn window_end(&self) -> u64 {
        self.window_end
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

    /// The next segment of at most `bytes_max` while no more than `flight_bytes_max` are on their way
    /// and the peer's window has room; then the FIN, which takes room like a byte. While something is on its way, a
    /// window with room for less than a segment of `mss_bytes` is not filled with a part of one (RFC 9293, 3.8.6.2.1): segments
    /// would grow ever shorter.
    pub(crate) fn next_segment(
        &mut self,
        bytes_max: usize,
        mss_bytes: usize,
        flight_bytes_max: u64,
    ) -> Option<Outgoing> {
        let seq = self.nxt;
        if seq < self.end {
            let in_flight = (self.una + flight_bytes_max).saturating_sub(seq);
            let offered = self.window_end.saturating_sub(seq);
            let room = offered.min(in_flight) as usize;
            if room == 0 {
                return None;
            }
            let (index, start) = (self.cursor.0 as usize, self.cursor.1 as usize);
            let chunk = self.chunks.get(index).expect("unsent bytes are in a chunk");
            let is_part = (offered as usize) < mss_bytes.min(chunk.len() - start);
            if is_part && self.una < seq {
                return None;
            }
            let stop = chunk.len().min(start + bytes_max.min(room));
            let payload = chunk.slice(start..stop);
            self.cursor = match stop == chunk.len() {
                true => (self.cursor.0 + 1, 0),
                false => (self.cursor.0, stop as u32),
            };
            self.nxt += payload.len() as u64;
            self.sent = self.sent.max(self.nxt);
            return Some(Outgoing { seq, payload, is_fin: false });
        }
        if self.is_closed && seq == self.end && seq < self.window_end {
            self.nxt += 1;
            self.sent = self.sent.max(self.nxt);
            return Some(Outgoing { seq, payload: Bytes::new(), is_fin: true });
        }
        None
    }

    /// The first unacknowledged segment, of at most `bytes_max`, to be sent again.
    pub(crate) fn first_segment(&self, bytes_max: usize) -> Option<Outgoing> {
        if let Some(chunk) = self.chunks.front().filter(|_| self.una < self.end) {
            let start = (self.una - self.chunks_start) as usize;
            let sent = (self.sent.min(self.end) - self.una) as usize;
            let stop = chunk.len().min(start + bytes_max.min(sent));
            let payload = chunk.slice(start..stop);
            return Some(Outgoing { seq: self.una, payload, is_fin: false });
        }
        let is_fin = self.is_closed && self.una == self.end && self.sent > self.end;
        is_fin.then(|| Outgoing { seq: self.end, payload: Bytes::new(), is_fin })
    }

    /// Goes back to the first unacknowledged byte: all that follows is sent again.
    pub(crate) fn rewind(&mut self) {
        self.move_to(self.una.max(self.chunks_start));
    }

    fn move_to(&mut self, seq: u64) {
        self.nxt = seq;
        let mut rest = seq - self.chunks_start;
        for (chunk, index) in self.chunks.iter().zip(0..) {
            if rest < chunk.len() as u64 {
                self.cursor = (index, rest as u32);
                return;
            }
            rest -= chunk.len() as u64;
        }
        self.cursor = (self.chunks.len() as u32, 0);
    }

    /// Takes in a cumulative acknowledgment with the window the peer offers from there; gives how many
    /// sequence numbers it newly acknowledges.
    pub(crate) fn on_ack(&mut self, ack: u64, window_bytes: u32) -> u64 {
        if ack > self.sent {
            return 0;
        }
        self.window_end = self.window_end.max(ack + u64::from(window_bytes));
        let acked = ack.saturating_sub(self.una);
        self.una = self.una.max(ack);
        while let Some(chunk) = self.chunks.front() {
            let chunk_end = self.chunks_start + chunk.len() as u64;
            if chunk_end > self.una {
                break;
            }
            self.chunks_start = chunk_end;
            self.chunks.pop_front();
            self.cursor.0 = self.cursor.0.saturating_sub(1);
        }
        if self.nxt < self.una {
            // What was taken for lost has arrived.
            self.move_to(self.una.min(self.end));
            self.nxt = self.una;
        }
        acked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: usize = 1_460;

    fn lengths(queue: &mut SendQueue) -> Vec<usize> {
        let next = || queue.next_segment(MSS, MSS, 1 << 20);
        std::iter::from_fn(next).map(|segment| segment.payload.len()).collect()
    }

    #[test]
    fn segments_are_cut_at_chunk_mss_and_window() {
        let mut queue = SendQueue::new(100);
        queue.on_ack(101, 2_000);
        queue.push(Bytes::from(vec![1; 10]));
        queue.push(Bytes::from(vec![2; 3_000]));
        assert_eq!(lengths(&mut queue), [10, 1_460]);
        assert_eq!(queue.on_ack(111, 60_000), 10);
        assert_eq!(lengths(&mut queue), [1_460, 80]);
        assert_eq!(queue.queued_bytes(), 3_000);
    }

    #[test]
    fn no_more_than_allowed_is_on_its_way() {
        let mut queue = SendQueue::new(0);
        queue.on_ack(1, 60_000);
        queue.push(Bytes::from(vec![1; 4_000]));
        assert_eq!(queue.next_segment(MSS, MSS, 2_000).map(|out| out.payload.len()), Some(1_460));
        assert_eq!(queue.next_segment(MSS, MSS, 2_000).map(|out| out.payload.len()), Some(540));
        assert!(queue.next_segment(MSS, MSS, 2_000).is_none());
        queue.on_ack(1_001, 60_000);
        assert_eq!(queue.next_segment(MSS, MSS, 2_000).map(|out| out.payload.len()), Some(1_000));
    }

    #[test]
    fn room_for_less_than_a_segment_is_used_when_nothing_is_on_its_way() {
        let mut queue = SendQueue::new(0);
        queue.on_ack(1, 700);
        queue.push(Bytes::from(vec![1; 4_000]));
        assert_eq!(lengths(&mut queue), [700]);
        queue.on_ack(701, 100);
        assert_eq!(lengths(&mut queue), [100]);
    }

    #[test]
    fn what_was_lost_is_cut_again_and_what_arrived_is_not() {
        let mut queue = SendQueue::new(0);
        queue.on_ack(1, 60_000);
        queue.push(Bytes::from(vec![1; 1_000]));
        queue.push(Bytes::from(vec![2; 2_000]));
        queue.push(Bytes::from(vec![3; 500]));
        assert_eq!(lengths(&mut queue), [1_000, 1_460, 540, 500]);
        queue.on_ack(501, 60_000);
        let first = queue.first_segment(MSS).expect("is unacknowledged");
        assert_eq!((first.seq, first.payload.len()), (501, 500));
        queue.rewind();
        assert_eq!(queue.next_segment(MSS, MSS, 1_000).map(|out| out.seq), Some(501));
        // The rest of the second chunk had arrived; only the third was lost.
        assert_eq!(queue.on_ack(3_001, 60_000), 2_500);
        let next = queue.next_segment(MSS, MSS, 1_000).expect("the third");
        assert_eq!((next.seq, &next.payload[..]), (3_001, &[3; 500][..]));
        queue.rewind();
        assert_eq!(queue.on_ack(3_501, 60_000), 500);
        assert!(queue.next_segment(MSS, MSS, 1_000).is_none());
        queue.push(Bytes::from_static(b"more"));
        assert_eq!(queue.next_segment(MSS, MSS, 1_000).map(|out| out.seq), Some(3_501));
    }

    #[test]
    fn the_fin_takes_a_number_after_the_last_byte() {
        let mut queue = SendQueue::new(0);
        queue.on_ack(1, 10);
        queue.push(Bytes::from_static(b"abc"));
        queue.close();
        assert_eq!(queue.next_segment(MSS, MSS, 10).map(|segment| segment.is_fin), Some(false));
        let fin = queue.next_segment(MSS, MSS, 10).expect("the FIN follows");
        assert_eq!((fin.seq, fin.is_fin), (4, true));
        assert!(queue.next_segment(MSS, MSS, 10).is_none());
        queue.on_ack(4, 10);
        assert!(!queue.is_fin_acknowledged());
        assert_eq!(queue.first_segment(MSS).map(|again| again.is_fin), Some(true));
        queue.rewind();
        assert_eq!(queue.next_segment(MSS, MSS, 10).map(|segment| segment.is_fin), Some(true));
        queue.on_ack(5, 10);
        assert!(queue.is_fin_acknowledged());
        assert_eq!(queue.queued_bytes(), 0);
        assert!(queue.first_segment(MSS).is_none());
    }
}
