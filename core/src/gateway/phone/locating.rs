//! Where somebody is who is to be called, or registered with: an address as it is written, or one that a name stands for.
//!
//! Names are those of hosts (A and AAAA). Records that say which host serves a domain (RFC 3263: NAPTR, SRV) are not looked
//! at: where they matter, the configuration names the host.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use tokio::time::timeout;

use super::{Phones, desk::ClientRef, notices::Notice};
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
    /// To register a user agent.
    Registrar(ClientRef),
    /// To call for a user agent: how many it has called for by then.
    Callee(ClientRef, u64),
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
    #[error("{host} has no address that can be reached from sip.listen, {listen}, but {found}")]
    Family {
        /// The name.
        host: String,
        /// Where the gateway speaks SIP.
        listen: SocketAddr,
        /// An address of the host's.
        found: IpAddr,
    },
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
        let listen = self.shared.config.sip.listen;
        let (env, notices) = (self.shared.env.clone(), Arc::clone(&self.notices));
        self.tasks.spawn(async move {
            let found = match timeout(within, env.resolve(&host)).await {
                Ok(Ok(found)) => fitting(host, &found, listen),
                Ok(Err(source)) => Err(Unlocatable::Name { host, source }),
                Err(_) => Err(Unlocatable::Timeout(host)),
            };
            let located = found.map(|ip| Hop { transport, address: SocketAddr::new(ip, port) });
            notices.push(Notice::Located(wanted, located));
        });
    }
}

/// The first of the addresses `found` for `host` that a socket at `listen` can send to.
fn fitting(host: String, found: &[IpAddr], listen: SocketAddr) -> Result<IpAddr, Unlocatable> {
    let mut fit = found.iter().filter(|ip| ip.is_ipv4() == listen.is_ipv4());
    match (fit.next(), found.first()) {
        (Some(ip), _) => Ok(*ip),
        (None, Some(&found)) => Err(Unlocatable::Family { host, listen, found }),
        (None, None) => Err(Unlocatable::Name { host, source: ErrorKind::NotFound.into() }),
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
    fn an_address_is_of_the_family_that_is_spoken() {
        let of = |found: &[&str], listen: &str| {
            let found: Vec<IpAddr> = found.iter().map(|text| text.parse().unwrap()).collect();
            let fit = fitting("a.test".to_owned(), &found, listen.parse().unwrap());
            fit.map(|ip| ip.to_string()).map_err(|error| error.to_string())
        };
        let both = ["2001:db8::1", "192.0.2.1", "192.0.2.2"];
        assert_eq!(of(&both, "0.0.0.0:5060"), Ok("192.0.2.1".to_owned()));
        assert_eq!(of(&both, "[2001:db8::9]:5060"), Ok("2001:db8::1".to_owned()));
        let error = of(&both[..1], "0.0.0.0:5060").unwrap_err();
        assert!(error.ends_with("0.0.0.0:5060, but 2001:db8::1"), "{error}");
        assert!(of(&[], "0.0.0.0:5060").unwrap_err().starts_with("a.test has no address: "));
    }

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
