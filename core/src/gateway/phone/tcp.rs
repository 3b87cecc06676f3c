//! SIP over TCP: a task for each connection, which reads and writes whole messages, and the connections that there are.
//!
//! Who connects and who is connected to make no difference but for the first message, which whoever connects has to send soon: a
//! peer is the address at the other end, and there is one connection to each. One that is gone when something is to be said is opened
//! to that address.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{
        Notify, Semaphore,
        mpsc::{self, error::TrySendError},
    },
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info};

use crate::{
    env::Env,
    gateway::{Shared, task_set::TaskSet},
    sip::{
        ParseLimits,
        framing::{FramingError, PONG, StreamReader},
    },
};

/// Read at a time.
const READ_BYTES: usize = 4_096;
/// Messages to one peer that wait to be written; one more closes its connection.
const QUEUE_MESSAGES_MAX: usize = 64;
/// Messages of all connections that wait to be looked at; who has another waits with it.
const INBOX_MESSAGES_MAX: usize = 64;

/// What a connection has to say.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A message.
    Message(Bytes),
    /// A connection is over.
    Closed {
        /// Its number.
        id: u64,
        /// It was there before; otherwise nobody could be connected to.
        was_open: bool,
    },
}

/// What connections have said and nobody has looked at yet, in order, by the addresses of their peers.
#[derive(Debug)]
pub(super) struct Inbox {
    arrived: Mutex<VecDeque<(SocketAddr, Arrival)>>,
    is_filled: Notify,
    room: Semaphore,
}

impl Inbox {
    fn new() -> Self {
        Self {
            arrived: Mutex::default(),
            is_filled: Notify::new(),
            room: Semaphore::new(INBOX_MESSAGES_MAX),
        }
    }

    fn push(&self, peer: SocketAddr, arrival: Arrival) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.push_back((peer, arrival));
        self.is_filled.notify_one();
    }

    /// Hands over a message, when there is room for it.
    async fn deliver(&self, peer: SocketAddr, message: Bytes) {
        if let Ok(permit) = self.room.acquire().await {
            // Given back by who takes the message.
            permit.forget();
            self.push(peer, Arrival::Message(message));
        }
    }

    /// Waits for something to arrive. Cancel safe.
    pub(super) async fn filled(&self) {
        self.is_filled.notified().await;
    }

    /// All that has arrived.
    pub(super) fn take(&self) -> VecDeque<(SocketAddr, Arrival)> {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *arrived);
        let is_message = |(_, arrival): &&(_, _)| matches!(arrival, Arrival::Message(_));
        self.room.add_permits(taken.iter().filter(is_message).count());
        taken
    }
}

/// Says that a connection is over when it is dropped, behind everything else of its task.
struct Closed {
    inbox: Arc<Inbox>,
    peer: SocketAddr,
    id: u64,
    was_open: bool,
}

impl Drop for Closed {
    fn drop(&mut self) {
        let Self { id, was_open, .. } = *self;
        self.inbox.push(self.peer, Arrival::Closed { id, was_open });
    }
}

/// A connection that is open, or about to be.
struct Link {
    id: u64,
    queue: mpsc::Sender<Bytes>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is on its way, or waits for a connection.
    Yes,
    /// Its connection is gone, and it with that.
    Lost,
    /// Nothing can be sent there.
    No,
}

/// All connections.
pub(super) struct Links<E: Env> {
    shared: Arc<Shared<E>>,
    inbox: Arc<Inbox>,
    tasks: TaskSet<E>,
    open: BTreeMap<SocketAddr, Link>,
    next_id: u64,
    /// Connections that were closed at once because there were too many.
    refused: u64,
}

impl<E: Env> Links<E> {
    pub(super) fn new(shared: Arc<Shared<E>>) -> Self {
        Self {
            inbox: Arc::new(Inbox::new()),
            tasks: TaskSet::new(shared.env.clone()),
            open: BTreeMap::new(),
            next_id: 0,
            refused: 0,
            shared,
        }
    }

    /// Where messages arrive.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Connections that were closed at once because there were too many.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// A peer has connected.
    pub(super) fn accept(&mut self, socket: E::TcpStream, peer: SocketAddr) {
        if self.open.len() >= self.shared.config.sip.max_connections {
            self.refused += 1;
            debug!(%peer, "a connection is refused: sip.max_connections is reached");
            return;
        }
        let waits = Waits::new(&self.shared);
        self.open(peer, |queue, inbox| async move {
            carry(socket, (peer, true), queue, inbox, waits).await;
            true
        });
    }

    /// Sends `message` to `peer`, who is connected to if need be.
    pub(super) fn send(&mut self, peer: SocketAddr, message: Bytes) -> Sent {
        if !self.open.contains_key(&peer) {
            if self.open.len() >= self.shared.config.sip.max_connections {
                self.refused += 1;
                return Sent::No;
            }
            let (env, waits) = (self.shared.env.clone(), Waits::new(&self.shared));
            self.open(peer, |queue, inbox| async move {
                match timeout(waits.connect, env.connect_tcp(peer)).await {
                    Ok(Ok(socket)) => {
                        carry(socket, (peer, false), queue, inbox, waits).await;
                        return true;
                    }
                    Ok(Err(error)) => info!(%peer, %error, "a SIP peer cannot be connected to"),
                    Err(_) => info!(%peer, "a SIP peer does not answer within sip.connect_ms"),
                }
                false
            });
        }
        let sent = match self.open.get(&peer).map(|link| link.queue.try_send(message)) {
            Some(Ok(())) => Sent::Yes,
            // Of its end nobody was told yet.
            Some(Err(TrySendError::Closed(_))) => Sent::Lost,
            // It reads too slowly.
            Some(Err(TrySendError::Full(_))) | None => Sent::No,
        };
        if sent != Sent::Yes {
            self.close(peer);
        }
        sent
    }

    /// The connection `id` to `peer` is over. False when there is another by now.
    pub(super) fn handle_closed(&mut self, peer: SocketAddr, id: u64) -> bool {
        let is_it = self.open.get(&peer).is_some_and(|link| link.id == id);
        if is_it {
            self.close(peer);
        }
        is_it
    }

    /// Writes what there is to write, and closes all connections.
    pub(super) async fn finish(&mut self) {
        self.open = BTreeMap::new();
        self.tasks.idle().await;
    }

    fn close(&mut self, peer: SocketAddr) {
        self.open.remove(&peer);
        // An empty map would keep its last node.
        if self.open.is_empty() {
            self.open = BTreeMap::new();
        }
    }

    /// A connection that `carry` carries, which tells at its end whether it was there.
    fn open<F: Future<Output = bool> + Send + 'static>(
        &mut self,
        peer: SocketAddr,
        carry: impl FnOnce(mpsc::Receiver<Bytes>, Arc<Inbox>) -> F,
    ) {
        self.next_id += 1;
        let id = self.next_id;
        let (queue, queued) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let inbox = Arc::clone(&self.inbox);
        let closed = Closed { inbox, peer, id, was_open: false };
        let carrying = carry(queued, Arc::clone(&self.inbox));
        self.tasks.spawn(async move {
            // Told of however it ends.
            let mut closed = closed;
            closed.was_open = carrying.await;
        });
        self.open.insert(peer, Link { id, queue });
    }
}

/// How long a connection may take for what, and what it may bring.
#[derive(Clone, Copy)]
struct Waits {
    connect: Duration,
    message: Duration,
    idle: Duration,
    limits: ParseLimits,
}

impl Waits {
    fn new<E: Env>(shared: &Shared<E>) -> Self {
        let sip = &shared.config.sip;
        let ms = Duration::from_millis;
        Self {
            connect: ms(sip.connect_ms),
            message: ms(sip.message_ms),
            idle: ms(sip.idle_ms),
            limits: ParseLimits { message_bytes: sip.max_message_bytes, headers: sip.max_headers },
        }
    }
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the peer closed it")]
    Peer,
    #[error("nothing is to be said any more, or too much")]
    Own,
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a message was not read or written within sip.message_ms")]
    Slow,
    #[error("nothing came for sip.idle_ms")]
    Idle,
}

/// Carries messages over `socket` until it is over; with the peer comes whether it has connected.
async fn carry<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut socket: S,
    (peer, has_connected): (SocketAddr, bool),
    mut queue: mpsc::Receiver<Bytes>,
    inbox: Arc<Inbox>,
    waits: Waits,
) {
    let end = exchange(&mut socket, (peer, has_connected), &mut queue, &inbox, waits).await;
    debug!(%peer, reason = %end.err().unwrap_or(End::Own), "a SIP connection ends");
    let _ = timeout(waits.message, socket.shutdown()).await;
}

async fn exchange<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    socket: &mut S,
    (peer, has_connected): (SocketAddr, bool),
    queue: &mut mpsc::Receiver<Bytes>,
    inbox: &Inbox,
    waits: Waits,
) -> Result<(), End> {
    let mut reader = StreamReader::new(waits.limits);
    let mut bytes = [0; READ_BYTES];
    let mut heard_at = Instant::now();
    let mut begun_at = has_connected.then_some(heard_at);
    loop {
        let idle_at = heard_at + waits.idle;
        let late_at = begun_at.map_or(idle_at, |at| idle_at.min(at + waits.message));
        tokio::select! {
            biased;
            message = queue.recv() => {
                let Some(message) = message else { return Ok(()) };
                write(socket, &message, waits).await?;
            }
            read = socket.read(&mut bytes) => {
                let read = read?;
                if read == 0 {
                    return Err(End::Peer);
                }
                reader.push(&bytes[..read]);
                heard_at = Instant::now();
            }
            () = sleep_until(late_at) => {
                return Err(if late_at == idle_at { End::Idle } else { End::Slow });
            }
        }
        while let Some(message) = reader.poll_message()? {
            begun_at = None;
            inbox.deliver(peer, message).await;
        }
        while reader.poll_pong() {
            write(socket, PONG, waits).await?;
        }
        begun_at = begun_at.or_else(|| reader.is_within_message().then_some(heard_at));
    }
}

async fn write<S: tokio::io::AsyncWrite + Unpin>(
    socket: &mut S,
    bytes: &[u8],
    waits: Waits,
) -> Result<(), End> {
    Ok(timeout(waits.message, socket.write_all(bytes)).await.map_err(|_| End::Slow)??)
}
