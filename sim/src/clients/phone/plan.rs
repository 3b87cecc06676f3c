//! What a phone is to do, as data.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    acts::{Act, Dialled, Numbering},
    called::Called,
    codec::Codec,
    over_tcp::OverTcp,
    registers::Registers,
    session::Session,
    video::Video,
};

/// What a phone does: it calls once, or waits to be called. The default one does so at once, can speak µ-law and says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhonePlan {
    /// When to call, or to wait for calls from then on, after the start of the run.
    pub start_ms: u64,
    /// Whom to call, or as whom to be called: the user part of the address.
    pub dial: String,
    /// It does not call, but is called; without, it calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Called>,
    /// It registers, so that it can be called by a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registers: Option<Registers>,
    /// Who is called and takes registrations calls the first who registers, so long after that; what is said of callers is for it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_back_ms: Option<u64>,
    /// Who is called says with 183 that it rings, and how it speaks, and is heard from then on: early media.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub speaks_early: bool,
    /// What it can speak, what it likes best first.
    pub codecs: Vec<Codec>,
    /// What it says; without, it sends neither RTP nor RTCP.
    pub voice: Option<Voice>,
    /// Its pictures; without, it takes and offers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<Video>,
    /// Who speaks, as it asks for with its call.
    #[serde(default, skip_serializing_if = "Direction::is_both")]
    pub direction: Direction,
    /// The address that it takes for its own and gives to the gateway, as behind a NAT; without, that of its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says_ip: Option<IpAddr>,
    /// Where it wants what it is to hear, if that is another's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hears_at: Option<IpAddr>,
    /// Where it begins to count; without, anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbering: Option<Numbering>,
    /// How long after the answer it hangs up; without, it waits for the gateway to do so.
    pub talk_ms: Option<u64>,
    /// When it gives up before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancel>,
    /// What it changes in mid-call, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What its audio does in mid-call, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<Act>,
    /// What it dials in mid-call, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digits: Vec<Dialled>,
    /// It dials by INFO, and neither offers to do so by RTP nor takes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dials_by_info: bool,
    /// What it wants of sessions; without, it does not know of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// What befalls its messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub message_faults: Vec<MessageFault>,
    /// It speaks SIP over TCP, in this way; without, by datagrams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<OverTcp>,
    /// First wait for an answer, from which all others follow: T1 of RFC 3261, 17.1.1.1; without, 500 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t1_ms: Option<u64>,
    /// When to go at the latest, after the start of the run: its sockets are closed, whatever the call is at.
    pub leave_ms: u64,
}

impl Default for PhonePlan {
    fn default() -> Self {
        Self {
            start_ms: 0,
            dial: String::new(),
            called: None,
            registers: None,
            calls_back_ms: None,
            speaks_early: false,
            codecs: vec![Codec::Pcmu],
            voice: None,
            video: None,
            direction: Direction::SendRecv,
            says_ip: None,
            hears_at: None,
            numbering: None,
            talk_ms: None,
            cancel: None,
            changes: Vec::new(),
            acts: Vec::new(),
            digits: Vec::new(),
            dials_by_info: false,
            session: None,
            message_faults: Vec::new(),
            tcp: None,
            t1_ms: None,
            leave_ms: 0,
        }
    }
}

/// What a phone's audio says about itself: the stream that it becomes, and which publish of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voice {
    /// Application and stream name.
    pub stream: String,
    /// Which publish of the stream it is.
    pub epoch: u32,
}

/// How a phone gives up before the answer. Once it is answered, it hangs up instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// How long after the first INVITE.
    pub after_ms: u64,
    /// Without waiting for a provisional response, as some phones do.
    pub hasty: bool,
}

/// A change of the call, by INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// How long after the answer.
    pub at_ms: u64,
    /// Who speaks from then on.
    pub direction: Direction,
}

/// Who speaks, as a phone says it of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both.
    #[default]
    SendRecv,
    /// The phone.
    SendOnly,
    /// The peer.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    pub(super) const ALL: [Self; 4] =
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    pub(super) fn is_both(&self) -> bool {
        *self == Self::SendRecv
    }

    /// Its attribute in SDP.
    pub(super) fn attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the one who says it speaks.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the one who says it listens.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// What is left of it when the other end says `theirs` of itself.
    pub(super) fn facing(self, theirs: Self) -> Self {
        match (self.sends() && theirs.receives(), self.receives() && theirs.sends()) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }
}

/// What befalls one of a phone's messages, as if the network did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageFault {
    /// Which way it goes.
    pub way: Way,
    /// How many went this way before it, copies included.
    pub index: u32,
    /// What befalls it.
    pub fault: Fault,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Way {
    /// To the gateway.
    Sent,
    /// From the gateway.
    Received,
}

/// What befalls a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fault {
    /// It is lost.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// It arrives behind the next one; never, if there is none.
    DelayPastNext,
}
