//! The phone gateway: one socket for SIP, and a task for the media of each call.
//!
//! [`Phones`] moves messages between the socket and the user agent ([`crate::sip::agent`]), looks up what a number stands for
//! ([`route`]), and has a task ([`media`]) carry packets between the phone and live streams as long as the call is up.

mod media;
mod notices;
mod route;
mod session_config;

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info, warn};

use self::{
    media::{Change, Line, Media},
    notices::{Notice, Notices, Over},
    route::{Destination, Unreachable},
};
use super::{Shared, count, task_set::TaskSet};
use crate::{
    config::Config,
    env::{Env, UdpSocket},
    rtp::ports::{EmptyRange, NoPorts, PortConfig, PortPair, PortPool},
    sdp::{AnswerError, DescriptionLimits, Local, Negotiated, Negotiator, OfferError},
    sip::{
        ParseLimits,
        agent::{Agent, AgentConfig, AgentEvent, CallRef},
        transaction::{Timers, TransactionConfig},
        transport::{Hop, Transport},
        uri::Uri,
    },
};

/// Longest datagram that there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Port pairs that are tried for one call: others on this machine may have some.
const PORT_TRIES: usize = 20;
/// How far ahead a timer is set when nothing is due.
const NOTHING_DUE: Duration = Duration::from_secs(24 * 3600);
/// Changes of a call that its media task has not made yet; one more ends the call.
const CHANGES_MAX: usize = 8;
/// Formats of one media line.
const FORMATS_MAX: usize = 64;

/// Why a call is not taken.
#[derive(Debug, Error)]
enum Refusal {
    #[error("nobody can be called by an address without a user")]
    NoNumber,
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error(transparent)]
    Offer(#[from] OfferError),
    #[error(transparent)]
    NoPorts(#[from] NoPorts),
    #[error("no ports could be opened: {0}")]
    Bind(std::io::Error),
}

impl Refusal {
    fn status(&self) -> u16 {
        match self {
            Self::NoNumber => 404,
            Self::Unreachable(unreachable) => unreachable.status(),
            Self::Offer(_) => 488,
            Self::NoPorts(_) | Self::Bind(_) => 503,
        }
    }
}

/// A call that is not over.
struct Call {
    negotiator: Negotiator,
    /// To the task that carries its media; dropping it ends that.
    media: mpsc::Sender<Change>,
    /// Where its messages come from.
    source: Hop,
}

/// The gateway's side of all calls.
pub(super) struct Phones<E: Env> {
    shared: Arc<Shared<E>>,
    socket: E::UdpSocket,
    started_at: Instant,
    own_ip: IpAddr,
    agent: Agent,
    ports: PortPool,
    calls: BTreeMap<CallRef, Call>,
    tasks: TaskSet<E>,
    notices: Arc<Notices>,
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

/// What woke [`Phones::run`].
enum Woken {
    Shutdown,
    Datagram(usize, SocketAddr),
    Notices,
    Time,
    /// The socket reports an error that an earlier datagram caused.
    SocketError,
}

impl<E: Env> Phones<E> {
    /// Phones that send to `socket`.
    ///
    /// # Errors
    /// The configuration has no ports for them.
    pub(super) fn new(shared: Arc<Shared<E>>, socket: E::UdpSocket) -> Result<Self, EmptyRange> {
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
        let agent = Agent::new(agent_config(config, contact), seed);
        let ports = PortPool::new(
            PortConfig {
                first: config.rtp.first_port,
                last: config.rtp.last_port,
                quarantine_ms: config.rtp.quarantine_ms,
            },
            u16::from_be_bytes(first),
        )?;
        let tasks = TaskSet::new(shared.env.clone());
        Ok(Self {
            socket,
            started_at: Instant::now(),
            own_ip,
            agent,
            ports,
            calls: BTreeMap::new(),
            tasks,
            notices: Arc::default(),
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
            self.tasks.idle().await;
        };
        if timeout(within, ending).await.is_err() {
            warn!("phones did not confirm in time that their calls are over");
        }
        let counters = self.agent.counters();
        info!(
            received = counters.received,
            dropped = counters.dropped,
            malformed = counters.malformed,
            refused = counters.refused,
            copies_received = counters.copies_received,
            copies_sent = counters.copies_sent,
            unsent = self.unsent,
            busy = self.agent.busy(),
            "SIP messages since the start"
        );
    }

    /// Does what there is to do, then waits for more. False when the shutdown has begun, if `until_shutdown`.
    async fn serve_once(&mut self, datagram: &mut [u8], until_shutdown: bool) -> bool {
        self.flush().await;
        let timers = [self.agent.poll_timeout(), self.ports.poll_timeout()];
        let due = timers.into_iter().flatten().min();
        let due = due.map_or_else(|| Instant::now() + NOTHING_DUE, |at| self.started_at + at);
        let shutdown = &self.shared.shutdown;
        let woken = tokio::select! {
            biased;
            () = shutdown.cancelled(), if until_shutdown => Woken::Shutdown,
            () = self.notices.told() => Woken::Notices,
            received = self.socket.recv_from(datagram) => match received {
                Ok((length, source)) => Woken::Datagram(length, source),
                Err(_) => Woken::SocketError,
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
            Woken::Notices => {
                for notice in self.notices.take() {
                    self.handle_notice(now, notice);
                }
            }
            // Whoever does not answer is told of by a timer.
            Woken::Time | Woken::SocketError => {}
        }
        // However much comes in.
        self.agent.handle_timeout(now);
        self.ports.handle_timeout(now);
        true
    }

    /// Deals with what the agent tells, and sends what it has to send.
    async fn flush(&mut self) {
        while let Some(event) = self.agent.poll_event() {
            self.handle_event(event).await;
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            let sent = self.socket.send_to(&transmit.bytes, transmit.hop.address).await;
            if let Err(error) = sent {
                // As one that is lost on its way: it is sent again, or given up in time.
                self.unsent += 1;
                debug!(to = %transmit.hop, %error, "a SIP message could not be sent");
            }
        }
    }

    fn handle_notice(&mut self, now: Duration, notice: Notice) {
        match notice {
            Notice::Silent(call) => {
                if let Some(own) = self.forget(call) {
                    info!(peer = %own.source, "a call ends: nothing was heard for rtp.silence_ms");
                    self.agent.hang_up(now, call);
                }
            }
            Notice::Over(call, ports) => {
                self.ports.release(now, ports);
                if let Some(own) = self.forget(call) {
                    warn!(peer = %own.source, "a call ends: its media did");
                    self.agent.hang_up(now, call);
                }
            }
        }
    }

    async fn handle_event(&mut self, event: AgentEvent) {
        let now = self.now();
        match event {
            AgentEvent::Incoming { call, .. } if self.is_ending => {
                self.agent.reject(now, call, 503)
            }
            AgentEvent::Incoming { call, to, from, sdp, source } => {
                match self.take_call(call, &to, sdp, source).await {
                    Ok(answer) => {
                        info!(peer = %source, from = %from.uri, %to, "a call is taken");
                        count(&self.shared.counters.calls, 1);
                        self.agent.answer(now, call, answer);
                    }
                    Err(refusal) => {
                        // As many as somebody likes: they are counted, and told of to who looks for them.
                        debug!(peer = %source, from = %from.uri, %to, %refusal, "a call is refused");
                        count(&self.shared.counters.calls_refused, 1);
                        self.agent.reject(now, call, refusal.status());
                    }
                }
            }
            AgentEvent::Confirmed { call, sdp } => self.handle_confirmed(now, call, sdp),
            AgentEvent::Offered { call, sdp, source } => {
                if let Some(own) = self.calls.get_mut(&call) {
                    own.source = source;
                }
                self.handle_offer(now, call, sdp);
            }
            AgentEvent::OfferAccepted { call, sdp } => {
                let Some(own) = self.calls.get_mut(&call) else { return };
                let agreed = own.negotiator.handle_answer(&sdp.unwrap_or_default());
                self.change(now, call, agreed);
            }
            AgentEvent::OfferRefused { call, status } => {
                debug!(status, "a refresh of a call was refused");
                if let Some(own) = self.calls.get_mut(&call) {
                    own.negotiator.reject_offer();
                }
            }
            AgentEvent::OfferPostponed { call } => {
                if let Some(own) = self.calls.get_mut(&call) {
                    own.negotiator.reject_offer();
                }
            }
            AgentEvent::RefreshDue { call } => {
                if let Some(own) = self.calls.get_mut(&call) {
                    let offer = own.negotiator.offer();
                    self.agent.offer(now, call, offer.into());
                }
            }
            AgentEvent::Ended { call, end } => {
                if let Some(own) = self.forget(call) {
                    info!(peer = %own.source, ?end, "a call is over");
                }
            }
            // Nobody here calls, and nobody listens to what is said beside the media.
            AgentEvent::Ringing { .. } | AgentEvent::Answered { .. } | AgentEvent::Info { .. } => {}
            // Nobody here has an account, nor takes those of others.
            AgentEvent::Registered { .. }
            | AgentEvent::RegistrationFailed { .. }
            | AgentEvent::Bound { .. }
            | AgentEvent::Unbound { .. } => {}
        }
    }

    /// Connects a call with streams, and gives the answer to its offer, or an offer if it has none.
    async fn take_call(
        &mut self,
        call: CallRef,
        to: &Uri,
        sdp: Option<Bytes>,
        source: Hop,
    ) -> Result<Bytes, Refusal> {
        let shared = Arc::clone(&self.shared);
        let config = &shared.config;
        let number = to.as_sip().and_then(|uri| uri.user_name()).ok_or(Refusal::NoNumber)?;
        let destination = Destination::of(config, &number)?;
        let codecs = destination.codecs(&self.shared.live, &config.sip.codecs)?;
        let line = Line::connect(&shared, &destination)?;
        let (ports, rtp, rtcp) = self.bind().await?;
        let mut origin_id = [0; 8];
        self.shared.env.fill_random(&mut origin_id);
        let mut negotiator = Negotiator::new(Local {
            address: self.own_ip,
            audio_port: ports.rtp(),
            video_port: None,
            codecs,
            prefer_peers_order: false,
            h264_parameters: crate::sdp::Codec::H264_PARAMETERS.to_owned(),
            // As others do, small enough for a signed number of 64 bits.
            origin_id: u64::from_be_bytes(origin_id) >> 2,
            limits: DescriptionLimits {
                body_bytes: config.sip.max_message_bytes,
                media_lines: config.sip.max_media_lines,
                formats: FORMATS_MAX,
            },
        });
        let described = match &sdp {
            Some(offer) => {
                negotiator.handle_offer(offer).map(|(text, agreed)| (text, Some(agreed)))
            }
            None => Ok((negotiator.offer(), None)),
        };
        let (text, agreed) = match described {
            Ok(described) => described,
            Err(error) => {
                drop((rtp, rtcp));
                self.ports.put_back(ports);
                return Err(error.into());
            }
        };
        let (media, changes) = mpsc::channel(CHANGES_MAX);
        let carrying = Media::new(
            shared,
            call,
            source.address.ip(),
            line,
            (rtp, rtcp),
            changes,
            Arc::clone(&self.notices),
        );
        let over = Over::new(Arc::clone(&self.notices), call, ports);
        self.tasks.spawn(async move {
            // Told of however it ends.
            let _over = over;
            carrying.run().await;
        });
        self.calls.insert(call, Call { negotiator, media, source });
        if let Some(agreed) = agreed {
            self.agree(call, agreed);
        }
        Ok(text.into())
    }

    /// Opens the next free ports.
    async fn bind(&mut self) -> Result<(PortPair, E::UdpSocket, E::UdpSocket), Refusal> {
        let ip = self.socket.local_addr().ip();
        let mut tries = 0;
        loop {
            let pair = self.ports.allocate(self.now())?;
            let rtp = self.shared.env.bind_udp(SocketAddr::new(ip, pair.rtp())).await;
            let bound = match rtp {
                Ok(rtp) => {
                    let rtcp = self.shared.env.bind_udp(SocketAddr::new(ip, pair.rtcp())).await;
                    rtcp.map(|rtcp| (rtp, rtcp))
                }
                Err(error) => Err(error),
            };
            tries += 1;
            match bound {
                Ok((rtp, rtcp)) => return Ok((pair, rtp, rtcp)),
                Err(error) => {
                    self.ports.release(self.now(), pair);
                    if tries == PORT_TRIES {
                        return Err(Refusal::Bind(error));
                    }
                }
            }
        }
    }

    /// The phone knows that its call, or its offer, was accepted. If the offer was ours, this has the answer.
    fn handle_confirmed(&mut self, now: Duration, call: CallRef, sdp: Option<Bytes>) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        if own.negotiator.is_offer_pending() {
            let agreed = own.negotiator.handle_answer(&sdp.unwrap_or_default());
            self.change(now, call, agreed);
        }
        self.instruct(call, Change::Confirmed);
    }

    fn handle_offer(&mut self, now: Duration, call: CallRef, sdp: Option<Bytes>) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        let Some(offer) = sdp else {
            let offer = own.negotiator.offer();
            self.agent.accept_offer(now, call, offer.into());
            return;
        };
        match own.negotiator.handle_offer(&offer) {
            Ok((answer, agreed)) => {
                self.agent.accept_offer(now, call, answer.into());
                self.agree(call, agreed);
            }
            Err(error) => {
                debug!(peer = %own.source, %error, "a change of a call is refused");
                self.agent.refuse_offer(now, call, 488);
            }
        }
    }

    /// What the phone has answered to our offer. A call about which nothing could be agreed is over.
    fn change(&mut self, now: Duration, call: CallRef, agreed: Result<Negotiated, AnswerError>) {
        match agreed {
            Ok(agreed) => self.agree(call, agreed),
            Err(error) => {
                if let Some(own) = self.forget(call) {
                    info!(peer = %own.source, %error, "a call ends: its description makes no sense");
                    self.agent.hang_up(now, call);
                }
            }
        }
    }

    /// Lets go of a call; its media end.
    fn forget(&mut self, call: CallRef) -> Option<Call> {
        let removed = self.calls.remove(&call);
        // An empty map would keep its last node.
        if self.calls.is_empty() {
            self.calls = BTreeMap::new();
        }
        removed
    }

    /// The media of a call follow what was agreed on.
    fn agree(&mut self, call: CallRef, agreed: Negotiated) {
        let Some(own) = self.calls.get(&call) else { return };
        let peer = own.source.address.ip();
        self.instruct(call, Change::Agreed { agreed: Box::new(agreed), peer });
    }

    fn instruct(&mut self, call: CallRef, change: Change) {
        let Some(own) = self.calls.get(&call) else { return };
        if own.media.try_send(change).is_err() {
            warn!(peer = %own.source, "a call ends: it changes faster than it can be followed");
            self.forget(call);
            let now = self.now();
            self.agent.hang_up(now, call);
        }
    }
}

fn agent_config(config: &Config, contact: SocketAddr) -> AgentConfig {
    let sip = &config.sip;
    let ms = Duration::from_millis;
    AgentConfig {
        transactions: TransactionConfig {
            timers: Timers {
                t1: ms(sip.t1_ms),
                t2: ms(sip.t2_ms),
                t4: ms(sip.t4_ms),
                c: ms(sip.ring_ms),
            },
            parse_limits: ParseLimits {
                message_bytes: sip.max_message_bytes,
                headers: sip.max_headers,
            },
            server_transactions: sip.max_transactions,
            host: crate::sip::uri::host_of(contact.ip()),
            port: contact.port(),
            product: concat!("rehearsal/", env!("CARGO_PKG_VERSION")).to_owned(),
        },
        calls: sip.max_calls,
        unconfirmed_per_address: sip.max_calls,
        answer_within: ms(sip.ring_ms),
        session_expires: ms(sip.session_expires_ms),
        session_expires_min: ms(sip.session_expires_min_ms),
        contact,
        registrar: None,
    }
}
