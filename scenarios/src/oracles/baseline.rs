//! O8 and O14, the gateway by itself: how its lives end, what is left of it at rest and after its end, and what it does while
//! nothing happens.

use std::time::Duration;

use crate::run::{Evidence, Life, Rest, idle_hour};

/// Polls of the gateway's tasks in a second in which nothing happens.
const POLLS_AT_REST_MAX: u64 = 10;
/// Polls that a ping and its answer may cost.
const POLLS_PER_PING_MAX: u64 = 4;
/// Beyond its deadline, an end that takes as long as it may is late by what a tick is late.
const TICK: Duration = Duration::from_millis(2);

/// Every life of the gateway that is told to end is over in time.
pub(super) fn ends_in_time(evidence: &Evidence) -> Vec<String> {
    let within = Duration::from_millis(evidence.plan.config.limits.shutdown_ms);
    let within = within + TICK + evidence.plan.slack();
    let lives = evidence.lives.iter().filter_map(|life| match life {
        Life::ToldToEnd { took: None, .. } => Some("told to end, the gateway never did".to_owned()),
        Life::ToldToEnd { took: Some(took), .. } if *took > within => {
            Some(format!("told to end, the gateway took {took:?}, allowed are {within:?}"))
        }
        Life::ToldToEnd { .. } | Life::Crashed => None,
    });
    lives.collect()
}

/// At rest there is one task and its listeners, and nothing after the end; no end cut anybody.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut violations = Vec::new();
    if evidence.streams_at_rest > 0 {
        violations.push(format!("at rest there are {} streams", evidence.streams_at_rest));
    }
    for life in &evidence.lives {
        let Life::ToldToEnd { cut_connections, streams, .. } = *life else { continue };
        if streams > 0 {
            violations.push(format!("after the end there are {streams} streams"));
        }
        if cut_connections > 0 {
            violations.push(format!("the shutdown cut {cut_connections} connections"));
        }
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

/// Tasks that are polled although nobody is there.
pub(super) fn polls_at_rest(evidence: &Evidence) -> Vec<String> {
    let polls = evidence.host.as_ref().map_or(0, |host| host.polls_at_rest);
    let is_busy = polls > POLLS_AT_REST_MAX;
    is_busy.then(|| format!("{polls} polls in a second of rest")).into_iter().collect()
}

/// Tasks that are polled although those who are there want nothing: a connection that idles is pinged.
pub(super) fn polls_in_idle_hour(evidence: &Evidence) -> Vec<String> {
    let host = evidence.host.as_ref();
    let polls = host.and_then(|host| host.polls_in_idle_hour).unwrap_or(0);
    let Some(hour) = idle_hour(&evidence.plan) else { return Vec::new() };
    let pings = (hour.to - hour.from).as_millis() as u64 / evidence.plan.config.rtmp.ping_ms + 1;
    let most = hour.connections as u64 * pings * POLLS_PER_PING_MAX + POLLS_AT_REST_MAX;
    let is_busy = polls > most;
    let what = || format!("{polls} polls in the hour from {:?}, allowed are {most}", hour.from);
    is_busy.then(what).into_iter().collect()
}
