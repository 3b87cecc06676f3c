//! Processes that carry out runs: a job on a line of standard input, a record on a line of standard output.
//!
//! Real time, processes and signals are to be had here: nothing of it is in a world.

use std::{
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::record::{End, Job, Record};
use crate::{
    catalogue,
    run::{self, Outcome, Watch},
};

/// The hidden command of the program that [`serve`]s.
pub const COMMAND: &str = "worker";

/// Carries out the jobs of standard input until there are no more.
///
/// # Errors
/// One is not read or written, or is no job.
pub fn serve() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?).map_err(io::Error::other)?;
        let start = Instant::now();
        let outcome = carry_out(&job)?;
        let again = if job.twice { Some(carry_out(&job)?) } else { None };
        let wall_us = start.elapsed().as_micros() as u64 / if job.twice { 2 } else { 1 };
        let record = Record::of(&outcome, again.as_ref(), wall_us);
        serde_json::to_writer(&mut out, &record).map_err(io::Error::other)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

fn carry_out(job: &Job) -> io::Result<Outcome> {
    let scenario = catalogue::find(&job.scenario)
        .ok_or_else(|| io::Error::other(format!("no scenario is called {}", job.scenario)))?;
    Ok(match &job.plan {
        Some(plan) => run::run_plan(scenario, job.seed, plan, job.is_checked, &Watch::default()),
        None => run::run(scenario, job.seed),
    })
}

/// A process that serves, started anew when it has died.
pub struct Worker {
    program: PathBuf,
    /// Longest real time of a job.
    limit: Duration,
    process: Option<Process>,
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// A process of `program`, which [`serve`]s when it is given [`COMMAND`]; its jobs may take `limit` of real time each.
    pub fn new(program: PathBuf, limit: Duration) -> Self {
        Self { program, limit, process: None }
    }

    /// Has a job carried out. A process that dies or takes too long is a record, too.
    ///
    /// # Errors
    /// No process can be started.
    pub async fn run(&mut self, job: &Job) -> io::Result<Record> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => Process::start(&self.program)?,
        };
        let start = Instant::now();
        let answer = timeout(self.limit, process.ask(job)).await;
        let wall_us = start.elapsed().as_micros() as u64;
        let (end, what) = match answer {
            Ok(Ok(record)) => {
                self.process = Some(process);
                return Ok(record);
            }
            Ok(Err(status)) => (End::Died, format!("the run's process died: {}", status?)),
            Err(_) => {
                process.child.kill().await?;
                (End::OutOfTime, format!("the run took more than {:?} of real time", self.limit))
            }
        };
        Ok(Record::broken_off(job, end, &what, wall_us))
    }
}

impl Process {
    fn start(program: &Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What panics say is in the record.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            // Ctrl-C is for who gives the jobs.
            .process_group(0)
            .spawn()?;
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Ok(Self { child, input, output })
    }

    /// How the process has ended, if it does not answer any more.
    async fn ask(&mut self, job: &Job) -> Result<Record, io::Result<ExitStatus>> {
        match self.answer(job).await {
            Some(record) => Ok(record),
            None => Err(self.child.wait().await),
        }
    }

    /// The next record that it writes. Lines that are none are what somebody has had the run print.
    async fn answer(&mut self, job: &Job) -> Option<Record> {
        let mut line = serde_json::to_vec(job).expect("a job is JSON");
        line.push(b'\n');
        self.input.write_all(&line).await.ok()?;
        self.input.flush().await.ok()?;
        loop {
            let line = self.output.next_line().await.ok()??;
            if let Ok(record) = serde_json::from_str(&line) {
                return Some(record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::PermissionsExt,
        sync::{Mutex, PoisonError},
    };

    use tokio::runtime::Builder;

    use super::*;

    /// A program cannot be started while another test's process, which is being started, has it open to be written.
    static STARTS: Mutex<()> = Mutex::new(());

    /// Has two jobs carried out, one after the other, by a program whose text for `sh` is `does`.
    fn done_by(name: &str, does: &str) -> [Record; 2] {
        let _alone = STARTS.lock().unwrap_or_else(PoisonError::into_inner);
        let program =
            std::env::temp_dir().join(format!("rehearse-worker-{name}-{}", std::process::id()));
        fs::write(&program, format!("#!/bin/sh\n{does}\n")).expect("the folder takes it");
        let can_run = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&program, can_run).expect("the file is ours");
        let mut worker = Worker::new(program.clone(), Duration::from_secs(2));
        let runtime = Builder::new_current_thread().enable_all().build().expect("it starts");
        let records = [1, 2].map(|seed| {
            let job = Job::of_seed("live/republish", seed);
            runtime.block_on(worker.run(&job)).expect("a process starts")
        });
        fs::remove_file(program).expect("the file is ours");
        records
    }

    /// A record as a process writes it.
    fn line() -> String {
        let job = Job::of_seed("live/republish", 7);
        let record = Record { end: End::Passed, ..Record::broken_off(&job, End::Passed, "", 0) };
        serde_json::to_string(&record).expect("a record is JSON")
    }

    #[test]
    fn what_somebody_prints_in_a_run_is_no_record() {
        let line = line();
        let does = format!("while read job; do echo 'a print'; echo '{{}}'; echo '{line}'; done");
        for record in done_by("prints", &does) {
            assert_eq!((record.end, record.seed), (End::Passed, 7));
        }
    }

    #[test]
    fn a_process_that_dies_costs_its_job_and_another_one_takes_the_next() {
        for record in done_by("dies", "read job; kill -ABRT $$") {
            assert_eq!(record.end, End::Died);
            assert!(
                record.violations[0].contains("the run's process died: signal: 6"),
                "{record:?}"
            );
        }
    }

    #[test]
    fn a_process_that_neither_answers_nor_ends_is_killed_when_its_time_is_over() {
        for record in done_by("hangs", "exec 1>&-; exec sleep 600") {
            assert_eq!(record.end, End::OutOfTime);
            assert!(record.violations[0].contains("more than 2s of real time"), "{record:?}");
        }
    }
}
