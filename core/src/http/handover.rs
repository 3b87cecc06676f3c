//! How a live response leaves hyper, and whatever else must not have hyper around it.
//!
//! The service answers with a [`LiveBody`], which never gives a byte. hyper writes the head, asks the body, gets
//! nothing and flushes; [`Tap`], between hyper and the socket, sees the flush. Then the head is on the wire and
//! nothing else is buffered, and the socket can be taken away.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::live::{Subscriber, Tracks};

/// What follows the head of a response that leaves hyper.
#[derive(Debug)]
pub(super) enum Sequel {
    Live(LiveResponse),
    #[cfg(feature = "leakcheck")]
    Leakcheck(super::leakcheck::Job),
}

/// What a viewer is to get after the head of its response.
#[derive(Debug)]
pub(super) struct LiveResponse {
    pub(super) subscriber: Subscriber,
    pub(super) tracks: Tracks,
    /// HTTP/1.1 chunked coding; without it the end of the connection ends the response.
    pub(super) chunked: bool,
}

#[derive(Debug)]
enum Stage {
    /// No response that leaves it.
    None,
    /// hyper has the response and has not asked its body yet.
    Answered(Sequel),
    /// The head is in hyper's buffer.
    HeadBuffered(Sequel),
    /// The head is on the wire.
    HeadOut(Sequel),
}

/// How far the answer to the current request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// No request is there, or its answer is on the wire.
    None,
    /// The service works on it.
    Made,
    /// hyper has it.
    Written,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    answer: Answer,
    progress_at: Instant,
}

/// What the service, the body and the tap of one connection share.
#[derive(Debug)]
pub(super) struct Handover {
    state: Mutex<State>,
}

impl Handover {
    pub(super) fn new(now: Instant) -> Self {
        let state = State { stage: Stage::None, answer: Answer::None, progress_at: now };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock is not held across a panic")
    }

    /// A request has come.
    pub(super) fn begin_request(&self) {
        self.state().answer = Answer::Made;
    }

    /// The service has its answer.
    pub(super) fn end_request(&self) {
        self.state().answer = Answer::Written;
    }

    /// True while a request is being answered.
    pub(super) fn is_answering(&self) -> bool {
        self.state().answer != Answer::None
    }

    /// The service answers with `response`.
    pub(super) fn answer(&self, response: Sequel) {
        self.state().stage = Stage::Answered(response);
    }

    /// The response, once its head is on the wire.
    pub(super) fn take_if_head_is_out(&self) -> Option<Sequel> {
        let mut state = self.state();
        match std::mem::replace(&mut state.stage, Stage::None) {
            Stage::HeadOut(response) => Some(response),
            other => {
                state.stage = other;
                None
            }
        }
    }

    /// When the socket last took or gave anything.
    pub(super) fn progress_at(&self) -> Instant {
        self.state().progress_at
    }

    fn note_progress(&self) {
        self.state().progress_at = Instant::now();
    }

    fn body_asked(&self) {
        let mut state = self.state();
        state.stage = match std::mem::replace(&mut state.stage, Stage::None) {
            Stage::Answered(response) => Stage::HeadBuffered(response),
            other => other,
        };
    }

    fn flushed(&self) {
        let mut state = self.state();
        if state.answer == Answer::Written {
            state.answer = Answer::None;
        }
        state.stage = match std::mem::replace(&mut state.stage, Stage::None) {
            Stage::HeadBuffered(response) => Stage::HeadOut(response),
            other => other,
        };
    }
}

/// The body of a response that leaves hyper, as far as hyper knows it.
#[derive(Debug)]
pub(super) struct LiveBody(pub(super) Arc<Handover>);

impl Body for LiveBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // No waker is kept: the connection is taken away from hyper before it asks again.
        self.0.body_asked();
        Poll::Pending
    }
}

/// The socket as hyper sees it.
#[derive(Debug)]
pub(super) struct Tap<S> {
    socket: S,
    handover: Arc<Handover>,
}

impl<S> Tap<S> {
    pub(super) fn new(socket: S, handover: Arc<Handover>) -> Self {
        Self { socket, handover }
    }

    pub(super) fn into_inner(self) -> S {
        self.socket
    }

    fn noted<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Ok(_)) = result {
            self.handover.note_progress();
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        self.noted(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            self.handover.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
