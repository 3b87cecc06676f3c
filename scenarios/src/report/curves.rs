//! Quantities of a run over time: what is on its way, what each host gets, and what the gateway holds.

use serde::Serialize;

use super::timeline::{Fate, Message, Timeline};
use crate::run::Sample;

/// Intervals that throughput and bytes in flight are told for.
const BINS: u64 = 600;
/// Lines of throughput: the hosts that get most.
const HOSTS_MAX: usize = 7;

/// A diagram below the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Graph {
    title: String,
    /// `bytes` or `bit/s`.
    unit: &'static str,
    pub(super) lines: Vec<Line>,
}

/// A line of it, which keeps its value until the next point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    name: String,
    /// The lane that it is of, if it is of one.
    lane: Option<usize>,
    /// Microseconds and values.
    pub(super) points: Vec<(u64, i64)>,
}

impl Line {
    fn new(name: &str, lane: Option<usize>, values: impl Iterator<Item = (u64, i64)>) -> Self {
        let mut points: Vec<(u64, i64)> = Vec::new();
        for (at_us, value) in values {
            if points.last().is_none_or(|(_, before)| *before != value) {
                points.push((at_us, value));
            }
        }
        Self { name: name.to_owned(), lane, points }
    }
}

/// The length of an interval in a run of `end_us`.
fn bin_us(end_us: u64) -> u64 {
    let least = end_us.div_ceil(BINS).max(1);
    [1, 2, 5, 10, 20, 50, 100, 200, 500]
        .into_iter()
        .map(|ms| ms * 1_000)
        .find(|us| *us >= least)
        .unwrap_or_else(|| least.next_multiple_of(1_000_000))
}

/// Bytes that were sent to and from the gateway and are on their way: the most of each interval.
pub(super) fn in_flight(timeline: &Timeline, end_us: u64) -> Graph {
    let line = |name: &str, end: usize| {
        let messages = timeline.messages.iter().filter(|message| message.ends[end] == 0);
        Line::new(name, None, most_in_flight(messages, end_us).into_iter())
    };
    Graph {
        title: "On its way, most of each interval".to_owned(),
        unit: "bytes",
        lines: vec![line("from the gateway", 0), line("to the gateway", 1)],
    }
}

fn most_in_flight<'a>(messages: impl Iterator<Item = &'a Message>, end_us: u64) -> Vec<(u64, i64)> {
    let mut changes: Vec<(u64, i64)> = Vec::new();
    for message in messages {
        let bytes = i64::from(message.bytes);
        changes.push((message.at_ns, bytes));
        if let Fate::Arrived(ns) | Fate::Lost(ns) = message.fate {
            changes.push((message.at_ns + ns, -bytes));
        }
    }
    changes.sort_unstable();
    let bin_us = bin_us(end_us);
    let (mut now, mut changes) = (0, changes.into_iter().peekable());
    let bins = (0..=end_us / bin_us).map(|bin| {
        let mut most = now;
        while let Some((_, bytes)) =
            changes.next_if(|(at_ns, _)| at_ns / 1_000 < (bin + 1) * bin_us)
        {
            now += bytes;
            most = most.max(now);
        }
        (bin * bin_us, most)
    });
    bins.collect()
}

/// What hosts receive, by the payloads of packets.
pub(super) fn throughput(timeline: &Timeline, end_us: u64) -> Graph {
    let bin_us = bin_us(end_us);
    let mut bytes = vec![vec![0_u64; (end_us / bin_us + 1) as usize]; timeline.lanes.len()];
    for message in &timeline.messages {
        let Fate::Arrived(ns) = message.fate else { continue };
        let bin = (message.at_ns + ns) / 1_000 / bin_us;
        if let Some(bin) = bytes[message.ends[1]].get_mut(bin as usize) {
            *bin += u64::from(message.bytes);
        }
    }
    let total = |lane: &usize| bytes[*lane].iter().sum::<u64>();
    let mut lanes: Vec<usize> = (0..bytes.len()).filter(|lane| total(lane) > 0).collect();
    lanes.sort_by_key(|lane| std::cmp::Reverse(total(lane)));
    let left_out = lanes.len().saturating_sub(HOSTS_MAX);
    lanes.truncate(HOSTS_MAX);
    lanes.sort_unstable();
    let lines = lanes.into_iter().map(|lane| {
        let of_bin = |(bin, bytes): (usize, &u64)| {
            (bin as u64 * bin_us, (bytes * 8_000_000 / bin_us) as i64)
        };
        let values = bytes[lane].iter().enumerate().map(of_bin);
        Line::new(&timeline.lanes[lane], Some(lane), values)
    });
    Graph {
        title: match left_out {
            0 => "Received".to_owned(),
            1 => "Received by those who get most, without another one".to_owned(),
            more => format!("Received by those who get most, without {more} others"),
        },
        unit: "bit/s",
        lines: lines.collect(),
    }
}

/// What the gateway's host held from look to look.
pub(super) fn of_gateway(samples: &[Sample]) -> [Graph; 2] {
    let at_us = |sample: &Sample| sample.at.as_micros() as u64;
    let queue = |name: &str, of: fn(&Sample) -> Option<u64>| {
        let values = samples.iter().filter_map(|sample| Some((at_us(sample), of(sample)? as i64)));
        Line::new(name, None, values)
    };
    let heap = samples.iter().map(|sample| (at_us(sample), sample.heap_bytes));
    let queues = vec![
        queue("written, not acknowledged", |sample| Some(sample.queues?.unacknowledged_bytes)),
        queue("not read", |sample| Some(sample.queues?.unread_bytes)),
    ];
    let heap = vec![Line::new("heap", None, heap)];
    [
        Graph { title: "Queues of the gateway's sockets".to_owned(), unit: "bytes", lines: queues },
        Graph {
            title: "The gateway's heap, beyond what it began with".to_owned(),
            unit: "bytes",
            lines: heap,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::timeline::EventKind, *};

    fn message(at_ms: u64, took_ms: u64, ends: [usize; 2], bytes: u32) -> Message {
        Message {
            at_ns: at_ms * 1_000_000,
            fate: Fate::Arrived(took_ms * 1_000_000),
            ends,
            bytes,
            kind: EventKind::Data,
            seq: 0,
            text: 0,
        }
    }

    fn timeline(messages: Vec<Message>) -> Timeline {
        let lanes = (0..10).map(|lane| format!("host-{lane}")).collect();
        Timeline { lanes, messages, ..Timeline::default() }
    }

    #[test]
    fn what_is_on_its_way_at_once_is_added_up_until_it_arrives() {
        let sent = vec![message(0, 30, [0, 1], 100), message(10, 30, [0, 2], 50)];
        let graph = in_flight(&timeline(sent), 600_000);
        assert_eq!(graph.lines[0].points, [(0, 100), (10_000, 150), (31_000, 50), (41_000, 0)]);
        assert_eq!(graph.lines[1].points, [(0, 0)]);
    }

    #[test]
    fn throughput_counts_bits_where_they_arrive_and_tells_whom_it_leaves_out() {
        let sent = (1..10).map(|lane| message(0, 5, [0, lane], 100 * lane as u32)).collect();
        let graph = throughput(&timeline(sent), 600_000);
        assert!(graph.title.contains("without 2 others"), "{}", graph.title);
        assert_eq!(graph.lines.len(), HOSTS_MAX);
        assert_eq!((&*graph.lines[0].name, graph.lines[0].lane), ("host-3", Some(3)));
        assert_eq!(graph.lines[0].points, [(0, 0), (5_000, 300 * 8 * 1_000), (6_000, 0)]);
    }

    #[test]
    fn intervals_are_round_and_no_more_than_there_is_room_for() {
        for end_us in [0, 1, 79_000_000, 5_184_000_000_000] {
            assert!(end_us / bin_us(end_us) <= BINS, "{end_us}");
            assert_eq!(bin_us(end_us) % 1_000, 0);
        }
    }
}
