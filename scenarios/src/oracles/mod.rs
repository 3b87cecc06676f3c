//! The oracles that judge every run, from what clients and network show.
//!
//! | oracle | what is compared |
//! |---|---|
//! | O1 epoch isolation, O2 decodable start, O3 integrity, O10 timestamps | what each subscriber found by itself in its bytes |
//! | O3 stream integrity | each subscriber's log against its publishers' logs; nobody who keeps up has a gap |
//! | O5 | publishers end as planned, or are refused because the name is taken |
//! | O8 bounded liveness | first frames and ends in time; tasks, sockets and streams at rest and after the shutdown |
//! | O14 time hygiene | tasks that are polled although nothing happens |
//!
//! What a plan's [`Terms`](crate::plan::Terms) allow for is not held against anybody: how clients on faulty hosts fare, gaps
//! of those who may skip, and slack on top of every deadline. Who is there while the gateway is not, between a crash and a
//! restart or after it was told to end, is not judged by how it ends.

mod baseline;
mod epochs;
mod integrity;
mod liveness;
mod publishing;

use std::{fmt, time::Duration};

use crate::run::Evidence;

/// Somebody who was there this long must have received something.
const OVERLAP: Duration = Duration::from_secs(3);

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which oracle says so.
    pub oracle: &'static str,
    /// What it found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}

/// An oracle: its name, and what it finds.
type Oracle = (&'static str, fn(&Evidence) -> Vec<String>);

const ORACLES: [Oracle; 6] = [
    ("O1-O3, O10 subscriber", subscribers),
    ("O3 stream integrity", integrity::judge),
    ("O8 bounded liveness", liveness::judge),
    ("O5, O8 publishing", publishing::judge),
    ("O8 baseline", baseline::judge),
    ("O14 time hygiene", baseline::idle_polls),
];

/// Judges a run by every oracle.
pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    let found = |(oracle, judge): &Oracle| {
        let found = judge(evidence).into_iter();
        let oracle = *oracle;
        found.map(move |what| Violation { oracle, what }).collect::<Vec<_>>()
    };
    ORACLES.iter().flat_map(found).collect()
}

/// What each subscriber found by itself in its bytes.
fn subscribers(evidence: &Evidence) -> Vec<String> {
    let players = evidence.plan.players.iter().zip(&evidence.players);
    let found = players.flat_map(|(player, report)| {
        report.violations.iter().map(|what| format!("{}: {what}", player.host))
    });
    found.collect()
}
