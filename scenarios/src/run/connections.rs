//! When the gateway lets go of its connections, as looks at its sockets tell: of a peer that has vanished nobody else can.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddrV4},
    ops::Range,
    time::Duration,
};

use rehearsal_sim::{Netstat, SocketState};

/// What was seen so far, by the address of the peer.
#[derive(Default)]
pub(super) struct Connections {
    /// When a program of the gateway was last seen to hold a connection, if it holds one.
    held_at: BTreeMap<IpAddr, Duration>,
    let_go: BTreeMap<IpAddr, Range<Duration>>,
}

impl Connections {
    /// Looks at the gateway's sockets as they are `at` this time of the run.
    pub(super) fn look(&mut self, netstat: &Netstat, at: Duration) {
        let is_held = |state| matches!(state, SocketState::Established | SocketState::CloseWait);
        let peers = netstat.rows.iter().filter(|row| is_held(row.state)).filter_map(|row| {
            row.remote.map(|remote: SocketAddrV4| (IpAddr::V4(*remote.ip()), at))
        });
        let before = std::mem::replace(&mut self.held_at, peers.collect());
        for (peer, held_at) in before {
            if !self.held_at.contains_key(&peer) {
                self.let_go.insert(peer, held_at..at);
            }
        }
    }

    /// From the last look at which the gateway held a connection of a peer to the first at which it held none any more; nothing
    /// of those of whom it still holds one.
    pub(super) fn let_go(&self) -> impl Iterator<Item = (&IpAddr, &Range<Duration>)> {
        self.let_go.iter().filter(|(peer, _)| !self.held_at.contains_key(peer))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rehearsal_sim::{Protocol, SocketRow};

    use super::*;

    fn netstat(rows: &[(u8, SocketState)]) -> Netstat {
        let row = |&(peer, state): &(u8, SocketState)| SocketRow {
            protocol: Protocol::Tcp,
            local: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
            remote: Some(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, peer), 2)),
            state,
            rx_queue: 0,
            tx_queue: 0,
            unacknowledged: 0,
            window_free: 0,
        };
        Netstat { rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn who_is_gone_for_good_was_let_go_between_two_looks() {
        use SocketState::{CloseWait, Established, FinWait1};
        let ms = Duration::from_millis;
        let mut connections = Connections::default();
        connections.look(&netstat(&[(1, Established), (2, Established), (3, CloseWait)]), ms(0));
        connections.look(&netstat(&[(1, FinWait1), (3, CloseWait)]), ms(250));
        connections.look(&netstat(&[(2, Established), (3, Established)]), ms(500));
        let let_go: Vec<_> = connections.let_go().collect();
        assert_eq!(let_go, [(&IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), &(ms(0)..ms(250)))]);
    }
}
