//! One call: what stage it is in and what it waits for.

use std::time::Duration;

use bytes::Bytes;

use super::{
    auth::ClientAuth,
    info::Sayings,
    session::{Least, SessionDue},
};
use crate::sip::{
    dialog::Dialog,
    digest::Credentials,
    message::Request,
    transaction::{ClientId, ServerId, Timers},
    transport::Hop,
};

/// A call in its agent.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) stage: Stage,
    /// Of one that calls: from the first 2xx on. Of one that was called: from the INVITE on.
    pub(super) dialog: Option<Dialog>,
    /// Whether this end called.
    pub(super) is_caller: bool,
    /// Whether the peer says that it takes INFO.
    pub(super) takes_info: bool,
    /// What is said by INFO.
    pub(super) sayings: Sayings,
    /// A 2xx of ours whose ACK has not come.
    pub(super) unconfirmed: Option<Unconfirmed>,
    /// The user has hung up, but the ACK is still due.
    pub(super) is_hung_up: bool,
    /// An INVITE of ours within the call.
    pub(super) own_offer: Option<OwnOffer>,
    /// The peer's INVITE within the call, which the user has to answer.
    pub(super) peer_offer: Option<(ServerId, Box<Request>, Hop)>,
    pub(super) session: Option<SessionDue>,
    /// What a session of it has to last.
    pub(super) least: Least,
    pub(super) auth: ClientAuth,
    pub(super) credentials: Option<Credentials>,
    /// User part of our Contact in it.
    pub(super) contact_user: Option<String>,
}

/// How far a call has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// The peer called and was not answered; when the user must have done so, and when the peer is told once more that it rings.
    Incoming {
        server: ServerId,
        invite: Box<Request>,
        tag: String,
        answer_by: Duration,
        rings_at: Option<Duration>,
    },
    /// The peer was called and has not answered.
    Outgoing { client: ClientId },
    /// Answered.
    Up,
}

/// A 2xx to INVITE that is sent again until its ACK comes (RFC 3261, section 13.3.1.4).
#[derive(Debug)]
pub(super) struct Unconfirmed {
    pub(super) server: ServerId,
    pub(super) cseq: u32,
    pub(super) hop: Hop,
    pub(super) bytes: Bytes,
    interval: Duration,
    resend_at: Duration,
    pub(super) ends_at: Duration,
    /// Whether its description is an offer, so that the ACK has the answer.
    pub(super) is_offer: bool,
    /// Whether it made the call, and did not only change it.
    pub(super) is_first: bool,
}

impl Unconfirmed {
    pub(super) fn new(
        now: Duration,
        (server, cseq): (ServerId, u32),
        (hop, bytes): (Hop, Bytes),
        is_offer: bool,
        is_first: bool,
        timers: &Timers,
    ) -> Self {
        let (interval, resend_at, ends_at) = (timers.t1, now + timers.t1, now + timers.give_up());
        Self { server, cseq, hop, bytes, interval, resend_at, ends_at, is_offer, is_first }
    }

    /// Whether it is to be sent again now. Over TCP, too: the ACK may be lost between proxies.
    pub(super) fn take_resend(&mut self, now: Duration, timers: &Timers) -> bool {
        let is_due = now >= self.resend_at;
        if is_due {
            self.interval = timers.next(self.interval);
            self.resend_at += self.interval;
        }
        is_due
    }

    fn timeout(&self) -> Duration {
        self.resend_at.min(self.ends_at)
    }
}

/// An INVITE of ours within a call.
#[derive(Debug)]
pub(super) enum OwnOffer {
    /// Not sent yet: something else is going on, or both ends wanted to change it at once. Without a description the user is asked
    /// for one when it is time, for what it had made may not fit any more.
    Waiting { at: Duration, sdp: Option<Bytes>, attempts: u32 },
    /// Sent.
    Sent { client: ClientId, attempts: u32 },
}

impl Call {
    pub(super) fn new(stage: Stage, dialog: Option<Dialog>, is_caller: bool) -> Self {
        Self {
            stage,
            dialog,
            is_caller,
            takes_info: false,
            sayings: Sayings::default(),
            unconfirmed: None,
            is_hung_up: false,
            own_offer: None,
            peer_offer: None,
            session: None,
            least: Least::default(),
            auth: ClientAuth::default(),
            credentials: None,
            contact_user: None,
        }
    }

    /// When it is to be looked at.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let stage = match &self.stage {
            Stage::Incoming { answer_by, rings_at, .. } => {
                Some(rings_at.map_or(*answer_by, |at| at.min(*answer_by)))
            }
            Stage::Outgoing { .. } | Stage::Up => None,
        };
        let offer = match &self.own_offer {
            Some(OwnOffer::Waiting { at, .. }) => Some(*at),
            _ => None,
        };
        let session =
            self.session.map(|due| due.refresh_at.unwrap_or(due.expires_at).min(due.expires_at));
        let unconfirmed = self.unconfirmed.as_ref().map(Unconfirmed::timeout);
        [stage, offer, session, unconfirmed].into_iter().flatten().min()
    }

    /// Whether an INVITE of ours can be sent within it now.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.stage, Stage::Up)
            && self.unconfirmed.is_none()
            && self.peer_offer.is_none()
            && !matches!(self.own_offer, Some(OwnOffer::Sent { .. }))
    }
}
