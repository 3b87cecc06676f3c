//! What clients want: their calls are made, taken, changed and ended.

use std::time::Duration;

use super::{
    super::{
        Owner, Phones,
        desk::{Action, After, CallNotice, ClientRef, Order},
        locating::{Unlocatable, Wanted},
        media::Change,
        refusal::words,
    },
    DECLINE, Talk, destination,
};
use crate::{
    env::Env,
    gateway::count,
    rtp::dtmf::Digit,
    sdp::Codec,
    sip::{
        agent::{CallRef, Target},
        fields::NameAddr,
        transport::Hop,
    },
};

/// What a client is told whose call does not let it have another.
const PENDING: &str = "Already in an active or pending call";
/// What it is told if there is none.
const NO_CALL: &str = "There is no such call";

impl<E: Env> Phones<E> {
    /// Does what clients want.
    pub(in crate::gateway::phone) async fn handle_orders(&mut self, now: Duration) {
        for (client, order) in self.desk.take() {
            match order {
                Order::Attach(attachment) => self.attach(client, *attachment),
                Order::Detach => self.detach(now, client),
                Order::Do { transaction, action } => {
                    self.handle_action(now, client, transaction, action).await
                }
            }
        }
    }

    /// The media of a call are over, and its streams are free: what waited for that is done.
    pub(in crate::gateway::phone) async fn note_client_media_over(
        &mut self,
        now: Duration,
        call: CallRef,
    ) {
        let Some(client) = self.clients.forget_call(call) else { return };
        let Some(own) = self.clients.clients.get_mut(&client) else { return };
        if own.leaving == Some(call) {
            own.leaving = None;
            for (transaction, action) in std::mem::take(&mut own.waiting) {
                self.handle_action(now, client, transaction, action).await;
            }
        }
    }

    async fn handle_action(
        &mut self,
        now: Duration,
        client: ClientRef,
        transaction: f64,
        action: Action,
    ) {
        let Some(own) = self.clients.clients.get_mut(&client) else { return };
        if own.leaving.is_some() {
            own.waiting.push_back((transaction, action));
            return;
        }
        let after = match action {
            Action::Invite { .. } => After::Calling,
            Action::Accept { .. } => After::Taken,
            Action::Reject { .. } | Action::Bye => After::Over,
            Action::SendDtmf(_) | Action::Hold(_) => After::Same,
        };
        let answer = match self.act(now, client, action).await {
            Ok(()) => CallNotice::Done { transaction, after },
            Err(reason) => {
                let is_invite = after == After::Calling;
                CallNotice::NotDone { transaction, reason, is_invite }
            }
        };
        self.desk.tell(client, answer);
    }

    async fn act(
        &mut self,
        now: Duration,
        client: ClientRef,
        action: Action,
    ) -> Result<(), String> {
        let Some(own) = self.clients.clients.get(&client) else { return Ok(()) };
        match (action, &own.talk) {
            (Action::Invite { to, codecs }, Talk::None) => self.seek(client, to, codecs),
            (Action::Invite { .. }, _) => Err(PENDING.to_owned()),
            (Action::Accept { codecs }, Talk::Invited { call, .. }) => {
                let call = *call;
                self.accept(now, client, call, codecs).await
            }
            (Action::Reject { status }, Talk::Invited { call, .. }) => {
                let call = *call;
                self.refuse(now, client, call, status);
                Ok(())
            }
            (Action::Bye, talk) if !matches!(talk, Talk::None) => {
                self.end_talk(now, client, DECLINE);
                Ok(())
            }
            (Action::SendDtmf(digit), Talk::Up { call, .. }) => self.send_digit(*call, digit),
            (Action::Hold(hold), Talk::Up { call, .. }) => {
                let call = *call;
                self.hold(now, call, hold);
                Ok(())
            }
            _ => Err(NO_CALL.to_owned()),
        }
    }

    /// Of what a client names, or can by itself, what may be carried here.
    fn carried(&self, client: ClientRef, named: Option<Vec<Codec>>) -> Result<Vec<Codec>, String> {
        let own = || self.clients.clients.get(&client).map(|own| own.codecs.clone());
        let mut codecs = named.or_else(own).unwrap_or_default();
        codecs.retain(|codec| self.shared.config.sip.codecs.contains(codec));
        match codecs.iter().any(|codec| codec.is_stream()) {
            true => Ok(codecs),
            false => Err(words(488)),
        }
    }

    /// Finds out where the callee is.
    fn seek(
        &mut self,
        client: ClientRef,
        to: NameAddr,
        named: Option<Vec<Codec>>,
    ) -> Result<(), String> {
        let is_named = named.is_some();
        let codecs = self.carried(client, named)?;
        let uri = to.uri.as_sip().ok_or_else(|| words(416))?.clone();
        if !self.shared.config.sip.serves_domain(&uri.host) {
            return Err(words(403));
        }
        let ip = self.clients.clients.get(&client).map(|own| own.ip);
        if !ip.is_some_and(|ip| self.take_rate(ip)) {
            return Err(words(503));
        }
        let Some(own) = self.clients.clients.get_mut(&client) else { return Ok(()) };
        own.sought += 1;
        own.talk = Talk::Seeking { number: own.sought, to, codecs, is_named };
        let wanted = Wanted::Callee(client, own.sought);
        self.locate(&uri, wanted);
        Ok(())
    }

    /// The callee is found, or is not.
    pub(in crate::gateway::phone) async fn handle_callee(
        &mut self,
        client: ClientRef,
        number: u64,
        hop: Result<Hop, Unlocatable>,
    ) {
        let Some(own) = self.clients.clients.get_mut(&client) else { return };
        // It may have hung up, or call somebody else by now.
        if !matches!(own.talk, Talk::Seeking { number: sought, .. } if sought == number) {
            return;
        }
        let Talk::Seeking { to, codecs, is_named, .. } = std::mem::take(&mut own.talk) else {
            return;
        };
        let hop = match hop {
            Ok(hop) => hop,
            Err(error) => {
                return self.desk.tell(client, CallNotice::Rejected(format!("404 {error}")));
            }
        };
        // What others may ask for is no proof for them.
        let host = |address: &NameAddr| Some(address.uri.as_sip()?.host.to_ascii_lowercase());
        let is_own = host(&to) == host(&own.address);
        let target = Target {
            uri: to.uri,
            hop,
            other: hop.again(),
            behind: None,
            from: own.address.clone(),
            credentials: own.credentials.clone().filter(|_| is_own),
            contact_user: Some(own.contact_user.clone()),
        };
        (own.wants_hold, own.offered_hold) = (false, false);
        match self.call(Owner::Client(client), target, &destination(client), Some(codecs)).await {
            Ok(call) => {
                self.clients.calls.insert(call, client);
                if let Some(own) = self.clients.clients.get_mut(&client) {
                    own.talk = Talk::Calling { call, is_named, status: 0 };
                }
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "a call of a user agent is not made");
                self.desk.tell(client, CallNotice::Rejected(words(refusal.status())));
            }
        }
    }

    /// The client takes the call.
    async fn accept(
        &mut self,
        now: Duration,
        client: ClientRef,
        call: CallRef,
        named: Option<Vec<Codec>>,
    ) -> Result<(), String> {
        let is_named = named.is_some();
        let codecs = self.carried(client, named)?;
        let Some((_, own)) = self.clients.by_call(call) else { return Ok(()) };
        let Talk::Invited { sdp, source, .. } = std::mem::take(&mut own.talk) else {
            return Ok(());
        };
        (own.wants_hold, own.offered_hold) = (false, false);
        match self
            .take(call, Owner::Client(client), &destination(client), Some(codecs), sdp, source)
            .await
        {
            Ok(answer) => {
                count(&self.shared.counters.calls, 1);
                if let Some((_, own)) = self.clients.by_call(call) {
                    own.talk = Talk::Accepting { call, is_named };
                }
                self.agent.answer(now, call, answer);
                Ok(())
            }
            Err(refusal) => {
                self.clients.forget_call(call);
                count(&self.shared.counters.calls_refused, 1);
                self.agent.reject(now, call, refusal.status());
                self.desk.tell(client, CallNotice::Byed);
                Err(words(refusal.status()))
            }
        }
    }

    /// The client does not take the call.
    fn refuse(&mut self, now: Duration, client: ClientRef, call: CallRef, status: u16) {
        self.clients.forget_call(call);
        if let Some(own) = self.clients.clients.get_mut(&client) {
            own.talk = Talk::None;
        }
        count(&self.shared.counters.calls_refused, 1);
        self.agent.reject(now, call, status);
    }

    fn send_digit(&mut self, call: CallRef, digit: Digit) -> Result<(), String> {
        let agreed = self.calls.get(&call).map(|own| own.negotiator.negotiated());
        let takes_digits =
            agreed.and_then(|agreed| agreed.audio).is_some_and(|audio| audio.events.is_some());
        if !takes_digits && !self.agent.takes_info(call) {
            return Err("The other end takes no digits".to_owned());
        }
        self.instruct(call, Change::SendDigits(vec![digit]));
        Ok(())
    }

    /// The client holds its call, or goes on with it: the peer is told at once, or when a change that is on its way is answered.
    fn hold(&mut self, now: Duration, call: CallRef, hold: bool) {
        if let Some((_, own)) = self.clients.by_call(call) {
            own.wants_hold = hold;
        }
        self.offer_hold(now, call);
    }

    /// Offers what the client wants to be held, if that has not been offered.
    pub(super) fn offer_hold(&mut self, now: Duration, call: CallRef) {
        let Some((_, client)) = self.clients.by_call(call) else { return };
        let Some(own) = self.calls.get_mut(&call) else { return };
        own.negotiator.hold(client.wants_hold);
        if client.wants_hold != client.offered_hold && !own.negotiator.is_offer_pending() {
            client.offered_hold = client.wants_hold;
            self.refresh(now, call);
        }
    }
}
