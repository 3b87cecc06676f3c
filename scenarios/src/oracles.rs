//! The oracles that judge every run, from what clients and network show.
//!
//! | oracle | what is compared |
//! |---|---|
//! | O1 epoch isolation, O2 decodable start, O3 integrity, O10 timestamps | what each subscriber found by itself in its bytes |
//! | O3 stream integrity | each subscriber's log against its publishers' logs |
//! | O8 bounded liveness | first frames in time; tasks, sockets and streams at rest and after the shutdown |

use std::{fmt, time::Duration};

use rehearsal_sim::clients::{
    publisher::PublishReport,
    rtmp_player::PlayReport,
    verify::{Kind, Logged},
};

use crate::{
    plan::{Player, Protocol},
    run::{Evidence, Rest},
};

/// A subscriber of an active stream gets its first frame within this.
const FIRST_FRAME: Duration = Duration::from_secs(2);
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
        if !is_expected(&report.end) {
            violate("O8 bounded liveness", format!("{host} ended with: {}", report.end));
        }
    }
    for (publisher, report) in evidence.plan.publishers.iter().zip(&evidence.publishers) {
        let expected = ["closed in order", "refused", "killed", "closed by the server"];
        if !expected.contains(&report.end.as_str()) {
            let what = format!("{} ended with: {}", publisher.host, report.end);
            violate("O8 bounded liveness", what);
        }
    }
    let serving = Rest { tasks: 1, time_wait: evidence.at_rest.time_wait, ..Rest::default() };
    if evidence.at_rest != serving {
        violate("O8 baseline", format!("at rest there is {:?}", evidence.at_rest));
    }
    if evidence.after_shutdown != Rest::default() {
        violate("O8 baseline", format!("after the end there is {:?}", evidence.after_shutdown));
    }
    if evidence.cut_connections > 0 {
        let what = format!("the shutdown cut {} connections", evidence.cut_connections);
        violate("O8 bounded liveness", what);
    }
    violations
}

/// Ends that need no explanation.
fn is_expected(end: &str) -> bool {
    ["left", "end of the response", "closed by the server", "status 404"].contains(&end)
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
        let of_epoch = |seen: &&Logged| {
            matches!(seen.kind, Kind::Keyframe | Kind::Inter | Kind::Audio)
                && seen.stamp.is_none_or(|stamp| stamp.epoch == publisher.epoch)
        };
        match report.received.iter().find(of_epoch) {
            Some(seen) if seen.at <= since + FIRST_FRAME => {}
            Some(seen) => violations.push(format!("waited {:?} for a frame", seen.at - since)),
            None => violations.push(format!("nothing of epoch {} came", publisher.epoch)),
        }
    }
    violations
}
