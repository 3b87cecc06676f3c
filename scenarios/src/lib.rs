//! Scenarios: what can happen to the gateway, as plans made from a seed, and the oracles that judge each run.
//!
//! A [`Scenario`](catalogue::Scenario) makes a [`Plan`](plan::Plan) from a seed; [`run`](run::run) carries it out in a
//! simulated world; [`oracles`] judge what clients, network and gateway show; the [`Outcome`](run::Outcome) has the
//! verdict, the trace hash and the text of the golden file.

mod base;
pub mod capsule;
pub mod catalogue;
mod churn;
mod clock;
mod close;
mod exhaustion;
pub mod explorer;
pub mod fault;
pub mod fingerprint;
mod fuzz;
mod leak;
mod live;
mod lossy;
pub mod oracles;
pub mod plan;
pub mod report;
pub mod run;
pub mod seed;
mod segments;
mod sip;
pub mod situations;
mod slow;
mod stall;
mod stop;
pub mod swarm;
pub mod wire;
mod wrap;
