//! Family lossy: players and publishers behind links that lose packets.

mod narrow;
mod recovers;

pub use narrow::TOO_NARROW;
pub use recovers::{LAST_MILE, LOSSY_PUBLISHER, PRESETS};

use rehearsal_sim::{Direction, GilbertElliott, LinkConfig};

/// `link` with loss of `loss_ppm`, each packet for itself or in bursts in which half of the packets are lost.
fn with_loss(link: LinkConfig, loss_ppm: u32, in_bursts: bool) -> LinkConfig {
    if !in_bursts {
        return link.with_loss_ppm(loss_ppm);
    }
    // A burst lasts 4 packets on average, so that the bad state has a share of 2 loss_ppm.
    let bursts = GilbertElliott {
        to_bad_ppm: loss_ppm / 2,
        to_good_ppm: 250_000,
        good_loss_ppm: 0,
        bad_loss_ppm: 500_000,
    };
    link.with(|direction: &mut Direction| direction.burst_loss = Some(bursts))
}
