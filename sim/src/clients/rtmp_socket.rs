//! A client's side of a connection on a socket.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use rehearsal_core::{
    env::Env,
    rtmp::{
        chunk::ChunkLimits,
        client::{ClientConfig, ClientError, ClientEvent, ClientSession, Intent},
        command::Encoding,
        handshake::{ClientForm, Entropy},
    },
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::Instant,
};

const READ_BYTES: usize = 16 << 10;
/// What a client puts up with: more than any server sends.
pub(super) const LIMITS: ChunkLimits =
    ChunkLimits { message_bytes: 16 << 20, chunk_bytes: 16 << 20, chunk_streams: 64 };

/// Why a client's connection is over.
#[derive(Debug, Error)]
pub(super) enum SocketEnd {
    #[error("closed by the server")]
    Closed,
    #[error("{}", .0.kind())]
    Io(#[from] io::Error),
    #[error("the server's bytes make no sense: {0}")]
    Protocol(#[from] ClientError),
}

/// A client's side of a connection, without I/O.
pub(super) trait ClientSide {
    /// What the server does or says.
    type Event;

    /// Consumes from the front of `input` until there is an event or the input is used up.
    fn handle_input(
        &mut self,
        now: Duration,
        input: &mut &[u8],
        entropy: Entropy<'_>,
    ) -> Result<Option<Self::Event>, ClientError>;

    /// Takes the bytes to send.
    fn poll_output(&mut self) -> Vec<u8>;

    /// Bytes since the handshake that the server has acknowledged, modulo 2^32.
    fn peer_received_bytes(&self) -> u32;
}

impl ClientSide for ClientSession {
    type Event = ClientEvent;

    fn handle_input(
        &mut self,
        now: Duration,
        input: &mut &[u8],
        entropy: Entropy<'_>,
    ) -> Result<Option<ClientEvent>, ClientError> {
        self.handle_input(now, input, entropy)
    }

    fn poll_output(&mut self) -> Vec<u8> {
        self.poll_output()
    }

    fn peer_received_bytes(&self) -> u32 {
        self.peer_received_bytes()
    }
}

/// Hands `input` to the session until something happens.
fn take_event<E: Env, S: ClientSide>(
    session: &mut S,
    env: &E,
    opened_at: Instant,
    input: &mut &[u8],
) -> Result<Option<S::Event>, ClientError> {
    session.handle_input(opened_at.elapsed(), input, &mut |buf: &mut [u8]| env.fill_random(buf))
}

/// One connection of an RTMP client.
pub(super) struct RtmpSocket<E: Env, S = ClientSession> {
    env: E,
    stream: E::TcpStream,
    session: S,
    opened_at: Instant,
    /// Bytes read and how many of them are used.
    input: (Vec<u8>, usize),
    /// Bytes to write and how many of them are written.
    output: (Vec<u8>, usize),
    /// Bytes written since the connection was made, modulo 2^32.
    written_bytes: u32,
}

impl<E: Env> RtmpSocket<E> {
    /// Connects and starts the session for the stream called `name`, application and stream name.
    pub(super) async fn connect(
        env: &E,
        gateway: SocketAddr,
        name: &str,
        intent: Intent,
        form: ClientForm,
        chunk_bytes: u32,
    ) -> Result<Self, SocketEnd> {
        let (app, name) = name.rsplit_once('/').unwrap_or(("", name));
        let config = ClientConfig {
            form,
            chunk_limits: LIMITS,
            chunk_bytes,
            encoding: Encoding::Amf0,
            app: app.to_owned(),
            name: name.to_owned(),
            intent,
        };
        Self::open(env, gateway, |now, entropy| ClientSession::new(config, now, entropy)).await
    }
}

impl<E: Env, S: ClientSide> RtmpSocket<E, S> {
    /// Connects, and starts what `begin` makes of when that was.
    pub(super) async fn open(
        env: &E,
        gateway: SocketAddr,
        begin: impl FnOnce(Duration, Entropy<'_>) -> S,
    ) -> Result<Self, SocketEnd> {
        let stream = env.connect_tcp(gateway).await?;
        let now = Instant::now();
        let session = begin(now.elapsed(), &mut |buf: &mut [u8]| env.fill_random(buf));
        let (input, output) = ((Vec::new(), 0), (Vec::new(), 0));
        Ok(Self {
            env: env.clone(),
            stream,
            session,
            opened_at: now,
            input,
            output,
            written_bytes: 0,
        })
    }

    pub(super) fn session(&mut self) -> &mut S {
        &mut self.session
    }

    /// Bytes that the socket has not taken yet.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.output.0.len() - self.output.1
    }

    /// Bytes written that the server has not acknowledged. Those of the handshake never are.
    pub(super) fn unacknowledged_bytes(&self) -> u32 {
        self.written_bytes.wrapping_sub(self.session.peer_received_bytes())
    }

    /// Sends what is to be sent and waits for what the server does. Cancel safe.
    pub(super) async fn event(&mut self) -> Result<S::Event, SocketEnd> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<S::Event, SocketEnd>> {
        loop {
            let _ = self.poll_send(cx)?;
            let (bytes, used) = &mut self.input;
            if *used < bytes.len() {
                let mut rest = &bytes[*used..];
                let event = take_event(&mut self.session, &self.env, self.opened_at, &mut rest)?;
                *used = bytes.len() - rest.len();
                match event {
                    Some(event) => return Poll::Ready(Ok(event)),
                    None => continue,
                }
            }
            // On the stack: only what is left over costs the connection memory.
            let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut buf = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            let mut rest = buf.filled();
            if rest.is_empty() {
                return Poll::Ready(Err(SocketEnd::Closed));
            }
            let event = take_event(&mut self.session, &self.env, self.opened_at, &mut rest)?;
            bytes.clear();
            bytes.extend_from_slice(rest);
            *used = 0;
            if let Some(event) = event {
                return Poll::Ready(Ok(event));
            }
        }
    }

    /// Writes until everything is out. Cancel safe.
    pub(super) async fn send_all(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_send(cx)).await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.0.extend(self.session.poll_output());
        let (bytes, written) = &mut self.output;
        while *written < bytes.len() {
            let write = Pin::new(&mut self.stream).poll_write(cx, &bytes[*written..]);
            match write? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(more) => {
                    *written += more;
                    self.written_bytes = self.written_bytes.wrapping_add(more as u32);
                }
            }
        }
        bytes.clear();
        *written = 0;
        Poll::Ready(Ok(()))
    }

    /// Sends FIN and reads until the server closes too. Nothing is answered any more, pings included.
    pub(super) async fn close(mut self) -> Result<(), SocketEnd> {
        self.send_all().await?;
        self.stream.shutdown().await?;
        let mut bytes = vec![0; READ_BYTES];
        while self.stream.read(&mut bytes).await? > 0 {}
        Ok(())
    }
}
