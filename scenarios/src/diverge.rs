//! `rehearse diverge`: where two runs of one scenario part.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use rehearsal_scenarios::{
    catalogue::Scenario,
    run::{self, Watch},
};
use rehearsal_sim::trace::divergence;

/// Runs `scenario` with both seeds and prints the events around the place where the runs part.
///
/// # Errors
/// `out` takes no more.
pub fn diverge(
    out: &mut impl Write,
    scenario: &'static Scenario,
    seeds: [u64; 2],
) -> io::Result<ExitCode> {
    let name = scenario.name;
    let [left, right] = seeds.map(|seed| {
        move |window| {
            let watch = Watch { keep_events: window, ..Watch::default() };
            run::trace_of(seed, (scenario.plan)(seed), &watch)
        }
    });
    match divergence::between(left, right) {
        Ok(None) => {
            writeln!(out, "same: {name} with seeds {} and {}", seeds[0], seeds[1])?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Some(divergence)) => {
            writeln!(out, "{name}: < is seed {}, > is seed {}\n", seeds[0], seeds[1])?;
            write!(out, "{divergence}")?;
            writeln!(out, "\nthe runs part at event {}", divergence.index)?;
            Ok(ExitCode::FAILURE)
        }
        Err(unsteady) => {
            writeln!(out, "{name} with seeds {} and {}: {unsteady}", seeds[0], seeds[1])?;
            Ok(ExitCode::FAILURE)
        }
    }
}
