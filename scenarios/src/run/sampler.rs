//! A look at the gateway's host at regular times: what it holds on the heap, what it leaves unread, and which connections it
//! lets go.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddrV4},
    ops::Range,
    pin::pin,
    task::Poll,
    time::Duration,
};

use rehearsal_sim::{
    SimEnv, SocketState,
    heap::{self, Scope},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::connections::Connections;

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(250);
/// The same once a run has lasted longer than [`SHORT_RUN`].
const SELDOM: Duration = Duration::from_secs(10);
/// Runs of days would do little else than look.
const SHORT_RUN: Duration = Duration::from_secs(3_600);
/// Sockets of a host beyond which the look at each of them is left out: it would cost more than the run.
const SOCKETS_MAX: usize = 500;

/// What was seen so far.
pub(super) struct Sampler {
    env: SimEnv,
    start: Instant,
    heap_bytes_at_start: i64,
    connections: Connections,
    /// Connections on which bytes lie unread, and since when.
    unread: BTreeMap<(SocketAddrV4, SocketAddrV4), Instant>,
    pub(super) heap_bytes_max: i64,
    /// Longest time for which bytes lay unread, by the address they came from.
    unread_max: BTreeMap<IpAddr, Duration>,
}

impl Sampler {
    /// Nothing seen yet of the host of `env`, which serves already.
    pub(super) fn new(env: &SimEnv) -> Self {
        Self {
            env: env.clone(),
            start: Instant::now(),
            connections: Connections::default(),
            heap_bytes_at_start: heap::usage(Scope::Gateway).live_bytes,
            unread: BTreeMap::new(),
            heap_bytes_max: 0,
            unread_max: BTreeMap::new(),
        }
    }

    /// Looks at regular times until `done` is.
    pub(super) async fn watch_until<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = pin!(done);
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let start = Instant::now();
        poll_fn(|cx| {
            if let Poll::Ready(output) = done.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            while ticks.poll_tick(cx).is_ready() {
                self.look();
                if start.elapsed() > SHORT_RUN {
                    ticks.reset_after(SELDOM);
                }
            }
            Poll::Pending
        })
        .await
    }

    fn look(&mut self) {
        let held_bytes = heap::usage(Scope::Gateway).live_bytes - self.heap_bytes_at_start;
        self.heap_bytes_max = self.heap_bytes_max.max(held_bytes);
        if self.env.socket_count() > SOCKETS_MAX {
            return;
        }
        let now = Instant::now();
        let netstat = self.env.netstat();
        self.connections.look(&netstat, now.duration_since(self.start));
        let is_unread = |state| matches!(state, SocketState::Established | SocketState::CloseWait);
        let unread = netstat.rows.iter().filter(|row| row.rx_queue > 0 && is_unread(row.state));
        let before = std::mem::take(&mut self.unread);
        for row in unread {
            let Some(remote) = row.remote else { continue };
            let key = (row.local, remote);
            let since = *before.get(&key).unwrap_or(&now);
            self.unread.insert(key, since);
            let most = self.unread_max.entry(IpAddr::V4(*remote.ip())).or_default();
            *most = now.duration_since(since).max(*most);
        }
    }

    /// Longest time for which bytes lay unread, by the name of the host they came from.
    pub(super) fn unread(&self, hosts: &[SimEnv]) -> BTreeMap<String, Duration> {
        by_name(hosts, self.unread_max.iter().map(|(ip, most)| (ip, *most)))
    }

    /// When the gateway let go of its connections, by the name of the host at their other end.
    pub(super) fn let_go(&self, hosts: &[SimEnv]) -> BTreeMap<String, Range<Duration>> {
        by_name(hosts, self.connections.let_go().map(|(ip, within)| (ip, within.clone())))
    }
}

fn by_name<'a, T>(
    hosts: &[SimEnv],
    found: impl Iterator<Item = (&'a IpAddr, T)>,
) -> BTreeMap<String, T> {
    let host = |ip: &IpAddr| hosts.iter().find(|host| host.ip() == *ip);
    found.filter_map(|(ip, what)| Some((host(ip)?.name().to_owned(), what))).collect()
}
