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
const SKIPPING: [&str; 2] = ["a ring lets go of all but its newest frame", SELDOM_COME_TO];
/// Of a million times that a point is come to, so many it fires.
const OFTEN_PPM: [u32; 3] = [2_000, 30_000, 300_000];
/// Of one that few come to.
const MOSTLY_PPM: [u32; 3] = [300_000, 600_000, 1_000_000];
/// Who is late has to have something to skip, which who keeps up has not.
const SELDOM_COME_TO: &str = "a subscriber is taken to be late";

/// Points that fire, each with how often.
pub(super) fn draw(lots: &Lots, features: &Features) -> BTreeMap<String, u32> {
    let mut drawn = BTreeMap::new();
    if !features.points {
        return drawn;
    }
    for name in UNNOTICED.into_iter().chain(SKIPPING) {
        let mut rng = lots.of(&format!("point/{name}"));
        let (chance, often_ppm) =
            if name == SELDOM_COME_TO { (2, MOSTLY_PPM) } else { (3, OFTEN_PPM) };
        let (takes_part, ppm) = (rng.below(chance) == 0, often_ppm[rng.below(3) as usize]);
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
