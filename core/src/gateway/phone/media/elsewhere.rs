//! Media to an address that a phone has said, but other than the one that its messages come from: perhaps somebody else's, who
//! would be sent a stream that he never asked for.
//!
//! Whoever receives RTP sends reports, even if he has nothing to say (RFC 3550, section 6). So such an address is sent media for
//! a short time, and on as long as it is heard from.

use std::{net::IpAddr, time::Duration};

/// Addresses in one call that are sent media before they were heard from. Who moves to and fro is not believed for ever.
const GRANTS_MAX: u8 = 4;

/// What is known of where a phone said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// Until when media may go there; `None` before the first does.
    until: Option<Duration>,
    /// Addresses that were sent media before they were heard from.
    granted: u8,
}

impl Elsewhere {
    /// Whether media may go to `to` now. It may if that is `peer`, whose messages have proven that it is there, and for
    /// `unheard_ms` to anybody, a few times in a call.
    pub(super) fn may_send(
        &mut self,
        now: Duration,
        to: IpAddr,
        peer: IpAddr,
        unheard_ms: u64,
    ) -> bool {
        if to.to_canonical() == peer.to_canonical() {
            return true;
        }
        let until = *self.until.get_or_insert_with(|| {
            let is_granted = self.granted < GRANTS_MAX;
            self.granted += u8::from(is_granted);
            now + Duration::from_millis(if is_granted { unheard_ms } else { 0 })
        });
        let may_send = until > now;
        if !may_send {
            sometimes!("media waits for somebody to be heard where it is to go");
        }
        may_send
    }

    /// Something valid has come from there, and more may take so long.
    pub(super) fn handle_heard(&mut self, now: Duration, silence_ms: u64) {
        let until = now + Duration::from_millis(silence_ms);
        self.until = self.until.max(Some(until));
    }

    /// The phone said that it is at another address.
    pub(super) fn handle_move(&mut self) {
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn may_send(elsewhere: &mut Elsewhere, at_ms: u64, to: IpAddr) -> bool {
        elsewhere.may_send(Duration::from_millis(at_ms), to, PEER, 3_000)
    }

    #[test]
    fn where_messages_come_from_media_may_go() {
        let mut elsewhere = Elsewhere::default();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        for at_ms in [0, 3_000, 1_000_000] {
            assert!(
                may_send(&mut elsewhere, at_ms, PEER) && may_send(&mut elsewhere, at_ms, mapped)
            );
        }
    }

    #[test]
    fn another_address_has_to_be_heard_from() {
        let mut elsewhere = Elsewhere::default();
        assert!(may_send(&mut elsewhere, 500, OTHER) && may_send(&mut elsewhere, 3_499, OTHER));
        assert!(!may_send(&mut elsewhere, 3_500, OTHER));
        elsewhere.handle_heard(Duration::from_millis(9_000), 5_000);
        assert!(may_send(&mut elsewhere, 9_000, OTHER) && may_send(&mut elsewhere, 13_999, OTHER));
        assert!(!may_send(&mut elsewhere, 14_000, OTHER));
        elsewhere.handle_move();
        assert!(
            may_send(&mut elsewhere, 14_000, OTHER) && !may_send(&mut elsewhere, 17_000, OTHER)
        );
    }

    #[test]
    fn who_moves_to_and_fro_is_not_believed_for_ever() {
        let mut elsewhere = Elsewhere::default();
        let mut sent_ms = 0;
        for at_ms in (0..600_000).step_by(10) {
            if at_ms % 4_000 == 0 {
                elsewhere.handle_move();
            }
            sent_ms += 10 * u64::from(may_send(&mut elsewhere, at_ms, OTHER));
        }
        assert_eq!(sent_ms, u64::from(GRANTS_MAX) * 3_000);
        elsewhere.handle_heard(Duration::from_millis(600_000), 5_000);
        assert!(may_send(&mut elsewhere, 600_000, OTHER), "it is heard after all");
    }
}
