//! Whether what comes to a phone is of the stream that it plays, in order, and once.

use std::time::Duration;

use rehearsal_sim::clients::stamp::{Stamp, stream_hash};

/// What has come so far of one stream.
pub(super) struct Order<'a> {
    stream: &'a str,
    /// What it comes in.
    what: &'static str,
    /// Epoch and number of the last one.
    last: Option<(u32, u32)>,
}

impl<'a> Order<'a> {
    /// Nothing has come yet of `stream`, of which each part is a `what`.
    pub(super) fn of(stream: &'a str, what: &'static str) -> Self {
        Self { stream, what, last: None }
    }

    /// What is wrong with what came at `at`.
    pub(super) fn take(&mut self, at: Duration, stamp: &Stamp) -> Vec<String> {
        let (mut found, Self { stream, what, .. }) = (Vec::new(), &*self);
        if stamp.stream != stream_hash(stream) {
            found.push(format!("at {at:?} came a {what} of another stream than {stream}"));
        }
        let now = (stamp.epoch, stamp.index);
        if let Some(last) = self.last.filter(|last| now <= *last) {
            found.push(format!("at {at:?} {what} {now:?} came behind {last:?}"));
        }
        self.last = Some(now);
        found
    }
}
