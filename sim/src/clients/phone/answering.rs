//! Requests of the gateway that a phone has answered.

use std::time::Duration;

use bytes::Bytes;
use rehearsal_core::sip::{
    message::{Fields, Request, Response},
    method::Method,
};

use super::{carrier::Carrier, timers::Copies};

/// A request that was answered, so that copies of it get the same answer.
#[derive(Debug)]
pub(super) struct Answered {
    branch: String,
    method: Method,
    number: u32,
    /// Tag of who answered.
    tag: Option<String>,
    pub(super) answer: Bytes,
    /// Of a 2xx to INVITE, until it is acknowledged.
    copies: Option<Copies>,
    carrier: Carrier,
    forgotten_at: Duration,
}

impl Answered {
    pub(super) fn new(
        request: &Request,
        response: &Response,
        carrier: Carrier,
        now: Duration,
    ) -> Self {
        let waits_for_ack = request.method == Method::Invite;
        let is_accepted = waits_for_ack && response.status < 300;
        // What takes the call is said again over streams, too (RFC 3261, section 13.3.1.4).
        let copies = match is_accepted {
            true => Copies::of_other(carrier, now),
            false => Copies::of_request(false, carrier, now),
        };
        let wait = if waits_for_ack { carrier.patience() } else { carrier.copies_come() };
        Self {
            branch: branch_of(request),
            method: request.method.clone(),
            number: request.cseq().map_or(0, |cseq| cseq.number),
            tag: response.to().and_then(|to| to.tag()),
            answer: response.to_bytes(),
            copies: waits_for_ack.then_some(copies),
            carrier,
            forgotten_at: now + wait,
        }
    }

    /// Whether `request` is a copy of this one.
    pub(super) fn is_of(&self, request: &Request) -> bool {
        self.method == request.method && self.branch == branch_of(request)
    }

    /// Whether it is the INVITE of `branch`.
    pub(super) fn is_invite_of(&self, branch: &str) -> bool {
        self.method == Method::Invite && self.branch == branch
    }

    /// Whether it is an INVITE whose acceptance nobody has acknowledged.
    pub(super) fn is_open(&self) -> bool {
        self.copies.is_some() && self.is_accepted()
    }

    fn is_accepted(&self) -> bool {
        self.answer.starts_with(b"SIP/2.0 2")
    }

    /// An ACK came for the INVITE of `number`, which the one with `tag` has answered.
    pub(super) fn is_acknowledged(&mut self, number: u32, tag: Option<&String>, now: Duration) {
        if self.method == Method::Invite && self.number == number && self.tag.as_ref() == tag {
            self.copies = None;
            if self.carrier.is_tcp && !self.is_accepted() {
                self.forgotten_at = now;
            }
        }
    }

    pub(super) fn next(&self) -> Duration {
        let copies = self.copies.as_ref().and_then(Copies::next);
        copies.map_or(self.forgotten_at, |next| next.min(self.forgotten_at))
    }

    /// What is due: a copy of an answer that nobody has acknowledged.
    pub(super) fn take_copy(&mut self, now: Duration) -> Option<Bytes> {
        self.copies.as_mut()?.take_due(now).then(|| self.answer.clone())
    }

    pub(super) fn is_forgotten(&self, now: Duration) -> bool {
        self.forgotten_at <= now
    }
}

fn branch_of(request: &Request) -> String {
    request.top_via().and_then(|via| via.params.get("branch")).unwrap_or_default()
}
