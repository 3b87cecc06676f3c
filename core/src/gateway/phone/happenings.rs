//! What happens to calls, as the user agent and the tasks of media tell it, and what follows from it.

use std::time::Duration;

use bytes::Bytes;
use tracing::{debug, info, warn};

use super::{
    Owner, Phones,
    clients::{Called, UNAVAILABLE},
    locating::Wanted,
    media::Change,
    notices::Notice,
    outgoing,
    refusal::Refusal,
    route::Destination,
};
use crate::{
    bridge::{digit_message, keyframe_request},
    env::Env,
    gateway::count,
    sdp::Codec,
    sip::{
        agent::{AgentEvent, CallRef},
        transport::Hop,
        uri::Uri,
    },
};

/// Length of a digit that is sent by SIP, in milliseconds.
const DIGIT_MS: u32 = 160;

impl<E: Env> Phones<E> {
    pub(super) async fn handle_notice(&mut self, now: Duration, notice: Notice) {
        match notice {
            Notice::Silent(call) => {
                sometimes!("a call ends because its phone is silent");
                if let Some(own) = self.hang_up(call) {
                    info!(peer = %own.source, "a call ends: nothing was heard for rtp.silence_ms");
                }
            }
            Notice::Closed(ports) => self.ports.release(now, ports),
            Notice::KeyframeNeeded(call) => {
                // One that the phone has not answered yet does for this, too.
                if !self.agent.is_saying(call, keyframe_request::CONTENT_TYPE) {
                    let body = keyframe_request::BODY.into();
                    self.agent.send_info(now, call, keyframe_request::CONTENT_TYPE, body);
                }
            }
            Notice::SendDigit(call, digit) => {
                let body = digit_message::body(digit, DIGIT_MS).into();
                let is_sent = self.agent.takes_info(call)
                    && self.agent.send_info(now, call, digit_message::CONTENT_TYPE, body);
                if !is_sent {
                    count(&self.shared.counters.digits_dropped, 1);
                    if let Some(own) = self.calls.get(&call) {
                        info!(peer = %own.source, digit = %digit.to_char(), "a digit is not sent");
                    }
                }
            }
            Notice::Over(call) => {
                if let Some(own) = self.hang_up(call) {
                    warn!(peer = %own.source, "a call ends: its media did");
                }
                self.note_client_media_over(now, call).await;
            }
            Notice::OtherAudio(call, format) => self.follow_audio(now, call, format),
            Notice::Digit(call, digit) => self.note_client_digit(call, digit),
            Notice::Located(wanted, located) => {
                if let (Err(error), Wanted::Account(_) | Wanted::Dialled(_)) = (&located, wanted) {
                    warn!(%error, "somebody to call, or to register with, is not found");
                }
                match wanted {
                    _ if self.is_ending => {}
                    Wanted::Account(index) => self.handle_account(now, index, located.ok()),
                    Wanted::Dialled(index) => self.handle_dialled(index, located.ok()).await,
                    Wanted::Registrar(client) => self.handle_registrar(now, client, located),
                    Wanted::Callee(client, number) => {
                        self.handle_callee(client, number, located).await;
                    }
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
                match self.clients.called(&to) {
                    Called::Client(client) => {
                        return self.invite_client(now, client, call, *from, sdp, source);
                    }
                    Called::Gone => {
                        sometimes!("a call comes for a user agent that is gone");
                        debug!(peer = %source, from = %from.uri, %to, "a user agent is called that is gone");
                        count(&self.shared.counters.calls_refused, 1);
                        return self.agent.reject(now, call, UNAVAILABLE);
                    }
                    Called::Nobody => {}
                }
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
                if let Some(own) = self.calls.get_mut(&call) {
                    // However often it is told.
                    if !std::mem::replace(&mut own.rings, true) {
                        info!(peer = %own.source, status, "it rings");
                    }
                }
                self.note_client_ringing(call, status);
            }
            AgentEvent::Answered { call, sdp } => {
                self.handle_answered(call, sdp);
                self.note_client_agreed(now, call, true);
            }
            AgentEvent::Confirmed { call, answer } => {
                self.handle_confirmed(call, answer);
                self.note_client_agreed(now, call, true);
            }
            AgentEvent::Offered { call, sdp, source } => {
                self.handle_offer(now, call, sdp, source).await;
                self.note_client_agreed(now, call, false);
            }
            AgentEvent::OfferAccepted { call, sdp } => {
                self.handle_answer(call, sdp);
                self.ask_for_audio(now, call);
                self.note_client_agreed(now, call, false);
            }
            AgentEvent::OfferRefused { call, status } => {
                debug!(status, "a change of a call was refused");
                if self.reject_offer(call) {
                    self.end_unheard(call);
                }
                self.ask_for_audio(now, call);
                self.note_client_refused(call, false);
            }
            AgentEvent::OfferPostponed { call } => {
                self.reject_offer(call);
                self.note_client_refused(call, true);
            }
            AgentEvent::RefreshDue { call } => self.refresh(now, call),
            AgentEvent::Ended { call, end } => {
                self.note_client_ended(call, &end);
                if let Some(own) = self.forget(call) {
                    info!(peer = %own.source, ?end, "a call is over");
                    self.note_over(own.owner);
                }
            }
            AgentEvent::Registered { account, .. } => {
                if !self.note_client_registration(now, account, None) {
                    self.note_registration(account, None);
                }
            }
            AgentEvent::RegistrationFailed { account, status, reason } => {
                let words = format!("{status} {reason}");
                if !self.note_client_registration(now, account, Some(words)) {
                    self.note_registration(account, Some((status, reason)));
                }
            }
            AgentEvent::Info { call, content_type, body } => {
                if let Some(dialled) = digit_message::parse(&content_type, &body) {
                    self.instruct(call, Change::Dialled(dialled));
                } else if keyframe_request::is_keyframe_request(&content_type, &body) {
                    self.instruct(call, Change::KeyframeRequested);
                }
            }
            AgentEvent::Bound { user, uri } => {
                debug!(user, %uri, "a phone has registered");
                self.dial_registered(now, &user).await;
            }
            AgentEvent::Unbound { user } => debug!(user, "a phone is not registered any more"),
        }
    }

    /// Connects a call with what its number stands for.
    async fn take_call(
        &mut self,
        call: CallRef,
        to: &Uri,
        sdp: Option<Bytes>,
        source: Hop,
    ) -> Result<Bytes, Refusal> {
        let number = outgoing::user_of(to).ok_or(Refusal::NoNumber)?;
        let destination = Destination::of(&self.shared.config, &number)?;
        self.take(call, Owner::Route, &destination, None, sdp, source).await
    }

    /// Connects a call of `owner` with the streams of `destination`, and gives the answer to its offer, or an offer if it has none.
    pub(super) async fn take(
        &mut self,
        call: CallRef,
        owner: Owner,
        destination: &Destination,
        codecs: Option<Vec<Codec>>,
        sdp: Option<Bytes>,
        source: Hop,
    ) -> Result<Bytes, Refusal> {
        let mut prepared = self.prepare(destination, codecs, true).await?;
        if sdp.as_ref().is_some_and(|offer| prepared.negotiator.lacks_video_port_for(offer)) {
            self.prepare_video(&mut prepared).await;
        }
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
        self.connect(call, owner, prepared, source, None);
        if let Some(agreed) = agreed {
            self.agree(call, agreed);
        }
        Ok(text.into())
    }
}
