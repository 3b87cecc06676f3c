//! The streams that a direction's chances are drawn from, and the two that decide of loss.
//!
//! Each chance has a stream of its own, so that taking one of them away moves no draw of another.

use super::config::Direction;
use crate::rng::Rng;

/// The streams that a direction's chances are drawn from.
#[derive(Debug)]
pub(super) struct Chance {
    loss: Rng,
    burst: Rng,
    pub(super) jitter: Rng,
    pub(super) duplicate: Rng,
    pub(super) reorder: Rng,
    pub(super) corrupt: Rng,
    is_bad: bool,
}

impl Chance {
    pub(super) fn new(seed: u64, link: &str) -> Self {
        let stream = |what| Rng::named(seed, &format!("link/{link}/{what}"));
        Self {
            loss: stream("loss"),
            burst: stream("burst"),
            jitter: stream("jitter"),
            duplicate: stream("duplicate"),
            reorder: stream("reorder"),
            corrupt: stream("corrupt"),
            is_bad: false,
        }
    }

    /// Whether one of the packet's `fragments` is lost.
    pub(super) fn loses(&mut self, config: &Direction, fragments: u32) -> bool {
        let mut lost = false;
        for _ in 0..fragments {
            lost |= config.loss_ppm > 0 && self.loss.chance_ppm(config.loss_ppm);
            if let Some(burst) = config.burst_loss {
                let turn = if self.is_bad { burst.to_good_ppm } else { burst.to_bad_ppm };
                self.is_bad ^= self.burst.chance_ppm(turn);
                let loss = if self.is_bad { burst.bad_loss_ppm } else { burst.good_loss_ppm };
                lost |= self.burst.chance_ppm(loss);
            }
        }
        lost
    }
}
