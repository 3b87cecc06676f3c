//! `rehearse sweep` and `merge`: what runs came to, for people.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use rehearsal_scenarios::{
    catalogue::Scenario,
    explorer::{
        program::{COMMAND, Program},
        record::Record,
        results::{self, Group, Results},
        sweep::{Shard, Sweep},
    },
    fingerprint::Fingerprint,
    seed,
    situations::{self, Situation},
};
use tokio::signal;
use tokio_util::sync::CancellationToken;

use super::{LIMIT, duration, progress::Bar, runtime};

/// Seeds of a sweep that nobody has said more of.
const SEEDS: u64 = 100;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo rehearse sweep --for 60s                    all light scenarios for a minute
  cargo rehearse sweep live lossy --seeds 1000      two families with 1,000 seeds
  cargo rehearse sweep --seed $(git rev-parse HEAD) --for 10m --shard 2/8 --out shard-2

Ctrl-C ends it with what it has; once more gives up at once.
Exit codes: 0 no run failed, 1 one did or the sweep could not go on, 2 wrong usage.")]
pub struct SweepArguments {
    /// Names or families; without any all that do not take seconds of real time
    pub scenarios: Vec<String>,
    /// First seed, a number or git commit id; the others follow it
    #[arg(long, default_value = "1", value_parser = seed::parse)]
    seed: u64,
    /// Seeds of each scenario; 100 without --for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Real time after which no run is begun, such as 90s, 10m or 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    within: Option<Duration>,
    /// Processes; one for each core without it
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// Which part of the runs, for machines that share a sweep
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    shard: Shard,
    /// Folder for the results; what an earlier sweep left there is replaced
    #[arg(long, value_name = "DIR", default_value = "target/sweep")]
    out: PathBuf,
    /// Sweep those that take seconds of real time, too
    #[arg(long)]
    pub heavy: bool,
    /// Fail when a situation was never met that the swept families are there for
    #[arg(long)]
    all_situations: bool,
}

#[derive(Debug, Args)]
pub struct MergeArguments {
    /// Folders of results
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Folder for all of it
    #[arg(long, value_name = "DIR", default_value = "target/sweep")]
    out: PathBuf,
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Counts of a sweep, by scenario.
#[derive(Clone, Copy, Default)]
struct Count {
    runs: u64,
    failed: u64,
    events: u64,
    virtual_ms: u64,
    wall_us: u64,
}

impl Count {
    fn add(&mut self, record: &Record) {
        self.runs += 1;
        self.failed += u64::from(record.is_failure());
        self.events += record.events;
        self.virtual_ms += record.virtual_ms;
        self.wall_us += record.wall_us;
    }
}

/// Sweeps `scenarios`, shows how far it is, and tells what it found.
///
/// # Errors
/// Those of the file system, of processes, and of `out`.
pub fn sweep(
    out: &mut impl Write,
    scenarios: Vec<&'static Scenario>,
    arguments: &SweepArguments,
) -> io::Result<ExitCode> {
    let jobs = arguments.jobs.map_or_else(cores, NonZeroUsize::get);
    let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name).collect();
    let seeds = arguments.seeds.or(arguments.within.is_none().then_some(SEEDS));
    let sweep = Sweep {
        scenarios,
        first_seed: arguments.seed,
        seeds,
        within: arguments.within,
        jobs,
        shard: arguments.shard,
        program: std::env::current_exe()?,
        limit: LIMIT,
    };
    let mut results = Results::create(&arguments.out, Program::current()?)?;
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut bar = Bar::new(sweep.runs(), arguments.within);
    let (mut failed, mut twice) = (0, 0);
    let stop = CancellationToken::new();
    let mut met: BTreeMap<String, u64> = BTreeMap::new();
    let on_record = |record: Record| {
        for situation in &record.situations {
            *met.entry(situation.clone()).or_default() += 1;
        }
        counts.entry(record.scenario.clone()).or_default().add(&record);
        failed += u64::from(record.is_failure());
        twice += u64::from(record.twice);
        if results.add(&record)? {
            bar.say(&format!("new: {}", record.violations[0]));
        }
        bar.advance(failed);
        Ok(())
    };
    let is_cut_short =
        runtime()?.block_on(until_interrupted(sweep.run(stop.clone(), on_record), &stop))?;
    let elapsed = bar.finish();
    let groups = results.finish()?;
    print_counts(out, &names, &counts)?;
    let all = counts.values().fold(Count::default(), |mut all, count| {
        all.runs += count.runs;
        all.virtual_ms += count.virtual_ms;
        all.wall_us += count.wall_us;
        all
    });
    let per_core_hour = all.runs as f64 * 3_600e6 / all.wall_us.max(1) as f64;
    writeln!(
        out,
        "\n{} runs in {:.1} s on {jobs} processes{}: {failed} failed, {twice} run twice",
        all.runs,
        elapsed.as_secs_f64(),
        if is_cut_short { ", cut short" } else { "" },
    )?;
    writeln!(
        out,
        "{per_core_hour:.0} runs an hour and core, {:.0} times as fast as real time",
        all.virtual_ms as f64 * 1_000.0 / all.wall_us.max(1) as f64
    )?;
    let is_all_met = print_situations(out, &names, &met)?;
    print_groups(out, &groups)?;
    writeln!(out, "results in {}", arguments.out.display())?;
    let is_well = failed == 0 && (is_all_met || !arguments.all_situations);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The situations that runs of the scenarios called `names` are there for, and those that none met; whether all were met.
fn print_situations(
    out: &mut impl Write,
    names: &[&str],
    met: &BTreeMap<String, u64>,
) -> io::Result<bool> {
    let (found, missed): (Vec<&Situation>, Vec<&Situation>) =
        situations::wanted(names).partition(|situation| met.contains_key(situation.name));
    writeln!(out, "{} of {} situations met", found.len(), found.len() + missed.len())?;
    for situation in &missed {
        writeln!(out, "    never met: {}", situation.name)?;
    }
    Ok(missed.is_empty())
}

/// Whether an interrupt came before `sweeping` was done; then it is given `stop` and comes to its end.
async fn until_interrupted(
    sweeping: impl Future<Output = io::Result<()>>,
    stop: &CancellationToken,
) -> io::Result<bool> {
    let mut sweeping = std::pin::pin!(sweeping);
    tokio::select! {
        biased;
        done = &mut sweeping => done.map(|()| false),
        interrupted = signal::ctrl_c() => {
            interrupted?;
            stop.cancel();
            tokio::select! {
                biased;
                done = sweeping => done.map(|()| true),
                interrupted = signal::ctrl_c() => interrupted.map(|()| true),
            }
        }
    }
}

/// A line for each of the scenarios called `names`.
fn print_counts(
    out: &mut impl Write,
    names: &[&str],
    counts: &BTreeMap<String, Count>,
) -> io::Result<()> {
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0).max("scenario".len());
    writeln!(
        out,
        "{:<width$}  {:>7}  {:>7}  {:>11}  {:>11}",
        "scenario", "runs", "failed", "virtual/run", "wall/run"
    )?;
    for name in names {
        let Some(count) = counts.get(*name) else { continue };
        let Count { runs, failed, virtual_ms, wall_us, .. } = *count;
        writeln!(
            out,
            "{name:<width$}  {runs:>7}  {failed:>7}  {:>9.2} s  {:>8.2} ms",
            virtual_ms as f64 / runs as f64 / 1_000.0,
            wall_us as f64 / runs as f64 / 1_000.0
        )?;
    }
    Ok(())
}

/// Each kind of failure, the most frequent first, with what to do next.
fn print_groups(out: &mut impl Write, groups: &BTreeMap<Fingerprint, Group>) -> io::Result<()> {
    let mut groups: Vec<_> = groups.values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.runs));
    for Group { runs, shortest, capsule } in groups {
        let what = if *runs == 1 { "run" } else { "runs" };
        writeln!(
            out,
            "\n{runs} {what}, such as {} with seed {}",
            shortest.scenario, shortest.seed
        )?;
        writeln!(out, "    {}", shortest.violations[0])?;
        let others = shortest.violations.len() as u64 - 1 + shortest.more_violations;
        if others > 0 {
            writeln!(out, "    and {others} more")?;
        }
        writeln!(out, "    {COMMAND} replay {}", capsule.display())?;
        writeln!(out, "    {COMMAND} shrink {}", capsule.display())?;
    }
    Ok(())
}

/// Merges folders of results and tells what is in all of them.
///
/// # Errors
/// Those of the file system, of `out`, and folders that are none of results.
pub fn merge(out: &mut impl Write, arguments: &MergeArguments) -> io::Result<ExitCode> {
    let (runs, groups) = results::merge(&arguments.folders, &arguments.out, Program::current()?)?;
    let failed: u64 = groups.values().map(|group| group.runs).sum();
    writeln!(out, "{runs} runs of {} folders: {failed} failed", arguments.folders.len())?;
    print_groups(out, &groups)?;
    writeln!(out, "results in {}", arguments.out.display())?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
