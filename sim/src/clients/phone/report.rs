//! What a phone tells of a call.

use std::time::Duration;

use bytes::Bytes;

use super::{
    super::stamp::Stamp,
    codec::Codec,
    over_tcp::Connection,
    plan::{Direction, Fault, Way},
    video::Pictures,
};

/// How a call went; times count from the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhoneReport {
    /// Every SIP message that came or went, in order.
    pub signals: Vec<Signal>,
    /// Every connection of one that speaks SIP over TCP, in order.
    pub connections: Vec<Connection>,
    /// When the gateway first said that it rings.
    pub rang_at: Option<Duration>,
    /// When it hung up because its session was over that nobody had refreshed.
    pub expired_at: Option<Duration>,
    /// When the call was answered.
    pub answered_at: Option<Duration>,
    /// Codec that was agreed on last.
    pub codec: Option<Codec>,
    /// Every codec that was agreed on, and from when on.
    pub codecs: Vec<(Duration, Codec)>,
    /// What was agreed on as to who speaks, and from when on, as the phone says it of itself.
    pub directions: Vec<(Duration, Direction)>,
    /// When the call was over, and why.
    pub ended: Option<(Duration, CallEnd)>,
    /// Registrations that were granted, in order.
    pub bindings: Vec<Binding>,
    /// What came of its own registrations, in order.
    pub registrations: Vec<Registration>,
    /// Every RTP packet of audio that was sent.
    pub spoken: Vec<Spoken>,
    /// Every RTP packet of a digit that was sent, or lost on its way by the plan.
    pub dialled: Vec<Pressed>,
    /// Every digit that it dialled by INFO.
    pub keyed: Vec<Keyed>,
    /// When its audio went on from other ports, whether it had said so or not.
    pub moved: Vec<Duration>,
    /// Every RTP packet that came.
    pub heard: Vec<Heard>,
    /// Every RTP packet of a digit that came.
    pub tones: Vec<Tone>,
    /// What the gateway told of the phone's audio by RTCP.
    pub reports: Vec<ReceptionReport>,
    /// What the phone told of its own audio by RTCP.
    pub told: Vec<Told>,
    /// What the gateway told of its own audio by RTCP.
    pub sender_reports: Vec<SenderReport>,
    /// What it showed and saw.
    pub pictures: Pictures,
    /// Datagrams at the ports for audio that are neither RTP nor RTCP.
    pub unreadable: u64,
    /// When the phone closed its sockets.
    pub left_at: Duration,
}

/// A registration that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// When.
    pub at: Duration,
    /// For how many seconds; 0 if it was taken back.
    pub granted_s: u32,
    /// Where calls for it go.
    pub contact: String,
}

/// What came of a request to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Who is to be registered.
    pub user: String,
    /// When the first request of it was sent, which may have had no proof.
    pub asked_at: Duration,
    /// When it was answered, or given up.
    pub at: Duration,
    /// For how many seconds; 0 takes it back.
    pub asked_s: u32,
    /// Where he can be called, the phone itself first.
    pub contacts: Vec<String>,
    /// How it was answered; `None` if it was not.
    pub status: Option<u16>,
    /// The last request of it was made once more, by another connection.
    pub is_again: bool,
    /// How often a nonce was too old.
    pub stale: u32,
    /// For how many seconds the phone itself is registered, as the answer has it.
    pub granted_s: Option<u32>,
    /// All contacts of its user that the answer has, and for how many seconds each.
    pub listed: Vec<(String, u32)>,
}

/// Why a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// The gateway refused it with this status.
    Rejected(u16),
    /// The phone gave up before the answer.
    Cancelled,
    /// Nobody answered the INVITE.
    NoAnswer,
    /// The phone hung up, and the gateway said yes.
    HungUp,
    /// The phone hung up, and the gateway gave this status.
    HungUpRefused(u16),
    /// The phone hung up, and nobody answered that.
    HungUpUnanswered,
    /// The gateway hung up.
    ByGateway,
    /// The gateway does not know the call any more, it said in answer to a change.
    Forgotten,
    /// The host crashed.
    Crashed,
}

/// A SIP message that came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// When it was sent, or came from the network.
    pub at: Duration,
    /// When it went on from there, to the network or to the phone; `None` if it was lost, or held back for good.
    pub arrived_at: Option<Duration>,
    /// Which way it went.
    pub way: Way,
    /// What befell it.
    pub fault: Option<Fault>,
    /// What it is.
    pub what: Saying,
    /// Number of the request that it is or answers.
    pub number: u32,
    /// Method of that request.
    pub method: String,
    /// Branch of its newest hop.
    pub branch: String,
    /// The call.
    pub call_id: String,
    /// Tag of who sent the request.
    pub from_tag: Option<String>,
    /// Tag of who answers it.
    pub to_tag: Option<String>,
    /// The connection that it took; `None` if it was a datagram.
    pub over: Option<u32>,
    /// All of it.
    pub raw: Bytes,
}

/// What a SIP message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    /// A request.
    Request,
    /// A response with this status.
    Response(u16),
    /// Nothing that the phone can read.
    Unreadable,
}

/// An RTP packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// When.
    pub at: Duration,
    /// Its source.
    pub ssrc: u32,
    /// Its sequence number.
    pub sequence: u16,
    /// Its time in samples.
    pub timestamp: u32,
    /// Its number, as its stamp has it.
    pub index: u32,
}

/// An RTP packet of a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressed {
    /// When.
    pub at: Duration,
    /// Its source.
    pub ssrc: u32,
    /// Its sequence number.
    pub sequence: u16,
    /// When the key was pressed, in samples.
    pub timestamp: u32,
    /// Which key.
    pub digit: char,
    /// It was lost on its way, by the plan.
    pub is_lost: bool,
}

/// A digit that was dialled by INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// When it was first sent.
    pub at: Duration,
    /// Which key.
    pub digit: char,
    /// How it was answered; `None` if it was not.
    pub status: Option<u16>,
    /// It was said once more, by another connection.
    pub is_again: bool,
}

/// An RTP packet that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When.
    pub at: Duration,
    /// Its source.
    pub ssrc: u32,
    /// Its sequence number.
    pub sequence: u16,
    /// Its time in samples.
    pub timestamp: u32,
    /// Number of its codec.
    pub payload_type: u8,
    /// Whether it begins a talk spurt.
    pub marker: bool,
    /// Bytes of audio.
    pub bytes: usize,
    /// What the audio says of itself, if that is what was sealed; an error if it is not.
    pub stamp: Result<Option<Stamp>, Torn>,
}

/// An RTP packet of a digit that came; it is among what was heard, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tone {
    /// When.
    pub at: Duration,
    /// Its source.
    pub ssrc: u32,
    /// When the key was pressed, in samples.
    pub timestamp: u32,
    /// Which key.
    pub digit: char,
    /// For how long it is down already, in samples.
    pub samples: u16,
    /// The key is let go.
    pub is_end: bool,
}

/// Audio whose content is not what was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn;

/// A block about the phone's audio (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceptionReport {
    /// When it came.
    pub at: Duration,
    /// Which source it is about.
    pub about: u32,
    /// Share of packets that were lost since the last one, of 256.
    pub fraction_lost: u8,
    /// Packets that were lost since the beginning; less than zero where more came than were sent.
    pub lost: i32,
    /// Greatest sequence number that came, with how often it began anew.
    pub highest: u32,
    /// How far from even packets came, in samples.
    pub jitter: u32,
    /// The middle of the time of day of the newest sender report that came of the source; 0 if none did.
    pub last: u32,
    /// How long before this one that came, in 65,536ths of a second.
    pub since: u32,
}

/// A sender report of the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// When it was sent.
    pub at: Duration,
    /// Which source it is of.
    pub ssrc: u32,
    /// The middle of its time of day, as NTP writes it.
    pub middle: u32,
}

/// What the gateway says of its own audio (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// When it came.
    pub at: Duration,
    /// Which source it is about.
    pub ssrc: u32,
    /// Time in samples of the moment that it is of.
    pub timestamp: u32,
    /// Packets that it has sent.
    pub packets: u32,
    /// Bytes of audio in them.
    pub bytes: u32,
}

impl PhoneReport {
    /// The report of a phone whose host has crashed at `at`: what it sent and received is not known.
    pub fn crashed(at: Duration) -> Self {
        Self { ended: Some((at, CallEnd::Crashed)), left_at: at, ..Self::default() }
    }

    /// Why the call is over, in words.
    pub fn end(&self) -> String {
        match (self.ended, self.answered_at) {
            (Some((_, end)), _) => match end {
                CallEnd::Rejected(status) => format!("rejected with {status}"),
                CallEnd::Cancelled => "cancelled".to_owned(),
                CallEnd::NoAnswer => "no answer".to_owned(),
                CallEnd::HungUp => "hung up".to_owned(),
                CallEnd::HungUpRefused(status) => format!("hung up, answered with {status}"),
                CallEnd::HungUpUnanswered => "hung up, no answer".to_owned(),
                CallEnd::ByGateway => "hung up by the gateway".to_owned(),
                CallEnd::Forgotten => "forgotten by the gateway".to_owned(),
                CallEnd::Crashed => "crashed".to_owned(),
            },
            (None, Some(_)) => "left in mid-call".to_owned(),
            (None, None) => "left before an answer".to_owned(),
        }
    }

    /// How often it was registered, and how it fared at last, in words; `None` if it did not ask for that.
    pub fn registered(&self) -> Option<String> {
        let last = self.registrations.last()?.words();
        let granted = self.registrations.iter().filter(|it| it.granted_s.is_some()).count();
        Some(format!("registered {granted} times, at last: {last}"))
    }
}

impl Registration {
    /// What came of it, in words.
    pub fn words(&self) -> String {
        match (self.status, self.granted_s) {
            (None, _) => "is not registered: no answer".to_owned(),
            (Some(200), Some(granted_s)) => format!("is registered for {granted_s} s"),
            (Some(200), None) => "is not registered any more".to_owned(),
            (Some(status), _) => format!("is not registered: {status}"),
        }
    }
}
