//! The phone gateway: sockets for SIP, and a task for the media of each call.
//!
//! [`Phones`] moves messages between the sockets and the user agent ([`crate::sip::agent`]), looks up what a number stands for
//! ([`route`]), makes the calls of the configuration ([`outgoing`]) and those of user agents that are connected over RTMP ([`clients`]),
//! and has a task ([`media`]) carry packets between the phone and live streams as long as the call is up.

mod accounts;
mod clients;
pub(super) mod desk;
mod happenings;
mod lines;
mod locating;
mod media;
mod notices;
mod outgoing;
mod refusal;
mod route;
mod session_config;
mod settings;
mod sockets;
mod tcp;
mod within;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use self::{
    accounts::Registering,
    clients::Clients,
    desk::{ClientRef, Desk},
    media::Telling,
    notices::Notices,
    outgoing::Dialling,
    tcp::{Arrival, Inbox, Links, Sent},
};
use super::{ACCEPT_PAUSE, Shared, count, task_set::TaskSet};
use crate::{
    env::{Env, TcpListener, UdpSocket},
    rtp::ports::{EmptyRange, PortConfig, PortPool},
    sdp::Negotiator,
    sip::{
        agent::{Agent, CallRef},
        transport::{Hop, Transport},
    },
};

/// Longest datagram that there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Ports that are tried for SIP where any will do.
const BIND_TRIES: usize = 20;
/// How far ahead a timer is set when nothing is due.
const NOTHING_DUE: Duration = Duration::from_secs(24 * 3600);

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Of nobody in particular: a phone has dialled a number.
    Route,
    /// Of the configuration: the number of its call.
    Dialled(usize),
    /// Of a user agent that is connected over RTMP.
    Client(ClientRef),
}

/// A call that is not over.
struct Call<S> {
    owner: Owner,
    /// Whom we call is told of it.
    rings: bool,
    /// Stream that whom we call is heard on, once he has answered.
    awaits: Option<Box<str>>,
    /// It is there to hear a stream: the phone is heard on none.
    only_hears: bool,
    negotiator: Negotiator,
    /// To the task that carries its media; dropping it ends that.
    media: Telling<S>,
    /// Where its messages come from.
    source: Hop,
}

/// The gateway's side of all calls.
pub(super) struct Phones<E: Env> {
    shared: Arc<Shared<E>>,
    socket: E::UdpSocket,
    listener: E::TcpListener,
    links: Links<E>,
    inbox: Arc<Inbox>,
    /// Until then no connection is accepted: there was no room for one.
    accepts_at: Duration,
    started_at: Instant,
    own_ip: IpAddr,
    /// Where phones reach it.
    contact: SocketAddr,
    agent: Agent,
    ports: PortPool,
    calls: BTreeMap<CallRef, Call<E::UdpSocket>>,
    tasks: TaskSet<E>,
    notices: Arc<Notices>,
    /// What becomes of the calls of the configuration, in its order.
    dialled: Vec<Dialling>,
    /// How far its accounts are, in its order.
    accounts: Vec<Registering>,
    /// User agents that are connected over RTMP, and where they give their orders.
    clients: Clients,
    desk: Desk,
    /// What has come last.
    datagram: Vec<u8>,
    /// The shutdown has begun: no more calls.
    is_ending: bool,
    /// Messages that the system did not take.
    unsent: u64,
}

/// Phones being served, or about to be. In a box: who takes no calls does not pay for them.
pub(super) struct Serving {
    /// Where SIP is served.
    pub(super) local_addr: SocketAddr,
    /// Ends when the shutdown is over.
    pub(super) run: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

/// Opens the sockets for SIP at `address`: one port for both.
///
/// # Errors
/// As [`Env::bind_udp`] and [`Env::bind_tcp`].
pub(super) async fn bind<E: Env>(
    env: &E,
    address: SocketAddr,
) -> io::Result<(E::UdpSocket, E::TcpListener)> {
    let mut tries = 0;
    loop {
        let udp = env.bind_udp(address).await?;
        tries += 1;
        match env.bind_tcp(udp.local_addr()).await {
            Ok(tcp) => return Ok((udp, tcp)),
            // A port that was free for the one may be taken for the other: any will do.
            Err(_) if address.port() == 0 && tries < BIND_TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

/// What woke [`Phones::run`].
enum Woken<S> {
    Shutdown,
    Datagram(usize, SocketAddr),
    Accepted(S, SocketAddr),
    Arrivals,
    Notices,
    Orders,
    Time,
    /// A socket reports an error that an earlier datagram caused.
    SocketError,
    NotAccepted(io::Error),
}

impl<E: Env> Phones<E> {
    /// Phones that send to `socket`, or connect to `listener`.
    ///
    /// # Errors
    /// The configuration has no ports for them.
    pub(super) fn new(
        shared: Arc<Shared<E>>,
        socket: E::UdpSocket,
        listener: E::TcpListener,
    ) -> Result<Self, EmptyRange> {
        let mut seed = [0; 32];
        shared.env.fill_random(&mut seed);
        let mut first = [0; 2];
        shared.env.fill_random(&mut first);
        let config = &shared.config;
        let listen = socket.local_addr();
        let own_ip =
            [config.sip.advertise, listen.ip()].into_iter().find(|ip| !ip.is_unspecified());
        let own_ip = own_ip.or_else(|| shared.env.own_ip()).unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let contact = SocketAddr::new(own_ip, listen.port());
        let agent = Agent::new(settings::agent_config(config, contact), seed);
        let ports = PortPool::new(
            PortConfig {
                first: config.rtp.first_port,
                last: config.rtp.last_port,
                quarantine_ms: config.rtp.quarantine_ms,
            },
            u16::from_be_bytes(first),
        )?;
        let tasks = TaskSet::new(shared.env.clone());
        let dialled = config.sip.calls.iter().map(|_| Dialling::At(Duration::ZERO)).collect();
        let accounts =
            config.sip.accounts.iter().map(|_| Registering::LocateAt(Duration::ZERO)).collect();
        let links = Links::new(Arc::clone(&shared));
        Ok(Self {
            socket,
            listener,
            inbox: links.inbox(),
            links,
            accepts_at: Duration::ZERO,
            started_at: Instant::now(),
            own_ip,
            contact,
            agent,
            ports,
            calls: BTreeMap::new(),
            tasks,
            notices: Arc::default(),
            dialled,
            accounts,
            clients: Clients::default(),
            desk: shared.desk.clone().expect("where phones are served there is a desk"),
            datagram: vec![0; DATAGRAM_BYTES_MAX],
            is_ending: false,
            unsent: 0,
            shared,
        })
    }

    /// Ready to serve.
    pub(super) fn serving(self) -> Serving {
        Serving { local_addr: self.socket.local_addr(), run: Box::pin(self.run()) }
    }

    fn now(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// Serves until the shutdown has begun, and then until every phone knows that its call is over, or until the time for it is.
    async fn run(mut self) {
        let mut datagram = std::mem::take(&mut self.datagram);
        while self.serve_once(&mut datagram, true).await {}
        self.is_ending = true;
        let now = self.now();
        self.unregister_all(now);
        self.detach_all(now);
        for (call, _) in std::mem::take(&mut self.calls) {
            let now = self.now();
            self.agent.hang_up(now, call);
        }
        let within = Duration::from_millis(self.shared.config.limits.shutdown_ms);
        let ending = async {
            while self.agent.awaits_answers() {
                self.serve_once(&mut datagram, false).await;
            }
            self.flush().await;
            self.links.finish().await;
            self.tasks.idle().await;
        };
        if timeout(within, ending).await.is_err() {
            warn!("phones did not confirm in time that their calls are over");
        }
        let (counters, kernel_dropped) = (self.agent.counters(), self.socket.dropped().await);
        count(&self.shared.counters.packets_dropped, kernel_dropped);
        info!(
            received = counters.received,
            dropped = counters.dropped,
            malformed = counters.malformed,
            refused = counters.refused,
            copies_received = counters.copies_received,
            copies_sent = counters.copies_sent,
            unsent = self.unsent,
            busy = self.agent.busy(),
            unsaid = self.agent.unsaid(),
            connections_refused = self.links.refused(),
            kernel_dropped,
            "SIP messages since the start"
        );
    }

    /// Does what there is to do, then waits for more. False when the shutdown has begun, if `until_shutdown`.
    async fn serve_once(&mut self, datagram: &mut [u8], until_shutdown: bool) -> bool {
        self.flush().await;
        let own = [self.next_dialled(), self.next_account()].into_iter().flatten().min();
        let own = own.filter(|_| until_shutdown);
        let accepts = self.accepts_at <= self.now();
        let accepting = (!accepts).then_some(self.accepts_at);
        let clients = self.clients.poll_timeout();
        let timers = [self.agent.poll_timeout(), self.ports.poll_timeout(), clients];
        let due = timers.into_iter().chain([own, accepting]).flatten().min();
        let due = due.map_or_else(|| Instant::now() + NOTHING_DUE, |at| self.started_at + at);
        let shutdown = &self.shared.shutdown;
        let woken = tokio::select! {
            biased;
            () = shutdown.cancelled(), if until_shutdown => Woken::Shutdown,
            () = self.notices.told() => Woken::Notices,
            () = self.desk.told() => Woken::Orders,
            received = self.socket.recv_from(datagram) => match received {
                Ok((length, source)) => Woken::Datagram(length, source),
                Err(_) => Woken::SocketError,
            },
            () = self.inbox.filled() => Woken::Arrivals,
            // Who answers at the end may have lost its connection.
            accepted = self.listener.accept(), if accepts => match accepted {
                Ok((socket, peer)) => Woken::Accepted(socket, peer),
                Err(error) => Woken::NotAccepted(error),
            },
            () = sleep_until(due) => Woken::Time,
        };
        let now = self.now();
        match woken {
            Woken::Shutdown => return false,
            Woken::Datagram(length, source) => {
                let source = Hop { transport: Transport::Udp, address: source };
                self.agent.handle_bytes(now, source, &datagram[..length]);
            }
            Woken::Accepted(socket, peer) => self.links.accept(socket, peer),
            Woken::NotAccepted(error) => {
                count(&self.shared.counters.accepts_failed, 1);
                warn!(%error, "accept failed for SIP; trying again");
                self.accepts_at = now + ACCEPT_PAUSE;
            }
            Woken::Notices => {
                for notice in self.notices.take() {
                    self.handle_notice(now, notice).await;
                }
            }
            Woken::Orders => self.handle_orders(now).await,
            // Whoever does not answer is told of by a timer.
            Woken::Time | Woken::SocketError | Woken::Arrivals => {}
        }
        // However many datagrams come.
        for (peer, arrival) in self.inbox.take() {
            self.handle_arrival(now, peer, arrival);
        }
        // However much comes in.
        self.agent.handle_timeout(now);
        self.ports.handle_timeout(now);
        self.clients.handle_timeout(now);
        if until_shutdown {
            self.locate_accounts(now);
            self.dial_due(now).await;
        }
        true
    }

    fn handle_arrival(&mut self, now: Duration, peer: SocketAddr, arrival: Arrival) {
        let hop = Hop { transport: Transport::Tcp, address: peer };
        match arrival {
            Arrival::Message(message) => self.agent.handle_bytes(now, hop, &message),
            Arrival::Closed { id, was_open } => {
                if self.links.handle_closed(peer, id) {
                    match was_open {
                        true => self.agent.handle_lost_way(now, hop),
                        false => self.agent.handle_unreachable(now, hop),
                    }
                }
            }
        }
    }

    /// Deals with what the agent tells, and sends what it has to send.
    async fn flush(&mut self) {
        loop {
            while let Some(event) = self.agent.poll_event() {
                self.handle_event(event).await;
            }
            let Some(transmit) = self.agent.poll_transmit() else { return };
            let hop = transmit.hop;
            match hop.transport {
                Transport::Udp => {
                    let sent = self.socket.send_to(&transmit.bytes, hop.address).await;
                    if let Err(error) = sent {
                        // As one that is lost on its way: it is sent again, or given up in time.
                        self.unsent += 1;
                        debug!(to = %hop, %error, "a SIP message could not be sent");
                    }
                }
                Transport::Tcp => {
                    let sent = self.links.send(hop.address, transmit.bytes);
                    self.unsent += u64::from(sent != Sent::Yes);
                    let now = self.now();
                    match sent {
                        Sent::Yes => {}
                        Sent::Lost => self.agent.handle_lost_way(now, hop),
                        Sent::No => self.agent.handle_unreachable(now, hop),
                    }
                }
            }
        }
    }
}
