//! A started program: its output line by line as it comes, its end, and its certain death on drop.

// Real processes are what this is about, and their output is read by real threads.
#![allow(clippy::disallowed_methods)]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long anything is waited for that has no deadline of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Default)]
struct Content {
    lines: Vec<String>,
    is_over: bool,
}

/// Lines of a pipe, filled by a thread that reads it to its end.
#[derive(Clone, Default)]
pub(crate) struct Lines {
    shared: Arc<(Mutex<Content>, Condvar)>,
}

impl Lines {
    fn reading(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let filled = lines.clone();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                filled.content().lines.push(text);
                filled.shared.1.notify_all();
                line.clear();
            }
            filled.content().is_over = true;
            filled.shared.1.notify_all();
        });
        lines
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // A test that fails while it looks at the lines leaves them as they are.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines so far.
    pub(crate) fn so_far(&self) -> Vec<String> {
        self.content().lines.clone()
    }

    /// Waits until `look` finds something in the lines, or the pipe is at its end, or the deadline has passed:
    /// then there is nothing to be found.
    fn wait_for<T>(
        &self,
        deadline: Instant,
        mut look: impl FnMut(&Content) -> Option<T>,
    ) -> Option<T> {
        let mut content = self.content();
        loop {
            if let Some(found) = look(&content) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if content.is_over || left.is_zero() {
                return None;
            }
            content = self
                .shared
                .1
                .wait_timeout(content, left)
                .expect("the thread that reads does not panic")
                .0;
        }
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

/// A running program.
pub(crate) struct Process {
    what: String,
    child: Child,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Process {
    /// Starts `command`; `what` names it when a test fails.
    pub(crate) fn start(what: impl Into<String>, command: &mut Command) -> Self {
        let what = what.into();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{what} cannot be started: {error}"));
        let stdout = Lines::reading(child.stdout.take().expect("it is piped"));
        let stderr = Lines::reading(child.stderr.take().expect("it is piped"));
        Self { what, child, stdout, stderr }
    }

    /// Waits until `look` finds something in the lines of `output`, one of this process.
    pub(crate) fn wait_for_line<T>(
        &self,
        output: &Lines,
        sought: &str,
        mut look: impl FnMut(&[String]) -> Option<T>,
    ) -> T {
        let found =
            output.wait_for(Instant::now() + PATIENCE, |content| look(content.lines.as_slice()));
        found.unwrap_or_else(|| panic!("{}: no {sought}; {}", self.what, self.said()))
    }

    /// Waits for the end, `within` at most.
    pub(crate) fn wait(&mut self, within: Duration) -> Ended {
        let deadline = Instant::now() + within;
        // A process closes its pipes by ending, so their end is its end.
        for output in [&self.stdout, &self.stderr] {
            let over = output.wait_for(deadline, |content| content.is_over.then_some(()));
            assert!(over.is_some(), "{} has not ended in {within:?}; {}", self.what, self.said());
        }
        let status = self.child.wait().expect("a child can be waited for");
        Ended { code: status.code(), stdout: self.stdout.so_far(), stderr: self.stderr.so_far() }
    }

    /// Waits for an end with exit code 0 and gives the output.
    pub(crate) fn wait_success(&mut self) -> Ended {
        let ended = self.wait(PATIENCE);
        assert_eq!(ended.code, Some(0), "{}; {}", self.what, self.said());
        ended
    }

    /// Ends it as abruptly as the system can.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.wait(PATIENCE);
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it the signal that kill(1) knows by `name`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{}: no SIG{name} was sent", self.what);
    }

    fn said(&self) -> String {
        let stdout = self.stdout.so_far();
        let last = &stdout[stdout.len().saturating_sub(5)..];
        format!("last of stdout: {last:#?}, stderr: {:#?}", self.stderr.so_far())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
