//! The ports of one host for one protocol: who is bound where, and which port is free.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddrV4},
    ops::RangeInclusive,
};

use crate::{rng::Rng, slab::Key};

/// Ports given to who asks for none in particular, as Linux has them.
pub const EPHEMERAL_PORTS: RangeInclusive<u16> = 32_768..=60_999;

#[derive(Debug)]
pub(crate) struct Ports {
    /// Bound sockets by port and address; the unspecified address stands for all of them.
    bound: BTreeMap<(u16, Ipv4Addr), Key>,
    /// How many sockets hold each port, bound or connected.
    held: BTreeMap<u16, u32>,
    next_ephemeral: u16,
    ephemeral: RangeInclusive<u16>,
}

impl Ports {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let (first, last) = (*EPHEMERAL_PORTS.start(), *EPHEMERAL_PORTS.end());
        let next_ephemeral = rng.range(u64::from(first)..=u64::from(last)) as u16;
        let ephemeral = EPHEMERAL_PORTS;
        Self { bound: BTreeMap::new(), held: BTreeMap::new(), next_ephemeral, ephemeral }
    }

    /// Gives ports from `range` to who asks for none in particular.
    pub(crate) fn set_ephemeral(&mut self, range: RangeInclusive<u16>) {
        assert!(!range.is_empty(), "a host has a port to give");
        self.next_ephemeral = *range.start();
        self.ephemeral = range;
    }

    /// Forgets who is bound and who holds what.
    pub(crate) fn clear(&mut self) {
        self.bound.clear();
        self.held.clear();
    }

    /// How many ports are held.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// A port that no socket holds, and holds it.
    pub(crate) fn take_ephemeral(&mut self) -> Option<u16> {
        for _ in self.ephemeral.clone() {
            let port = self.next_ephemeral;
            let is_last = port == *self.ephemeral.end();
            self.next_ephemeral = if is_last { *self.ephemeral.start() } else { port + 1 };
            if !self.held.contains_key(&port) {
                self.hold(port);
                return Some(port);
            }
        }
        None
    }

    pub(crate) fn hold(&mut self, port: u16) {
        *self.held.entry(port).or_default() += 1;
    }

    pub(crate) fn release(&mut self, port: u16) {
        let holders = self.held.get_mut(&port).expect("a port is released by who holds it");
        *holders -= 1;
        if *holders == 0 {
            self.held.remove(&port);
        }
    }

    /// The address a socket gets that asks for `wanted`, whose port it then holds.
    ///
    /// # Errors
    /// `AddrInUse` when another socket is bound there, or when all ports are held.
    pub(crate) fn choose(&mut self, wanted: SocketAddrV4) -> io::Result<SocketAddrV4> {
        let (ip, port) = (*wanted.ip(), wanted.port());
        if port == 0 {
            let port = self.take_ephemeral().ok_or(io::ErrorKind::AddrInUse)?;
            return Ok(SocketAddrV4::new(ip, port));
        }
        let all = (port, Ipv4Addr::UNSPECIFIED)..=(port, Ipv4Addr::BROADCAST);
        let overlaps = |other: Ipv4Addr| other == ip || other.is_unspecified();
        if self.bound.range(all).any(|(&(_, other), _)| ip.is_unspecified() || overlaps(other)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.hold(port);
        Ok(wanted)
    }

    pub(crate) fn bind(&mut self, local: SocketAddrV4, socket: Key) {
        self.bound.insert((local.port(), *local.ip()), socket);
    }

    pub(crate) fn unbind(&mut self, local: SocketAddrV4) {
        self.bound.remove(&(local.port(), *local.ip()));
        self.release(local.port());
    }

    /// The socket bound to `local`, or to its port on every address.
    pub(crate) fn find(&self, local: SocketAddrV4) -> Option<Key> {
        let port = local.port();
        let exact = self.bound.get(&(port, *local.ip()));
        exact.or_else(|| self.bound.get(&(port, Ipv4Addr::UNSPECIFIED))).copied()
    }
}
