//! What the gateway answers to what a phone has asked.

use std::time::Duration;

use rehearsal_core::sip::{
    headers::HeaderName,
    message::{Fields, Request, Response},
    method::Method,
};

use super::{
    super::{asking::Asking, report::CallEnd},
    Call, DTMF_RELAY,
};

impl Call {
    pub(super) fn on_response(&mut self, response: &Response, now: Duration) {
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
                self.forget(&branch, &Method::Bye);
                if let Some(fork) = self.fork.take() {
                    // The other one is in the call as well, and hangs up, too.
                    self.has_hung_up = false;
                    self.go_on_as(fork);
                    return self.hang_up(now);
                }
                let end = match response.status {
                    200..=299 => CallEnd::HungUp,
                    status => CallEnd::HungUpRefused(status),
                };
                self.end(end, now);
            }
            Method::Info => {
                // One is answered before the next goes out.
                let is_key = asking.request.headers.get(&HeaderName::CONTENT_TYPE);
                let is_key = is_key == Some(DTMF_RELAY);
                if let Some(keyed) = self.told.keyed.last_mut().filter(|_| is_key) {
                    keyed.status = Some(response.status);
                    keyed.is_again = asking.is_again();
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
            if let Some(session) = &mut self.session {
                session.accepted(response, now);
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
            (false, true) if self.asks_for_more(response) => self.invite(self.direction, now),
            (false, true) => self.end(CallEnd::Rejected(response.status), now),
            (false, false) => self.on_change_refused(response.status, now),
        }
    }

    /// Whether it is refused because it has asked for too short a session, and is to ask for a longer one.
    fn asks_for_more(&mut self, response: &Response) -> bool {
        let session = self.session.as_mut().filter(|_| response.status == 422);
        session.is_some_and(|session| session.is_too_small(response))
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

    fn on_change_refused(&mut self, status: u16, now: Duration) {
        match status {
            // Both wanted to change it: the one that called waits longer (RFC 3261, section 14.1).
            491 if self.is_up() => {
                let least_ms = if self.waiting.is_none() { 2_100 } else { 0 };
                let again = now + Duration::from_millis(least_ms + self.names.patience_ms);
                self.changes.push_front((again, self.asked));
            }
            408 | 481 => self.end(CallEnd::Forgotten, now),
            _ => {
                if let Some(session) = &mut self.session {
                    session.put_off(now);
                }
            }
        }
    }
}
