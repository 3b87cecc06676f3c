//! What holds of every scenario of the catalogue: it passes, is as its golden file says, repeats itself in every process and on
//! every network, and is well formed to tshark; every oracle can fail; what is repaired stays repaired, and costs what it did.

mod budgets;
mod determinism;
mod goldens;
mod oracles;
mod parity;
mod pcap;
mod regressions;
mod runs;

use rehearsal_sim::heap::CountingAllocator;

/// For the oracles of memory.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
