//! What the user of an agent is told.

use std::time::Duration;

use bytes::Bytes;

use super::{CallRef, registration::AccountRef};
use crate::sip::{fields::NameAddr, transport::Hop, uri::Uri};

/// How a call came to its end, if not by its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer hung up.
    HungUp,
    /// The peer called, and did not want to wait any longer.
    Cancelled,
    /// The peer does not take the call.
    Rejected {
        /// Status of its answer.
        status: u16,
        /// The same for people.
        reason: String,
    },
    /// The peer did not confirm that the call was answered.
    Unconfirmed,
    /// The user did not answer in time.
    Unanswered,
    /// The session was not refreshed, or the peer does not know the call any more.
    Expired,
}

/// What the user is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// Somebody calls; [`answer`](super::Agent::answer) or [`reject`](super::Agent::reject) it.
    Incoming {
        /// The call.
        call: CallRef,
        /// Whom.
        to: Uri,
        /// Who.
        from: Box<NameAddr>,
        /// Its offer; without one the answer has to make it.
        sdp: Option<Bytes>,
        /// Where the call comes from.
        source: Hop,
    },
    /// The peer is told of the call.
    Ringing {
        /// The call.
        call: CallRef,
        /// 180, or another above 100.
        status: u16,
    },
    /// The peer has answered.
    Answered {
        /// The call.
        call: CallRef,
        /// Its answer.
        sdp: Option<Bytes>,
    },
    /// The peer knows that the call was answered, or its offer accepted.
    Confirmed {
        /// The call.
        call: CallRef,
        /// Its answer, if the offer was ours: nothing is in it if the peer has given none.
        answer: Option<Bytes>,
    },
    /// The peer wants to change the call; [`accept_offer`](super::Agent::accept_offer) or [`refuse_offer`](super::Agent::refuse_offer) it.
    Offered {
        /// The call.
        call: CallRef,
        /// Its offer; without one the answer has to make it.
        sdp: Option<Bytes>,
        /// Where the peer is now.
        source: Hop,
    },
    /// The peer takes our change.
    OfferAccepted {
        /// The call.
        call: CallRef,
        /// Its answer.
        sdp: Option<Bytes>,
    },
    /// The peer does not take our change: all is as before.
    OfferRefused {
        /// The call.
        call: CallRef,
        /// Status of its answer.
        status: u16,
    },
    /// Our change has to wait: it counts as refused, and the user will be asked for another.
    OfferPostponed {
        /// The call.
        call: CallRef,
    },
    /// The session is to be refreshed, or it is time for a change that had to wait: [`offer`](super::Agent::offer) what there is.
    RefreshDue {
        /// The call.
        call: CallRef,
    },
    /// The peer says something within the call.
    Info {
        /// The call.
        call: CallRef,
        /// What the body is, in lower case.
        content_type: String,
        /// What it says.
        body: Bytes,
    },
    /// Who calls the account reaches us, for this long; told of at each refresh, too.
    Registered {
        /// The account.
        account: AccountRef,
        /// What its registrar granted.
        expires: Duration,
    },
    /// Who calls the account may not reach us. It is tried again by itself.
    RegistrationFailed {
        /// The account.
        account: AccountRef,
        /// Status of the registrar's answer; 408 or 503 if there was none.
        status: u16,
        /// The same for people.
        reason: String,
    },
    /// A phone has registered with us, at an address that it had not before.
    Bound {
        /// As whom.
        user: String,
        /// Where it says that it can be called; [`binding`](super::Agent::binding) knows the way.
        uri: Uri,
    },
    /// Nobody can be called as `user` any more.
    Unbound {
        /// Who had registered with us.
        user: String,
    },
    /// The call is over.
    Ended {
        /// The call.
        call: CallRef,
        /// How.
        end: End,
    },
}
