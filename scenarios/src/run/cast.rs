//! The cast of a plan, on whatever network it plays: the gateway, its clients, and their reports.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rehearsal_core::{
    config::Config,
    env::Env,
    gateway::{Ended, Gateway, Shared},
};
use rehearsal_sim::clients::{
    crowd::{self, CrowdReport},
    flv_viewer,
    publisher::{self, Notes, PublishReport},
    raw::{self, RawReport},
    rtmp_player::{self, PlayReport},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::evidence::Evidence;
use crate::plan::{Crowd, Listener, Plan, Protocol};

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

    /// Tells it to end in order.
    pub(super) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// Its host has crashed: it has ended, and cut nobody that could tell.
    pub(super) fn crashed(&self) {
        self.ended.fill_if_empty(0, || Ended { cut_connections: 0 });
    }

    /// Has it shut down, and waits until it has.
    pub(super) async fn end(&self) -> Ended {
        self.shut_down();
        self.ended.all().await[0]
    }

    /// Waits for every report of `clients`, ends the gateway, and gives what there is to judge where nobody looks into
    /// hosts.
    pub(super) async fn see_out(self, clients: &Clients, plan: Plan) -> Evidence {
        let (publishers, players, raw_clients) = clients.reports().await;
        sleep(Duration::from_millis(plan.terms.calm_ms)).await;
        let streams_at_rest = self.streams();
        let cut_connections = self.end().await.cut_connections;
        Evidence {
            plan,
            publishers,
            players,
            raw_clients,
            crowds: Vec::new(),
            twin: None,
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
    raw_clients: Arc<Slots<Result<RawReport, String>>>,
    crowds: Vec<Arc<Slots<CrowdReport>>>,
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

    /// What the raw client at `index` of the plan does from its start to its report; times count from `origin`.
    pub(super) fn raw_client<E: Env>(
        &self,
        index: usize,
        env: E,
        gateway: Addresses,
        origin: Instant,
    ) -> impl Future<Output = ()> + Send + use<E> {
        let reports = Arc::clone(&self.raw_clients);
        let raw = &self.plan.raw_clients[index];
        let (plan, listener) = (raw.plan.clone(), raw.listener);
        async move {
            let address = match listener {
                Listener::Rtmp => gateway.rtmp,
                Listener::Http => gateway.http,
            };
            let report = raw::run(env, address, plan, origin).await;
            reports.fill(index, report.map_err(|error| error.kind().to_string()));
        }
    }

    /// What the member `member` of the crowd at `index` of the plan does from its start to its report.
    pub(super) fn of_crowd<E: Env>(
        &self,
        (index, member): (usize, usize),
        env: E,
        gateway: Addresses,
        origin: Instant,
    ) -> impl Future<Output = ()> + Send + use<E> {
        let reports = Arc::clone(&self.crowds[index]);
        let Crowd { protocol, every_us, ref plan, .. } = self.plan.crowds[index];
        let mut plan = plan.clone();
        plan.start_ms += member as u64 * every_us / 1_000;
        let over_http = protocol == Protocol::HttpFlv;
        let address = if over_http { gateway.http } else { gateway.rtmp };
        async move {
            let report = crowd::run(env, address, over_http, plan, origin).await;
            reports.fill(member, report);
        }
    }

    /// Waits for the report of each of a crowd.
    pub(super) async fn crowd_reports(&self) -> Vec<Vec<CrowdReport>> {
        let mut all = Vec::new();
        for crowd in &self.crowds {
            all.push(crowd.all().await);
        }
        all
    }

    /// Waits for every report: publishers', players' and raw clients', in the order of the plan.
    pub(super) async fn reports(&self) -> Reports {
        let publishers = self.publishers.all().await;
        (publishers, self.players.all().await, self.raw_clients.all().await)
    }

    /// What the clients of the host called `name` would have reported, who are gone with it.
    pub(super) fn report_crash(&self, name: &str, at: Duration) {
        for (index, _) in self.plan.publishers.iter().enumerate().filter(|(_, p)| p.host == name) {
            let plan = &self.plan.publishers[index].plan;
            self.publishers.fill_if_empty(index, || PublishReport::crashed(plan));
        }
        for (index, _) in self.plan.players.iter().enumerate().filter(|(_, p)| p.host == name) {
            let plan = &self.plan.players[index].plan;
            self.players.fill_if_empty(index, || PlayReport::crashed(plan, at));
        }
        for (index, _) in self.plan.raw_clients.iter().enumerate().filter(|(_, r)| r.host == name) {
            self.raw_clients.fill_if_empty(index, || Err("crashed".to_owned()));
        }
    }
}

/// What all clients said.
pub(super) type Reports = (Vec<PublishReport>, Vec<PlayReport>, Vec<Result<RawReport, String>>);

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
