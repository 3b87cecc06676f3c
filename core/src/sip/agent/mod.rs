//! A user agent: it calls, answers, changes calls and hangs up (RFC 3261, sections 8, 12 to 15).
//!
//! [`Agent`] in four groups:
//! - input: [`handle_bytes`](Agent::handle_bytes), [`handle_unreachable`](Agent::handle_unreachable),
//!   [`handle_timeout`](Agent::handle_timeout);
//! - calls: [`call`](Agent::call), [`ring`](Agent::ring), [`answer`](Agent::answer), [`reject`](Agent::reject),
//!   [`hang_up`](Agent::hang_up);
//! - within a call: [`offer`](Agent::offer), [`accept_offer`](Agent::accept_offer), [`refuse_offer`](Agent::refuse_offer),
//!   [`send_info`](Agent::send_info);
//! - output: [`poll_event`](Agent::poll_event), [`poll_transmit`](Agent::poll_transmit),
//!   [`poll_timeout`](Agent::poll_timeout).
//!
//! What a body says is the user's business: here it is bytes. Whatever is lost, doubled, delayed or crossed on the way, both ends
//! come to agree that a call is up, or that it is over.

mod auth;
mod call;
mod incoming;
mod outgoing;
mod session;
mod within;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;

use call::{Call, Stage};

use super::{
    deadlines::Deadlines,
    dialog::{Dialog, DialogId},
    digest::Credentials,
    fields::NameAddr,
    headers::HeaderName,
    message::{Request, Response},
    method::Method,
    transaction::{
        ClientId, Failure, ServerId, TransactionConfig, TransactionCounters, TransactionEvent,
        Transactions,
    },
    transport::{Hop, Transmit},
    uri::{SipUri, Uri},
};

/// Methods that are understood.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO";
/// What bodies of INVITE are.
const SDP: &str = "application/sdp";
/// 2xx of different peers to one INVITE that was forked; each of them is confirmed, and all but the first ended.
const FORKS_MAX: usize = 16;
/// How often both ends may want to change a call at once before the change is given up.
const GLARES_MAX: u32 = 10;

/// What an agent allows, how long it waits, and where it is reached.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The layer below.
    pub transactions: TransactionConfig,
    /// Calls at a time; one more is busy.
    pub calls: usize,
    /// How long the user may take to answer a call.
    pub answer_within: Duration,
    /// Without a refresh a call ends after this.
    pub session_expires: Duration,
    /// What a peer may ask for at least.
    pub session_expires_min: Duration,
    /// Where peers reach it.
    pub contact: SocketAddr,
}

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallRef(u64);

/// Whom to call, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// Whom.
    pub uri: Uri,
    /// The first on the way.
    pub hop: Hop,
    /// Who calls.
    pub from: NameAddr,
    /// What proves it.
    pub credentials: Option<Credentials>,
}

/// How a call came to its end, if not by its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer hung up.
    HungUp,
    /// The peer called, and did not want to wait any longer.
    Cancelled,
    /// The peer does not take the call.
    Rejected {
        /// Status of its answer.
        status: u16,
        /// The same for people.
        reason: String,
    },
    /// The peer did not confirm that the call was answered.
    Unconfirmed,
    /// The user did not answer in time.
    Unanswered,
    /// The session was not refreshed, or the peer does not know the call any more.
    Expired,
}

/// What the user is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// Somebody calls; [`Agent::answer`] or [`Agent::reject`] it.
    Incoming {
        /// The call.
        call: CallRef,
        /// Whom.
        to: Uri,
        /// Who.
        from: Box<NameAddr>,
        /// Its offer; without one the answer has to make it.
        sdp: Option<Bytes>,
        /// Where the call comes from.
        source: Hop,
    },
    /// The peer is told of the call.
    Ringing {
        /// The call.
        call: CallRef,
        /// 180, or another above 100.
        status: u16,
    },
    /// The peer has answered.
    Answered {
        /// The call.
        call: CallRef,
        /// Its answer.
        sdp: Option<Bytes>,
    },
    /// The peer knows that the call was answered, or its offer accepted.
    Confirmed {
        /// The call.
        call: CallRef,
        /// Its answer, if the offer was ours.
        sdp: Option<Bytes>,
    },
    /// The peer wants to change the call; [`Agent::accept_offer`] or [`Agent::refuse_offer`] it.
    Offered {
        /// The call.
        call: CallRef,
        /// Its offer; without one the answer has to make it.
        sdp: Option<Bytes>,
        /// Where the peer is now.
        source: Hop,
    },
    /// The peer takes our change.
    OfferAccepted {
        /// The call.
        call: CallRef,
        /// Its answer.
        sdp: Option<Bytes>,
    },
    /// The peer does not take our change: all is as before.
    OfferRefused {
        /// The call.
        call: CallRef,
        /// Status of its answer.
        status: u16,
    },
    /// Our change has to wait: it counts as refused, and the user will be asked for another.
    OfferPostponed {
        /// The call.
        call: CallRef,
    },
    /// The session is to be refreshed, or it is time for a change that had to wait: [`Agent::offer`] what there is.
    RefreshDue {
        /// The call.
        call: CallRef,
    },
    /// The peer says something within the call.
    Info {
        /// The call.
        call: CallRef,
        /// What the body is, in lower case.
        content_type: String,
        /// What it says.
        body: Bytes,
    },
    /// The call is over.
    Ended {
        /// The call.
        call: CallRef,
        /// How.
        end: End,
    },
}

/// What the answer to a request of ours is for.
#[derive(Debug)]
enum Purpose {
    /// An INVITE, the first or one within a call.
    Invite(Box<InviteClient>),
    /// A BYE, or what is said within a call: whatever the answer is, nothing follows from it.
    Notice,
}

/// An INVITE of ours, as long as answers may come.
#[derive(Debug)]
struct InviteClient {
    call: CallRef,
    request: Request,
    hop: Hop,
    is_first: bool,
    /// What each 2xx was confirmed with, by the tag of who gave it.
    acks: BTreeMap<String, (Hop, Bytes)>,
}

/// A user agent.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    transactions: Transactions,
    calls: BTreeMap<CallRef, Call>,
    dialogs: BTreeMap<DialogId, CallRef>,
    clients: BTreeMap<ClientId, Purpose>,
    servers: BTreeMap<ServerId, CallRef>,
    deadlines: Deadlines<CallRef>,
    events: VecDeque<AgentEvent>,
    next_call: u64,
    busy: u64,
}

impl Agent {
    /// Names of calls, tags and branches follow from `seed`.
    pub fn new(config: AgentConfig, seed: [u8; 32]) -> Self {
        let transactions = Transactions::new(config.transactions.clone(), seed);
        Self {
            config,
            transactions,
            calls: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            deadlines: Deadlines::new(),
            events: VecDeque::new(),
            next_call: 0,
            busy: 0,
        }
    }

    /// What the layer below has counted.
    pub fn counters(&self) -> TransactionCounters {
        self.transactions.counters()
    }

    /// Calls that were not taken because there were too many.
    pub fn busy(&self) -> u64 {
        self.busy
    }

    /// Calls that are not over.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Whether nothing is left to do or to wait for.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.clients.is_empty() && self.transactions.is_idle()
    }

    /// Whether a peer has still to answer something.
    pub fn awaits_answers(&self) -> bool {
        self.transactions.awaits_answers()
            || self.calls.values().any(|call| call.unconfirmed.is_some())
    }

    /// One message has come from `source`.
    pub fn handle_bytes(&mut self, now: Duration, source: Hop, bytes: &[u8]) {
        let dialogs = &self.dialogs;
        let is_of_call = |request: &Request| {
            DialogId::of_request(request).is_some_and(|dialog| dialogs.contains_key(&dialog))
        };
        self.transactions.handle_bytes(now, source, bytes, is_of_call);
        self.handle_events(now);
    }

    /// Nothing can be sent to `hop`.
    pub fn handle_unreachable(&mut self, now: Duration, hop: Hop) {
        self.transactions.handle_unreachable(hop);
        self.handle_events(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.transactions.handle_timeout(now);
        self.handle_events(now);
        while let Some(call) = self.deadlines.take_due(now) {
            self.handle_call_timeout(now, call);
            self.retime(call);
        }
    }

    fn handle_events(&mut self, now: Duration) {
        while let Some(event) = self.transactions.poll_event() {
            match event {
                TransactionEvent::Request { id, request, source } => {
                    self.handle_request(now, id, request, source);
                }
                TransactionEvent::Ack { request } => self.handle_ack(now, &request),
                TransactionEvent::Cancelled { id } => self.handle_cancelled(now, id),
                TransactionEvent::Unconfirmed { id } => {
                    self.servers.remove(&id);
                }
                TransactionEvent::Response { id, response } => {
                    self.handle_response(now, id, &response);
                }
                TransactionEvent::Ended { id } => {
                    self.forget_client(id);
                }
                TransactionEvent::Failed { id, failure } => self.handle_failure(now, id, failure),
            }
        }
    }

    fn handle_request(&mut self, now: Duration, id: ServerId, request: Box<Request>, source: Hop) {
        match DialogId::of_request(&request) {
            Some(dialog) => match self.dialogs.get(&dialog).copied() {
                Some(call) => self.handle_within(now, call, id, request, source),
                None => self.respond(now, id, &request, 481),
            },
            None => self.handle_outside(now, id, request, source),
        }
    }

    fn handle_response(&mut self, now: Duration, id: ClientId, response: &Response) {
        if let Some(Purpose::Invite(_)) = self.clients.get(&id) {
            self.handle_invite_response(now, id, response);
        }
    }

    fn handle_failure(&mut self, now: Duration, id: ClientId, failure: Failure) {
        let status = match failure {
            Failure::Timeout => 408,
            Failure::Unreachable => 503,
        };
        if let Some(Purpose::Invite(invite)) = self.forget_client(id) {
            self.handle_invite_failure(now, &invite, status, None);
        }
    }

    /// Answers a request with nothing but a status.
    fn respond(&mut self, now: Duration, id: ServerId, request: &Request, status: u16) {
        let tag = self.transactions.tokens().hex();
        let response = request.response(status, Some(&tag));
        self.transactions.respond(now, id, response);
    }

    /// Sends a BYE that nothing depends on any more.
    fn send_bye(&mut self, now: Duration, dialog: &mut Dialog, call: Option<&mut Call>) {
        let mut bye = dialog.request(Method::Bye);
        if let Some(call) = call {
            let credentials = call.credentials.clone();
            call.auth.authorize(&mut bye, credentials.as_ref(), self.transactions.tokens());
        }
        let id = self.transactions.request(now, bye, dialog.hop());
        self.clients.insert(id, Purpose::Notice);
    }

    /// No answer to the request is expected any more.
    fn forget_client(&mut self, id: ClientId) -> Option<Purpose> {
        let purpose = self.clients.remove(&id);
        if self.clients.is_empty() {
            self.clients = BTreeMap::new();
        }
        purpose
    }

    /// Takes a call away, and what leads to it.
    fn remove(&mut self, call: CallRef) -> Option<Call> {
        let removed = self.calls.remove(&call)?;
        self.deadlines.set(call, None);
        if let Some(dialog) = &removed.dialog {
            self.dialogs.remove(&dialog.id());
        }
        if let Stage::Incoming { server, .. } = &removed.stage {
            self.servers.remove(server);
        }
        // An empty map would keep its last node.
        if self.calls.is_empty() {
            (self.calls, self.dialogs) = (BTreeMap::new(), BTreeMap::new());
            self.servers = BTreeMap::new();
        }
        Some(removed)
    }

    /// A call is over, and its user is told.
    fn end(&mut self, call: CallRef, end: End) -> Option<Call> {
        let removed = self.remove(call)?;
        // Who has hung up has heard enough.
        if !removed.is_hung_up {
            self.events.push_back(AgentEvent::Ended { call, end });
        }
        Some(removed)
    }

    fn retime(&mut self, call: CallRef) {
        let at = self.calls.get(&call).and_then(Call::timeout);
        self.deadlines.set(call, at);
    }

    fn new_call(&mut self) -> CallRef {
        self.next_call += 1;
        CallRef(self.next_call)
    }

    fn contact(&self) -> String {
        NameAddr::new(Uri::Sip(SipUri::new(None, self.config.contact))).to_string()
    }

    /// The next thing that the user is to know.
    pub fn poll_event(&mut self) -> Option<AgentEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transactions.poll_transmit()
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let deadlines = [self.transactions.poll_timeout(), self.deadlines.next()];
        deadlines.into_iter().flatten().min()
    }
}

/// The body, if there is one.
fn sdp_of(body: &Bytes) -> Option<Bytes> {
    (!body.is_empty()).then(|| body.clone())
}

/// What an INVITE and its 2xx say besides: methods and extensions.
fn add_capabilities(headers: &mut super::headers::Headers) {
    headers.push(HeaderName::ALLOW, ALLOW);
    headers.push(HeaderName::SUPPORTED, session::TIMER);
}
