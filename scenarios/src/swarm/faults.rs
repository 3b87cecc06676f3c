//! Faults of some hosts, at most one each, and of the gateway.

use rehearsal_core::config::Config;
use rehearsal_sim::{LinkConfig, Rng};

use super::{
    Lots,
    clients::{BUSY_MS, PLAYERS, PUBLISHERS, end_ms, link},
    features::{Features, Strike},
    moments::{lasting, near},
    raw::RAW_CLIENTS,
};
use crate::{
    fault::Lever,
    plan::{Player, Publisher, RawClient},
};

/// Hosts that faults befall, at most.
const TARGETS: u64 = 5;
const HOUR_MS: i64 = 3_600_000;
const GATEWAY: &str = "gateway";

/// A fault as it is taken away: what one lever does and what another undoes.
pub(super) struct Element {
    pub(super) name: String,
    pub(super) host: String,
    /// Each with its time in milliseconds.
    pub(super) levers: Vec<(u64, Lever)>,
}

/// A client that a fault may befall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Publisher(usize),
    Player(usize),
    Raw(usize),
}

impl Target {
    /// Whether a fault is drawn for it, which may be left out.
    pub(super) fn is_drawn(self, lots: &Lots, features: &Features) -> bool {
        targets(lots, features).contains(&self)
    }
}

fn targets(lots: &Lots, features: &Features) -> Vec<Target> {
    if !features.faults {
        return Vec::new();
    }
    let mut rng = lots.of("targets");
    let publishers = if features.twin { 0 } else { PUBLISHERS };
    let mut all: Vec<Target> = (0..publishers).map(Target::Publisher).collect();
    all.extend((0..PLAYERS).map(Target::Player));
    all.extend((0..RAW_CLIENTS).map(Target::Raw));
    rng.shuffle(&mut all);
    all.truncate(rng.range(1..=TARGETS) as usize);
    all
}

/// All faults, of clients who take part and of others.
pub(super) fn draw(
    lots: &Lots,
    features: &Features,
    config: &Config,
    (publishers, players, raw_clients): (&[Publisher], &[Player], &[RawClient]),
) -> Vec<Element> {
    let mut elements = Vec::new();
    for (index, target) in targets(lots, features).into_iter().enumerate() {
        let name = format!("fault-{index}");
        let mut rng = lots.of(&name);
        let (host, there_ms, is_publisher, link) = match target {
            Target::Publisher(index) => {
                let its = &publishers[index];
                (&its.host, (its.plan.start_ms, end_ms(its)), true, its.link)
            }
            Target::Player(index) => {
                let its = &players[index];
                (&its.host, (its.plan.start_ms, its.plan.leave_ms), false, its.link)
            }
            Target::Raw(index) => {
                let Some(its) = raw_clients.get(index) else { continue };
                (&its.host, (its.plan.start_ms, its.plan.leave_ms), false, its.link)
            }
        };
        let at_ms = strikes(&mut rng, features, there_ms);
        let for_ms = lasting(&mut rng, config, features.edges);
        let levers = befalls(&mut rng, features, (at_ms, for_ms), is_publisher, link);
        elements.push(Element { name, host: host.clone(), levers });
    }
    if let Some(strike) = features.strike {
        let levers = of_gateway(&mut lots.of(GATEWAY), config, strike);
        elements.push(Element { name: "strike".to_owned(), host: GATEWAY.to_owned(), levers });
    }
    elements
}

/// When it befalls who is there from a time to a time.
fn strikes(rng: &mut Rng, features: &Features, (from_ms, to_ms): (u64, u64)) -> u64 {
    let (any_ms, soon_ms) = (rng.range(from_ms + 1..=to_ms), from_ms + 1 + rng.below(300));
    let end_ms = near(rng, to_ms);
    match rng.below(6) {
        0 => soon_ms,
        1 if features.edges => end_ms.max(from_ms + 1),
        _ => any_ms,
    }
}

fn befalls(
    rng: &mut Rng,
    features: &Features,
    (at_ms, for_ms): (u64, u64),
    is_publisher: bool,
    own: LinkConfig,
) -> Vec<(u64, Lever)> {
    let to_ms = at_ms + for_ms;
    let (other, is_for_good, bytes) = (link(rng, features), rng.below(3) == 0, rng.range(16..=900));
    // What a crashed host sent is not known. When it had been accepted is, nearly, on a quick line.
    let is_quick = own == LinkConfig::lan() || own == LinkConfig::dsl();
    match rng.below(8) {
        // A publisher hears in the end how it stands.
        0 if is_for_good && !is_publisher => vec![(at_ms, Lever::BlackHole(true))],
        0 => vec![(at_ms, Lever::BlackHole(true)), (to_ms, Lever::BlackHole(false))],
        1 if is_for_good && is_quick => vec![(at_ms, Lever::Crash)],
        1 if is_quick => vec![(at_ms, Lever::Crash), (to_ms, Lever::Restart)],
        2 => {
            let parted = |is_parted| Lever::PartitionTo(GATEWAY.to_owned(), is_parted);
            vec![(at_ms, parted(true)), (to_ms, parted(false))]
        }
        // The NAT is there before its first packet.
        3 => vec![(0, Lever::RebindNat), (at_ms, Lever::RebindNat)],
        4 if !features.twin => vec![(at_ms, Lever::Link(other))],
        5 => vec![(at_ms, Lever::Frozen(true)), (to_ms, Lever::Frozen(false))],
        6 => vec![(at_ms, Lever::ShortIo(Some(bytes as usize)))],
        _ => vec![(at_ms, Lever::ResetConnections)],
    }
}

fn of_gateway(rng: &mut Rng, config: &Config, strike: Strike) -> Vec<(u64, Lever)> {
    let at_ms = rng.range(500..=BUSY_MS);
    match strike {
        Strike::Crash => {
            let back_ms = at_ms + rng.range(50..=3_000);
            vec![(at_ms, Lever::Crash), (back_ms, Lever::Restart)]
        }
        Strike::ShutDown => {
            let back_ms = at_ms + config.limits.shutdown_ms + rng.range(300..=2_000);
            vec![(at_ms, Lever::ShutDown), (back_ms, Lever::Restart)]
        }
        Strike::Freeze => {
            let to_ms = at_ms + rng.range(20..=1_500);
            vec![(at_ms, Lever::Frozen(true)), (to_ms, Lever::Frozen(false))]
        }
        Strike::Descriptors => {
            let to_ms = at_ms + rng.range(100..=1_500);
            let limit = Some(rng.below(3) as usize);
            vec![(at_ms, Lever::DescriptorLimit(limit)), (to_ms, Lever::DescriptorLimit(None))]
        }
        Strike::Accepts => vec![(at_ms, Lever::FailAccepts(rng.range(1..=3) as u32))],
        Strike::ShortIo => {
            let bytes = rng.range(16..=1_500) as usize;
            vec![(at_ms, Lever::ShortIo(Some(bytes)))]
        }
        Strike::WallClock => {
            let step_ms = rng.range(1..=3 * HOUR_MS as u64) as i64;
            let back_ms = at_ms + rng.range(1..=2_000);
            vec![
                (at_ms, Lever::StepWallClock(step_ms)),
                (back_ms, Lever::StepWallClock(-2 * step_ms)),
            ]
        }
    }
}
