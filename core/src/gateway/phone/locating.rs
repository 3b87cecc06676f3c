//! Where somebody is who is to be called, or registered with: an address as it is written, or one that a name stands for.
//!
//! Names are those of hosts (A and AAAA). Records that say which host serves a domain (RFC 3263: NAPTR, SRV) are not looked
//! at: where they matter, the configuration names the host.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::time::timeout;

use super::{Phones, notices::Notice};
use crate::{
    env::Env,
    sip::{
        transport::{Hop, Transport},
        uri::{SIP_PORT, SipUri},
    },
};

/// What an address is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// To register: the number of the account in the configuration.
    Account(usize),
    /// To call: the number of the call in the configuration.
    Dialled(usize),
}

/// Why nobody can be found there.
#[derive(Debug, Error)]
pub(super) enum Unlocatable {
    #[error("{0} wants TLS, which is not spoken here: use sip:")]
    Secure(SipUri),
    #[error("nothing is sent over {0:?}: use udp or tcp")]
    Transport(String),
    #[error("{host} has no address: {source}")]
    Name {
        /// The name.
        host: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    #[error("{0} has no address: the resolver does not answer")]
    Timeout(String),
}

impl<E: Env> Phones<E> {
    /// Finds the way to `uri`, of which [`Notice::Located`] tells.
    pub(super) fn locate(&self, uri: &SipUri, wanted: Wanted) {
        let transport = match transport_of(uri) {
            Ok(transport) => transport,
            Err(error) => return self.notices.push(Notice::Located(wanted, Err(error))),
        };
        if let Some(address) = uri.address() {
            let hop = Hop { transport, address };
            return self.notices.push(Notice::Located(wanted, Ok(hop)));
        }
        let (host, port) = (uri.host.clone(), uri.port.unwrap_or(SIP_PORT));
        let within = Duration::from_millis(self.shared.config.sip.connect_ms);
        let (env, notices) = (self.shared.env.clone(), Arc::clone(&self.notices));
        self.tasks.spawn(async move {
            let found = match timeout(within, env.resolve(&host)).await {
                Ok(Ok(found)) => found.first().copied().ok_or(std::io::ErrorKind::NotFound.into()),
                Ok(Err(error)) => Err(error),
                Err(_) => {
                    let error = Unlocatable::Timeout(host);
                    return notices.push(Notice::Located(wanted, Err(error)));
                }
            };
            let located = match found {
                Ok(ip) => Ok(Hop { transport, address: SocketAddr::new(ip, port) }),
                Err(source) => Err(Unlocatable::Name { host, source }),
            };
            notices.push(Notice::Located(wanted, located));
        });
    }
}

/// What carries messages to `uri` (RFC 3263, section 4.1): what it says, or UDP.
fn transport_of(uri: &SipUri) -> Result<Transport, Unlocatable> {
    if uri.secure {
        return Err(Unlocatable::Secure(uri.clone()));
    }
    let said = uri.params.get("transport").unwrap_or_else(|| "udp".to_owned());
    match said.to_ascii_lowercase().as_str() {
        "udp" => Ok(Transport::Udp),
        "tcp" => Ok(Transport::Tcp),
        _ => Err(Unlocatable::Transport(said)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::uri::Uri;

    #[test]
    fn an_address_says_what_carries_messages_to_it() {
        let of = |text: &str| {
            let uri = Uri::parse(text).unwrap();
            transport_of(uri.as_sip().unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(of("sip:a@192.0.2.1"), Ok(Transport::Udp));
        assert_eq!(of("sip:a@192.0.2.1;transport=TCP"), Ok(Transport::Tcp));
        assert!(of("sip:a@192.0.2.1;transport=tls").unwrap_err().starts_with("nothing is sent"));
        assert!(of("sips:a@192.0.2.1").unwrap_err().starts_with("sips:a@192.0.2.1 wants TLS"));
    }
}
