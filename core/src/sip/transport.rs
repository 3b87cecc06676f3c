//! Ways that messages take, and where an answer goes (RFC 3261, section 18; RFC 3581).

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use bytes::Bytes;

use super::{
    fields::Via,
    headers::HeaderName,
    message::Request,
    uri::{SIP_PORT, address_of},
};

/// Bits of an IPv6 address that tell customers apart: each has at least all addresses that share them (RFC 6177).
const CUSTOMER_BITS: u32 = 64;

/// What stands for whoever has `ip`, in counts of what each has: the first of the addresses that are his.
pub fn customer(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let prefix = u128::MAX << (u128::BITS - CUSTOMER_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & prefix))
        }
        ip => ip,
    }
}

/// What carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams: what is lost is sent again by the transaction layer.
    Udp,
    /// Streams: nothing is lost.
    Tcp,
}

impl Transport {
    /// As in Via.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// Whether it delivers what it takes.
    pub fn is_reliable(self) -> bool {
        self == Self::Tcp
    }
}

/// Who is next on a message's way; over TCP, the peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// What carries messages to it.
    pub transport: Transport,
    /// Its address.
    pub address: SocketAddr,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport.as_str(), self.address)
    }
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// To whom.
    pub hop: Hop,
    /// All of it.
    pub bytes: Bytes,
}

/// Where answers to a request go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerWay {
    /// By the connection of the request, over TCP.
    pub(super) hop: Hop,
    /// Once that is lost (RFC 3261, section 18.2.2).
    pub(super) other: Option<Hop>,
}

impl Hop {
    /// The way to who waits for connections here, once one is lost.
    pub fn again(self) -> Option<Self> {
        self.transport.is_reliable().then_some(self)
    }

    /// The way to who says that it is at `said`, once the connection to this one is lost: the same host, which waits for connections
    /// there. Whoever says another host may mean somebody who wants none.
    pub fn other(self, said: SocketAddr) -> Option<Self> {
        let is_other = self.transport == Transport::Tcp && said.ip() == self.address.ip();
        is_other.then_some(Self { address: said, ..self })
    }
}

/// Notes in the newest Via of `request` where it came from, and gives where answers to it go. `None` without a Via.
pub(super) fn note_source(request: &mut Request, source: Hop) -> Option<AnswerWay> {
    let vias = request.headers.list(&HeaderName::VIA);
    let mut via = Via::parse(vias.first()?)?;
    let said = address_of(&via.host);
    let wants_port = via.params.is_empty_flag("rport");
    if said != Some(source.address.ip()) || wants_port {
        via.params.set("received", Some(source.address.ip().to_string()));
    }
    if wants_port {
        via.params.set("rport", Some(source.address.port().to_string()));
    }
    // The first line may have more hops behind a comma.
    let first_line = request.headers.get(&HeaderName::VIA)?;
    let behind: Vec<&str> = super::lexer::split(first_line, b',')?.into_iter().skip(1).collect();
    let mut noted = via.to_string();
    for other in behind {
        noted.push_str(", ");
        noted.push_str(other);
    }
    request.headers.replace_first(&HeaderName::VIA, noted);
    let said = SocketAddr::new(source.address.ip(), via.port.unwrap_or(SIP_PORT));
    let hop = match source.transport {
        Transport::Udp if !wants_port => Hop { address: said, ..source },
        Transport::Tcp | Transport::Udp => source,
    };
    Some(AnswerWay { hop, other: source.other(said) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{method::Method, uri::Uri};

    fn noted(via: &str, transport: Transport) -> (String, String) {
        let mut request = Request::new(Method::Options, Uri::parse("sip:a@b").unwrap());
        request.headers.push(HeaderName::VIA, via);
        let source = Hop { transport, address: "192.0.2.7:1111".parse().unwrap() };
        let hop = note_source(&mut request, source).unwrap().hop;
        (request.headers.get(&HeaderName::VIA).unwrap().to_owned(), hop.address.to_string())
    }

    #[test]
    fn answers_go_where_the_request_came_from_if_it_asks_for_that() {
        let (via, to) = noted("SIP/2.0/UDP 10.0.0.1:5070;rport;branch=z9hG4bK1", Transport::Udp);
        let expected = "SIP/2.0/UDP 10.0.0.1:5070;rport=1111;branch=z9hG4bK1;received=192.0.2.7";
        assert_eq!((via.as_str(), to.as_str()), (expected, "192.0.2.7:1111"));
    }

    #[test]
    fn without_rport_they_go_to_the_port_that_via_says() {
        let (via, to) =
            noted("SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1, SIP/2.0/UDP x", Transport::Udp);
        assert_eq!(via, "SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1, SIP/2.0/UDP x");
        assert_eq!(to, "192.0.2.7:5070");
        assert_eq!(noted("SIP/2.0/UDP 192.0.2.7", Transport::Udp).1, "192.0.2.7:5060");
        assert_eq!(noted("SIP/2.0/TCP 10.0.0.1:5070", Transport::Tcp).1, "192.0.2.7:1111");
    }
}
