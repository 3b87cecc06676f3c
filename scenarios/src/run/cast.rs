//! The cast of a plan, on whatever network it plays: the gateway, its clients, and their reports.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use rehearsal_core::{
    config::Config,
    env::Env,
    gateway::{Ended, Gateway, Shared},
};
use rehearsal_sim::clients::{
    flv_viewer,
    publisher::{self, Notes, PublishReport},
    rtmp_player::{self, PlayReport},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{REST, evidence::Evidence};
use crate::plan::{Plan, Protocol};

/// Where the gateway serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    /// RTMP.
    pub(super) rtmp: SocketAddr,
    /// HTTP.
    pub(super) http: SocketAddr,
}

impl Addresses {
    /// Those of a gateway with `config` at `ip`.
    pub(super) fn configured(ip: IpAddr, config: &Config) -> Self {
        Self {
            rtmp: SocketAddr::new(ip, config.rtmp.listen.port()),
            http: SocketAddr::new(ip, config.http.listen.port()),
        }
    }
}

/// The gateway, serving in a task of its host.
pub(super) struct Serving<E: Env> {
    shared: Arc<Shared<E>>,
    addresses: Addresses,
    shutdown: CancellationToken,
    ended: Arc<Slots<Ended>>,
    _task: E::Task,
}

impl<E: Env> Serving<E> {
    /// Starts the gateway on the host of `env`, where others reach it at `ip`.
    ///
    /// # Panics
    /// When its ports are taken.
    pub(super) async fn start(env: &E, ip: IpAddr, config: Config) -> Self {
        let shutdown = CancellationToken::new();
        let gateway = Gateway::bind(env.clone(), config, shutdown.clone())
            .await
            .expect("the gateway's ports are free");
        let shared = gateway.shared();
        let addresses = Addresses {
            rtmp: SocketAddr::new(ip, gateway.rtmp_addr().port()),
            http: SocketAddr::new(ip, gateway.http_addr().port()),
        };
        let ended = Slots::new(1);
        let task = {
            let ended = Arc::clone(&ended);
            env.spawn(async move { ended.fill(0, gateway.run().await) })
        };
        Self { shared, addresses, shutdown, ended, _task: task }
    }

    /// Where it serves.
    pub(super) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Streams in its registry.
    pub(super) fn streams(&self) -> usize {
        self.shared.live.len()
    }

    /// Has it shut down, and waits until it has.
    pub(super) async fn end(&self) -> Ended {
        self.shutdown.cancel();
        self.ended.all().await[0]
    }

    /// Waits for every report of `clients`, ends the gateway, and gives what there is to judge where nobody looks into
    /// hosts.
    pub(super) async fn see_out(self, clients: &Clients, plan: Plan) -> Evidence {
        let (publishers, players) = clients.reports().await;
        sleep(REST).await;
        let streams_at_rest = self.streams();
        let cut_connections = self.end().await.cut_connections;
        Evidence {
            plan,
            publishers,
            players,
            streams_at_rest,
            streams_after_shutdown: self.streams(),
            cut_connections,
            host: None,
        }
    }
}

/// The clients of a plan, and what they reported.
pub(super) struct Clients {
    plan: Plan,
    publishers: Arc<Slots<PublishReport>>,
    players: Arc<Slots<PlayReport>>,
}

impl Clients {
    /// The clients of `plan`, not started yet.
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            publishers: Slots::new(plan.publishers.len()),
            players: Slots::new(plan.players.len()),
        }
    }

    /// What the publisher at `index` of the plan does from its start to its report; times count from `origin`.
    pub(super) fn publisher<E: Env>(
        &self,
        index: usize,
        env: E,
        gateway: Addresses,
        origin: Instant,
        notes: Notes,
    ) -> impl Future<Output = ()> + Send + use<E> {
        let reports = Arc::clone(&self.publishers);
        let plan = self.plan.publishers[index].plan.clone();
        let run = publisher::run(env, gateway.rtmp, plan, origin, notes);
        async move { reports.fill(index, run.await) }
    }

    /// What the subscriber at `index` of the plan does from its start to its report; times count from `origin`.
    pub(super) fn player<E: Env>(
        &self,
        index: usize,
        env: E,
        gateway: Addresses,
        origin: Instant,
        notes: Notes,
    ) -> impl Future<Output = ()> + Send + use<E> {
        let reports = Arc::clone(&self.players);
        let player = &self.plan.players[index];
        let (plan, protocol) = (player.plan.clone(), player.protocol);
        async move {
            let report = match protocol {
                Protocol::Rtmp => rtmp_player::run(env, gateway.rtmp, plan, origin, notes).await,
                Protocol::HttpFlv => flv_viewer::run(env, gateway.http, plan, origin, notes).await,
            };
            reports.fill(index, report);
        }
    }

    /// Waits for every report: publishers' and players', in the order of the plan.
    pub(super) async fn reports(&self) -> (Vec<PublishReport>, Vec<PlayReport>) {
        let publishers = self.publishers.all().await;
        (publishers, self.players.all().await)
    }
}

/// Results of tasks, collected until all are there.
struct Slots<T> {
    slots: Mutex<Vec<Option<T>>>,
    filled: Notify,
}

impl<T> Slots<T> {
    fn new(count: usize) -> Arc<Self> {
        let slots = Mutex::new((0..count).map(|_| None).collect());
        Arc::new(Self { slots, filled: Notify::new() })
    }

    fn fill(&self, index: usize, value: T) {
        self.slots.lock().expect("no panic under the lock")[index] = Some(value);
        self.filled.notify_one();
    }

    async fn all(&self) -> Vec<T> {
        loop {
            {
                let mut slots = self.slots.lock().expect("no panic under the lock");
                if slots.iter().all(Option::is_some) {
                    return slots.drain(..).flatten().collect();
                }
            }
            self.filled.notified().await;
        }
    }
}
