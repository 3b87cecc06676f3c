//! The `rehearse` command: lists scenarios, runs them, replays one.

mod log;

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use rehearsal_scenarios::{
    catalogue::{CATALOGUE, Scenario, find},
    run::{self, Outcome},
    seed,
};

/// The gateway, rehearsed: scenarios in a simulated world, fixed by a seed.
#[derive(Debug, Parser)]
#[command(
    name = "rehearse",
    version,
    after_help = "Examples:
  cargo rehearse list                               what there is
  cargo rehearse run                                all of it, with seed 1
  cargo rehearse run live --seed 7                  the family live
  cargo rehearse replay live/republish --seed 7     one run again, with what its clients saw
  cargo rehearse replay live/republish --seed 7 --log   and what the gateway logged

A seed is a number or a git commit id.
Exit codes: 0 all runs passed, 1 a run failed, 2 wrong usage."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the scenarios
    List,
    /// Run scenarios and print a line for each
    Run {
        /// Names or families, such as live/republish or live; all without any
        scenarios: Vec<String>,
        /// Number or git commit id
        #[arg(long, default_value = "1", value_parser = seed::parse)]
        seed: u64,
    },
    /// Run one scenario and print what its clients saw, and the trace hash
    Replay {
        /// Name of the scenario
        scenario: String,
        /// Number or git commit id
        #[arg(long, default_value = "1", value_parser = seed::parse)]
        seed: u64,
        /// Print what the gateway logs, with virtual time
        #[arg(long)]
        log: bool,
    },
}

const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let done = match Arguments::parse().command {
        Command::List => list(&mut out),
        Command::Run { scenarios, seed } => match select(&scenarios) {
            Ok(selected) => run_all(&mut out, &selected, seed),
            Err(unknown) => return not_found(&unknown),
        },
        Command::Replay { scenario, seed, log } => match find(&scenario) {
            Some(scenario) => replay(&mut out, scenario, seed, log),
            None => return not_found(&scenario),
        },
    };
    match done {
        Ok(code) => code,
        // Whoever read the output, such as `head`, has enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rehearse: cannot print: {error}");
            ExitCode::FAILURE
        }
    }
}

fn not_found(name: &str) -> ExitCode {
    eprintln!("rehearse: no scenario is called {name}; `cargo rehearse list` shows what there is");
    ExitCode::from(WRONG_USAGE)
}

/// The scenarios that `names` name, or all.
fn select(names: &[String]) -> Result<Vec<&'static Scenario>, String> {
    let is = |scenario: &Scenario, name: &str| {
        let rest = scenario.name.strip_prefix(name.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for name in names {
        if !CATALOGUE.iter().any(|scenario| is(scenario, name)) {
            return Err(name.clone());
        }
    }
    let wanted =
        |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| is(scenario, name));
    Ok(CATALOGUE.iter().filter(wanted).collect())
}

fn name_width() -> usize {
    CATALOGUE.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0)
}

fn list(out: &mut impl Write) -> io::Result<ExitCode> {
    let width = name_width();
    for scenario in &CATALOGUE {
        writeln!(out, "{:<width$}  {}", scenario.name, scenario.about)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_all(
    out: &mut impl Write,
    scenarios: &[&'static Scenario],
    seed: u64,
) -> io::Result<ExitCode> {
    let width = name_width();
    writeln!(
        out,
        "{:<width$}  {:>6}  {:>9}  {:>8}  {:>8}  {:>9}  trace hash",
        "scenario", "result", "virtual", "wall", "frames", "events"
    )?;
    let mut failed = 0;
    for scenario in scenarios {
        let clock = log::Stopwatch::start();
        let outcome = run::run(scenario, seed);
        let wall = clock.elapsed();
        writeln!(
            out,
            "{:<width$}  {:>6}  {:>7.2} s  {:>5} ms  {:>8}  {:>9}  {:016x}",
            outcome.scenario,
            if outcome.violations.is_empty() { "pass" } else { "FAIL" },
            outcome.virtual_time.as_secs_f64(),
            wall.as_millis(),
            outcome.frames_delivered,
            outcome.trace.map_or(0, |trace| trace.events),
            outcome.trace_hash()
        )?;
        failed += usize::from(!outcome.violations.is_empty());
        print_violations(out, &outcome)?;
    }
    writeln!(out, "\n{} passed, {failed} failed, seed {seed}", scenarios.len() - failed)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_violations(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    for violation in &outcome.violations {
        writeln!(out, "    {violation}")?;
    }
    if !outcome.violations.is_empty() {
        writeln!(out, "    cargo rehearse replay {} --seed {}", outcome.scenario, outcome.seed)?;
    }
    Ok(())
}

fn replay(
    out: &mut impl Write,
    scenario: &'static Scenario,
    seed: u64,
    log: bool,
) -> io::Result<ExitCode> {
    if log {
        log::print_with_virtual_time();
    }
    let outcome = run::run(scenario, seed);
    write!(out, "{}", outcome.golden())?;
    let trace = outcome.trace.expect("a run on the fabric has a trace");
    writeln!(out, "\ntrace hash {:016x} over {} events", trace.hash, trace.events)?;
    match outcome.violations.len() {
        0 => {
            writeln!(out, "pass")?;
            Ok(ExitCode::SUCCESS)
        }
        count => {
            writeln!(out, "FAIL: {count} violations")?;
            Ok(ExitCode::FAILURE)
        }
    }
}
