//! What a client of the application `sip` is to do, as data.

use serde::{Deserialize, Serialize};

use super::super::phone::{Codec, Voice};

/// What a client does: it connects once, and stays until it leaves or is ended. The default one does so at once and says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipClientPlan {
    /// When to connect, after the start of the run.
    pub start_ms: u64,
    /// As whom it calls and is called: `user@domain`.
    pub address: String,
    /// What proves it to its domain; without, it is not registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What it names in each call, what it likes best first; it publishes the first one.
    pub codecs: Vec<Codec>,
    /// What it says; without, it publishes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<Voice>,
    /// What those call their streams whom it hears; without, it plays nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listens: Option<String>,
    /// What it does with calls that come, one after the other; the last is for all that follow. Without, it lets them ring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// What it wants besides, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Order>,
    /// When to go at the latest, after the start of the run: it closes its connection, whatever its call is at.
    pub leave_ms: u64,
}

impl Default for SipClientPlan {
    fn default() -> Self {
        Self {
            start_ms: 0,
            address: String::new(),
            password: None,
            codecs: vec![Codec::Pcmu],
            voice: None,
            listens: None,
            reactions: Vec::new(),
            orders: Vec::new(),
            leave_ms: 0,
        }
    }
}

impl SipClientPlan {
    /// User and domain of its address.
    pub fn user_and_domain(&self) -> (&str, &str) {
        self.address.split_once('@').unwrap_or((&self.address, ""))
    }
}

/// What becomes of a call that comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// How long after it was told of.
    pub after_ms: u64,
    /// What.
    pub command: Command,
}

/// Something that the client wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// When, after the start of the run; who is not connected yet wants it as soon as it is.
    pub at_ms: u64,
    /// What.
    pub command: Command,
}

/// A command of the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// To call somebody.
    Invite(String),
    /// To take the call that comes in.
    Accept,
    /// Not to take it, with this status; without, with none.
    Reject(Option<u16>),
    /// To end the call, however far it has come.
    Bye,
    /// To dial a digit in the call.
    SendDtmf(char),
    /// To hold the call, or to go on with it.
    Hold(bool),
}
