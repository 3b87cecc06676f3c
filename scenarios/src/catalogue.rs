//! Every scenario there is, by name.

use crate::{live, oracles::Violation, plan::Plan, run::Evidence};

/// A scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Family and name.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// Whether it comes out alike on every network: what its clients see depends neither on faults below the stream nor
    /// on the rates, queues and buffers of links and sockets.
    pub parity: bool,
    /// Makes its plan from a seed.
    pub plan: fn(u64) -> Plan,
    /// What must hold besides the oracles that judge every run.
    pub check: fn(&Evidence) -> Vec<Violation>,
}

/// All scenarios, in the order they are listed and run.
pub const CATALOGUE: [Scenario; 12] = [
    live::ONE_PUBLISHER_THREE_PLAYERS,
    live::LATE_JOINER,
    live::REPUBLISH,
    live::PLAYER_FIRST,
    live::REAL_FILE,
    live::SLOW_PLAYER,
    live::NARROW_LINK,
    live::AUDIO_ONLY,
    live::VIDEO_ONLY,
    live::CHANGING_HEADERS,
    live::ENHANCED_RTMP,
    live::CROWD,
];

/// The scenario called `name`.
pub fn find(name: &str) -> Option<&'static Scenario> {
    CATALOGUE.iter().find(|scenario| scenario.name == name)
}
