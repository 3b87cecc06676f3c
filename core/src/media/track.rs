//! Which tracks a message carries (ER v2, "Multitrack").

use std::fmt;

/// How the tracks of a multitrack message are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multitrack {
    /// One track.
    OneTrack,
    /// Several tracks of one codec.
    ManyTracks,
    /// Several tracks, each with a codec of its own.
    ManyTracksManyCodecs,
}

/// A set of track ids, 0 to 255. Its order has no meaning beyond being total, for maps keyed by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackIds([u64; 4]);

impl TrackIds {
    /// Track 0 alone: what a message without multitrack carries.
    pub const DEFAULT: Self = Self([1, 0, 0, 0]);

    pub(super) const NONE: Self = Self([0; 4]);

    pub(super) fn insert(&mut self, id: u8) {
        self.0[usize::from(id / 64)] |= 1 << (id % 64);
    }

    /// Whether the set has track `id`.
    pub fn contains(self, id: u8) -> bool {
        self.0[usize::from(id / 64)] >> (id % 64) & 1 == 1
    }

    /// Whether every track of this set is in `other`.
    pub fn is_within(self, other: Self) -> bool {
        self.0.iter().zip(other.0).all(|(own, other)| own & !other == 0)
    }

    /// The ids in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |&id| self.contains(id))
    }
}

impl fmt::Debug for TrackIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::TrackIds;

    #[test]
    fn ids_of_all_words_are_kept_apart() {
        let mut ids = TrackIds::DEFAULT;
        [255, 64, 63, 64].into_iter().for_each(|id| ids.insert(id));
        assert!(ids.iter().eq([0, 63, 64, 255]));
        assert!(!ids.contains(128));
    }
}
