//! What a phone's audio does in mid-call besides what its call agrees on, and where its numbers begin, as data.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Packets of RFC 4733 that one digit takes, one every 20 ms: three while the key is down, and its end three times.
pub const DIGIT_PACKETS: u32 = 6;

/// The keys, in the order of their numbers in RFC 4733, section 3.2.
pub(super) const KEYS: &str = "0123456789*#ABCD";

/// Something that a phone's audio does in mid-call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// How long after the answer.
    pub at_ms: u64,
    /// What.
    pub deed: Deed,
}

/// What a phone's audio does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Begins anew: another source, and other numbers and times.
    NewSource,
    /// Moves to other ports, and says so by INVITE.
    Move,
    /// The same at this address of its host, as who goes from one network to another.
    MoveTo(IpAddr),
    /// Is at other ports from now on, and does not say so: as behind a NAT that has forgotten it.
    Rebind,
}

/// A key that is pressed; who has no voice presses none by RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialled {
    /// How long after the answer, at the earliest.
    pub at_ms: u64,
    /// Which: 0 to 9, *, #, A to D.
    pub digit: char,
    /// Which of its [`DIGIT_PACKETS`] are lost on their way, if it is dialled by RTP: the lowest bit stands for the first one.
    pub lost: u8,
}

impl Dialled {
    /// Its number in RFC 4733, section 3.2.
    pub(super) fn code(self) -> u8 {
        let code = KEYS.find(self.digit);
        code.map_or(u8::MAX, |code| code as u8)
    }

    /// Whether its packet `step` is lost.
    pub fn loses(self, step: u32) -> bool {
        self.lost >> step & 1 == 1
    }
}

/// Where a phone begins to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbering {
    /// Number of its INVITE.
    pub cseq: u32,
    /// Number of its first RTP packet.
    pub sequence: u16,
    /// Time of its first RTP packet, in samples.
    pub timestamp: u32,
}
