//! The gateway: its listeners, the live streams, and every connection's and every call's task.
//!
//! [`Gateway::run`] owns all of it: dropping that future ends every task, connection and listener at once. Told to
//! shut down, it stops accepting, lets each connection tell its peer and flush, and cuts what is left when the
//! time for it is over.

mod delivery;
mod farewell;
mod phone;
mod rtmp_connection;
mod sip_client;
mod task_set;

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{field::display, info, warn};

pub use delivery::{Delivery, DeliveryError, DeliveryEvent};
pub(crate) use farewell::close_in_stages;
use phone::{Phones, Serving, desk::Desk};
use task_set::TaskSet;

use crate::{
    config::Config,
    env::{Env, TcpListener},
    http,
    live::Registry,
    rtp::ports::EmptyRange,
};

/// Pause after a failed accept: what made it fail (no descriptors, mostly) needs time to go away.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection shares.
#[derive(Debug)]
pub struct Shared<E: Env> {
    /// The way to the outside.
    pub env: E,
    /// Limits and deadlines.
    pub config: Config,
    /// The streams.
    pub live: Registry,
    /// Cancelled when the gateway is to end.
    pub shutdown: CancellationToken,
    /// What happened since the start.
    pub counters: Counters,
    /// Where user agents that connect over RTMP give their orders, if calls are served.
    pub(crate) desk: Option<Desk>,
    /// What the heap held at the calibration.
    #[cfg(feature = "leakcheck")]
    pub(crate) leakcheck: http::Leakcheck,
}

/// Totals since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections closed at once because there were too many.
    pub connections_refused: AtomicU64,
    /// Calls of accept that failed.
    pub accepts_failed: AtomicU64,
    /// Messages of publishers that made no sense and were left out.
    pub messages_dropped: AtomicU64,
    /// Frames that slow subscribers did not get.
    pub frames_skipped: AtomicU64,
    /// Calls that were taken.
    pub calls: AtomicU64,
    /// Calls that were not.
    pub calls_refused: AtomicU64,
    /// Packets of phones that the system dropped, for they came faster than they were taken.
    pub packets_dropped: AtomicU64,
    /// Digits that could not be sent to a phone.
    pub digits_dropped: AtomicU64,
}

impl Counters {
    /// Logs all of them, so that nothing that was dropped goes unseen.
    fn log(&self) {
        let total = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        info!(
            connections = total(&self.connections),
            connections_refused = total(&self.connections_refused),
            accepts_failed = total(&self.accepts_failed),
            messages_dropped = total(&self.messages_dropped),
            frames_skipped = total(&self.frames_skipped),
            calls = total(&self.calls),
            calls_refused = total(&self.calls_refused),
            packets_dropped = total(&self.packets_dropped),
            digits_dropped = total(&self.digits_dropped),
            "totals since the start"
        );
    }
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Why the gateway could not start.
#[derive(Debug, Error)]
pub enum BindError {
    /// A listener could not be opened.
    #[error("cannot listen on {address} for {protocol}: {source} (change {key} or free the port)")]
    Listen {
        /// What should have been served.
        protocol: &'static str,
        /// The key of the configuration.
        key: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There are no ports for calls.
    #[error("{0} (change rtp.first_port or rtp.last_port)")]
    Ports(#[from] EmptyRange),
}

/// How a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Connections that had to be cut when the time to shut down was over.
    pub cut_connections: usize,
}

/// A gateway that listens but does not serve yet.
#[derive(Debug)]
pub struct Gateway<E: Env> {
    shared: Arc<Shared<E>>,
    connections: TaskSet<E>,
    rtmp: E::TcpListener,
    http: E::TcpListener,
    phones: Option<Serving>,
}

impl<E: Env> Gateway<E> {
    /// Opens the listeners of `config`. The gateway ends in order once `shutdown` is cancelled.
    ///
    /// # Errors
    /// A listener could not be opened.
    pub async fn bind(
        env: E,
        config: Config,
        shutdown: CancellationToken,
    ) -> Result<Self, BindError> {
        let bind = async |protocol, key, address| {
            env.bind_tcp(address).await.map_err(|source| BindError::Listen {
                protocol,
                key,
                address,
                source,
            })
        };
        let rtmp = bind("RTMP", "rtmp.listen", config.rtmp.listen).await?;
        let http = bind("HTTP", "http.listen", config.http.listen).await?;
        let sip = match config.sip.enabled {
            true => {
                let address = config.sip.listen;
                let (protocol, key) = ("SIP", "sip.listen, set sip.enabled to false");
                let bound = phone::bind(&env, address).await;
                Some(bound.map_err(|source| BindError::Listen {
                    protocol,
                    key,
                    address,
                    source,
                })?)
            }
            false => None,
        };
        let live = Registry::new(config.live_limits());
        let counters = Counters::default();
        let sip_config = &config.sip;
        let desk = sip_config
            .enabled
            .then(|| Desk::new(sip_config.max_clients, sip_config.max_clients_per_address));
        let connections = TaskSet::new(env.clone());
        #[cfg(feature = "leakcheck")]
        let leakcheck = http::Leakcheck::new(connections.counter());
        let shared = Arc::new(Shared {
            env,
            config,
            live,
            shutdown,
            counters,
            desk,
            #[cfg(feature = "leakcheck")]
            leakcheck,
        });
        let phones =
            sip.map(|(udp, tcp)| Phones::new(Arc::clone(&shared), udp, tcp)).transpose()?;
        let phones = phones.map(Phones::serving);
        Ok(Self { shared, connections, rtmp, http, phones })
    }

    /// Where RTMP is served.
    pub fn rtmp_addr(&self) -> SocketAddr {
        self.rtmp.local_addr()
    }

    /// Where HTTP is served.
    pub fn http_addr(&self) -> SocketAddr {
        self.http.local_addr()
    }

    /// Where SIP is served, if it is.
    pub fn sip_addr(&self) -> Option<SocketAddr> {
        self.phones.as_ref().map(|phones| phones.local_addr)
    }

    /// What the connections share, for whoever watches the gateway.
    pub fn shared(&self) -> Arc<Shared<E>> {
        Arc::clone(&self.shared)
    }

    /// Serves until the shutdown is over.
    pub async fn run(self) -> Ended {
        let Self { shared, connections, rtmp, http, phones } = self;
        let sip = phones.as_ref().map(|phones| display(phones.local_addr));
        info!(rtmp = %rtmp.local_addr(), http = %http.local_addr(), sip, "listening");
        let connected = async {
            tokio::join!(
                accept(&shared, &connections, rtmp, rtmp_connection::serve),
                accept(&shared, &connections, http, http::serve),
            );
            let within_ms = shared.config.limits.shutdown_ms;
            info!(connections = connections.len(), within_ms, "shutting down");
            let within = Duration::from_millis(within_ms);
            let _ = tokio::time::timeout(within, connections.idle()).await;
        };
        let called = async {
            if let Some(phones) = phones {
                phones.run.await;
            }
        };
        tokio::join!(connected, called);
        let cut_connections = connections.len();
        if cut_connections > 0 {
            warn!(cut_connections, "connections did not end in time and were cut");
        }
        shared.counters.log();
        Ended { cut_connections }
    }
}

/// Accepts connections and serves each in a task of its own, until the shutdown begins.
async fn accept<E: Env, F: Future<Output = ()> + Send + 'static>(
    shared: &Arc<Shared<E>>,
    connections: &TaskSet<E>,
    mut listener: E::TcpListener,
    serve: impl Fn(Arc<Shared<E>>, E::TcpStream, Peer) -> F,
) {
    let mut refusing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((_, address)) if connections.len() >= shared.config.limits.max_connections => {
                sometimes!("a connection is refused because there are too many");
                count(&shared.counters.connections_refused, 1);
                // Once for each time it comes to this, however many try.
                if !std::mem::replace(&mut refusing, true) {
                    warn!(peer = %address, "connections are refused: limits.max_connections is reached");
                }
            }
            Ok((stream, address)) => {
                if std::mem::take(&mut refusing) {
                    let refused = shared.counters.connections_refused.load(Ordering::Relaxed);
                    info!(refused, "connections are accepted again");
                }
                let id = shared.counters.connections.fetch_add(1, Ordering::Relaxed) + 1;
                connections.spawn(serve(Arc::clone(shared), stream, Peer { id, address }));
            }
            Err(error) => {
                count(&shared.counters.accepts_failed, 1);
                // One that died in the queue says nothing about the next.
                if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
                {
                    continue;
                }
                warn!(%error, "accept failed; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Number of the connection, counted from 1.
    pub id: u64,
    /// Where it comes from.
    pub address: SocketAddr,
}
