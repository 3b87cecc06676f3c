//! What a client of the application `sip` tells of its calls.

use std::time::Duration;

use super::{
    super::verify::{Breach, Logged},
    plan::Command,
};

/// How a connection went; times count from the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SipClientReport {
    /// When connect was answered, and with which words if it was refused.
    pub connected: Option<(Duration, Result<(), String>)>,
    /// Every command that was given, in order.
    pub ordered: Vec<Ordered>,
    /// Every callback, in order.
    pub callbacks: Vec<(Duration, Callback)>,
    /// Its calls, as it was told of them, in order.
    pub talks: Vec<Talk>,
    /// What does not follow from what it had been told before.
    pub surprises: Vec<String>,
    /// Status codes besides, in order.
    pub statuses: Vec<(Duration, String)>,
    /// Everything that was handed to the socket of its voice.
    pub sent: Vec<Logged>,
    /// Everything that came of its calls.
    pub received: Vec<Logged>,
    /// What was wrong with that.
    pub violations: Vec<Breach>,
    /// How the connection ended.
    pub end: String,
    /// When.
    pub ended_at: Duration,
}

/// A command that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// When.
    pub at: Duration,
    /// What.
    pub command: Command,
    /// When it was answered, and with which words if it was refused.
    pub answered: Option<(Duration, Result<(), String>)>,
}

/// What the gateway tells by calling back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    /// Somebody calls: from and to.
    Invited(String, String),
    /// And does not wait any longer: from and to as before.
    Cancelled(String, String),
    /// The one who is called is told, in these words.
    Ringing(String),
    /// The call is up, with this audio if that was told.
    Accepted(Option<String>),
    /// The one who is called does not take the call, or it cannot be made.
    Rejected(String),
    /// The call is over.
    Byed,
    /// The other end holds the call, or goes on with it.
    Holded(bool),
    /// The other end has dialled a digit.
    Dtmf(char),
    /// Nobody can call any more.
    RegistrationLost(String),
    /// A lost registration is there again.
    Registered,
}

/// A call as the client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talk {
    /// Who is called, or calls, in the words of who said so.
    pub peer: String,
    /// Somebody has called the client.
    pub is_incoming: bool,
    /// When the client was told that it is called, or that its call is on its way.
    pub began_at: Duration,
    /// When it was told that the call is up.
    pub up_at: Option<Duration>,
    /// When it knew that the call is over, and why.
    pub ended: Option<(Duration, TalkEnd)>,
}

/// Why a call is over for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TalkEnd {
    /// It has ended it, or not taken it.
    Own,
    /// It was told so.
    Told,
    /// Its connection is over, and nothing was told.
    Disconnected,
}

impl SipClientReport {
    /// The report of a client whose host has crashed at `at`: what it was told is not known.
    pub fn crashed(at: Duration) -> Self {
        Self { end: "crashed".to_owned(), ended_at: at, ..Self::default() }
    }
}
