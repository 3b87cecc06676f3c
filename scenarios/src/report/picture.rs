//! A run that is carried out once more to be drawn.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::Range,
};

use rehearsal_sim::trace::Trace;
use serde::Serialize;

use super::{
    alarms::Alarm,
    curves::{self, Graph},
    reading,
    timeline::Timeline,
};
use crate::{
    capsule::Capsule,
    catalogue::Scenario,
    oracles::Violation,
    plan::Plan,
    run::{self, Outcome, TraceSummary, Watch},
};

/// Events of a run that are looked at: those around the first alarm, or the first ones. They are in memory.
const EVENTS_MAX: u64 = 500_000;
/// Violations that are marked in a picture, the first ones.
pub(super) const ALARMS_MAX: usize = 200;

/// A run to be drawn.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What judges it.
    pub scenario: &'static Scenario,
    /// The world's seed.
    pub seed: u64,
    /// What happens in it.
    pub plan: Plan,
    /// Whether the scenario's check judges it, too.
    pub is_checked: bool,
}

impl Subject {
    /// What `scenario` makes of `seed`.
    pub fn of_scenario(scenario: &'static Scenario, seed: u64) -> Self {
        Self { scenario, seed, plan: (scenario.plan)(seed), is_checked: true }
    }

    /// The run of a capsule.
    pub fn of_capsule(capsule: &Capsule) -> Self {
        Self {
            scenario: capsule.scenario(),
            seed: capsule.seed,
            plan: capsule.plan.clone(),
            is_checked: capsule.is_checked(&capsule.plan),
        }
    }
}

/// A run as the page has it.
#[derive(Debug)]
pub(super) struct Picture {
    /// How it was judged.
    pub(super) violations: Vec<Violation>,
    /// What clients saw, a line each.
    pub(super) clients: Vec<String>,
    /// Nothing when the world broke with the run.
    pub(super) trace: Option<TraceSummary>,
    /// Virtual time that passed, in milliseconds.
    pub(super) virtual_ms: u64,
    /// Packets that were lost.
    pub(super) losses: usize,
    /// Events that were not looked at, before and after those that were.
    pub(super) events_unseen: [u64; 2],
    /// What the script draws; nothing when the world broke with the run.
    pub(super) drawing: Option<Drawing>,
}

/// What the script draws.
#[derive(Debug, Serialize)]
pub(super) struct Drawing {
    /// Of what.
    name: String,
    /// Where the run ends, in microseconds.
    end_us: u64,
    /// Where nothing goes from host to host any more, in microseconds.
    busy_us: u64,
    pub(super) timeline: Timeline,
    pub(super) alarms: Vec<Alarm>,
    graphs: Vec<Graph>,
}

impl Picture {
    /// Carries out `subject`: once to be judged, and once for its events, which are the same.
    pub(super) fn of(subject: &Subject) -> Self {
        let Subject { scenario, seed, plan, is_checked } = subject;
        let outcome = run::run_plan(scenario, *seed, plan, *is_checked, &Watch::default());
        // A world that broke cannot be looked at.
        let drawing = outcome.trace.map(|TraceSummary { events, .. }| {
            let trace = |keep_events| {
                run::trace_of(*seed, plan.clone(), &Watch { keep_events, ..Watch::default() })
            };
            let seen = match (events > EVENTS_MAX).then(|| first_alarm_us(&outcome)).flatten() {
                Some(alarm_us) => around(&trace(0..0), alarm_us, EVENTS_MAX),
                None => 0..EVENTS_MAX.min(events),
            };
            let (drawing, losses) = Drawing::of(subject, &outcome, &trace(seen.clone()));
            (drawing, (losses, [seen.start, events.saturating_sub(seen.end)]))
        });
        let (drawing, counts) = drawing.unzip();
        let (losses, events_unseen) = counts.unwrap_or_default();
        Self {
            trace: outcome.trace,
            virtual_ms: outcome.virtual_time.as_millis() as u64,
            losses,
            events_unseen,
            violations: outcome.violations,
            clients: outcome.clients,
            drawing,
        }
    }
}

fn first_alarm_us(outcome: &Outcome) -> Option<u64> {
    outcome.violations.iter().filter_map(|violation| Alarm::of(violation, &[]).at_us).min()
}

/// The indexes of `most` events of a run around the one that comes at `alarm_us`, as near as the checkpoints of its trace tell.
fn around(trace: &Trace, alarm_us: u64, most: u64) -> Range<u64> {
    let later = trace.checkpoints().iter().find(|checkpoint| checkpoint.at_ns / 1_000 >= alarm_us);
    let alarm = later.map_or(trace.events(), |checkpoint| checkpoint.index);
    let start = alarm.saturating_sub(most / 4 * 3).min(trace.events().saturating_sub(most));
    start..start + most
}

impl Drawing {
    /// And how many packets were lost.
    fn of(subject: &Subject, outcome: &Outcome, trace: &Trace) -> (Self, usize) {
        let hosts: Vec<(String, Ipv4Addr)> = run::hosts_of(&subject.plan)
            .into_iter()
            .filter_map(|(name, ip)| match ip {
                IpAddr::V4(ip) => Some((name, ip)),
                IpAddr::V6(_) => None,
            })
            .collect();
        let mut timeline = reading::timeline(&hosts, trace.kept());
        let violations = outcome.violations.iter().take(ALARMS_MAX);
        let alarms: Vec<_> =
            violations.map(|violation| Alarm::of(violation, &timeline.lanes)).collect();
        let alarm_us = alarms.iter().filter_map(|alarm| alarm.at_us);
        let busy_us = timeline.busy_us().max(alarm_us.max().unwrap_or(0)) + 1;
        let host = outcome.evidence.as_ref().and_then(|evidence| evidence.host.as_ref());
        let samples = host.map_or(&[][..], |host| &host.curve);
        let last_us = [
            timeline.marks.last().map_or(0, |mark| mark.0),
            samples.last().map_or(0, |sample| sample.at.as_micros() as u64),
        ];
        let end_us = last_us.into_iter().fold(busy_us, u64::max);
        let losses = timeline.losses();
        let mut graphs =
            vec![curves::in_flight(&timeline, busy_us), curves::throughput(&timeline, busy_us)];
        graphs.extend(curves::of_gateway(samples));
        graphs.retain(|graph| graph.lines.iter().any(|line| line.points.len() > 1));
        timeline.cut(first_alarm_us(outcome));
        let name = format!("{} with seed {}", subject.scenario.name, subject.seed);
        (Self { name, end_us, busy_us, timeline, alarms, graphs }, losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn events_around_the_alarm_are_looked_at_when_there_are_too_many() {
        let scenario = catalogue::find("live/republish").expect("it is there");
        let trace = run::trace_of(1, (scenario.plan)(1), &Watch::default());
        let events = trace.events();
        assert!(events > 10_000 && trace.checkpoints()[0].index == 10_000, "{events}");
        let middle_us = trace.checkpoints()[0].at_ns / 1_000;
        assert_eq!(around(&trace, 0, 400), 9_700..10_100);
        assert_eq!(around(&trace, middle_us, 4_000), 7_000..11_000);
        assert_eq!(around(&trace, u64::MAX, 400), events - 400..events);
        assert_eq!(around(&trace, u64::MAX, 2 * events), 0..2 * events);
    }
}
