//! What carries a phone's messages.

use std::{net::SocketAddr, time::Duration};

use rehearsal_core::sip::uri::{SipUri, Uri};

use super::timers::PATIENCE;

/// Datagrams, or streams, which lose nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Udp,
    Tcp,
}

impl Carrier {
    /// The Via of somebody at `sip`.
    pub(super) fn via(self, sip: SocketAddr, branch: &str) -> String {
        let name = match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        };
        format!("SIP/2.0/{name} {sip};branch={branch};rport")
    }

    /// Where `user` is reached at `sip`.
    pub(super) fn uri(self, user: &str, sip: SocketAddr) -> Uri {
        let mut uri = SipUri::new(Some(user), sip);
        if self == Self::Tcp {
            uri.params.set("transport", Some("tcp".to_owned()));
        }
        Uri::Sip(uri)
    }

    /// For how long copies of what was answered, or confirmed, may come: D, I, J and K.
    pub(super) fn copies_come(self) -> Duration {
        match self {
            Self::Udp => PATIENCE,
            Self::Tcp => Duration::ZERO,
        }
    }
}
