//! What carries a phone's messages, and for how long it waits for what comes by it.

use std::{net::SocketAddr, time::Duration};

use rehearsal_core::sip::uri::{SipUri, Uri};

/// Datagrams, or streams, which lose nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carrier {
    pub(super) is_tcp: bool,
    /// First wait for an answer: T1 of RFC 3261, 17.1.1.1.
    pub(super) t1: Duration,
}

impl Carrier {
    /// The Via of somebody at `sip`.
    pub(super) fn via(self, sip: SocketAddr, branch: &str) -> String {
        let name = if self.is_tcp { "TCP" } else { "UDP" };
        format!("SIP/2.0/{name} {sip};branch={branch};rport")
    }

    /// Where `user` is reached at `sip`.
    pub(super) fn uri(self, user: &str, sip: SocketAddr) -> Uri {
        let mut uri = SipUri::new(Some(user), sip);
        if self.is_tcp {
            uri.params.set("transport", Some("tcp".to_owned()));
        }
        Uri::Sip(uri)
    }

    /// How long to go on: B, F and H.
    pub(super) fn patience(self) -> Duration {
        64 * self.t1
    }

    /// For how long copies of what was answered, or confirmed, may come: D, I, J and K.
    pub(super) fn copies_come(self) -> Duration {
        if self.is_tcp { Duration::ZERO } else { self.patience() }
    }
}
