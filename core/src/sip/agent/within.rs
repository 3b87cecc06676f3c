//! What happens within a call: it is changed, something is said, it ends.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;

use super::{
    Agent, AgentEvent, CallRef, End, GLARES_MAX, SDP, add_capabilities,
    call::{OwnOffer, Stage},
    incoming::refused_response,
    sdp_of,
    session::{Asked, SessionTimer},
};
use crate::sip::{
    fields::decimal,
    headers::HeaderName,
    message::{Fields, Request, Response},
    method::Method,
    transaction::ServerId,
    transport::Hop,
};

/// How long a change of ours waits for one of the peer's that is going on.
const BUSY_WAIT: Duration = Duration::from_millis(500);
/// How long the user may take to make an offer that it is asked for, until it is asked again.
const ASK_WAIT: Duration = Duration::from_secs(32);
/// Longest time for which a peer may put off a change of ours.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Least time between two tries to refresh a session.
const REFRESH_WAIT_MIN: Duration = Duration::from_secs(5);

impl Agent {
    pub(super) fn handle_within(
        &mut self,
        now: Duration,
        call: CallRef,
        id: ServerId,
        request: Box<Request>,
        source: Hop,
    ) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let Some(dialog) = &mut own.dialog else { return };
        let is_newer = dialog.take_number(number);
        dialog.take_connection(number, source);
        if !is_newer {
            self.respond(now, id, &request, 500);
            return;
        }
        match &request.method {
            Method::Invite => self.handle_reinvite(now, call, id, request, source),
            Method::Bye => {
                self.respond(now, id, &request, 200);
                self.refuse_offer(now, call, 487);
                // The caller may give up by BYE what it could cancel.
                self.reject_with(now, call, 487, End::HungUp);
                self.end(call, End::HungUp);
            }
            Method::Info => {
                self.respond(now, id, &request, 200);
                if let Some(content_type) = request.content_type() {
                    let body = request.body.clone();
                    self.events.push_back(AgentEvent::Info { call, content_type, body });
                }
            }
            Method::Options => {
                let mut response = request.response(200, None);
                add_capabilities(&mut response.headers);
                self.transactions.respond(now, id, response);
            }
            _ => {
                let response = request.response(405, None);
                let response = response.with_header(HeaderName::ALLOW, super::ALLOW);
                self.transactions.respond(now, id, response);
            }
        }
    }

    fn handle_reinvite(
        &mut self,
        now: Duration,
        call: CallRef,
        id: ServerId,
        invite: Box<Request>,
        source: Hop,
    ) {
        if let Some(response) = refused_response(&invite) {
            self.transactions.respond(now, id, response);
            return;
        }
        let (least, session) = (self.config.session_expires_min, self.config.session_expires);
        if let Err(least) = SessionTimer::answer(&invite, session, least) {
            let response = invite.response(422, None);
            let response = response.with_header(HeaderName::MIN_SE, least.as_secs().to_string());
            self.transactions.respond(now, id, response);
            return;
        }
        let Some(own) = self.calls.get_mut(&call) else { return };
        // Both ends want to change it at once (section 14.2).
        if matches!(own.own_offer, Some(OwnOffer::Sent { .. })) {
            sometimes!("both ends want to change a call at once");
            self.respond(now, id, &invite, 491);
            return;
        }
        let is_busy = !matches!(own.stage, Stage::Up)
            || own.unconfirmed.is_some()
            || own.peer_offer.is_some();
        if is_busy {
            let wait_s = self.transactions.tokens().below(11);
            let response = invite.response(500, None);
            let response = response.with_header(HeaderName::RETRY_AFTER, wait_s.to_string());
            self.transactions.respond(now, id, response);
            return;
        }
        // A change of ours that waits was made for what there was before.
        if let Some(OwnOffer::Waiting { sdp, .. }) = &mut own.own_offer
            && sdp.take().is_some()
        {
            self.events.push_back(AgentEvent::OfferPostponed { call });
        }
        let sdp = sdp_of(&invite.body);
        own.peer_offer = Some((id, invite, source));
        self.servers.insert(id, call);
        self.events.push_back(AgentEvent::Offered { call, sdp, source });
    }

    /// Takes the peer's change with `sdp`, an answer to its offer, or an offer if it had none.
    pub fn accept_offer(&mut self, now: Duration, call: CallRef, sdp: Bytes) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        let Some((server, invite, source)) = own.peer_offer.take() else { return };
        if let Some(dialog) = &mut own.dialog {
            dialog.refresh_target(&*invite);
            dialog.refresh_source(&invite, source);
        }
        self.servers.remove(&server);
        self.accept(now, call, server, &invite, None, sdp, false);
        self.retime(call);
    }

    /// Does not take the peer's change: all is as before.
    pub fn refuse_offer(&mut self, now: Duration, call: CallRef, status: u16) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        if let Some((server, invite, _)) = own.peer_offer.take() {
            self.servers.remove(&server);
            self.transactions.respond(now, server, invite.response(status, None));
        }
    }

    /// Wants to change the call to `sdp`: at once, or when what else is going on is over.
    pub fn offer(&mut self, now: Duration, call: CallRef, sdp: Bytes) {
        let Some(own) = self.calls.get_mut(&call).filter(|own| !own.is_hung_up) else { return };
        match &mut own.own_offer {
            // What is on its way is answered first.
            Some(OwnOffer::Sent { .. }) => {
                self.events.push_back(AgentEvent::OfferRefused { call, status: 491 });
            }
            Some(OwnOffer::Waiting { at, sdp: waiting, .. }) => {
                // One that the user was asked for goes out at once.
                *at = if waiting.is_none() { now } else { *at };
                *waiting = Some(sdp);
            }
            None => {
                own.own_offer = Some(OwnOffer::Waiting { at: now, sdp: Some(sdp), attempts: 0 });
            }
        }
        self.send_offer(now, call);
        self.retime(call);
    }

    /// Sends a change that waits, if it is time for it; asks the user for it if there is none any more.
    fn send_offer(&mut self, now: Duration, call: CallRef) {
        let session_expires = self.config.session_expires;
        let contact = self.contact_in(call);
        let Some(own) = self.calls.get_mut(&call) else { return };
        let is_free = own.is_free();
        let Some(OwnOffer::Waiting { at, sdp, attempts }) = &mut own.own_offer else { return };
        if now < *at {
            return;
        }
        if !is_free {
            *at = now + BUSY_WAIT;
            return;
        }
        let Some(sdp) = sdp.clone() else {
            *at = now + ASK_WAIT;
            self.events.push_back(AgentEvent::RefreshDue { call });
            return;
        };
        let attempts = *attempts;
        let Some(dialog) = &mut own.dialog else { return };
        let mut invite = dialog.request(Method::Invite).with_body(SDP, sdp);
        let ways = dialog.hops();
        invite.headers.push(HeaderName::CONTACT, contact);
        let first = Asked { interval: session_expires, refresher: None };
        let asks = own.session.map_or(first, |session| session.asks);
        own.least.ask(asks, &mut invite);
        add_capabilities(&mut invite.headers);
        own.auth.begin();
        own.auth.authorize(&mut invite, own.credentials.as_ref(), self.transactions.tokens());
        let client = self.send_invite(now, call, invite, ways, None, false);
        if let Some(own) = self.calls.get_mut(&call) {
            own.own_offer = Some(OwnOffer::Sent { client, attempts });
        }
    }

    /// The peer has not taken our change, which has asked for a session of `asked`.
    pub(super) fn handle_offer_failure(
        &mut self,
        now: Duration,
        call: CallRef,
        status: u16,
        response: Option<&Response>,
        asked: Duration,
    ) {
        let retry_after =
            response.and_then(retry_after).filter(|retry_after| *retry_after <= RETRY_AFTER_MAX);
        let Some(own) = self.calls.get_mut(&call) else { return };
        let Some(OwnOffer::Sent { attempts, .. }) = own.own_offer.take() else { return };
        let too_small = response.filter(|response| response.status == 422);
        let is_too_small = too_small.is_some_and(|response| own.least.take(response, asked));
        match status {
            // The peer is gone, or knows nothing of the call (section 12.2.1.2).
            408 | 481 => {
                self.hang_up_as(now, call, Some(End::Expired));
                return;
            }
            491 if attempts < GLARES_MAX => {
                // Who owns the call waits longer, so that one of the two is first (section 14.1).
                let tokens = self.transactions.tokens();
                let wait_ms = match own.is_caller {
                    true => 2_100 + 10 * tokens.below(191),
                    false => 10 * tokens.below(201),
                };
                self.postpone(call, now + Duration::from_millis(wait_ms.into()), attempts);
            }
            // A session of another length (RFC 4028, section 7.3).
            422 if is_too_small => self.postpone(call, now, attempts),
            // Nor is it without a way there.
            503 if response.is_none() => {
                self.hang_up_as(now, call, Some(End::Expired));
                return;
            }
            // The peer is in the middle of something (section 14.2), or has too much to do (RFC 5057, section 5.1).
            500 | 503 if retry_after.is_some() && attempts < GLARES_MAX => {
                self.postpone(call, now + retry_after.unwrap_or_default(), attempts);
            }
            _ => self.events.push_back(AgentEvent::OfferRefused { call, status }),
        }
        self.retime(call);
    }

    /// A change of ours is tried again at `at`, made anew.
    fn postpone(&mut self, call: CallRef, at: Duration, attempts: u32) {
        if let Some(own) = self.calls.get_mut(&call) {
            own.own_offer = Some(OwnOffer::Waiting { at, sdp: None, attempts: attempts + 1 });
            self.events.push_back(AgentEvent::OfferPostponed { call });
        }
    }

    /// An address of its own network that the peer of `call` says for itself, and by which it cannot be reached from here.
    pub fn hidden_ip(&self, call: CallRef) -> Option<IpAddr> {
        self.calls.get(&call)?.dialog.as_ref()?.hidden_ip()
    }

    /// Ends the call, however far it has come; nothing more is heard of it.
    pub fn hang_up(&mut self, now: Duration, call: CallRef) {
        self.hang_up_as(now, call, None);
    }

    /// Ends the call; `told` is what its user hears of it.
    fn hang_up_as(&mut self, now: Duration, call: CallRef, told: Option<End>) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        if let Some(end) = told
            && !own.is_hung_up
        {
            self.events.push_back(AgentEvent::Ended { call, end });
        }
        own.is_hung_up = true;
        match &own.stage {
            Stage::Incoming { .. } => self.reject(now, call, 480),
            Stage::Outgoing { client } => {
                let client = *client;
                self.remove(call);
                self.transactions.cancel(now, client);
            }
            // Who was called must not send a BYE before the ACK has come (section 15).
            Stage::Up if own.unconfirmed.as_ref().is_some_and(|own| own.is_first) => {}
            Stage::Up => {
                self.refuse_offer(now, call, 487);
                if let Some(mut removed) = self.remove(call)
                    && let Some(mut dialog) = removed.dialog.take()
                {
                    self.send_bye(now, &mut dialog, Some(removed));
                }
            }
        }
    }

    pub(super) fn handle_call_timeout(&mut self, now: Duration, call: CallRef) {
        let timers = *self.transactions.timers();
        let Some(own) = self.calls.get_mut(&call) else { return };
        if let Stage::Incoming { answer_by, rings_at, .. } = own.stage {
            if now >= answer_by {
                self.reject_with(now, call, 480, End::Unanswered);
            } else if rings_at.is_some_and(|at| now >= at) {
                self.ring(now, call);
            }
            return;
        }
        if let Some(unconfirmed) = &mut own.unconfirmed {
            if now >= unconfirmed.ends_at {
                own.unconfirmed = None;
                self.hang_up_as(now, call, Some(End::Unconfirmed));
                return;
            }
            if unconfirmed.take_resend(now, &timers) {
                sometimes!("an acceptance that nobody has acknowledged is sent again");
                let (hop, bytes) = (unconfirmed.hop, unconfirmed.bytes.clone());
                // Its connection may be lost by now.
                let hop = self.transactions.answer_hop(unconfirmed.server).unwrap_or(hop);
                self.transactions.resend(hop, bytes);
            }
        }
        let Some(own) = self.calls.get_mut(&call) else { return };
        if let Some(session) = &mut own.session {
            if now >= session.expires_at {
                own.unconfirmed = None;
                self.hang_up_as(now, call, Some(End::Expired));
                return;
            }
            if session.refresh_at.is_some_and(|at| now >= at) {
                // If that comes to nothing there may be time for another try.
                let next = (session.expires_at - now) / 2;
                session.refresh_at = (next >= REFRESH_WAIT_MIN).then_some(now + next);
                if own.own_offer.is_none() && !own.is_hung_up {
                    // The user is asked for an offer when nothing else is going on.
                    let waiting = OwnOffer::Waiting { at: now, sdp: None, attempts: 0 };
                    own.own_offer = Some(waiting);
                }
            }
        }
        let Some(own) = self.calls.get(&call) else { return };
        if matches!(own.own_offer, Some(OwnOffer::Waiting { at, .. }) if now >= at) {
            self.send_offer(now, call);
        }
    }
}

/// When a server wants to be asked again.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers.get(&HeaderName::RETRY_AFTER)?;
    let seconds = decimal(value.split([';', '(', ' ']).next()?)?;
    Some(Duration::from_secs(seconds.into()))
}
