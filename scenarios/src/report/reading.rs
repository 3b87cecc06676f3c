//! Reads a trace: a packet that was sent and its arrival or loss become one message of a [`Timeline`].

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddrV4},
};

use rehearsal_sim::trace::{Flags, Kept, TraceEvent};

use super::timeline::{EventKind, Fate, Mark, Message, Timeline, UNKNOWN};

/// What an IP and a TCP header take of a packet.
const TCP_OVERHEAD_BYTES: u32 = 40;
/// The same of IP and UDP.
const UDP_OVERHEAD_BYTES: u32 = 28;

/// The timeline of these events; `hosts` are the hosts of their world and where they are.
pub(super) fn timeline<'a>(
    hosts: &[(String, Ipv4Addr)],
    events: impl Iterator<Item = &'a Kept>,
) -> Timeline {
    let mut reading = Reading::new(hosts);
    for kept in events {
        reading.add(kept.at_ns, &kept.event);
    }
    reading.timeline
}

/// What a packet and its arrival have in common. A NAT may change ports on the way.
type Key = (bool, Ipv4Addr, Ipv4Addr, u64, u8, u32);

struct Reading {
    timeline: Timeline,
    lane_of: BTreeMap<Ipv4Addr, usize>,
    texts: BTreeMap<String, usize>,
    /// Messages that have not arrived, by what their arrival will say.
    open: BTreeMap<Key, VecDeque<usize>>,
}

impl Reading {
    fn new(hosts: &[(String, Ipv4Addr)]) -> Self {
        let lanes = hosts.iter().map(|(name, _)| name.clone()).collect();
        let lane_of = hosts.iter().enumerate().map(|(lane, (_, ip))| (*ip, lane)).collect();
        let timeline = Timeline { lanes, ..Timeline::default() };
        Self { timeline, lane_of, texts: BTreeMap::new(), open: BTreeMap::new() }
    }

    fn add(&mut self, at_ns: u64, event: &TraceEvent) {
        match event {
            TraceEvent::SegmentSent { from, to, flags, seq, bytes } => {
                self.sent(at_ns, segment(from, to, *flags, *seq, *bytes), (from, to), Some(*flags));
            }
            TraceEvent::DatagramSent { from, to, bytes } => {
                self.sent(at_ns, datagram(from, to, *bytes), (from, to), None);
            }
            TraceEvent::SegmentDelivered { from, to, flags, seq, bytes } => {
                let key = segment(from, to, *flags, *seq, *bytes);
                self.arrived(at_ns, key, (from, to), Some(*flags));
            }
            TraceEvent::DatagramDelivered { from, to, bytes } => {
                self.arrived(at_ns, datagram(from, to, *bytes), (from, to), None);
            }
            TraceEvent::DatagramDropped { from, to, bytes } => {
                self.lost(at_ns, (from, to), *bytes + UDP_OVERHEAD_BYTES, "nobody took it");
            }
            TraceEvent::LinkDropped { from, to, bytes, .. } => {
                let why = event.to_string();
                let why = why.rsplit(", ").next().unwrap_or_default();
                self.lost(at_ns, (from, to), *bytes, why);
            }
            TraceEvent::Retransmitted { local, .. } => {
                self.mark_at(at_ns, local, EventKind::Again, event);
            }
            TraceEvent::TimedOut { local, .. }
            | TraceEvent::Opened { local, .. }
            | TraceEvent::Closed { local, .. }
            | TraceEvent::Refused { local, .. }
            | TraceEvent::Reset { local, .. } => {
                self.mark_at(at_ns, local, EventKind::Connection, event);
            }
            TraceEvent::Fault { who, what } => {
                self.mark(at_ns, who, EventKind::Fault, what.clone())
            }
            TraceEvent::App { who, what } => self.mark(at_ns, who, EventKind::Note, what.clone()),
            TraceEvent::DiskFault { host, .. } => {
                self.mark(at_ns, host, EventKind::Fault, event.to_string());
            }
            // What is new is told in its own words, by nobody.
            other => self.mark(at_ns, "the world", EventKind::Note, other.to_string()),
        }
    }

    fn sent(
        &mut self,
        at_ns: u64,
        key: Key,
        ends: (&SocketAddrV4, &SocketAddrV4),
        flags: Option<Flags>,
    ) {
        let index = self.push(at_ns, Fate::OnItsWay, key, ends, flags);
        self.open.entry(key).or_default().push_back(index);
    }

    fn arrived(
        &mut self,
        at_ns: u64,
        key: Key,
        ends: (&SocketAddrV4, &SocketAddrV4),
        flags: Option<Flags>,
    ) {
        match self.take(&key, VecDeque::pop_front) {
            Some(index) => {
                let message = &mut self.timeline.messages[index];
                message.fate = Fate::Arrived(at_ns - message.at_ns);
            }
            // A second copy of it.
            None => {
                self.push(at_ns, Fate::Arrived(0), key, ends, flags);
            }
        }
    }

    /// The youngest message of this length on this way is taken for the one that is lost.
    fn lost(
        &mut self,
        at_ns: u64,
        (from, to): (&SocketAddrV4, &SocketAddrV4),
        wire_bytes: u32,
        why: &str,
    ) {
        let mut youngest: Option<(usize, Key)> = None;
        for is_udp in [false, true] {
            let first = (is_udp, *from.ip(), *to.ip(), 0, 0, 0);
            let last = (is_udp, *from.ip(), *to.ip(), u64::MAX, u8::MAX, u32::MAX);
            for (key, open) in self.open.range(first..=last) {
                let Some(index) = open.back() else { continue };
                let is_newer = youngest.is_none_or(|(before, _)| *index > before);
                if is_newer && wire_bytes_of(key) == wire_bytes {
                    youngest = Some((*index, *key));
                }
            }
        }
        let taken = youngest.and_then(|(_, key)| self.take(&key, VecDeque::pop_back));
        let Some(index) = taken else {
            let what = format!("lost {from} > {to} len {wire_bytes}, {why}");
            return self.mark_at_ip(at_ns, from.ip(), EventKind::Drop, what);
        };
        let text = self.timeline.messages[index].text;
        let text = self.text(format!("{}, lost: {why}", self.timeline.texts[text]));
        let message = &mut self.timeline.messages[index];
        message.fate = Fate::Lost(at_ns - message.at_ns);
        message.kind = EventKind::Drop;
        message.text = text;
    }

    fn take(&mut self, key: &Key, pop: fn(&mut VecDeque<usize>) -> Option<usize>) -> Option<usize> {
        let open = self.open.get_mut(key)?;
        let index = pop(open);
        if open.is_empty() {
            self.open.remove(key);
        }
        index
    }

    fn push(
        &mut self,
        at_ns: u64,
        fate: Fate,
        key: Key,
        (from, to): (&SocketAddrV4, &SocketAddrV4),
        flags: Option<Flags>,
    ) -> usize {
        let (_, from_ip, to_ip, seq, _, bytes) = key;
        let kind = match flags {
            Some(flags)
                if [Flags::SYN, Flags::FIN, Flags::RST].into_iter().any(|f| flags.has(f)) =>
            {
                EventKind::Control
            }
            Some(_) if bytes == 0 => EventKind::Ack,
            _ => EventKind::Data,
        };
        let what = match flags {
            Some(flags) => format!("tcp {from} > {to} {flags}"),
            None => format!("udp {from} > {to}"),
        };
        let ends = [self.lane(&from_ip), self.lane(&to_ip)];
        let seq = if flags.is_some() { seq as i64 } else { UNKNOWN };
        let text = self.text(what);
        self.timeline.messages.push(Message { at_ns, fate, ends, bytes, kind, seq, text });
        self.timeline.messages.len() - 1
    }

    fn mark_at(&mut self, at_ns: u64, at: &SocketAddrV4, kind: EventKind, event: &TraceEvent) {
        self.mark_at_ip(at_ns, at.ip(), kind, event.to_string());
    }

    fn mark_at_ip(&mut self, at_ns: u64, at: &Ipv4Addr, kind: EventKind, what: String) {
        let lane = self.lane(at);
        self.timeline.marks.push(Mark(at_ns / 1_000, lane, kind, what));
    }

    fn mark(&mut self, at_ns: u64, who: &str, kind: EventKind, what: String) {
        let lane = self.timeline.lanes.iter().position(|lane| lane == who);
        let lane = lane.unwrap_or_else(|| self.add_lane(who.to_owned()));
        self.timeline.marks.push(Mark(at_ns / 1_000, lane, kind, what));
    }

    fn lane(&mut self, ip: &Ipv4Addr) -> usize {
        if let Some(lane) = self.lane_of.get(ip) {
            return *lane;
        }
        let lane = self.add_lane(ip.to_string());
        self.lane_of.insert(*ip, lane);
        lane
    }

    fn add_lane(&mut self, name: String) -> usize {
        self.timeline.lanes.push(name);
        self.timeline.lanes.len() - 1
    }

    fn text(&mut self, text: String) -> usize {
        let texts = &mut self.timeline.texts;
        *self.texts.entry(text).or_insert_with_key(|text| {
            texts.push(text.clone());
            texts.len() - 1
        })
    }
}

fn segment(from: &SocketAddrV4, to: &SocketAddrV4, flags: Flags, seq: u64, bytes: u32) -> Key {
    (false, *from.ip(), *to.ip(), seq, flags.bits(), bytes)
}

fn datagram(from: &SocketAddrV4, to: &SocketAddrV4, bytes: u32) -> Key {
    (true, *from.ip(), *to.ip(), 0, 0, bytes)
}

fn wire_bytes_of(key: &Key) -> u32 {
    let (is_udp, .., bytes) = *key;
    bytes + if is_udp { UDP_OVERHEAD_BYTES } else { TCP_OVERHEAD_BYTES }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
