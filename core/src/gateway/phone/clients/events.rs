//! What happens to clients: they are called, their calls come up, are changed and end.

use std::time::Duration;

use bytes::Bytes;

use super::{
    super::{
        Phones,
        desk::{Agreed, CallNotice, ClientRef},
        refusal::words,
    },
    Talk,
};
use crate::{
    env::Env,
    gateway::count,
    rtp::dtmf::Digit,
    sdp::{Codec, Negotiated},
    sip::{
        agent::{CallRef, End},
        fields::NameAddr,
        transport::Hop,
    },
};

impl<E: Env> Phones<E> {
    /// Somebody calls a client: it is asked, unless it has a call already, or would have nothing in common with the caller.
    pub(in crate::gateway::phone) fn invite_client(
        &mut self,
        now: Duration,
        client: ClientRef,
        call: CallRef,
        from: NameAddr,
        sdp: Option<Bytes>,
        source: Hop,
    ) {
        let is_described = sdp.as_ref().is_none_or(|offer| self.is_carried(offer));
        let Some(own) = self.clients.clients.get_mut(&client) else { return };
        let status = match own.talk {
            Talk::None if is_described => {
                let from = NameAddr { params: Default::default(), ..from }.to_string();
                let to = own.address();
                own.talk = Talk::Invited { call, sdp, source };
                self.clients.calls.insert(call, client);
                self.agent.ring(now, call);
                self.desk.tell(client, CallNotice::Invited { from, to });
                return;
            }
            Talk::None => 488,
            _ => 486,
        };
        count(&self.shared.counters.calls_refused, 1);
        self.agent.reject(now, call, status);
    }

    /// The callee is told of a client's call.
    pub(in crate::gateway::phone) fn note_client_ringing(&mut self, call: CallRef, ringing: u16) {
        let Some((client, own)) = self.clients.by_call(call) else { return };
        // Phones repeat it as long as it rings.
        if let Talk::Calling { status, .. } = &mut own.talk
            && *status != ringing
        {
            *status = ringing;
            self.desk.tell(client, CallNotice::Ringing(words(ringing)));
        }
    }

    /// Something was agreed on: the first time, with `is_up`, a client's call is up.
    pub(in crate::gateway::phone) fn note_client_agreed(
        &mut self,
        now: Duration,
        call: CallRef,
        is_up: bool,
    ) {
        let agreed = self.calls.get(&call).map(|own| own.negotiator.negotiated());
        let (Some(agreed), Some((client, own))) = (agreed, self.clients.by_call(call)) else {
            return;
        };
        let (was_held, accepted) = match own.talk {
            Talk::Calling { is_named, .. } | Talk::Accepting { is_named, .. } if is_up => {
                (false, Some(CallNotice::Accepted(is_named.then(|| in_words(&agreed)))))
            }
            Talk::Up { is_held, .. } => (is_held, None),
            _ => return,
        };
        let is_held = agreed.is_held_by_peer();
        own.talk = Talk::Up { call, is_held };
        let holded = (is_held != was_held).then_some(CallNotice::Holded(is_held));
        for notice in accepted.into_iter().chain(holded) {
            self.desk.tell(client, notice);
        }
        self.offer_hold(now, call);
    }

    /// An offer came to nothing. What the client wants is offered next time if it only has to wait, and else is as it was.
    pub(in crate::gateway::phone) fn note_client_refused(
        &mut self,
        call: CallRef,
        has_to_wait: bool,
    ) {
        let Some((_, client)) = self.clients.by_call(call) else { return };
        let Some(own) = self.calls.get_mut(&call) else { return };
        if has_to_wait {
            own.negotiator.hold(client.wants_hold);
        } else {
            client.wants_hold = own.negotiator.holds();
        }
        client.offered_hold = client.wants_hold;
    }

    /// A client's call has come to its end.
    pub(in crate::gateway::phone) fn note_client_ended(&mut self, call: CallRef, end: &End) {
        let Some((client, own)) = self.clients.by_call(call) else { return };
        let notice = match std::mem::take(&mut own.talk) {
            Talk::Calling { .. } => CallNotice::Rejected(match end {
                End::Rejected { status, reason } => format!("{status} {reason}"),
                _ => words(480),
            }),
            Talk::Invited { .. } => {
                self.clients.forget_call(call);
                self.desk.tell(client, CallNotice::Cancelled);
                return;
            }
            Talk::Accepting { .. } | Talk::Up { .. } => CallNotice::Byed,
            other => {
                own.talk = other;
                return;
            }
        };
        own.leaving = Some(call);
        self.desk.tell(client, notice);
    }

    /// A client's call was ended here: it could not go on.
    pub(in crate::gateway::phone) fn note_client_over(&mut self, client: ClientRef) {
        let Some(own) = self.clients.clients.get_mut(&client) else { return };
        let notice = match &own.talk {
            Talk::Calling { .. } => CallNotice::Rejected(words(488)),
            Talk::Accepting { .. } | Talk::Up { .. } => CallNotice::Byed,
            Talk::None | Talk::Seeking { .. } | Talk::Invited { .. } => return,
        };
        own.leaving = own.talk.call();
        own.talk = Talk::None;
        self.desk.tell(client, notice);
    }

    /// The other end of a client's call has dialled a digit.
    pub(in crate::gateway::phone) fn note_client_digit(&mut self, call: CallRef, digit: Digit) {
        if let Some((client, own)) = self.clients.by_call(call)
            && own.talk.call() == Some(call)
        {
            self.desk.tell(client, CallNotice::Dtmf(digit.to_char()));
        }
    }
}

/// What was agreed on, as clients call it.
fn in_words(agreed: &Negotiated) -> Agreed {
    let audio = agreed.audio.as_ref().and_then(|audio| match audio.codec {
        Codec::Wideband | Codec::Narrowband => Some("speex"),
        Codec::Pcmu => Some("pcmu"),
        Codec::Pcma => Some("pcma"),
        Codec::H264 | Codec::Dtmf | Codec::WidebandDtmf => None,
    });
    Agreed { audio, video: agreed.video.as_ref().map(|_| "h264") }
}
