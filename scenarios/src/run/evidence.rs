//! What a run leaves for the oracles to judge: what everybody says, and what is left of the gateway.

use rehearsal_sim::clients::{publisher::PublishReport, rtmp_player::PlayReport};

use crate::plan::Plan;

/// Everything that oracles judge.
#[derive(Debug)]
pub struct Evidence {
    /// What was to be done.
    pub plan: Plan,
    /// What publishers say, in the order of the plan.
    pub publishers: Vec<PublishReport>,
    /// What subscribers say, in the order of the plan.
    pub players: Vec<PlayReport>,
    /// Streams in the gateway's registry a while after the last client went.
    pub streams_at_rest: usize,
    /// Streams in the gateway's registry after it has shut down.
    pub streams_after_shutdown: usize,
    /// Connections that the shutdown had to cut.
    pub cut_connections: usize,
    /// What its host shows of the gateway; only the fabric looks into hosts.
    pub host: Option<HostEvidence>,
}

/// What the gateway's host shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostEvidence {
    /// A while after the last client went.
    pub at_rest: Rest,
    /// Polls of the gateway's tasks in a second of rest.
    pub polls_at_rest: u64,
    /// After the gateway has shut down.
    pub after_shutdown: Rest,
}

/// What is left on the gateway's host when a run rests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Tasks.
    pub tasks: usize,
    /// Sockets that are neither listening nor in TIME_WAIT.
    pub sockets: Vec<String>,
    /// Sockets in TIME_WAIT.
    pub time_wait: usize,
}
