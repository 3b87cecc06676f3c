//! The gateway's own log in virtual time, and the real time a run takes.

use std::time::Duration;

use rehearsal_sim::virtual_time;
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

/// Measures what a run costs; nothing of a run depends on it.
pub struct Stopwatch(std::time::Instant);

#[allow(clippy::disallowed_methods, reason = "outside of the simulation, for people")]
impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Real time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Prints the log of the runs to come on standard error.
pub fn print_with_virtual_time() {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_timer(VirtualTime)
        .init();
}

struct VirtualTime;

impl FormatTime for VirtualTime {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        match virtual_time() {
            Some(now) => write!(w, "{:>4}.{:06}", now.as_secs(), now.subsec_micros()),
            None => write!(w, "          -"),
        }
    }
}
