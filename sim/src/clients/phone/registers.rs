//! What a phone does that registers at the gateway, so that it can be called by a name, as data.

use serde::{Deserialize, Serialize};

/// Somebody who registers (RFC 3261, section 10.2) from when his phone starts until it goes, or takes it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// As whom.
    pub user: String,
    /// What proves that; without, nothing is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// For how long he asks, in seconds. Whoever is told that this is too brief asks for what is long enough.
    pub expires_s: u32,
    /// How long before its end a registration is refreshed; without, it runs out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin_s: Option<u32>,
    /// How long after a registration that came to nothing he tries again; without, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
    /// When he takes back all that he has registered, after the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_ms: Option<u64>,
    /// What he takes back is all that anybody has registered as him (`*`), and not only what is his own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_all_back: bool,
    /// When he says of all that it is to last, which means nothing (section 10.2.2), after the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errs_ms: Option<u64>,
    /// He can prove who he is by SHA-256, too, and does if that is what is asked for first (RFC 8760).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub knows_sha256: bool,
    /// Where else he says that he can be called, each as a URI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}
