//! A phone's side of one call, without I/O: messages and time in; messages, and what was agreed on, out.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use bytes::Bytes;
use rehearsal_core::sip::{
    fields::{CSeq, NameAddr},
    headers::HeaderName,
    message::{Fields, Message, Request, Response},
    method::Method,
    uri::{SipUri, Uri},
};

use super::{
    answering::Answered,
    asking::Asking,
    callee::{Outside, Waiting},
    plan::{Change, Direction, PhonePlan},
    post::read,
    report::{CallEnd, Keyed},
    sdp::Description,
    timers::PATIENCE,
    voice::Agreed,
};

pub(super) const SDP: &str = "application/sdp";
/// What says that a key was pressed.
const DTMF_RELAY: &str = "application/dtmf-relay";
/// The number of what is dialled, as phones offer it.
pub const EVENTS: u8 = 101;

/// From one look for the ACK to the next.
const UNTIL_ACKNOWLEDGED: Duration = Duration::from_millis(100);

/// Names that nobody else has.
pub(super) struct Names {
    pub(super) call_id: String,
    pub(super) tag: String,
    /// What branches begin with, behind what all branches begin with.
    pub(super) branch: String,
    /// The session of SDP.
    pub(super) session: u32,
    /// By how many milliseconds an offer that met another one is made again later than after 2.1 s.
    pub(super) patience_ms: u64,
}

/// Where the phone is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) sip: SocketAddr,
    pub(super) rtp: SocketAddr,
    pub(super) gateway: SocketAddr,
}

/// What is to be told of a call.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) rang_at: Option<Duration>,
    pub(super) answered_at: Option<Duration>,
    pub(super) ended: Option<(Duration, CallEnd)>,
    pub(super) keyed: Vec<Keyed>,
}

pub(super) struct Call {
    pub(super) plan: PhonePlan,
    pub(super) names: Names,
    place: Place,
    /// Name of the call, and of its ends as its messages have them.
    pub(super) call_id: String,
    pub(super) own_uri: Uri,
    pub(super) peer_uri: Uri,
    asking: Vec<Asking>,
    pub(super) answered: Vec<Answered>,
    pub(super) out: VecDeque<Bytes>,
    /// Number of the newest own request, and of the newest one of the gateway.
    number: u32,
    pub(super) their_number: Option<u32>,
    /// How many branches there were.
    branches: u32,
    pub(super) their_tag: Option<String>,
    /// Where requests within the call go.
    pub(super) target: Option<Uri>,
    /// How many descriptions were sent, and the newest one of the peer.
    versions: u32,
    pub(super) peer: Option<Description>,
    /// How the phone says that it is, and how it has asked to be.
    pub(super) direction: Direction,
    asked: Direction,
    /// Where the phone hears, as the gateway knows, and as it was asked to believe.
    rtp: SocketAddr,
    asked_rtp: SocketAddr,
    /// What is left to be changed, and when.
    changes: VecDeque<(Duration, Direction)>,
    /// What is left to be dialled by INFO, and when.
    keys: VecDeque<(Duration, char)>,
    cancels_at: Option<Duration>,
    hangs_up_at: Option<Duration>,
    has_cancelled: bool,
    has_hung_up: bool,
    /// It is called, and does not call.
    pub(super) waiting: Option<Waiting>,
    /// Tag of another one who has taken the call, too.
    pub(super) fork: Option<String>,
    pub(super) told: Told,
}

impl Call {
    /// A call that begins at `now`, or is waited for.
    pub(super) fn begin(plan: PhonePlan, names: Names, place: Place, now: Duration) -> Self {
        // Who calls back has not begun to.
        let cancel = plan.cancel.filter(|_| plan.calls_back_ms.is_none());
        let cancels_at = cancel.map(|cancel| now + Duration::from_millis(cancel.after_ms));
        let (direction, rtp) = (plan.direction, place.rtp);
        let dialled = Uri::Sip(SipUri::new(Some(&plan.dial), place.gateway));
        let mut call = Self {
            call_id: names.call_id.clone(),
            own_uri: Uri::Sip(SipUri::new(Some("phone"), place.sip)),
            peer_uri: dialled,
            waiting: plan.called.clone().map(Waiting::new),
            fork: None,
            // The INVITE has the next one.
            number: plan.numbering.map_or(0, |numbering| numbering.cseq.saturating_sub(1)),
            plan,
            names,
            place,
            asking: Vec::new(),
            answered: Vec::new(),
            out: VecDeque::new(),
            their_number: None,
            branches: 0,
            their_tag: None,
            target: None,
            versions: 0,
            peer: None,
            direction,
            asked: direction,
            rtp,
            asked_rtp: rtp,
            changes: VecDeque::new(),
            keys: VecDeque::new(),
            cancels_at,
            hangs_up_at: None,
            has_cancelled: false,
            has_hung_up: false,
            told: Told::default(),
        };
        if call.waiting.is_none() {
            call.invite(direction, now);
        }
        call
    }

    /// What is to be sent next.
    pub(super) fn next_message(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// Whether the call is up, as far as the phone knows.
    pub(super) fn is_up(&self) -> bool {
        self.told.answered_at.is_some() && self.told.ended.is_none() && !self.has_hung_up
    }

    /// What was agreed on about the phone's audio; `None` unless the call is up.
    pub(super) fn audio(&self) -> Option<Agreed> {
        let peer = self.peer.as_ref().filter(|_| self.is_up())?;
        let direction = self.direction.facing(peer.direction);
        let (to, events) = (peer.address, peer.events.filter(|_| self.dials()));
        Some(Agreed { to, codec: peer.codecs[0], events, direction })
    }

    /// Where the phone hears, as far as the gateway has agreed.
    pub(super) fn rtp(&self) -> SocketAddr {
        self.rtp
    }

    /// The phone will hear at `port`, and says so.
    pub(super) fn move_to(&mut self, port: u16, now: Duration) {
        self.place.rtp.set_port(port);
        self.changes.push_front((now, self.direction));
    }

    /// Whether it dials by RTP.
    fn dials(&self) -> bool {
        !self.plan.digits.is_empty() && !self.plan.dials_by_info
    }

    /// Whether nothing more is to be done, not even for copies.
    pub(super) fn is_forgotten(&self) -> bool {
        let is_registrar = self.waiting.as_ref().is_some_and(Waiting::is_registrar);
        !is_registrar
            && self.told.ended.is_some()
            && self.asking.is_empty()
            && self.answered.is_empty()
    }

    /// When there is something to do.
    pub(super) fn next(&self) -> Option<Duration> {
        let changes = self.changes.front().map(|(at, _)| *at);
        let keys = self.keys.front().map(|(at, _)| *at);
        let change = [changes, keys].into_iter().flatten().min().filter(|_| !self.is_asking());
        let asking = self.asking.iter().filter_map(Asking::next);
        let answered = self.answered.iter().map(Answered::next);
        let waiting = self.waiting.as_ref().and_then(Waiting::next);
        let own = [self.cancels_at, self.hangs_up_at, change, waiting].into_iter().flatten();
        asking.chain(answered).chain(own).min()
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, now: Duration) {
        self.out.extend(self.asking.iter_mut().filter_map(|asking| asking.take_copy(now)));
        self.out.extend(self.answered.iter_mut().filter_map(|answered| answered.take_copy(now)));
        self.asking.retain(|asking| !asking.is_forgotten(now));
        let mut over = self.answered.iter().filter(|answered| answered.is_forgotten(now));
        let is_unacknowledged = over.any(Answered::is_open);
        self.answered.retain(|answered| !answered.is_forgotten(now));
        if is_unacknowledged {
            self.on_unacknowledged(now);
        }
        self.on_waited(now);
        let (given_up, left): (Vec<_>, Vec<_>) =
            self.asking.drain(..).partition(|asking| asking.has_given_up(now));
        self.asking = left;
        for asking in given_up {
            self.on_no_answer(&asking.request.method, now);
        }
        if self.cancels_at.take_if(|at| *at <= now).is_some() {
            match self.told.answered_at {
                None => self.cancel(now),
                Some(_) => self.hang_up(now),
            }
        }
        if self.hangs_up_at.take_if(|at| *at <= now).is_some() {
            self.hang_up(now);
        }
        if self.is_up()
            && !self.is_asking()
            && let Some((_, digit)) = self.keys.pop_front_if(|(at, _)| *at <= now)
        {
            self.key(digit, now);
        }
        if self.is_up()
            && !self.is_asking()
            && let Some((_, direction)) = self.changes.pop_front_if(|(at, _)| *at <= now)
        {
            self.invite(direction, now);
        }
    }

    fn on_no_answer(&mut self, method: &Method, now: Duration) {
        match method {
            Method::Invite if self.told.answered_at.is_some() => self.hang_up(now),
            Method::Invite => {
                let end = if self.has_cancelled { CallEnd::Cancelled } else { CallEnd::NoAnswer };
                self.end(end, now);
            }
            Method::Bye => self.end(CallEnd::HungUpUnanswered, now),
            _ => {}
        }
    }

    /// A datagram came.
    pub(super) fn receive(&mut self, datagram: &[u8], now: Duration) {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.is_away(now)) {
            return;
        }
        match read(datagram) {
            Some(Message::Request(request)) => self.on_request(&request, now),
            Some(Message::Response(response)) => self.on_response(&response, now),
            None => {}
        }
    }

    fn end(&mut self, end: CallEnd, now: Duration) {
        self.told.ended.get_or_insert((now, end));
        (self.cancels_at, self.hangs_up_at) = (None, None);
        self.changes.clear();
        self.keys.clear();
    }

    /// Whether something is on its way within the call: what comes behind it could overtake it, and would count as newer.
    fn is_asking(&self) -> bool {
        self.asking.iter().any(Asking::is_open)
    }

    fn has_open_invite(&self) -> bool {
        self.asking.iter().any(|asking| asking.is_invite() && asking.is_open())
    }

    /// What the phone says of its audio.
    pub(super) fn describe(&mut self, direction: Direction) -> String {
        let codecs = match (&self.peer, self.told.answered_at) {
            (Some(peer), Some(_)) => peer.codecs[..1].to_vec(),
            _ => self.plan.codecs.clone(),
        };
        self.versions += 1;
        let events = self.dials().then_some(EVENTS);
        let description = Description { address: self.place.rtp, codecs, events, direction };
        description.write(self.names.session, self.versions)
    }

    /// Asks with `request`, which gets its way, its ends and its number.
    fn ask(&mut self, mut request: Request, number: u32, branch: String) -> Request {
        let (sip, contact) = (self.place.sip, self.contact());
        let headers = &mut request.headers;
        let mut to = NameAddr::new(self.peer_uri.clone());
        if let Some(tag) = self.their_tag.as_ref().filter(|_| request.method != Method::Cancel) {
            to = to.with_tag(tag);
        }
        let from = NameAddr::new(self.own_uri.clone()).with_tag(&self.names.tag);
        let cseq = CSeq { number, method: request.method.clone() };
        headers.push(HeaderName::VIA, format!("SIP/2.0/UDP {sip};branch={branch};rport"));
        headers.push(HeaderName::MAX_FORWARDS, "70");
        headers.push(HeaderName::FROM, from.to_string());
        headers.push(HeaderName::TO, to.to_string());
        headers.push(HeaderName::CALL_ID, self.call_id.clone());
        headers.push(HeaderName::CSEQ, cseq.to_string());
        if request.method == Method::Invite {
            headers.push(HeaderName::CONTACT, contact);
            headers.push(HeaderName::ALLOW, "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE");
        }
        request
    }

    /// Where the phone is reached.
    pub(super) fn contact(&self) -> String {
        NameAddr::new(Uri::Sip(SipUri::new(Some("phone"), self.place.sip))).to_string()
    }

    fn branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bK{}-{}", self.names.branch, self.branches)
    }

    fn target(&self) -> Uri {
        self.target.clone().unwrap_or_else(|| self.peer_uri.clone())
    }

    /// Calls who is registered at `contact`.
    pub(super) fn call_back(&mut self, contact: Uri, now: Duration) {
        self.peer_uri = contact;
        let cancel = self.plan.cancel;
        self.cancels_at = cancel.map(|cancel| now + Duration::from_millis(cancel.after_ms));
        self.invite(self.direction, now);
    }

    /// Calls, or changes the call.
    fn invite(&mut self, direction: Direction, now: Duration) {
        (self.asked, self.asked_rtp) = (direction, self.place.rtp);
        self.number += 1;
        let request = Request::new(Method::Invite, self.target());
        let body = self.describe(direction);
        self.send_request(request.with_body(SDP, body), now);
    }

    fn send_request(&mut self, request: Request, now: Duration) {
        let branch = self.branch();
        let request = self.ask(request, self.number, branch.clone());
        let asking = Asking::new(request, branch, now);
        self.out.push_back(asking.bytes());
        self.asking.push(asking);
    }

    /// Says that a key was pressed.
    fn key(&mut self, digit: char, now: Duration) {
        self.number += 1;
        let body = format!("Signal={digit}\r\nDuration=160\r\n");
        let request = Request::new(Method::Info, self.target()).with_body(DTMF_RELAY, body);
        self.send_request(request, now);
        self.told.keyed.push(Keyed { at: now, digit, status: None });
    }

    /// Gives up before the answer.
    fn cancel(&mut self, now: Duration) {
        let is_hasty = self.plan.cancel.is_some_and(|cancel| cancel.hasty);
        let Some(invite) = self.asking.iter_mut().find(|asking| asking.is_invite()) else { return };
        if self.has_cancelled || !invite.is_open() {
            return;
        }
        if !is_hasty && !invite.is_at_it {
            // With the first provisional answer.
            return;
        }
        self.has_cancelled = true;
        invite.give_up_at(now + PATIENCE);
        let (branch, uri) = (invite.branch.clone(), invite.request.uri.clone());
        let request = self.ask(Request::new(Method::Cancel, uri), self.number, branch.clone());
        let asking = Asking::new(request, branch, now);
        self.out.push_back(asking.bytes());
        self.asking.push(asking);
    }

    pub(super) fn hang_up(&mut self, now: Duration) {
        if self.has_hung_up || self.told.ended.is_some() {
            return;
        }
        // Who was called waits for the ACK (RFC 3261, section 15).
        if self.waiting.is_some() && self.answered.iter().any(Answered::is_open) {
            self.hangs_up_at = Some(now + UNTIL_ACKNOWLEDGED);
            return;
        }
        self.has_hung_up = true;
        (self.hangs_up_at, self.cancels_at) = (None, None);
        self.changes.clear();
        self.keys.clear();
        self.number += 1;
        let request = Request::new(Method::Bye, self.target());
        self.send_request(request, now);
    }

    fn on_response(&mut self, response: &Response, now: Duration) {
        let (Some(via), Some(cseq)) = (response.top_via(), response.cseq()) else { return };
        let branch = via.params.get("branch").unwrap_or_default();
        let is_it =
            |asking: &&mut Asking| asking.branch == branch && asking.request.method == cseq.method;
        let Some(asking) = self.asking.iter_mut().find(is_it) else { return };
        if !response.is_final() {
            asking.is_worked_on();
            if asking.is_invite() && asking.is_open() && self.told.answered_at.is_none() {
                if response.status > 100 {
                    self.told.rang_at.get_or_insert(now);
                }
                // Time to give up has passed, and waited for this.
                if self.plan.cancel.is_some() && self.cancels_at.is_none() {
                    self.cancel(now);
                }
            }
            return;
        }
        if !asking.is_open() {
            self.out.extend(asking.ack.clone());
            return;
        }
        asking.is_answered(response.status, now);
        match asking.request.method {
            Method::Invite => self.on_invite_answered(&branch, response, now),
            Method::Bye => {
                let end = match response.status {
                    200..=299 => CallEnd::HungUp,
                    status => CallEnd::HungUpRefused(status),
                };
                self.end(end, now);
                self.forget(&branch, &Method::Bye);
            }
            Method::Info => {
                // One is answered before the next goes out.
                if let Some(keyed) = self.told.keyed.last_mut() {
                    keyed.status = Some(response.status);
                }
                self.forget(&branch, &Method::Info);
            }
            _ => self.forget(&branch, &cseq.method),
        }
    }

    /// Copies of an answer to all but INVITE are of no interest.
    fn forget(&mut self, branch: &str, method: &Method) {
        self.asking.retain(|asking| asking.branch != branch || asking.request.method != *method);
    }

    fn on_invite_answered(&mut self, branch: &str, response: &Response, now: Duration) {
        let is_first = self.told.answered_at.is_none();
        let is_accepted = response.status < 300;
        if is_accepted {
            (self.direction, self.rtp) = (self.asked, self.asked_rtp);
            if let Some(contact) = response.contact() {
                self.target = Some(contact.uri);
            }
            if is_first {
                self.their_tag = response.to().and_then(|to| to.tag());
            }
        }
        self.acknowledge(branch, response, is_accepted);
        match (is_accepted, is_first) {
            (true, true) => self.on_answered(response, now),
            (true, false) => self.take_description(&response.body),
            (false, true) if response.status == 487 && self.has_cancelled => {
                self.end(CallEnd::Cancelled, now);
            }
            (false, true) => self.end(CallEnd::Rejected(response.status), now),
            (false, false) => self.on_change_refused(response.status, now),
        }
    }

    /// The ACK behind the final answer to the INVITE of `branch`, and behind every copy of that (RFC 3261, sections 13.2.2.4
    /// and 17.1.1.3).
    fn acknowledge(&mut self, branch: &str, response: &Response, is_accepted: bool) {
        let new_branch = self.branch();
        let is_it = |asking: &&Asking| asking.branch == branch && asking.is_invite();
        let Some(invite) = self.asking.iter().find(is_it) else { return };
        let number = invite.request.cseq().map_or(0, |cseq| cseq.number);
        let (uri, branch_of_ack) = match is_accepted {
            true => (self.target(), new_branch),
            false => (invite.request.uri.clone(), branch.to_owned()),
        };
        let mut request = self.ask(Request::new(Method::Ack, uri), number, branch_of_ack);
        // The whole To of the answer, with its tag.
        if let Some(to) = response.headers.get(&HeaderName::TO) {
            request.headers.set(HeaderName::TO, to);
        }
        let ack = request.to_bytes();
        self.out.push_back(ack.clone());
        let is_it = |asking: &&mut Asking| asking.branch == branch && asking.is_invite();
        if let Some(invite) = self.asking.iter_mut().find(is_it) {
            invite.ack = Some(ack);
        }
    }

    fn on_answered(&mut self, response: &Response, now: Duration) {
        self.told.answered_at = Some(now);
        self.take_description(&response.body);
        self.begin_to_talk(now);
        // Whoever has given up does not want to talk any more.
        let has_given_up = self.plan.cancel.is_some() && self.cancels_at.is_none();
        if has_given_up || self.peer.is_none() {
            self.hang_up(now);
        }
    }

    /// What is to be done in the call is due from now on.
    pub(super) fn begin_to_talk(&mut self, now: Duration) {
        let at = |ms: u64| now + Duration::from_millis(ms);
        self.hangs_up_at = self.plan.talk_ms.map(at);
        self.changes =
            self.plan.changes.iter().map(|it: &Change| (at(it.at_ms), it.direction)).collect();
        let keys = self.plan.digits.iter().filter(|_| self.plan.dials_by_info);
        self.keys = keys.map(|dialled| (at(dialled.at_ms), dialled.digit)).collect();
    }

    fn take_description(&mut self, body: &[u8]) {
        if let Some(description) = Description::read(body) {
            self.peer = Some(description);
        }
    }

    fn on_change_refused(&mut self, status: u16, now: Duration) {
        match status {
            // Both wanted to change it: the one that called waits longer (RFC 3261, section 14.1).
            491 if self.is_up() => {
                let least_ms = if self.waiting.is_none() { 2_100 } else { 0 };
                let again = now + Duration::from_millis(least_ms + self.names.patience_ms);
                self.changes.push_front((again, self.asked));
            }
            408 | 481 => self.end(CallEnd::Forgotten, now),
            _ => {}
        }
    }

    fn on_request(&mut self, request: &Request, now: Duration) {
        let Some(cseq) = request.cseq() else { return };
        if request.method == Method::Ack {
            let tag = request.to().and_then(|to| to.tag());
            let acknowledged = self.answered.iter_mut();
            acknowledged.for_each(|it| it.is_acknowledged(cseq.number, tag.as_ref()));
            return;
        }
        if let Some(known) = self.answered.iter().find(|answered| answered.is_of(request)) {
            self.out.push_back(known.answer.clone());
            return;
        }
        if self.is_ringing_for(request) {
            return;
        }
        let tag_of = |address: Option<NameAddr>| address.and_then(|address| address.tag());
        let is_of_call = request.call_id() == Some(&self.call_id)
            && tag_of(request.to()).as_ref() == Some(&self.names.tag)
            && self.their_tag.is_some()
            && tag_of(request.from()) == self.their_tag;
        let is_old = self.their_number.is_some_and(|newest| cseq.number <= newest);
        if self.waiting.is_some() && !is_of_call && !self.is_for_fork(request) {
            match self.on_outside(request, now) {
                Outside::Answered(response) => return self.give(request, &response, now),
                Outside::Later => return,
                Outside::Unknown => {}
            }
        }
        let response = match &request.method {
            Method::Bye if self.is_for_fork(request) => request.response(200, None),
            _ if !is_of_call || self.told.ended.is_some() => request.response(481, None),
            _ if is_old => request.response(500, None),
            Method::Invite | Method::Update if self.has_open_invite() => {
                request.response(491, None)
            }
            Method::Bye => {
                self.end(CallEnd::ByGateway, now);
                request.response(200, None)
            }
            Method::Invite | Method::Update => self.agree(request),
            Method::Options => request.response(200, None),
            _ => request.response(405, None),
        };
        if is_of_call && !is_old {
            self.their_number = Some(cseq.number);
        }
        self.give(request, &response, now);
    }

    /// The gateway changes the call, or says that it is still there: as it likes.
    fn agree(&mut self, request: &Request) -> Response {
        if let Some(contact) = request.contact() {
            self.target = Some(contact.uri);
        }
        let response = request.response(200, None).with_header(HeaderName::CONTACT, self.contact());
        if request.body.is_empty() && request.method == Method::Update {
            return response;
        }
        self.take_description(&request.body);
        let offer = Description::read(&request.body);
        let direction = offer.map_or(self.direction, |it| self.direction.facing(it.direction));
        let body = self.describe(direction);
        self.rtp = self.place.rtp;
        response.with_body(SDP, body)
    }
}
