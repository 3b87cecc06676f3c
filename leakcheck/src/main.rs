//! The `leakcheck` command: runs each scenario again and again and reports what stays on the heap.
//!
//! A run that has been warmed up must leave nothing: after N more cycles and after 2N, the heap is as it was. What grows
//! in proportion to the cycles is a leak and fails; what was added once is shown and passes. Blocks are counted, call
//! sites are not named yet.

mod growth;

use std::process::ExitCode;

use clap::Parser;
use rehearsal_scenarios::{catalogue::CATALOGUE, run};
use rehearsal_sim::heap::CountingAllocator;

use growth::{Growth, Verdict};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Runs scenarios until their heap is at rest, then again, and fails on what grows.
#[derive(Debug, Parser)]
#[command(
    name = "leakcheck",
    version,
    after_help = "Examples:
  cargo leakcheck                              every light scenario
  cargo leakcheck live/republish --cycles 20   one scenario, more often

Exit codes: 0 nothing grows, 1 something does, 2 wrong usage."
)]
struct Arguments {
    /// Names of scenarios; all but those that take seconds of real time without any
    scenarios: Vec<String>,
    /// Cycles of the first measurement; the second has twice as many
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    cycles: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    for name in &arguments.scenarios {
        if rehearsal_scenarios::catalogue::find(name).is_none() {
            eprintln!("leakcheck: no scenario is called {name}; see `cargo rehearse list`");
            return ExitCode::from(2);
        }
    }
    let selected = CATALOGUE.iter().filter(|scenario| {
        arguments.scenarios.is_empty() && !scenario.heavy
            || arguments.scenarios.iter().any(|name| name == scenario.name)
    });
    let width = CATALOGUE.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    println!(
        "{:<width$}  {:>9}  {:>14}  {:>14}",
        "scenario", "result", "blocks/cycle", "bytes/cycle"
    );
    let mut leaks = 0;
    for scenario in selected {
        let growth = Growth::measure(arguments.cycles, || drop(run::run(scenario, 1)));
        let (result, leaked) = match growth.verdict() {
            Verdict::AtRest => ("at rest", false),
            Verdict::AddedOnce => ("added once", false),
            Verdict::Growing => ("GROWING", true),
        };
        println!(
            "{:<width$}  {result:>9}  {:>14.2}  {:>14.1}",
            scenario.name,
            growth.blocks_per_cycle(),
            growth.bytes_per_cycle()
        );
        leaks += usize::from(leaked);
    }
    if leaks == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
