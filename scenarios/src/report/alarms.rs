//! What oracles say, with the time they tell, where they tell one.

use serde::Serialize;

use crate::oracles::Violation;

/// A violation in a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Alarm {
    /// When, after the start of the run, in microseconds.
    pub(super) at_us: Option<u64>,
    /// Index of the lane that it is about.
    pub(super) lane: Option<usize>,
    /// What it says.
    pub(super) what: String,
}

/// Units as durations are printed, with what they are in microseconds.
const UNITS: [(&str, f64); 4] = [("ns", 0.001), ("µs", 1.0), ("ms", 1_000.0), ("s", 1_000_000.0)];

impl Alarm {
    /// That of `violation`; `lanes` are names of hosts.
    pub(super) fn of(violation: &Violation, lanes: &[String]) -> Self {
        let words = |c: char| !(c.is_alphanumeric() || c == '-' || c == '_');
        let mut names = violation.what.split(words);
        let lane = names.find_map(|name| lanes.iter().position(|lane| lane == name));
        Self { at_us: time_of(&violation.what), lane, what: violation.to_string() }
    }
}

/// The first time that `what` tells by "at", such as `at 12.5s`. Times of media are written otherwise, `at 40 ms`.
fn time_of(what: &str) -> Option<u64> {
    let after = what.match_indices("at ").filter(|(index, _)| {
        what[..*index].chars().next_back().is_none_or(|before| !before.is_alphanumeric())
    });
    after.map(|(index, at)| &what[index + at.len()..]).find_map(duration_us)
}

/// The duration that `text` begins with, as `Debug` prints it.
fn duration_us(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let (_, us) = UNITS.iter().find(|(unit, _)| {
        rest.strip_prefix(unit).is_some_and(|after| !after.starts_with(char::is_alphanumeric))
    })?;
    Some((number * us) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words_are_found_and_those_of_media_are_not() {
        for (what, expected) in [
            ("player-1: at 12.5s: a Audio of epoch 2", Some(12_500_000)),
            ("came at 304.754µs, alone at 2s", Some(304)),
            ("was told at 5.002ms that nobody publishes", Some(5_002)),
            ("the picture at 40 ms comes after a gap", None),
            ("a Keyframe at 40 ms came at 3s", Some(3_000_000)),
            ("it sat 5s there", None),
            ("at once, at 7sec, at 3.s.4", Some(3_000_000)),
            ("panicked at core/src/a.rs:12:5: x", None),
            ("", None),
        ] {
            assert_eq!(time_of(what), expected, "{what}");
        }
    }

    #[test]
    fn an_alarm_is_on_the_lane_of_the_first_host_that_it_names() {
        let lanes = ["gateway", "player-1", "player-10"].map(str::to_owned);
        let lane = |what: &str| {
            let violation = Violation { oracle: "O1 epoch isolation", what: what.to_owned() };
            Alarm::of(&violation, &lanes).lane
        };
        assert_eq!(lane("player-10: at 1s"), Some(2));
        assert_eq!(lane("6 tasks at the gateway, and player-1"), Some(0));
        assert_eq!(lane("nobody"), None);
    }
}
