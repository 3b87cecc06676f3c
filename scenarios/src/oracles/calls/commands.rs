//! O8 for clients of the application `sip`: connect and every command are answered soon, whatever becomes of the call.

use std::time::Duration;

use rehearsal_sim::LinkConfig;

use crate::{plan::SipClient, run::Evidence};

/// A call that is over lets go of its streams within this, and so long the next command waits.
const ANSWERED: Duration = Duration::from_millis(500);

/// Every client that nothing befalls while the gateway is there.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
    let found = clients.flat_map(|(client, report)| {
        if !is_undisturbed(evidence, client) {
            return Vec::new();
        }
        let allowed = ANSWERED + round_trip(evidence, client);
        let late = report.ordered.iter().filter_map(|it| {
            let due = evidence.due(&[&client.host], it.at, allowed);
            let answered = it.answered.as_ref().map(|(at, _)| *at);
            let is_late = match answered {
                Some(at) => at > due,
                None => report.ended_at > due,
            };
            let command = &it.command;
            let what = || format!("{command:?} of {:?} was answered at {answered:?}", it.at);
            is_late.then(|| format!("{}: {}", client.host, what()))
        });
        // A registrar that says nothing is asked again for as long as a request lives.
        let config = &evidence.plan.config.sip;
        let came = Duration::from_millis(client.plan.start_ms);
        let asked = match client.plan.password {
            Some(_) => Duration::from_millis(2 * 64 * config.t1_ms),
            None => Duration::ZERO,
        };
        let due = evidence.due(&[&client.host], came, asked + 3 * allowed);
        let connected = report.connected.as_ref().map(|(at, _)| *at);
        let is_late = connected.unwrap_or(report.ended_at) > due;
        let late_connect =
            is_late.then(|| format!("{}: connect was answered at {connected:?}", client.host));
        late.chain(late_connect).collect()
    });
    found.collect()
}

/// Whether it and the gateway are there all the time.
pub(super) fn is_undisturbed(evidence: &Evidence, client: &SipClient) -> bool {
    let plan = &evidence.plan;
    let is_befallen = plan.is_befallen(&client.host) || plan.is_befallen("gateway");
    !plan.is_faulty(&client.host) && !is_befallen
}

/// From one end of its line to the other and back, at most.
pub(super) fn round_trip(evidence: &Evidence, client: &SipClient) -> Duration {
    let links = [client.link, evidence.plan.gateway_link];
    let directions = links.into_iter().flat_map(|LinkConfig { up, down }| [up, down]);
    let one_way = directions.map(|it| it.delay_ns + it.jitter_ns).sum();
    Duration::from_nanos(one_way) + evidence.plan.slack()
}
