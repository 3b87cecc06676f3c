//! Where two runs part: the first event that differs, or the first place where only the order of
//! polls or the bytes that programs send do, with the events around it.
//!
//! Runs are long and their events are not kept. So both are run twice: the checkpoints of the first
//! time tell a window between two of them, and the second time the events of that window are kept
//! and compared one by one.

use std::{
    fmt,
    ops::{Range, RangeInclusive},
    time::Duration,
};

use super::{Kept, Trace};

/// Events that are shown on each side of the place where the runs part.
const CONTEXT_EVENTS: u64 = 8;
/// How often runs that do not repeat themselves are tried before that is the finding.
const ATTEMPTS_MAX: usize = 4;

/// What differs first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The event, its time included, or one run is over where the other has an event.
    Event,
    /// Tasks were polled in another order, after the event before this one; every event so far is
    /// the same.
    Polls,
    /// Programs sent other bytes, of the same lengths, after the event before this one; every event so
    /// far and the order of polls are the same.
    Bytes,
}

/// Where two runs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Index of the first event that differs; where only polls or bytes do, of the first event after them.
    pub index: u64,
    /// What differs first.
    pub difference: Difference,
    /// The one run's events around that place.
    pub left: Vec<Kept>,
    /// The other run's events around that place.
    pub right: Vec<Kept>,
}

/// A run that is not the same when it is repeated: something real leaks into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the runs part, but at another place each of {ATTEMPTS_MAX} times: one does not repeat itself"
)]
pub struct Unsteady;

/// Runs `left` and `right` until it is known where they part; `None` if they are the same. Each gets
/// the window of events that its trace is to keep ([`Trace::keep_window`]), empty at first.
///
/// # Errors
/// [`Unsteady`], when the place is another one each time.
pub fn between(
    mut left: impl FnMut(Range<u64>) -> Trace,
    mut right: impl FnMut(Range<u64>) -> Trace,
) -> Result<Option<Divergence>, Unsteady> {
    let mut kept = 0..0;
    for attempt in 0..ATTEMPTS_MAX {
        let (left, right) = (left(kept.clone()), right(kept.clone()));
        match parting_window(&left, &right) {
            None if attempt == 0 => return Ok(None),
            Some(window) if window == kept => return Ok(Some(locate(&left, &right, window))),
            parted => kept = parted.unwrap_or(0..0),
        }
    }
    Err(Unsteady)
}

/// Indexes of the events between the last checkpoint that the traces share and the next; `None` if
/// the traces are the same.
fn parting_window(left: &Trace, right: &Trace) -> Option<Range<u64>> {
    if (left.hash, left.events) == (right.hash, right.events) {
        return None;
    }
    let pairs = left.checkpoints.iter().zip(&right.checkpoints);
    let shared = pairs.take_while(|(left, right)| left == right).count();
    let start = shared.checked_sub(1).map_or(0, |last| left.checkpoints[last].index);
    let next = [left, right].into_iter().filter_map(|trace| trace.checkpoints.get(shared));
    let end = next.map(|checkpoint| checkpoint.index).min();
    // At least one index, so that a window is never the empty one that keeps nothing.
    let end = end.unwrap_or_else(|| left.events.max(right.events).max(start + 1));
    Some(start..end)
}

/// The first difference of two traces that have kept the events of `window` and part in it.
fn locate(left: &Trace, right: &Trace, window: Range<u64>) -> Divergence {
    let same = |(left, right): &(&Kept, &Kept)| left == right;
    let alike = left.kept.iter().zip(&right.kept).take_while(same).count();
    let index = window.start + alike as u64;
    let [left_next, right_next] = [left, right].map(|trace| trace.kept.get(alike));
    let polls_of = |trace: &Trace, next: Option<&Kept>| {
        next.map_or_else(|| trace.polls.clone(), |next| next.polls.clone())
    };
    let difference = match (left_next, right_next) {
        (Some(left), Some(right)) if is_alike(left, right) => match left.polls == right.polls {
            true => Difference::Bytes,
            false => Difference::Polls,
        },
        (None, None) if left.polls == right.polls => Difference::Bytes,
        (None, None) => Difference::Polls,
        // Where the polls of one run begin with all of the other's, the other's event came then, or
        // it was over. Otherwise the order of polls had changed before.
        _ => {
            let (left, right) = (polls_of(left, left_next), polls_of(right, right_next));
            match left.starts_with(&right) || right.starts_with(&left) {
                true => Difference::Event,
                false => Difference::Polls,
            }
        }
    };
    let shown = index.saturating_sub(CONTEXT_EVENTS)..=index + CONTEXT_EVENTS;
    let around = |trace: &Trace| -> Vec<Kept> {
        trace.kept.iter().filter(|kept| shown.contains(&kept.index)).cloned().collect()
    };
    Divergence { index, difference, left: around(left), right: around(right) }
}

impl Divergence {
    /// Virtual time of the event at which the runs part, in each run that has one.
    pub fn at(&self) -> [Option<Duration>; 2] {
        [&self.left, &self.right]
            .map(|side| find(side, self.index).map(|kept| Duration::from_nanos(kept.at_ns)))
    }

    fn indexes(&self) -> RangeInclusive<u64> {
        let all = || self.left.iter().chain(&self.right).map(|kept| kept.index);
        all().min().unwrap_or(self.index)..=all().max().unwrap_or(self.index).max(self.index)
    }
}

fn find(side: &[Kept], index: u64) -> Option<&Kept> {
    side.iter().find(|kept| kept.index == index)
}

fn write_row(f: &mut fmt::Formatter<'_>, side: char, kept: &Kept) -> fmt::Result {
    let at = Duration::from_nanos(kept.at_ns);
    let (index, secs, nanos) = (kept.index, at.as_secs(), at.subsec_nanos());
    writeln!(f, "{index:>10}  {secs:>6}.{nanos:09}  {side}  {}", kept.event)
}

/// A table: events that are the same stand once, marked `=`; others twice, the left run's marked `<`
/// and the right run's `>`.
impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>10}  {:>16}     what", "event", "virtual time")?;
        for index in self.indexes() {
            if index == self.index {
                let what = match self.difference {
                    Difference::Event => "the first event that differs",
                    Difference::Polls => {
                        "tasks were polled in another order; events so far are the same"
                    }
                    Difference::Bytes => {
                        "programs sent other bytes of the same lengths; events so far are the same"
                    }
                };
                writeln!(f, "{:>10}  {:->16}  *  {what}", "", "")?;
            }
            match [&self.left, &self.right].map(|side| find(side, index)) {
                [Some(left), Some(right)] if is_alike(left, right) => write_row(f, '=', left)?,
                [left, right] => {
                    for (side, kept) in [('<', left), ('>', right)] {
                        match kept {
                            Some(kept) => write_row(f, side, kept)?,
                            None => writeln!(f, "{index:>10}  {:>16}  {side}  (over)", "")?,
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_alike(left: &Kept, right: &Kept) -> bool {
    (left.at_ns, &left.event) == (right.at_ns, &right.event)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{CHECKPOINT_EVENTS, TraceEvent},
        *,
    };

    /// A run of `events` notes, 1 ms apart, that `change` may alter.
    fn ticks(events: u64, change: impl Fn(u64, &mut Trace)) -> impl Fn(Range<u64>) -> Trace {
        move |window| {
            let mut trace = Trace::new();
            trace.keep_window(window);
            for index in 0..events {
                change(index, &mut trace);
                note(&mut trace, index, "tick");
            }
            trace
        }
    }

    fn note(trace: &mut Trace, at_ms: u64, what: &str) {
        let event = TraceEvent::App { who: "test".into(), what: what.into() };
        trace.record(at_ms * 1_000_000, &event);
    }

    fn unchanged(_: u64, _: &mut Trace) {}

    fn found(
        left: impl Fn(Range<u64>) -> Trace,
        right: impl Fn(Range<u64>) -> Trace,
    ) -> (u64, Difference) {
        let divergence = between(left, right).expect("steady").expect("they part");
        (divergence.index, divergence.difference)
    }

    #[test]
    fn equal_runs_do_not_part() {
        assert_eq!(between(ticks(25_000, unchanged), ticks(25_000, unchanged)), Ok(None));
        assert_eq!(between(ticks(0, unchanged), ticks(0, unchanged)), Ok(None));
    }

    #[test]
    fn one_event_more_is_found_wherever_it_is() {
        let limit = CHECKPOINT_EVENTS;
        for planted in [0, 1, limit - 1, limit, limit + 1, 2 * limit - 1, 24_999] {
            let more = move |index, trace: &mut Trace| {
                if index == planted {
                    note(trace, index, "planted");
                }
            };
            let parted = found(ticks(25_000, unchanged), ticks(25_000, more));
            assert_eq!(parted, (planted, Difference::Event));
        }
    }

    #[test]
    fn another_order_of_polls_is_told_apart_from_another_event() {
        for planted in [0, 12_345, CHECKPOINT_EVENTS] {
            let polls = move |index, trace: &mut Trace| {
                if index == planted {
                    trace.record_polls(7);
                }
            };
            let parted = found(ticks(25_000, unchanged), ticks(25_000, polls));
            assert_eq!(parted, (planted, Difference::Polls));
        }
    }

    #[test]
    fn other_bytes_are_told_apart_from_another_event() {
        for planted in [0, 12_345, CHECKPOINT_EVENTS] {
            let bytes = |hash: u64| {
                move |index, trace: &mut Trace| {
                    if index == planted {
                        trace.chain_bytes(hash);
                    }
                }
            };
            let parted = found(ticks(25_000, bytes(7)), ticks(25_000, bytes(8)));
            assert_eq!(parted, (planted, Difference::Bytes));
            assert_eq!(between(ticks(25_000, bytes(7)), ticks(25_000, bytes(7))), Ok(None));
        }
        let last = |hash| {
            move |window| {
                let mut trace = ticks(9, unchanged)(window);
                trace.chain_bytes(hash);
                trace
            }
        };
        assert_eq!(found(last(7), last(8)), (9, Difference::Bytes));
    }

    #[test]
    fn polls_after_the_last_event_are_found() {
        for events in [0, 9, CHECKPOINT_EVENTS] {
            let polls = move |window| {
                let mut trace = ticks(events, unchanged)(window);
                trace.record_polls(7);
                trace
            };
            assert_eq!(found(polls, ticks(events, unchanged)), (events, Difference::Polls));
        }
    }

    #[test]
    fn a_run_that_is_over_first_parts_at_its_end() {
        for events in [9, CHECKPOINT_EVENTS, CHECKPOINT_EVENTS + 1] {
            let parted = found(ticks(events, unchanged), ticks(4 * CHECKPOINT_EVENTS, unchanged));
            assert_eq!(parted, (events, Difference::Event));
        }
    }

    #[test]
    fn the_table_shows_both_sides_with_their_times() {
        let late = |index, trace: &mut Trace| {
            if index == 20 {
                note(trace, 20, "planted");
            }
        };
        let parted = between(ticks(22, unchanged), ticks(22, late)).expect("steady");
        let parted = parted.expect("they part");
        assert_eq!(parted.at(), [Some(Duration::from_millis(20)); 2]);
        let table = parted.to_string();
        let lines: Vec<_> = table.lines().map(str::trim_start).collect();
        assert_eq!(lines.len(), 1 + 8 + 1 + 2 + 2 + 2, "{table}");
        assert_eq!(lines[1], "12       0.012000000  =  test: tick");
        assert!(lines[9].contains("first event that differs"), "{table}");
        assert_eq!(lines[10], "20       0.020000000  <  test: tick");
        assert_eq!(lines[11], "20       0.020000000  >  test: planted");
        assert!(lines[14].ends_with("<  (over)"), "{table}");
    }

    #[test]
    fn a_run_that_does_not_repeat_itself_is_told() {
        let mut planted = 0;
        let moody = |window| {
            planted += CHECKPOINT_EVENTS;
            let more = |index, trace: &mut Trace| {
                if index == planted {
                    note(trace, index, "planted");
                }
            };
            ticks(90_000, more)(window)
        };
        assert_eq!(between(moody, ticks(90_000, unchanged)), Err(Unsteady));
    }
}
