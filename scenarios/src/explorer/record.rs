//! What a run of a sweep came to, as a line of JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    fingerprint::Fingerprint,
    oracles::{self, Violation},
    plan::Plan,
    run::Outcome,
    situations,
};

/// Violations that are told in words; of a run that goes wrong once there may be thousands.
const VIOLATIONS_MAX: usize = 10;

/// A run to be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Name of the scenario.
    pub scenario: String,
    /// The world's seed.
    pub seed: u64,
    /// What to carry out instead of what the scenario makes of the seed.
    pub plan: Option<Plan>,
    /// Whether the scenario's check judges such a plan.
    pub is_checked: bool,
    /// Whether to run it twice and to compare the hashes (O26).
    pub twice: bool,
}

impl Job {
    /// What the scenario called `scenario` makes of `seed`, run once.
    pub fn of_seed(scenario: &str, seed: u64) -> Self {
        Self { scenario: scenario.to_owned(), seed, plan: None, is_checked: true, twice: false }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Nothing was wrong.
    Passed,
    /// An oracle, the scenario's check or a panic says what was wrong.
    Failed,
    /// It took more real time than it may, and was killed.
    OutOfTime,
    /// Its process died.
    Died,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Name of the scenario.
    pub scenario: String,
    /// The world's seed.
    pub seed: u64,
    /// How it ended.
    pub end: End,
    /// Kinds of its failures, the first one first; each once.
    pub fingerprints: Vec<Fingerprint>,
    /// What was wrong, in words: the first ones.
    pub violations: Vec<String>,
    /// How many more there were.
    pub more_violations: u64,
    /// Virtual time that passed, in milliseconds.
    pub virtual_ms: u64,
    /// Real time that it took, in microseconds.
    pub wall_us: u64,
    /// Messages that subscribers received.
    pub frames: u64,
    /// Events of its trace.
    pub events: u64,
    /// Hash of its trace, in 16 hexadecimal digits.
    pub trace_hash: Option<String>,
    /// Whether it was run twice.
    pub twice: bool,
    /// Names of the [situations](situations::all) that it met.
    pub situations: Vec<String>,
}

impl Record {
    /// That of a run which came to its end; `again` is what the second one came to, if there was one.
    pub fn of(outcome: &Outcome, again: Option<&Outcome>, wall_us: u64) -> Self {
        let mut violations: Vec<Violation> = outcome.violations.clone();
        let traces = outcome.trace.zip(again.and_then(|again| again.trace));
        violations.extend(traces.and_then(|(one, other)| oracles::repeats(one, other)));
        let mut fingerprints: Vec<Fingerprint> = Vec::new();
        for violation in &violations {
            let fingerprint = Fingerprint::of(violation);
            if !fingerprints.contains(&fingerprint) {
                fingerprints.push(fingerprint);
            }
        }
        Self {
            scenario: outcome.scenario.to_owned(),
            seed: outcome.seed,
            end: if violations.is_empty() { End::Passed } else { End::Failed },
            fingerprints,
            violations: violations.iter().take(VIOLATIONS_MAX).map(ToString::to_string).collect(),
            more_violations: violations.len().saturating_sub(VIOLATIONS_MAX) as u64,
            virtual_ms: outcome.virtual_time.as_millis() as u64,
            wall_us,
            frames: outcome.frames_delivered,
            events: outcome.trace.map_or(0, |trace| trace.events),
            trace_hash: outcome.trace.map(|trace| hex(trace.hash)),
            twice: again.is_some(),
            situations: outcome
                .evidence
                .iter()
                .flat_map(situations::met)
                .map(str::to_owned)
                .collect(),
        }
    }

    /// That of a run whose process said nothing of it.
    pub fn broken_off(job: &Job, end: End, what: &str, wall_us: u64) -> Self {
        let violation = Violation { oracle: "O8 bounded liveness", what: what.to_owned() };
        Self {
            scenario: job.scenario.clone(),
            seed: job.seed,
            end,
            fingerprints: vec![Fingerprint::of(&violation)],
            violations: vec![violation.to_string()],
            more_violations: 0,
            virtual_ms: 0,
            wall_us,
            frames: 0,
            events: 0,
            trace_hash: None,
            twice: job.twice,
            situations: Vec::new(),
        }
    }

    /// Whether anything was wrong.
    pub fn is_failure(&self) -> bool {
        self.end != End::Passed
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::OutOfTime => "out of time",
            Self::Died => "died",
        })
    }
}

/// A hash as files have it.
pub fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}
