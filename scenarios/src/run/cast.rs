//! The clients of a plan, on whatever network they play, and their reports.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rehearsal_core::env::Env;
use rehearsal_sim::clients::{
    crowd::{self, CrowdReport},
    flv_viewer,
    phone::{self, PhoneReport},
    publisher::{self, Notes, PublishReport},
    raw::{self, RawReport},
    rtmp_player::{self, PlayReport},
    sip_client::{self, SipClientReport},
    stranger::{self, StrangerReport},
};
use tokio::{sync::Notify, time::Instant};

use super::{
    evidence::{Evidence, Held},
    serving::Addresses,
};
use crate::plan::{Crowd, Listener, Plan, Protocol};

/// One client, by its index in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Publisher(usize),
    Player(usize),
    RawClient(usize),
    /// One of a crowd, by the crowd's index and its own.
    OfCrowd(usize, usize),
    Phone(usize),
    SipClient(usize),
    Stranger(usize),
}

/// The clients of a plan, and what they reported.
pub(super) struct Clients {
    plan: Plan,
    publishers: Arc<Slots<PublishReport>>,
    players: Arc<Slots<PlayReport>>,
    raw_clients: Arc<Slots<Result<RawReport, String>>>,
    crowds: Vec<Arc<Slots<CrowdReport>>>,
    phones: Arc<Slots<PhoneReport>>,
    sip_clients: Arc<Slots<SipClientReport>>,
    strangers: Arc<Slots<StrangerReport>>,
}

impl Clients {
    /// The clients of `plan`, not started yet.
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            publishers: Slots::new(plan.publishers.len()),
            players: Slots::new(plan.players.len()),
            raw_clients: Slots::new(plan.raw_clients.len()),
            crowds: plan.crowds.iter().map(|crowd| Slots::new(crowd.count)).collect(),
            phones: Slots::new(plan.phones.len()),
            sip_clients: Slots::new(plan.sip_clients.len()),
            strangers: Slots::new(plan.strangers.len()),
        }
    }

    /// Everybody, each with the name of its host, in the order in which they are started.
    pub(super) fn all(&self) -> Vec<(&str, Role)> {
        let Plan { publishers, players, raw_clients, crowds, .. } = &self.plan;
        let Plan { phones, sip_clients, strangers, .. } = &self.plan;
        let mut all: Vec<(&str, Role)> = Vec::new();
        all.extend(
            publishers.iter().zip(0..).map(|(p, index)| (&p.host[..], Role::Publisher(index))),
        );
        all.extend(players.iter().zip(0..).map(|(p, index)| (&p.host[..], Role::Player(index))));
        all.extend(
            raw_clients.iter().zip(0..).map(|(r, index)| (&r.host[..], Role::RawClient(index))),
        );
        for (crowd, index) in crowds.iter().zip(0..) {
            all.extend(
                (0..crowd.count).map(|member| (&crowd.host[..], Role::OfCrowd(index, member))),
            );
        }
        all.extend(phones.iter().zip(0..).map(|(p, index)| (&p.host[..], Role::Phone(index))));
        all.extend(
            sip_clients.iter().zip(0..).map(|(c, index)| (&c.host[..], Role::SipClient(index))),
        );
        all.extend(
            strangers.iter().zip(0..).map(|(s, index)| (&s.host[..], Role::Stranger(index))),
        );
        all
    }

    /// What the one in `role` does on the host of `env`, from its start to its report; times count from `origin`.
    pub(super) fn play<E: Env>(
        &self,
        role: Role,
        env: E,
        gateway: Addresses,
        origin: Instant,
        notes: Notes,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match role {
            Role::Publisher(index) => {
                let reports = Arc::clone(&self.publishers);
                let plan = self.plan.publishers[index].plan.clone();
                let publishing = publisher::run(env, gateway.rtmp, plan, origin, notes);
                Box::pin(async move { reports.fill(index, publishing.await) })
            }
            Role::Player(index) => {
                let reports = Arc::clone(&self.players);
                let player = &self.plan.players[index];
                let (plan, protocol) = (player.plan.clone(), player.protocol);
                Box::pin(async move {
                    let Addresses { rtmp, http, .. } = gateway;
                    let report = match protocol {
                        Protocol::Rtmp => rtmp_player::run(env, rtmp, plan, origin, notes).await,
                        Protocol::HttpFlv => flv_viewer::run(env, http, plan, origin, notes).await,
                    };
                    reports.fill(index, report);
                })
            }
            Role::RawClient(index) => {
                let reports = Arc::clone(&self.raw_clients);
                let raw = &self.plan.raw_clients[index];
                let address = match raw.listener {
                    Listener::Rtmp => gateway.rtmp,
                    Listener::Http => gateway.http,
                };
                let speaking = raw::run(env, address, raw.plan.clone(), origin);
                Box::pin(async move {
                    let report = speaking.await;
                    reports.fill(index, report.map_err(|error| error.kind().to_string()));
                })
            }
            Role::OfCrowd(index, member) => {
                let reports = Arc::clone(&self.crowds[index]);
                let Crowd { protocol, every_us, ref plan, .. } = self.plan.crowds[index];
                let mut plan = plan.clone();
                plan.start_ms += member as u64 * every_us / 1_000;
                let over_http = protocol == Protocol::HttpFlv;
                let address = if over_http { gateway.http } else { gateway.rtmp };
                let playing = crowd::run(env, address, over_http, plan, origin);
                Box::pin(async move { reports.fill(member, playing.await) })
            }
            Role::Phone(index) => {
                let reports = Arc::clone(&self.phones);
                let plan = self.plan.phones[index].plan.clone();
                let calling = phone::run(env, gateway.sip, plan, origin, notes);
                Box::pin(async move { reports.fill(index, calling.await) })
            }
            Role::SipClient(index) => {
                let reports = Arc::clone(&self.sip_clients);
                let plan = self.plan.sip_clients[index].plan.clone();
                let talking = sip_client::run(env, gateway.rtmp, plan, origin, notes);
                Box::pin(async move { reports.fill(index, talking.await) })
            }
            Role::Stranger(index) => {
                let reports = Arc::clone(&self.strangers);
                let plan = self.plan.strangers[index].plan.clone();
                let sending = stranger::run(env, gateway.sip, plan, origin);
                Box::pin(async move { reports.fill(index, sending.await) })
            }
        }
    }

    /// Waits for every report.
    pub(super) async fn reports(&self) -> Reports {
        let publishers = self.publishers.all().await;
        let (players, raw_clients) = (self.players.all().await, self.raw_clients.all().await);
        let mut crowds = Vec::new();
        for crowd in &self.crowds {
            crowds.push(crowd.all().await);
        }
        let (phones, sip_clients) = (self.phones.all().await, self.sip_clients.all().await);
        let strangers = self.strangers.all().await;
        Reports { publishers, players, raw_clients, crowds, phones, sip_clients, strangers }
    }

    /// What the clients of the host called `name` would have reported, who are gone with it.
    pub(super) fn report_crash(&self, name: &str, at: Duration) {
        for (_, role) in self.all().into_iter().filter(|(host, _)| *host == name) {
            match role {
                Role::Publisher(index) => {
                    let plan = &self.plan.publishers[index].plan;
                    self.publishers.fill_if_empty(index, || PublishReport::crashed(plan));
                }
                Role::Player(index) => {
                    let plan = &self.plan.players[index].plan;
                    self.players.fill_if_empty(index, || PlayReport::crashed(plan, at));
                }
                Role::RawClient(index) => {
                    self.raw_clients.fill_if_empty(index, || Err("crashed".to_owned()));
                }
                Role::OfCrowd(index, member) => {
                    let gone = || CrowdReport {
                        frames: 0,
                        gaps: 0,
                        violations: Vec::new(),
                        last: None,
                        end: "crashed".to_owned(),
                    };
                    self.crowds[index].fill_if_empty(member, gone);
                }
                Role::Stranger(index) => {
                    self.strangers.fill_if_empty(index, StrangerReport::default);
                }
                Role::Phone(index) => {
                    self.phones.fill_if_empty(index, || PhoneReport::crashed(at));
                }
                Role::SipClient(index) => {
                    self.sip_clients.fill_if_empty(index, || SipClientReport::crashed(at));
                }
            }
        }
    }
}

/// What all clients said, each kind in the order of the plan.
pub(super) struct Reports {
    pub(super) publishers: Vec<PublishReport>,
    pub(super) players: Vec<PlayReport>,
    pub(super) raw_clients: Vec<Result<RawReport, String>>,
    pub(super) crowds: Vec<Vec<CrowdReport>>,
    pub(super) phones: Vec<PhoneReport>,
    pub(super) sip_clients: Vec<SipClientReport>,
    pub(super) strangers: Vec<StrangerReport>,
}

impl Reports {
    /// What clients of `plan` say, and nothing else yet.
    pub(super) fn of(self, plan: Plan) -> Evidence {
        let Self { publishers, players, raw_clients, crowds, phones, sip_clients, strangers } =
            self;
        Evidence {
            plan,
            publishers,
            players,
            raw_clients,
            crowds,
            phones,
            sip_clients,
            strangers,
            twin: None,
            streams_at_rest: 0,
            lives: Vec::new(),
            points_passed: BTreeMap::new(),
            host: None,
            left_on_heap: Held::default(),
        }
    }
}

/// Results of tasks, collected until all are there.
struct Slots<T> {
    slots: Mutex<Vec<Option<T>>>,
    /// Those that are still empty.
    missing: AtomicUsize,
    filled: Notify,
}

impl<T> Slots<T> {
    fn new(count: usize) -> Arc<Self> {
        let slots = Mutex::new((0..count).map(|_| None).collect());
        Arc::new(Self { slots, missing: AtomicUsize::new(count), filled: Notify::new() })
    }

    fn fill(&self, index: usize, value: T) {
        let before = self.slots.lock().expect("no panic under the lock")[index].replace(value);
        assert!(before.is_none(), "one report each");
        if self.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.filled.notify_one();
        }
    }

    fn fill_if_empty(&self, index: usize, value: impl FnOnce() -> T) {
        let is_empty = {
            let slots = self.slots.lock().expect("no panic under the lock");
            slots.get(index).is_some_and(Option::is_none)
        };
        if is_empty {
            self.fill(index, value());
        }
    }

    async fn all(&self) -> Vec<T> {
        while self.missing.load(Ordering::Relaxed) > 0 {
            self.filled.notified().await;
        }
        self.slots.lock().expect("no panic under the lock").drain(..).flatten().collect()
    }
}
