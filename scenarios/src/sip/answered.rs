//! Streams that somebody is heard on who is called: they begin when he answers.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        phone::{Answer, PhonePlan, Reply},
        publisher::PublishPlan,
        rtmp_player::PlayPlan,
    },
};

use super::{call_out, callee, ends};
use crate::{
    catalogue::Scenario,
    live::{publish, unless},
    plan::{Plan, Protocol},
};

/// How long who is called lets it ring before he refuses or takes a call.
const RINGS_MS: u64 = 3_000;
/// The stream of the one who takes the call, and the one that is taken when its call is.
const AGREED: &str = "call/takes";
const TAKEN: &str = "call/late";

/// Two for one stream of whom one refuses, and one whose stream somebody else takes while it rings.
pub const ANSWERED: Scenario = Scenario {
    name: "sip/answered",
    about: "who waits for somebody who is called is not told of calls that come to nothing; a stream that is taken meanwhile is left alone",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let mut replies =
            |answer| Reply { rings_ms: Some(200), after_ms: RINGS_MS + rng.below(1_000), answer };
        let refuses = vec![replies(Answer::Refuse(486))];
        let takes = vec![Reply { after_ms: 2 * RINGS_MS, ..replies(Answer::Accept) }];
        let late = vec![replies(Answer::Accept)];
        let mut on = |stream: &str, phone: PhonePlan| {
            call_out(&mut plan, LinkConfig::lan(), phone).publish = Some(stream.to_owned());
        };
        // Those of whose calls nothing becomes have nothing to say.
        on(AGREED, PhonePlan { voice: None, ..callee("refuses", refuses) });
        on(AGREED, callee("takes", takes));
        // It is for the gateway to end its call.
        on(TAKEN, PhonePlan { voice: None, talk_ms: None, ..callee("late", late) });
        let media = MediaPlan { keyframe_bytes: 1_000, ..MediaPlan::default() };
        let taken =
            PublishPlan { stream: TAKEN.to_owned(), start_ms: 1_500, ..publish(20_000, media) };
        plan.publisher("publisher", LinkConfig::lan(), taken);
        for stream in [AGREED, TAKEN] {
            let (stream, start_ms, leave_ms) = (stream.to_owned(), 500, 30_000);
            let play = PlayPlan { stream, start_ms, leave_ms, stall: None, pause: None };
            let host = play.stream.replace('/', "-");
            plan.player(&host, LinkConfig::lan(), Protocol::Rtmp, play);
        }
        plan
    },
    check: |evidence| {
        let [refuses, takes, late] = [0, 1, 2].map(|index| &evidence.phones[index]);
        let (said, has) = (takes.spoken.len(), evidence.players[0].received.len());
        let whole = unless(said >= 290 && said == has, || {
            format!("takes said {said} packets, its player has {has}")
        });
        let taken = &evidence.publishers[0];
        let (said, has) = (taken.sent.len(), evidence.players[1].received.len());
        let left_alone = unless(said >= 500 && said == has, || {
            format!("the publisher sent {said} messages, its player has {has}")
        });
        [
            ends("refuses", refuses, &["left before an answer"]),
            ends("takes", takes, &["hung up"]),
            ends("late", late, &["hung up by the gateway"]),
            whole,
            left_alone,
        ]
        .into_iter()
        .flatten()
        .collect()
    },
};
