//! What befalls hosts in a run, as data, and how it is done to a host of the fabric.

use rehearsal_sim::{DiskConfig, EPHEMERAL_PORTS, LinkConfig, SimEnv};
use serde::{Deserialize, Serialize};

/// A lever that is pulled at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When, after the start of the run.
    pub at_ms: u64,
    /// Name of the host it is about.
    pub host: String,
    /// What changes.
    pub lever: Lever,
}

impl Fault {
    /// The hosts it is about.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let other = match &self.lever {
            Lever::PartitionTo(other, _) => Some(other.as_str()),
            _ => None,
        };
        std::iter::once(self.host.as_str()).chain(other)
    }
}

/// What can be changed at a host; see the methods of [`SimEnv`] of the same names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lever {
    /// Its access link becomes another one.
    Link(LinkConfig),
    /// It is in a black hole, or no longer.
    BlackHole(bool),
    /// What it sends does not reach that host, or does again.
    PartitionTo(String, bool),
    /// Its NAT forgets its mappings.
    RebindNat,
    /// Its tasks and sockets are gone and nobody is told. A gateway is started again by `Restart`.
    Crash,
    /// It comes back after a crash.
    Restart,
    /// Its processes stop, or go on.
    Frozen(bool),
    /// Its connections are all reset.
    ResetConnections,
    /// Sockets that its programs may hold.
    DescriptorLimit(Option<usize>),
    /// So many connections die before they are accepted.
    FailAccepts(u32),
    /// First and last of its ephemeral ports.
    EphemeralPorts(u16, u16),
    /// Reads and writes move so many bytes at most.
    ShortIo(Option<usize>),
    /// Its wall clock is set forward or back, in milliseconds.
    StepWallClock(i64),
    /// Its disk becomes another one.
    Disk(DiskConfig),
    /// The gateway is told to end in order; no meaning at other hosts.
    ShutDown,
}

impl Lever {
    /// Pulls the lever at `env`; `others` are all hosts of the world.
    ///
    /// # Panics
    /// When a partition names a host that is not there.
    pub(crate) fn pull(&self, env: &SimEnv, others: &[SimEnv]) {
        match self {
            Self::Link(link) => env.set_link(*link),
            Self::BlackHole(is_in) => env.set_black_hole(*is_in),
            Self::PartitionTo(name, is_parted) => {
                let other = others.iter().find(|other| other.name() == name);
                let other = other.unwrap_or_else(|| panic!("no host is called {name}"));
                env.set_partition_to(other, *is_parted);
            }
            Self::RebindNat => env.rebind_nat(),
            Self::Crash => env.crash(),
            Self::Restart => env.restart(),
            Self::Frozen(is_frozen) => env.set_frozen(*is_frozen),
            Self::ResetConnections => env.reset_connections(),
            Self::DescriptorLimit(limit) => env.set_descriptor_limit(*limit),
            Self::FailAccepts(count) => env.fail_accepts(*count),
            Self::EphemeralPorts(first, last) => env.set_ephemeral_ports(*first..=*last),
            Self::ShortIo(bytes_max) => env.set_short_io(*bytes_max),
            Self::StepWallClock(step_ms) => env.step_wall_clock(*step_ms),
            Self::Disk(config) => env.set_disk(config.clone()),
            // The run does it.
            Self::ShutDown => {}
        }
    }

    /// Has the host of `env` be as it was before this was pulled there; `link` is the one it began with.
    pub(crate) fn undo(&self, env: &SimEnv, link: LinkConfig, others: &[SimEnv]) {
        let opposite = match self {
            Self::Link(_) => Self::Link(link),
            Self::BlackHole(_) => Self::BlackHole(false),
            Self::PartitionTo(name, _) => Self::PartitionTo(name.clone(), false),
            Self::Crash => Self::Restart,
            Self::Frozen(_) => Self::Frozen(false),
            Self::DescriptorLimit(_) => Self::DescriptorLimit(None),
            Self::FailAccepts(_) => Self::FailAccepts(0),
            Self::EphemeralPorts(..) => {
                Self::EphemeralPorts(*EPHEMERAL_PORTS.start(), *EPHEMERAL_PORTS.end())
            }
            Self::ShortIo(_) => Self::ShortIo(None),
            Self::StepWallClock(step_ms) => Self::StepWallClock(step_ms.saturating_neg()),
            Self::Disk(_) => Self::Disk(DiskConfig::default()),
            // These happen and are over.
            Self::RebindNat | Self::Restart | Self::ResetConnections | Self::ShutDown => return,
        };
        opposite.pull(env, others);
    }
}
