//! The oracles that judge every run, from what clients and network show.
//!
//! | oracle | what is compared |
//! |---|---|
//! | O1 epoch isolation, O2 decodable start, O3 integrity, O10 timestamps | what each subscriber found by itself in its bytes |
//! | O3 stream integrity | each subscriber's log against its publishers' logs |
//! | O3 no loss | nobody who keeps up has a gap |
//! | O5 | publishers end as planned, or are refused because the name is taken |
//! | O8 bounded liveness | first frames and ends in time; tasks, sockets and streams at rest and after the shutdown |
//! | O14 time hygiene | tasks that are polled although nothing happens |

use std::{fmt, time::Duration};

use rehearsal_sim::clients::{
    publisher::{Leave, PublishPlan, PublishReport},
    rtmp_player::PlayReport,
    verify::{Kind, Logged},
};

use crate::{
    plan::{Player, Protocol},
    run::{Evidence, HostEvidence, Rest},
};

/// A subscriber of an active stream gets its first frame within this.
const FIRST_FRAME: Duration = Duration::from_secs(2);
/// Somebody who was there this long must have received something.
const OVERLAP: Duration = Duration::from_secs(3);

/// The end of an epoch is told within this, also to those behind on a narrow link.
const END_NOTICE: Duration = Duration::from_secs(3);
/// Polls of the gateway's tasks in a second in which nothing happens.
const POLLS_AT_REST_MAX: u64 = 10;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which oracle says so.
    pub oracle: &'static str,
    /// What it found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}

/// Judges a run by every oracle.
pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut violate = |oracle, what| violations.push(Violation { oracle, what });
    for (player, report) in evidence.plan.players.iter().zip(&evidence.players) {
        let host = &player.host;
        for what in &report.violations {
            violate("O1-O3, O10 subscriber", format!("{host}: {what}"));
        }
        for what in integrity(player, report, &evidence.publishers) {
            violate("O3 stream integrity", format!("{host}: {what}"));
        }
        for what in first_frame(player, report, &evidence.publishers) {
            violate("O8 bounded liveness", format!("{host}: {what}"));
        }
        if report.gaps > 0 && player.plan.stall.is_none() {
            let what = format!("{host} kept up and has {} gaps", report.gaps);
            violate("O3 stream integrity", what);
        }
        for what in end_of_playing(player, report, &evidence.publishers) {
            violate("O8 bounded liveness", format!("{host}: {what}"));
        }
    }
    for (publisher, report) in evidence.plan.publishers.iter().zip(&evidence.publishers) {
        if let Some(what) = end_of_publishing(&publisher.plan, report, &evidence.publishers) {
            violate("O5, O8 publishing", format!("{}: {what}", publisher.host));
        }
    }
    for (streams, when) in
        [(evidence.streams_at_rest, "at rest"), (evidence.streams_after_shutdown, "after the end")]
    {
        if streams > 0 {
            violate("O8 baseline", format!("{when} there are {streams} streams"));
        }
    }
    if let Some(host) = &evidence.host {
        of_host(host).into_iter().for_each(|found| violate(found.oracle, found.what));
    }
    if evidence.cut_connections > 0 {
        let what = format!("the shutdown cut {} connections", evidence.cut_connections);
        violate("O8 bounded liveness", what);
    }
    violations
}

/// What the gateway's host shows at rest is one task and its listeners, and nothing after the end.
fn of_host(host: &HostEvidence) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut violate = |oracle, what| violations.push(Violation { oracle, what });
    if host.polls_at_rest > POLLS_AT_REST_MAX {
        violate("O14 time hygiene", format!("{} polls in a second of rest", host.polls_at_rest));
    }
    let serving = Rest { tasks: 1, time_wait: host.at_rest.time_wait, ..Rest::default() };
    if host.at_rest != serving {
        violate("O8 baseline", format!("at rest there is {:?}", host.at_rest));
    }
    if host.after_shutdown != Rest::default() {
        violate("O8 baseline", format!("after the end there is {:?}", host.after_shutdown));
    }
    violations
}

/// A publisher ends as planned, or is refused because somebody else has the name.
fn end_of_publishing(
    plan: &PublishPlan,
    report: &PublishReport,
    all: &[PublishReport],
) -> Option<String> {
    let planned = match plan.leave {
        Leave::Orderly => "closed in order",
        Leave::Killed => "killed",
        Leave::Silent => "closed by the server",
    };
    let came = Duration::from_millis(plan.start_ms);
    let taken = all.iter().any(|other| {
        let times = other.sent.first().zip(other.sent.last());
        other.stream == report.stream
            && times.is_some_and(|(first, last)| first.at <= came && came <= last.at)
    });
    match (&report.refused, taken) {
        (None, _) if report.end == planned => None,
        (Some(code), true) if code == "NetStream.Publish.BadName" => None,
        (refused, _) => Some(format!("ended with {}, refused: {refused:?}", report.end)),
    }
}

/// A player stays until it leaves and is told of each epoch's end; a viewer's response ends with its epoch.
fn end_of_playing(
    player: &Player,
    report: &PlayReport,
    publishers: &[PublishReport],
) -> Vec<String> {
    let mut violations = Vec::new();
    let leaves = Duration::from_millis(player.plan.leave_ms);
    let mut ends: Vec<_> = publishers
        .iter()
        .filter(|p| p.stream == report.stream && received_of(report, p).next().is_some())
        .filter_map(|p| p.sent.last())
        .map(|last| last.at)
        .collect();
    ends.sort_unstable();
    let told: Vec<_> = match player.protocol {
        Protocol::Rtmp => {
            if report.end != "left" {
                violations.push(format!("ended with: {}", report.end));
            }
            let told = report.statuses.iter();
            told.filter(|(_, code)| code == "NetStream.Play.UnpublishNotify")
                .map(|(at, _)| *at)
                .collect()
        }
        Protocol::HttpFlv => match report.end.as_str() {
            "left" => Vec::new(),
            "end of the response" => vec![report.ended_at],
            other => {
                violations.push(format!("ended with: {other}"));
                Vec::new()
            }
        },
    };
    for (index, end) in ends.iter().enumerate().filter(|(_, end)| **end + END_NOTICE < leaves) {
        match told.get(index) {
            Some(at) if (*end..*end + END_NOTICE).contains(at) => {}
            at => violations.push(format!("the end of its stream at {end:?} was told at {at:?}")),
        }
    }
    violations
}

/// What a subscriber has of the media of one publish.
fn received_of<'a>(
    report: &'a PlayReport,
    publisher: &'a PublishReport,
) -> impl Iterator<Item = &'a Logged> {
    report.received.iter().filter(|seen| {
        matches!(seen.kind, Kind::Keyframe | Kind::Inter | Kind::Audio)
            && seen.stamp.is_none_or(|stamp| stamp.epoch == publisher.epoch)
    })
}

fn media(log: &[Logged]) -> Vec<&Logged> {
    let is_media = |seen: &&Logged| matches!(seen.kind, Kind::Keyframe | Kind::Inter | Kind::Audio);
    log.iter().filter(is_media).collect()
}

/// Every received frame is the next one sent, from wherever it started and except where a gap was noticed; and who
/// stayed has the last one.
fn integrity(player: &Player, report: &PlayReport, publishers: &[PublishReport]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut received = media(&report.received);
    let epochs = publishers.iter().filter(|p| p.stream == report.stream && !p.sent.is_empty());
    for publisher in epochs {
        let sent = media(&publisher.sent);
        let of_epoch =
            |seen: &&&Logged| seen.stamp.is_none_or(|stamp| stamp.epoch == publisher.epoch);
        let count = received.iter().take_while(of_epoch).count();
        let mine: Vec<_> = received.drain(..count).collect();
        let Some(first) = mine.first() else { continue };
        let same = |a: &Logged, b: &Logged| a.hash == b.hash && a.kind == b.kind;
        let Some(mut at) = sent.iter().position(|frame| same(frame, first)) else {
            violations.push(format!("the first {:?} was never sent", first.kind));
            continue;
        };
        for (index, frame) in mine.iter().enumerate() {
            let skipped = match report.gaps {
                0 => sent.get(at).is_some_and(|sent| same(sent, frame)).then_some(0),
                _ => sent[at..].iter().position(|sent| same(sent, frame)),
            };
            match skipped {
                Some(skipped) => at += skipped + 1,
                None => {
                    violations.push(format!(
                        "frame {index} of epoch {}, a {:?} at {} ms, is not the next one sent",
                        publisher.epoch, frame.kind, frame.timestamp_ms
                    ));
                    break;
                }
            }
        }
        let gone = sent.last().map_or(Duration::ZERO, |last| last.at);
        let stayed = Duration::from_millis(player.plan.leave_ms) > gone + OVERLAP;
        if stayed && at != sent.len() && violations.is_empty() {
            violations.push(format!("{} frames at the end are missing", sent.len() - at));
        }
    }
    if let Some(frame) = received.first() {
        violations.push(format!("a {:?} at {:?} is of no epoch", frame.kind, frame.at));
    }
    violations
}

/// Who is there while somebody publishes receives something soon.
fn first_frame(player: &Player, report: &PlayReport, publishers: &[PublishReport]) -> Vec<String> {
    let from = Duration::from_millis(player.plan.start_ms);
    let to = Duration::from_millis(player.plan.leave_ms);
    let mut violations = Vec::new();
    for publisher in publishers.iter().filter(|p| p.stream == report.stream) {
        let (Some(first), Some(last)) = (publisher.sent.first(), publisher.sent.last()) else {
            continue;
        };
        // A viewer over HTTP sees the epoch it came for, and no other.
        let other_epoch = player.protocol == Protocol::HttpFlv
            && publishers.iter().any(|p| {
                p.stream == report.stream
                    && p.epoch < publisher.epoch
                    && p.sent.last().is_some_and(|last| last.at > from)
            });
        let since = from.max(first.at);
        if other_epoch || to.min(last.at) < since + OVERLAP {
            continue;
        }
        match received_of(report, publisher).next() {
            Some(seen) if seen.at <= since + FIRST_FRAME => {}
            Some(seen) => violations.push(format!("waited {:?} for a frame", seen.at - since)),
            None => violations.push(format!("nothing of epoch {} came", publisher.epoch)),
        }
    }
    violations
}
