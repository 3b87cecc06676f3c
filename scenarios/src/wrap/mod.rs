//! Family wrap: counters and times of 24, 31 and 32 bits pass their ends in mid-stream.

mod long;
mod timestamps;

pub use long::{FOUR_GIBIBYTES, TWO_MONTHS};
pub use timestamps::TIMESTAMPS;
