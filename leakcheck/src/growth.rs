//! What a series of looks at something means: whether it grows with the cycles, was added once, or rests.
//!
//! After a calibration there are phases of cycles, each twice as long as the one before, with a look after each. What is
//! made once, in whichever cycle, is missing from the later phases. What grows with the cycles is in all of them, and
//! also what keeps a buffer that doubles when it is full: a phase that doubles the number of cycles so far has
//! one such step at least.

use std::ops::Sub;

use rehearsal_heap::Amount;
use serde::{Deserialize, Serialize};

/// Phases that are measured in any case.
pub(crate) const PHASES: u32 = 2;

/// Looks at one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Series<T> {
    /// Before the first cycle.
    pub(crate) start: T,
    /// At the calibration, and after each phase.
    pub(crate) looks: Vec<T>,
}

/// What a series means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Nothing was added.
    AtRest,
    /// Something was added, but not by every phase.
    AddedOnce,
    /// The same of something that must be back where it was.
    Kept,
    /// The last phases added again and again: a leak.
    Growing,
}

/// Something that can grow.
pub(crate) trait Quantity: Copy + Sub<Output = Self> {
    /// Whether this difference is growth.
    fn is_growth(self) -> bool;
}

impl Quantity for Amount {
    fn is_growth(self) -> bool {
        self.blocks > 0 || self.bytes > 0
    }
}

impl Quantity for i64 {
    fn is_growth(self) -> bool {
        self > 0
    }
}

impl<T: Quantity> Series<T> {
    /// What each phase has added.
    fn steps(&self) -> impl DoubleEndedIterator<Item = T> {
        self.looks.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// What is there at the end.
    pub(crate) fn last(&self) -> T {
        *self.looks.last().expect("there is a calibration")
    }

    /// What the phases have added together.
    pub(crate) fn added(&self) -> T {
        self.last() - self.looks[0]
    }

    /// What all cycles have added, those before the calibration among them.
    pub(crate) fn since_start(&self) -> T {
        self.last() - self.start
    }

    /// What the last phase has added.
    pub(crate) fn last_step(&self) -> T {
        self.steps().next_back().expect("there are phases")
    }

    /// Whether the last phase has added something: then another phase has to tell what that means.
    pub(crate) fn is_open(&self) -> bool {
        self.last_step().is_growth()
    }

    /// What the series means, when no more phases follow.
    pub(crate) fn verdict(&self) -> Verdict {
        let phases = self.looks.len() as u32 - 1;
        let mut last = self.steps().rev().take(PHASES as usize);
        if phases > PHASES && last.all(Quantity::is_growth) {
            return Verdict::Growing;
        }
        match self.since_start().is_growth() || self.steps().any(Quantity::is_growth) {
            true => Verdict::AddedOnce,
            false => Verdict::AtRest,
        }
    }
}

impl Series<i64> {
    /// The same of something that every cycle gives back.
    pub(crate) fn strict_verdict(&self) -> Verdict {
        match self.verdict() {
            Verdict::AddedOnce => Verdict::Kept,
            verdict => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen of something that is `held` after so many cycles.
    fn looks(held: impl Fn(u32) -> i64) -> Series<i64> {
        // Four cycles to warm up, then 4, 8 and, if they are needed, 16.
        let mut series = Series { start: held(0), looks: [4, 8, 16].map(&held).to_vec() };
        if series.is_open() {
            series.looks.push(held(32));
        }
        series
    }

    #[test]
    fn what_each_cycle_adds_is_growing() {
        let series = looks(i64::from);
        assert_eq!(series.verdict(), Verdict::Growing);
        assert_eq!(series.strict_verdict(), Verdict::Growing);
        assert_eq!((series.last_step(), series.added(), series.last()), (16, 28, 32));
    }

    #[test]
    fn a_buffer_that_doubles_is_growing() {
        for element in [1, 3, 5, 24] {
            let series = looks(|cycles| i64::from((cycles * element).next_power_of_two()));
            assert_eq!(series.verdict(), Verdict::Growing, "{element}");
        }
    }

    #[test]
    fn what_stays_the_same_or_goes_is_at_rest() {
        assert_eq!(looks(|_| 7).strict_verdict(), Verdict::AtRest);
        assert_eq!(looks(|cycles| -i64::from(cycles)).strict_verdict(), Verdict::AtRest);
    }

    #[test]
    fn what_one_cycle_adds_is_added_once_whenever_that_is() {
        for when in [1, 5, 9, 16] {
            let series = looks(|cycles| i64::from(cycles >= when));
            assert_eq!(series.verdict(), Verdict::AddedOnce, "{when}");
            assert_eq!(series.strict_verdict(), Verdict::Kept, "{when}");
            assert_eq!(series.since_start(), 1);
        }
    }

    #[test]
    fn blocks_that_grow_without_bytes_and_bytes_without_blocks_both_count() {
        for (blocks, bytes) in [(1_i64, 0_i64), (0, 1)] {
            let at = |times| Amount { blocks: blocks * times, bytes: bytes * times };
            let series = Series { start: at(0), looks: [1, 2, 4, 8].map(at).to_vec() };
            assert_eq!(series.verdict(), Verdict::Growing);
        }
    }
}
