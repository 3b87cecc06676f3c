//! The `rehearse` command: lists scenarios, runs them, replays one, looks where two runs part, hunts for runs that fail, makes
//! pages of them, and measures a real gateway.

mod capture;
mod diverge;
mod explore;
mod load;
mod log;
mod present;
mod replay;

use std::{
    io::{self, ErrorKind, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use capture::Pcap;
use clap::{Args, Parser, Subcommand};
use present::Presented;
use rehearsal_scenarios::{
    catalogue::{CATALOGUE, Scenario, find},
    explorer::{program::COMMAND, worker},
    run::{self, Net, Outcome, Watch},
    seed,
};
use rehearsal_sim::heap::CountingAllocator;
use replay::Replayed;

/// Counts what the gateway holds, for the oracle of bounded memory.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

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
  cargo rehearse replay live/republish --pcap run.pcapng      and its packets, for Wireshark
  cargo rehearse replay live/republish --netstat-at 4000      and every socket at 4 s
  cargo rehearse diverge live/republish --seed 7              whether a run repeats itself
  cargo rehearse sweep --for 60s                    a minute of all scenarios, with new seeds all the time
  cargo rehearse replay target/sweep/capsules/C.json          a failure that a sweep has found
  cargo rehearse shrink target/sweep/capsules/C.json          the same with less in it
  cargo rehearse report target/sweep                what it has found, as a page to look at
  cargo rehearse load calls --calls 50 --for 10s    what a call costs a real gateway

A seed is a number or a git commit id.
Exit codes: 0 all runs passed, 1 a run failed, two runs part, or not all was printed, 2 wrong usage."
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
        #[command(flatten)]
        pcap: PcapArguments,
        /// Leave out those that take seconds of real time
        #[arg(long)]
        light: bool,
        /// What carries the bytes; turmoil and loopback run the scenarios that `list` marks "any net"
        #[arg(long, value_enum, default_value_t = Net::Fabric, conflicts_with_all = ["pcap", "pcap_host"])]
        net: Net,
        /// Print what the gateways log, with virtual time; for one scenario on the fabric
        #[arg(long)]
        log: bool,
    },
    /// Run one scenario, or the run of a capsule, and print what its clients saw, and the trace hash
    Replay {
        /// Name of the scenario, or the file of a capsule
        run: String,
        /// Number or git commit id; 1 without it. A capsule has its own
        #[arg(long, value_parser = seed::parse)]
        seed: Option<u64>,
        /// Print what the gateway logs, with virtual time
        #[arg(long)]
        log: bool,
        #[command(flatten)]
        pcap: PcapArguments,
        /// Print the sockets of every host as they are at this virtual time, in milliseconds
        #[arg(long, value_name = "MS")]
        netstat_at: Option<u64>,
    },
    /// Run scenarios with one seed after the other, on all cores, and keep a capsule of each kind of failure
    Sweep(explore::SweepArguments),
    /// Make the plan of a capsule or scenario smaller, as long as it fails in the same way
    Shrink(explore::ShrinkArguments),
    /// Make one folder of the results of several sweeps or shards
    Merge(explore::MergeArguments),
    /// Write a page to look at: of a sweep and its failures, or of one run
    Report(present::ReportArguments),
    /// Measure what a real gateway costs under load, on real sockets
    Load(load::LoadArguments),
    /// Carry out the jobs of standard input
    #[command(name = worker::COMMAND, hide = true)]
    Worker,
    /// Run one scenario twice and print where the runs part, if they do
    Diverge {
        /// Name of the scenario
        scenario: String,
        /// Number or git commit id
        #[arg(long, default_value = "1", value_parser = seed::parse)]
        seed: u64,
        /// Seed of the second run; the same without it
        #[arg(long, value_name = "SEED", value_parser = seed::parse)]
        other_seed: Option<u64>,
    },
}

#[derive(Debug, Args)]
struct PcapArguments {
    /// Write the packets at one host to this file as pcapng; for one scenario
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// The host whose packets are written
    #[arg(long, value_name = "HOST", default_value = "gateway", requires = "pcap")]
    pcap_host: String,
}

const WRONG_USAGE: u8 = 2;
/// Violations of a run that are printed with others' runs.
const VIOLATIONS_MAX: usize = 20;

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let command = Arguments::parse().command;
    let has_verdict = !matches!(command, Command::List);
    let done = match command {
        Command::List => list(&mut out),
        Command::Run { scenarios, seed, pcap, light, net, log } => {
            match select(&scenarios, light, net) {
                Ok(selected) if log && (selected.len() > 1 || net != Net::Fabric) => {
                    let count = selected.len();
                    return wrong_usage(&format!(
                        "--log prints the log of one scenario on the fabric, and {count} are to run on {net:?}"
                    ));
                }
                Ok(selected) => match Pcap::create(pcap.pcap, pcap.pcap_host, &selected, seed) {
                    Ok(pcap) => {
                        if log {
                            log::print_with_virtual_time();
                        }
                        run_all(&mut out, &selected, seed, net, pcap)
                    }
                    Err(refused) => return refused.report(),
                },
                Err(wrong) => return wrong_usage(&wrong),
            }
        }
        Command::Replay { run, seed, log, pcap, netstat_at } => {
            let run = match Replayed::find(&run, seed) {
                Ok(run) => run,
                Err(wrong) => return wrong_usage(&wrong),
            };
            match Pcap::create(pcap.pcap, pcap.pcap_host, &[run.scenario()], run.seed()) {
                Ok(pcap) => replay::replay(&mut out, &run, log, pcap, netstat_at),
                Err(refused) => return refused.report(),
            }
        }
        Command::Sweep(arguments) => {
            match select(&arguments.scenarios, !arguments.heavy, Net::Fabric) {
                Ok(selected) => explore::sweep(&mut out, selected, &arguments),
                Err(wrong) => return wrong_usage(&wrong),
            }
        }
        Command::Shrink(arguments) => match Replayed::find(&arguments.run, arguments.seed) {
            Ok(run) => explore::shrink(&mut out, run, &arguments),
            Err(wrong) => return wrong_usage(&wrong),
        },
        Command::Merge(arguments) => explore::merge(&mut out, &arguments),
        Command::Report(arguments) => match Presented::find(&arguments) {
            Ok(presented) => present::present(&mut out, &presented, &arguments),
            Err(wrong) => return wrong_usage(&wrong),
        },
        Command::Load(arguments) => load::load(&mut out, &arguments),
        Command::Worker => {
            drop(out);
            return match worker::serve() {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("rehearse: cannot go on: {error}");
                    ExitCode::FAILURE
                }
            };
        }
        Command::Diverge { scenario, seed, other_seed } => match find(&scenario) {
            Some(scenario) => {
                diverge::diverge(&mut out, scenario, [seed, other_seed.unwrap_or(seed)])
            }
            None => return wrong_usage(&not_found(&scenario)),
        },
    };
    match done {
        Ok(code) => code,
        // Whoever read the output, such as `head`, has enough; whether all runs passed is not known.
        Err(error) if error.kind() == ErrorKind::BrokenPipe && !has_verdict => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rehearse: cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wrong_usage(what: &str) -> ExitCode {
    eprintln!("rehearse: {what}");
    ExitCode::from(WRONG_USAGE)
}

fn not_found(name: &str) -> String {
    let family: Vec<_> = CATALOGUE.iter().filter(|scenario| scenario.is_named(name)).collect();
    if family.is_empty() {
        return format!("no scenario is called {name}; `cargo rehearse list` shows what there is");
    }
    let names: Vec<_> = family.iter().map(|scenario| scenario.name).collect();
    format!("{name} is a family; name one of its scenarios: {}", names.join(", "))
}

/// The scenarios that `names` name, or all; those that `net` can run. A name that leaves nothing is an error.
fn select(names: &[String], light: bool, net: Net) -> Result<Vec<&'static Scenario>, String> {
    let runs =
        |scenario: &Scenario| (net == Net::Fabric || scenario.parity) && !(light && scenario.heavy);
    for name in names {
        let mut named = CATALOGUE.iter().filter(|scenario| scenario.is_named(name)).peekable();
        if named.peek().is_none() {
            return Err(not_found(name));
        }
        if named.clone().all(|scenario| light && scenario.heavy) {
            return Err(format!(
                "{name} takes seconds of real time, and only those that do not are wanted"
            ));
        }
        if !named.any(runs) {
            return Err(format!(
                "{name} needs links or buffers that only the fabric has; leave --net away, or choose what \
                 `cargo rehearse list` marks \"any net\""
            ));
        }
    }
    let wanted =
        |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| scenario.is_named(name));
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
    mut pcap: Option<Pcap>,
) -> io::Result<ExitCode> {
    let watch = Watch { capture_at: pcap.as_ref().map(Pcap::host), ..Watch::default() };
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
            let mut outcome = run::run_on(net, scenario, seed, &watch);
            tell(&outcome, clock.elapsed())?;
            if !capture::write(pcap.take(), outcome.capture.take()) {
                return Ok(ExitCode::FAILURE);
            }
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
    for violation in outcome.violations.iter().take(VIOLATIONS_MAX) {
        writeln!(out, "    {violation}")?;
    }
    if let Some(more @ 1..) = outcome.violations.len().checked_sub(VIOLATIONS_MAX) {
        writeln!(out, "    and {more} more, which a replay prints")?;
    }
    if !outcome.violations.is_empty() {
        let Outcome { scenario, seed, .. } = outcome;
        match outcome.net {
            Net::Fabric => writeln!(out, "    {COMMAND} replay {scenario} --seed {seed}")?,
            Net::Turmoil => {
                writeln!(out, "    {COMMAND} run {scenario} --seed {seed} --net turmoil")?;
            }
            Net::Loopback => {
                writeln!(out, "    {COMMAND} run {scenario} --seed {seed} --net loopback")?;
            }
        }
    }
    Ok(())
}
