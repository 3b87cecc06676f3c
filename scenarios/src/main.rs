//! The `rehearse` command: lists scenarios, runs them, replays one.

mod log;

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use rehearsal_scenarios::{
    catalogue::{CATALOGUE, Scenario, find},
    run::{self, Net, Outcome},
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
  cargo rehearse run --net turmoil                  what must come out alike, on another simulator
  cargo rehearse run live/republish --net loopback  one scenario on real sockets, in real time
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
        /// Names or families, such as live/republish or live; without any all that the network can run
        scenarios: Vec<String>,
        /// Number or git commit id
        #[arg(long, default_value = "1", value_parser = seed::parse)]
        seed: u64,
        /// What carries the bytes; turmoil and loopback run the scenarios that `list` marks "any net"
        #[arg(long, value_enum, default_value_t = Net::Fabric)]
        net: Net,
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
        Command::Run { scenarios, seed, net } => match select(&scenarios, net) {
            Ok(selected) => run_all(&mut out, &selected, seed, net),
            Err(wrong) => return wrong_usage(&wrong),
        },
        Command::Replay { scenario, seed, log } => match find(&scenario) {
            Some(scenario) => replay(&mut out, scenario, seed, log),
            None => return wrong_usage(&not_found(&scenario)),
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

fn wrong_usage(what: &str) -> ExitCode {
    eprintln!("rehearse: {what}");
    ExitCode::from(WRONG_USAGE)
}

fn not_found(name: &str) -> String {
    format!("no scenario is called {name}; `cargo rehearse list` shows what there is")
}

/// The scenarios that `names` name, or all; those that `net` can run. A name that leaves nothing is an error.
fn select(names: &[String], net: Net) -> Result<Vec<&'static Scenario>, String> {
    let is = |scenario: &Scenario, name: &str| {
        let rest = scenario.name.strip_prefix(name.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let runs = |scenario: &Scenario| net == Net::Fabric || scenario.parity;
    for name in names {
        let mut named = CATALOGUE.iter().filter(|scenario| is(scenario, name)).peekable();
        if named.peek().is_none() {
            return Err(not_found(name));
        }
        if !named.any(runs) {
            return Err(format!(
                "{name} needs links or buffers that only the fabric has; leave --net away, or choose what \
                 `cargo rehearse list` marks \"any net\""
            ));
        }
    }
    let wanted =
        |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| is(scenario, name));
    Ok(CATALOGUE.iter().filter(wanted).filter(|scenario| runs(scenario)).collect())
}

fn name_width() -> usize {
    CATALOGUE.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0)
}

fn list(out: &mut impl Write) -> io::Result<ExitCode> {
    let width = name_width();
    for scenario in &CATALOGUE {
        let nets = if scenario.parity { "any net" } else { "fabric " };
        writeln!(out, "{:<width$}  {nets}  {}", scenario.name, scenario.about)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_all(
    out: &mut impl Write,
    scenarios: &[&'static Scenario],
    seed: u64,
    net: Net,
) -> io::Result<ExitCode> {
    let clock = if net == Net::Loopback { "real" } else { "virtual" };
    writeln!(
        out,
        "{:<width$}  {:>6}  {clock:>9}  {:>8}  {:>8}  {:>9}  trace hash",
        "scenario",
        "result",
        "wall",
        "frames",
        "events",
        width = name_width()
    )?;
    let mut failed = 0;
    let mut tell = |outcome: &Outcome, wall| {
        failed += usize::from(!outcome.violations.is_empty());
        print_line(out, outcome, wall)
    };
    if net == Net::Loopback {
        for outcome in run::run_on_loopback(scenarios, seed) {
            tell(&outcome, outcome.virtual_time)?;
        }
    } else {
        for scenario in scenarios {
            let clock = log::Stopwatch::start();
            let outcome = run::run_on(net, scenario, seed);
            tell(&outcome, clock.elapsed())?;
        }
    }
    writeln!(out, "\n{} passed, {failed} failed, seed {seed}", scenarios.len() - failed)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_line(out: &mut impl Write, outcome: &Outcome, wall: Duration) -> io::Result<()> {
    let (events, hash) = match outcome.trace {
        Some(trace) => (trace.events.to_string(), format!("{:016x}", trace.hash)),
        None => ("-".to_owned(), "-".to_owned()),
    };
    writeln!(
        out,
        "{:<width$}  {:>6}  {:>7.2} s  {:>5} ms  {:>8}  {events:>9}  {hash}",
        outcome.scenario,
        if outcome.violations.is_empty() { "pass" } else { "FAIL" },
        outcome.virtual_time.as_secs_f64(),
        wall.as_millis(),
        outcome.frames_delivered,
        width = name_width()
    )?;
    print_violations(out, outcome)
}

fn print_violations(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    for violation in &outcome.violations {
        writeln!(out, "    {violation}")?;
    }
    if !outcome.violations.is_empty() {
        let Outcome { scenario, seed, .. } = outcome;
        match outcome.net {
            Net::Fabric => writeln!(out, "    cargo rehearse replay {scenario} --seed {seed}")?,
            Net::Turmoil => {
                writeln!(out, "    cargo rehearse run {scenario} --seed {seed} --net turmoil")?;
            }
            Net::Loopback => {
                writeln!(out, "    cargo rehearse run {scenario} --seed {seed} --net loopback")?;
            }
        }
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
