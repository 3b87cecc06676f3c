//! O24 parser robustness: whoever sends nonsense, or nothing more, is answered and closed in time; what is answered is well
//! formed, and does not depend on how TCP cut what was sent.

mod answers;
mod reading;

use std::{collections::BTreeMap, time::Duration};

use rehearsal_sim::clients::{publisher::Leave, raw::RawReport};

use self::reading::Reading;
use crate::{
    plan::{Listener, Plan, RawClient},
    run::Evidence,
};

/// For links, handshakes of TCP and tasks.
const SOON: Duration = Duration::from_secs(1);
/// Ends of two clients that send the same differ by no more than this and what their sending took.
const ALIKE: Duration = Duration::from_millis(100);

/// Every raw client that no fault befalls gets its connection, and loses it when that is due at the latest: to misbehave is
/// what it is for.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    let mut violations = Vec::new();
    let mut alike = BTreeMap::<_, Vec<_>>::new();
    for (raw, report) in plan.raw_clients.iter().zip(&evidence.raw_clients) {
        let is_befallen = plan.faults.iter().any(|fault| fault.host == raw.host);
        if is_befallen || plan.meets_outage(raw.plan.start_ms, raw.plan.leave_ms) {
            continue;
        }
        let host = &raw.host;
        match report {
            Err(why) => violations.push(format!("{host} could not connect: {why}")),
            Ok(report) => {
                let found = of_client(plan, raw, report);
                violations.extend(found.into_iter().map(|what| format!("{host}{what}")));
                let key = (raw.listener == Listener::Rtmp, raw.plan.pieces.concat());
                alike.entry((key, raw.plan.half_close)).or_default().push((raw, report));
            }
        }
    }
    for same in alike.values() {
        let (first, others) = same.split_first().expect("each has one");
        let cut_otherwise = |other: &&(&RawClient, &RawReport)| is_cut_otherwise(first.0, other.0);
        let differs = others.iter().filter(cut_otherwise).filter_map(|other| differ(first, other));
        violations.extend(differs);
    }
    violations
}

fn of_client(plan: &Plan, raw: &RawClient, report: &RawReport) -> Vec<String> {
    let mut violations = Vec::new();
    let reading = match raw.listener {
        Listener::Rtmp => Some(Reading::of(&raw.plan.pieces.concat(), &plan.config.rtmp)),
        Listener::Http => None,
    };
    let due = due(plan, raw, report, reading.as_ref());
    let open_until = report.closed_at.unwrap_or(Duration::from_millis(raw.plan.leave_ms));
    if open_until > due {
        violations.push(format!(" was still connected at {open_until:?}, due was {due:?}"));
    }
    if let Some(reading) = reading {
        match answers::of_rtmp(&report.received) {
            Err(why) => violations.push(format!(" was sent what is no RTMP: {why}")),
            Ok(answers) => {
                let replies = answers.iter().filter(|answer| answer.is_reply()).count();
                if reading.fatal_at.is_some() && replies > reading.commands {
                    let before = reading.commands;
                    violations.push(format!(
                        " went wrong after {before} commands and had {replies} replies"
                    ));
                }
            }
        }
    }
    violations
}

/// Whether what two clients send reaches the gateway in other segments.
fn is_cut_otherwise(one: &RawClient, other: &RawClient) -> bool {
    one.plan.pieces != other.plan.pieces || one.link != other.link
}

/// What differs for two clients that send the same bytes.
fn differ(one: &(&RawClient, &RawReport), other: &(&RawClient, &RawReport)) -> Option<String> {
    let hosts = format!("{} and {} send the same", one.0.host, other.0.host);
    let received = [&one.1.received, &other.1.received];
    // Ends that have to be the same: who views a stream stays as long as that, and whose head is refused need not be at once.
    let (is_same, ends_alike) = match one.0.listener {
        Listener::Rtmp => {
            let [one, other] = received.map(|received| answers::of_rtmp(received));
            (one == other, true)
        }
        Listener::Http => {
            let [one, other] = received.map(|received| answers::of_http(received));
            let is_same = match (one.1, other.1) {
                (false, false) | (true, true) => one.0 == other.0,
                (true, false) => one.0.is_before(&other.0),
                (false, true) => other.0.is_before(&one.0),
            };
            (is_same, !one.0.is_stream && !one.1 && !other.1)
        }
    };
    if !is_same {
        let [one, other] = received.map(|received| received.len());
        return Some(format!("{hosts} and are answered otherwise, in {one} and {other} bytes"));
    }
    let lasted = |(raw, report): &(&RawClient, &RawReport)| {
        report.closed_at.map(|at| at.saturating_sub(Duration::from_millis(raw.plan.start_ms)))
    };
    let (one_lasted, other_lasted) = (lasted(one)?, lasted(other)?);
    let sending = |raw: &RawClient| sent_at(raw) - Duration::from_millis(raw.plan.start_ms);
    let most = ALIKE + sending(one.0).max(sending(other.0));
    (ends_alike && one_lasted.abs_diff(other_lasted) > most)
        .then(|| format!("{hosts} and are closed after {one_lasted:?} and {other_lasted:?}"))
}

/// When all has been sent, if the gateway reads it.
fn sent_at(raw: &RawClient) -> Duration {
    Duration::from_millis(raw.plan.start_ms + raw.plan.pieces.len() as u64 * raw.plan.pause_ms)
}

/// When the first `count` bytes have been sent.
fn sent_until(raw: &RawClient, count: usize) -> Duration {
    let mut before = 0;
    let pieces = raw.plan.pieces.iter().take_while(|piece| {
        before += piece.len();
        before < count
    });
    Duration::from_millis(raw.plan.start_ms + pieces.count() as u64 * raw.plan.pause_ms)
}

/// When the connection of a raw client is over at the latest.
fn due(plan: &Plan, raw: &RawClient, report: &RawReport, reading: Option<&Reading>) -> Duration {
    let ms = Duration::from_millis;
    let reads_from = ms(raw.plan.read_from_ms);
    // Who reads nothing is not read either, and may be written to for a while.
    let reads_late = raw.plan.read_from_ms > raw.plan.start_ms;
    let stall = match reads_late {
        true => ms(plan.config.live.player_stall_ms + plan.config.limits.farewell_ms),
        false => Duration::ZERO,
    };
    let over = match reading {
        Some(reading) => rtmp_over(plan, raw, report, reading),
        None => http_over(plan, raw, report),
    };
    over.max(if reads_late { reads_from } else { Duration::ZERO }) + stall + SOON + plan.slack()
}

/// When the deadline of the stage is over that somebody came to: by what it sent, and by what it was told.
fn rtmp_over(plan: &Plan, raw: &RawClient, report: &RawReport, reading: &Reading) -> Duration {
    let rtmp = &plan.config.rtmp;
    let ms = Duration::from_millis;
    let sent = sent_at(raw).max(ms(raw.plan.read_from_ms));
    if let Some(fatal_at) = reading.fatal_at {
        return sent_until(raw, fatal_at).max(ms(raw.plan.read_from_ms));
    }
    if raw.plan.half_close {
        return sent;
    }
    if !reading.is_shaken {
        return ms(raw.plan.start_ms + rtmp.handshake_ms);
    }
    // Who reads late may have been told nothing yet.
    let reads_late = raw.plan.read_from_ms > raw.plan.start_ms;
    let may_be = |status: &str| reads_late || has(&report.received, status);
    let given_up_ms = rtmp.ping_ms + rtmp.ping_timeout_ms;
    let stage_ms = match (may_be("NetStream.Play.Start"), may_be("NetStream.Publish.Start")) {
        (true, _) => given_up_ms,
        (false, true) => rtmp.publisher_silence_ms.max(rtmp.idle_ms).min(given_up_ms),
        (false, false) => rtmp.command_ms,
    };
    sent + ms(stage_ms)
}

fn has(received: &[u8], text: &str) -> bool {
    received.windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

/// When the last request is answered and no other came; or when the stream is over that somebody views.
fn http_over(plan: &Plan, raw: &RawClient, report: &RawReport) -> Duration {
    let http = &plan.config.http;
    let ms = Duration::from_millis;
    let reads_late = raw.plan.read_from_ms > raw.plan.start_ms;
    let published = plan.publishers.iter().map(|publisher| {
        let is_silent = publisher.plan.leave == Leave::Silent || plan.is_faulty(&publisher.host);
        let silence_ms = if is_silent { plan.config.rtmp.publisher_silence_ms } else { 0 };
        ms(publisher.plan.start_ms + publisher.plan.duration_ms + silence_ms)
    });
    let is_viewer = reads_late || answers::of_http(&report.received).0.is_stream;
    let over = if is_viewer { published.max().unwrap_or_default() } else { Duration::ZERO };
    let sent = raw.plan.pieces.concat();
    let ends = |end: &[u8]| sent.windows(end.len()).filter(|bytes| *bytes == end).count() as u32;
    // A line may end without its carriage return.
    let waits = (ends(b"\n\r\n") + ends(b"\n\n")) * ms(http.wait_publisher_ms);
    sent_at(raw).max(over) + waits + ms(http.head_ms.max(http.idle_ms))
}
