//! `rehearse sweep`, `shrink` and `merge`: the explorer's commands, for people and for CI.

#![allow(
    clippy::disallowed_methods,
    reason = "outside of any world: how long people wait, and how many cores there are"
)]

mod progress;
mod shrink;
mod sweep;

use std::{io, time::Duration};

use tokio::runtime::{Builder, Runtime};

pub use shrink::{ShrinkArguments, shrink};
pub use sweep::{MergeArguments, SweepArguments, merge, sweep};

/// Longest real time of a run.
const LIMIT: Duration = Duration::from_secs(60);

/// Reads a time such as `90s`, `10m`, `2h` or `500ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("a time is a number and ms, s, m or h, such as 90s, and not {text}");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in
            ["", "s", "10", "-1s", "1 s", "1d", "99999999999999999999s", "9999999999999999h"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
