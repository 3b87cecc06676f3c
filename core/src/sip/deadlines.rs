//! When who is to be looked at again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// At most one deadline for each key.
#[derive(Debug)]
pub(super) struct Deadlines<K> {
    by_key: BTreeMap<K, Duration>,
    in_order: BTreeSet<(Duration, K)>,
}

impl<K: Copy + Ord> Deadlines<K> {
    pub(super) fn new() -> Self {
        Self { by_key: BTreeMap::new(), in_order: BTreeSet::new() }
    }

    /// Sets the deadline of `key`, or takes it away.
    pub(super) fn set(&mut self, key: K, at: Option<Duration>) {
        let before = match at {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.in_order.remove(&(before, key));
        }
        if let Some(at) = at {
            self.in_order.insert((at, key));
        }
        // An empty map would keep its last node.
        if self.by_key.is_empty() {
            (self.by_key, self.in_order) = (BTreeMap::new(), BTreeSet::new());
        }
    }

    /// The nearest one.
    pub(super) fn next(&self) -> Option<Duration> {
        self.in_order.first().map(|(at, _)| *at)
    }

    /// Whose deadline has come, and takes that away.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<K> {
        let &(at, key) = self.in_order.first()?;
        if at > now {
            return None;
        }
        self.set(key, None);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_due_once_and_in_order() {
        let ms = Duration::from_millis;
        let mut deadlines = Deadlines::new();
        deadlines.set('a', Some(ms(5)));
        deadlines.set('b', Some(ms(3)));
        deadlines.set('c', Some(ms(4)));
        deadlines.set('a', Some(ms(2)));
        deadlines.set('c', None);
        assert_eq!(deadlines.next(), Some(ms(2)));
        assert_eq!(deadlines.take_due(ms(1)), None);
        assert_eq!(deadlines.take_due(ms(9)), Some('a'));
        assert_eq!(deadlines.take_due(ms(9)), Some('b'));
        assert_eq!((deadlines.take_due(ms(9)), deadlines.next()), (None, None));
    }
}
