//! A publisher falls silent or vanishes, and others ask for its name just before and just after it is given up.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::{Leave, PublishPlan, PublishReport},
        verify::Kind,
    },
};

use crate::{
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    plan::{Plan, Protocol, VANISHED_CALM_MS},
    run::Evidence,
};

/// Which deadline ends the publisher, in milliseconds after its last message.
const DEADLINE_MS: u64 = 5_000;
/// From a message's way into the network to its arrival, and from an arrival to the answer.
const ON_THE_WAY: Duration = Duration::from_millis(5);

/// When the last message was sent that arrived.
fn last_heard(evidence: &Evidence) -> Duration {
    let black_hole =
        evidence.plan.faults.iter().map(|fault| Duration::from_millis(fault.at_ms)).min();
    let sent = evidence.publishers[0].sent.iter().map(|sent| sent.at);
    sent.filter(|at| black_hole.is_none_or(|begins| *at < begins)).max().unwrap_or_default()
}

/// Publish at the deadline of who has the name.
pub const SILENCE_DEADLINE: Scenario = Scenario {
    name: "churn/silence-deadline",
    about: "the name of a publisher that fell silent or vanished is free from its deadline on, not before",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/deadline");
        let mut plan = Plan::empty();
        plan.terms.calm_ms = VANISHED_CALM_MS;
        let vanishes = rng.below(2) == 0;
        // A peer that is there answers pings; one that is not is given up by whichever deadline is first.
        let by_ping = rng.below(2) == 0 && vanishes;
        let rtmp = &mut plan.config.rtmp;
        if by_ping {
            (rtmp.ping_ms, rtmp.ping_timeout_ms) = (3_000, DEADLINE_MS - 3_000);
        } else {
            rtmp.publisher_silence_ms = DEADLINE_MS;
            rtmp.ping_ms = 1_500;
        }
        let media = MediaPlan { audio_bytes: 0, ..MediaPlan::default() };
        let frames = rng.range(50..=90);
        let start_ms = 500;
        // The last frame goes out when it is due, after a connect of 1 ms or so.
        let last_ms = start_ms + (frames - 1) * 40 + 1;
        let duration_ms = if vanishes { 60_000 } else { frames * 40 };
        let holder = PublishPlan {
            start_ms,
            leave: if vanishes { Leave::Orderly } else { Leave::Silent },
            ..publish(duration_ms, media.clone())
        };
        plan.publisher("holder", LinkConfig::lan(), holder);
        if vanishes {
            plan.fault(last_ms + 20, "holder", Lever::BlackHole(true));
            plan.terms.faulty.push("holder".to_owned());
        }
        let due_ms = last_ms + DEADLINE_MS;
        // Longer than somebody may wait for a first frame: whether it comes is judged.
        let comes =
            |epoch, start_ms| PublishPlan { epoch, start_ms, ..publish(5_000, media.clone()) };
        let early_ms = due_ms - rng.range(10..=200);
        plan.publisher("early", LinkConfig::lan(), comes(2, early_ms));
        // Within the millisecond, as far as one can know: whoever asks for it first.
        let at_once_ms = due_ms - 3 + rng.below(7);
        plan.publisher("at-once", LinkConfig::lan(), comes(3, at_once_ms));
        let late_ms = due_ms + rng.range(10..=200);
        plan.publisher("late", LinkConfig::lan(), comes(4, late_ms));
        plan.terms.slack_ms = 200;
        let leave_ms = due_ms + 9_000;
        plan.player("player", LinkConfig::lan(), Protocol::Rtmp, play(100, leave_ms));
        plan.player("viewer", LinkConfig::lan(), Protocol::HttpFlv, play(100, leave_ms));
        plan
    },
    check: |evidence| {
        let due = last_heard(evidence) + Duration::from_millis(DEADLINE_MS);
        let [_, early, at_once, late] = &evidence.publishers[..] else { unreachable!() };
        let accepted = |publisher: &PublishReport| publisher.refused.is_none();
        let mut violations = Vec::new();
        for publisher in [early, at_once, late] {
            let answered = publisher.answered_at.unwrap_or_default();
            let too_soon = accepted(publisher) && answered < due;
            violations.extend(unless(!too_soon, || {
                format!("epoch {} got the name at {answered:?}, due {due:?}", publisher.epoch)
            }));
            let too_late = !accepted(publisher)
                && answered > due + ON_THE_WAY
                && (publisher.epoch == at_once.epoch || !accepted(at_once));
            violations.extend(unless(!too_late, || {
                format!("epoch {} was refused at {answered:?}, due {due:?}", publisher.epoch)
            }));
        }
        // Who has the name is relayed as well.
        for winner in [early, at_once, late].into_iter().filter(|p| accepted(p)) {
            let pictures = evidence.players[0].received.iter().filter(|seen| {
                seen.kind == Kind::Keyframe
                    && seen.stamp.is_some_and(|stamp| stamp.epoch == winner.epoch)
            });
            let count = pictures.count();
            violations.extend(unless(count >= 2, || {
                format!("the player saw {count} keyframes of epoch {}", winner.epoch)
            }));
        }
        let accepted = [early, at_once, late].map(accepted);
        let one = matches!(accepted, [false, true, false] | [false, false, true]);
        violations.extend(unless(one, || format!("who got the name: {accepted:?}")));
        violations
    },
};
