//! O13 two-way progress: what clients send is read, unless they do not take their answers; and what the gateway has
//! written gets away, unless its peer takes nothing.

use std::time::Duration;

use rehearsal_sim::LinkConfig;

use crate::{
    plan::{Listener, Plan},
    run::Evidence,
};

/// The gateway may be in the middle of something for so long.
const SOON: Duration = Duration::from_secs(1);

/// A segment is acknowledged within this, however narrow the link, once those before it are.
const ACKNOWLEDGED: Duration = Duration::from_secs(3);

/// Bytes lie unread only where answers pile up or a request waits for another, and no longer than that is allowed. Bytes for
/// a peer that has room for them get away on every link that loses nothing.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    let Some(host) = &evidence.host else { return Vec::new() };
    let unread = host.unread.iter().filter(|(name, longest)| **longest > longest_max(plan, name));
    let unread =
        unread.map(|(name, longest)| format!("bytes of {name} lay unread for {longest:?}"));
    let late = ACKNOWLEDGED + plan.slack();
    let unsent =
        host.unsent.iter().filter(|(name, longest)| **longest > late && is_calm(plan, name));
    let unsent = unsent.map(|(name, longest)| format!("bytes for {name} waited for {longest:?}"));
    unread.chain(unsent).collect()
}

/// Whether nothing befalls `host` or the gateway, and their links leave nothing to chance that delays a packet.
fn is_calm(plan: &Plan, host: &str) -> bool {
    let publishers = plan.publishers.iter().map(|publisher| (&publisher.host, publisher.link));
    let players = plan.players.iter().map(|player| (&player.host, player.link));
    let raw_clients = plan.raw_clients.iter().map(|raw| (&raw.host, raw.link));
    let crowds = plan.crowds.iter().map(|crowd| (&crowd.host, crowd.link));
    let sip_clients = plan.sip_clients.iter().map(|client| (&client.host, client.link));
    let phones = plan.phones.iter().map(|phone| (&phone.host, phone.link));
    let of_host = publishers.chain(players).chain(raw_clients).chain(crowds);
    let of_host = of_host.chain(sip_clients).chain(phones);
    let mut links = of_host.filter(|(name, _)| *name == host).map(|(_, link)| link);
    let is_steady = |link: LinkConfig| {
        [link.up, link.down].iter().all(|way| {
            let loses = way.loss_ppm > 0 || way.burst_loss.is_some() || way.corrupt_ppm > 0;
            !loses && way.reorder_ppm == 0
        })
    };
    let is_befallen = plan.faults.iter().any(|fault| fault.host == host || fault.host == "gateway");
    !is_befallen && !plan.is_faulty(host) && is_steady(plan.gateway_link) && links.all(is_steady)
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
