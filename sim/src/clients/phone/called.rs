//! What a phone does that is called, and what an exchange does where others register, as data.

use serde::{Deserialize, Serialize};

/// Somebody who is called: he waits at the usual port of his host, and is asked for by what `dial` is for callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// What becomes of calls, one after the other; the last is for all that follow. One that is taken is the only one.
    pub replies: Vec<Reply>,
    /// What whoever calls or registers has to prove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Takes registrations, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrar: Option<Registrar>,
    /// When nothing is answered, after the start of the run: from and to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub away_ms: Vec<(u64, u64)>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// How long after the call it is said that it rings; without, nothing is said before the answer.
    pub rings_ms: Option<u64>,
    /// How long after the call it is answered.
    pub after_ms: u64,
    /// How.
    pub answer: Answer,
}

/// An answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is taken.
    Accept,
    /// It is taken, though it was given up just before.
    AcceptLate,
    /// Two take it at once, as behind a proxy that asks many.
    Fork,
    /// It is refused with this status; one of 300 to 399 sends the caller elsewhere.
    Refuse(u16),
    /// None.
    Never,
}

/// What has to be proven by digest (RFC 2617).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// 401 or 407.
    pub status: u16,
    /// Who.
    pub user: String,
    /// By what.
    pub password: String,
    /// So many proofs of each are good for one request, and their nonce is stale then.
    pub requests_per_nonce: u32,
}

/// How registrations are granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registrar {
    /// For how long at most.
    pub expires_s: u32,
    /// Whoever asks for less than this is told so.
    pub min_expires_s: u32,
    /// When they are refused with 503, after the start of the run: from and to.
    pub refuses_ms: Option<(u64, u64)>,
}
