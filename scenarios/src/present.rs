//! `rehearse report`: a sweep, or one run, as a page to look at.

#![allow(clippy::disallowed_methods, reason = "outside of any world: it writes a file")]

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use rehearsal_scenarios::{
    report::{self, Subject},
    seed,
};

use crate::replay::Replayed;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo rehearse report target/sweep                     what a sweep has found
  cargo rehearse report target/sweep/capsules/C.json     the run of a capsule
  cargo rehearse report live/republish --seed 7          the run of a scenario

Exit codes: 0 the page was written, 1 it could not be, 2 wrong usage.")]
pub struct ReportArguments {
    /// Folder of a sweep, file of a capsule, or name of a scenario
    what: String,
    /// Number or git commit id, for a scenario; 1 without it
    #[arg(long, value_parser = seed::parse)]
    seed: Option<u64>,
    /// File for the page; without it report.html in the folder, the capsule's name with .html, or target/report.html
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What a page is made of.
pub enum Presented {
    Sweep(PathBuf),
    Run(Box<Subject>, PathBuf),
}

impl Presented {
    /// # Errors
    /// There is no such folder, capsule or scenario, or a seed for what has its own.
    pub fn find(arguments: &ReportArguments) -> Result<Self, String> {
        let ReportArguments { what, seed, .. } = arguments;
        let path = Path::new(what);
        if path.is_dir() {
            return match seed {
                Some(_) => Err(format!("{what} is a sweep of many seeds; leave --seed away")),
                None => Ok(Self::Sweep(path.to_owned())),
            };
        }
        Ok(match Replayed::find(what, *seed)? {
            Replayed::Scenario(scenario, seed) => {
                let subject = Subject::of_scenario(scenario, seed);
                Self::Run(Box::new(subject), Path::new("target").join("report.html"))
            }
            Replayed::Capsule(capsule) => {
                let subject = Subject::of_capsule(&capsule);
                Self::Run(Box::new(subject), path.with_extension("html"))
            }
        })
    }
}

/// Writes the page and tells where it is.
///
/// # Errors
/// Those of the file system, of `out`, and a folder that no sweep has left.
pub fn present(
    out: &mut impl Write,
    presented: &Presented,
    arguments: &ReportArguments,
) -> io::Result<ExitCode> {
    let (page, path) = match presented {
        Presented::Sweep(folder) => (report::sweep_page(folder)?, folder.join("report.html")),
        Presented::Run(subject, path) => (report::run_page(subject)?, path.clone()),
    };
    let path = arguments.out.clone().unwrap_or(path);
    let in_file = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
    };
    fs::write(&path, &page).map_err(in_file)?;
    writeln!(out, "{} ({} kB), for any browser", path.display(), page.len().div_ceil(1_000))?;
    Ok(ExitCode::SUCCESS)
}
