//! The server's side of a transaction (RFC 3261, section 17.2, with RFC 6026 for what follows a 2xx to INVITE).

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;

use super::timers::Timers;
use crate::sip::{
    message::{Request, Response},
    method::Method,
    transport::{AnswerWay, Hop},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not answered finally.
    Proceeding,
    /// A final answer was given; INVITE alone: but 2xx, and its ACK is expected.
    Completed,
    /// INVITE alone: the ACK has come; copies of it may.
    Confirmed,
    /// INVITE alone: 2xx; whoever gave it sends it again until its ACK comes.
    Accepted,
}

/// One request on its way to an answer.
#[derive(Debug)]
pub(super) struct Server {
    is_invite: bool,
    /// To make a response to, as long as there may be one.
    request: Option<Request>,
    way: AnswerWay,
    state: State,
    last: Option<Bytes>,
    resend_at: Option<Duration>,
    interval: Duration,
    ends_at: Option<Duration>,
    source: IpAddr,
    /// An INVITE outside of calls whose ACK has not come.
    pub(super) is_unconfirmed: bool,
}

/// What is to be done when a time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// Send the answer again.
    Resend,
    /// Nobody confirms it.
    GiveUp,
    /// Copies are not expected any more.
    End,
}

impl Server {
    /// Answers to `request`, which has come from `source`, go by `way`.
    pub(super) fn new(
        request: Request,
        way: AnswerWay,
        source: IpAddr,
        is_unconfirmed: bool,
    ) -> Self {
        Self {
            is_invite: request.method == Method::Invite,
            request: Some(request),
            way,
            state: State::Proceeding,
            last: None,
            resend_at: None,
            interval: Duration::ZERO,
            ends_at: None,
            source,
            is_unconfirmed,
        }
    }

    pub(super) fn hop(&self) -> Hop {
        self.way.hop
    }

    /// A copy of the request has come by another connection: its sender has lost the one before.
    pub(super) fn take_way(&mut self, way: AnswerWay) {
        if way.hop.transport.is_reliable() {
            self.way = way;
        }
    }

    /// The connection `hop` is lost: what is still to be answered goes another way, if there is one.
    pub(super) fn handle_lost_way(&mut self, hop: Hop) {
        if self.way.hop == hop {
            self.way.hop = self.way.other.unwrap_or(hop);
        }
    }

    pub(super) fn source(&self) -> IpAddr {
        self.source
    }

    /// The answer that a copy of the request gets.
    pub(super) fn last(&self) -> Option<Bytes> {
        match self.state {
            State::Proceeding | State::Completed => self.last.clone(),
            State::Confirmed | State::Accepted => None,
        }
    }

    pub(super) fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        match (self.resend_at, self.ends_at) {
            (Some(resend_at), Some(ends_at)) => Some(resend_at.min(ends_at)),
            (resend_at, ends_at) => resend_at.or(ends_at),
        }
    }

    /// Gives an answer, and what goes over the wire; `None` when a final one was given already.
    pub(super) fn respond(
        &mut self,
        now: Duration,
        response: &Response,
        timers: &Timers,
    ) -> Option<Bytes> {
        if self.state != State::Proceeding {
            return None;
        }
        let bytes = response.to_bytes();
        self.last = Some(bytes.clone());
        if !response.is_final() {
            return Some(bytes);
        }
        self.request = None;
        let is_reliable = self.way.hop.transport.is_reliable();
        match (self.is_invite, response.status) {
            (true, 200..300) => {
                self.state = State::Accepted;
                self.last = None;
                self.ends_at = Some(now + timers.give_up());
            }
            (true, _) => {
                self.state = State::Completed;
                self.interval = timers.t1;
                self.resend_at = (!is_reliable).then_some(now + timers.t1);
                self.ends_at = Some(now + timers.give_up());
            }
            (false, _) => {
                self.state = State::Completed;
                let wait = if is_reliable { Duration::ZERO } else { timers.give_up() };
                self.ends_at = Some(now + wait);
            }
        }
        Some(bytes)
    }

    /// The ACK to a final answer but 2xx has come. False when it is none of its business.
    pub(super) fn handle_ack(&mut self, now: Duration, timers: &Timers) -> bool {
        match self.state {
            State::Completed if self.is_invite => {
                self.state = State::Confirmed;
                self.resend_at = None;
                self.last = None;
                let wait =
                    if self.way.hop.transport.is_reliable() { Duration::ZERO } else { timers.t4 };
                self.ends_at = Some(now + wait);
                true
            }
            State::Confirmed => true,
            State::Proceeding | State::Completed | State::Accepted => false,
        }
    }

    /// What is to be done now.
    pub(super) fn handle_timeout(&mut self, now: Duration, timers: &Timers) -> Due {
        if self.ends_at.is_some_and(|at| now >= at) {
            return match self.state {
                State::Completed if self.is_invite => Due::GiveUp,
                _ => Due::End,
            };
        }
        match self.resend_at {
            Some(at) if now >= at => {
                self.interval = timers.next(self.interval);
                self.resend_at = Some(at + self.interval);
                Due::Resend
            }
            _ => Due::Nothing,
        }
    }
}
