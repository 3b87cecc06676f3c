//! The `leakcheck` command: repeats scenarios and reports what stays, by the line that allocated it.
//!
//! Each scenario is measured in a process of its own: cycles until the heap at rest stays the same, a calibration, and phases
//! of more and more cycles ([`growth`]). A cycle is the scenario's plan against a gateway that lives on, or all of it in a
//! new world with a gateway that ends.

mod growth;
mod measure;
mod report;

use std::{
    collections::VecDeque,
    io,
    process::{Child, Command, ExitCode, Stdio},
};

use clap::Parser;
use measure::{Measured, Mode, measure};
use rehearsal_heap::CountingAllocator;
use rehearsal_scenarios::{
    catalogue::{CATALOGUE, Scenario},
    seed,
};
use report::Report;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const WRONG_USAGE: u8 = 2;

/// Repeats scenarios until their heap is at rest, then more and more often, and fails on what grows.
#[derive(Debug, Parser)]
#[command(
    name = "leakcheck",
    version,
    after_help = "Examples:
  cargo leakcheck                                  every light scenario
  cargo leakcheck leak                             the scenarios of the family leak
  cargo leakcheck leak/republish --cycles 20       one scenario more often, with all that is at rest
  cargo leakcheck stop/shutdown --new-worlds       what a gateway leaves that has ended

A seed is a number or a git commit id.
Exit codes: 0 nothing grows, 1 something does or could not be measured, 2 wrong usage."
)]
struct Arguments {
    /// Names or families, such as leak/republish or leak; without any all that do not take seconds of real time
    scenarios: Vec<String>,
    /// Cycles of the first phase; the second has twice as many
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cycles: u32,
    /// Number or git commit id
    #[arg(long, default_value = "1", value_parser = seed::parse)]
    seed: u64,
    /// Scenarios measured at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Repeat all of a scenario in a new world, with a gateway that ends, instead of its plan against one that lives on
    #[arg(long)]
    new_worlds: bool,
    /// Measure one scenario in this process and print the figures as JSON
    #[arg(long, hide = true)]
    measure: bool,
}

impl Arguments {
    fn mode(&self) -> Mode {
        if self.new_worlds { Mode::World } else { Mode::Plan }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let selected = match select(&arguments) {
        Ok(selected) => selected,
        Err(wrong) => {
            eprintln!("leakcheck: {wrong}");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    if arguments.measure {
        return measure_here(selected[0], &arguments);
    }
    match measure_all(&selected, &arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("leakcheck: cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all of it happens again when it is repeated: what a gateway does when it starts, such as to call or to register, does not.
fn is_repeatable(scenario: &Scenario, seed: u64) -> bool {
    let sip = (scenario.plan)(seed).config.sip;
    sip.calls.is_empty() && sip.accounts.is_empty()
}

/// The scenarios that `names` name, or all light ones, as far as they can be repeated.
fn select(arguments: &Arguments) -> Result<Vec<&'static Scenario>, String> {
    let names = &arguments.scenarios;
    for name in names {
        if !CATALOGUE.iter().any(|scenario| scenario.is_named(name)) {
            return Err(format!("no scenario is called {name}; see `cargo rehearse list`"));
        }
    }
    let is_meant = |scenario: &&Scenario| match &names[..] {
        [] => !scenario.heavy,
        names => names.iter().any(|name| scenario.is_named(name)),
    };
    let can_be =
        |scenario: &&Scenario| arguments.new_worlds || is_repeatable(scenario, arguments.seed);
    let selected: Vec<_> = CATALOGUE.iter().filter(is_meant).filter(can_be).collect();
    match selected.is_empty() {
        true => Err("a gateway that calls or registers does so once: use --new-worlds".to_owned()),
        false => Ok(selected),
    }
}

fn measure_here(scenario: &'static Scenario, arguments: &Arguments) -> ExitCode {
    let measured = measure(scenario, arguments.seed, arguments.mode(), arguments.cycles);
    let json = measured.and_then(|measured| {
        serde_json::to_string(&measured).map_err(|error| format!("the figures are none: {error}"))
    });
    match json {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// A scenario that is being measured in a process of its own.
struct Measuring {
    scenario: &'static Scenario,
    child: Child,
}

impl Measuring {
    #[allow(
        clippy::disallowed_methods,
        reason = "what one scenario makes once must not be the next one's"
    )]
    fn start(scenario: &'static Scenario, arguments: &Arguments) -> io::Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(["--measure", scenario.name])
            .args(["--cycles", &arguments.cycles.to_string()])
            .args(["--seed", &arguments.seed.to_string()])
            .args(arguments.new_worlds.then_some("--new-worlds"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self { scenario, child })
    }

    /// Waits for the figures, or for why there are none.
    fn finish(self) -> io::Result<Result<Measured, String>> {
        let output = self.child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !output.status.success() {
            return Ok(Err(if said.is_empty() { output.status.to_string() } else { said }));
        }
        let measured = serde_json::from_slice(&output.stdout);
        Ok(measured.map_err(|error| format!("its figures cannot be read: {error}")))
    }
}

/// Measures each of `selected` and prints what comes of it, in their order; gives whether all is well.
fn measure_all(selected: &[&'static Scenario], arguments: &Arguments) -> io::Result<bool> {
    let name_width = selected.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    let has_details = !arguments.scenarios.is_empty();
    let mut report = Report::new(io::stdout().lock(), name_width, has_details);
    report.begin()?;
    let mut waiting = selected.iter();
    let mut running = VecDeque::new();
    loop {
        while running.len() < usize::from(arguments.jobs)
            && let Some(scenario) = waiting.next()
        {
            running.push_back(Measuring::start(scenario, arguments)?);
        }
        let Some(first) = running.pop_front() else { break };
        let name = first.scenario.name;
        match first.finish()? {
            Ok(measured) => report.measured(name, &measured)?,
            Err(why) => report.failed(name, &why)?,
        }
    }
    report.end()
}
