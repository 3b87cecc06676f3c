//! The record of a run: every event counted and chained into one hash, as is every byte that programs send.
//!
//! Two runs are the same exactly when their hashes are. Checkpoints along the way show where two
//! runs part; [`divergence`] then shows the events around that place. Notes of clients and
//! scenarios are always kept, as the text of golden files. The order in which tasks were polled is
//! chained in too, so that a schedule that differs shows even when no packet does.

mod chain;
pub mod divergence;
mod event;

use std::{collections::VecDeque, fmt, mem, ops::Range, time::Duration};

pub use crate::fabric::{link::DropReason, packet::Flags};
use chain::Chain;
pub use event::TraceEvent;

/// A checkpoint is kept every so many events.
const CHECKPOINT_EVENTS: u64 = 10_000;
/// Records of polls that are kept between two events; further ones go into the last.
const KEPT_POLLS_MAX: usize = 4_096;

/// The hash up to a place in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many events came before.
    pub index: u64,
    /// Virtual time in nanoseconds.
    pub at_ns: u64,
    /// The hash of everything before.
    pub hash: u64,
}

/// What a client, scenario or oracle noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Virtual time in nanoseconds.
    pub at_ns: u64,
    /// Who noted it.
    pub who: String,
    /// What it noted.
    pub what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Duration::from_nanos(self.at_ns);
        let (secs, micros) = (at.as_secs(), at.subsec_micros());
        write!(f, "{secs:>4}.{micros:06} {}: {}", self.who, self.what)
    }
}

/// One event with its place in the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How many events came before.
    pub index: u64,
    /// Virtual time in nanoseconds.
    pub at_ns: u64,
    /// What tells the polls since the event before, in their order; only where
    /// [`Trace::keep_window`] asked for the event.
    pub polls: Vec<u64>,
    /// What tells the bytes that programs have sent since the event before; 0 for none.
    pub bytes: u64,
    /// What happened.
    pub event: TraceEvent,
}

/// Which events are kept, not only counted.
#[derive(Clone, Debug)]
enum Keep {
    Last(usize),
    Window(Range<u64>),
}

/// How many events of each kind a run had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// TCP segments sent.
    pub segments_sent: u64,
    /// TCP segments that reached their host.
    pub segments_delivered: u64,
    /// UDP datagrams sent.
    pub datagrams_sent: u64,
    /// UDP datagrams queued at a socket.
    pub datagrams_delivered: u64,
    /// UDP datagrams that reached no socket or a full receive buffer.
    pub datagrams_dropped: u64,
    /// Packets lost on their way, for whatever reason.
    pub link_dropped: u64,
    /// TCP segments sent again.
    pub retransmitted: u64,
    /// Connections given up.
    pub timed_out: u64,
    /// Changes of the world.
    pub faults: u64,
    /// TCP sockets that became connected.
    pub opened: u64,
    /// TCP sockets forgotten.
    pub closed: u64,
    /// Connection attempts refused.
    pub refused: u64,
    /// Connections reset by the peer.
    pub reset: u64,
    /// Notes.
    pub notes: u64,
    /// Faults that struck a disk.
    pub disk_faults: u64,
}

/// The record of a run so far.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    events: u64,
    counts: Counts,
    checkpoints: Vec<Checkpoint>,
    notes: Vec<Note>,
    kept: VecDeque<Kept>,
    keep: Keep,
    /// Records of the polls since the last event, while a window is kept.
    polls: Vec<u64>,
    /// Hash of what programs have sent since the last event.
    bytes: u64,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            hash: 0,
            events: 0,
            counts: Counts::default(),
            checkpoints: Vec::new(),
            notes: Vec::new(),
            kept: VecDeque::new(),
            keep: Keep::Last(0),
            polls: Vec::new(),
            bytes: 0,
        }
    }

    /// The hash of everything that happened: events with their times, and the order of polls.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many events of each kind happened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The hash at regular places along the run.
    pub fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// What clients, scenarios and oracles noted, in order.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The events that [`Trace::keep_all`] or [`Trace::keep_window`] asked for.
    pub fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }

    /// Keeps every event from now on, the last `events_max` of them.
    pub fn keep_all(&mut self, events_max: usize) {
        self.keep = Keep::Last(events_max);
    }

    /// Keeps the events to come whose index is in `window`, and the order of polls around them.
    pub fn keep_window(&mut self, window: Range<u64>) {
        self.keep = Keep::Window(window);
    }

    /// Records what happens at `at_ns`. Most callers know which event it is: inlined, nothing has to look that up. Three
    /// events a message made that a seventh of a run's time.
    #[inline(always)]
    pub(crate) fn record(&mut self, at_ns: u64, event: &TraceEvent) {
        let bytes = mem::take(&mut self.bytes);
        if !matches!(self.keep, Keep::Last(0)) {
            self.keep(at_ns, event, bytes);
        }
        let mut chain = Chain::from(self.hash);
        chain.word(at_ns);
        event.chain(&mut chain);
        self.hash = chain.hash();
        *self.counts.of(event) += 1;
        if let TraceEvent::App { who, what } = event {
            self.notes.push(Note { at_ns, who: who.clone(), what: what.clone() });
        }
        self.events += 1;
        if self.events.is_multiple_of(CHECKPOINT_EVENTS) {
            self.checkpoints.push(Checkpoint { index: self.events, at_ns, hash: self.hash });
        }
    }

    #[cold]
    fn keep(&mut self, at_ns: u64, event: &TraceEvent, bytes: u64) {
        match &self.keep {
            Keep::Last(events_max) if self.kept.len() == *events_max => {
                self.kept.pop_front();
            }
            Keep::Window(window) if !window.contains(&self.events) => return,
            Keep::Last(_) | Keep::Window(_) => {}
        }
        let polls = mem::take(&mut self.polls);
        self.kept.push_back(Kept { index: self.events, at_ns, polls, bytes, event: event.clone() });
    }

    /// Chains in the hash of bytes that a program sends: they may differ where lengths and times do not.
    pub(crate) fn chain_bytes(&mut self, hash: u64) {
        let mut chain = Chain::from(self.hash);
        chain.word(hash);
        self.hash = chain.hash();
        self.bytes = chain_hash(self.bytes, hash);
    }

    /// Chains in the hash of the order in which tasks were polled.
    pub(crate) fn record_polls(&mut self, polls_hash: u64) {
        self.hash = chain_hash(self.hash, polls_hash);
        let Keep::Window(window) = &self.keep else { return };
        // Those after the window's last event belong to it: the run may be over there.
        if window.is_empty() || self.events < window.start || self.events > window.end {
            return;
        }
        match self.polls.get_mut(KEPT_POLLS_MAX - 1) {
            Some(last) => *last = chain_hash(*last, polls_hash),
            None => self.polls.push(polls_hash),
        }
    }
}

fn chain_hash(hash: u64, other: u64) -> u64 {
    (hash.rotate_left(29) ^ other).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Counts {
    fn of(&mut self, event: &TraceEvent) -> &mut u64 {
        match event {
            TraceEvent::SegmentSent { .. } => &mut self.segments_sent,
            TraceEvent::SegmentDelivered { .. } => &mut self.segments_delivered,
            TraceEvent::DatagramSent { .. } => &mut self.datagrams_sent,
            TraceEvent::DatagramDelivered { .. } => &mut self.datagrams_delivered,
            TraceEvent::DatagramDropped { .. } => &mut self.datagrams_dropped,
            TraceEvent::LinkDropped { .. } => &mut self.link_dropped,
            TraceEvent::Retransmitted { .. } => &mut self.retransmitted,
            TraceEvent::TimedOut { .. } => &mut self.timed_out,
            TraceEvent::Fault { .. } => &mut self.faults,
            TraceEvent::Opened { .. } => &mut self.opened,
            TraceEvent::Closed { .. } => &mut self.closed,
            TraceEvent::Refused { .. } => &mut self.refused,
            TraceEvent::Reset { .. } => &mut self.reset,
            TraceEvent::App { .. } => &mut self.notes,
            TraceEvent::DiskFault { .. } => &mut self.disk_faults,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(what: &str) -> TraceEvent {
        TraceEvent::App { who: "test".into(), what: what.into() }
    }

    #[test]
    fn the_hash_knows_what_when_and_in_which_order() {
        let hash = |events: &[(u64, &str)]| {
            let mut trace = Trace::new();
            for (at_ns, what) in events {
                trace.record(*at_ns, &note(what));
            }
            trace.hash()
        };
        assert_eq!(hash(&[(1, "a"), (2, "b")]), hash(&[(1, "a"), (2, "b")]));
        assert_ne!(hash(&[(1, "a"), (2, "b")]), hash(&[(1, "b"), (2, "a")]));
        assert_ne!(hash(&[(1, "a")]), hash(&[(2, "a")]));
    }

    #[test]
    fn notes_stay_and_the_ring_forgets_the_oldest() {
        let mut trace = Trace::new();
        trace.keep_all(2);
        for what in ["a", "b", "c"] {
            trace.record(1_500_000_000, &note(what));
        }
        assert_eq!(trace.notes()[0].to_string(), "   1.500000 test: a");
        assert_eq!(trace.notes().len(), 3);
        assert_eq!(trace.kept().map(|kept| kept.index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(trace.counts().notes, 3);
    }

    #[test]
    fn checkpoints_stand_at_regular_places() {
        let mut trace = Trace::new();
        for at_ns in 0..2 * CHECKPOINT_EVENTS {
            trace.record(at_ns, &note("tick"));
        }
        let last = *trace.checkpoints().last().expect("two checkpoints");
        assert_eq!((last.index, last.hash), (2 * CHECKPOINT_EVENTS, trace.hash()));
    }
}
