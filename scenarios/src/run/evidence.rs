//! What a run leaves for the oracles to judge: what everybody says, and what is left of the gateway.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{Range, RangeInclusive},
    time::Duration,
};

use rehearsal_sim::{
    Wait,
    clients::{
        crowd::CrowdReport, phone::PhoneReport, publisher::PublishReport, raw::RawReport,
        rtmp_player::PlayReport, sip_client::SipClientReport, stranger::StrangerReport,
    },
};

use super::curve::Sample;
use crate::plan::Plan;

/// Everything that oracles judge.
#[derive(Debug)]
pub struct Evidence {
    /// What was to be done.
    pub plan: Plan,
    /// What publishers say, in the order of the plan.
    pub publishers: Vec<PublishReport>,
    /// What subscribers say, in the order of the plan.
    pub players: Vec<PlayReport>,
    /// What raw clients say, in the order of the plan, or why they could not connect.
    pub raw_clients: Vec<Result<RawReport, String>>,
    /// What each of a crowd says, in the order of the plan.
    pub crowds: Vec<Vec<CrowdReport>>,
    /// What phones say, in the order of the plan.
    pub phones: Vec<PhoneReport>,
    /// What clients of the application `sip` say, in the order of the plan.
    pub sip_clients: Vec<SipClientReport>,
    /// What strangers say, in the order of the plan.
    pub strangers: Vec<StrangerReport>,
    /// The same run without the clients on faulty hosts, if the plan asks for it.
    pub twin: Option<Box<Evidence>>,
    /// Streams in the gateway's registry a while after the last client went.
    pub streams_at_rest: usize,
    /// The gateway's lives, one after the other: it begins another with each restart. One that goes on after the run, as after
    /// each of [`Cycles`](super::Cycles), is not among them.
    pub lives: Vec<Life>,
    /// How often the gateway came to each of its moments, and each of its fault points fired; only on the fabric.
    pub points_passed: BTreeMap<&'static str, u64>,
    /// What its host shows of the gateway; only the fabric looks into hosts.
    pub host: Option<HostEvidence>,
    /// What the gateway had on the heap and has not given back, now that its world is gone; nothing unless the process counts, or
    /// elsewhere than on the fabric.
    pub left_on_heap: Held,
}

/// Blocks of the gateway's on the heap, or how many more they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many.
    pub blocks: i64,
    /// Bytes in them.
    pub bytes: i64,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blocks ({} bytes)", self.blocks, self.bytes)
    }
}

/// How the gateway ended, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// With its host.
    Crashed,
    /// It was told to.
    ToldToEnd {
        /// From then until it had ended; `None` when it never did.
        took: Option<Duration>,
        /// Connections that it had to cut.
        cut_connections: usize,
        /// Streams that are still in its registry.
        streams: usize,
    },
}

/// A packet of a call's audio, or a report of it, that a link has dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// When, since the start of the run.
    pub at: Duration,
    /// The phone had sent it.
    pub is_of_phone: bool,
    /// Its source and sequence number; `None` for what is no RTP, as reports are none.
    pub packet: Option<(u32, u16)>,
}

/// A packet of a phone's audio or pictures that came to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// When, since the start of the run.
    pub at: Duration,
    /// Its source.
    pub ssrc: u32,
    /// Its number.
    pub sequence: u16,
    /// Its time.
    pub timestamp: u32,
}

/// A message of SIP that a link has dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostMessage {
    /// When, since the start of the run.
    pub at: Duration,
    /// The phone had sent it.
    pub is_of_phone: bool,
    /// It asks, and does not answer.
    pub is_request: bool,
    /// What is asked for.
    pub method: String,
    /// Its transaction.
    pub branch: String,
}

/// What links have dropped of what a phone and the gateway said to each other by datagrams, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostInCall {
    /// Of RTP and RTCP.
    pub packets: Vec<Lost>,
    /// Of SIP.
    pub messages: Vec<LostMessage>,
}

/// What the gateway's host shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostEvidence {
    /// A while after the last client went.
    pub at_rest: Rest,
    /// Polls of the gateway's tasks in a second of rest.
    pub polls_at_rest: u64,
    /// Polls of the gateway's tasks in the plan's [`idle_hour`](super::idle_hour), if it has one.
    pub polls_in_idle_hour: Option<u64>,
    /// After the gateway has shut down.
    pub after_shutdown: Rest,
    /// Most the gateway ever held on the heap above what it held when it began to serve, in bytes; 0 unless the
    /// process counts ([`heap::is_counting`](rehearsal_sim::heap::is_counting)).
    pub heap_bytes_max: i64,
    /// What it held on the heap a while after the last client went, beyond what it held when it began to serve; nothing unless
    /// the process counts.
    pub kept_at_rest: Held,
    /// Longest time for which bytes lay unread at the gateway on one connection, by the name of the host they came from.
    pub unread: BTreeMap<String, Duration>,
    /// When connections between it and a client's host waited until they might send again what was lost, at either end, by
    /// the name of the client's host, in the order they began.
    pub waits: BTreeMap<String, Vec<Wait>>,
    /// Between which two looks, after the start of the run, the gateway let go of its last connection from a host, by the name of
    /// that host.
    pub let_go: BTreeMap<String, Range<Duration>>,
    /// Longest time for which none of the bytes that the gateway had written on one connection were acknowledged, although the
    /// peer's window had room and no packet was lost; by the name of the host they were for.
    pub unsent: BTreeMap<String, Duration>,
    /// What links have dropped, by the name of the phone's host; `None` where nobody noted it.
    pub lost: Option<BTreeMap<String, LostInCall>>,
    /// What came to it of phones over RTP, in order, by the name of the phone's host; `None` where nobody noted it, as where all of it
    /// comes as it was sent.
    pub arrived: Option<BTreeMap<String, Vec<Arrived>>>,
    /// What it held from look to look, for people.
    pub curve: Vec<Sample>,
}

impl Evidence {
    /// What the run has left on the heap, and what the gateway kept there while it rested.
    pub fn kept(&self) -> [Held; 2] {
        let at_rest = self.host.as_ref().map(|host| host.kept_at_rest).unwrap_or_default();
        [self.left_on_heap, at_rest]
    }

    /// What is wrong with when the gateway let go of its last connection from `host`, if that was not within `due` as far as looks
    /// at its sockets tell.
    pub fn was_let_go(&self, host: &str, due: RangeInclusive<Duration>) -> Result<(), String> {
        let shown = self.host.as_ref().ok_or("the gateway's host was not looked into")?;
        match shown.let_go.get(host) {
            None => Err(format!("{host} is held for ever, or never was; due was {due:?}")),
            Some(within) if within.start <= *due.end() && *due.start() <= within.end => Ok(()),
            Some(within) => Err(format!("{host} was let go within {within:?}, due was {due:?}")),
        }
    }

    /// When `allowed` has passed since `since`; the clock stands still while a connection of one of `hosts` waits until it may
    /// send again what was lost.
    pub fn due(&self, hosts: &[&str], since: Duration, allowed: Duration) -> Duration {
        let waits =
            self.host.iter().flat_map(|host| hosts.iter().filter_map(|name| host.waits.get(*name)));
        let mut waits: Vec<&Wait> = waits.flatten().filter(|wait| wait.to > since).collect();
        waits.sort_by_key(|wait| wait.from);
        let (mut counted, mut due) = (since, since + allowed);
        for wait in waits {
            let from = wait.from.max(counted);
            if from < due && wait.to > from {
                due += wait.to - from;
                counted = wait.to;
            }
        }
        due
    }

    /// The longest that something which `allowed` is enough for may have taken on connections of `host`.
    pub fn longest(&self, host: &str, allowed: Duration) -> Duration {
        let waits = self.host.iter().filter_map(|seen| seen.waits.get(host)).flatten();
        let taken = waits.map(|wait| self.due(&[host], wait.from, allowed) - wait.from);
        taken.max().unwrap_or(allowed)
    }
}

/// What is left on the gateway's host when a run rests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Tasks.
    pub tasks: usize,
    /// Sockets that are neither listening, SIP's among them, nor in TIME_WAIT.
    pub sockets: Vec<String>,
    /// Sockets in TIME_WAIT.
    pub time_wait: usize,
}
