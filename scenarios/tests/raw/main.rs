//! Clients that send raw bytes: what no protocol would send, and what stops half-way.

mod bad_input;
mod deadlines;
mod world;

use rehearsal_sim::heap::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
