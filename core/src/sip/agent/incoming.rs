//! Who calls us, and what else is asked outside of calls.

use std::time::Duration;

use bytes::Bytes;

use super::{
    ALLOW, Agent, AgentEvent, CallRef, End, SDP, add_capabilities,
    call::{Call, Stage, Unconfirmed},
    sdp_of,
    session::{SessionTimer, TIMER},
};
use crate::sip::{
    dialog::{Dialog, FIRST_CSEQ_BOUND},
    headers::HeaderName,
    message::{Fields, Request, Response},
    method::Method,
    transaction::ServerId,
    transport::Hop,
    uri::Uri,
};

/// How often a caller is told that it rings (RFC 3261, section 13.3.1.1).
const RING_AGAIN: Duration = Duration::from_secs(60);
/// As [`ALLOW`], where phones may register.
const ALLOW_REGISTER: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, REGISTER";

impl Agent {
    pub(super) fn handle_outside(
        &mut self,
        now: Duration,
        id: ServerId,
        request: Box<Request>,
        source: Hop,
    ) {
        if let Some(refusal) = refusal(&request, self.allow()) {
            let mut response =
                request.response(refusal.status, Some(&self.transactions.tokens().hex()));
            if let Some((name, value)) = refusal.header {
                response.headers.push(name, value);
            }
            self.transactions.respond(now, id, response);
            return;
        }
        match request.method {
            Method::Invite => self.handle_invite(now, id, request, source),
            Method::Register => self.handle_register(now, id, &request, source),
            Method::Options => {
                let tag = self.transactions.tokens().hex();
                let mut response = request.response(200, Some(&tag));
                add_capabilities(&mut response.headers);
                response.headers.set(HeaderName::ALLOW, self.allow());
                response.headers.push(HeaderName::parse("Accept").expect("a token"), SDP);
                self.transactions.respond(now, id, response);
            }
            _ => self.respond(now, id, &request, 481),
        }
    }

    fn handle_invite(&mut self, now: Duration, id: ServerId, invite: Box<Request>, source: Hop) {
        let tag = self.transactions.tokens().hex();
        let cseq = self.transactions.tokens().below(FIRST_CSEQ_BOUND);
        let (least, own) = (self.config.session_expires_min, self.config.session_expires);
        if let Err(least) = SessionTimer::answer(&invite, own, least) {
            let response = invite.response(422, Some(&tag));
            let response = response.with_header(HeaderName::MIN_SE, least.as_secs().to_string());
            self.transactions.respond(now, id, response);
            return;
        }
        if self.calls.len() >= self.config.calls {
            self.busy += 1;
            self.transactions.respond(now, id, invite.response(486, Some(&tag)));
            return;
        }
        // Whatever it takes to make one was checked when the message was read.
        let Some(dialog) = Dialog::of_server(&invite, source, &tag, cseq) else { return };
        let call = self.new_call();
        self.dialogs.insert(dialog.id(), call);
        self.servers.insert(id, call);
        let from = Box::new(invite.from().expect("the message was checked"));
        let (to, sdp) = (invite.uri.clone(), sdp_of(&invite.body));
        let takes_info = super::allows_info(&invite.headers);
        let answer_by = now + self.config.answer_within;
        let stage = Stage::Incoming { server: id, invite, tag, answer_by, rings_at: None };
        let mut own = Call::new(stage, Some(dialog), false);
        own.contact_user = to.as_sip().and_then(|uri| uri.user_name());
        own.takes_info = takes_info;
        self.calls.insert(call, own);
        self.retime(call);
        self.events.push_back(AgentEvent::Incoming { call, to, from, sdp, source });
    }

    /// Tells the peer that somebody is told of its call, and again each minute: what tells it may be lost, and proxies on the way give
    /// up a call of which they hear nothing.
    pub fn ring(&mut self, now: Duration, call: CallRef) {
        let contact = self.contact_in(call);
        let Some(own) = self.calls.get_mut(&call) else { return };
        if let Stage::Incoming { server, invite, tag, rings_at, .. } = &mut own.stage {
            *rings_at = Some(now + RING_AGAIN);
            let mut response = invite.response(180, Some(tag));
            response.headers.push(HeaderName::CONTACT, contact);
            self.transactions.respond(now, *server, response);
            self.retime(call);
        }
    }

    /// Takes the call with `sdp`, an answer to its offer, or an offer if it had none.
    pub fn answer(&mut self, now: Duration, call: CallRef, sdp: Bytes) {
        let Some(Stage::Incoming { server, invite, tag, .. }) = self.stage(call) else { return };
        let (server, invite, tag) = (*server, invite.clone(), tag.clone());
        self.servers.remove(&server);
        self.accept(now, call, server, &invite, Some(&tag), sdp, true);
        if let Some(own) = self.calls.get_mut(&call) {
            own.stage = Stage::Up;
        }
        self.retime(call);
    }

    /// Answers an INVITE with 2xx, and sees to it that its ACK comes.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn accept(
        &mut self,
        now: Duration,
        call: CallRef,
        server: ServerId,
        invite: &Request,
        tag: Option<&str>,
        sdp: Bytes,
        is_first: bool,
    ) {
        let (least, own) = (self.config.session_expires_min, self.config.session_expires);
        let mut response = invite.response(200, tag).with_body(SDP, sdp);
        response.headers.push(HeaderName::CONTACT, self.contact_in(call));
        add_capabilities(&mut response.headers);
        let timer = SessionTimer::answer(invite, own, least).ok();
        if let Some(timer) = &timer {
            timer.write(&mut response);
        }
        let timers = *self.transactions.timers();
        let hop = self.transactions.answer_hop(server);
        let Some((hop, bytes)) = hop.zip(self.transactions.respond(now, server, response)) else {
            return;
        };
        if let Some(own) = self.calls.get_mut(&call) {
            let cseq = invite.cseq().map_or(0, |cseq| cseq.number);
            let is_offer = sdp_of(&invite.body).is_none();
            let (server, answer) = ((server, cseq), (hop, bytes));
            own.unconfirmed =
                Some(Unconfirmed::new(now, server, answer, is_offer, is_first, &timers));
            own.session = timer.map(|timer| timer.due(now));
        }
    }

    /// Does not take the call.
    pub fn reject(&mut self, now: Duration, call: CallRef, status: u16) {
        if let Some(Stage::Incoming { server, invite, tag, .. }) = self.stage(call) {
            let (server, response) = (*server, invite.response(status, Some(tag)));
            self.remove(call);
            self.transactions.respond(now, server, response);
        }
    }

    /// As [`Self::reject`], with a reason of its own and one more header.
    pub(super) fn reject_with(&mut self, now: Duration, call: CallRef, status: u16, end: End) {
        if let Some(Stage::Incoming { server, invite, tag, .. }) = self.stage(call) {
            let (server, response) = (*server, invite.response(status, Some(tag)));
            self.end(call, end);
            self.transactions.respond(now, server, response);
        }
    }

    pub(super) fn handle_cancelled(&mut self, now: Duration, id: ServerId) {
        let Some(call) = self.servers.get(&id).copied() else { return };
        match self.stage(call) {
            Some(Stage::Incoming { .. }) => self.reject_with(now, call, 487, End::Cancelled),
            // A change within a call is not wanted any more.
            _ => self.refuse_offer(now, call, 487),
        }
    }

    /// Methods that are understood outside of calls.
    fn allow(&self) -> &'static str {
        if self.registrar.is_some() { ALLOW_REGISTER } else { ALLOW }
    }

    fn stage(&self, call: CallRef) -> Option<&Stage> {
        self.calls.get(&call).map(|call| &call.stage)
    }

    /// The ACK to a 2xx of ours, or to nothing.
    pub(super) fn handle_ack(&mut self, now: Duration, ack: &Request, source: Hop) {
        let id = crate::sip::dialog::DialogId::of_request(ack);
        let Some(call) = id.and_then(|id| self.dialogs.get(&id).copied()) else { return };
        let Some(own) = self.calls.get_mut(&call) else { return };
        let Some(number) = ack.cseq().map(|cseq| cseq.number) else { return };
        let confirmed = own.unconfirmed.take_if(|own| own.cseq == number);
        let Some(confirmed) = confirmed else { return };
        if let Some(dialog) = &mut own.dialog {
            dialog.take_connection(number, source);
        }
        self.transactions.confirm(confirmed.server);
        if own.is_hung_up {
            self.hang_up(now, call);
            return;
        }
        self.retime(call);
        let answer = confirmed.is_offer.then(|| sdp_of(&ack.body).unwrap_or_default());
        self.events.push_back(AgentEvent::Confirmed { call, answer });
    }
}

/// Why a request outside of calls is not dealt with.
struct Refusal {
    status: u16,
    header: Option<(HeaderName, String)>,
}

/// `allow` has the methods that are understood outside of calls.
fn refusal(request: &Request, allow: &str) -> Option<Refusal> {
    let because = |status, header| Some(Refusal { status, header });
    match &request.method {
        Method::Invite | Method::Options | Method::Bye => {}
        Method::Register if allow == ALLOW_REGISTER => {}
        Method::Info | Method::Update | Method::Register => {
            return because(405, Some((HeaderName::ALLOW, allow.into())));
        }
        Method::Ack | Method::Cancel => return because(481, None),
        Method::Other(_) => return because(501, Some((HeaderName::ALLOW, allow.into()))),
    }
    if matches!(request.uri, Uri::Other(_)) {
        return because(416, None);
    }
    refusal_of_extensions(request).or_else(|| refusal_of_body(request))
}

/// What an INVITE within a call may be refused for, too.
pub(super) fn refused_response(request: &Request) -> Option<Response> {
    let refusal = refusal_of_extensions(request).or_else(|| refusal_of_body(request))?;
    let mut response = request.response(refusal.status, None);
    if let Some((name, value)) = refusal.header {
        response.headers.push(name, value);
    }
    Some(response)
}

fn refusal_of_extensions(request: &Request) -> Option<Refusal> {
    // What proxies must understand is no matter of who answers.
    let required = request.headers.list(&HeaderName::REQUIRE);
    let unknown: Vec<_> =
        required.into_iter().filter(|tag| !tag.eq_ignore_ascii_case(TIMER)).collect();
    let header = Some((HeaderName::UNSUPPORTED, unknown.join(", ")));
    (!unknown.is_empty()).then_some(Refusal { status: 420, header })
}

fn refusal_of_body(request: &Request) -> Option<Refusal> {
    if request.body.is_empty() || request.method != Method::Invite {
        return None;
    }
    let is_plain = request
        .headers
        .list(&HeaderName::CONTENT_ENCODING)
        .iter()
        .all(|own| own.eq_ignore_ascii_case("identity"));
    let is_sdp = request.content_type().is_some_and(|own| own == SDP);
    let accept = HeaderName::parse("Accept").expect("a token");
    (!is_plain || !is_sdp).then(|| Refusal { status: 415, header: Some((accept, SDP.into())) })
}
