//! The transaction layer: copies are told from news, what may be lost is sent again, and every request ends with an answer
//! or with the time for one (RFC 3261, section 17).
//!
//! [`Transactions`] in three groups:
//! - input: [`handle_bytes`](Transactions::handle_bytes), [`handle_lost_way`](Transactions::handle_lost_way),
//!   [`handle_unreachable`](Transactions::handle_unreachable), [`handle_timeout`](Transactions::handle_timeout);
//! - what the user decided: [`request`](Transactions::request), [`respond`](Transactions::respond),
//!   [`cancel`](Transactions::cancel), [`send`](Transactions::send);
//! - output: [`poll_event`](Transactions::poll_event), [`poll_transmit`](Transactions::poll_transmit),
//!   [`poll_timeout`](Transactions::poll_timeout).
//!
//! A CANCEL is answered here. A 2xx to INVITE and its ACK are the user's to send again (RFC 3261, section 13).

mod client;
mod events;
mod incoming;
mod key;
mod lost;
mod server;
mod sources;
mod timers;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use client::Client;
use key::{ClientKey, MergeKey, ServerKey};
use server::Server;
use sources::Sources;

use super::{
    deadlines::Deadlines,
    fields::Via,
    headers::HeaderName,
    message::{Message, Request, Response},
    params::Params,
    parse::{ParseError, parse},
    tokens::Tokens,
    transport::{Hop, Transmit, Transport},
};

pub use events::{Failure, TransactionConfig, TransactionCounters, TransactionEvent};
pub use timers::Timers;

/// A request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(u64);

/// A request that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Client(u64),
    Server(u64),
}

/// All transactions of one user agent.
#[derive(Debug)]
pub struct Transactions {
    config: TransactionConfig,
    tokens: Tokens,
    next_id: u64,
    clients: BTreeMap<u64, (ClientKey, Client)>,
    client_keys: BTreeMap<ClientKey, u64>,
    servers: BTreeMap<u64, (ServerKey, Option<MergeKey>, Server)>,
    server_keys: BTreeMap<ServerKey, u64>,
    merge_keys: BTreeMap<MergeKey, u64>,
    sources: Sources,
    deadlines: Deadlines<Timer>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<TransactionEvent>,
    counters: TransactionCounters,
}

impl Transactions {
    /// Branches and tags follow from `seed`.
    pub fn new(config: TransactionConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            tokens: Tokens::new(seed),
            next_id: 0,
            clients: BTreeMap::new(),
            client_keys: BTreeMap::new(),
            servers: BTreeMap::new(),
            server_keys: BTreeMap::new(),
            merge_keys: BTreeMap::new(),
            sources: Sources::default(),
            deadlines: Deadlines::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: TransactionCounters::default(),
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> TransactionCounters {
        self.counters
    }

    /// Names for what the user makes.
    pub fn tokens(&mut self) -> &mut Tokens {
        &mut self.tokens
    }

    /// Waits.
    pub fn timers(&self) -> &Timers {
        &self.config.timers
    }

    /// Whether a peer has still to answer something finally.
    pub fn awaits_answers(&self) -> bool {
        self.clients.values().any(|(_, client)| client.is_wanted())
    }

    /// Whether there is nothing to wait for and nothing to tell.
    pub fn is_idle(&self) -> bool {
        self.clients.is_empty()
            && self.servers.is_empty()
            && self.transmits.is_empty()
            && self.events.is_empty()
    }

    /// One message has come from `source`; `is_of_call` tells whether a request belongs to a call of the user's. Of those that do
    /// not, `unconfirmed_max` INVITEs of one address may wait for their ACK; one more is told to come again.
    pub fn handle_bytes(
        &mut self,
        now: Duration,
        source: Hop,
        bytes: &[u8],
        unconfirmed_max: usize,
        is_of_call: impl Fn(&Request) -> bool,
    ) {
        // What keeps a path open through a NAT is no message.
        if bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
            return;
        }
        self.counters.received += 1;
        match parse(bytes, &self.config.parse_limits) {
            Ok(Message::Request(request)) => {
                let unconfirmed_max = (!is_of_call(&request)).then_some(unconfirmed_max);
                self.handle_request(now, source, request, unconfirmed_max);
            }
            Ok(Message::Response(response)) => self.handle_response(now, source, response),
            Err(ParseError::Unreadable(_)) => self.counters.dropped += 1,
            Err(ParseError::Refused { request, status, problem }) => {
                self.counters.malformed += 1;
                self.refuse(*request, source, status, Some(problem));
            }
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(timer) = self.deadlines.take_due(now) {
            match timer {
                Timer::Client(id) => self.handle_client_timeout(now, id),
                Timer::Server(id) => self.handle_server_timeout(now, id),
            }
        }
    }

    fn handle_client_timeout(&mut self, now: Duration, id: u64) {
        let timers = self.config.timers;
        let Some((_, client)) = self.clients.get_mut(&id) else { return };
        let due = client.handle_timeout(now, &timers);
        match due {
            client::Due::Nothing => {}
            client::Due::Resend => {
                self.counters.copies_sent += 1;
                let again = Transmit { hop: client.hop(), bytes: client.bytes() };
                self.transmits.push_back(again);
            }
            client::Due::Cancel => client.ask_for_cancel(),
            client::Due::GiveUp => {
                self.remove_client(id);
                let failure = Failure::Timeout;
                self.events.push_back(TransactionEvent::Failed { id: ClientId(id), failure });
                return;
            }
            client::Due::End => {
                self.remove_client(id);
                self.events.push_back(TransactionEvent::Ended { id: ClientId(id) });
                return;
            }
        }
        self.retime(Timer::Client(id));
        self.send_cancel(now, id);
    }

    fn handle_server_timeout(&mut self, now: Duration, id: u64) {
        let timers = self.config.timers;
        let Some((_, _, server)) = self.servers.get_mut(&id) else { return };
        match server.handle_timeout(now, &timers) {
            server::Due::Nothing => {}
            server::Due::Resend => {
                if let Some(bytes) = server.last() {
                    self.counters.copies_sent += 1;
                    self.transmits.push_back(Transmit { hop: server.hop(), bytes });
                }
            }
            server::Due::GiveUp => {
                self.remove_server(id);
                self.events.push_back(TransactionEvent::Unconfirmed { id: ServerId(id) });
                return;
            }
            server::Due::End => {
                self.remove_server(id);
                return;
            }
        }
        self.retime(Timer::Server(id));
    }

    /// Sends `request` to `hop`, and again to `other` when the connection to that is lost before the answer comes; with a Via of
    /// its own before any that it has.
    pub fn request(
        &mut self,
        now: Duration,
        mut request: Request,
        (hop, other): (Hop, Option<Hop>),
    ) -> ClientId {
        let branch = self.tokens.branch();
        let via = self.via(hop.transport, branch);
        request.headers.push_front(HeaderName::VIA, via);
        request.headers.set(HeaderName::USER_AGENT, self.config.product.clone());
        self.begin(now, request, (hop, other))
    }

    fn begin(&mut self, now: Duration, request: Request, ways: (Hop, Option<Hop>)) -> ClientId {
        let id = self.new_id();
        let key = ClientKey::of_request(&request).expect("the request has a branch of ours");
        let client = Client::new(now, request, ways, &self.config.timers);
        self.transmits.push_back(Transmit { hop: client.hop(), bytes: client.bytes() });
        self.client_keys.insert(key.clone(), id);
        self.clients.insert(id, (key, client));
        self.retime(Timer::Client(id));
        ClientId(id)
    }

    /// Answers the request `id`, and gives what went over the wire; `None` for a second final answer, which is none (O15).
    pub fn respond(
        &mut self,
        now: Duration,
        id: ServerId,
        mut response: Response,
    ) -> Option<Bytes> {
        let timers = self.config.timers;
        let (_, _, server) = self.servers.get_mut(&id.0)?;
        if response.headers.get(&HeaderName::SERVER).is_none() {
            response.headers.push(HeaderName::SERVER, self.config.product.clone());
        }
        let bytes = server.respond(now, &response, &timers)?;
        self.transmits.push_back(Transmit { hop: server.hop(), bytes: bytes.clone() });
        self.retime(Timer::Server(id.0));
        Some(bytes)
    }

    /// The ACK to the 2xx to the INVITE `id` has come.
    pub fn confirm(&mut self, id: ServerId) {
        if let Some((_, _, server)) = self.servers.get_mut(&id.0)
            && std::mem::take(&mut server.is_unconfirmed)
        {
            self.sources.confirm(server.source());
        }
    }

    /// Where answers to the request `id` go, as long as its transaction lives.
    pub fn answer_hop(&self, id: ServerId) -> Option<Hop> {
        self.servers.get(&id.0).map(|(_, _, server)| server.hop())
    }

    /// The INVITE `id` is not wanted any more: a CANCEL goes out as soon as it may (RFC 3261, section 9.1). The INVITE is
    /// answered all the same, mostly with 487, but perhaps with 2xx.
    pub fn cancel(&mut self, now: Duration, id: ClientId) {
        if let Some((_, client)) = self.clients.get_mut(&id.0) {
            client.ask_for_cancel();
            self.send_cancel(now, id.0);
        }
    }

    /// The answer to the request `id` does not matter any more: no copies of it are sent, and nobody waits for it.
    pub fn give_up(&mut self, id: ClientId) {
        if let Some((_, client)) = self.clients.get_mut(&id.0) {
            client.give_up();
            self.retime(Timer::Client(id.0));
        }
    }

    fn send_cancel(&mut self, now: Duration, id: u64) {
        let timers = self.config.timers;
        let Some((_, client)) = self.clients.get_mut(&id) else { return };
        let ways = client.ways();
        if let Some(cancel) = client.take_cancel(now, &timers) {
            self.retime(Timer::Client(id));
            self.begin(now, cancel, ways);
        }
    }

    /// Sends what belongs to no transaction, the ACK to a 2xx, which gets a Via here; gives what went over the wire.
    pub fn send(&mut self, hop: Hop, mut request: Request) -> Bytes {
        let branch = self.tokens.branch();
        let via = self.via(hop.transport, branch);
        request.headers.push_front(HeaderName::VIA, via);
        let bytes = request.to_bytes();
        self.transmits.push_back(Transmit { hop, bytes: bytes.clone() });
        bytes
    }

    /// Sends once more what belongs to no transaction.
    pub fn resend(&mut self, hop: Hop, bytes: Bytes) {
        self.counters.copies_sent += 1;
        self.transmits.push_back(Transmit { hop, bytes });
    }

    fn via(&self, transport: Transport, branch: String) -> String {
        let mut params = Params::default();
        params.set("branch", Some(branch));
        params.set("rport", None);
        let (host, port) = (self.config.host.clone(), Some(self.config.port));
        Via { transport: transport.as_str().to_owned(), host, port, params }.to_string()
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Has the next deadline of what `timer` is of be kept.
    fn retime(&mut self, timer: Timer) {
        let at = match timer {
            Timer::Client(id) => self.clients.get(&id).map(|(_, client)| client.timeout()),
            Timer::Server(id) => self.servers.get(&id).and_then(|(_, _, server)| server.timeout()),
        };
        self.deadlines.set(timer, at);
    }

    fn remove_client(&mut self, id: u64) {
        if let Some((key, _)) = self.clients.remove(&id) {
            self.retime(Timer::Client(id));
            self.client_keys.remove(&key);
        }
        // An empty map would keep its last node.
        if self.clients.is_empty() {
            (self.clients, self.client_keys) = (BTreeMap::new(), BTreeMap::new());
        }
    }

    fn remove_server(&mut self, id: u64) {
        if let Some((key, merge_key, server)) = self.servers.remove(&id) {
            self.sources.end(server.source(), server.is_unconfirmed);
            self.retime(Timer::Server(id));
            self.server_keys.remove(&key);
            if let Some(key) = merge_key {
                self.merge_keys.remove(&key);
            }
        }
        if self.servers.is_empty() {
            (self.servers, self.server_keys) = (BTreeMap::new(), BTreeMap::new());
            self.merge_keys = BTreeMap::new();
        }
    }

    /// The next thing that the user is to know.
    pub fn poll_event(&mut self) -> Option<TransactionEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = self.transmits.pop_front();
        if self.transmits.is_empty() {
            self.transmits = VecDeque::new();
        }
        transmit
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadlines.next()
    }
}
