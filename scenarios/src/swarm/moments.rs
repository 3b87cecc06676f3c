//! Times around others: exactly then, a millisecond before or after, or some more.

use rehearsal_core::config::Config;
use rehearsal_sim::Rng;

/// Furthest from the time that is meant, in milliseconds: more than a picture lasts.
const AROUND_MS: u64 = 45;
/// Nothing that a client does lasts longer.
const LASTING_MS_MAX: u64 = 7_000;

/// A time around `at_ms`.
pub(super) fn near(rng: &mut Rng, at_ms: u64) -> u64 {
    let by_ms = match rng.below(4) {
        0 => 0,
        1 => -1,
        2 => 1,
        _ => rng.range(0..=2 * AROUND_MS) as i64 - AROUND_MS as i64,
    };
    at_ms.saturating_add_signed(by_ms)
}

/// How long something lasts: any time or, if `edges`, around one of the deadlines that it may come to.
pub(super) fn lasting(rng: &mut Rng, config: &Config, edges: bool) -> u64 {
    let (rtmp, live) = (&config.rtmp, &config.live);
    let deadlines_ms = [
        rtmp.publisher_silence_ms,
        rtmp.ping_timeout_ms,
        rtmp.ping_ms + rtmp.ping_timeout_ms,
        live.lag_resync_ms,
        live.lag_close_ms,
        live.player_stall_ms,
        live.keep_ms,
        config.limits.farewell_ms,
    ];
    let deadline_ms = deadlines_ms[rng.below(deadlines_ms.len() as u64) as usize];
    let any_ms = rng.range(30..=4_000);
    let near_ms = near(rng, deadline_ms).max(1);
    let is_near = edges && rng.below(3) > 0 && near_ms <= LASTING_MS_MAX;
    if is_near { near_ms } else { any_ms }
}

/// A delay with a heavy tail, in milliseconds: each power of two is as likely as the one before, up to 128 ms.
pub(super) fn delay_ms(rng: &mut Rng) -> u64 {
    let least = 1 << rng.below(7);
    rng.range(least..=2 * least)
}
