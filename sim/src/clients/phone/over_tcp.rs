//! How a phone speaks SIP over TCP, as data, and what it tells of its connections.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::plan::Way;

/// From one piece of a message that is cut to the next.
pub(super) const PAUSE: Duration = Duration::from_millis(3);

/// What a phone does with its connections. It makes one when it has something to ask and has none; what it is asked it answers by
/// the connection that it was asked by, as long as that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverTcp {
    /// Nobody can connect to it, as behind a NAT. Otherwise it waits for connections where it says that it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_hidden: bool,
    /// Where each of its messages is cut, in bytes from its begin: what is behind a cut is written a little later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<usize>,
    /// Messages that are to go at the same time are written as one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joins: bool,
    /// Before each message there is the end of an empty line (RFC 3261, section 7.5).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leads: bool,
    /// From one question whether the gateway is still there to the next (RFC 5626, section 3.5.1); without, there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pings_ms: Option<u64>,
    /// When it closes connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closes: Vec<Close>,
}

impl OverTcp {
    /// How long it takes to write a message, at most.
    pub fn writes_for(&self) -> Duration {
        PAUSE * self.cuts.len() as u32
    }
}

/// A moment at which a phone closes a connection: that of a message, just before it is sent or taken, or just behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Which way the message goes.
    pub way: Way,
    /// How many went this way before it.
    pub index: u32,
    /// Behind it; otherwise before, so that one that comes is lost, and one that goes takes another connection.
    pub is_behind: bool,
}

/// A connection that there was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its number, by which messages name it.
    pub number: u32,
    /// When it was begun, or came.
    pub begun_at: Duration,
    /// The phone has made it.
    pub is_own: bool,
    /// When it was there to be written to; `None` if it never was.
    pub made_at: Option<Duration>,
    /// When it was over, and why.
    pub ended: Option<(Duration, ConnectionEnd)>,
    /// When it was asked whether the gateway is still there.
    pub pings: Vec<Duration>,
    /// When that was answered.
    pub pongs: Vec<Duration>,
    /// What came could not be told apart.
    pub is_unreadable: bool,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The phone has closed it.
    Own,
    /// The gateway has.
    Gateway,
    /// It was never made.
    Refused,
    /// It was reset, or given up by a kernel.
    Broken,
}
