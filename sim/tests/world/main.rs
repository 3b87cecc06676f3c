//! The simulated world, seen through the seam: what a program on a simulated host can observe.

mod datagrams;
mod disk;
mod divergence;
mod files;
mod handshake;
mod heap;
mod levers;
mod link;
mod links;
mod loss;
mod order;
mod pair;
mod ports;
mod repairs;
mod tcp;
mod throughput;
mod time;
mod udp;
mod vanished;
mod windows;

#[global_allocator]
static ALLOCATOR: rehearsal_sim::heap::CountingAllocator = rehearsal_sim::heap::CountingAllocator;
