//! The one seam to the outside.
//!
//! Everything the gateway cannot compute by itself comes through [`Env`]: connections, datagrams,
//! files, wall-clock time, entropy, and tasks. Production uses [`Os`]; the simulation brings an
//! implementation of its own. Monotonic time is not here: it is `tokio::time` everywhere, which the
//! simulation pauses and moves.
//!
//! What an implementation promises:
//! - Dropping a listener, stream, socket, file or task releases it; nothing outlives its owner.
//! - `io::Error` kinds are those Linux gives for the same situation.
//! - A task runs on the host whose handle spawned it, and ends when its handle is dropped.

mod os;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::SystemTime,
};

use tokio::io::{AsyncRead, AsyncWrite};

pub use os::{Os, OsFile, OsTask, OsTcpListener, OsUdpSocket};

/// The outside world as one host sees it. Cloning gives another handle to the same host.
pub trait Env: Clone + Send + Sync + 'static {
    /// A listening TCP socket.
    type TcpListener: TcpListener<Stream = Self::TcpStream>;
    /// A connected TCP stream. It writes vectored (`is_write_vectored` is true), sends without
    /// Nagle's delay, and `poll_shutdown` sends FIN and leaves the reading half open.
    type TcpStream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A bound UDP socket.
    type UdpSocket: UdpSocket;
    /// An open file.
    type File: File;
    /// A running task; it is ended by dropping this.
    type Task: Send + Sync + 'static;

    /// Listens on `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`, or exhaustion of descriptors.
    fn bind_tcp(
        &self,
        addr: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpListener>> + Send;

    /// Connects to `addr`.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `HostUnreachable`, or exhaustion of descriptors or ports.
    fn connect_tcp(
        &self,
        addr: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send;

    /// Binds a UDP socket to `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// As [`Env::bind_tcp`].
    fn bind_udp(
        &self,
        addr: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::UdpSocket>> + Send;

    /// Opens the file at `path` for reading.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `PermissionDenied`, `IsADirectory`, `InvalidFilename` for a name
    /// that is too long, or whatever the disk gives.
    fn open(&self, path: &Path) -> impl Future<Output = io::Result<Self::File>> + Send;

    /// Opens the file at `path` for reading and writing, empty: a new one, or the one that is there,
    /// whose content is gone for its other readers too. The folder must be there.
    ///
    /// # Errors
    /// As [`Env::open`]; `StorageFull`; `InvalidInput` for what is no regular file, such as a
    /// symbolic link or a device.
    fn create(&self, path: &Path) -> impl Future<Output = io::Result<Self::File>> + Send;

    /// Moves the file `from` to the path `to`. A file at `to` is replaced: whoever looks finds the
    /// one or the other, and who has it open keeps it.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `PermissionDenied`; `IsADirectory` when either is a folder, or
    /// `DirectoryNotEmpty` when `to` is one above `from`.
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// Removes the file at `path`; who has it open keeps it.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `PermissionDenied`, `IsADirectory`.
    fn remove(&self, path: &Path) -> impl Future<Output = io::Result<()>> + Send;

    /// The address that others reach this host at, as far as it knows: that of its way to the rest of the world. `None` where it has
    /// no such way.
    fn own_ip(&self) -> Option<IpAddr>;

    /// The addresses of the host `name`, those to be tried first in front.
    ///
    /// # Errors
    /// `NotFound` when it has none, or whatever the resolver gives; the caller has to bound the time.
    fn resolve(&self, name: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;

    /// Wall-clock time: for dates that people and peers see, never for durations.
    fn wall_clock(&self) -> SystemTime;

    /// Fills `buf` with entropy.
    fn fill_random(&self, buf: &mut [u8]);

    /// Runs `future` as a task of this host until it completes or the returned handle is dropped.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Self::Task;

    /// Runs `future` as [`Env::spawn`] does, for one that gets datagrams all the time: it may be told of those a few milliseconds
    /// later, along with others of its kind, so that they cost less. A simulation has nothing to gain by it.
    fn spawn_paced(&self, future: impl Future<Output = ()> + Send + 'static) -> Self::Task {
        self.spawn(future)
    }

    /// Runs `work`, which takes long, where it holds up no task, to its end whoever still waits for it. What it allocates is not
    /// the gateway's. A simulation, which has no such place, does it at once.
    ///
    /// # Errors
    /// `work` panicked.
    #[cfg(feature = "leakcheck")]
    fn run_aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send {
        async { Ok(work()) }
    }

    /// Files and sockets that the process has open; `None` where that cannot be told.
    #[cfg(feature = "leakcheck")]
    fn open_files(&self) -> Option<usize> {
        None
    }
}

/// A listening TCP socket.
pub trait TcpListener: Send + 'static {
    /// What [`TcpListener::accept`] yields.
    type Stream;

    /// Waits for the next connection and gives it with its peer's address. Cancel safe.
    ///
    /// # Errors
    /// Exhaustion of descriptors, or a connection that died in the queue. The listener lives on:
    /// call again, after a pause.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// The address this listens on, with the port that was taken for port 0.
    fn local_addr(&self) -> SocketAddr;
}

/// A bound UDP socket.
pub trait UdpSocket: Send + Sync + 'static {
    /// Sends one datagram to `target`.
    ///
    /// # Errors
    /// A datagram larger than 65,507 bytes, no route, or `WouldBlock` when more wait to leave than the system holds. A lost
    /// datagram is not an error.
    fn send_to(
        &self,
        datagram: &[u8],
        target: SocketAddr,
    ) -> impl Future<Output = io::Result<usize>> + Send;

    /// Waits for a datagram, copies what fits into `buf` (the rest of it is lost), and gives its
    /// length and source. Cancel safe. One task at a time may wait.
    ///
    /// # Errors
    /// Whatever the socket reports, such as `ConnectionRefused` after an ICMP answer.
    fn recv_from(
        &self,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> + Send;

    /// Datagrams that came and were dropped, for more waited to be received than the system holds. 0 where it does not tell.
    fn dropped(&self) -> impl Future<Output = u64> + Send;

    /// The address this is bound to, with the port that was taken for port 0.
    fn local_addr(&self) -> SocketAddr;
}

/// An open file, read and written at any place. It stays the same file when its path is removed or
/// given to another one.
pub trait File: Send + Sync + 'static {
    /// Reads at `offset` into `buf`; 0 means the end, which another writer may have moved. May read
    /// less than `buf` holds.
    ///
    /// # Errors
    /// Whatever the disk gives.
    fn read_at(
        &self,
        offset: u64,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send;

    /// Writes `data` at `offset` and gives how many bytes were written, which may be fewer. Zeros
    /// fill the gap when `offset` is beyond the end. A write whose future is dropped is done, later
    /// perhaps, or is not.
    ///
    /// # Errors
    /// `StorageFull` when not one byte has room, `FileTooLarge`, an error for a file that was
    /// opened for reading, or whatever the disk gives.
    fn write_at(&self, offset: u64, data: &[u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// Waits until a crash of the host can no longer undo what was written before.
    ///
    /// # Errors
    /// Whatever the disk gives; what was written since the last sync may then be lost.
    fn sync(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Length in bytes when the file was opened.
    fn len_bytes(&self) -> u64;
}

/// Reads the whole file at `path`, refusing one that is longer than `limit_bytes`.
///
/// # Errors
/// As [`Env::open`] and [`File::read_at`]; `FileTooLarge` above the limit.
pub async fn read_file<E: Env>(env: &E, path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let file = env.open(path).await?;
    if file.len_bytes() > limit_bytes {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{} bytes, the limit is {limit_bytes}", file.len_bytes()),
        ));
    }
    let mut content = vec![0; file.len_bytes() as usize];
    let mut filled = 0;
    while filled < content.len() {
        match file.read_at(filled as u64, &mut content[filled..]).await? {
            0 => break,
            read => filled += read,
        }
    }
    content.truncate(filled);
    Ok(content)
}
