//! A plan: everything that a run does, as data.

use std::{collections::BTreeMap, time::Duration};

use rehearsal_core::config::Config;
use rehearsal_sim::{
    LinkConfig, ORPHAN_RETRIES,
    clients::{
        phone::{Deed, PhonePlan},
        publisher::PublishPlan,
        raw::RawPlan,
        rtmp_player::PlayPlan,
        sip_client::SipClientPlan,
        stranger::StrangerPlan,
    },
};
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Lever};

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

/// Many subscribers on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crowd {
    /// Name of their host.
    pub host: String,
    /// Its access link.
    pub link: LinkConfig,
    /// How they get their stream.
    pub protocol: Protocol,
    /// How many they are.
    pub count: usize,
    /// From one's start to the next one's, in microseconds.
    pub every_us: u64,
    /// What the first does; the others start later and leave with it.
    pub plan: PlayPlan,
}

/// A client that speaks no protocol by itself, on a host of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawClient {
    /// Name of its host.
    pub host: String,
    /// Its access link.
    pub link: LinkConfig,
    /// Which of the gateway's listeners it connects to.
    pub listener: Listener,
    /// What it does.
    pub plan: RawPlan,
}

impl RawClient {
    /// How many ends of request heads there are in what it sends.
    pub fn requests(&self) -> u32 {
        let sent = self.plan.pieces.concat();
        sent.windows(4).filter(|bytes| bytes == b"\r\n\r\n").count() as u32
    }
}

/// A phone on a host of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phone {
    /// Name of its host.
    pub host: String,
    /// Its access link.
    pub link: LinkConfig,
    /// What it does.
    pub plan: PhonePlan,
}

impl Phone {
    /// Where it is called by its address.
    pub fn address(&self) -> String {
        let transport = if self.plan.tcp.is_some() { ";transport=tcp" } else { "" };
        format!("sip:{}@{}{transport}", self.plan.dial, self.host)
    }
}

/// A client of the application `sip` on a host of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipClient {
    /// Name of its host.
    pub host: String,
    /// Its access link.
    pub link: LinkConfig,
    /// What it does.
    pub plan: SipClientPlan,
}

/// Somebody who sends datagrams, on a host of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// Name of its host.
    pub host: String,
    /// Its access link.
    pub link: LinkConfig,
    /// What it does.
    pub plan: StrangerPlan,
}

/// One of the gateway's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listener {
    /// RTMP.
    Rtmp,
    /// HTTP.
    Http,
}

/// What the oracles allow for in a run, beyond what they allow everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Hosts that misbehave or are cut off: how their clients fare is not judged, that others do not notice
    /// is.
    pub faulty: Vec<String>,
    /// Hosts whose links may be too slow for the stream, so that their players may skip.
    pub may_skip: Vec<String>,
    /// Time that links and faults may cost on top of every deadline, in milliseconds.
    pub slack_ms: u64,
    /// From the last client's end until everything of it is gone, in milliseconds.
    pub calm_ms: u64,
    /// Run once more without the clients on faulty hosts: others must receive everything at the same time,
    /// give or take so many milliseconds (O7).
    pub twin_within_ms: Option<u64>,
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
    /// Who connects and speaks no protocol by itself.
    pub raw_clients: Vec<RawClient>,
    /// Who plays in great numbers.
    pub crowds: Vec<Crowd>,
    /// Who calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<Phone>,
    /// Who calls and is called by commands over RTMP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sip_clients: Vec<SipClient>,
    /// Who sends datagrams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<Stranger>,
    /// What befalls hosts, and when.
    pub faults: Vec<Fault>,
    /// Fault points of the gateway that fire, each so many times of a million that it is come to; only on the fabric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fault_points: BTreeMap<String, u32>,
    /// What the oracles allow for.
    pub terms: Terms,
}

/// A time in which the gateway serves nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it crashes or is told to end, after the start of the run.
    pub from: Duration,
    /// When it is started again, or [`Duration::MAX`].
    pub to: Duration,
}

/// A host's clients have this long to be gone from the gateway.
const CALM_MS: u64 = 1_000;
/// The same of phones, whose messages may be said again for 32 s, and whose ports are not given to others for 5 s.
const CALLED_CALM_MS: u64 = CALM_MS + 32_000 + 5_000;
/// Longest first wait of a kernel for an acknowledgment on the lines whose peers vanish: 200 ms beyond a round trip of up to
/// 50 ms.
const RETRANSMIT_MS: u64 = 250;
/// The same when the peer has vanished: a kernel sends the end of a connection again and again, and waits twice as long each
/// time, before it forgets the peer. Two minutes and a bit.
pub(crate) const VANISHED_CALM_MS: u64 =
    CALM_MS + RETRANSMIT_MS * ((1 << (ORPHAN_RETRIES + 1)) - 1);
/// The same on lines that lose segments: a kernel whose first segment was lost begins with 3 s (RFC 6298, section 5.7), and waits no
/// longer than two minutes between two.
pub(crate) const VANISHED_LOSSY_CALM_MS: u64 =
    CALM_MS + (3 + 6 + 12 + 24 + 48 + 96) * 1_000 + (ORPHAN_RETRIES as u64 - 5) * 120_000;

impl Plan {
    /// A gateway in a data centre with the default configuration, but for phones, and nobody there.
    pub fn empty() -> Self {
        let mut config = Config::default();
        config.sip.enabled = false;
        Self {
            config,
            gateway_link: LinkConfig::datacentre(),
            publishers: Vec::new(),
            players: Vec::new(),
            raw_clients: Vec::new(),
            crowds: Vec::new(),
            phones: Vec::new(),
            sip_clients: Vec::new(),
            strangers: Vec::new(),
            faults: Vec::new(),
            fault_points: BTreeMap::new(),
            terms: Terms { calm_ms: CALM_MS, ..Terms::default() },
        }
    }

    /// Has `lever` pulled at the host called `host`.
    pub fn fault(&mut self, at_ms: u64, host: &str, lever: Lever) {
        self.faults.push(Fault { at_ms, host: host.to_owned(), lever });
    }

    /// Adds a publisher on a host called `host`.
    pub fn publisher(&mut self, host: &str, link: LinkConfig, plan: PublishPlan) {
        self.publishers.push(Publisher { host: host.to_owned(), link, plan });
    }

    /// Adds a subscriber on a host called `host`.
    pub fn player(&mut self, host: &str, link: LinkConfig, protocol: Protocol, plan: PlayPlan) {
        self.players.push(Player { host: host.to_owned(), link, protocol, plan });
    }

    /// Adds a raw client on a host called `host`.
    pub fn raw_client(&mut self, host: &str, link: LinkConfig, listener: Listener, plan: RawPlan) {
        self.raw_clients.push(RawClient { host: host.to_owned(), link, listener, plan });
    }

    /// Adds a phone on a host called `host`; the gateway takes calls, and forgets in the end where the phone was registered.
    pub fn phone(&mut self, host: &str, link: LinkConfig, plan: PhonePlan) {
        self.config.sip.enabled = true;
        let registered_s = plan.registers.as_ref().map_or(0, |it| it.expires_s.clamp(60, 3_600));
        let calm_ms = CALLED_CALM_MS + u64::from(registered_s) * 1_000;
        self.terms.calm_ms = self.terms.calm_ms.max(calm_ms);
        self.phones.push(Phone { host: host.to_owned(), link, plan });
    }

    /// Adds a client of the application `sip` on a host called `host`; the gateway takes calls, and such clients of any domain.
    pub fn sip_client(&mut self, host: &str, link: LinkConfig, plan: SipClientPlan) {
        self.config.sip.enabled = true;
        self.config.sip.client_domains = vec!["*".to_owned()];
        self.terms.calm_ms = self.terms.calm_ms.max(CALLED_CALM_MS);
        self.sip_clients.push(SipClient { host: host.to_owned(), link, plan });
    }

    /// Adds somebody who sends datagrams from a host called `host`, and is not to be heard.
    pub fn stranger(&mut self, host: &str, link: LinkConfig, plan: StrangerPlan) {
        self.terms.calm_ms = self.terms.calm_ms.max(CALLED_CALM_MS);
        self.terms.faulty.push(host.to_owned());
        self.strangers.push(Stranger { host: host.to_owned(), link, plan });
    }

    /// Whether a phone is what `stream` comes from: nobody can tell what of its audio got through but who hears it.
    pub fn is_of_phone(&self, stream: &str) -> bool {
        let voices = self.phones.iter().filter_map(|phone| phone.plan.voice.as_ref());
        voices.into_iter().any(|voice| voice.stream == stream)
    }

    /// Whether a phone that `stream` comes from shows something, too.
    pub fn has_pictures_of_phone(&self, stream: &str) -> bool {
        self.phones.iter().any(|phone| {
            let shows = phone.plan.video.as_ref().is_some_and(|video| video.shows.is_some());
            shows && phone.plan.voice.as_ref().is_some_and(|voice| voice.stream == stream)
        })
    }

    /// Whether a phone that `stream` comes from replaces its source in mid-call, or stands still for a while.
    pub fn begins_anew(&self, stream: &str) -> bool {
        let phones = self
            .phones
            .iter()
            .filter(|phone| phone.plan.voice.as_ref().is_some_and(|voice| voice.stream == stream));
        phones.into_iter().any(|phone| {
            let acts = &phone.plan.acts;
            self.is_faulty(&phone.host) || acts.iter().any(|act| act.deed == Deed::NewSource)
        })
    }

    /// Whether `host` is one of those that misbehave.
    pub fn is_faulty(&self, host: &str) -> bool {
        self.terms.faulty.iter().any(|faulty| faulty == host)
    }

    /// Whether players on `host` may skip parts of their stream.
    pub fn may_skip(&self, host: &str) -> bool {
        self.is_faulty(host) || self.terms.may_skip.iter().any(|slow| slow == host)
    }

    /// Whether a fault befalls `host` that it may notice: what its wall clock shows is nothing to media and timers.
    pub fn is_befallen(&self, host: &str) -> bool {
        let mut its = self.faults.iter().filter(|fault| fault.host == host);
        its.any(|fault| !matches!(fault.lever, Lever::StepWallClock(_)))
    }

    /// What links and faults may cost on top of every deadline.
    pub fn slack(&self) -> Duration {
        Duration::from_millis(self.terms.slack_ms)
    }

    /// Times in which the gateway serves nobody, by its faults, in order. Whoever is there then is cut off, and it is for the
    /// plan to have others come afterwards.
    pub fn outages(&self) -> Vec<Outage> {
        let mut faults: Vec<_> = self.faults.iter().filter(|f| f.host == "gateway").collect();
        faults.sort_by_key(|fault| fault.at_ms);
        let mut outages: Vec<Outage> = Vec::new();
        for fault in faults {
            let at = Duration::from_millis(fault.at_ms);
            let open = outages.last_mut().filter(|outage| outage.to == Duration::MAX);
            match (&fault.lever, open) {
                (Lever::Crash | Lever::ShutDown, None) => {
                    outages.push(Outage { from: at, to: Duration::MAX });
                }
                (Lever::Restart, Some(outage)) => outage.to = at,
                _ => {}
            }
        }
        outages
    }

    /// Whether the gateway is not there at some time from `from_ms` to `to_ms`.
    pub fn meets_outage(&self, from_ms: u64, to_ms: u64) -> bool {
        let (from, to) = (Duration::from_millis(from_ms), Duration::from_millis(to_ms));
        self.outages().iter().any(|outage| outage.from <= to && from <= outage.to)
    }

    /// Whether the gateway is gone for good.
    pub fn ends_in_outage(&self) -> bool {
        self.outages().last().is_some_and(|outage| outage.to == Duration::MAX)
    }

    /// The same plan without what faulty hosts do; they are there, and silent.
    pub fn without_faulty(&self) -> Self {
        let mut twin = self.clone();
        twin.publishers.retain(|publisher| !self.is_faulty(&publisher.host));
        twin.players.retain(|player| !self.is_faulty(&player.host));
        twin.raw_clients.retain(|raw| !self.is_faulty(&raw.host));
        twin.phones.retain(|phone| !self.is_faulty(&phone.host));
        twin.sip_clients.retain(|client| !self.is_faulty(&client.host));
        twin.strangers.retain(|stranger| !self.is_faulty(&stranger.host));
        twin.faults.retain(|fault| !self.is_faulty(&fault.host));
        twin
    }

    /// Names of its hosts, the gateway's first.
    pub fn hosts(&self) -> Vec<String> {
        let publishers = self.publishers.iter().map(|publisher| publisher.host.clone());
        let players = self.players.iter().map(|player| player.host.clone());
        let raw_clients = self.raw_clients.iter().map(|raw| raw.host.clone());
        let crowds = self.crowds.iter().map(|crowd| crowd.host.clone());
        let phones = self.phones.iter().map(|phone| phone.host.clone());
        let sip_clients = self.sip_clients.iter().map(|client| client.host.clone());
        let strangers = self.strangers.iter().map(|stranger| stranger.host.clone());
        let clients = publishers.chain(players).chain(raw_clients).chain(crowds);
        let clients = clients.chain(phones).chain(sip_clients).chain(strangers);
        std::iter::once("gateway".to_owned()).chain(clients).collect()
    }

    /// The access link that `host` begins with.
    pub fn link_of(&self, host: &str) -> Option<LinkConfig> {
        let gateway = std::iter::once(("gateway", self.gateway_link));
        let publishers =
            self.publishers.iter().map(|publisher| (&publisher.host[..], publisher.link));
        let players = self.players.iter().map(|player| (&player.host[..], player.link));
        let raw_clients = self.raw_clients.iter().map(|raw| (&raw.host[..], raw.link));
        let crowds = self.crowds.iter().map(|crowd| (&crowd.host[..], crowd.link));
        let phones = self.phones.iter().map(|phone| (&phone.host[..], phone.link));
        let sip_clients = self.sip_clients.iter().map(|it| (&it.host[..], it.link));
        let strangers = self.strangers.iter().map(|it| (&it.host[..], it.link));
        let clients = publishers.chain(players).chain(raw_clients).chain(crowds);
        let clients = clients.chain(phones).chain(sip_clients).chain(strangers);
        let mut all = gateway.chain(clients);
        all.find(|(name, _)| *name == host).map(|(_, link)| link)
    }

    /// Every link, the gateway's first.
    pub(crate) fn links_mut(&mut self) -> impl Iterator<Item = &mut LinkConfig> {
        let publishers = self.publishers.iter_mut().map(|publisher| &mut publisher.link);
        let players = self.players.iter_mut().map(|player| &mut player.link);
        let raw_clients = self.raw_clients.iter_mut().map(|raw| &mut raw.link);
        let crowds = self.crowds.iter_mut().map(|crowd| &mut crowd.link);
        let phones = self.phones.iter_mut().map(|phone| &mut phone.link);
        let sip_clients = self.sip_clients.iter_mut().map(|client| &mut client.link);
        let strangers = self.strangers.iter_mut().map(|stranger| &mut stranger.link);
        let gateway = std::iter::once(&mut self.gateway_link);
        let clients = publishers.chain(players).chain(raw_clients).chain(crowds);
        gateway.chain(clients).chain(phones).chain(sip_clients).chain(strangers)
    }

    /// When each client comes and goes and each fault strikes, in milliseconds.
    pub(crate) fn times_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        let publishers = self
            .publishers
            .iter_mut()
            .flat_map(|publisher| [&mut publisher.plan.duration_ms, &mut publisher.plan.start_ms]);
        let players = self
            .players
            .iter_mut()
            .flat_map(|player| [&mut player.plan.leave_ms, &mut player.plan.start_ms]);
        let raw_clients = self
            .raw_clients
            .iter_mut()
            .flat_map(|raw| [&mut raw.plan.leave_ms, &mut raw.plan.start_ms]);
        let crowds = self
            .crowds
            .iter_mut()
            .flat_map(|crowd| [&mut crowd.plan.leave_ms, &mut crowd.plan.start_ms]);
        let phones = self.phones.iter_mut().flat_map(|phone| {
            let plan = &mut phone.plan;
            let changes = plan.changes.iter_mut().map(|change| &mut change.at_ms);
            let acts = plan.acts.iter_mut().map(|act| &mut act.at_ms);
            let digits = plan.digits.iter_mut().map(|dialled| &mut dialled.at_ms);
            let registers = plan.registers.iter_mut();
            let registers =
                registers.flat_map(|it| it.leaves_ms.iter_mut().chain(&mut it.retry_ms));
            let own = [&mut plan.leave_ms, &mut plan.start_ms];
            let calls_back = &mut plan.calls_back_ms;
            let within = changes.chain(acts).chain(digits).chain(registers).chain(calls_back);
            within.chain(&mut plan.talk_ms).chain(own)
        });
        let sip_clients = self.sip_clients.iter_mut().flat_map(|client| {
            let plan = &mut client.plan;
            let orders = plan.orders.iter_mut().map(|order| &mut order.at_ms);
            let reactions = plan.reactions.iter_mut().map(|reaction| &mut reaction.after_ms);
            orders.chain(reactions).chain([&mut plan.leave_ms, &mut plan.start_ms])
        });
        let strangers = self
            .strangers
            .iter_mut()
            .flat_map(|stranger| [&mut stranger.plan.leave_ms, &mut stranger.plan.start_ms]);
        let faults = self.faults.iter_mut().map(|fault| &mut fault.at_ms);
        let clients = publishers.chain(players).chain(raw_clients).chain(crowds);
        clients.chain(phones).chain(sip_clients).chain(strangers).chain(faults)
    }

    /// When the last client has gone by its plan, in milliseconds.
    pub fn end_ms(&self) -> u64 {
        let players = self.players.iter().map(|player| player.plan.leave_ms);
        let publishers = self
            .publishers
            .iter()
            .map(|publisher| publisher.plan.start_ms + publisher.plan.duration_ms);
        let raw_clients = self.raw_clients.iter().map(|raw| raw.plan.leave_ms);
        let faults = self.faults.iter().map(|fault| fault.at_ms);
        let crowds = self.crowds.iter().map(|crowd| crowd.plan.leave_ms);
        let phones = self.phones.iter().map(|phone| phone.plan.leave_ms);
        let sip_clients = self.sip_clients.iter().map(|client| client.plan.leave_ms);
        let strangers = self.strangers.iter().map(|stranger| stranger.plan.leave_ms);
        let clients = players.chain(publishers).chain(raw_clients).chain(crowds);
        let clients = clients.chain(phones).chain(sip_clients).chain(strangers);
        clients.chain(faults).max().unwrap_or(0)
    }
}
