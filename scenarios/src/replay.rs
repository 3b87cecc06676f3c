//! `rehearse replay`: one run again, of a scenario or of a capsule, with what its clients saw.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use rehearsal_scenarios::{
    capsule::Capsule,
    catalogue::{self, Scenario},
    explorer::{program::Program, record::hex},
    run::{self, Net, Outcome, Watch},
};
use rehearsal_sim::trace::divergence;

use crate::{
    capture::{self, Pcap},
    log, not_found,
};

/// What is run again.
pub enum Replayed {
    /// What a scenario makes of a seed.
    Scenario(&'static Scenario, u64),
    /// What failed once.
    Capsule(Box<Capsule>),
}

impl Replayed {
    /// The capsule in the file called `name`, or the scenario of that name with `seed` or 1.
    ///
    /// # Errors
    /// There is neither, or a seed for a capsule.
    pub fn find(name: &str, seed: Option<u64>) -> Result<Self, String> {
        if let Some(scenario) = catalogue::find(name) {
            return Ok(Self::Scenario(scenario, seed.unwrap_or(1)));
        }
        let path = Path::new(name);
        // Scenarios' names have no dot.
        if path.extension().is_none() {
            return Err(not_found(name));
        }
        match (Capsule::load(path), seed) {
            (Ok(_), Some(_)) => Err(format!("{name} has its own seed; leave --seed away")),
            (Ok(capsule), None) => Ok(Self::Capsule(Box::new(capsule))),
            (Err(error), _) => Err(error.to_string()),
        }
    }

    /// What judges it.
    pub fn scenario(&self) -> &'static Scenario {
        match self {
            Self::Scenario(scenario, _) => scenario,
            Self::Capsule(capsule) => capsule.scenario(),
        }
    }

    /// The world's seed.
    pub fn seed(&self) -> u64 {
        match self {
            Self::Scenario(_, seed) => *seed,
            Self::Capsule(capsule) => capsule.seed,
        }
    }

    fn run(&self, watch: &Watch) -> Outcome {
        match self {
            Self::Scenario(scenario, seed) => run::run_on(Net::Fabric, scenario, *seed, watch),
            Self::Capsule(capsule) => capsule.run(watch),
        }
    }
}

/// Runs it and prints everything that may be of interest.
///
/// # Errors
/// `out` takes no more.
pub fn replay(
    out: &mut impl Write,
    replayed: &Replayed,
    log: bool,
    pcap: Option<Pcap>,
    netstat_at_ms: Option<u64>,
) -> io::Result<ExitCode> {
    if log {
        log::print_with_virtual_time();
    }
    let watch = Watch {
        capture_at: pcap.as_ref().map(Pcap::host),
        netstat_at: netstat_at_ms.map(Duration::from_millis),
        ..Watch::default()
    };
    let mut outcome = replayed.run(&watch);
    write!(out, "{}", outcome.golden())?;
    if let Some(at_ms) = netstat_at_ms {
        print_netstat(out, at_ms, &outcome)?;
    }
    let is_written = capture::write(pcap, outcome.capture.take());
    match outcome.trace {
        Some(trace) => {
            writeln!(out, "\ntrace hash {:016x} over {} events", trace.hash, trace.events)?;
        }
        // A panic inside the simulation leaves nothing that could be trusted.
        None => writeln!(out, "\nno trace: the world broke with the run")?,
    }
    let has_passed = match replayed {
        Replayed::Scenario(..) => verdict(out, &outcome)?,
        Replayed::Capsule(capsule) => capsule_verdict(out, capsule, &outcome)?,
    };
    Ok(if has_passed && is_written { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(out: &mut impl Write, outcome: &Outcome) -> io::Result<bool> {
    match outcome.violations.len() {
        0 => writeln!(out, "pass")?,
        count => writeln!(out, "FAIL: {count} violations")?,
    }
    Ok(outcome.violations.is_empty())
}

/// Compares the run with the one that the capsule was made of.
fn capsule_verdict(out: &mut impl Write, capsule: &Capsule, outcome: &Outcome) -> io::Result<bool> {
    let Capsule { fingerprint, trace_hash, .. } = capsule;
    let is_same_program = Program::current()?.hash == capsule.program;
    let is_same_run = *trace_hash == outcome.trace.map(|trace| hex(trace.hash));
    let found_by = match &capsule.revision {
        Some(revision) => format!("revision {revision}"),
        None => format!("the program {}", capsule.program),
    };
    if is_same_program && !is_same_run {
        writeln!(
            out,
            "FAIL: not deterministic: the same program made the trace {} of it",
            trace_hash.as_deref().unwrap_or("of a broken world")
        )?;
        print_divergence(out, capsule)?;
        return Ok(false);
    }
    if outcome.violations.is_empty() {
        writeln!(out, "pass: it fails no more, as it did with {found_by}: {fingerprint}")?;
        return Ok(true);
    }
    match fingerprint.is_among(&outcome.violations) {
        true if is_same_run => {
            writeln!(out, "FAIL: the same run, event for event: {fingerprint}")?;
        }
        true => writeln!(
            out,
            "FAIL: in the same way, by other events than with {found_by}: {fingerprint}"
        )?,
        false => writeln!(out, "FAIL: in another way than with {found_by}: {fingerprint}")?,
    }
    Ok(false)
}

/// Where two runs of this process part, if they do.
fn print_divergence(out: &mut impl Write, capsule: &Capsule) -> io::Result<()> {
    let run = |window| capsule.trace(&Watch { keep_events: window, ..Watch::default() });
    match divergence::between(run, run) {
        Ok(None) => writeln!(
            out,
            "two runs of this process are the same: they differ from process to process"
        ),
        Ok(Some(divergence)) => {
            write!(out, "\n{divergence}")?;
            writeln!(out, "\nthe runs part at event {}", divergence.index)
        }
        Err(unsteady) => writeln!(out, "{unsteady}"),
    }
}

fn print_netstat(out: &mut impl Write, at_ms: u64, outcome: &Outcome) -> io::Result<()> {
    let Some(hosts) = &outcome.netstat else {
        let end_ms = outcome.virtual_time.as_millis();
        return writeln!(out, "\nno sockets at {at_ms} ms: the run was over at {end_ms} ms");
    };
    for (host, netstat) in hosts {
        write!(out, "\nsockets of {host} at {at_ms} ms\n{netstat}")?;
    }
    Ok(())
}
