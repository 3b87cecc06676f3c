//! An hour of a plan in which clients are connected and nothing happens: what the gateway does then, it does for nothing.

use std::time::Duration;

use crate::plan::{Plan, Protocol};

/// How long connections are looked at.
const HOUR: Duration = Duration::from_secs(3_600);
/// After the last thing that happened everything of it is over within this.
const CALM: Duration = Duration::from_secs(300);

/// An hour in which nothing is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleHour {
    /// When it begins, after the start of the run.
    pub from: Duration,
    /// When it is over.
    pub to: Duration,
    /// RTMP connections that are open all the time.
    pub connections: usize,
}

/// The first hour of `plan` that is idle, if there is one: players wait for a stream, and nobody comes, goes or publishes.
pub fn idle_hour(plan: &Plan) -> Option<IdleHour> {
    let ms = Duration::from_millis;
    let publishes = plan.publishers.iter().map(|p| &p.plan);
    let publishes = publishes.map(|p| (p.start_ms, p.start_ms + p.duration_ms));
    let raw_clients = plan.raw_clients.iter().map(|raw| (raw.plan.start_ms, raw.plan.leave_ms));
    let crowds = plan.crowds.iter().map(|crowd| (crowd.plan.start_ms, crowd.plan.leave_ms));
    let phones = plan.phones.iter().map(|phone| (phone.plan.start_ms, phone.plan.leave_ms));
    let sip_clients = plan.sip_clients.iter().map(|it| (it.plan.start_ms, it.plan.leave_ms));
    let strangers = plan.strangers.iter().map(|it| (it.plan.start_ms, it.plan.leave_ms));
    let others = raw_clients.chain(crowds).chain(phones).chain(sip_clients).chain(strangers);
    let busy: Vec<(u64, u64)> = publishes.chain(others).collect();
    let players = || plan.players.iter().map(|player| (player.plan.start_ms, player.plan.leave_ms));
    let mut times: Vec<u64> =
        busy.iter().copied().chain(players()).flat_map(<[_; 2]>::from).collect();
    times.extend(plan.faults.iter().map(|fault| fault.at_ms));
    times.sort_unstable();
    times.windows(2).find_map(|gap| {
        let (from, to) = (ms(gap[0]) + CALM, ms(gap[0]) + CALM + HOUR);
        let is_busy = busy.iter().any(|span| span.0 <= gap[0] && gap[1] <= span.1);
        let waits = |(comes, leaves): (u64, u64)| comes <= gap[0] && gap[1] <= leaves;
        let connections = plan.players.iter().filter(|player| {
            let there = waits((player.plan.start_ms, player.plan.leave_ms));
            there && player.protocol == Protocol::Rtmp && !plan.is_faulty(&player.host)
        });
        let connections = connections.count();
        let is_idle = !is_busy && to <= ms(gap[1]) && connections > 0;
        is_idle.then_some(IdleHour { from, to, connections })
    })
}
