//! What the gateway asks of a phone, and what that answers.

use std::time::Duration;

use rehearsal_core::sip::{
    fields::NameAddr,
    headers::HeaderName,
    message::{Fields, Request, Response},
    method::Method,
};

use super::{
    super::{callee::Outside, report::CallEnd, sdp::Description},
    Call, SDP,
};

impl Call {
    pub(super) fn on_request(&mut self, request: &Request, now: Duration) {
        let Some(cseq) = request.cseq() else { return };
        if request.method == Method::Ack {
            let tag = request.to().and_then(|to| to.tag());
            let acknowledged = self.answered.iter_mut();
            acknowledged.for_each(|it| it.is_acknowledged(cseq.number, tag.as_ref(), now));
            return;
        }
        if let Some(known) = self.answered.iter().find(|answered| answered.is_of(request)) {
            self.out.push_back(known.answer.clone());
            return;
        }
        if self.is_ringing_for(request) {
            return;
        }
        if self.is_for_fork(request) {
            return self.on_request_to_fork(request, now);
        }
        let tag_of = |address: Option<NameAddr>| address.and_then(|address| address.tag());
        let is_of_call = request.call_id() == Some(&self.call_id)
            && tag_of(request.to()).as_ref() == Some(&self.names.tag)
            && self.their_tag.is_some()
            && tag_of(request.from()) == self.their_tag;
        let is_old = self.their_number.is_some_and(|newest| cseq.number <= newest);
        if self.waiting.is_some() && !is_of_call {
            match self.on_outside(request, now) {
                Outside::Answered(response) => return self.give(request, &response, now),
                Outside::Later => return,
                Outside::Unknown => {}
            }
        }
        let response = match &request.method {
            _ if !is_of_call || self.told.ended.is_some() => request.response(481, None),
            _ if is_old => request.response(500, None),
            Method::Invite | Method::Update if self.has_open_invite() => {
                request.response(491, None)
            }
            Method::Bye => {
                match self.fork.take() {
                    Some(fork) => {
                        // The gateway talks to the other one, whose answer has come before.
                        self.give(request, &request.response(200, None), now);
                        self.go_on_as(fork);
                        if std::mem::take(&mut self.has_hung_up) {
                            self.hang_up(now);
                        }
                        return;
                    }
                    None => self.end(CallEnd::ByGateway, now),
                }
                request.response(200, None)
            }
            Method::Invite | Method::Update => self.agree(request, now),
            Method::Options => request.response(200, None),
            Method::Info if self.plan.video.is_some() => {
                let text = String::from_utf8_lossy(&request.body);
                self.told.keyframes_asked += u32::from(text.contains("<picture_fast_update"));
                request.response(200, None)
            }
            _ => request.response(405, None),
        };
        if is_of_call && !is_old {
            self.their_number = Some(cseq.number);
        }
        self.give(request, &response, now);
    }

    /// The gateway changes the call, or says that it is still there: as it likes.
    fn agree(&mut self, request: &Request, now: Duration) -> Response {
        if let Some(response) = self.refuses_session(request) {
            return response;
        }
        let offer = Description::read(&request.body);
        let chosen = self.choose(request);
        if offer.is_some() && chosen.is_none() {
            return request.response(488, None);
        }
        if let Some(contact) = request.contact() {
            self.target = Some(contact.uri);
        }
        let response = request.response(200, None).with_header(HeaderName::CONTACT, self.contact());
        let response = match &mut self.session {
            Some(session) => session.agree(request, response, now),
            None => response,
        };
        if request.body.is_empty() && request.method == Method::Update {
            return response;
        }
        self.peer = chosen.or(self.peer.take());
        let direction = offer.map_or(self.direction, |it| self.direction.facing(it.direction));
        let body = self.describe(direction);
        self.rtp = self.place.rtp;
        response.with_body(SDP, body)
    }
}
