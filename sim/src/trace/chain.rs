//! The hash that a trace chains its events into.
//!
//! Most events are a few numbers, and there are millions of them: a word costs one multiplication. Each recorded hash
//! depends on what is here.

use std::net::SocketAddrV4;

use xxhash_rust::xxh3::xxh3_64;

/// Odd, with as many ones as zeros, and no pattern (the golden ratio's fraction).
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
/// Keeps a product of zero from being the end of the chain.
const ADDEND: u64 = 0xD1B5_4A32_D192_ED03;

/// A hash that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain(u64);

impl Chain {
    /// Goes on from `hash`.
    pub(super) fn from(hash: u64) -> Self {
        Self(hash)
    }

    pub(super) fn hash(self) -> u64 {
        self.0
    }

    /// Chains in a number.
    pub(super) fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR);
        self.0 = ((product >> 64) as u64 ^ product as u64).wrapping_add(ADDEND).rotate_left(23);
    }

    /// Chains in a text, told apart from what follows.
    pub(super) fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        self.word(xxh3_64(text.as_bytes()));
    }

    /// Chains in an address.
    pub(super) fn address(&mut self, address: &SocketAddrV4) {
        self.word(u64::from(address.ip().to_bits()) << 16 | u64::from(address.port()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn hash(words: &[u64]) -> u64 {
        let mut chain = Chain::from(0);
        words.iter().for_each(|word| chain.word(*word));
        chain.hash()
    }

    #[test]
    fn words_and_their_order_count() {
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
        assert_ne!(hash(&[0]), hash(&[0, 0]));
        assert_ne!(hash(&[]), hash(&[0]));
    }

    #[test]
    fn every_bit_of_a_word_counts_wherever_it_stands() {
        let mut hashes = BTreeSet::new();
        for place in 0..4 {
            for bit in 0..64 {
                let mut words = [7; 4];
                words[place] ^= 1 << bit;
                hashes.insert(hash(&words));
            }
        }
        assert_eq!(hashes.len(), 4 * 64);
    }

    #[test]
    fn texts_are_told_apart_where_they_meet() {
        let hash = |texts: [&str; 2]| {
            let mut chain = Chain::from(0);
            texts.iter().for_each(|text| chain.text(text));
            chain.hash()
        };
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
    }
}
