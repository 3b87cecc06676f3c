//! What is said to the peer within a call, by INFO (RFC 6086): one after the other. One that another overtakes is refused for its
//! number (RFC 3261, section 12.2.2), and what it says lost.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{Agent, CallRef, Purpose, call::Stage};
use crate::sip::{message::Response, method::Method, transaction::ClientId};

/// How much may wait in a call until what goes before it is answered.
const WAITING_MAX: usize = 32;

/// What is said in a call.
#[derive(Debug, Default)]
pub(super) struct Sayings {
    /// The INFO that is not answered yet.
    open: Option<Open>,
    /// Types and contents of those that go out next.
    waiting: VecDeque<(&'static str, Bytes)>,
}

/// An INFO that is on its way.
#[derive(Debug)]
struct Open {
    client: ClientId,
    content_type: &'static str,
    body: Bytes,
}

impl Sayings {
    pub(super) fn open(&self) -> Option<ClientId> {
        self.open.as_ref().map(|open| open.client)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }
}

impl Agent {
    /// Whether the peer of `call` has said, in what made the call, that it takes what [`Agent::send_info`] sends.
    pub fn takes_info(&self, call: CallRef) -> bool {
        self.calls.get(&call).is_some_and(|own| own.takes_info)
    }

    /// Whether something of that type is said in `call`, or waits to be, and is not answered yet.
    pub fn is_saying(&self, call: CallRef, content_type: &str) -> bool {
        self.calls.get(&call).is_some_and(|own| {
            let waiting = own.sayings.waiting.iter().map(|(own_type, _)| *own_type);
            let mut all = own.sayings.open.iter().map(|open| open.content_type).chain(waiting);
            all.any(|own_type| own_type == content_type)
        })
    }

    /// Says something to the peer, as soon as it has answered what was said before. False if nothing can be said in the call, or too
    /// much waits already.
    pub fn send_info(
        &mut self,
        now: Duration,
        call: CallRef,
        content_type: &'static str,
        body: Bytes,
    ) -> bool {
        let Some(own) = self.calls.get_mut(&call) else { return false };
        if !matches!(own.stage, Stage::Up) || own.sayings.waiting.len() >= WAITING_MAX {
            return false;
        }
        own.sayings.waiting.push_back((content_type, body));
        self.say_next(now, call);
        true
    }

    /// What was said last in `call` is answered with `response`, or will never be. Whoever wants to know who says it is told.
    pub(super) fn handle_said(
        &mut self,
        now: Duration,
        call: CallRef,
        response: Option<&Response>,
    ) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        let Some(open) = own.sayings.open.take() else { return };
        let proves = own.credentials.is_some() && response.is_some_and(|it| own.auth.take(it));
        if proves {
            self.say(now, call, open.content_type, open.body);
        } else {
            self.say_next(now, call);
        }
    }

    fn say_next(&mut self, now: Duration, call: CallRef) {
        let Some(own) = self.calls.get_mut(&call).filter(|own| own.sayings.open.is_none()) else {
            return;
        };
        let Some((content_type, body)) = own.sayings.waiting.pop_front() else { return };
        own.auth.begin();
        self.say(now, call, content_type, body);
    }

    fn say(&mut self, now: Duration, call: CallRef, content_type: &'static str, body: Bytes) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        let Some(dialog) = &mut own.dialog else { return };
        let mut info = dialog.request(Method::Info).with_body(content_type, body.clone());
        let ways = dialog.hops();
        own.auth.authorize(&mut info, own.credentials.as_ref(), self.transactions.tokens());
        let client = self.transactions.request(now, info, ways);
        own.sayings.open = Some(Open { client, content_type, body });
        self.clients.insert(client, Purpose::Info(call));
    }
}
