//! Names that nobody else makes: branches, tags, calls.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::fields::MAGIC_COOKIE;

/// A source of names that cannot be guessed, as long as its seed cannot.
#[derive(Clone, Debug)]
pub struct Tokens(ChaCha20Rng);

impl Tokens {
    /// All names follow from `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// The branch of a new transaction.
    pub fn branch(&mut self) -> String {
        format!("{MAGIC_COOKIE}{}", self.hex())
    }

    /// A tag, a nonce, the name of a call: 96 bits.
    pub fn hex(&mut self) -> String {
        let mut bytes = [0; 12];
        self.0.fill_bytes(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A key that nobody else knows.
    pub fn key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        self.0.fill_bytes(&mut key);
        key
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(bound)) >> 32) as u32
    }
}
