//! What is on its way to one subscriber: control messages and shared frames, written with vectored writes.
//!
//! Nothing is copied: a write gathers pieces of the frames' shared headers and payloads, and a cursor into the
//! first item remembers what the socket has taken. Once its queue has grown to what its subscriber needs, an
//! outbox allocates nothing.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use super::frame::Frame;
use crate::rtmp::chunk::MessageHead;

/// Bytes that are joined to one item: runs of small answers must not cost an item each.
const RUN_BYTES: usize = 64 << 10;
/// Pieces gathered for one write.
const PIECES_MAX: usize = 64;

/// How frames look on the wire of a subscriber.
#[derive(Clone, Copy, Debug)]
pub enum Wire {
    /// RTMP chunks.
    Rtmp {
        /// Outbound chunk size.
        chunk_bytes: u32,
    },
    /// FLV tags, each in an HTTP chunk or not.
    Flv {
        /// HTTP/1.1 chunked coding.
        chunked: bool,
    },
}

/// A frame on its way, with the message stream id of its player, little-endian as in the header.
#[derive(Debug)]
struct Addressed {
    frame: Arc<Frame>,
    stream_id: [u8; 4],
}

impl Wire {
    /// Calls `piece` with the pieces of a frame in order, until it returns false.
    fn pieces<'a>(self, item: &'a Addressed, mut piece: impl FnMut(&'a [u8]) -> bool) {
        let Addressed { frame, stream_id } = item;
        match self {
            Self::Flv { chunked } => {
                let (front, back) = frame.flv.around(chunked);
                let _ = piece(front) && piece(&frame.payload) && piece(back);
            }
            Self::Rtmp { chunk_bytes } => {
                let first = frame.rtmp.first();
                let (front, back) = first.split_at(MessageHead::STREAM_ID_AT);
                if !(piece(front) && piece(stream_id) && piece(&back[stream_id.len()..])) {
                    return;
                }
                let mut chunks = frame.payload.chunks(chunk_bytes as usize);
                if !chunks.next().is_none_or(&mut piece) {
                    return;
                }
                for chunk in chunks {
                    let continuation = frame.rtmp.continuation();
                    if !(piece(continuation) && piece(frame.rtmp.extended()) && piece(chunk)) {
                        return;
                    }
                }
            }
        }
    }

    /// Length of a frame on this wire.
    fn length(self, item: &Addressed) -> usize {
        let mut length = 0;
        self.pieces(item, |piece| {
            length += piece.len();
            true
        });
        length
    }
}

#[derive(Debug)]
enum Item {
    Bytes(Vec<u8>),
    Frame(Addressed),
}

/// The queue of one subscriber.
#[derive(Debug)]
pub struct Outbox {
    wire: Wire,
    items: VecDeque<Item>,
    /// Bytes of the first item that are written.
    written: usize,
    /// Payload of the frames queued.
    frame_bytes: usize,
    /// Bytes queued that are not frames.
    other_bytes: usize,
}

impl Outbox {
    /// An empty queue for frames in the form of `wire`.
    pub fn new(wire: Wire) -> Self {
        Self { wire, items: VecDeque::new(), written: 0, frame_bytes: 0, other_bytes: 0 }
    }

    /// Queues bytes that are not a frame; they go between whole frames.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.other_bytes += bytes.len();
        match self.items.back_mut() {
            Some(Item::Bytes(run)) if run.len() + bytes.len() <= RUN_BYTES => run.extend(bytes),
            _ => self.items.push_back(Item::Bytes(bytes.to_vec())),
        }
    }

    /// Queues a frame for message stream `stream_id`, which means nothing to FLV.
    pub fn push_frame(&mut self, frame: Arc<Frame>, stream_id: u32) {
        self.frame_bytes += frame.payload.len();
        let stream_id = stream_id.to_le_bytes();
        self.items.push_back(Item::Frame(Addressed { frame, stream_id }));
    }

    /// Items queued: frames, and runs of other bytes.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True when everything has been written.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Payload and control bytes that are queued, the first item's written part included.
    pub fn queued_bytes(&self) -> usize {
        self.frame_bytes + self.other_bytes
    }

    /// Bytes that are queued and not frames, the first item's written part included.
    pub fn other_bytes(&self) -> usize {
        self.other_bytes
    }

    /// The frame that is next to be written or half written.
    pub fn first_frame(&self) -> Option<&Arc<Frame>> {
        self.items.iter().find_map(|item| match item {
            Item::Frame(item) => Some(&item.frame),
            Item::Bytes(_) => None,
        })
    }

    /// Drops the frames that `unwanted` picks, except one that is half written; gives how many.
    pub fn drop_frames(&mut self, mut unwanted: impl FnMut(&Frame) -> bool) -> u64 {
        let mut half_written = self.written > 0;
        let mut dropped = 0;
        let frame_bytes = &mut self.frame_bytes;
        self.items.retain(|item| {
            let first_is_safe = std::mem::take(&mut half_written);
            match item {
                Item::Frame(item) if !first_is_safe && unwanted(&item.frame) => {
                    *frame_bytes -= item.frame.payload.len();
                    dropped += 1;
                    false
                }
                _ => true,
            }
        });
        if dropped > 0 && self.written > 0 && matches!(self.items.front(), Some(Item::Frame(_))) {
            sometimes!("frames are dropped behind one that is half written");
        }
        dropped
    }

    /// Writes what is queued with as few writes as the socket allows. Ready once nothing is left; gives how
    /// many bytes were written by this call either way.
    ///
    /// # Errors
    /// Whatever the socket reports; `WriteZero` when it takes nothing.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut S,
        written: &mut u64,
    ) -> Poll<io::Result<()>> {
        while !self.items.is_empty() {
            let taken = {
                let mut slices = [IoSlice::new(&[]); PIECES_MAX];
                let count = self.gather(&mut slices);
                ready!(Pin::new(&mut *socket).poll_write_vectored(cx, &slices[..count]))?
            };
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += taken as u64;
            self.advance(taken);
        }
        Pin::new(socket).poll_flush(cx)
    }

    /// Fills `slices` from the front of the queue and gives how many there are, at least one.
    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; PIECES_MAX]) -> usize {
        let mut count = 0;
        let mut skip = self.written;
        let mut add = |piece: &'a [u8]| {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            if skipped < piece.len() {
                slices[count] = IoSlice::new(&piece[skipped..]);
                count += 1;
            }
            count < PIECES_MAX
        };
        for item in &self.items {
            let mut full = false;
            match item {
                Item::Bytes(bytes) => full = !add(bytes),
                Item::Frame(item) => self.wire.pieces(item, |piece| {
                    full = !add(piece);
                    !full
                }),
            }
            if full {
                break;
            }
        }
        count
    }

    /// Notes that the socket has taken `taken` bytes, and lets go what is written whole.
    fn advance(&mut self, taken: usize) {
        self.written += taken;
        while let Some(item) = self.items.front() {
            let (length, queued, count) = match item {
                Item::Bytes(bytes) => (bytes.len(), bytes.len(), &mut self.other_bytes),
                Item::Frame(item) => {
                    (self.wire.length(item), item.frame.payload.len(), &mut self.frame_bytes)
                }
            };
            if self.written < length {
                return;
            }
            self.written -= length;
            *count -= queued;
            self.items.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::time::Instant;

    use super::*;
    use crate::{
        live::{FrameKind, Headers},
        rtmp::chunk::{ChunkLimits, ChunkReader},
    };

    /// A socket that takes at most `step` bytes a write.
    struct Short {
        taken: Vec<u8>,
        /// Where each piece stood that was offered to it.
        offered: Vec<*const u8>,
        step: usize,
        writes: usize,
    }

    impl AsyncWrite for Short {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.step);
            self.taken.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.offered.extend(slices.iter().map(|slice| slice.as_ptr()));
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let taken = all.len().min(self.step);
            self.writes += 1;
            self.taken.extend_from_slice(&all[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn frame(epoch: u64, timestamp_ms: u32, bytes: usize) -> Arc<Frame> {
        let payload: Vec<u8> = (0..bytes).map(|index| index as u8).collect();
        let headers = Arc::new(Headers::default());
        let now = Instant::now() + Duration::from_millis(u64::from(timestamp_ms));
        Arc::new(Frame::new(FrameKind::Inter, epoch, timestamp_ms, now, payload.into(), headers))
    }

    async fn written(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        write(outbox, step).await.taken
    }

    async fn write(outbox: &mut Outbox, step: usize) -> Short {
        let mut socket = Short { taken: Vec::new(), offered: Vec::new(), step, writes: 0 };
        let mut count = 0;
        poll_fn(|cx| outbox.poll_write(cx, &mut socket, &mut count)).await.unwrap();
        assert_eq!(count, socket.taken.len() as u64);
        assert_eq!(outbox.queued_bytes(), 0);
        socket
    }

    #[tokio::test]
    async fn a_batch_of_frames_is_one_write() {
        for wire in [Wire::Rtmp { chunk_bytes: 60_000 }, Wire::Flv { chunked: true }] {
            let mut outbox = Outbox::new(wire);
            outbox.push_bytes(b"control");
            (0..15).for_each(|index| outbox.push_frame(frame(1, 0x0100_0000 + index, 5_000), 1));
            assert_eq!(write(&mut outbox, usize::MAX).await.writes, 1, "{wire:?}");
        }
    }

    #[tokio::test]
    async fn payloads_are_written_from_where_they_were_received() {
        for wire in [Wire::Rtmp { chunk_bytes: 60_000 }, Wire::Flv { chunked: true }] {
            let mut outbox = Outbox::new(wire);
            let frames = [frame(1, 0, 5_000), frame(1, 40, 700)];
            frames.iter().for_each(|frame| outbox.push_frame(Arc::clone(frame), 1));
            let offered = write(&mut outbox, usize::MAX).await.offered;
            for frame in &frames {
                assert!(offered.contains(&frame.payload.as_ptr()), "{wire:?} copies");
            }
        }
    }

    #[tokio::test]
    async fn every_short_write_gives_the_same_bytes() {
        for wire in [
            Wire::Rtmp { chunk_bytes: 50 },
            Wire::Rtmp { chunk_bytes: 4096 },
            Wire::Flv { chunked: true },
            Wire::Flv { chunked: false },
        ] {
            let mut all = Vec::new();
            for step in [usize::MAX, 1, 3, 17, 100] {
                let mut outbox = Outbox::new(wire);
                outbox.push_bytes(b"control");
                outbox.push_frame(frame(1, 0x00ff_fff0, 300), 1);
                outbox.push_frame(frame(1, 0x0100_0000, 300), 1);
                outbox.push_bytes(b"more");
                outbox.push_frame(frame(1, 0x0100_0001, 0), 1);
                all.push(written(&mut outbox, step).await);
            }
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{wire:?}");
        }
    }

    #[tokio::test]
    async fn rtmp_frames_are_read_back_with_the_players_stream_id() {
        let mut outbox = Outbox::new(Wire::Rtmp { chunk_bytes: 128 });
        let sent = [frame(1, 40, 1000), frame(1, 0x0100_0000, 200), frame(1, 50, 0)];
        sent.iter().for_each(|frame| outbox.push_frame(Arc::clone(frame), 5));
        let bytes = written(&mut outbox, 99).await;
        let limits = ChunkLimits { message_bytes: 9999, chunk_bytes: 9999, chunk_streams: 9 };
        let mut reader = ChunkReader::new(limits);
        let mut input = &bytes[..];
        for frame in &sent {
            let message = reader.handle_input(&mut input).unwrap().unwrap();
            assert_eq!(message.stream_id, 5);
            assert_eq!(message.timestamp_ms, frame.timestamp_ms);
            assert_eq!(message.payload, frame.payload);
        }
    }

    #[tokio::test]
    async fn dropping_frames_spares_control_bytes_and_what_is_half_written() {
        let mut outbox = Outbox::new(Wire::Flv { chunked: false });
        for epoch in [1, 1, 2] {
            outbox.push_frame(frame(epoch, 0, 100), 1);
        }
        outbox.push_bytes(b"status");
        outbox.advance(20);
        assert_eq!(outbox.drop_frames(|frame| frame.epoch == 1), 1);
        assert_eq!(outbox.queued_bytes(), 206);
        assert_eq!(written(&mut outbox, 1000).await.len(), 115 - 20 + 115 + 6);
    }

    #[tokio::test]
    async fn small_answers_are_joined_and_frames_stay_between_them() {
        let mut outbox = Outbox::new(Wire::Flv { chunked: false });
        (0..50_000).for_each(|_| outbox.push_bytes(b"small"));
        assert!(outbox.len() < 5);
        outbox.push_frame(frame(1, 0, 10), 1);
        outbox.push_bytes(b"after");
        let bytes = written(&mut outbox, usize::MAX).await;
        assert_eq!(bytes.len(), 250_000 + 25 + 5);
        assert!(bytes.ends_with(b"after") && bytes.starts_with(b"smallsmall"));
    }

    #[tokio::test]
    async fn more_pieces_than_one_write_takes_all_go_out() {
        let mut outbox = Outbox::new(Wire::Rtmp { chunk_bytes: 10 });
        outbox.push_frame(frame(1, 0, 10_000), 1);
        assert_eq!(written(&mut outbox, usize::MAX).await.len(), 12 + 10_000 + 999);
    }
}
