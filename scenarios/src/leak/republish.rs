//! Publish after publish of a stream that somebody plays throughout, so that its entry in the registry lives on.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::publisher::{Leave, PublishPlan},
};

use super::{has_all_of, media_of, plays, publishes};
use crate::{
    catalogue::Scenario,
    live::{STREAM, unless},
    plan::{Plan, Protocol},
};

/// How often the stream is published.
const EPOCHS: u32 = 5;
const PUBLISH_MS: u64 = 1_500;

/// The same name again and again.
pub const REPUBLISH: Scenario = Scenario {
    name: "leak/republish",
    about: "a name is published five times while one player stays; each publish has a viewer of its own",
    parity: true,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/leak/republish");
        let mut plan = Plan::empty();
        let mut start_ms = 800;
        for epoch in 1..=EPOCHS {
            let leave = match rng.below(2) {
                0 => Leave::Orderly,
                _ => Leave::Killed,
            };
            let digest = rng.below(2) == 0;
            let publish =
                PublishPlan { epoch, leave, digest, ..publishes(STREAM, start_ms, PUBLISH_MS) };
            plan.publisher(&format!("publisher-{epoch}"), LinkConfig::lan(), publish);
            // It waits, and sees the first that comes.
            let view =
                plays(STREAM, start_ms - rng.range(100..=300), start_ms + PUBLISH_MS + 5_000);
            let host = format!("viewer-{epoch}");
            plan.player(&host, LinkConfig::lan(), Protocol::HttpFlv, view);
            start_ms += PUBLISH_MS + rng.range(600..=900);
        }
        let stays = plays(STREAM, rng.below(300), start_ms + 4_000);
        plan.player("stays", LinkConfig::lan(), Protocol::Rtmp, stays);
        plan
    },
    check: |evidence| {
        let [viewers @ .., stays] = &evidence.players[..] else { unreachable!() };
        let publishers = evidence.publishers.iter().zip(viewers);
        let check = publishers.filter_map(|(publish, viewer)| {
            let others = (1..=EPOCHS).filter(|epoch| *epoch != publish.epoch);
            let mixed = others.map(|epoch| media_of(epoch, &viewer.received).len()).sum::<usize>();
            let is_seen = has_all_of(publish, stays) && has_all_of(publish, viewer);
            unless(is_seen && mixed == 0, || {
                let (epoch, end) = (publish.epoch, &publish.end);
                format!("epoch {epoch}, which ended: {end}, was not seen whole and by itself")
            })
        });
        check.collect()
    },
};
