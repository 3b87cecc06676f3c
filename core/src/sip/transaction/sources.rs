//! How much of the transaction layer each address has taken, so that one leaves room for others.

use std::{collections::BTreeMap, net::IpAddr};

use crate::sip::transport::customer;

/// What one address has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Requests whose transactions have not ended.
    pub(super) open: usize,
    /// Of those, INVITEs outside of calls whose ACK has not come.
    pub(super) unconfirmed: usize,
}

/// What all addresses have taken; those that have nothing are not in it.
#[derive(Debug, Default)]
pub(super) struct Sources {
    taken: BTreeMap<IpAddr, Taken>,
}

impl Sources {
    pub(super) fn taken(&self, ip: IpAddr) -> Taken {
        self.taken.get(&customer(ip)).copied().unwrap_or_default()
    }

    /// A transaction with `ip` begins.
    pub(super) fn begin(&mut self, ip: IpAddr, is_unconfirmed: bool) {
        let taken = self.taken.entry(customer(ip)).or_default();
        taken.open += 1;
        taken.unconfirmed += usize::from(is_unconfirmed);
    }

    /// The ACK to an INVITE of `ip` has come.
    pub(super) fn confirm(&mut self, ip: IpAddr) {
        if let Some(taken) = self.taken.get_mut(&customer(ip)) {
            taken.unconfirmed -= 1;
        }
    }

    /// A transaction with `ip` has ended.
    pub(super) fn end(&mut self, ip: IpAddr, is_unconfirmed: bool) {
        let ip = customer(ip);
        if let Some(taken) = self.taken.get_mut(&ip) {
            taken.open -= 1;
            taken.unconfirmed -= usize::from(is_unconfirmed);
            if taken.open == 0 {
                self.taken.remove(&ip);
            }
        }
        // An empty map would keep its last node.
        if self.taken.is_empty() {
            self.taken = BTreeMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_customer_count_together() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut sources = Sources::default();
        sources.begin(ip("2001:db8::1"), true);
        sources.begin(ip("2001:db8::ffff:1"), false);
        sources.begin(ip("::ffff:192.0.2.1"), false);
        assert_eq!(sources.taken(ip("2001:db8::2")), Taken { open: 2, unconfirmed: 1 });
        assert_eq!(sources.taken(ip("192.0.2.1")), Taken { open: 1, unconfirmed: 0 });
        assert_eq!(sources.taken(ip("2001:db8:0:1::1")), Taken::default());
        assert_eq!(sources.taken(ip("192.0.2.2")), Taken::default());
    }

    #[test]
    fn what_is_over_leaves_nothing() {
        let ip = IpAddr::from([192, 0, 2, 1]);
        let mut sources = Sources::default();
        sources.begin(ip, true);
        sources.begin(ip, true);
        sources.confirm(ip);
        assert_eq!(sources.taken(ip), Taken { open: 2, unconfirmed: 1 });
        sources.end(ip, true);
        sources.end(ip, false);
        assert!(sources.taken.is_empty());
    }
}
