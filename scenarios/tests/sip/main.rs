//! Everything that can befall a call, at every step of it.

mod calls;
mod commands;
mod connections;
mod faults;

use rehearsal_sim::heap::CountingAllocator;

/// For the oracles of memory.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
