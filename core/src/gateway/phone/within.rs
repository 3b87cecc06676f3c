//! Calls that are up, or about to be: what their ends agree on, and how they end.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tracing::{debug, info};

use super::{Call, Owner, Phones, media::Change};
use crate::{
    bridge::AudioFormat,
    env::{Env, UdpSocket},
    sdp::{AnswerError, Codec, Negotiated},
    sip::{agent::CallRef, transport::Hop},
};

impl<E: Env> Phones<E> {
    /// The peer knows that its call, or its offer, was accepted. If the offer was ours, this has the `answer`.
    pub(super) fn handle_confirmed(&mut self, call: CallRef, answer: Option<Bytes>) {
        if answer.is_some() {
            self.handle_answer(call, answer);
        }
        self.instruct(call, Change::Confirmed);
    }

    /// The peer, which is at `source` now, wants to change the call.
    pub(super) async fn handle_offer(
        &mut self,
        now: Duration,
        call: CallRef,
        sdp: Option<Bytes>,
        source: Hop,
    ) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        own.source = source;
        let Some(offer) = sdp else {
            let offer = own.negotiator.offer();
            self.agent.accept_offer(now, call, offer.into());
            return;
        };
        if own.negotiator.lacks_video_port_for(&offer) {
            self.add_video(call).await;
        }
        let Some(own) = self.calls.get_mut(&call) else { return };
        match own.negotiator.handle_offer(&offer) {
            Ok((answer, agreed)) => {
                self.agent.accept_offer(now, call, answer.into());
                self.agree(call, agreed);
            }
            Err(error) => {
                debug!(peer = %own.source, %error, "a change of a call is refused");
                self.agent.refuse_offer(now, call, 488);
            }
        }
    }

    /// The peer wants video as well: there are ports for it from now on.
    async fn add_video(&mut self, call: CallRef) {
        let Some(sockets) = self.bind_video().await else { return };
        if let Some(own) = self.calls.get_mut(&call) {
            own.negotiator.set_video_port(Some(sockets.rtp.local_addr().port()));
        }
        self.instruct(call, Change::Video(Box::new(sockets)));
    }

    /// The peer has answered our offer.
    pub(super) fn handle_answer(&mut self, call: CallRef, sdp: Option<Bytes>) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        let agreed = own.negotiator.handle_answer(&sdp.unwrap_or_default());
        self.change(call, agreed);
    }

    /// Our offer has come to nothing: all is as before. True if it asked for other audio.
    pub(super) fn reject_offer(&mut self, call: CallRef) -> bool {
        self.calls.get_mut(&call).is_some_and(|own| own.negotiator.reject_offer())
    }

    /// The stream that a phone hears has other audio than was agreed on: the phone is asked to take that, at once, or when a change
    /// that is on its way is answered.
    pub(super) fn follow_audio(
        &mut self,
        now: Duration,
        call: CallRef,
        format: Option<AudioFormat>,
    ) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        // A user agent says itself what its calls carry.
        if matches!(own.owner, Owner::Client(_)) {
            return;
        }
        let own_codecs = self.shared.config.sip.codecs.iter().copied();
        let is_it = |codec: &Codec| format.is_some() && AudioFormat::of(*codec) == format;
        let codecs: Vec<Codec> = own_codecs.filter(is_it).collect();
        if codecs.is_empty() {
            return self.end_unheard(call);
        }
        sometimes!("a phone is asked to take what its stream has now");
        own.negotiator.want(codecs);
        self.ask_for_audio(now, call);
    }

    /// Asks for other audio, if some is wanted and nothing else is asked.
    pub(super) fn ask_for_audio(&mut self, now: Duration, call: CallRef) {
        let negotiator = self.calls.get(&call).map(|own| &own.negotiator);
        if negotiator.is_some_and(|it| it.wants_audio() && !it.is_offer_pending()) {
            self.refresh(now, call);
        }
    }

    /// The phone cannot take the audio of its stream. A call that is there for nothing else is over.
    pub(super) fn end_unheard(&mut self, call: CallRef) {
        let Some(own) = self.calls.get_mut(&call) else { return };
        own.negotiator.want(Vec::new());
        let has_pictures = own.negotiator.negotiated().video.is_some();
        if !own.only_hears || has_pictures {
            info!(peer = %own.source, "a phone does not hear its stream, which has audio that it cannot take");
            return;
        }
        sometimes!("a call ends because its phone cannot take what its stream has now");
        if let Some(own) = self.hang_up(call) {
            info!(peer = %own.source, "a call ends: its stream has audio that its phone cannot take");
        }
    }

    /// What there is, is offered once more.
    pub(super) fn refresh(&mut self, now: Duration, call: CallRef) {
        if let Some(own) = self.calls.get_mut(&call) {
            let offer = own.negotiator.offer();
            let formats = own.negotiator.offered_audio();
            self.agent.offer(now, call, offer.into());
            self.instruct(call, Change::Offered(formats));
        }
    }

    /// What the peer has answered to our offer. A call about which nothing could be agreed is over.
    fn change(&mut self, call: CallRef, agreed: Result<Negotiated, AnswerError>) {
        match agreed {
            Ok(agreed) => self.agree(call, agreed),
            Err(error) => {
                if let Some(own) = self.hang_up(call) {
                    info!(peer = %own.source, %error, "a call ends: its description makes no sense");
                }
            }
        }
    }

    /// The media of a call follow what was agreed on.
    pub(super) fn agree(&mut self, call: CallRef, mut agreed: Negotiated) {
        let Some(own) = self.calls.get(&call) else { return };
        let peer = own.source.address.ip();
        // What its messages say of it, its description does.
        if let Some(hidden) = self.agent.hidden_ip(call) {
            for media in agreed.audio.iter_mut().chain(&mut agreed.video) {
                let addresses = [&mut media.remote_rtp, &mut media.remote_rtcp];
                let its = addresses.into_iter().filter(|address| address.ip() == hidden);
                its.for_each(|address| address.set_ip(peer));
            }
        }
        self.instruct(call, Change::Agreed { agreed: Box::new(agreed), peer });
    }

    /// Ends a call, if it is not over.
    pub(super) fn hang_up(&mut self, call: CallRef) -> Option<Call<E::UdpSocket>> {
        let own = self.forget(call)?;
        let now = self.now();
        self.agent.hang_up(now, call);
        self.note_over(own.owner);
        Some(own)
    }

    /// Lets go of a call; its media end.
    pub(super) fn forget(&mut self, call: CallRef) -> Option<Call<E::UdpSocket>> {
        let removed = self.calls.remove(&call);
        // An empty map would keep its last node.
        if self.calls.is_empty() {
            self.calls = BTreeMap::new();
        }
        removed
    }
}
