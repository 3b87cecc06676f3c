//! What is on the heap, whose it is, and where it was allocated.
//!
//! A binary that installs [`CountingAllocator`] as its global allocator can ask how many blocks and bytes each [`Scope`] holds
//! ([`usage`]), which costs little and is always on. After [`record`] it knows of each block the chain of calls that
//! allocated it, too: [`held`] is a photograph of all call sites, and [`compare`] tells what several of them have added to
//! each other, by symbols, with the frames of one's own code first. That is dear (some microseconds for each
//! allocation), and for who looks for a leak.
//!
//! Unlike a heap profile that is read once at its end, a photograph disturbs nothing: a gateway that runs can be
//! asked again and again.

mod allocator;
mod call_site;
mod scope;
mod sites;

pub use allocator::CountingAllocator;
pub use call_site::{CallSite, Frame, Named, compare, name};
pub use scope::{Guard, Scope, Usage, charge_to, current, enter, is_counting, reset_peak, usage};
pub use sites::{Amount, Held, held, record};
