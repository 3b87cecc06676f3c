//! Fault points of the gateway: each takes part in some plans only, and then fires seldom, sometimes, or often.

use std::collections::BTreeMap;

use super::{Lots, features::Features};

/// What fires at the same instant at which something else would happen: nobody can tell but by the order.
const UNNOTICED: [&str; 3] = [
    "a delivery lets others go first",
    "a delivery takes one frame and no more",
    "an RTMP connection lets others go first",
];
/// What has subscribers skip, as when they are slow or the ring is small.
const SKIPPING: [&str; 2] =
    ["a ring lets go of all but its newest frame", "a subscriber is taken to be late"];
/// Of a million times that a point is come to, so many it fires.
const OFTEN_PPM: [u32; 3] = [2_000, 30_000, 300_000];

/// Points that fire, each with how often.
pub(super) fn draw(lots: &Lots, features: &Features) -> BTreeMap<String, u32> {
    let mut drawn = BTreeMap::new();
    if !features.points {
        return drawn;
    }
    for name in UNNOTICED.into_iter().chain(SKIPPING) {
        let mut rng = lots.of(&format!("point/{name}"));
        let (takes_part, ppm) = (rng.below(3) == 0, OFTEN_PPM[rng.below(3) as usize]);
        if takes_part {
            drawn.insert(name.to_owned(), ppm);
        }
    }
    drawn
}

/// Whether one of `points` has subscribers skip.
pub(super) fn may_skip(points: &BTreeMap<String, u32>) -> bool {
    SKIPPING.iter().any(|name| points.contains_key(*name))
}
