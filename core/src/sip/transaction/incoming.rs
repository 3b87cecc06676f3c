//! Messages that come: a request begins a transaction if there is room, or is a copy; a response is of a request of ours.

use std::time::Duration;

use super::{
    ClientId, Server, ServerId, Timer, TransactionEvent, Transactions,
    client::Reception,
    key::{ClientKey, MergeKey, ServerKey},
};
use crate::sip::{
    headers::HeaderName,
    message::{Request, Response},
    method::Method,
    transport::{AnswerWay, Hop, Transmit, note_source},
};

/// Seconds after which a client may come again that was refused for want of room.
const RETRY_AFTER_S: u32 = 5;

/// How much of what a limit allows a request may find taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// What neither calls nor belongs to a call leaves half to what does.
    Half,
    /// A call that begins.
    All,
    /// A call that there is goes on, and ends, whatever else comes.
    QuarterMore,
}

impl Room {
    fn of(self, limit: usize) -> usize {
        match self {
            Self::Half => limit.div_ceil(2),
            Self::All => limit,
            Self::QuarterMore => limit.div_ceil(4) * 5,
        }
    }
}

impl Transactions {
    /// Answers a request of which nothing is kept.
    pub(super) fn refuse(
        &mut self,
        mut request: Request,
        source: Hop,
        status: u16,
        reason: Option<&str>,
    ) {
        let Some(AnswerWay { hop, .. }) = note_source(&mut request, source) else {
            self.counters.dropped += 1;
            return;
        };
        let tag = self.tokens.hex();
        let mut response = request.response(status, Some(&tag));
        if let Some(reason) = reason {
            response.reason = reason.to_owned();
        }
        if status == 503 {
            response.headers.push(HeaderName::RETRY_AFTER, RETRY_AFTER_S.to_string());
        }
        response.headers.push(HeaderName::SERVER, self.config.product.clone());
        self.transmits.push_back(Transmit { hop, bytes: response.to_bytes() });
    }

    /// `unconfirmed_max` is there for a request outside of calls.
    pub(super) fn handle_request(
        &mut self,
        now: Duration,
        source: Hop,
        mut request: Request,
        unconfirmed_max: Option<usize>,
    ) {
        let key = ServerKey::of(&request);
        if let Some(&id) = self.server_keys.get(&key) {
            self.handle_copy(now, id, request, source);
            return;
        }
        if request.method == Method::Ack {
            self.events.push_back(TransactionEvent::Ack { request: Box::new(request), source });
            return;
        }
        let merge_key = MergeKey::of(&request).filter(|_| request.method != Method::Cancel);
        if merge_key.as_ref().is_some_and(|key| self.merge_keys.contains_key(key)) {
            self.refuse(request, source, 482, None);
            return;
        }
        let room = self.room(&request, unconfirmed_max.is_some());
        let ip = source.address.ip();
        let taken = self.sources.taken(ip);
        let unconfirmed_max = unconfirmed_max.filter(|_| request.method == Method::Invite);
        if self.servers.len() >= room.of(self.config.server_transactions)
            || taken.open >= room.of(self.config.server_transactions_per_address)
            || unconfirmed_max.is_some_and(|most| taken.unconfirmed >= most)
        {
            sometimes!("a request is refused because there are too many");
            self.counters.refused += 1;
            self.refuse(request, source, 503, None);
            return;
        }
        let Some(way) = note_source(&mut request, source) else {
            self.counters.dropped += 1;
            return;
        };
        let id = self.new_id();
        let server = Server::new(request.clone(), way, ip, unconfirmed_max.is_some());
        self.sources.begin(ip, server.is_unconfirmed);
        self.server_keys.insert(key.clone(), id);
        if let Some(key) = &merge_key {
            self.merge_keys.insert(key.clone(), id);
        }
        self.servers.insert(id, (key, merge_key, server));
        match request.method {
            Method::Cancel => self.handle_cancel(now, id, &request),
            _ => {
                if request.method == Method::Invite {
                    self.respond(now, ServerId(id), request.response(100, None));
                }
                let request = Box::new(request);
                self.events.push_back(TransactionEvent::Request {
                    id: ServerId(id),
                    request,
                    source,
                });
            }
        }
    }

    /// How much room there is for `request`.
    fn room(&self, request: &Request, is_outside: bool) -> Room {
        let cancels = |cancel: &Request| {
            cancel.method == Method::Cancel
                && self.server_keys.contains_key(&ServerKey::of_cancelled(cancel))
        };
        match request.method {
            _ if !is_outside || cancels(request) => Room::QuarterMore,
            Method::Invite => Room::All,
            _ => Room::Half,
        }
    }

    /// A request that has come before, or the ACK to what it was answered with.
    fn handle_copy(&mut self, now: Duration, id: u64, mut request: Request, source: Hop) {
        let timers = self.config.timers;
        let Some((_, _, server)) = self.servers.get_mut(&id) else { return };
        if request.method == Method::Ack {
            if server.handle_ack(now, &timers) {
                self.retime(Timer::Server(id));
                self.confirm(ServerId(id));
            } else {
                self.events.push_back(TransactionEvent::Ack { request: Box::new(request), source });
            }
            return;
        }
        self.counters.copies_received += 1;
        if let Some(way) = note_source(&mut request, source) {
            server.take_way(way);
        }
        if let Some(bytes) = server.last() {
            sometimes!("a copy of a request is answered once more");
            self.counters.copies_sent += 1;
            self.transmits.push_back(Transmit { hop: server.hop(), bytes });
        }
    }

    fn handle_cancel(&mut self, now: Duration, id: u64, cancel: &Request) {
        let invite = self.server_keys.get(&ServerKey::of_cancelled(cancel)).copied();
        let is_pending = |id: &u64| self.servers.get(id).is_some_and(|s| s.2.request().is_some());
        let tag = self.tokens.hex();
        let status = if invite.is_some() { 200 } else { 481 };
        let mut response = cancel.response(status, Some(&tag));
        response.headers.push(HeaderName::SERVER, self.config.product.clone());
        // An INVITE that has its answer is not affected (section 9.2).
        if let Some(invite) = invite.filter(is_pending) {
            self.events.push_back(TransactionEvent::Cancelled { id: ServerId(invite) });
        }
        self.respond(now, ServerId(id), response);
    }

    pub(super) fn handle_response(&mut self, now: Duration, source: Hop, response: Response) {
        let key = ClientKey::of_response(&response);
        let id = key.and_then(|key| self.client_keys.get(&key).copied());
        let Some(id) = id else {
            self.counters.dropped += 1;
            return;
        };
        let timers = self.config.timers;
        let Some((_, client)) = self.clients.get_mut(&id) else { return };
        let reception = client.handle_response(now, &response, &timers);
        let ack = client.ack().map(|bytes| Transmit { hop: client.hop(), bytes });
        self.retime(Timer::Client(id));
        match reception {
            Reception::Nothing => self.counters.copies_received += 1,
            Reception::ConfirmAgain => {
                self.counters.copies_received += 1;
                self.counters.copies_sent += 1;
                self.transmits.extend(ack);
            }
            Reception::News | Reception::Confirm => {
                if reception == Reception::Confirm {
                    self.transmits.extend(ack);
                }
                let response = Box::new(response);
                let id = ClientId(id);
                self.events.push_back(TransactionEvent::Response { id, response, source });
            }
        }
        self.send_cancel(now, id);
    }
}
