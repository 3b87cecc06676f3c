//! Connections of a phone that speaks SIP over TCP: which one a message takes, how it is cut, and what comes by them.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{Future, pending, poll_fn},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use rehearsal_core::{
    env::{Env, TcpListener},
    sip::message::{Fields, Message},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::sleep,
};

use super::{
    framer::{Framed, Framer},
    over_tcp::{Close, Connection, ConnectionEnd, OverTcp, PAUSE},
    plan::Way,
    post::read,
};

/// Read at a time.
const READ_BYTES: usize = 2_048;
/// Where phones wait; one that nobody can connect to says so all the same.
const SIP_PORT: u16 = 5060;
const PING: &[u8] = b"\r\n\r\n";

/// What happened to connections.
pub(super) enum Happened {
    /// A message came by the connection with that number.
    Message(Bytes, u32),
    /// A connection is over; these requests, by their branches, went by it.
    Lost(Vec<String>),
}

type Connecting<S> = Pin<Box<dyn Future<Output = io::Result<S>> + Send>>;

enum Socket<S> {
    Connecting(Connecting<S>),
    Open(S),
}

/// A connection that is there, or about to be.
struct Link<S> {
    number: u32,
    is_own: bool,
    socket: Socket<S>,
    framer: Framer,
    /// What is to be written, each from when on.
    out: VecDeque<(Duration, Bytes)>,
    /// It is closed as soon as that is written.
    is_closing: bool,
    /// Branches of the requests that went by it.
    asked: Vec<String>,
}

/// What became of one.
enum Turn {
    Made,
    Framed(Framed),
    Over(ConnectionEnd),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Connects, writes what is due at `now`, and reads.
    fn poll(&mut self, now: Duration, cx: &mut Context<'_>) -> Poll<Turn> {
        if let Socket::Connecting(connecting) = &mut self.socket {
            match ready!(connecting.as_mut().poll(cx)) {
                Ok(socket) => {
                    self.socket = Socket::Open(socket);
                    return Poll::Ready(Turn::Made);
                }
                Err(_) => return Poll::Ready(Turn::Over(ConnectionEnd::Refused)),
            }
        }
        let Socket::Open(socket) = &mut self.socket else { return Poll::Pending };
        while let Some((_, bytes)) = self.out.front_mut().filter(|(due, _)| *due <= now) {
            match Pin::new(&mut *socket).poll_write(cx, bytes) {
                Poll::Pending => break,
                Poll::Ready(Ok(written)) => bytes.advance(written),
                Poll::Ready(Err(_)) => return Poll::Ready(Turn::Over(ConnectionEnd::Broken)),
            }
            if bytes.is_empty() {
                self.out.pop_front();
            }
        }
        if self.is_closing && self.out.is_empty() {
            return Poll::Ready(Turn::Over(ConnectionEnd::Own));
        }
        loop {
            if let Some(framed) = self.framer.next() {
                return Poll::Ready(Turn::Framed(framed));
            }
            let mut bytes = [0; READ_BYTES];
            let mut came = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut *socket).poll_read(cx, &mut came)) {
                Ok(()) if came.filled().is_empty() => {
                    return Poll::Ready(Turn::Over(ConnectionEnd::Gateway));
                }
                Ok(()) => self.framer.push(came.filled()),
                Err(_) => return Poll::Ready(Turn::Over(ConnectionEnd::Broken)),
            }
        }
    }
}

/// All connections of a phone.
pub(super) struct Streams<E: Env> {
    env: E,
    gateway: SocketAddr,
    plan: OverTcp,
    /// Without, nobody can connect.
    listener: Option<E::TcpListener>,
    links: Vec<Link<E::TcpStream>>,
    /// Which connection a request came by, by its branch.
    came_by: BTreeMap<String, u32>,
    /// Messages that went, and came.
    sent: u32,
    received: u32,
    pings_at: Option<Duration>,
    log: Vec<Connection>,
}

impl<E: Env> Streams<E> {
    /// Waits at `port`, or any for 0.
    pub(super) async fn open(
        env: &E,
        gateway: SocketAddr,
        plan: OverTcp,
        port: u16,
    ) -> io::Result<Self> {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let listener = match plan.is_hidden {
            true => None,
            false => Some(env.bind_tcp(any).await?),
        };
        Ok(Self {
            env: env.clone(),
            gateway,
            plan,
            listener,
            links: Vec::new(),
            came_by: BTreeMap::new(),
            sent: 0,
            received: 0,
            pings_at: None,
            log: Vec::new(),
        })
    }

    /// Where it says that it is.
    pub(super) fn port(&self) -> u16 {
        self.listener.as_ref().map_or(SIP_PORT, |listener| listener.local_addr().port())
    }

    /// Whether everything is written.
    pub(super) fn is_flushed(&self) -> bool {
        self.links.iter().all(|link| link.out.is_empty())
    }

    /// When there is something to do after `now`; what is due waits for its connection.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        let pieces = self.links.iter().flat_map(|link| &link.out).map(|(due, _)| *due);
        pieces.filter(|due| *due > now).chain(self.pings_at).min()
    }

    /// Asks whether the gateway is still there, when it is time to.
    pub(super) fn on_time(&mut self, now: Duration) {
        let Some(pings_ms) = self.plan.pings_ms else { return };
        if self.pings_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        self.pings_at = Some(now + Duration::from_millis(pings_ms));
        for link in self.links.iter_mut().filter(|link| link.is_own && !link.is_closing) {
            link.out.push_back((now, Bytes::from_static(PING)));
            self.log[link.number as usize].pings.push(now);
        }
    }

    /// Sends messages that are to go at `now`; gives the numbers of the connections that they take.
    pub(super) fn send(&mut self, messages: &[Bytes], now: Duration) -> Vec<u32> {
        let mut taken = Vec::new();
        let mut joined: Option<(u32, BytesMut)> = None;
        for message in messages {
            let closes = self.closes(Way::Sent, self.sent);
            self.sent += 1;
            if closes == Some(false)
                && let Some(number) = self.way_of(message)
            {
                self.close(number);
            }
            let number = self.way_of(message).unwrap_or_else(|| self.connect(now));
            taken.push(number);
            if let Some(Message::Request(request)) = read(message) {
                let branch = request.top_via().and_then(|via| via.params.get("branch"));
                self.link(number).asked.extend(branch);
            }
            let mut bytes = BytesMut::new();
            if self.plan.leads {
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(message);
            match &mut joined {
                Some((before, all)) if self.plan.joins && *before == number => {
                    all.extend_from_slice(&bytes);
                }
                _ => {
                    if let Some((before, all)) = joined.replace((number, bytes)) {
                        self.write(before, all.freeze(), now);
                    }
                }
            }
            if closes == Some(true) {
                if let Some((before, all)) = joined.take() {
                    self.write(before, all.freeze(), now);
                }
                self.close(number);
            }
        }
        if let Some((number, all)) = joined {
            self.write(number, all.freeze(), now);
        }
        taken
    }

    fn write(&mut self, number: u32, mut bytes: Bytes, now: Duration) {
        let cuts = self.plan.cuts.clone();
        let link = self.link(number);
        // Behind what has to wait itself.
        let mut due = link.out.back().map_or(now, |(due, _)| now.max(*due));
        let mut done = 0;
        for cut in cuts {
            if cut > done && cut - done < bytes.len() {
                link.out.push_back((due, bytes.split_to(cut - done)));
                (done, due) = (cut, due + PAUSE);
            }
        }
        link.out.push_back((due, bytes));
    }

    /// Whether a connection is closed at that message: before or behind it.
    fn closes(&self, way: Way, index: u32) -> Option<bool> {
        let is_it = |close: &&Close| (close.way, close.index) == (way, index);
        self.plan.closes.iter().find(is_it).map(|close| close.is_behind)
    }

    /// The connection that `message` takes, if there is one: an answer that of its request, a request one that the phone has made.
    fn way_of(&self, message: &[u8]) -> Option<u32> {
        let asked_by = match read(message) {
            Some(Message::Response(response)) => {
                let branch = response.top_via().and_then(|via| via.params.get("branch"));
                branch.and_then(|branch| self.came_by.get(&branch).copied())
            }
            _ => None,
        };
        let mut usable = self.links.iter().filter(|link| !link.is_closing);
        let of_request = usable.clone().find(|link| Some(link.number) == asked_by);
        of_request.or_else(|| usable.rfind(|link| link.is_own)).map(|link| link.number)
    }

    fn link(&mut self, number: u32) -> &mut Link<E::TcpStream> {
        let mut links = self.links.iter_mut();
        links.find(|link| link.number == number).expect("a message takes a way that there is")
    }

    fn connect(&mut self, now: Duration) -> u32 {
        let (env, gateway) = (self.env.clone(), self.gateway);
        let connecting = Box::pin(async move { env.connect_tcp(gateway).await });
        self.begin(Socket::Connecting(connecting), true, now)
    }

    fn begin(&mut self, socket: Socket<E::TcpStream>, is_own: bool, now: Duration) -> u32 {
        let number = self.log.len() as u32;
        let made_at = matches!(socket, Socket::Open(_)).then_some(now);
        self.links.push(Link {
            number,
            is_own,
            socket,
            framer: Framer::default(),
            out: VecDeque::new(),
            is_closing: false,
            asked: Vec::new(),
        });
        self.log.push(Connection {
            number,
            begun_at: now,
            is_own,
            made_at,
            ended: None,
            pings: Vec::new(),
            pongs: Vec::new(),
            is_unreadable: false,
        });
        if self.pings_at.is_none() {
            self.pings_at = self.plan.pings_ms.map(|ms| now + Duration::from_millis(ms));
        }
        number
    }

    /// The connection is closed as soon as everything is written.
    fn close(&mut self, number: u32) {
        self.link(number).is_closing = true;
    }

    /// Waits until something happens; `now` is when that began, for what is to be written then.
    pub(super) async fn happen(&mut self, now: Duration, time: impl Fn() -> Duration) -> Happened {
        loop {
            let Self { listener, links, .. } = self;
            tokio::select! {
                biased;
                (at, turn) = poll_fn(|cx| poll_links(links, now, cx)) => {
                    if let Some(happened) = self.take_turn(at, turn, time()) {
                        return happened;
                    }
                }
                socket = accept::<E>(listener) => {
                    self.begin(Socket::Open(socket), false, time());
                }
            }
        }
    }

    fn take_turn(&mut self, at: usize, turn: Turn, now: Duration) -> Option<Happened> {
        let number = self.links[at].number;
        let told = &mut self.log[number as usize];
        match turn {
            Turn::Made => told.made_at = Some(now),
            Turn::Framed(Framed::LineEnd) => told.pongs.push(now),
            Turn::Framed(Framed::Unreadable) => told.is_unreadable = true,
            Turn::Framed(Framed::Message(message)) => {
                let closes = self.closes(Way::Received, self.received);
                self.received += 1;
                if let Some(Message::Request(request)) = read(&message) {
                    let branch = request.top_via().and_then(|via| via.params.get("branch"));
                    self.came_by.extend(branch.map(|branch| (branch, number)));
                }
                match closes {
                    Some(false) => return Some(self.end(at, ConnectionEnd::Own, now)),
                    Some(true) => self.close(number),
                    None => {}
                }
                return Some(Happened::Message(message, number));
            }
            Turn::Over(end) => return Some(self.end(at, end, now)),
        }
        None
    }

    fn end(&mut self, at: usize, end: ConnectionEnd, now: Duration) -> Happened {
        let link = self.links.remove(at);
        self.log[link.number as usize].ended = Some((now, end));
        if !self.links.iter().any(|link| link.is_own) {
            self.pings_at = None;
        }
        Happened::Lost(link.asked)
    }

    pub(super) fn into_log(self) -> Vec<Connection> {
        self.log
    }
}

fn poll_links<S: AsyncRead + AsyncWrite + Unpin>(
    links: &mut [Link<S>],
    now: Duration,
    cx: &mut Context<'_>,
) -> Poll<(usize, Turn)> {
    for (at, link) in links.iter_mut().enumerate() {
        if let Poll::Ready(turn) = link.poll(now, cx) {
            return Poll::Ready((at, turn));
        }
    }
    Poll::Pending
}

/// The next connection that somebody makes.
async fn accept<E: Env>(listener: &mut Option<E::TcpListener>) -> E::TcpStream {
    loop {
        match listener {
            // One that died in the queue is nothing to anybody.
            Some(listener) => match listener.accept().await {
                Ok((socket, _)) => return socket,
                Err(_) => sleep(PAUSE).await,
            },
            None => pending().await,
        }
    }
}
