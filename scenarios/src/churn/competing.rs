//! Many publishers for few names, and players who come and go meanwhile.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        publisher::{Leave, PublishPlan},
        rtmp_player::PlayPlan,
    },
};

use crate::{
    catalogue::Scenario,
    fault::Lever,
    live::{play, publish, unless},
    plan::{Plan, Protocol, VANISHED_CALM_MS},
};

/// Publishers and players come within so much time.
const BUSY_MS: u64 = 16_000;
const END_MS: u64 = 34_000;
const TAKEN: &str = "NetStream.Publish.BadName";

/// How a publisher ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Plan(Leave),
    Reset,
    BlackHole,
    Crash,
}

const ENDS: [End; 6] = [
    End::Plan(Leave::Orderly),
    End::Plan(Leave::Killed),
    End::Plan(Leave::Silent),
    End::Reset,
    End::BlackHole,
    End::Crash,
];

fn key(index: u64) -> String {
    format!("live/cam-{index}")
}

fn link(rng: &mut Rng) -> LinkConfig {
    match rng.below(2) {
        0 => LinkConfig::lan(),
        _ => LinkConfig::dsl(),
    }
}

/// Adds the publisher called `host` with `epoch`, whose end takes it unawares if it is none that it plans.
fn add_publisher(plan: &mut Plan, rng: &mut Rng, host: &str, publisher: PublishPlan, end: End) {
    let leave = match end {
        End::Plan(leave) => leave,
        _ => Leave::Orderly,
    };
    let unawares = match end {
        End::Plan(_) => None,
        End::Reset => Some(Lever::ResetConnections),
        End::BlackHole => Some(Lever::BlackHole(true)),
        End::Crash => Some(Lever::Crash),
    };
    let at_ms = publisher.start_ms + 300 + rng.below(publisher.duration_ms);
    if let Some(lever) = unawares {
        plan.fault(at_ms, host, lever);
        plan.terms.faulty.push(host.to_owned());
    }
    let link = link(rng);
    plan.publisher(host, link, PublishPlan { leave, ..publisher });
}

/// Publishers compete for up to three names.
pub const COMPETING_PUBLISHERS: Scenario = Scenario {
    name: "churn/competing-publishers",
    about: "publishers compete for a few names and end in every way; players come and go meanwhile",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/churn");
        let mut plan = Plan::empty();
        plan.config.rtmp.publisher_silence_ms = 3_000;
        plan.config.rtmp.ping_ms = 4_000;
        plan.config.rtmp.ping_timeout_ms = 2_000;
        plan.config.live.player_stall_ms = 5_000;
        plan.terms.calm_ms = VANISHED_CALM_MS;
        plan.terms.slack_ms = 200;
        let keys = rng.range(1..=3);
        let epoch = |epoch, stream, start_ms, duration_ms| PublishPlan {
            stream,
            epoch,
            start_ms,
            digest: epoch % 2 == 0,
            ..publish(duration_ms, MediaPlan::default())
        };
        // The first two make sure of a refusal.
        let first_ms = rng.below(500);
        let first = epoch(1, key(0), first_ms, rng.range(4_000..=6_000));
        let first_end = End::Plan(if rng.below(2) == 0 { Leave::Orderly } else { Leave::Killed });
        add_publisher(&mut plan, &mut rng, "publisher-1", first, first_end);
        let intruder_ms = first_ms + rng.range(500..=3_000);
        let intruder = epoch(2, key(0), intruder_ms, 5_000);
        let orderly = End::Plan(Leave::Orderly);
        add_publisher(&mut plan, &mut rng, "publisher-2", intruder, orderly);
        for number in 3..=rng.range(5..=9) {
            let (name, start_ms) = (key(rng.below(keys)), intruder_ms + 50 + rng.below(BUSY_MS));
            let publisher = epoch(number as u32, name, start_ms, rng.range(500..=5_000));
            let end = ENDS[rng.below(ENDS.len() as u64) as usize];
            add_publisher(&mut plan, &mut rng, &format!("publisher-{number}"), publisher, end);
        }
        let protocol = |number| if number % 2 == 0 { Protocol::Rtmp } else { Protocol::HttpFlv };
        for number in 0..keys {
            let stays = PlayPlan { stream: key(number), ..play(rng.below(300), END_MS) };
            let link = link(&mut rng);
            plan.player(&format!("stays-{number}"), link, Protocol::Rtmp, stays);
        }
        for number in 0..rng.range(4..=8) {
            let start_ms = rng.below(BUSY_MS);
            let leave_ms = start_ms + rng.range(50..=12_000);
            let passing = PlayPlan { stream: key(rng.below(keys)), ..play(start_ms, leave_ms) };
            let link = link(&mut rng);
            plan.player(&format!("passing-{number}"), link, protocol(number), passing);
        }
        plan
    },
    check: |evidence| {
        let refused = evidence.publishers[1].refused.as_deref();
        let taken = unless(refused == Some(TAKEN), || {
            format!("who came to a name that was taken was answered {refused:?}")
        });
        // A name that nobody holds is given to who asks for it, whatever became of those before.
        let denied = evidence.publishers.iter().filter_map(|publisher| {
            let refused = publisher.refused.as_deref();
            unless(refused.is_none_or(|code| code == TAKEN), || {
                format!("epoch {} was answered {refused:?}", publisher.epoch)
            })
        });
        taken.into_iter().chain(denied).collect()
    },
};
