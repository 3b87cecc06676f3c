//! The simulated world, seen through the seam: what a program on a simulated host can observe.

mod disk;
mod divergence;
mod files;
mod heap;
mod link;
mod order;
mod pair;
mod ports;
mod tcp;
mod time;
mod udp;

#[global_allocator]
static ALLOCATOR: rehearsal_sim::heap::CountingAllocator = rehearsal_sim::heap::CountingAllocator;
