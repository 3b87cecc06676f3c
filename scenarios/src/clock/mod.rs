//! Family clock: the wall clock steps, days pass in which nothing happens, and much happens at the same moment.

mod idle;
mod ties;
mod wall_clock;

pub use idle::IDLE_DAYS;
pub use ties::TIES;
pub use wall_clock::WALL_CLOCK_STEPS;
