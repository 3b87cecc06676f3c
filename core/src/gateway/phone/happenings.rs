//! What happens to calls, as the user agent and the tasks of media tell it, and what follows from it.

use std::time::Duration;

use bytes::Bytes;
use tracing::{debug, info, warn};

use super::{
    Owner, Phones, locating::Wanted, notices::Notice, outgoing, refusal::Refusal,
    route::Destination,
};
use crate::{
    env::Env,
    gateway::count,
    sip::{
        agent::{AgentEvent, CallRef},
        transport::Hop,
        uri::Uri,
    },
};

impl<E: Env> Phones<E> {
    pub(super) async fn handle_notice(&mut self, now: Duration, notice: Notice) {
        match notice {
            Notice::Silent(call) => {
                sometimes!("a call ends because its phone is silent");
                if let Some(own) = self.hang_up(call) {
                    info!(peer = %own.source, "a call ends: nothing was heard for rtp.silence_ms");
                }
            }
            Notice::Over(call, ports) => {
                self.ports.release(now, ports);
                if let Some(own) = self.hang_up(call) {
                    warn!(peer = %own.source, "a call ends: its media did");
                }
            }
            Notice::Located(wanted, located) => {
                if let Err(error) = &located {
                    warn!(%error, "somebody to call, or to register with, is not found");
                }
                match wanted {
                    _ if self.is_ending => {}
                    Wanted::Account(index) => self.handle_account(now, index, located.ok()),
                    Wanted::Dialled(index) => self.handle_dialled(index, located.ok()).await,
                }
            }
        }
    }

    pub(super) async fn handle_event(&mut self, event: AgentEvent) {
        let now = self.now();
        match event {
            AgentEvent::Incoming { call, .. } if self.is_ending => {
                self.agent.reject(now, call, 503)
            }
            AgentEvent::Incoming { call, to, from, sdp, source } => {
                match self.take_call(call, &to, sdp, source).await {
                    Ok(answer) => {
                        info!(peer = %source, from = %from.uri, %to, "a call is taken");
                        count(&self.shared.counters.calls, 1);
                        self.agent.answer(now, call, answer);
                    }
                    Err(refusal) => {
                        // As many as somebody likes: they are counted, and told of to who looks for them.
                        debug!(peer = %source, from = %from.uri, %to, %refusal, "a call is refused");
                        count(&self.shared.counters.calls_refused, 1);
                        self.agent.reject(now, call, refusal.status());
                    }
                }
            }
            AgentEvent::Ringing { call, status } => {
                if let Some(own) = self.calls.get(&call) {
                    info!(peer = %own.source, status, "it rings");
                }
            }
            AgentEvent::Answered { call, sdp } => self.handle_answered(call, sdp),
            AgentEvent::Confirmed { call, sdp } => self.handle_confirmed(call, sdp),
            AgentEvent::Offered { call, sdp, source } => self.handle_offer(now, call, sdp, source),
            AgentEvent::OfferAccepted { call, sdp } => self.handle_answer(call, sdp),
            AgentEvent::OfferRefused { call, status } => {
                debug!(status, "a refresh of a call was refused");
                self.reject_offer(call);
            }
            AgentEvent::OfferPostponed { call } => self.reject_offer(call),
            AgentEvent::RefreshDue { call } => self.refresh(now, call),
            AgentEvent::Ended { call, end } => {
                if let Some(own) = self.forget(call) {
                    info!(peer = %own.source, ?end, "a call is over");
                    self.note_over(own.owner);
                }
            }
            AgentEvent::Registered { account, .. } => self.note_registration(account, None),
            AgentEvent::RegistrationFailed { account, status, reason } => {
                self.note_registration(account, Some((status, reason)));
            }
            // Nobody listens to what is said beside the media.
            AgentEvent::Info { .. } => {}
        }
    }

    /// Connects a call with streams, and gives the answer to its offer, or an offer if it has none.
    async fn take_call(
        &mut self,
        call: CallRef,
        to: &Uri,
        sdp: Option<Bytes>,
        source: Hop,
    ) -> Result<Bytes, Refusal> {
        let number = outgoing::user_of(to).ok_or(Refusal::NoNumber)?;
        let destination = Destination::of(&self.shared.config, &number)?;
        let mut prepared = self.prepare(&destination).await?;
        let negotiator = &mut prepared.negotiator;
        let described = match &sdp {
            Some(offer) => {
                negotiator.handle_offer(offer).map(|(text, agreed)| (text, Some(agreed)))
            }
            None => Ok((negotiator.offer(), None)),
        };
        let (text, agreed) = match described {
            Ok(described) => described,
            Err(error) => {
                self.give_back(prepared);
                return Err(error.into());
            }
        };
        self.connect(call, Owner::Route, prepared, source);
        if let Some(agreed) = agreed {
            self.agree(call, agreed);
        }
        Ok(text.into())
    }
}
