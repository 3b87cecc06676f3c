//! Runs of every light scenario with the first seeds, made once for all tests that look at them.

#![allow(
    clippy::disallowed_methods,
    reason = "two runs go on at a time, each in a thread of its own"
)]

use std::{ops::RangeInclusive, sync::OnceLock, thread};

use rehearsal_scenarios::{
    catalogue::{Scenario, light},
    oracles::{self, Violation},
    run,
};

/// The seeds that there are runs with.
pub const SEEDS: RangeInclusive<u64> = 1..=5;
const COUNT: usize = 5;
/// Runs that go on at a time.
const THREADS: usize = 2;

/// What is kept of a run.
pub struct Ran {
    pub scenario: &'static Scenario,
    pub violations: Vec<Violation>,
    pub trace_hash: u64,
    /// The text of its golden file.
    pub golden: String,
    /// The most that the gateway held, and what it may; nothing of a run that did not come to its end.
    pub held_of_bytes: Option<(i64, i64)>,
}

impl Ran {
    fn new(scenario: &'static Scenario, seed: u64) -> Self {
        let outcome = run::run(scenario, seed);
        let evidence = outcome.evidence.as_ref();
        let host = evidence.and_then(|evidence| Some((evidence, evidence.host.as_ref()?)));
        Self {
            scenario,
            trace_hash: outcome.trace_hash(),
            golden: outcome.golden(),
            held_of_bytes: host.map(|(evidence, host)| {
                (host.heap_bytes_max, oracles::bytes_max(&evidence.plan) as i64)
            }),
            violations: outcome.violations,
        }
    }
}

/// Every light scenario with `seed`, one of [`SEEDS`].
pub fn with_seed(seed: u64) -> &'static [Ran] {
    static RUNS: [OnceLock<Vec<Ran>>; COUNT] = [const { OnceLock::new() }; COUNT];
    let of_thread = |first: usize| {
        move || -> Vec<Ran> {
            light().skip(first).step_by(THREADS).map(|scenario| Ran::new(scenario, seed)).collect()
        }
    };
    RUNS[(seed - SEEDS.start()) as usize].get_or_init(|| {
        thread::scope(|scope| {
            let running: [_; THREADS] = std::array::from_fn(|first| scope.spawn(of_thread(first)));
            running.into_iter().flat_map(|thread| thread.join().expect("runs end")).collect()
        })
    })
}
