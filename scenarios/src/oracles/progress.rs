//! O13 two-way progress: what clients send is read, unless they do not take their answers.

use std::time::Duration;

use crate::{
    plan::{Listener, Plan},
    run::Evidence,
};

/// The gateway may be in the middle of something for so long.
const SOON: Duration = Duration::from_secs(1);

/// Bytes lie unread only where answers pile up or a request waits for another, and no longer than that is allowed.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    let Some(host) = &evidence.host else { return Vec::new() };
    let unread = host.unread.iter().filter(|(name, longest)| **longest > longest_max(plan, name));
    unread.map(|(name, longest)| format!("bytes of {name} lay unread for {longest:?}")).collect()
}

fn longest_max(plan: &Plan, host: &str) -> Duration {
    let stall = Duration::from_millis(plan.config.live.player_stall_ms);
    let may_stall = plan.may_skip(host)
        || plan.players.iter().any(|player| player.host == host && player.plan.stall.is_some());
    let of_players = if may_stall { stall } else { Duration::ZERO };
    let raw_clients = plan.raw_clients.iter().filter(|raw| raw.host == host);
    let of_raw = raw_clients.map(|raw| match raw.listener {
        Listener::Rtmp => stall,
        // Requests are answered one after the other.
        Listener::Http => {
            let http = &plan.config.http;
            let waits = raw.requests() * Duration::from_millis(http.wait_publisher_ms);
            waits + stall.max(Duration::from_millis(http.idle_ms))
        }
    });
    of_raw.max().unwrap_or_default().max(of_players) + SOON + plan.slack()
}
