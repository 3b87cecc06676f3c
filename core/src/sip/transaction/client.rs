//! The client's side of a transaction (RFC 3261, section 17.1, with RFC 6026 for what follows a 2xx to INVITE).

use std::time::Duration;

use bytes::Bytes;

use super::timers::Timers;
use crate::sip::{
    fields::Via,
    headers::HeaderName,
    message::{Fields, Request, Response},
    method::Method,
    transport::Hop,
};

/// How often a request is made again whose connection is lost.
const AGAIN_MAX: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was answered yet.
    Calling,
    /// A provisional answer came.
    Proceeding,
    /// A final answer came; copies of it are expected.
    Completed,
    /// INVITE alone: a 2xx came; more may come, from others too.
    Accepted,
}

/// One request on its way to an answer.
#[derive(Debug)]
pub(super) struct Client {
    request: Request,
    bytes: Bytes,
    hop: Hop,
    /// The way there once the connection to `hop` is lost.
    other: Option<Hop>,
    /// How often it was made again.
    again: u32,
    state: State,
    resend_at: Option<Duration>,
    /// Nobody wants to know the answer any more.
    is_given_up: bool,
    interval: Duration,
    ends_at: Duration,
    /// What a final answer but 2xx was confirmed with.
    ack: Option<Bytes>,
    cancel: Cancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    NotAsked,
    /// To be sent once a provisional answer has come (section 9.1).
    Due,
    Sent,
}

/// What a response means to its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// News for the user.
    News,
    /// News, and it must be confirmed.
    Confirm,
    /// A copy of what was confirmed.
    ConfirmAgain,
    /// A copy, or too late.
    Nothing,
}

/// What becomes of a request whose connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It goes again, another way.
    Again,
    /// Its answer is waited for.
    Waits,
    /// It gets none.
    Failed,
}

/// What is to be done when a time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// Send the request again.
    Resend,
    /// Nobody answers.
    GiveUp,
    /// The peer rings for too long.
    Cancel,
    /// Copies are not expected any more.
    End,
}

impl Client {
    pub(super) fn new(
        now: Duration,
        request: Request,
        (hop, other): (Hop, Option<Hop>),
        timers: &Timers,
    ) -> Self {
        let bytes = request.to_bytes();
        let resend_at = (!hop.transport.is_reliable()).then_some(now + timers.t1);
        Self {
            request,
            bytes,
            hop,
            other,
            again: 0,
            state: State::Calling,
            resend_at,
            is_given_up: false,
            interval: timers.t1,
            ends_at: now + timers.give_up(),
            ack: None,
            cancel: Cancel::NotAsked,
        }
    }

    pub(super) fn hop(&self) -> Hop {
        self.hop
    }

    /// The connection that it went by is lost, and perhaps the request, or its answer, with it.
    pub(super) fn lose_way(&mut self, now: Duration, timers: &Timers) -> Lost {
        let Some(other) = self.other.filter(|_| self.again < AGAIN_MAX) else {
            // A call may have come before the connection was lost. Who has it says so soon.
            if self.is_invite() && self.state == State::Calling {
                self.ends_at = self.ends_at.min(now + timers.t2);
                return Lost::Waits;
            }
            return self.lose_peer(now, timers);
        };
        self.hop = other;
        self.again += 1;
        Lost::Again
    }

    /// Nothing can be sent to its peer. One that works on it answers by a connection of its own (section 18.2.2), and has the usual
    /// time for it.
    pub(super) fn lose_peer(&mut self, now: Duration, timers: &Timers) -> Lost {
        if self.state != State::Proceeding || self.cancel == Cancel::Sent {
            return Lost::Failed;
        }
        self.ends_at = self.ends_at.min(now + timers.give_up());
        Lost::Waits
    }

    /// The way there, and the one that is left if that is lost.
    pub(super) fn ways(&self) -> (Hop, Option<Hop>) {
        (self.hop, self.other)
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    pub(super) fn ack(&self) -> Option<Bytes> {
        self.ack.clone()
    }

    pub(super) fn has_final(&self) -> bool {
        matches!(self.state, State::Completed | State::Accepted)
    }

    /// Whether somebody waits for its answer.
    pub(super) fn is_wanted(&self) -> bool {
        !self.has_final() && !self.is_given_up
    }

    /// Nobody wants to know the answer any more.
    pub(super) fn give_up(&mut self) {
        (self.is_given_up, self.resend_at, self.other) = (true, None, None);
    }

    fn is_invite(&self) -> bool {
        self.request.method == Method::Invite
    }

    pub(super) fn timeout(&self) -> Duration {
        self.resend_at.map_or(self.ends_at, |at| at.min(self.ends_at))
    }

    /// A response to it has come.
    pub(super) fn handle_response(
        &mut self,
        now: Duration,
        response: &Response,
        timers: &Timers,
    ) -> Reception {
        match (self.state, response.status) {
            (State::Calling | State::Proceeding, 100..200) => {
                self.handle_provisional(now, response.status, timers);
                Reception::News
            }
            (State::Calling | State::Proceeding, 200..300) if self.is_invite() => {
                self.settle(State::Accepted, now + timers.give_up());
                Reception::News
            }
            (State::Accepted, 200..300) => Reception::News,
            (State::Calling | State::Proceeding, _) if self.is_invite() => {
                // D: copies of the answer come as long as its server may send them.
                let wait = if self.hop.transport.is_reliable() {
                    Duration::ZERO
                } else {
                    timers.give_up().max(Duration::from_secs(32))
                };
                self.settle(State::Completed, now + wait);
                self.ack = Some(self.acknowledge(response).to_bytes());
                Reception::Confirm
            }
            (State::Calling | State::Proceeding, _) => {
                let wait =
                    if self.hop.transport.is_reliable() { Duration::ZERO } else { timers.t4 };
                self.settle(State::Completed, now + wait);
                Reception::News
            }
            (State::Completed, 300..) if self.is_invite() => Reception::ConfirmAgain,
            (State::Completed | State::Accepted, _) => Reception::Nothing,
        }
    }

    fn handle_provisional(&mut self, now: Duration, status: u16, timers: &Timers) {
        let is_first = self.state == State::Calling;
        self.state = State::Proceeding;
        if !self.is_invite() {
            // E goes on, at its longest.
            self.interval = timers.t2;
            return;
        }
        self.resend_at = None;
        // C begins with each that says something (section 16.7, step 2).
        if self.cancel != Cancel::Sent && (is_first || status > 100) {
            self.ends_at = now + timers.c;
        }
    }

    fn settle(&mut self, state: State, ends_at: Duration) {
        self.state = state;
        self.resend_at = None;
        self.ends_at = ends_at;
    }

    /// What is to be done now.
    pub(super) fn handle_timeout(&mut self, now: Duration, timers: &Timers) -> Due {
        if now >= self.ends_at {
            return match self.state {
                State::Completed | State::Accepted => Due::End,
                State::Proceeding if self.is_invite() && self.cancel != Cancel::Sent => Due::Cancel,
                State::Calling | State::Proceeding => Due::GiveUp,
            };
        }
        match self.resend_at {
            Some(at) if now >= at => {
                self.interval = match self.is_invite() {
                    true => self.interval * 2,
                    false => timers.next(self.interval),
                };
                self.resend_at = Some(at + self.interval);
                Due::Resend
            }
            _ => Due::Nothing,
        }
    }

    /// The INVITE is not wanted any more.
    pub(super) fn ask_for_cancel(&mut self) {
        if self.cancel == Cancel::NotAsked && self.is_invite() && !self.has_final() {
            self.cancel = Cancel::Due;
        }
    }

    /// The CANCEL that is to be sent now, if one is. Its INVITE has to be answered within the usual time then.
    pub(super) fn take_cancel(&mut self, now: Duration, timers: &Timers) -> Option<Request> {
        if self.cancel != Cancel::Due || self.state != State::Proceeding {
            return None;
        }
        self.cancel = Cancel::Sent;
        self.ends_at = now + timers.give_up();
        let mut cancel = Request::new(Method::Cancel, self.request.uri.clone());
        self.copy_into(&mut cancel, Method::Cancel);
        if let Some(to) = self.request.headers.get(&HeaderName::TO) {
            cancel.headers.push(HeaderName::TO, to);
        }
        Some(cancel)
    }

    /// The ACK to a final answer but 2xx (section 17.1.1.3).
    fn acknowledge(&self, response: &Response) -> Request {
        let mut ack = Request::new(Method::Ack, self.request.uri.clone());
        self.copy_into(&mut ack, Method::Ack);
        if let Some(to) = response.headers.get(&HeaderName::TO) {
            ack.headers.push(HeaderName::TO, to);
        }
        ack
    }

    /// What a request has that belongs to this one.
    fn copy_into(&self, other: &mut Request, method: Method) {
        let via = self.request.headers.list(&HeaderName::VIA).first().and_then(|v| Via::parse(v));
        if let Some(via) = via {
            other.headers.push(HeaderName::VIA, via.to_string());
        }
        for name in [HeaderName::ROUTE, HeaderName::FROM, HeaderName::CALL_ID] {
            for value in self.request.headers.all(&name) {
                other.headers.push(name.clone(), value);
            }
        }
        if let Some(mut cseq) = self.request.cseq() {
            cseq.method = method;
            other.headers.push(HeaderName::CSEQ, cseq.to_string());
        }
        other.headers.push(HeaderName::MAX_FORWARDS, "70");
    }
}
