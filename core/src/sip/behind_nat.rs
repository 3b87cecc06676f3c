//! Peers behind NATs, who do not know where they are seen from here: what they say of themselves is not the way to them.
//!
//! An address tells by itself if it is private and its sender is seen at a public one. Where both are private, as when the gateway is
//! behind a NAT of its own, or where only a port is another one, it takes what the sender says of itself in its Via: what
//! it calls its own address, and is not seen at, is translated on the way (RFC 3581, section 4; RFC 6314, section 4.1).

use std::net::{IpAddr, SocketAddr};

use super::{
    message::{Fields, Request},
    transport::Hop,
    uri::{SIP_PORT, address_of},
};

/// Where a peer takes itself to be, and is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind(SocketAddr);

impl Behind {
    /// Where the sender of `request`, which came from `source`, takes itself to be; `None` if it is there. Who does not say
    /// that it hears at the port from which it sends may hear at another one.
    pub(super) fn of_sender(request: &Request, source: Hop) -> Option<Self> {
        let via = request.top_via()?;
        let said = SocketAddr::new(address_of(&via.host)?, via.port.unwrap_or(SIP_PORT));
        let is_translated = said.ip() != source.address.ip() || via.params.has("rport");
        (said != source.address && is_translated).then_some(Self(said))
    }

    /// Whether `address` is the peer's, whose messages come from `source`.
    pub(super) fn has(self, address: SocketAddr, source: Hop) -> bool {
        match self.hidden_ip(source) {
            // Whatever port of it.
            Some(hidden) => address.ip() == hidden,
            None => address == self.0 && address.ip() == source.address.ip(),
        }
    }

    /// The private address at which the peer takes itself to be, if its messages come from another one, `source`.
    pub(super) fn hidden_ip(self, source: Hop) -> Option<IpAddr> {
        let said = self.0.ip();
        (said != source.address.ip() && is_private(said)).then_some(said)
    }
}

/// Whether `said` is an address that only the network of a peer knows which is seen at `seen`: it is behind a NAT. One network
/// may have both, such as a phone's and its proxy's.
pub fn is_hidden(said: IpAddr, seen: IpAddr) -> bool {
    said != seen
        && (is_private(said) && !is_private(seen) || said.is_loopback() && !seen.is_loopback())
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            // 100.64.0.0/10 is what providers translate (RFC 6598).
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || shared
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
    }
}
