//! Named streams of random numbers.
//!
//! Every consumer of randomness draws from a stream of its own, so that taking one consumer away
//! moves no draw of another. A stream is fixed by the run's seed and its name, on every platform
//! and for ever. Integers only: a float that rounds differently would fork a run.

use std::ops::RangeInclusive;

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_core::Rng as _;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// One part per million is the unit of every probability.
const PPM: u64 = 1_000_000;

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream called `name` of the run with this `seed`, from its beginning.
    pub fn named(seed: u64, name: &str) -> Self {
        let mut key = [0; 32];
        for (lane, part) in key.chunks_exact_mut(8).enumerate() {
            // Odd constant, so that the four lanes hash the name under four unrelated seeds.
            let lane_seed = seed ^ (lane as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let lane_hash = xxh3_64_with_seed(name.as_bytes(), lane_seed);
            part.copy_from_slice(&lane_hash.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A uniform 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform number in `0..n`, without bias.
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "no number is below 0");
        // Lemire's multiplication: the high half is the number; low halves that some numbers
        // would meet once more than others are drawn again.
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let unfair = n.wrapping_neg() % n;
            while (product as u64) < unfair {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// A uniform number in `range`, without bias.
    ///
    /// # Panics
    /// When `range` is empty.
    pub fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        assert!(low <= high, "the range {low}..={high} is empty");
        match (high - low).checked_add(1) {
            Some(width) => low + self.below(width),
            None => self.next_u64(),
        }
    }

    /// True with a probability of `ppm` parts per million. Always draws, so that changing the
    /// probability does not move the draws that follow.
    pub fn chance_ppm(&mut self, ppm: u32) -> bool {
        self.below(PPM) < u64::from(ppm)
    }

    /// Puts `items` into a uniformly drawn order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// Fills `buf` with random bytes.
    pub fn fill(&mut self, buf: &mut [u8]) {
        self.0.fill_bytes(buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_for_ever() {
        let mut rng = Rng::named(42, "link/a>b/loss");
        assert_eq!([rng.next_u64(), rng.next_u64()], [FIRST, SECOND]);
    }

    /// Drawn once when the derivation was fixed; every capsule ever written depends on it.
    const FIRST: u64 = 3_777_869_715_259_326_135;
    const SECOND: u64 = 18_425_423_657_834_300_166;

    #[test]
    fn streams_differ_by_name_and_by_seed() {
        let first = |seed, name| Rng::named(seed, name).next_u64();
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_ne!(first(1, "a"), first(2, "a"));
    }

    #[test]
    fn below_meets_every_number_equally() {
        let mut rng = Rng::named(7, "below");
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[rng.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
    }

    #[test]
    fn range_includes_both_ends() {
        let mut rng = Rng::named(7, "range");
        let drawn: Vec<u64> = (0..200).map(|_| rng.range(3..=5)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&5)));
        rng.range(0..=u64::MAX);
    }

    #[test]
    fn chance_follows_its_parts_per_million() {
        let mut rng = Rng::named(7, "chance");
        let hits = (0..100_000).filter(|_| rng.chance_ppm(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| rng.chance_ppm(1_000_000)));
        assert!(!(0..1_000).any(|_| rng.chance_ppm(0)));
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::named(7, "shuffle").shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
