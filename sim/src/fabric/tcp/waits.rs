//! When connections waited for their retransmission timers: what loss costs beyond round trips, for oracles.
//!
//! Only looks on.

use std::{collections::BTreeMap, net::SocketAddrV4, time::Duration};

use crate::executor::HostId;

/// Waits of a connection's end that are kept. Those that come later are not, and nobody is forgiven for them.
const WAITS_MAX: usize = 4_096;

/// A time in which one end of a connection could only wait until it might send again what was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The other end.
    pub remote: SocketAddrV4,
    /// When what was lost, or whose acknowledgment was, had been sent; since the start of the run.
    pub from: Duration,
    /// When its acknowledgment came, or else the timer would run out next.
    pub to: Duration,
}

/// A connection's end: its host, its own address, and its peer's.
type End = (HostId, SocketAddrV4, SocketAddrV4);

/// The waits of all connections, in nanoseconds, and for each end in order and apart.
#[derive(Debug, Default)]
pub(crate) struct Waits(BTreeMap<End, Vec<(u64, u64)>>);

impl Waits {
    /// The timer ran out that was set at `since_ns`, and runs out next at `next_ns`.
    pub(super) fn timed_out(&mut self, end: End, since_ns: u64, next_ns: u64) {
        let waits = self.0.entry(end).or_default();
        let is_full = waits.len() == WAITS_MAX;
        match waits.last_mut() {
            Some((_, to_ns)) if *to_ns >= since_ns => *to_ns = next_ns,
            _ if !is_full => waits.push((since_ns, next_ns)),
            _ => {}
        }
    }

    /// An acknowledgment came at `at_ns` that the timer had run out for.
    pub(super) fn acknowledged(&mut self, end: End, at_ns: u64) {
        if let Some((_, to_ns)) = self.0.get_mut(&end).and_then(|waits| waits.last_mut()) {
            *to_ns = at_ns.min(*to_ns);
        }
    }

    /// The waits of the ends at `host`.
    pub(crate) fn of_host(&self, host: HostId) -> Vec<Wait> {
        let ends = self.0.iter().filter(|((at, ..), _)| *at == host);
        let waits = ends.flat_map(|((_, _, remote), waits)| {
            waits.iter().map(|&(from_ns, to_ns)| Wait {
                remote: *remote,
                from: Duration::from_nanos(from_ns),
                to: Duration::from_nanos(to_ns),
            })
        });
        waits.collect()
    }
}
