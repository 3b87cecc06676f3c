//! Processes that carry out runs: a job on a line of standard input, a record on a line of standard output.
//!
//! Real time, processes and signals are to be had here: nothing of it is in a world.

use std::{
    io::{self, BufRead, Write},
    process::Stdio,
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
    /// One whose jobs may take `limit` of real time each.
    pub fn new(limit: Duration) -> Self {
        Self { limit, process: None }
    }

    /// Has a job carried out. A process that dies or takes too long is a record, too.
    ///
    /// # Errors
    /// No process can be started.
    pub async fn run(&mut self, job: &Job) -> io::Result<Record> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => Process::start()?,
        };
        let start = Instant::now();
        let answer = timeout(self.limit, process.ask(job)).await;
        let wall_us = start.elapsed().as_micros() as u64;
        let (end, what) = match answer {
            Ok(Some(record)) => {
                self.process = Some(process);
                return Ok(record);
            }
            Ok(None) => {
                let status = process.child.wait().await?;
                (End::Died, format!("the run's process died: {status}"))
            }
            Err(_) => {
                process.child.kill().await?;
                (End::OutOfTime, format!("the run took more than {:?} of real time", self.limit))
            }
        };
        Ok(Record::broken_off(job, end, &what, wall_us))
    }
}

impl Process {
    fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
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

    /// `None` when the process does not answer any more.
    async fn ask(&mut self, job: &Job) -> Option<Record> {
        let mut line = serde_json::to_vec(job).expect("a job is JSON");
        line.push(b'\n');
        self.input.write_all(&line).await.ok()?;
        self.input.flush().await.ok()?;
        let answer = self.output.next_line().await.ok()??;
        serde_json::from_str(&answer).ok()
    }
}
