//! A leak that is planted, so that CI proves that leaks are found: only the feature `canary` has it compiled.
//!
//! Each publish of a stream that has had a publisher before loses one block of 64 bytes. The leak gate, run with
//! this feature, has to fail and to name this file.

use std::{hint::black_box, mem};

const BLOCK_BYTES: usize = 64;

/// Loses one block. A call of its own, so that the stack of the block has a line in this file.
#[inline(never)]
pub(super) fn leak_a_block() {
    mem::forget(black_box(Box::new([0_u8; BLOCK_BYTES])));
}
