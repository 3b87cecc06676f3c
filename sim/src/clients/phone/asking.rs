//! Requests of a phone until they are answered, and the ACKs behind the answers.

use std::time::Duration;

use bytes::Bytes;
use rehearsal_core::sip::{message::Request, method::Method};

use super::{carrier::Carrier, timers::Copies};

/// How often a request goes again whose connection is lost.
const AGAIN_MAX: u32 = 3;

/// A request that was sent.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) request: Request,
    pub(super) branch: String,
    bytes: Bytes,
    carrier: Carrier,
    copies: Copies,
    /// When there is no hope any more; `None` once an INVITE is being worked on.
    gives_up_at: Option<Duration>,
    /// A provisional answer came.
    pub(super) is_at_it: bool,
    /// The final answer.
    pub(super) answer: Option<u16>,
    /// What is sent behind each copy of the final answer to an INVITE.
    pub(super) ack: Option<Bytes>,
    /// When no copies of the answer come any more.
    forgotten_at: Option<Duration>,
    /// How often its connection was lost, and it went by another one.
    again: u32,
}

impl Asking {
    /// `request`, sent at `now`.
    pub(super) fn new(request: Request, branch: String, carrier: Carrier, now: Duration) -> Self {
        let copies = Copies::of_request(request.method == Method::Invite, carrier, now);
        Self {
            bytes: request.to_bytes(),
            request,
            branch,
            carrier,
            copies,
            gives_up_at: Some(now + carrier.patience()),
            is_at_it: false,
            answer: None,
            ack: None,
            forgotten_at: None,
            again: 0,
        }
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    pub(super) fn is_invite(&self) -> bool {
        self.request.method == Method::Invite
    }

    /// Whether nothing final has come.
    pub(super) fn is_open(&self) -> bool {
        self.answer.is_none()
    }

    /// A provisional answer came.
    pub(super) fn is_worked_on(&mut self) {
        if !self.is_open() {
            return;
        }
        self.is_at_it = true;
        match self.is_invite() {
            true => {
                self.copies.stop();
                self.gives_up_at = None;
            }
            false => self.copies.slow_down(),
        }
    }

    /// Nobody wants the answer any more: it is waited for until `at`.
    pub(super) fn give_up_at(&mut self, at: Duration) {
        self.gives_up_at = Some(at);
    }

    /// The final answer came.
    pub(super) fn is_answered(&mut self, status: u16, now: Duration) {
        self.answer = Some(status);
        self.copies.stop();
        self.gives_up_at = None;
        // Copies of an answer go on for so long at most; those of a 2xx are sent over streams, too.
        let is_accepted = self.is_invite() && (200..300).contains(&status);
        let wait = if is_accepted { self.carrier.patience() } else { self.carrier.copies_come() };
        self.forgotten_at = Some(now + wait);
    }

    /// The connection that it took is lost. What is to go by another one, if nothing final has come by it.
    pub(super) fn on_lost(&mut self, asked: &[String]) -> Option<Bytes> {
        let is_due = self.is_open() && self.again < AGAIN_MAX && asked.contains(&self.branch);
        self.again += u32::from(is_due);
        is_due.then(|| self.bytes.clone())
    }

    /// Whether it went again by another connection.
    pub(super) fn is_again(&self) -> bool {
        self.again > 0
    }

    /// When there is something to do.
    pub(super) fn next(&self) -> Option<Duration> {
        [self.copies.next(), self.gives_up_at, self.forgotten_at].into_iter().flatten().min()
    }

    /// What is due: a copy.
    pub(super) fn take_copy(&mut self, now: Duration) -> Option<Bytes> {
        self.copies.take_due(now).then(|| self.bytes.clone())
    }

    pub(super) fn has_given_up(&self, now: Duration) -> bool {
        self.gives_up_at.is_some_and(|at| at <= now)
    }

    pub(super) fn is_forgotten(&self, now: Duration) -> bool {
        self.forgotten_at.is_some_and(|at| at <= now)
    }
}
