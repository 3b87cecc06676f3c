//! How far a command is, on standard error.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar, where standard error is a terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    start: Instant,
    within: Option<Duration>,
    /// Runs that are over.
    pub(super) runs: u64,
}

impl Bar {
    pub(super) fn new(runs: Option<u64>, within: Option<Duration>) -> Self {
        let length = within.map_or(runs, |within| Some(within.as_millis() as u64));
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar} {msg} {eta} left");
        bar.set_style(style.expect("the template is right"));
        Self { bar, start: Instant::now(), within, runs: 0 }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Another run is over.
    pub(super) fn advance(&mut self, failed: u64) {
        self.runs += 1;
        let elapsed = self.elapsed();
        self.bar.set_position(match self.within {
            Some(_) => elapsed.as_millis() as u64,
            None => self.runs,
        });
        let rate = self.runs as f64 / elapsed.as_secs_f64().max(0.001);
        self.bar.set_message(format!("{} runs, {failed} failed, {rate:.0}/s,", self.runs));
    }

    /// Another plan was tried, with so many elements in the smallest one.
    pub(super) fn tried(&mut self, elements: usize) {
        self.runs += 1;
        self.bar.set_position(self.elapsed().as_millis() as u64);
        self.bar.set_message(format!("{} plans tried, {elements} elements,", self.runs));
    }

    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Takes it away; gives how long it was there.
    pub(super) fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.elapsed()
    }
}
