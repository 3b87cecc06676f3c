//! A user agent: it calls, answers, changes calls and hangs up (RFC 3261, sections 8, 12 to 15).
//!
//! [`Agent`] in five groups:
//! - input: [`handle_bytes`](Agent::handle_bytes), [`handle_lost_way`](Agent::handle_lost_way),
//!   [`handle_unreachable`](Agent::handle_unreachable), [`handle_timeout`](Agent::handle_timeout);
//! - calls: [`call`](Agent::call), [`ring`](Agent::ring), [`answer`](Agent::answer), [`reject`](Agent::reject),
//!   [`hang_up`](Agent::hang_up);
//! - accounts: [`register`](Agent::register), [`unregister`](Agent::unregister), and those of others, [`binding`](Agent::binding);
//! - within a call: [`offer`](Agent::offer), [`accept_offer`](Agent::accept_offer), [`refuse_offer`](Agent::refuse_offer),
//!   [`send_info`](Agent::send_info);
//! - output: [`poll_event`](Agent::poll_event), [`poll_transmit`](Agent::poll_transmit),
//!   [`poll_timeout`](Agent::poll_timeout).
//!
//! What a body says is the user's business: here it is bytes. Whatever is lost, doubled, delayed or crossed on the way, both ends
//! come to agree that a call is up, or that it is over.

mod auth;
mod call;
mod config;
mod events;
mod incoming;
mod info;
mod outgoing;
mod registrar;
mod registration;
mod session;
mod within;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use call::{Call, OwnOffer, Stage};
use outgoing::{ByeClient, InviteClient};
use registration::Registration;

use super::{
    challenger::Challenger,
    deadlines::Deadlines,
    dialog::DialogId,
    fields::NameAddr,
    headers::HeaderName,
    message::{Request, Response},
    registrar::Registrar,
    transaction::{
        ClientId, Failure, ServerId, TransactionCounters, TransactionEvent, Transactions,
    },
    transport::{Hop, Transmit, Transport},
    uri::{SipUri, Uri},
};

pub use config::{AgentConfig, Target};
pub use events::{AgentEvent, End};
pub use registration::{Account, AccountRef};

/// Methods that are understood.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO";
/// What bodies of INVITE are.
const SDP: &str = "application/sdp";
/// 2xx of different peers to one INVITE that was forked; each of them is confirmed, and all but the first ended.
const FORKS_MAX: usize = 16;
/// How often both ends may want to change a call at once before the change is given up.
const GLARES_MAX: u32 = 10;

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallRef(u64);

/// What the answer to a request of ours is for.
#[derive(Debug)]
enum Purpose {
    /// An INVITE, the first or one within a call.
    Invite(Box<InviteClient>),
    /// A BYE whose sender can prove who it is, if it is asked to.
    Bye(Box<ByeClient>),
    /// A REGISTER.
    Register(AccountRef),
    /// What is said within a call; the next is said behind it.
    Info(CallRef),
    /// A BYE: whatever the answer is, nothing follows from it.
    Notice,
}

/// What may have a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timed {
    Call(CallRef),
    Account(AccountRef),
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
    accounts: BTreeMap<AccountRef, Registration>,
    registrar: Option<Registrar>,
    /// `None`: nothing has to be proven to register.
    challenger: Option<Challenger>,
    deadlines: Deadlines<Timed>,
    events: VecDeque<AgentEvent>,
    next_call: u64,
    next_account: u64,
    busy: u64,
    unsaid: u64,
}

impl Agent {
    /// Names of calls, tags and branches follow from `seed`.
    pub fn new(config: AgentConfig, seed: [u8; 32]) -> Self {
        let mut transactions = Transactions::new(config.transactions.clone(), seed);
        let guarded = config.registrar.as_ref().filter(|own| !own.users.is_empty());
        let challenger = guarded.map(|own| Challenger::new(own, transactions.tokens()));
        Self {
            registrar: config.registrar.clone().map(Registrar::new),
            challenger,
            config,
            transactions,
            calls: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            accounts: BTreeMap::new(),
            deadlines: Deadlines::new(),
            events: VecDeque::new(),
            next_call: 0,
            next_account: 0,
            busy: 0,
            unsaid: 0,
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

    /// INFO that waited to be sent when its call ended.
    pub fn unsaid(&self) -> u64 {
        self.unsaid
    }

    /// Calls that are not over.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Whether nothing is left to do or to wait for; an account has always its refresh to wait for, a phone that has registered
    /// its end.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
            && self.accounts.is_empty()
            && self.registrar.as_ref().is_none_or(Registrar::is_empty)
            && self.clients.is_empty()
            && self.transactions.is_idle()
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
        let unconfirmed_max = self.config.unconfirmed_per_address;
        self.transactions.handle_bytes(now, source, bytes, unconfirmed_max, is_of_call);
        self.handle_events(now);
    }

    /// The connection to `hop` is lost. Whoever has said where it waits for others is reached there from now on.
    pub fn handle_lost_way(&mut self, now: Duration, hop: Hop) {
        for call in self.calls.values_mut() {
            if let Some(dialog) = &mut call.dialog {
                dialog.handle_lost_way(hop);
            }
        }
        self.transactions.handle_lost_way(now, hop);
        self.handle_events(now);
        self.refresh_sooner(now, hop);
        self.move_bindings(hop);
    }

    /// Nothing can be sent to `hop`.
    pub fn handle_unreachable(&mut self, now: Duration, hop: Hop) {
        self.transactions.handle_unreachable(now, hop);
        self.handle_events(now);
        self.refresh_sooner(now, hop);
        self.unbind_way(hop);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.transactions.handle_timeout(now);
        self.handle_events(now);
        while let Some(timed) = self.deadlines.take_due(now) {
            match timed {
                Timed::Call(call) => {
                    self.handle_call_timeout(now, call);
                    self.retime(call);
                }
                Timed::Account(account) => self.begin_registration(now, account),
            }
        }
        self.expire_bindings(now);
    }

    fn handle_events(&mut self, now: Duration) {
        while let Some(event) = self.transactions.poll_event() {
            match event {
                TransactionEvent::Request { id, request, source } => {
                    self.handle_request(now, id, request, source);
                }
                TransactionEvent::Ack { request, source } => self.handle_ack(now, &request, source),
                TransactionEvent::Cancelled { id } => self.handle_cancelled(now, id),
                TransactionEvent::Unconfirmed { id } => {
                    self.servers.remove(&id);
                }
                TransactionEvent::Response { id, response, source } => {
                    self.handle_response(now, id, &response, source);
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

    fn handle_response(&mut self, now: Duration, id: ClientId, response: &Response, source: Hop) {
        match self.clients.get(&id) {
            Some(Purpose::Invite(_)) => self.handle_invite_response(now, id, response, source),
            Some(Purpose::Register(_) | Purpose::Bye(_) | Purpose::Info(_))
                if response.is_final() =>
            {
                match self.forget_client(id) {
                    Some(Purpose::Register(account)) => {
                        self.handle_registration(now, account, response.status, Some(response));
                    }
                    Some(Purpose::Bye(bye)) => self.send_bye_again(now, bye, response, source),
                    Some(Purpose::Info(call)) => self.handle_said(now, call, Some(response)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn handle_failure(&mut self, now: Duration, id: ClientId, failure: Failure) {
        let status = match failure {
            Failure::Timeout => 408,
            Failure::Unreachable => 503,
        };
        match self.forget_client(id) {
            Some(Purpose::Invite(invite)) => {
                self.handle_invite_failure(now, &invite, status, None);
            }
            Some(Purpose::Register(account)) => {
                self.handle_registration(now, account, status, None);
            }
            Some(Purpose::Info(call)) => self.handle_said(now, call, None),
            Some(Purpose::Bye(_) | Purpose::Notice) | None => {}
        }
    }

    /// Answers a request with nothing but a status.
    fn respond(&mut self, now: Duration, id: ServerId, request: &Request, status: u16) {
        let tag = self.transactions.tokens().hex();
        let response = request.response(status, Some(&tag));
        self.transactions.respond(now, id, response);
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
        self.deadlines.set(Timed::Call(call), None);
        if let Some(dialog) = &removed.dialog {
            self.dialogs.remove(&dialog.id());
        }
        // What the peer did not get of it until now, it need not any more.
        let offered = match &removed.own_offer {
            Some(OwnOffer::Sent { client, .. }) => Some(*client),
            _ => None,
        };
        for client in removed.sayings.open().into_iter().chain(offered) {
            self.transactions.give_up(client);
        }
        if let Some(Purpose::Invite(invite)) = offered.and_then(|it| self.clients.get_mut(&it)) {
            invite.dialog.clone_from(&removed.dialog);
        }
        self.unsaid += removed.sayings.waiting();
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
        self.deadlines.set(Timed::Call(call), at);
    }

    fn new_call(&mut self) -> CallRef {
        self.next_call += 1;
        CallRef(self.next_call)
    }

    /// Where whoever is reached by `transport` reaches `user` here.
    fn contact(&self, user: Option<&str>, transport: Transport) -> NameAddr {
        let mut uri = SipUri::new(user, self.config.contact);
        if transport == Transport::Tcp {
            uri.params.set("transport", Some("tcp".to_owned()));
        }
        NameAddr::new(Uri::Sip(uri))
    }

    /// Our Contact in `call`.
    fn contact_in(&self, call: CallRef) -> String {
        let own = self.calls.get(&call);
        let user = own.and_then(|own| own.contact_user.as_deref());
        let dialog = own.and_then(|own| own.dialog.as_ref());
        let transport = dialog.map_or(Transport::Udp, |dialog| dialog.hop().transport);
        self.contact(user, transport).to_string()
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
        let bindings = self.registrar.as_ref().and_then(Registrar::poll_timeout);
        let deadlines = [self.transactions.poll_timeout(), self.deadlines.next(), bindings];
        deadlines.into_iter().flatten().min()
    }
}

/// The body, if there is one.
fn sdp_of(body: &Bytes) -> Option<Bytes> {
    (!body.is_empty()).then(|| body.clone())
}

/// What an INVITE and its 2xx say besides: methods and extensions.
/// Whether who wrote `headers` says that it takes INFO. To say nothing means nothing (RFC 3261, section 20.5).
fn allows_info(headers: &crate::sip::headers::Headers) -> bool {
    let allowed = headers.list(&HeaderName::ALLOW);
    allowed.iter().any(|method| method.trim().eq_ignore_ascii_case("INFO"))
}

fn add_capabilities(headers: &mut super::headers::Headers) {
    headers.push(HeaderName::ALLOW, ALLOW);
    headers.push(HeaderName::SUPPORTED, session::TIMER);
}
