//! Who may be listened to, and where to send: symmetric RTP (RFC 4961) behind address translators.
//!
//! The address in the SDP is where to send until a valid packet shows where the peer really is; from then on it
//! is that address. A stranger must not take a call over, so an address that is in use is left only for one that
//! has kept sending, or when it has fallen silent.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Which addresses other than the announced one may be listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Follow {
    /// None: the peer is where it said.
    Nobody,
    /// Any port of the IP address that was announced, or of the one that the peer's messages come from: it may have several.
    SameIp,
    /// Every address: the peer is behind a translator and does not know its own.
    Anyone,
}

/// Rules for moving from one address to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Which addresses may be followed.
    pub follow: Follow,
    /// Valid packets in a row, none from the present address among them, after which another port of the
    /// present IP address, or the announced address, is followed.
    pub move_after_packets: u32,
    /// Silence of the present address after which any allowed one is followed at its first packet.
    pub silence_ms: u64,
}

/// Knows the peer's address for one port of ours.
#[derive(Debug)]
pub struct SourceFilter {
    config: SourceConfig,
    announced: SocketAddr,
    signalling: IpAddr,
    present: Option<SocketAddr>,
    /// Present address before the SDP changed, or where it said to be then: what is still on its way from there does not win the new
    /// line.
    former: Option<SocketAddr>,
    last_heard_at: Duration,
    candidate: Option<(SocketAddr, u32)>,
    strangers: u64,
    moves: u64,
}

impl SourceFilter {
    /// A filter for a peer that said to be at `announced`, in messages that came from `signalling`.
    pub fn new(config: SourceConfig, announced: SocketAddr, signalling: IpAddr) -> Self {
        Self {
            config,
            announced,
            signalling,
            present: None,
            former: None,
            last_heard_at: Duration::ZERO,
            candidate: None,
            strangers: 0,
            moves: 0,
        }
    }

    /// Where to send: where the peer is heard from, and before that where it said to be.
    pub fn remote(&self) -> SocketAddr {
        self.present.unwrap_or(self.announced)
    }

    /// Packets that were not listened to.
    pub fn strangers(&self) -> u64 {
        self.strangers
    }

    /// How often an address that was in use was left for another one.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// Takes a valid packet; whether it is to be listened to.
    pub fn handle_packet(&mut self, now: Duration, source: SocketAddr) -> bool {
        let accepted = self.is_allowed(source) && self.follows(now, source);
        if accepted {
            self.last_heard_at = now;
            self.candidate = None;
        } else {
            self.strangers += 1;
        }
        accepted
    }

    /// Whether a packet of `source` would be listened to without moving anything.
    pub fn hears(&self, source: SocketAddr) -> bool {
        self.present.map_or_else(|| self.is_allowed(source), |present| is_same(present, source))
    }

    /// The SDP has changed. The same address leaves everything as it is.
    pub fn set_remote(&mut self, announced: SocketAddr, signalling: IpAddr) {
        self.signalling = signalling;
        if !is_same(announced, self.announced) {
            let former = self.present.take().unwrap_or(self.announced);
            self.announced = announced;
            self.former = Some(former).filter(|former| !is_same(*former, announced));
            self.candidate = None;
        }
    }

    fn is_allowed(&self, source: SocketAddr) -> bool {
        match self.config.follow {
            Follow::Nobody => is_same(source, self.announced),
            Follow::SameIp => {
                [ip(self.announced), self.signalling.to_canonical()].contains(&ip(source))
            }
            Follow::Anyone => true,
        }
    }

    fn follows(&mut self, now: Duration, source: SocketAddr) -> bool {
        let Some(present) = self.present else {
            let follow = !self.former.is_some_and(|former| is_same(former, source))
                || self.has_persisted(source);
            if follow {
                self.present = Some(source);
            }
            return follow;
        };
        if is_same(present, source) {
            return true;
        }
        let silent =
            now.saturating_sub(self.last_heard_at) >= Duration::from_millis(self.config.silence_ms);
        let trusted = ip(source) == ip(present) || is_same(source, self.announced);
        let follow = silent || self.has_persisted(source) && trusted;
        if follow {
            sometimes!("a phone is followed to another address");
            self.present = Some(source);
            self.moves += 1;
        }
        follow
    }

    /// Counts a packet of an address that is not in use.
    fn has_persisted(&mut self, source: SocketAddr) -> bool {
        let packets = match self.candidate {
            Some((candidate, packets)) if is_same(candidate, source) => packets.saturating_add(1),
            _ => 1,
        };
        self.candidate = Some((source, packets));
        packets >= self.config.move_after_packets
    }
}

/// A socket for both families shows IPv4 peers as mapped addresses.
fn ip(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

fn is_same(a: SocketAddr, b: SocketAddr) -> bool {
    ip(a) == ip(b) && a.port() == b.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(follow: Follow) -> SourceFilter {
        let config = SourceConfig { follow, move_after_packets: 3, silence_ms: 500 };
        SourceFilter::new(config, address("10.0.0.1:4000"), address("10.0.0.1:5060").ip())
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn hear(filter: &mut SourceFilter, at_ms: u64, source: &str) -> bool {
        filter.handle_packet(Duration::from_millis(at_ms), address(source))
    }

    #[test]
    fn without_symmetric_rtp_only_the_announced_address_is_heard() {
        let mut filter = filter(Follow::Nobody);
        assert!(!hear(&mut filter, 0, "10.0.0.1:4002"));
        assert!(hear(&mut filter, 0, "10.0.0.1:4000"));
        assert!(hear(&mut filter, 0, "[::ffff:10.0.0.1]:4000"), "the same as mapped address");
        assert!(!hear(&mut filter, 9_000, "10.0.0.1:4002"), "not even after silence");
        assert_eq!(filter.strangers(), 2);
        assert_eq!(filter.remote(), address("10.0.0.1:4000"));
    }

    #[test]
    fn the_first_allowed_source_is_where_to_send() {
        let mut same_ip = filter(Follow::SameIp);
        assert!(!hear(&mut same_ip, 0, "10.0.0.2:4000"));
        assert!(hear(&mut same_ip, 0, "10.0.0.1:61000"));
        assert_eq!(same_ip.remote(), address("10.0.0.1:61000"));
        let mut anyone = filter(Follow::Anyone);
        assert!(hear(&mut anyone, 0, "192.0.2.7:5"));
        assert_eq!(anyone.remote(), address("192.0.2.7:5"));
        assert_eq!(anyone.moves(), 0);
    }

    #[test]
    fn another_port_is_followed_once_it_has_sent_some_packets_in_a_row() {
        let mut filter = filter(Follow::SameIp);
        hear(&mut filter, 0, "10.0.0.1:4000");
        for at_ms in [20, 60, 100] {
            assert!(!hear(&mut filter, at_ms, "10.0.0.1:4002"));
            assert!(!hear(&mut filter, at_ms, "10.0.0.1:4002"));
            assert!(hear(&mut filter, at_ms, "10.0.0.1:4000"), "the present one goes on");
        }
        assert!(!hear(&mut filter, 120, "10.0.0.1:4002"));
        assert!(!hear(&mut filter, 140, "10.0.0.1:4002"));
        assert!(hear(&mut filter, 160, "10.0.0.1:4002"));
        assert_eq!(filter.remote(), address("10.0.0.1:4002"));
        assert_eq!((filter.moves(), filter.strangers()), (1, 8));
    }

    #[test]
    fn another_ip_address_is_followed_after_silence_only() {
        let mut filter = filter(Follow::Anyone);
        hear(&mut filter, 0, "10.0.0.1:4000");
        for at_ms in 0..500 {
            assert!(!hear(&mut filter, at_ms, "192.0.2.7:5"));
        }
        assert!(hear(&mut filter, 500, "192.0.2.7:5"));
        assert!(!hear(&mut filter, 510, "10.0.0.1:4000"));
        assert!(!hear(&mut filter, 520, "10.0.0.1:4000"));
        assert!(hear(&mut filter, 530, "10.0.0.1:4000"), "the announced one needs no silence");
    }

    #[test]
    fn a_changed_sdp_is_not_undone_by_what_is_on_its_way() {
        let mut filter = filter(Follow::SameIp);
        hear(&mut filter, 0, "10.0.0.1:4000");
        filter.set_remote(address("10.0.0.1:4000"), address("10.0.0.1:5060").ip());
        assert!(filter.hears(address("10.0.0.1:4000")) && !filter.hears(address("10.0.0.1:7000")));
        filter.set_remote(address("10.0.0.1:7000"), address("10.0.0.1:5060").ip());
        assert_eq!(filter.remote(), address("10.0.0.1:7000"));
        assert!(!hear(&mut filter, 10, "10.0.0.1:4000"));
        assert_eq!(filter.remote(), address("10.0.0.1:7000"));
        assert!(hear(&mut filter, 20, "10.0.0.1:7000"));
    }

    #[test]
    fn nor_is_it_where_nothing_had_come_before() {
        let mut filter = filter(Follow::SameIp);
        filter.set_remote(address("10.0.0.1:7000"), address("10.0.0.1:5060").ip());
        assert!(!hear(&mut filter, 0, "10.0.0.1:4000"), "where it said to be first");
        assert!(hear(&mut filter, 20, "10.0.0.1:7000"));
        assert_eq!(filter.remote(), address("10.0.0.1:7000"));
    }

    #[test]
    fn a_peer_that_stays_where_it_was_although_the_sdp_changed_is_heard_again() {
        let mut filter = filter(Follow::Anyone);
        hear(&mut filter, 0, "192.0.2.7:5");
        filter.set_remote(address("10.0.0.1:7000"), address("10.0.0.1:5060").ip());
        assert!(!hear(&mut filter, 20, "192.0.2.7:5"));
        assert!(!hear(&mut filter, 40, "192.0.2.7:5"));
        assert!(hear(&mut filter, 60, "192.0.2.7:5"));
        assert_eq!(filter.remote(), address("192.0.2.7:5"));
    }

    #[test]
    fn a_phone_with_two_addresses_is_heard_from_the_one_that_its_messages_come_from() {
        for (follow, is_heard) in [(Follow::Nobody, false), (Follow::SameIp, true)] {
            let mut filter = filter(follow);
            filter.set_remote(address("10.0.0.1:4000"), address("192.0.2.7:5060").ip());
            assert_eq!(hear(&mut filter, 0, "192.0.2.7:4000"), is_heard);
            assert!(!hear(&mut filter, 0, "192.0.2.8:4000"));
        }
    }
}
