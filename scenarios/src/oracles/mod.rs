//! The oracles that judge every run, from what clients, network and the gateway's host show.
//!
//! | oracle | what is compared |
//! |---|---|
//! | O1 epoch isolation | no subscriber receives anything of a publish once the next has begun, nor anything nobody had sent |
//! | O2 decodable start | headers before media, keyframes first and after gaps; first frames in time |
//! | O3 stream integrity | each subscriber's log against its publishers' logs; who keeps up has no gap, others at keyframes only |
//! | O4 single ownership | publishes of a stream never overlap, nor does what subscribers get of them |
//! | O5 failed operations have no effect | who is refused leaves nothing, who is there goes on, a free name is given |
//! | O6 bounded memory | the gateway's heap against what configuration and plan allow |
//! | O7 non-interference | healthy clients against the twin run without the faulty ones |
//! | O8 bounded liveness and baseline | ends in time, not before; tasks, sockets and streams at rest and after the end |
//! | O9 resource conservation | the gateway's heap at rest against that when it began to serve, and once the run is gone against that before |
//! | O10 timestamps | each subscriber's times against its publishers' and other subscribers', and from one publish to the next against what passed |
//! | O13 two-way progress | how long bytes lie unread at the gateway, and how long those it wrote do not get away |
//! | O14 time hygiene | polls at rest and while connections idle; a run with wall-clock steps against its twin without |
//! | O15 SIP safety | what the gateway says to a phone against what was said before: answers, numbers, copies, ends |
//! | O16 SIP timers | when it says again what may have been lost; when it registers again; for how long it knows who has registered with it |
//! | O17 call agreement | how calls end, and that nobody hears them afterwards; what a phone knows of its call against what its client over RTMP is told, and that against what it was told before |
//! | O18 glare convergence | changes of a call that cross: how often they are refused, and that a refused one changes nothing |
//! | O19 RTP truth | numbers, times, contents and delay of what phones hear and say; what is told of it by RTCP, against what links dropped |
//! | O20 DTMF exactly once | digits that phones dial against those that are told to players and clients, and those of clients against what phones hear |
//! | O24 parser robustness | raw clients are closed in time, within the bounds of O6 |
//! | O24 no panic | nothing panics ([`panicked`]) |
//! | O26 determinism | two runs with one seed ([`repeats`]), in one process and in two (`tests/catalogue/determinism.rs`) |
//!
//! What a plan's [`Terms`](crate::plan::Terms) allow for is not held against anybody: how clients on faulty hosts fare, gaps
//! of those who may skip, and slack on top of every deadline. No deadline counts the time in which a connection can only wait until
//! it may send again what was lost ([`Evidence::due`]): that is measured, not allowed for. Who is there while the gateway is not, between a crash and a
//! restart or after it was told to end, is not judged by how it ends.

mod baseline;
mod calls;
mod conservation;
mod epochs;
mod integrity;
mod liveness;
mod memory;
mod ownership;
mod progress;
mod publishing;
mod raw_clients;
mod subscribers;
mod timeline;
mod twin;

use std::{fmt, time::Duration};

pub use memory::bytes_max;

use crate::run::{Evidence, TraceSummary};

/// Somebody who was there this long must have received something.
const OVERLAP: Duration = Duration::from_secs(3);

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which oracle says so.
    pub oracle: &'static str,
    /// What it found.
    pub what: String,
}

impl Violation {
    /// Whether it is about what a run leaves, and not about what was served.
    pub fn is_of_what_is_left(&self) -> bool {
        OF_WHAT_IS_LEFT.contains(&self.oracle)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}

/// One way to judge a run, under the name of its oracle.
type Judge = (&'static str, fn(&Evidence) -> Vec<String>);

const JUDGES: [Judge; 38] = [
    ("O1 epoch isolation", subscribers::isolation),
    ("O2 decodable start", subscribers::decodable),
    ("O3 stream integrity", integrity::judge),
    ("O4 single ownership", ownership::judge),
    ("O5 failed operations", publishing::refusals),
    ("O6 bounded memory", memory::judge),
    ("O7 non-interference", twin::interference),
    ("O8 bounded liveness", liveness::judge),
    ("O8 bounded liveness", publishing::ends),
    ("O8 baseline", baseline::judge),
    ("O8 bounded liveness", calls::commands),
    ("O9 resource conservation", conservation::judge),
    ("O10 timestamps", integrity::timestamps),
    ("O10 timestamps", timeline::judge),
    ("O8 bounded liveness", baseline::ends_in_time),
    ("O13 two-way progress", progress::judge),
    ("O14 time hygiene", baseline::polls_at_rest),
    ("O14 time hygiene", baseline::polls_in_idle_hour),
    ("O14 time hygiene", twin::wall_clock),
    ("O15 SIP safety", calls::signalling),
    ("O16 SIP timers", calls::timers),
    ("O16 SIP timers", calls::registrations),
    ("O16 SIP timers", calls::bindings),
    ("O17 call agreement", calls::agreement),
    ("O17 call agreement", calls::clients),
    ("O18 glare convergence", calls::glare),
    ("O19 RTP truth", calls::loss),
    ("O19 RTP truth", calls::arrivals),
    ("O19 RTP truth", calls::echoes),
    ("O19 RTP truth", calls::follows),
    ("O19 RTP truth", calls::media),
    ("O2 decodable start", calls::pictures_resumed),
    ("O19 RTP truth", calls::pictures_watched),
    ("O19 RTP truth", calls::pictures_shown),
    ("O19 RTP truth", calls::picture_requests),
    ("O19 RTP truth", calls::voices),
    ("O20 DTMF exactly once", calls::digits),
    ("O24 parser robustness", raw_clients::judge),
];

/// Those that judge what a run leaves.
const OF_WHAT_IS_LEFT: [&str; 2] = ["O8 baseline", "O9 resource conservation"];
/// What a scenario's own check says is under this name.
pub const OF_SCENARIO: &str = "scenario";
const DETERMINISM: &str = "O26 determinism";
const NO_PANIC: &str = "O24 no panic";

/// Names of all oracles, each with its number first.
pub fn names() -> impl Iterator<Item = &'static str> {
    JUDGES.iter().map(|(oracle, _)| *oracle).chain([NO_PANIC, DETERMINISM])
}

/// Judges a run by every oracle.
pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    judge_by(|_| true, evidence)
}

/// Judges what was served, not what that leaves.
pub(crate) fn judge_service(evidence: &Evidence) -> Vec<Violation> {
    judge_by(|oracle| !OF_WHAT_IS_LEFT.contains(&oracle), evidence)
}

fn judge_by(is_asked: impl Fn(&str) -> bool, evidence: &Evidence) -> Vec<Violation> {
    let found = |(oracle, judge): &Judge| {
        let (oracle, found) = (*oracle, judge(evidence).into_iter());
        found.map(move |what| Violation { oracle, what }).collect::<Vec<_>>()
    };
    JUDGES.iter().filter(|(oracle, _)| is_asked(oracle)).flat_map(found).collect()
}

/// What panicked in a run, with its place: a peer may send what it likes, and no run is broken off.
pub fn panicked(what: String) -> Violation {
    Violation { oracle: NO_PANIC, what }
}

/// Judges two runs of one scenario with one seed: they are the same, event for event and poll for poll.
pub fn repeats(one: TraceSummary, other: TraceSummary) -> Option<Violation> {
    (one != other).then(|| Violation {
        oracle: DETERMINISM,
        what: format!("one run is {one:?}, another {other:?}"),
    })
}
