//! `rehearse shrink`: a failing run with what does not matter taken away.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use rehearsal_scenarios::{
    capsule::Capsule,
    explorer::{
        elements,
        program::{COMMAND, Program},
        record::{Job, Record, hex},
        shrink::{self, Progress},
        worker::Worker,
    },
    fingerprint::Fingerprint,
    plan::Plan,
    run, seed,
};

use super::{LIMIT, duration, progress::Bar, runtime};
use crate::replay::Replayed;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo rehearse shrink target/sweep/capsules/C.json    leaves target/sweep/capsules/C.min.json
  cargo rehearse shrink live/republish --seed 7         what a run of a scenario has shown

Exit codes: 0 a capsule was written, 1 the run does not fail so or it could not go on, 2 wrong usage.")]
pub struct ShrinkArguments {
    /// File of the capsule, or the name of a scenario
    pub run: String,
    /// Number or git commit id; 1 without it. A capsule has its own
    #[arg(long, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// File for the smaller one; without it the capsule's name with .min.json at its end, or one in target for a scenario
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Real time after which the smallest one so far is taken
    #[arg(long = "for", value_name = "TIME", default_value = "2m", value_parser = duration)]
    within: Duration,
    /// Print a Rust test that runs the smaller one
    #[arg(long)]
    as_test: bool,
}

/// Makes what fails smaller and tells how to go on.
///
/// # Errors
/// Those of the file system, of processes, and of `out`.
pub fn shrink(
    out: &mut impl Write,
    replayed: Replayed,
    arguments: &ShrinkArguments,
) -> io::Result<ExitCode> {
    let program = Program::current()?;
    let (capsule, path) = match replayed {
        Replayed::Capsule(capsule) => {
            (*capsule, Path::new(&arguments.run).with_extension("min.json"))
        }
        Replayed::Scenario(scenario, seed) => {
            let outcome = run::run(scenario, seed);
            let Some(violation) = outcome.violations.first() else {
                writeln!(out, "nothing to shrink: {} with seed {seed} passes", scenario.name)?;
                return Ok(ExitCode::FAILURE);
            };
            let (kind, what) = (Fingerprint::of(violation), violation.to_string());
            let hash = outcome.trace.map(|trace| hex(trace.hash));
            let capsule = Capsule::of_seed(scenario, seed, kind, &what, hash, &program);
            let name = scenario.name.replace('/', "-");
            (capsule, PathBuf::from(format!("target/{name}-{seed}.min.json")))
        }
    };
    let path = arguments.out.clone().unwrap_or(path);
    let runtime = runtime()?;
    let mut worker = Worker::new(std::env::current_exe()?, LIMIT);
    let mut run = |plan: &Plan| {
        let job = Job {
            scenario: capsule.scenario.clone(),
            seed: capsule.seed,
            plan: Some(plan.clone()),
            is_checked: capsule.is_checked(plan),
            twice: false,
        };
        runtime.block_on(worker.run(&job))
    };
    let fails = |record: &Record| record.fingerprints.contains(&capsule.fingerprint);
    let first = run(&capsule.plan)?;
    if !fails(&first) {
        let how = match first.fingerprints.first() {
            Some(other) => format!("it fails in another way: {other}"),
            None => "it passes".to_owned(),
        };
        writeln!(out, "nothing to shrink: {how}, and not as it did: {}", capsule.fingerprint)?;
        return Ok(ExitCode::FAILURE);
    }
    let mut bar = Bar::new(None, Some(arguments.within));
    let (mut smallest, mut failure) = (first.clone(), None);
    let plan = shrink::shrink(capsule.plan.clone(), |plan, Progress { elements, .. }| {
        if bar.elapsed() > arguments.within {
            return None;
        }
        match run(plan) {
            Ok(record) => {
                let is_same = fails(&record);
                if is_same {
                    smallest = record;
                }
                bar.tried(elements);
                Some(is_same)
            }
            Err(error) => {
                failure = Some(error);
                None
            }
        }
    });
    let tried = bar.runs;
    let elapsed = bar.finish();
    if let Some(error) = failure {
        return Err(error);
    }
    let smaller = Capsule {
        about: format!("{}, shrunk: {}", capsule.scenario, smallest.violations[0]),
        trace_hash: smallest.trace_hash.clone(),
        revision: program.revision,
        program: program.hash,
        plan,
        ..capsule.clone()
    };
    smaller.save(&path)?;
    print_sizes(out, [&capsule, &smaller], [&first, &smallest])?;
    writeln!(out, "tried {tried} plans in {:.1} s", elapsed.as_secs_f64())?;
    writeln!(out, "    {COMMAND} replay {}", path.display())?;
    if arguments.as_test {
        write!(out, "\n{}", as_test(&smaller, &path))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_sizes(
    out: &mut impl Write,
    capsules: [&Capsule; 2],
    records: [&Record; 2],
) -> io::Result<()> {
    let row =
        |what: &str, [before, after]: [u64; 2]| format!("{what:<16}  {before:>9}  {after:>9}");
    let plans = capsules.map(|capsule| &capsule.plan);
    writeln!(out, "{:<16}  {:>9}  {:>9}", "", "before", "after")?;
    let others = |plan: &Plan| plan.faults.len() + plan.fault_points.len();
    let clients = plans.map(|plan| (elements::all(plan).len() - others(plan)) as u64);
    writeln!(out, "{}", row("clients", clients))?;
    writeln!(out, "{}", row("faults", plans.map(|plan| plan.faults.len() as u64)))?;
    writeln!(out, "{}", row("fault points", plans.map(|plan| plan.fault_points.len() as u64)))?;
    writeln!(out, "{}", row("events", records.map(|record| record.events)))?;
    writeln!(out, "{}", row("virtual time, ms", records.map(|record| record.virtual_ms)))?;
    writeln!(
        out,
        "{}",
        row("file, bytes", capsules.map(|capsule| capsule.to_string().len() as u64))
    )
}

/// A test that runs `capsule`, which is in the file at `path`.
fn as_test(capsule: &Capsule, path: &Path) -> String {
    let name: String = capsule.fingerprint.file_stem().replace('-', "_");
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "// Put {file} into scenarios/regressions.
#[test]
fn {name}() {{
    let capsule = Capsule::parse(include_str!(\"../regressions/{file}\")).expect(\"it is a capsule\");
    assert_eq!(capsule.run(&Watch::default()).violations, []);
}}
"
    )
}
