//! The time line that players see across publishes.
//!
//! Every encoder starts its clock anew. Players who stay see one clock that goes on: the first frame of an epoch
//! follows the last one of the epoch before by the time that passed between them. Within an epoch all times are
//! shifted alike, so distances between frames are the publisher's.

use tokio::time::Instant;

use crate::media::timestamp::wrapping_after;

/// Shifts the publisher's times to the stream's.
#[derive(Debug, Default)]
pub(super) struct EpochClock {
    /// What is added to the publisher's times; `None` until the epoch's first frame.
    shift_ms: Option<u32>,
    /// Newest time given out and when.
    newest: Option<(u32, Instant)>,
}

impl EpochClock {
    /// The next frame is the first of a new epoch.
    pub(super) fn begin_epoch(&mut self) {
        self.shift_ms = None;
    }

    /// The stream's time for a header, which does not fix the shift of its epoch.
    pub(super) fn stamp_header(&self, timestamp_ms: u32, now: Instant) -> u32 {
        timestamp_ms.wrapping_add(self.shift_for(timestamp_ms, now))
    }

    fn shift_for(&self, timestamp_ms: u32, now: Instant) -> u32 {
        self.shift_ms.unwrap_or_else(|| match self.newest {
            // The first epoch keeps the publisher's times.
            None => 0,
            Some((newest_ms, at)) => {
                let passed_ms = now.duration_since(at).as_millis().max(1) as u32;
                newest_ms.wrapping_add(passed_ms).wrapping_sub(timestamp_ms)
            }
        })
    }

    /// The stream's time for a frame that the publisher stamped `timestamp_ms` and that came at `now`.
    pub(super) fn stamp(&mut self, timestamp_ms: u32, now: Instant) -> u32 {
        let shift_ms = self.shift_for(timestamp_ms, now);
        self.shift_ms = Some(shift_ms);
        let stamped = timestamp_ms.wrapping_add(shift_ms);
        if self.newest.is_none_or(|(newest_ms, _)| !wrapping_after(newest_ms, stamped)) {
            self.newest = Some((stamped, now));
        }
        stamped
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_epoch_goes_on_where_the_first_ended() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut clock = EpochClock::default();
        clock.begin_epoch();
        assert_eq!(clock.stamp(500, at(0)), 500, "the first epoch keeps its times");
        assert_eq!(clock.stamp(540, at(40)), 540);
        assert_eq!(clock.stamp(520, at(41)), 520, "audio may trail video");
        clock.begin_epoch();
        assert_eq!(clock.stamp(0, at(2_040)), 2_540);
        assert_eq!(clock.stamp(40, at(2_050)), 2_580);
        clock.begin_epoch();
        assert_eq!(clock.stamp(9_000, at(2_050)), 2_581, "never at the same time");
    }

    #[test]
    fn a_header_at_time_0_does_not_shift_the_media_after_it() {
        let start = Instant::now();
        let mut clock = EpochClock::default();
        clock.begin_epoch();
        assert_eq!(clock.stamp_header(0, start), 0);
        assert_eq!(clock.stamp(3_600_000, start), 3_600_000);
        clock.begin_epoch();
        let later = start + Duration::from_secs(10);
        assert_eq!(clock.stamp_header(0, later), 3_610_000);
        assert_eq!(clock.stamp(3_700_000, later), 3_610_000);
        assert_eq!(clock.stamp_header(3_700_040, later), 3_610_040);
    }

    #[test]
    fn times_wrap() {
        let now = Instant::now();
        let mut clock = EpochClock::default();
        clock.begin_epoch();
        assert_eq!(clock.stamp(u32::MAX, now), u32::MAX);
        assert_eq!(clock.stamp(19, now), 19);
        clock.begin_epoch();
        assert_eq!(clock.stamp(1_000, now + Duration::from_millis(10)), 29);
    }
}
