//! Family stop: the gateway ends, crashes or stands still at a random moment of what other scenarios do.

mod freeze;
mod outage;

pub use freeze::{FREEZE, FREEZE_BEYOND_DEADLINES};
pub use outage::{CRASH, SHUTDOWN};
