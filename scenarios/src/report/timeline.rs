//! What goes from host to host in a run, and what happens at hosts, as data for the script to draw. A run may have more than a page can take: then the
//! messages around the first alarm are kept, and what is left out is counted.

use std::ops::Range;

use serde::{Serialize, Serializer, ser::SerializeTuple};

/// Messages of a picture.
pub const MESSAGES_MAX: usize = 20_000;
/// Other events of a picture.
pub const MARKS_MAX: usize = 5_000;
/// Of the messages that are kept, so many in 8 come before the first alarm.
const BEFORE_ALARM: usize = 6;
/// Stands for a number that there is not.
pub(super) const UNKNOWN: i64 = -1;

/// What an event is, for filters and colours. The script has these names, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EventKind {
    /// A message with a payload.
    Data,
    /// A TCP segment that only acknowledges.
    Ack,
    /// One that opens or ends a connection.
    Control,
    /// A message that was lost, or that nobody took.
    Drop,
    /// A segment is sent again.
    Again,
    /// A connection opened, closed, was refused, reset or given up.
    Connection,
    /// The world changes, or a disk fails.
    Fault,
    /// What a client noted.
    Note,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was still on its way at the end.
    OnItsWay,
    /// It arrived after so many nanoseconds.
    Arrived(u64),
    /// It was lost after so many nanoseconds.
    Lost(u64),
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// When it was sent, in nanoseconds; when it arrived, if nobody saw it being sent.
    pub(super) at_ns: u64,
    /// What became of it.
    pub(super) fate: Fate,
    /// Lanes of its ends.
    pub(super) ends: [usize; 2],
    /// Payload.
    pub(super) bytes: u32,
    /// Data, control, acknowledgment or loss.
    pub(super) kind: EventKind,
    /// Its first sequence number, or -1.
    pub(super) seq: i64,
    /// Index of what else there is to say.
    pub(super) text: usize,
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (took_us, is_lost) = match self.fate {
            Fate::OnItsWay => (UNKNOWN, false),
            Fate::Arrived(ns) => ((ns / 1_000) as i64, false),
            Fate::Lost(ns) => ((ns / 1_000) as i64, true),
        };
        let mut tuple = serializer.serialize_tuple(9)?;
        tuple.serialize_element(&(self.at_ns / 1_000))?;
        tuple.serialize_element(&took_us)?;
        tuple.serialize_element(&self.ends[0])?;
        tuple.serialize_element(&self.ends[1])?;
        tuple.serialize_element(&self.bytes)?;
        tuple.serialize_element(&self.kind)?;
        tuple.serialize_element(&self.seq)?;
        tuple.serialize_element(&self.text)?;
        tuple.serialize_element(&u8::from(is_lost))?;
        tuple.end()
    }
}

/// Something that happened at a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Mark(pub(super) u64, pub(super) usize, pub(super) EventKind, pub(super) String);

/// Everything that is drawn between and on the lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Timeline {
    /// Names of hosts.
    pub(super) lanes: Vec<String>,
    /// Texts that messages share.
    pub(super) texts: Vec<String>,
    /// In the order they were sent.
    pub(super) messages: Vec<Message>,
    /// In order: microseconds, lane, kind, text.
    pub(super) marks: Vec<Mark>,
    /// Messages that are left out before and after those that are there.
    pub(super) messages_left_out: [usize; 2],
    /// Marks that are left out.
    pub(super) marks_left_out: usize,
}

impl Timeline {
    /// When the last message came to its end and the last note or fault was, in microseconds.
    pub(super) fn busy_us(&self) -> u64 {
        let messages = self.messages.iter().map(|message| match message.fate {
            Fate::Arrived(ns) | Fate::Lost(ns) => (message.at_ns + ns) / 1_000,
            Fate::OnItsWay => message.at_ns / 1_000,
        });
        // A socket is forgotten long after its connection is over.
        let marks = self.marks.iter().filter(|mark| mark.2 != EventKind::Connection);
        messages.chain(marks.map(|mark| mark.0)).max().unwrap_or(0)
    }

    /// Packets that were lost.
    pub(super) fn losses(&self) -> usize {
        let messages = self.messages.iter().map(|message| message.kind);
        let marks = self.marks.iter().map(|mark| mark.2);
        messages.chain(marks).filter(|kind| *kind == EventKind::Drop).count()
    }

    /// Leaves out what a page has no room for, far from `focus_us`: the first alarm, or nothing.
    pub(super) fn cut(&mut self, focus_us: Option<u64>) {
        self.cut_to(focus_us, MESSAGES_MAX, MARKS_MAX);
    }

    pub(super) fn cut_to(&mut self, focus_us: Option<u64>, messages_max: usize, marks_max: usize) {
        let focus_ns = focus_us.map(|us| us * 1_000);
        let focus =
            focus_ns.map_or(0, |ns| self.messages.partition_point(|message| message.at_ns < ns));
        let kept = around(focus, self.messages.len(), messages_max);
        self.messages_left_out = [kept.start, self.messages.len() - kept.end];
        self.messages = self.messages[kept].to_vec();
        let focus = focus_us.map_or(0, |us| self.marks.partition_point(|mark| mark.0 < us));
        let kept = around(focus, self.marks.len(), marks_max);
        self.marks_left_out = self.marks.len() - kept.len();
        self.marks = self.marks[kept].to_vec();
    }
}

/// The indexes of `most` of `length` around `focus`.
fn around(focus: usize, length: usize, most: usize) -> Range<usize> {
    let kept = length.min(most);
    let start = focus.saturating_sub(kept / 8 * BEFORE_ALARM).min(length - kept);
    start..start + kept
}
