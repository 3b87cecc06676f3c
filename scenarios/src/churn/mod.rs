//! Family churn: publishers who compete for names, go in every way there is, and come back.

mod competing;
mod deadlines;
mod lost_peers;

pub use competing::COMPETING_PUBLISHERS;
pub use deadlines::SILENCE_DEADLINE;
pub use lost_peers::{CRASHED_PLAYERS, REBOUND_PUBLISHER, RESET_PUBLISHER};
