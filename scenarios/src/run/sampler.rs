//! A look at the gateway's host at regular times: what it leaves unread, what does not get away, which connections it lets go,
//! and what it does while nothing happens; and, when a run rests, what is left.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddrV4},
    pin::pin,
    task::Poll,
    time::Duration,
};

use rehearsal_sim::{
    Netstat, SimEnv, SocketRow, SocketState, TIME_WAIT, Wait,
    heap::{self, Scope},
    virtual_time,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    REST,
    connections::Connections,
    curve::{Curve, Queues, Sample},
    evidence::{Held, HostEvidence, Rest},
    idle::{IdleHour, idle_hour},
};
use crate::plan::Plan;

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(250);
/// The same once a run has lasted longer than [`SHORT_RUN`].
const SELDOM: Duration = Duration::from_secs(10);
/// Runs of days would do little else than look.
const SHORT_RUN: Duration = Duration::from_secs(3_600);
/// Sockets of a host beyond which the look at each of them is left out: it would cost more than the run.
const SOCKETS_MAX: usize = 500;

/// A connection, by its addresses.
type Connection = (SocketAddrV4, SocketAddrV4);

/// Bytes that were written and that the peer could take.
#[derive(Clone, Copy)]
struct Unsent {
    /// First sequence number that is not acknowledged.
    unacknowledged: u64,
    /// Packets lost on the links so far.
    lost_packets: u64,
    since: Instant,
}

/// What was seen so far.
pub(super) struct Sampler {
    env: SimEnv,
    hosts: BTreeMap<IpAddr, SimEnv>,
    start: Instant,
    /// The same since the world began, as it dates waits.
    start_in_world: Duration,
    sip_port: u16,
    idle_hour: Option<IdleHour>,
    /// Polls of the gateway's tasks when the idle hour began, and when it was over.
    idle_polls: (Option<u64>, Option<u64>),
    /// What the gateway held when it began to serve.
    at_start: Held,
    connections: Connections,
    curve: Curve,
    /// Connections on which bytes lie unread, and since when.
    unread: BTreeMap<Connection, Instant>,
    unsent: BTreeMap<Connection, Unsent>,
    /// Longest time for which bytes lay unread, by the address they came from.
    unread_max: BTreeMap<IpAddr, Duration>,
    /// Longest time for which bytes did not get away, by the address they were for.
    unsent_max: BTreeMap<IpAddr, Duration>,
}

impl Sampler {
    /// Nothing seen yet of the host of `env`, which serves already; `hosts` are those of `plan`, which begins now.
    pub(super) fn new(env: &SimEnv, hosts: &[SimEnv], plan: &Plan) -> Self {
        heap::reset_peak(Scope::Gateway);
        Self {
            env: env.clone(),
            hosts: hosts.iter().map(|host| (host.ip(), host.clone())).collect(),
            start: Instant::now(),
            start_in_world: virtual_time().unwrap_or_default(),
            sip_port: plan.config.sip.listen.port(),
            connections: Connections::default(),
            curve: Curve::default(),
            idle_hour: idle_hour(plan),
            idle_polls: (None, None),
            at_start: Held::now(),
            unread: BTreeMap::new(),
            unsent: BTreeMap::new(),
            unread_max: BTreeMap::new(),
            unsent_max: BTreeMap::new(),
        }
    }

    /// Looks at regular times until `done` is.
    pub(super) async fn watch_until<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = pin!(done);
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        poll_fn(|cx| {
            if let Poll::Ready(output) = done.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            while ticks.poll_tick(cx).is_ready() {
                self.look();
                if self.start.elapsed() > SHORT_RUN {
                    ticks.reset_after(SELDOM);
                }
            }
            Poll::Pending
        })
        .await
    }

    fn look(&mut self) {
        self.look_at_polls();
        if self.env.socket_count() > SOCKETS_MAX {
            self.curve.add(self.sample(None));
            return;
        }
        let now = Instant::now();
        let netstat = self.env.netstat();
        self.curve.add(self.sample(Some(&netstat)));
        self.connections.look(&netstat, now.duration_since(self.start));
        let (unread, unsent) = (std::mem::take(&mut self.unread), std::mem::take(&mut self.unsent));
        for row in netstat.rows {
            let Some(remote) = row.remote else { continue };
            let (connection, ip) = ((row.local, remote), IpAddr::V4(*remote.ip()));
            if row.rx_queue > 0
                && matches!(row.state, SocketState::Established | SocketState::CloseWait)
            {
                let since = *unread.get(&connection).unwrap_or(&now);
                self.unread.insert(connection, since);
                let most = self.unread_max.entry(ip).or_default();
                *most = now.duration_since(since).max(*most);
            }
            if row.tx_queue > 0 && row.window_free > 0 {
                let waiting = self.unsent(&row, ip, unsent.get(&connection).copied(), now);
                self.unsent.insert(connection, waiting);
                let most = self.unsent_max.entry(ip).or_default();
                *most = now.duration_since(waiting.since).max(*most);
            }
        }
    }

    /// How long the bytes of `row` have been waiting: since `before`, unless some were acknowledged or a packet was lost.
    fn unsent(&self, row: &SocketRow, ip: IpAddr, before: Option<Unsent>, now: Instant) -> Unsent {
        let lost_at_peer = self.hosts.get(&ip).map_or(0, SimEnv::link_dropped_packets);
        let lost_packets = lost_at_peer + self.env.link_dropped_packets();
        let unacknowledged = row.unacknowledged;
        let is_stuck = |before: &Unsent| {
            before.unacknowledged == unacknowledged && before.lost_packets == lost_packets
        };
        before.filter(is_stuck).unwrap_or(Unsent { unacknowledged, lost_packets, since: now })
    }

    /// What the gateway holds now; its queues only where somebody has looked at the sockets.
    fn sample(&self, netstat: Option<&Netstat>) -> Sample {
        Sample {
            at: self.start.elapsed(),
            heap_bytes: Held::since(self.at_start).bytes,
            queues: netstat.map(Queues::of),
        }
    }

    fn look_at_polls(&mut self) {
        let Some(hour) = self.idle_hour else { return };
        let (elapsed, polls) = (self.start.elapsed(), self.env.polls());
        if elapsed >= hour.from {
            self.idle_polls.0.get_or_insert(polls);
        }
        if elapsed >= hour.to {
            self.idle_polls.1.get_or_insert(polls);
        }
    }

    /// Notes what was seen until now.
    pub(super) fn seen(&self, host: &mut HostEvidence) {
        host.heap_bytes_max = heap::usage(Scope::Gateway).peak_bytes - self.at_start.bytes;
        (host.unread, host.unsent) =
            (self.by_name(self.unread_max.iter()), self.by_name(self.unsent_max.iter()));
        host.curve = self.curve.samples().to_vec();
        host.let_go = self.by_name(self.connections.let_go());
        host.waits = self.waits();
        host.polls_in_idle_hour =
            self.idle_polls.1.zip(self.idle_polls.0).map(|(to, from)| to - from);
    }

    /// Notes what is left when the last client has gone, and, a second later, what was polled meanwhile.
    pub(super) async fn at_rest(&self, host: &mut HostEvidence) {
        host.kept_at_rest = Held::since(self.at_start);
        self.seen(host);
        host.at_rest = self.rest();
        host.curve.push(self.sample(Some(&self.env.netstat())));
        let polls = self.env.polls();
        sleep(Duration::from_secs(1)).await;
        host.polls_at_rest = self.env.polls() - polls;
    }

    /// Notes what is left when the gateway has ended and every socket has had its time.
    pub(super) async fn after_shutdown(&self, host: &mut HostEvidence) {
        sleep(TIME_WAIT + REST).await;
        host.after_shutdown = self.rest();
    }

    fn by_name<'a, T: Clone + 'a>(
        &self,
        by_address: impl Iterator<Item = (&'a IpAddr, &'a T)>,
    ) -> BTreeMap<String, T> {
        let named = by_address.filter_map(|(ip, what)| Some((self.hosts.get(ip)?, what)));
        named.map(|(host, what)| (host.name().to_owned(), what.clone())).collect()
    }

    /// When connections between the gateway and each other host waited for what was lost, after the start.
    fn waits(&self) -> BTreeMap<String, Vec<Wait>> {
        let start = self.start_in_world;
        let since_start = |wait: &Wait| {
            let (from, to) = (wait.from.saturating_sub(start), wait.to.checked_sub(start)?);
            Some(Wait { from, to, ..*wait })
        };
        let at_gateway = self.env.waits();
        let clients = self.hosts.values().filter(|host| host.name() != self.env.name());
        let waits = clients.map(|host| {
            let its = at_gateway.iter().filter(|wait| *wait.remote.ip() == host.ip()).copied();
            let waits = its.chain(host.waits());
            let mut waits: Vec<Wait> = waits.filter_map(|wait| since_start(&wait)).collect();
            waits.sort_by_key(|wait| wait.from);
            (host.name().to_owned(), waits)
        });
        waits.filter(|(_, waits)| !waits.is_empty()).collect()
    }

    fn rest(&self) -> Rest {
        let netstat = self.env.netstat();
        let is_resting = |row: &SocketRow| match row.state {
            SocketState::Listen | SocketState::TimeWait => true,
            // Phones call it there.
            SocketState::Bound => row.local.port() == self.sip_port,
            _ => false,
        };
        let sockets = netstat.rows.iter().filter(|row| !is_resting(row));
        Rest {
            tasks: self.env.task_count(),
            sockets: sockets.map(|row| format!("{:?} from {:?}", row.state, row.remote)).collect(),
            time_wait: netstat.count(SocketState::TimeWait),
        }
    }
}
