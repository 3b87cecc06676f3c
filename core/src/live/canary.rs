//! Defects that are planted, so that CI proves that they are found: only the features `canary` and `canary-race` have them
//! compiled.
//!
//! With `canary`, each publish of a stream that has had a publisher before loses one block of 64 bytes. The leak gate has to
//! fail and to name this file. With `canary-race`, a stream is taken only once its publisher has sent a frame: who
//! publishes between another's command and its first frame takes it over. A sweep has to come upon it.

#[cfg(feature = "canary-race")]
use super::ring::Ring;

#[cfg(feature = "canary")]
const BLOCK_BYTES: usize = 64;

/// Loses one block. A call of its own, so that the stack of the block has a line in this file.
#[cfg(feature = "canary")]
#[inline(never)]
pub(super) fn leak_a_block() {
    std::mem::forget(std::hint::black_box(Box::new([0_u8; BLOCK_BYTES])));
}

/// Whether the publisher of `ring`'s epoch has sent a frame.
#[cfg(feature = "canary-race")]
pub(super) fn has_begun(ring: &Ring) -> bool {
    !ring.is_whole() || ring.end() > ring.start()
}
