//! Family swarm: plans that a seed draws as a whole. Each seed switches some features on and leaves others out, so that one run
//! has few of them and the next one many, and has things happen just before, at and just after the deadlines of its
//! configuration.
//!
//! Every element (a client, a fault, a value of the configuration) is drawn from a stream of random numbers of its own, whether it
//! takes part or not: leaving one out moves no other. Where one goes by another, as a publisher who comes when the one before it
//! goes, it goes by what was drawn for that one. What must not be together is decided between features, not between elements.
//!
//! | scenario | features |
//! |---|---|
//! | `swarm/live` | publishers who compete or follow each other, players and viewers, raw clients; ends, stalls, tracks, delays |
//! | `swarm/faults` | the same, lossy links, faults of some hosts, one fault of the gateway; sometimes the twin run |
//! | `swarm/calls` | phones and user agents over RTMP that call and are called, and what befalls them (`calls.rs`, `user_agents.rs`) |
//! | `swarm/limits` | the same without faults of hosts; small deadlines and small limits of every kind |

mod calls;
mod check;
mod clients;
mod faults;
mod features;
mod moments;
mod points;
mod raw;
mod settings;
mod terms;
mod user_agents;

use rehearsal_sim::Rng;

pub use self::calls::CALLS;
use self::{
    clients::{players, publishers},
    features::Features,
};
use crate::{catalogue::Scenario, plan::Plan};

/// Publishers and subscribers.
pub const LIVE: Scenario = Scenario {
    name: "swarm/live",
    about: "a seed draws publishers and subscribers on good links, what they do and how they leave",
    parity: false,
    heavy: false,
    plan: |seed| draw(Theme::Live, seed, |_| true),
    check: check::check,
};

/// Faults of hosts and of the gateway.
pub const FAULTS: Scenario = Scenario {
    name: "swarm/faults",
    about: "a seed draws clients, links and faults of some hosts and of the gateway: others do not notice",
    parity: false,
    heavy: false,
    plan: |seed| draw(Theme::Faults, seed, |_| true),
    check: check::check,
};

/// Tight configuration.
pub const LIMITS: Scenario = Scenario {
    name: "swarm/limits",
    about: "a seed draws clients, and small deadlines and limits of every kind, which they come to",
    parity: false,
    heavy: false,
    plan: |seed| draw(Theme::Limits, seed, |_| true),
    check: check::check,
};

/// What a plan is mainly about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Clients that come and go.
    Live,
    /// Faults of hosts and of the gateway.
    Faults,
    /// Small deadlines and limits.
    Limits,
}

impl Theme {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Live, Self::Faults, Self::Limits];

    fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Faults => "faults",
            Self::Limits => "limits",
        }
    }
}

/// Where elements draw from.
struct Lots {
    theme: Theme,
    seed: u64,
}

impl Lots {
    /// The stream of `element`.
    fn of(&self, element: &str) -> Rng {
        Rng::named(self.seed, &format!("scenario/swarm/{}/{element}", self.theme.name()))
    }

    /// Whether `element` has a chance of `percent`.
    fn chance(&self, element: &str, percent: u32) -> bool {
        self.of(element).chance_ppm(percent * 10_000)
    }
}

/// The plan of `theme` that `seed` draws, of those elements by whose names `takes_part` says so: the name of a client is that of
/// its host, and faults are called as [`elements`] has them.
pub fn draw(theme: Theme, seed: u64, takes_part: impl Fn(&str) -> bool) -> Plan {
    drawn(theme, seed, takes_part).0
}

/// Names of all that takes part in the plan of `theme` that `seed` draws: clients, faults, and fault points of the gateway.
pub fn elements(theme: Theme, seed: u64) -> Vec<String> {
    let (plan, faults) = drawn(theme, seed, |_| true);
    plan.hosts().into_iter().skip(1).chain(faults).collect()
}

/// The plan, and names of its faults and fault points.
fn drawn(theme: Theme, seed: u64, takes_part: impl Fn(&str) -> bool) -> (Plan, Vec<String>) {
    let lots = Lots { theme, seed };
    let features = Features::draw(&lots);
    let mut plan = Plan::empty();
    plan.config = settings::draw(&lots, &features);
    let publishers = publishers(&lots, &features, &plan.config);
    let players = players(&lots, &features, &plan.config, &publishers);
    let raw_clients = raw::draw(&lots, &features, &plan.config, &publishers);
    let faults =
        faults::draw(&lots, &features, &plan.config, (&publishers, &players, &raw_clients));
    let is_there = |kind: &str, index: usize, host: &str| {
        let always = index == 0 && kind != "raw";
        let drawn = always || lots.chance(&format!("{kind}-{index}/takes-part"), features.share);
        drawn && takes_part(host)
    };
    for (index, publisher) in publishers.into_iter().enumerate() {
        if is_there("publisher", index, &publisher.host) {
            plan.publishers.push(publisher);
        }
    }
    for (index, player) in players.into_iter().enumerate() {
        if is_there("player", index, &player.host) {
            plan.players.push(player);
        }
    }
    for (index, raw) in raw_clients.into_iter().enumerate() {
        if is_there("raw", index, &raw.host) {
            plan.raw_clients.push(raw);
        }
    }
    let hosts = plan.hosts();
    let mut names = Vec::new();
    for element in faults {
        if hosts.contains(&element.host) && takes_part(&element.name) {
            for (at_ms, lever) in element.levers {
                plan.fault(at_ms, &element.host, lever);
            }
            names.push(element.name);
        }
    }
    plan.fault_points = points::draw(&lots, &features);
    plan.fault_points.retain(|name, _| takes_part(name));
    names.extend(plan.fault_points.keys().cloned());
    terms::allow(&mut plan, &features);
    (plan, names)
}
