//! The gateway of a run, or what stands in for it: how it is started and told to end, and how it ended.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rehearsal_core::{
    config::Config,
    env::Env,
    gateway::{Ended, Gateway, Shared},
};
use rehearsal_sim::heap::{self, Scope};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    cast::Reports,
    evidence::{Evidence, HostEvidence, Life},
    sampler::Sampler,
};
use crate::plan::Plan;

/// Something that serves in the gateway's place, for tests of what a run notices: it serves on the ports of the
/// configuration, and ends when it is told to, or should.
pub type StandIn<E> =
    fn(E, Config, CancellationToken) -> Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Where the gateway serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    /// RTMP.
    pub(super) rtmp: SocketAddr,
    /// HTTP.
    pub(super) http: SocketAddr,
    /// SIP over UDP, if it is served.
    pub(super) sip: SocketAddr,
}

impl Addresses {
    /// Those of a gateway with `config` at `ip`.
    pub(super) fn configured(ip: IpAddr, config: &Config) -> Self {
        Self {
            rtmp: SocketAddr::new(ip, config.rtmp.listen.port()),
            http: SocketAddr::new(ip, config.http.listen.port()),
            sip: SocketAddr::new(ip, config.sip.listen.port()),
        }
    }
}

/// How and when something that serves ended.
#[derive(Default)]
struct End {
    ended: OnceLock<(Instant, Ended)>,
    is_told: Notify,
}

impl End {
    /// Whether it had not ended before.
    fn is(&self, ended: Ended) -> bool {
        let is_first = self.ended.set((Instant::now(), ended)).is_ok();
        self.is_told.notify_one();
        is_first
    }
}

/// The gateway, serving in a task of its host: one life of it.
pub(super) struct Serving<E: Env> {
    /// `None` of a stand-in, which has no registry.
    shared: Option<Arc<Shared<E>>>,
    /// Streams in its registry when that was let go of.
    streams_left: usize,
    addresses: Addresses,
    shutdown: CancellationToken,
    told_at: Option<Instant>,
    has_crashed: bool,
    end: Arc<End>,
    _task: E::Task,
}

impl<E: Env> Serving<E> {
    /// Starts the gateway on the host of `env`, where others reach it at `ip`; or `stand_in` in its place.
    ///
    /// # Panics
    /// When its ports are taken.
    pub(super) async fn start(
        env: &E,
        ip: IpAddr,
        config: Config,
        stand_in: Option<StandIn<E>>,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let configured = Addresses::configured(ip, &config);
        let Some(stand_in) = stand_in else {
            let binding = Gateway::bind(env.clone(), config, shutdown.clone());
            let gateway = heap::charge_to(Scope::Gateway, binding)
                .await
                .expect("the gateway's ports are free");
            let sip_port = gateway.sip_addr().map_or(configured.sip.port(), |sip| sip.port());
            let addresses = Addresses {
                rtmp: SocketAddr::new(ip, gateway.rtmp_addr().port()),
                http: SocketAddr::new(ip, gateway.http_addr().port()),
                sip: SocketAddr::new(ip, sip_port),
            };
            let shared = Some(gateway.shared());
            return Self::begin(env, shared, addresses, shutdown, gateway.run());
        };
        let serving = stand_in(env.clone(), config, shutdown.clone());
        Self::begin(env, None, configured, shutdown, serving)
    }

    fn begin(
        env: &E,
        shared: Option<Arc<Shared<E>>>,
        addresses: Addresses,
        shutdown: CancellationToken,
        serving: impl Future<Output = Ended> + Send + 'static,
    ) -> Self {
        let end = Arc::new(End::default());
        let task = {
            let end = Arc::clone(&end);
            env.spawn(async move {
                end.is(serving.await);
            })
        };
        Self {
            shared,
            streams_left: 0,
            addresses,
            shutdown,
            told_at: None,
            has_crashed: false,
            end,
            _task: task,
        }
    }

    /// Where it serves.
    pub(super) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Streams in its registry.
    pub(super) fn streams(&self) -> usize {
        self.shared.as_ref().map_or(self.streams_left, |shared| shared.live.len())
    }

    /// Tells it to end in order.
    pub(super) fn shut_down(&mut self) {
        self.told_at.get_or_insert_with(Instant::now);
        self.shutdown.cancel();
    }

    /// Its host has crashed: if it had not ended before, it has now, and cut nobody that could tell.
    pub(super) fn crashed(&mut self) {
        self.has_crashed |= self.end.is(Ended { cut_connections: 0 });
    }

    /// Lets go of what nothing but this run holds any more, if it has ended.
    pub(super) fn let_go(&mut self) {
        if self.end.ended.get().is_some() {
            self.streams_left = self.streams();
            self.shared = None;
        }
    }

    /// Has it shut down, and waits until it has.
    async fn end(&mut self) {
        self.shut_down();
        while self.end.ended.get().is_none() {
            self.end.is_told.notified().await;
        }
    }

    /// How it ended.
    pub(super) fn life(&self) -> Life {
        if self.has_crashed {
            return Life::Crashed;
        }
        let ended = self.end.ended.get();
        let told_at = self.told_at.or(ended.map(|(at, _)| *at));
        Life::ToldToEnd {
            took: ended.zip(told_at).map(|((at, _), told_at)| at.duration_since(told_at)),
            cut_connections: ended.map_or(0, |(_, ended)| ended.cut_connections),
            streams: self.streams(),
        }
    }

    /// The end of a run of `plan`, whose clients have all reported: waits until the gateway must have come to rest, ends it, and
    /// gives what there is to judge. `before` are its earlier lives; `sampler` looks into its host, where somebody does.
    pub(super) async fn see_out(
        mut self,
        mut before: Vec<Self>,
        plan: Plan,
        reports: Reports,
        sampler: Option<Sampler>,
    ) -> Evidence {
        sleep(Duration::from_millis(plan.terms.calm_ms)).await;
        let mut host = HostEvidence::default();
        before.iter_mut().for_each(Self::let_go);
        let streams_at_rest = self.streams();
        if let Some(sampler) = &sampler {
            sampler.at_rest(&mut host).await;
        }
        self.end().await;
        if let Some(sampler) = &sampler {
            sampler.after_shutdown(&mut host).await;
        }
        Evidence {
            streams_at_rest,
            lives: before.iter().chain([&self]).map(Self::life).collect(),
            host: sampler.map(|_| host),
            ..reports.of(plan)
        }
    }
}
