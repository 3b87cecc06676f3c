//! Points of the gateway ([`rehearsal_core::points`]) that tasks of a host come to: which moments there were, and which fault points
//! fire.
//!
//! Each fault point draws from a stream of its own, each time that somebody comes to it: how often one fires moves no other. That one
//! fired is in the trace, as a fault.

use std::collections::BTreeMap;

use rehearsal_core::points::Point;

use crate::{
    SimEnv,
    executor::HostId,
    guard,
    heap::{self, Scope},
    rng::Rng,
    trace::TraceEvent,
    world::Shared,
};

/// What is known of points, by host; only of hosts that are watched.
#[derive(Debug, Default)]
pub(crate) struct Points(BTreeMap<HostId, OfHost>);

#[derive(Debug)]
struct OfHost {
    name: String,
    faults: BTreeMap<String, Chance>,
    passed: BTreeMap<&'static str, u64>,
}

/// How often a fault point fires.
#[derive(Debug)]
struct Chance {
    ppm: u32,
    rng: Rng,
}

impl Points {
    /// Whether the point fires at which a task of `host` has come.
    fn pass(&mut self, host: HostId, point: Point) -> bool {
        let Some(of_host) = self.0.get_mut(&host) else { return false };
        let (name, fires) = match point {
            Point::Moment(name) => (name, false),
            Point::Fault(name) => {
                let chance = of_host.faults.get_mut(name);
                if !chance.is_some_and(|Chance { ppm, rng }| rng.chance_ppm(*ppm)) {
                    return false;
                }
                (name, true)
            }
        };
        *of_host.passed.entry(name).or_default() += 1;
        fires
    }
}

impl Shared {
    /// Whether the point fires at which the task has come that is being polled.
    pub(crate) fn pass(&self, point: Point) -> bool {
        let Some(host) = guard::host() else { return false };
        let _scope = heap::enter(Scope::Sim);
        let fires = self.points.borrow().pass(host, point);
        if let (true, Point::Fault(name)) = (fires, point) {
            let who = self.points.borrow().0[&host].name.clone();
            let event = TraceEvent::Fault { who, what: name.to_owned() };
            let mut fabric = self.fabric();
            let now_ns = fabric.net.now_ns;
            fabric.net.trace.record(now_ns, &event);
        }
        fires
    }
}

impl SimEnv {
    /// Notes which moments tasks of this host come to from now on, and has fault points fire there: each of `faults` so many times in
    /// a million. Others do not.
    pub fn watch_points(&self, faults: &BTreeMap<String, u32>) {
        let _scope = heap::enter(Scope::Sim);
        let chance = |(name, ppm): (&String, &u32)| {
            let rng = Rng::named(self.seed(), &format!("point/{}/{name}", self.name()));
            (name.clone(), Chance { ppm: *ppm, rng })
        };
        let faults = faults.iter().map(chance).collect();
        let of_host = OfHost { name: self.name().to_owned(), faults, passed: BTreeMap::new() };
        self.shared.points.borrow().0.insert(self.host.id, of_host);
    }

    /// How often tasks of this host have come to each moment since [`SimEnv::watch_points`], and how often each fault point has fired
    /// there; of those that were at all.
    pub fn points_passed(&self) -> BTreeMap<&'static str, u64> {
        let points = self.shared.points.borrow();
        points.0.get(&self.host.id).map(|of_host| of_host.passed.clone()).unwrap_or_default()
    }
}
