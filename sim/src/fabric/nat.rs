//! A NAT in front of a host: one outer port for each inner one, whoever the peer is (endpoint-independent
//! mapping and filtering, RFC 4787, 4.1 and 5).
//!
//! The outer address is the host's own, as its peers know it; only ports change. When the NAT
//! forgets its mappings, a connection goes on from another port, which its peer does not know, and
//! what the peer still sends to the old one is lost.

use std::{collections::BTreeMap, net::SocketAddrV4, ops::RangeInclusive};

use super::netstat::Protocol;
use crate::rng::Rng;

/// Outer ports. The outer address being the host's own, none of them may be one that a client takes, or says that it does: what is
/// sent there would come to another socket than its sender means.
const OUTER_PORTS: RangeInclusive<u16> = 10_000..=32_767;

#[derive(Debug)]
pub(crate) struct Nat {
    outer_ports: BTreeMap<(Protocol, SocketAddrV4), u16>,
    inner: BTreeMap<(Protocol, u16), SocketAddrV4>,
    next_port: u16,
}

impl Nat {
    /// The NAT of the host called `host`, without mappings.
    pub(crate) fn new(seed: u64, host: &str) -> Self {
        let mut rng = Rng::named(seed, &format!("nat/{host}"));
        let (first, last) = (*OUTER_PORTS.start(), *OUTER_PORTS.end());
        let next_port = rng.range(first.into()..=last.into()) as u16;
        Self { outer_ports: BTreeMap::new(), inner: BTreeMap::new(), next_port }
    }

    /// Forgets all mappings.
    pub(crate) fn rebind(&mut self) {
        self.outer_ports.clear();
        self.inner.clear();
    }

    /// What `inner`, which sends, is seen as.
    pub(crate) fn outside(&mut self, protocol: Protocol, inner: SocketAddrV4) -> SocketAddrV4 {
        let port = *self.outer_ports.entry((protocol, inner)).or_insert_with(|| {
            // The oldest mapping gives way when all ports are mapped.
            let port = self.next_port;
            let is_last = port == *OUTER_PORTS.end();
            self.next_port = if is_last { *OUTER_PORTS.start() } else { port + 1 };
            port
        });
        if let Some(before) = self.inner.insert((protocol, port), inner)
            && before != inner
        {
            self.outer_ports.remove(&(protocol, before));
        }
        SocketAddrV4::new(*inner.ip(), port)
    }

    /// Who is seen as `outer`; `None` without a mapping.
    pub(crate) fn inside(&self, protocol: Protocol, outer: SocketAddrV4) -> Option<SocketAddrV4> {
        self.inner.get(&(protocol, outer.port())).copied()
    }
}
