//! A plan: everything that a run does, as data.

use rehearsal_core::config::Config;
use rehearsal_sim::{
    LinkConfig,
    clients::{publisher::PublishPlan, rtmp_player::PlayPlan},
};
use serde::{Deserialize, Serialize};

/// Files that plans may name; publishers' hosts have them at their root.
pub const ASSETS: [(&str, &[u8]); 1] = [("/testsrc.flv", include_bytes!("../media/testsrc.flv"))];

/// How a subscriber gets its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// RTMP play.
    Rtmp,
    /// HTTP-FLV.
    HttpFlv,
}

/// A publisher on a host of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// Name of its host.
    pub host: String,
    /// Its access link.
    pub link: LinkConfig,
    /// What it does.
    pub plan: PublishPlan,
}

/// A subscriber on a host of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Player {
    /// Name of its host.
    pub host: String,
    /// Its access link.
    pub link: LinkConfig,
    /// How it plays.
    pub protocol: Protocol,
    /// What it does.
    pub plan: PlayPlan,
}

/// Everything that a run does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Configuration of the gateway.
    pub config: Config,
    /// Access link of the gateway.
    pub gateway_link: LinkConfig,
    /// Who publishes.
    pub publishers: Vec<Publisher>,
    /// Who plays.
    pub players: Vec<Player>,
}

impl Plan {
    /// A gateway in a data centre with the default configuration, and nobody there.
    pub fn empty() -> Self {
        Self {
            config: Config::default(),
            gateway_link: LinkConfig::datacentre(),
            publishers: Vec::new(),
            players: Vec::new(),
        }
    }

    /// Adds a publisher on a host called `host`.
    pub fn publisher(&mut self, host: &str, link: LinkConfig, plan: PublishPlan) {
        self.publishers.push(Publisher { host: host.to_owned(), link, plan });
    }

    /// Adds a subscriber on a host called `host`.
    pub fn player(&mut self, host: &str, link: LinkConfig, protocol: Protocol, plan: PlayPlan) {
        self.players.push(Player { host: host.to_owned(), link, protocol, plan });
    }

    /// Names of its hosts, the gateway's first.
    pub fn hosts(&self) -> Vec<String> {
        let publishers = self.publishers.iter().map(|publisher| publisher.host.clone());
        let players = self.players.iter().map(|player| player.host.clone());
        std::iter::once("gateway".to_owned()).chain(publishers).chain(players).collect()
    }

    /// When the last client has gone by its plan, in milliseconds.
    pub fn end_ms(&self) -> u64 {
        let players = self.players.iter().map(|player| player.plan.leave_ms);
        let publishers = self
            .publishers
            .iter()
            .map(|publisher| publisher.plan.start_ms + publisher.plan.duration_ms);
        players.chain(publishers).max().unwrap_or(0)
    }
}
