//! The gateway at its edges: bytes that no protocol would send, peers that stop half-way, no room for more, and its own end.

mod bad_input;
mod deadlines;
mod shutdown;
mod world;

use rehearsal_sim::heap::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
