//! Clients that speak no protocol by themselves: they stop at a stage, send some bytes more around its deadline, or read late; and
//! leave half way, or when they are closed.

use rehearsal_core::config::Config;
use rehearsal_sim::{LinkConfig, clients::raw::RawPlan};

use super::{
    Lots,
    clients::BUSY_MS,
    features::Features,
    moments::{lasting, near},
};
use crate::{
    plan::{Listener, Publisher, RawClient},
    stall::stages::STAGES,
    wire::{opening, request},
};

/// At most so many take part.
pub(super) const RAW_CLIENTS: usize = 4;
/// Who waits to be closed goes then.
const LEAVE_MS: u64 = 24_000;

/// All who could take part; the names of those who stop at a stage end with that of the stage.
pub(super) fn draw(
    lots: &Lots,
    features: &Features,
    config: &Config,
    publishers: &[Publisher],
) -> Vec<RawClient> {
    if !features.raw {
        return Vec::new();
    }
    let draw = |index| match lots.of(&format!("raw-{index}/kind")).below(4) {
        0 => reads_late(lots, features, config, publishers, index),
        _ => stops(lots, config, index),
    };
    (0..RAW_CLIENTS).map(draw).collect()
}

/// Stops at a stage. All have the same link, so that those who send the same need not fare alike when one leaves half way.
fn stops(lots: &Lots, config: &Config, index: usize) -> RawClient {
    let mut rng = lots.of(&format!("raw-{index}"));
    let stage = &STAGES[rng.below(STAGES.len() as u64) as usize];
    let drips = [0, 0, 1, 2][rng.below(4) as usize];
    let mut pieces = vec![(stage.opening)(&format!("-{index}"))];
    pieces.extend(stage.next.iter().take(drips).map(|byte| vec![*byte]));
    let start_ms = rng.below(BUSY_MS);
    let deadline_ms = (stage.deadline_ms)(config);
    let near_ms = near(&mut rng, deadline_ms);
    let pause_ms = if rng.below(2) == 0 { near_ms } else { rng.range(1..=1_000) };
    let leaves_ms = near(&mut rng, start_ms + deadline_ms).max(start_ms + 10);
    let leave_ms = match rng.below(4) {
        0 => start_ms + rng.range(10..=2_000),
        1 => leaves_ms.min(LEAVE_MS),
        _ => LEAVE_MS,
    };
    let plan = RawPlan { start_ms, pieces, pause_ms, half_close: false, read_from_ms: 0, leave_ms };
    let host = format!("raw-{index}-{}", stage.name);
    RawClient { host, link: LinkConfig::lan(), listener: stage.listener, plan }
}

/// Plays or views a stream and reads late, or sends its FIN.
fn reads_late(
    lots: &Lots,
    features: &Features,
    config: &Config,
    publishers: &[Publisher],
    index: usize,
) -> RawClient {
    let mut rng = lots.of(&format!("raw-{index}"));
    let its = &publishers[rng.below(publishers.len() as u64) as usize].plan;
    let start_ms = (its.start_ms + rng.below(2_000)).saturating_sub(500);
    let (app, name) = its.stream.split_once('/').expect("a stream has an application");
    let (listener, opening) = match rng.below(2) {
        0 => (Listener::Rtmp, opening("play", name)),
        _ => {
            let more = format!("X-Client: {index}\r\n");
            (Listener::Http, request("GET", &format!("/{app}/{name}.flv"), &more))
        }
    };
    let for_ms = lasting(&mut rng, config, features.edges);
    let half_close = rng.below(3) == 0;
    let pause_ms = rng.range(1..=3_000);
    let plan = RawPlan {
        start_ms,
        pieces: vec![opening],
        pause_ms,
        half_close,
        read_from_ms: start_ms + for_ms,
        leave_ms: if rng.below(2) == 0 { LEAVE_MS } else { start_ms + for_ms + pause_ms },
    };
    RawClient { host: format!("raw-{index}"), link: LinkConfig::lan(), listener, plan }
}
