//! Named values in the order of the wire.
//!
//! Peers exist that read properties by position, so the order a value was built or decoded in is
//! the order it is encoded in. Lookup is linear: the objects of RTMP have a dozen properties.

/// Names with values, in order, each name once.
///
/// A name that comes again keeps its first position and takes the later value, as assigning to a
/// property twice does in ActionScript.
#[derive(Debug, Clone, PartialEq)]
pub struct Properties<V> {
    pairs: Vec<(String, V)>,
}

impl<V> Properties<V> {
    /// No properties.
    pub fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// The value called `name`.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Sets `name` to `value`: in its place if the name is known, otherwise at the end.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<V>) {
        let name = name.into();
        match self.pairs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value.into(),
            None => self.pairs.push((name, value.into())),
        }
    }

    /// These properties with `name` set to `value`, as by [`Properties::insert`].
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<V>) -> Self {
        self.insert(name, value);
        self
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &V)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many properties there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl<V> Default for Properties<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> IntoIterator for Properties<V> {
    type Item = (String, V);
    type IntoIter = std::vec::IntoIter<(String, V)>;

    /// Names and values in order.
    fn into_iter(self) -> Self::IntoIter {
        self.pairs.into_iter()
    }
}

impl<V> FromIterator<(String, V)> for Properties<V> {
    /// The pairs in order, repeated names merged; n log n, as a peer chooses the names.
    fn from_iter<I: IntoIterator<Item = (String, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        let mut by_name: Vec<usize> = (0..pairs.len()).collect();
        by_name.sort_by(|&a, &b| pairs[a].0.cmp(&pairs[b].0));

        let mut keep = vec![true; pairs.len()];
        let runs: Vec<&[usize]> = by_name
            .chunk_by(|&a, &b| pairs[a].0 == pairs[b].0)
            .filter(|run| run.len() > 1)
            .collect();
        for run in runs {
            pairs.swap(run[0], run[run.len() - 1]);
            run[1..].iter().for_each(|&position| keep[position] = false);
        }
        let mut keep = keep.into_iter();
        pairs.retain(|_| keep.next().unwrap_or(true));
        Self { pairs }
    }
}

#[cfg(test)]
mod tests {
    use super::Properties;

    fn pairs(names: &[(&str, i32)]) -> Properties<i32> {
        names.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn repeated_name_keeps_first_position_and_last_value() {
        let collected = pairs(&[("b", 1), ("a", 2), ("b", 3), ("c", 4), ("b", 5), ("a", 6)]);
        let expected = [("b", 5), ("a", 6), ("c", 4)];
        assert!(collected.iter().map(|(name, value)| (name, *value)).eq(expected));
    }

    #[test]
    fn inserting_agrees_with_collecting() {
        let names = [("x", 1), ("y", 2), ("x", 3)];
        let mut inserted = Properties::new();
        for (name, value) in names {
            inserted.insert(name, value);
        }
        assert_eq!(inserted, pairs(&names));
        assert_eq!(inserted.get("x"), Some(&3));
        assert_eq!(inserted.get("z"), None);
    }
}
