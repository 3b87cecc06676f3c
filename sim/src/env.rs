//! A host's handle: the gateway's seam to the outside, answered by the simulation.

use std::{
    future::Future,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use rehearsal_core::env::Env;
use tokio::time::sleep;

use crate::{
    capture::CaptureFile,
    disk::{Disk, SimFile},
    executor::{HostId, SimTask},
    fabric::{
        address_v4,
        netstat::Netstat,
        tcp::{listener::SimTcpListener, stream::SimTcpStream, waits::Wait},
        udp::{SimUdpSocket, UdpCounters},
    },
    heap::{self, Scope},
    rng::Rng,
    trace::TraceEvent,
    world::Shared,
};

/// What every host's wall clock shows when a world begins: 2026-01-01T00:00:00Z.
pub(crate) const WALL_CLOCK_START: Duration = Duration::from_secs(1_767_225_600);

/// Until a host knows the address of another by its name.
const RESOLVER_DELAY: Duration = Duration::from_millis(20);

/// A simulated host. Clones are handles to the same host.
#[derive(Clone, Debug)]
pub struct SimEnv {
    pub(crate) shared: Arc<Shared>,
    pub(crate) host: Arc<Host>,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: HostId,
    seed: u64,
    name: String,
    ip: Ipv4Addr,
    disk: Disk,
    entropy: Mutex<Rng>,
}

impl SimEnv {
    pub(crate) fn new(
        shared: Arc<Shared>,
        seed: u64,
        id: HostId,
        name: &str,
        ip: Ipv4Addr,
    ) -> Self {
        let entropy = Mutex::new(Rng::named(seed, &format!("entropy/{name}")));
        let disk = Disk::new(seed, name, {
            let shared = Arc::clone(&shared);
            move |event| {
                let mut fabric = shared.fabric();
                let now_ns = fabric.net.now_ns;
                fabric.net.trace.record(now_ns, event);
            }
        });
        let host = Host { id, seed, name: name.to_owned(), ip, disk, entropy };
        Self { shared, host: Arc::new(host) }
    }

    /// The seed of the world.
    pub(crate) fn seed(&self) -> u64 {
        self.host.seed
    }

    /// The host's name.
    pub fn name(&self) -> &str {
        &self.host.name
    }

    /// The host's address.
    pub fn ip(&self) -> IpAddr {
        self.host.ip.into()
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.host.disk
    }

    /// Notes `what` in the run's trace, in this host's name.
    pub fn note(&self, what: impl Into<String>) {
        let _scope = heap::enter(Scope::Sim);
        let event = TraceEvent::App { who: self.host.name.clone(), what: what.into() };
        let mut fabric = self.shared.fabric();
        let now_ns = fabric.net.now_ns;
        fabric.net.trace.record(now_ns, &event);
    }

    /// Begins to capture what passes the host's interface, for Wireshark; a capture that is going on
    /// here begins anew. It holds [`CAPTURE_BYTES_MAX`](crate::CAPTURE_BYTES_MAX) at most.
    pub fn start_capture(&self) {
        let mut fabric = self.shared.fabric();
        fabric.net.captures.start(self.host.id, &self.host.name, self.host.ip);
    }

    /// Ends the capture and gives it; `None` if there was none.
    pub fn take_capture(&self) -> Option<CaptureFile> {
        let mut fabric = self.shared.fabric();
        let now_ns = fabric.net.now_ns;
        fabric.net.captures.take(self.host.id, now_ns)
    }

    /// Every socket of the host.
    pub fn netstat(&self) -> Netstat {
        Netstat::of(&self.shared.fabric(), self.host.id)
    }

    /// How many sockets programs of the host hold.
    pub fn socket_count(&self) -> usize {
        let fabric = self.shared.fabric();
        fabric.tcp.held(self.host.id) + fabric.udp.held(self.host.id)
    }

    /// Ports that sockets of the host hold, those of connections in TIME_WAIT among them; of TCP and UDP together.
    pub fn ports_held(&self) -> usize {
        let mut fabric = self.shared.fabric();
        fabric.tcp.ports(self.host.id).held() + fabric.udp.ports(self.host.id).held()
    }

    /// When connections of the host waited for their retransmission timers, so far.
    pub fn waits(&self) -> Vec<Wait> {
        self.shared.fabric().net.waits.of_host(self.host.id)
    }

    /// The host's UDP counters.
    pub fn udp_counters(&self) -> UdpCounters {
        self.shared.fabric().udp.counters(self.host.id)
    }

    /// Packets that were lost on the host's link, or beyond it, both directions.
    pub fn link_dropped_packets(&self) -> u64 {
        self.shared.fabric().net.dropped_packets(self.host.id)
    }

    /// Tasks of the host that have not ended.
    pub fn task_count(&self) -> usize {
        self.shared.executor.task_count(self.host.id)
    }

    /// How often tasks of the host have been polled.
    pub fn polls(&self) -> u64 {
        self.shared.executor.polls(self.host.id)
    }

    /// Sets whose heap account the host's tasks run on; [`Scope::Other`] until then.
    pub fn set_heap_scope(&self, scope: Scope) {
        self.shared.executor.set_scope(self.host.id, scope);
    }
}

impl Env for SimEnv {
    type TcpListener = SimTcpListener;
    type TcpStream = SimTcpStream;
    type UdpSocket = SimUdpSocket;
    type File = SimFile;
    type Task = SimTask;

    async fn bind_tcp(&self, addr: SocketAddr) -> io::Result<SimTcpListener> {
        let addr = self.shared.fabric().own_address(self.host.id, addr)?;
        SimTcpListener::bind(&self.shared, self.host.id, addr)
    }

    async fn connect_tcp(&self, addr: SocketAddr) -> io::Result<SimTcpStream> {
        SimTcpStream::connect(&self.shared, self.host.id, address_v4(addr)?).await
    }

    async fn bind_udp(&self, addr: SocketAddr) -> io::Result<SimUdpSocket> {
        let addr = self.shared.fabric().own_address(self.host.id, addr)?;
        SimUdpSocket::bind(&self.shared, self.host.id, addr)
    }

    async fn open(&self, path: &Path) -> io::Result<SimFile> {
        self.host.disk.open(path).await
    }

    async fn create(&self, path: &Path) -> io::Result<SimFile> {
        self.host.disk.create(path).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.host.disk.rename(from, to).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.host.disk.remove(path).await
    }

    fn own_ip(&self) -> Option<IpAddr> {
        Some(self.ip())
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        sleep(RESOLVER_DELAY).await;
        match self.shared.fabric().net.find_host(name) {
            Some(ip) => Ok(vec![ip.into()]),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn wall_clock(&self) -> SystemTime {
        let since_start = Duration::from_nanos(self.shared.fabric().net.now_ns);
        let (forward, back) = self.wall_clock_steps();
        SystemTime::UNIX_EPOCH + WALL_CLOCK_START + since_start + forward - back
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.host.entropy.lock().expect("the entropy broke before").fill(buf);
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> SimTask {
        self.shared.executor.spawn(self.host.id, future)
    }
}
