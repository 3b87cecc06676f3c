//! A capsule: a failing run as one file, from which anybody can run it again.
//!
//! It has the plan itself, not only the seed that made it: a scenario that changes makes other plans of the same seed.

use std::{fmt, fs, io, path::Path};

use rehearsal_sim::trace::Trace;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    catalogue::{self, Scenario},
    explorer::program::Program,
    fingerprint::Fingerprint,
    oracles,
    plan::Plan,
    run::{self, Outcome, Watch},
    situations,
};

/// The version of the format.
pub const SCHEMA: u32 = 1;

/// A failing run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capsule {
    /// [`SCHEMA`] when it was written.
    pub schema: u32,
    /// What it shows, in a line for people.
    pub about: String,
    /// Name of the scenario.
    pub scenario: String,
    /// The world's seed.
    pub seed: u64,
    /// Kind of the failure, which a smaller run must have, too.
    pub fingerprint: Fingerprint,
    /// The trace's hash, in 16 hexadecimal digits; nothing when the world broke with the run.
    pub trace_hash: Option<String>,
    /// The git commit of the program that found it, with a `+` when there were changes; nothing when nobody knows.
    pub revision: Option<String>,
    /// Hash of that program, in 16 hexadecimal digits: the same code gives the same trace hash.
    pub program: String,
    /// Everything that the run does.
    pub plan: Plan,
}

/// Why a file is no capsule that can be run.
#[derive(Debug, Error)]
#[error("cannot use the capsule {file}: {problem}")]
pub struct CapsuleError {
    /// The file.
    pub file: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Capsule {
    /// That of a run of what `scenario` makes of `seed`, which `program` saw fail; `what` was wrong, first of all.
    pub fn of_seed(
        scenario: &Scenario,
        seed: u64,
        fingerprint: Fingerprint,
        what: &str,
        trace_hash: Option<String>,
        program: &Program,
    ) -> Self {
        Self {
            schema: SCHEMA,
            about: format!("{} with seed {seed}: {what}", scenario.name),
            scenario: scenario.name.to_owned(),
            seed,
            fingerprint,
            trace_hash,
            revision: program.revision.clone(),
            program: program.hash.clone(),
            plan: (scenario.plan)(seed),
        }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, is no capsule, is of another version, or is of a scenario or a fault point that there is not.
    #[allow(clippy::disallowed_methods, reason = "outside of any world")]
    pub fn load(path: &Path) -> Result<Self, CapsuleError> {
        let wrong = |problem: String| CapsuleError { file: path.display().to_string(), problem };
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).map_err(wrong)
    }

    /// Reads a capsule's text.
    ///
    /// # Errors
    /// As those of [`Capsule::load`]: what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let Version { schema } =
            serde_json::from_str(text).map_err(|error| format!("it is no capsule: {error}"))?;
        if schema != SCHEMA {
            return Err(format!(
                "it is of version {schema}, and this program knows {SCHEMA}; find the defect again with a sweep"
            ));
        }
        let capsule: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        capsule.find_scenario()?;
        situations::has_points_of(&capsule.plan)?;
        Ok(capsule)
    }

    /// Writes it to `path`.
    ///
    /// # Errors
    /// Those of the file system.
    #[allow(clippy::disallowed_methods, reason = "outside of any world")]
    pub fn save(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.to_string())
    }

    /// # Errors
    /// No scenario has this name.
    fn find_scenario(&self) -> Result<&'static Scenario, String> {
        catalogue::find(&self.scenario).ok_or_else(|| {
            format!(
                "no scenario is called {}; `cargo rehearse list` shows what there is",
                self.scenario
            )
        })
    }

    /// The scenario.
    ///
    /// # Panics
    /// When there is none of its name, which no capsule has that was read.
    pub fn scenario(&self) -> &'static Scenario {
        self.find_scenario().expect("a capsule is of a scenario")
    }

    /// Whether the scenario's check judges `plan` in its place, beside the oracles: a plan that was made smaller is not what that
    /// was written for, unless it is what fails.
    pub fn is_checked(&self, plan: &Plan) -> bool {
        let scenario = self.scenario();
        self.fingerprint.oracle == oracles::OF_SCENARIO || *plan == (scenario.plan)(self.seed)
    }

    /// Runs it again.
    ///
    /// # Panics
    /// As [`Capsule::scenario`].
    pub fn run(&self, watch: &Watch) -> Outcome {
        let is_checked = self.is_checked(&self.plan);
        run::run_plan(self.scenario(), self.seed, &self.plan, is_checked, watch)
    }

    /// Runs it again for its trace.
    ///
    /// # Panics
    /// As [`run::trace_of`].
    pub fn trace(&self, watch: &Watch) -> Trace {
        run::trace_of(self.seed, self.plan.clone(), watch)
    }
}

impl fmt::Display for Capsule {
    /// Its text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?;
        writeln!(f, "{text}")
    }
}
