//! O24 parser robustness: whoever sends nonsense, or nothing more, is answered and closed in time.

use std::time::Duration;

use rehearsal_sim::clients::publisher::Leave;

use crate::{
    plan::{Listener, Plan, RawClient},
    run::Evidence,
};

/// For links, handshakes of TCP and tasks.
const SOON: Duration = Duration::from_secs(1);

/// Every raw client that no fault befalls gets its connection, and loses it when that is due at the latest: to misbehave is
/// what it is for.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    let mut violations = Vec::new();
    for (raw, report) in plan.raw_clients.iter().zip(&evidence.raw_clients) {
        let is_befallen = plan.faults.iter().any(|fault| fault.host == raw.host);
        if is_befallen || plan.meets_outage(raw.plan.start_ms, raw.plan.leave_ms) {
            continue;
        }
        let (host, due) = (&raw.host, due(plan, raw));
        let leaves = Duration::from_millis(raw.plan.leave_ms);
        match report {
            Err(why) => violations.push(format!("{host} could not connect: {why}")),
            Ok(report) => {
                let open_until = report.closed_at.unwrap_or(leaves);
                if open_until > due {
                    violations.push(format!(
                        "{host} was still connected at {open_until:?}, due was {due:?}"
                    ));
                }
            }
        }
    }
    violations
}

/// When the connection of a raw client is over at the latest, whatever it sent.
fn due(plan: &Plan, raw: &RawClient) -> Duration {
    let config = &plan.config;
    let ms = Duration::from_millis;
    let sent_ms = raw.plan.start_ms + raw.plan.pieces.len() as u64 * raw.plan.pause_ms;
    // It may play what others publish, and be told of its end.
    let published_ms = plan.publishers.iter().map(|publisher| {
        let is_silent = publisher.plan.leave == Leave::Silent || plan.is_faulty(&publisher.host);
        let silence_ms = if is_silent { config.rtmp.publisher_silence_ms } else { 0 };
        publisher.plan.start_ms + publisher.plan.duration_ms + silence_ms
    });
    let from = ms(sent_ms.max(raw.plan.read_from_ms).max(published_ms.max().unwrap_or(0)));
    let rtmp = &config.rtmp;
    let waits = match raw.listener {
        Listener::Rtmp => {
            ms((rtmp.handshake_ms + rtmp.command_ms).max(rtmp.ping_ms + rtmp.ping_timeout_ms))
        }
        Listener::Http => {
            let http = &config.http;
            raw.requests() * ms(http.wait_publisher_ms) + ms(http.head_ms.max(http.idle_ms))
        }
    };
    let farewell = ms(config.live.player_stall_ms + config.limits.farewell_ms);
    from + waits + farewell + SOON + plan.slack()
}
