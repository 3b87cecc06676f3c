//! A sweep: scenarios with one seed after the other, on several processes at a time, until there are enough or time is over.

use std::{
    io,
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    record::{Job, Record},
    worker::Worker,
};
use crate::catalogue::Scenario;

/// One run in so many is run twice.
const TWICE_EVERY: u64 = 20;

/// What is swept.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The scenarios; all of them with a seed before the next seed.
    pub scenarios: Vec<&'static Scenario>,
    /// The first seed; the others follow it.
    pub first_seed: u64,
    /// Seeds of each scenario; without them it goes on until time is over.
    pub seeds: Option<u64>,
    /// Real time after which no run is begun.
    pub within: Option<Duration>,
    /// Processes.
    pub jobs: usize,
    /// Which part of the runs.
    pub shard: Shard,
    /// What its processes run, as [`Worker::new`] has it.
    pub program: PathBuf,
    /// Longest real time of a run.
    pub limit: Duration,
}

/// Part `index` of `count`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1 to `count`.
    pub index: u64,
    /// How many parts there are.
    pub count: u64,
}

impl Shard {
    /// Everything.
    pub const ALL: Self = Self { index: 1, count: 1 };

    fn has(self, run: u64) -> bool {
        run % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, count)| {
            Some(Self { index: index.parse().ok()?, count: count.parse().ok()? })
        });
        let is_one = |shard: &Self| (1..=shard.count).contains(&shard.index);
        parts
            .filter(is_one)
            .ok_or_else(|| format!("a shard is I/N with I from 1 to N, and not {text}"))
    }
}

impl Sweep {
    /// How many runs there will be, if that is known.
    pub fn runs(&self) -> Option<u64> {
        let all = self.seeds?.saturating_mul(self.scenarios.len() as u64);
        let Shard { index, count } = self.shard;
        Some((all + count - index) / count)
    }

    fn into_jobs(self) -> impl Iterator<Item = Job> + Send {
        let Self { scenarios, first_seed, seeds, shard, .. } = self;
        let seeds = (0..seeds.unwrap_or(u64::MAX)).map(move |index| first_seed.wrapping_add(index));
        let runs = seeds.flat_map(move |seed| {
            scenarios.clone().into_iter().map(move |scenario| (scenario, seed))
        });
        let mine = (0_u64..).zip(runs).filter(move |(run, _)| shard.has(*run));
        mine.map(|(_, (scenario, seed))| Job {
            twice: xxh3_64_with_seed(scenario.name.as_bytes(), seed).is_multiple_of(TWICE_EVERY),
            ..Job::of_seed(scenario.name, seed)
        })
    }

    /// Sweeps, and tells `on_record` of each run as it ends. Once `stop` is cancelled, nothing more is begun, and what goes on is
    /// given up.
    ///
    /// # Errors
    /// No process can be started, or what `on_record` says.
    pub async fn run(
        self,
        stop: CancellationToken,
        mut on_record: impl FnMut(Record) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self { jobs, limit, within, .. } = self;
        let program = self.program.clone();
        let until = within.map(|within| Instant::now() + within);
        let waiting = Arc::new(Mutex::new(self.into_jobs()));
        let (records, mut all_records) = mpsc::channel(jobs);
        for _ in 0..jobs {
            let (waiting, records, stop) = (Arc::clone(&waiting), records.clone(), stop.clone());
            let program = program.clone();
            tokio::spawn(stop.run_until_cancelled_owned(async move {
                let mut worker = Worker::new(program, limit);
                let next = || waiting.lock().expect("no panic under the lock").next();
                while until.is_none_or(|until| Instant::now() < until)
                    && let Some(job) = next()
                {
                    let record = worker.run(&job).await;
                    let is_over = record.is_err();
                    if records.send(record).await.is_err() || is_over {
                        break;
                    }
                }
            }));
        }
        drop(records);
        while let Some(record) = all_records.recv().await {
            on_record(record?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::catalogue::CATALOGUE;

    fn sweep(shard: Shard) -> Sweep {
        Sweep {
            scenarios: CATALOGUE.iter().take(3).collect(),
            first_seed: u64::MAX,
            seeds: Some(5),
            within: None,
            jobs: 1,
            shard,
            program: PathBuf::new(),
            limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn shards_share_all_runs_and_repeat_none() {
        let runs = |shard| -> Vec<_> {
            let runs: Vec<_> =
                sweep(shard).into_jobs().map(|job| (job.scenario, job.seed)).collect();
            assert_eq!(Some(runs.len() as u64), sweep(shard).runs());
            runs
        };
        let all: BTreeSet<_> = runs(Shard::ALL).into_iter().collect();
        assert_eq!(all.len(), 15);
        // Seeds go on at 0 after the last one.
        assert!(all.iter().any(|(_, seed)| *seed == 3));
        let parts: Vec<_> = (1..=4).flat_map(|index| runs(Shard { index, count: 4 })).collect();
        assert_eq!((parts.len(), parts.into_iter().collect()), (15, all));
    }

    #[test]
    fn some_runs_are_run_twice() {
        let mut sweep = sweep(Shard::ALL);
        sweep.seeds = Some(1_000);
        let twice = sweep.into_jobs().filter(|job| job.twice).count();
        assert!((100..=200).contains(&twice), "{twice} of 3,000");
    }

    #[test]
    fn a_shard_is_one_of_all() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        for text in ["0/3", "4/3", "1/0", "1", "a/b", "1/2/3", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
