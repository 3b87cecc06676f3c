//! How long an operation takes.
//!
//! The bytes of one operation move after those of the one before, at the disk's rate; the latency
//! comes on top and is waited for side by side. The disk's own account is exact to the nanosecond, so
//! that a long transfer in small pieces takes as long as its rate says.

use std::time::Duration;

use tokio::time::Instant;

use super::config::DiskConfig;

#[derive(Default)]
pub(super) struct Timing {
    /// When the bytes of everything so far have moved.
    busy_until: Option<Instant>,
}

impl Timing {
    /// When an operation that begins now and moves `bytes` is done; `None` for at once.
    pub(super) fn due(
        &mut self,
        config: &DiskConfig,
        jitter_ns: u64,
        bytes: usize,
    ) -> Option<Instant> {
        let latency = Duration::from_nanos(config.latency_ns.saturating_add(jitter_ns));
        if config.rate_bytes_per_s == 0 {
            self.busy_until = None;
            return (!latency.is_zero()).then(|| Instant::now() + latency);
        }
        let transfer_ns = bytes as u128 * 1_000_000_000 / u128::from(config.rate_bytes_per_s);
        let transfer = Duration::from_nanos(u64::try_from(transfer_ns).unwrap_or(u64::MAX));
        let now = Instant::now();
        let moved = self.busy_until.map_or(now, |busy| busy.max(now)) + transfer;
        self.busy_until = Some(moved);
        Some(moved + latency)
    }
}
