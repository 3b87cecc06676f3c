//! O10 from one publish to the next: subscribers who stay see one clock that goes on by what passed at the gateway.
//!
//! When the gateway read a frame is not known, but it was after that was sent, and before anybody received it or anything
//! after it. All bounds follow from that; whatever delays frames on their way, or makes many come at once, is in them.

use std::time::Duration;

use rehearsal_core::media::timestamp::elapsed_ms;
use rehearsal_sim::clients::verify::Logged;

use super::epochs::{Epoch, Epochs, has_unknown, may_skip, parts};
use crate::run::Evidence;

/// Whole milliseconds are on the wire, and counted between two publishes, and the clocks of two simulators' hosts show.
const ROUNDING_MS: i64 = 2;

/// What subscribers of a stream have of one publish.
#[derive(Default)]
struct Seen {
    /// What is added to the publisher's times.
    shift_ms: Option<u32>,
    /// When the first of them received anything of it.
    first_at: Option<Duration>,
    /// When the first of them received its newest frame.
    newest_at: Option<Duration>,
    /// Some subscriber has it and the publish after it: the stream was there in between.
    goes_on: bool,
}

/// Publishes that follow each other before the eyes of a subscriber.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let all = Epochs::of(evidence);
    let known = all.streams().filter(|(stream, _)| !has_unknown(evidence, stream));
    let found = known.flat_map(|(stream, epochs)| {
        let seen = seen_of(evidence, stream, epochs);
        let wrong = epochs.windows(2).zip(seen.windows(2)).filter_map(|(epochs, seen)| {
            let ([one, two], [before, after]) = (epochs, seen) else { return None };
            goes_wrong((one, before), (two, after))
        });
        wrong.map(|what| format!("{stream}: {what}")).collect::<Vec<_>>()
    });
    found.collect()
}

/// What all subscribers of `stream` together have of each of its publishes.
fn seen_of(evidence: &Evidence, stream: &str, epochs: &[Epoch<'_>]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = epochs.iter().map(|_| Seen::default()).collect();
    let players = evidence.plan.players.iter().zip(&evidence.players);
    for (player, report) in players.filter(|(_, report)| report.stream == stream) {
        let parts = parts(report, epochs).0;
        for two in parts.windows(2) {
            seen[two[0].index].goes_on |= two[1].index == two[0].index + 1;
        }
        for part in parts {
            let (epoch, seen) = (&epochs[part.index], &mut seen[part.index]);
            let Ok((pairs, _)) = epoch.follow(&part.received, may_skip(evidence, player)) else {
                continue;
            };
            let newest = newest(epoch);
            for pair in pairs {
                let (sent, received) = (pair.sent, pair.received);
                let shift_ms = received.timestamp_ms.wrapping_sub(sent.timestamp_ms);
                seen.shift_ms.get_or_insert(shift_ms);
                earliest(&mut seen.first_at, received.at);
                if newest.is_some_and(|newest| std::ptr::eq(newest, sent)) {
                    earliest(&mut seen.newest_at, received.at);
                }
            }
        }
    }
    seen
}

fn earliest(at: &mut Option<Duration>, other: Duration) {
    *at = Some(at.map_or(other, |at| at.min(other)));
}

/// The frame of the greatest time, and the last of several.
fn newest<'e>(epoch: &'e Epoch<'_>) -> Option<&'e Logged> {
    epoch.sent().reduce(|newest, frame| {
        match elapsed_ms(frame.timestamp_ms, newest.timestamp_ms) < 0 {
            true => newest,
            false => frame,
        }
    })
}

/// How the publish `two` does not begin by as much after `one` as passed.
fn goes_wrong(
    (one, before): (&Epoch<'_>, &Seen),
    (two, after): (&Epoch<'_>, &Seen),
) -> Option<String> {
    let (shift_before_ms, shift_ms) = (before.shift_ms?, after.shift_ms?);
    let first = two.sent().next()?;
    let first_ms = first.timestamp_ms.wrapping_add(shift_ms);
    // By how much `first_ms` is more than `timestamp_ms` of the publish before, and what `passed`.
    let ahead_ms = |timestamp_ms: u32, from: Duration, to: Duration| {
        let passed_ms = to.as_millis() as i64 - from.as_millis() as i64;
        let then_ms = timestamp_ms.wrapping_add(shift_before_ms).wrapping_add(passed_ms as u32);
        i64::from(elapsed_ms(first_ms, then_ms))
    };
    let epoch = two.report.epoch;
    let read_by = after.first_at?;
    // Any frame may be the one that the gateway counted from.
    let least = one.sent().map(|sent| ahead_ms(sent.timestamp_ms, sent.at, read_by)).min()?;
    if before.goes_on && least > ROUNDING_MS {
        return Some(format!("epoch {epoch} runs ahead of what passed by {least} ms at least"));
    }
    // Only the newest one is sure not to have been read later than it was received.
    let behind_ms = -ahead_ms(newest(one)?.timestamp_ms, before.newest_at?, first.at);
    (before.goes_on && behind_ms > ROUNDING_MS)
        .then(|| format!("epoch {epoch} lags behind what passed by {behind_ms} ms at least"))
}
