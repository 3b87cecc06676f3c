//! Whom we call: the INVITE, what is answered to it, and what becomes of answers that nobody waits for any more.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{
    Agent, AgentEvent, CallRef, End, FORKS_MAX, Purpose, SDP, Target, add_capabilities,
    auth::ClientAuth,
    call::{Call, OwnOffer, Stage},
    sdp_of,
    session::{Asked, Least, SessionTimer, asked_for},
};
use crate::sip::{
    behind_nat::Behind,
    dialog::{Dialog, FIRST_CSEQ_BOUND},
    digest::Credentials,
    fields::{CSeq, NameAddr},
    headers::HeaderName,
    message::{Fields, Request, Response},
    method::Method,
    transaction::ClientId,
    transport::{Hop, Transport},
};

/// An INVITE of ours, as long as answers may come.
#[derive(Debug)]
pub(super) struct InviteClient {
    call: CallRef,
    request: Request,
    ways: (Hop, Option<Hop>),
    behind: Option<Behind>,
    /// It begins the call, and is no change of it.
    is_first: bool,
    /// That of the call, once that is over, and its peer waits for the ACK all the same.
    pub(super) dialog: Option<Dialog>,
    /// What each 2xx was confirmed with, and where, by the tag of who gave it.
    acks: BTreeMap<String, (Hop, Bytes)>,
}

/// A BYE of ours whose call is over.
#[derive(Debug)]
pub(super) struct ByeClient {
    request: Request,
    ways: (Hop, Option<Hop>),
    auth: ClientAuth,
    credentials: Credentials,
}

/// The way on behind an answer that came from `source`: over TCP its connection, which is there, and may be another one than that of
/// the request.
fn way_on((hop, other): (Hop, Option<Hop>), source: Hop) -> (Hop, Option<Hop>) {
    match source.transport {
        Transport::Tcp => (source, other),
        Transport::Udp => (hop, other),
    }
}

impl Agent {
    /// Calls somebody with the offer `sdp`.
    pub fn call(&mut self, now: Duration, target: Target, sdp: Bytes) -> CallRef {
        let contact = self.contact(target.contact_user.as_deref(), target.hop.transport);
        let tokens = self.transactions.tokens();
        let (tag, call_id) = (tokens.hex(), tokens.hex());
        let number = 1 + tokens.below(FIRST_CSEQ_BOUND);
        let mut invite = Request::new(Method::Invite, target.uri.clone());
        for (name, value) in [
            (HeaderName::MAX_FORWARDS, "70".to_owned()),
            (HeaderName::FROM, target.from.with_tag(&tag).to_string()),
            (HeaderName::TO, NameAddr::new(target.uri).to_string()),
            (HeaderName::CALL_ID, call_id),
            (HeaderName::CSEQ, CSeq { number, method: Method::Invite }.to_string()),
            (HeaderName::CONTACT, contact.to_string()),
        ] {
            invite.headers.push(name, value);
        }
        let asks = Asked { interval: self.config.session_expires, refresher: None };
        Least::default().ask(asks, &mut invite);
        add_capabilities(&mut invite.headers);
        let invite = invite.with_body(SDP, sdp);
        let call = self.new_call();
        let ways = (target.hop, target.other);
        let client = self.send_invite(now, call, invite, ways, target.behind, true);
        let mut own = Call::new(Stage::Outgoing { client }, None, true);
        own.credentials = target.credentials;
        own.contact_user = target.contact_user;
        self.calls.insert(call, own);
        call
    }

    pub(super) fn send_invite(
        &mut self,
        now: Duration,
        call: CallRef,
        request: Request,
        ways: (Hop, Option<Hop>),
        behind: Option<Behind>,
        is_first: bool,
    ) -> ClientId {
        let client = self.transactions.request(now, request.clone(), ways);
        let (dialog, acks) = (None, BTreeMap::new());
        let invite = InviteClient { call, request, ways, behind, is_first, dialog, acks };
        self.clients.insert(client, Purpose::Invite(Box::new(invite)));
        client
    }

    pub(super) fn handle_invite_response(
        &mut self,
        now: Duration,
        id: ClientId,
        response: &Response,
        source: Hop,
    ) {
        match response.status {
            100..200 => self.handle_progress(id, response.status),
            200..300 => self.handle_success(now, id, response, source),
            _ => {
                if let Some(Purpose::Invite(mut invite)) = self.forget_client(id) {
                    invite.ways = way_on(invite.ways, source);
                    self.handle_invite_failure(now, &invite, response.status, Some(response));
                }
            }
        }
    }

    fn handle_progress(&mut self, id: ClientId, status: u16) {
        let Some(Purpose::Invite(invite)) = self.clients.get(&id) else { return };
        let call = invite.call;
        let is_waiting =
            self.calls.get(&call).is_some_and(|own| matches!(own.stage, Stage::Outgoing { .. }));
        // Others tell of a way that goes on, and of nobody who rings.
        if matches!(status, 180 | 183) && is_waiting {
            self.events.push_back(AgentEvent::Ringing { call, status });
        }
    }

    /// A 2xx: the first of its peer is confirmed and begins the call, or ends at once what nobody wants any more; copies are
    /// confirmed once more.
    fn handle_success(&mut self, now: Duration, id: ClientId, response: &Response, source: Hop) {
        let Some(Purpose::Invite(invite)) = self.clients.get(&id) else { return };
        let tag = response.to().and_then(|to| to.tag()).unwrap_or_default();
        if let Some((hop, bytes)) = invite.acks.get(&tag).cloned() {
            self.transactions.resend(way_on((hop, None), source).0, bytes);
            return;
        }
        if invite.acks.len() >= FORKS_MAX {
            return;
        }
        let InviteClient { call, ways, behind, is_first, .. } = **invite;
        let request = invite.request.clone();
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let present = self.calls.get(&call).and_then(|own| own.dialog.as_ref());
        let own_dialog = present.or(invite.dialog.as_ref()).filter(|_| !is_first).cloned();
        let dialog = match own_dialog {
            Some(mut dialog) => {
                dialog.refresh_target(response);
                dialog.answer_by(source);
                Some(dialog)
            }
            None => Dialog::of_client(&request, response, way_on(ways, source).0, behind),
        };
        let Some(mut dialog) = dialog else { return };
        let mut ack = dialog.ack(number);
        for name in [HeaderName::AUTHORIZATION, HeaderName::PROXY_AUTHORIZATION] {
            for value in request.headers.all(&name) {
                ack.headers.push(name.clone(), value);
            }
        }
        let ack_hop = dialog.hop();
        let bytes = self.transactions.send(ack_hop, ack);
        if let Some(Purpose::Invite(invite)) = self.clients.get_mut(&id) {
            invite.acks.insert(tag, (ack_hop, bytes));
        }
        let timer = SessionTimer::agreed(response, self.config.session_expires);
        let sdp = sdp_of(&response.body);
        match self.calls.get_mut(&call) {
            Some(own)
                if is_first && matches!(own.stage, Stage::Outgoing { client } if client == id) =>
            {
                own.stage = Stage::Up;
                own.takes_info = super::allows_info(&response.headers);
                own.session = Some(timer.due(now));
                self.dialogs.insert(dialog.id(), call);
                own.dialog = Some(dialog);
                self.retime(call);
                self.events.push_back(AgentEvent::Answered { call, sdp });
            }
            Some(own) if !is_first => {
                own.dialog = Some(dialog);
                own.own_offer = None;
                own.session = Some(timer.due(now));
                self.retime(call);
                self.events.push_back(AgentEvent::OfferAccepted { call, sdp });
            }
            // Cancelled too late, or one more of a fork.
            _ if is_first => {
                sometimes!("a call of ours is taken that nobody wants any more");
                self.send_bye(now, &mut dialog, None);
            }
            _ => {}
        }
    }

    /// The INVITE has come to nothing with `status`; `response` said so, if somebody did.
    pub(super) fn handle_invite_failure(
        &mut self,
        now: Duration,
        invite: &InviteClient,
        status: u16,
        response: Option<&Response>,
    ) {
        if let Some(response) = response
            && self.try_again(now, invite, response)
        {
            return;
        }
        if !invite.is_first {
            let asked = asked_for(&invite.request);
            self.handle_offer_failure(now, invite.call, status, response, asked);
            return;
        }
        let reason = response.map(|response| response.reason.clone()).filter(|own| !own.is_empty());
        let reason =
            reason.unwrap_or_else(|| crate::sip::message::reason_phrase(status).to_owned());
        self.end(invite.call, End::Rejected { status, reason });
    }

    /// Sends the INVITE once more if the answer says how: with a proof of who calls, or with a longer session.
    fn try_again(&mut self, now: Duration, invite: &InviteClient, response: &Response) -> bool {
        let Some(own) = self.calls.get_mut(&invite.call) else { return false };
        let mut request = invite.request.clone();
        match response.status {
            401 | 407 if own.credentials.is_some() => {
                if !own.auth.take(response) {
                    return false;
                }
            }
            422 if invite.is_first => {
                let interval = asked_for(&request);
                if !own.least.take(response, interval) {
                    return false;
                }
                own.least.ask(Asked { interval, refresher: None }, &mut request);
            }
            _ => return false,
        }
        own.auth.authorize(&mut request, own.credentials.as_ref(), self.transactions.tokens());
        match &mut own.dialog {
            Some(dialog) if !invite.is_first => dialog.renumber(&mut request),
            _ => count_up(&mut request),
        }
        let (ways, behind) = (invite.ways, invite.behind);
        let client = self.send_invite(now, invite.call, request, ways, behind, invite.is_first);
        if let Some(own) = self.calls.get_mut(&invite.call) {
            if invite.is_first {
                own.stage = Stage::Outgoing { client };
            } else if let Some(OwnOffer::Sent { client: sent, .. }) = &mut own.own_offer {
                *sent = client;
            }
        }
        true
    }

    /// Sends a BYE; the call it ends, if there is one, has what proves who sends it.
    pub(super) fn send_bye(&mut self, now: Duration, dialog: &mut Dialog, call: Option<Call>) {
        let (mut bye, ways) = (dialog.request(Method::Bye), dialog.hops());
        let proof = call.and_then(|call| Some((call.auth, call.credentials?)));
        let Some((mut auth, credentials)) = proof else {
            let id = self.transactions.request(now, bye, ways);
            self.clients.insert(id, Purpose::Notice);
            return;
        };
        auth.begin();
        auth.authorize(&mut bye, Some(&credentials), self.transactions.tokens());
        let bye = ByeClient { request: bye, ways, auth, credentials };
        self.send_proven_bye(now, Box::new(bye));
    }

    /// The BYE was answered: nothing follows from it, unless somebody on the way wants a proof first.
    pub(super) fn send_bye_again(
        &mut self,
        now: Duration,
        mut bye: Box<ByeClient>,
        response: &Response,
        source: Hop,
    ) {
        bye.ways = way_on(bye.ways, source);
        if bye.auth.take(response) {
            let tokens = self.transactions.tokens();
            bye.auth.authorize(&mut bye.request, Some(&bye.credentials), tokens);
            count_up(&mut bye.request);
            self.send_proven_bye(now, bye);
        }
    }

    fn send_proven_bye(&mut self, now: Duration, bye: Box<ByeClient>) {
        let id = self.transactions.request(now, bye.request.clone(), bye.ways);
        self.clients.insert(id, Purpose::Bye(bye));
    }
}

/// Gives a request that is sent once more the number after its own.
fn count_up(request: &mut Request) {
    if let Some(mut cseq) = request.cseq() {
        cseq.number += 1;
        request.headers.set(HeaderName::CSEQ, cseq.to_string());
    }
}
