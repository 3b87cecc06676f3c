//! [`Env`] on the crate `turmoil`: a second network simulator, independent of this one, that the same programs run on.
//!
//! It is a reference, not a product: what needs no fault below the stream must come out alike on both. Whoever builds the
//! `turmoil::Sim` chooses its latency, tick and seed, and its `tcp_capacity`, which counts writes and not bytes.
//!
//! Unlike the fabric:
//! - A host has a tokio runtime and a paused clock of its own. A handle works in tasks of its own host only, and an
//!   `Instant` means nothing on another host.
//! - Time moves in the ticks of the `Sim`; what is sent arrives at the beginning of one.
//! - There are no rates, queues, acknowledgements or retransmissions; a lost segment is lost for ever.
//! - Ports that have run out, and more connections in one tick than `tcp_capacity`, are panics of turmoil's.
//! - A panic in a spawned task ends that task and nothing else.

mod tcp;
mod udp;

use std::{
    future::Future,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use rehearsal_core::env::Env;
use tokio::task::AbortHandle;

pub use self::{
    tcp::{TurmoilTcpListener, TurmoilTcpStream, WRITE_BYTES_MAX},
    udp::TurmoilUdpSocket,
};
use crate::{
    disk::{Disk, SimFile},
    env::WALL_CLOCK_START,
    rng::Rng,
};

/// A host of a turmoil simulation. Clones are handles to the same host.
#[derive(Clone, Debug)]
pub struct TurmoilEnv {
    host: Arc<Host>,
}

#[derive(Debug)]
struct Host {
    name: String,
    ip: IpAddr,
    disk: Disk,
    entropy: Mutex<Rng>,
}

impl TurmoilEnv {
    /// A handle for the host that is, or will be, called `name` in `sim`, which is one of IPv4. Entropy is the stream of
    /// the host's name under `seed`, as on the fabric.
    pub fn new(sim: &turmoil::Sim<'_>, seed: u64, name: &str) -> Self {
        let entropy = Mutex::new(Rng::named(seed, &format!("entropy/{name}")));
        let disk = Disk::new(seed, name, |_| {});
        let ip = sim.lookup(name);
        Self { host: Arc::new(Host { name: name.to_owned(), ip, disk, entropy }) }
    }

    /// The host's name.
    pub fn name(&self) -> &str {
        &self.host.name
    }

    /// The host's address.
    pub fn ip(&self) -> IpAddr {
        self.host.ip
    }

    /// Puts a file on the host's disk, in the place of one with this path. Relative paths start at the root.
    pub fn write_file(&self, path: impl AsRef<Path>, content: Vec<u8>) {
        self.host.disk.put(path.as_ref(), content);
    }

    /// What turmoil takes for `addr` when a socket is to be bound: it knows the host's own address only as unspecified.
    fn own_address(&self, mut addr: SocketAddr) -> io::Result<SocketAddr> {
        if addr.ip() == self.host.ip {
            addr.set_ip(Ipv4Addr::UNSPECIFIED.into());
        }
        match addr.is_ipv4() {
            true => Ok(addr),
            false => Err(ErrorKind::AddrNotAvailable.into()),
        }
    }
}

impl Env for TurmoilEnv {
    type TcpListener = TurmoilTcpListener;
    type TcpStream = TurmoilTcpStream;
    type UdpSocket = TurmoilUdpSocket;
    type File = SimFile;
    type Task = TurmoilTask;

    async fn bind_tcp(&self, addr: SocketAddr) -> io::Result<TurmoilTcpListener> {
        TurmoilTcpListener::bind(self.own_address(addr)?).await
    }

    async fn connect_tcp(&self, addr: SocketAddr) -> io::Result<TurmoilTcpStream> {
        TurmoilTcpStream::connect(addr).await
    }

    async fn bind_udp(&self, addr: SocketAddr) -> io::Result<TurmoilUdpSocket> {
        TurmoilUdpSocket::bind(self.own_address(addr)?).await
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
        // Turmoil gives every name an address: who is not there is found when it does not answer.
        Ok(vec![turmoil::lookup(name)])
    }

    fn wall_clock(&self) -> SystemTime {
        let since_start = turmoil::sim_elapsed().expect("time passes in tasks of a host");
        SystemTime::UNIX_EPOCH + WALL_CLOCK_START + since_start
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.host.entropy.lock().expect("the entropy broke before").fill(buf);
    }

    #[allow(clippy::disallowed_methods, reason = "a host of turmoil is a runtime of tokio's")]
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> TurmoilTask {
        TurmoilTask(tokio::spawn(future).abort_handle())
    }
}

/// A task of a host of turmoil's, aborted on drop.
#[derive(Debug)]
pub struct TurmoilTask(AbortHandle);

impl Drop for TurmoilTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
