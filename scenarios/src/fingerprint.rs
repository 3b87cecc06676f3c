//! What kind of failure a run is: the first violation without what differs from run to run.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::oracles::Violation;

/// Characters of a message that tell its kind; lists that follow differ in length.
const CHARS_MAX: usize = 120;
/// Units of durations as they are printed, longest first.
const UNITS: [&str; 4] = ["ns", "µs", "ms", "s"];

/// Kind of a failure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// The oracle that says so.
    pub oracle: String,
    /// What it says, each number replaced by `#`: a panic by its place and message, too.
    pub what: String,
}

impl Fingerprint {
    /// That of a violation.
    pub fn of(violation: &Violation) -> Self {
        Self { oracle: violation.oracle.to_owned(), what: normalised(&violation.what) }
    }

    /// Whether one of `violations` is of this kind.
    pub fn is_among(&self, violations: &[Violation]) -> bool {
        violations.iter().any(|violation| Self::of(violation) == *self)
    }

    /// A name for files: letters, digits and dashes, unlike those of other kinds.
    pub fn file_stem(&self) -> String {
        let text = self.to_string();
        let is_word = |c: char| c.is_ascii_alphanumeric();
        let words = text.split(|c| !is_word(c)).filter(|word| !word.is_empty());
        let mut stem = String::new();
        for word in words.take(6) {
            if !stem.is_empty() {
                stem.push('-');
            }
            stem.push_str(&word.to_lowercase());
        }
        let hash = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
        format!("{stem}-{:08x}", hash >> 32)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}

/// `what` with `#` for each number and its unit of time, and `*` for a host at its start: which of several meets a defect is
/// chance.
fn normalised(what: &str) -> String {
    let mut text = String::new();
    let mut rest = what;
    if let Some((_, after)) = what.split_once(": ").filter(|(host, _)| !host.contains(' ')) {
        text.push_str("*: ");
        rest = after;
    }
    while let Some(c) = rest.chars().next() {
        if text.chars().count() >= CHARS_MAX {
            break;
        }
        if !c.is_ascii_digit() {
            text.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        text.push('#');
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        // A unit is one only where the word ends.
        let unit = UNITS.iter().find_map(|unit| rest.strip_prefix(unit));
        if let Some(after) = unit.filter(|after| !after.starts_with(char::is_alphanumeric)) {
            rest = after;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(what: &str) -> Fingerprint {
        Fingerprint::of(&Violation { oracle: "O1 epoch isolation", what: what.to_owned() })
    }

    #[test]
    fn numbers_and_durations_make_no_difference() {
        for (one, other) in [
            ("player-1 got 12 frames", "player-23 got 7 frames"),
            ("player-1: 12 frames are missing", "viewer: 7 frames are missing"),
            ("took 304.754µs, allowed are 5s", "took 9.5s, allowed are 5.002ms"),
            ("panicked at core/src/a.rs:12:5: x", "panicked at core/src/a.rs:120:9: x"),
        ] {
            assert_eq!(of(one), of(other));
            assert_eq!(of(one).file_stem(), of(other).file_stem());
        }
        assert_eq!(of("took 304.754µs, seen by 2 sockets").what, "took #, seen by # sockets");
    }

    #[test]
    fn words_make_a_difference_also_beyond_the_name_of_the_file() {
        let [one, other] = ["a b c d e f g h i", "a b c d e f g h j"].map(of);
        assert_ne!(one, other);
        assert_ne!(one.file_stem(), other.file_stem());
        let violations = [Violation { oracle: "O1 epoch isolation", what: "a b".to_owned() }];
        assert!(of("a b").is_among(&violations) && !of("a c").is_among(&violations));
    }

    #[test]
    fn a_list_that_goes_on_is_cut() {
        let long = |count: usize| of(&"item, ".repeat(count));
        assert_eq!(long(100), long(200));
    }
}
