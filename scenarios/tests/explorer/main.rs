//! What explores, and what it relies on: sweeps, plans that seeds draw, fault points, reports, and the evidence of runs.

mod cycles;
mod evidence;
mod folder;
mod plans;
mod points;
mod report;
mod sweeps;
mod visit;

use rehearsal_sim::heap::CountingAllocator;

/// For the oracles of memory.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
