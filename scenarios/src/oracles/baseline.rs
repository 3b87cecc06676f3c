//! O8 baseline and O14 time hygiene: what is left of the gateway at rest and after its end, and what it does at rest.

use crate::run::{Evidence, Rest};

/// Polls of the gateway's tasks in a second in which nothing happens.
const POLLS_AT_REST_MAX: u64 = 10;

/// At rest there is one task and its listeners, and nothing after the end; the end cut nobody.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut violations = Vec::new();
    for (streams, when) in
        [(evidence.streams_at_rest, "at rest"), (evidence.streams_after_shutdown, "after the end")]
    {
        if streams > 0 {
            violations.push(format!("{when} there are {streams} streams"));
        }
    }
    if evidence.cut_connections > 0 {
        violations.push(format!("the shutdown cut {} connections", evidence.cut_connections));
    }
    let Some(host) = &evidence.host else { return violations };
    let serving = usize::from(!evidence.plan.ends_in_outage());
    let at_rest = Rest { tasks: serving, time_wait: host.at_rest.time_wait, ..Rest::default() };
    if host.at_rest != at_rest {
        violations.push(format!("at rest there is {:?}", host.at_rest));
    }
    if host.after_shutdown != Rest::default() {
        violations.push(format!("after the end there is {:?}", host.after_shutdown));
    }
    violations
}

/// Tasks that are polled although nothing happens.
pub(super) fn idle_polls(evidence: &Evidence) -> Vec<String> {
    let polls = evidence.host.as_ref().map_or(0, |host| host.polls_at_rest);
    let is_busy = polls > POLLS_AT_REST_MAX;
    is_busy.then(|| format!("{polls} polls in a second of rest")).into_iter().collect()
}
