//! Players who pause, and go on: where they stopped while that is the newest GOP, or at the last keyframe.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::PublishPlan,
        rtmp_player::{PlayPlan, PlayReport, Stall},
        verify::Kind,
    },
};

use super::{play, publish, unless};
use crate::{
    catalogue::Scenario,
    oracles::Violation,
    plan::{Plan, Player, Protocol},
    run::Evidence,
};

/// What was on its way arrives within this time, and the first frames after a pause.
const SOON: Duration = Duration::from_millis(100);
/// From one keyframe to the next.
const GOP_MS: u64 = 2_000;

/// A short pause, one across a keyframe, a long one, and one from one publish into the next.
pub const PAUSE: Scenario = Scenario {
    name: "live/pause",
    about: "players who pause receive nothing meanwhile, are told of publishers, and go on at once",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/pause");
        let mut plan = Plan::empty();
        // Kept for a shorter time than the long pause takes.
        plan.config.live.keep_ms = 3_000;
        // Little is on its way to who pauses, so that the bound on memory is near to what is held.
        plan.config.live.in_flight_bytes = 1 << 13;
        let media = MediaPlan { header_every_gops: 2, ..MediaPlan::default() };
        let second_ms = 10_000 + rng.range(1_200..=2_000);
        plan.publisher("publisher-1", LinkConfig::lan(), publish(10_000, media.clone()));
        let second =
            PublishPlan { epoch: 2, start_ms: second_ms, ..publish(8_000, MediaPlan::default()) };
        plan.publisher("publisher-2", LinkConfig::lan(), second);
        // Within the second GOP, which begins a little after its time.
        let short_ms = GOP_MS + 200 + rng.below(500);
        // Over the beginning of the third GOP, to where all since the pause began is still kept.
        let to_third_ms = 2 * GOP_MS - 400 - rng.below(500);
        let third_ms = 2 * GOP_MS + 400 + rng.below(500);
        let long_ms = 1_000 + rng.below(1_000);
        let pauses = [
            ("short", Stall { from_ms: short_ms, to_ms: short_ms + 300 + rng.below(700) }),
            ("to-third", Stall { from_ms: to_third_ms, to_ms: third_ms }),
            ("long", Stall { from_ms: long_ms, to_ms: long_ms + rng.range(5_000..=6_000) }),
            ("across", Stall { from_ms: 9_500, to_ms: second_ms + rng.range(500..=1_500) }),
        ];
        for (host, pause) in pauses {
            let paused = PlayPlan { pause: Some(pause), ..play(200, 24_000) };
            plan.player(host, LinkConfig::lan(), Protocol::Rtmp, paused);
            plan.terms.may_skip.push(host.to_owned());
        }
        plan.player("player", LinkConfig::lan(), Protocol::Rtmp, play(200, 24_000));
        // The next publish's first frame waits for the end of the pause.
        plan.terms.slack_ms = 2_000;
        plan
    },
    check: |evidence| {
        let players = evidence.plan.players.iter().zip(&evidence.players);
        players.flat_map(|(player, report)| of_player(evidence, player, report)).collect()
    },
};

fn of_player(evidence: &Evidence, player: &Player, report: &PlayReport) -> Vec<Violation> {
    let host = &player.host;
    let Some(Stall { from_ms, to_ms }) = player.plan.pause else {
        let (has, all) = (report.received.len(), sent(evidence));
        let lacks = unless(has == all, || format!("{host} has {has} messages of {all}"));
        return lacks.into_iter().collect();
    };
    let [from, to] = [from_ms, to_ms].map(Duration::from_millis);
    let told_at = |code: &str, from: Duration, to: Duration| {
        let mut told = report.statuses.iter();
        told.any(|(at, status)| status.ends_with(code) && (from..to).contains(at))
    };
    let answers = [("Pause.Notify", from), ("Unpause.Notify", to)].map(|(code, at)| {
        unless(told_at(code, at, at + SOON), || format!("{host} was not told {code} at {at:?}"))
    });
    let [first, second] = &evidence.publishers[..] else { return Vec::new() };
    let comes = [("UnpublishNotify", first.ended_at), ("PublishNotify", second.answered_at)];
    let comes = comes.map(|(code, at)| {
        let at = at.unwrap_or_default();
        let hears = told_at(code, at.saturating_sub(SOON), at + SOON);
        unless(hears, || format!("{host} was not told {code} at {at:?}"))
    });
    let media = |kind| matches!(kind, Kind::Keyframe | Kind::Inter | Kind::Audio);
    let mut received = report.received.iter().filter(|seen| media(seen.kind));
    let meanwhile = received.clone().filter(|seen| (from + SOON..to).contains(&seen.at)).count();
    let silence = unless(meanwhile == 0, || format!("{host} received {meanwhile} in its pause"));
    let first = received.find(|seen| seen.at >= to);
    let goes_on = first.is_some_and(|first| first.at < to + SOON);
    let goes_on = unless(goes_on, || format!("{host} went on with {first:?}, asked at {to:?}"));
    // Who missed no keyframe missed nothing; the end of a publish is no gap.
    let has_gaps = report.gaps > 0;
    let gaps = unless(has_gaps == matches!(&host[..], "to-third" | "long"), || {
        format!("{host} has {} gaps", report.gaps)
    });
    let is_whole = host != "short" || report.received.len() == sent(evidence);
    let whole = unless(is_whole, || {
        format!("{host} has {} messages of {}", report.received.len(), sent(evidence))
    });
    answers.into_iter().chain(comes).chain([silence, goes_on, gaps, whole]).flatten().collect()
}

/// Messages of all publishers.
fn sent(evidence: &Evidence) -> usize {
    evidence.publishers.iter().map(|publisher| publisher.sent.len()).sum()
}
