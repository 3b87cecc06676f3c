//! [`Env`] on the operating system: tokio's sockets, real files, the kernel's clock and entropy.
//!
//! This file and those below it are the only ones in the gateway that may use what `clippy.toml` bans.
#![allow(clippy::disallowed_methods)]

mod paced;
mod udp;

use std::{
    fs,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

#[cfg(feature = "leakcheck")]
use rehearsal_heap::{self as heap, Scope};
use tokio::{
    net,
    task::{self, AbortHandle},
};

pub use self::udp::OsUdpSocket;
use super::{Env, File, TcpListener};

/// Connections that may wait to be accepted, per listener.
const BACKLOG: u32 = 1024;

/// The host this process runs on. Its methods need a tokio runtime around them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Os;

impl Env for Os {
    type TcpListener = OsTcpListener;
    type TcpStream = net::TcpStream;
    type UdpSocket = OsUdpSocket;
    type File = OsFile;
    type Task = OsTask;

    async fn bind_tcp(&self, addr: SocketAddr) -> io::Result<OsTcpListener> {
        let socket = match addr {
            SocketAddr::V4(_) => net::TcpSocket::new_v4()?,
            SocketAddr::V6(_) => net::TcpSocket::new_v6()?,
        };
        // A restarted server must get its port back while old connections linger in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(BACKLOG)?;
        let local_addr = listener.local_addr()?;
        Ok(OsTcpListener { listener, local_addr })
    }

    async fn connect_tcp(&self, addr: SocketAddr) -> io::Result<net::TcpStream> {
        let stream = net::TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn bind_udp(&self, addr: SocketAddr) -> io::Result<OsUdpSocket> {
        // Who receives datagrams may have a paced task for them, and its threads have files of their own.
        paced::start();
        OsUdpSocket::bind(addr)
    }

    async fn open(&self, path: &Path) -> io::Result<OsFile> {
        let path = path.to_owned();
        blocking(move || OsFile::open(path)).await
    }

    async fn create(&self, path: &Path) -> io::Result<OsFile> {
        let path = path.to_owned();
        blocking(move || OsFile::create(&path)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        blocking(move || {
            if fs::symlink_metadata(&from)?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            fs::rename(from, to)
        })
        .await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        blocking(move || fs::remove_file(path)).await
    }

    fn own_ip(&self) -> Option<IpAddr> {
        // Connecting a UDP socket sends nothing: it has the kernel choose a way. To 192.0.2.1, which is nobody's (RFC 5737).
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = net::lookup_host((name, 0)).await?;
        let addresses: Vec<_> = found.map(|address| address.ip()).collect();
        match addresses.is_empty() {
            true => Err(io::ErrorKind::NotFound.into()),
            false => Ok(addresses),
        }
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    fn fill_random(&self, buf: &mut [u8]) {
        getrandom::fill(buf).expect("the kernel refused entropy; nothing can be served safely");
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> OsTask {
        #[cfg(feature = "leakcheck")]
        let future = heap::charge_to(Scope::Gateway, future);
        OsTask(task::spawn(future).abort_handle())
    }

    fn spawn_paced(&self, future: impl Future<Output = ()> + Send + 'static) -> OsTask {
        #[cfg(feature = "leakcheck")]
        let future = heap::charge_to(Scope::Gateway, future);
        OsTask(paced::spawn(future))
    }

    #[cfg(feature = "leakcheck")]
    async fn run_aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let working = {
            let _scope = heap::enter(Scope::Other);
            task::spawn_blocking(work)
        };
        working.await.map_err(io::Error::other)
    }

    #[cfg(feature = "leakcheck")]
    fn open_files(&self) -> Option<usize> {
        // One of them is the folder that is looked at.
        fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)
    }
}

/// Runs a short blocking call on tokio's blocking threads.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(call).await.map_err(io::Error::other)?
}

/// A task on tokio's runtime, aborted on drop.
#[derive(Debug)]
pub struct OsTask(AbortHandle);

impl Drop for OsTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A listening socket of the kernel's.
#[derive(Debug)]
pub struct OsTcpListener {
    listener: net::TcpListener,
    local_addr: SocketAddr,
}

impl TcpListener for OsTcpListener {
    type Stream = net::TcpStream;

    async fn accept(&mut self) -> io::Result<(net::TcpStream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        // It fails for a peer that is gone already, which the first read will tell as well.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

/// A file of the kernel's; reads and writes run on tokio's blocking threads.
#[derive(Debug)]
pub struct OsFile {
    file: Arc<fs::File>,
    len_bytes: u64,
}

impl OsFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Self { file: Arc::new(file), len_bytes: metadata.len() })
    }

    fn create(path: &Path) -> io::Result<Self> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        // A file that must be new is not made at the far end of a symbolic link.
        let file = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = options.open(path)?;
                let (opened, named) = (file.metadata()?, fs::symlink_metadata(path)?);
                let same = (opened.dev(), opened.ino()) == (named.dev(), named.ino());
                if !(opened.is_file() && same) {
                    let problem = "not a regular file";
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
                }
                // Not before it is known what was opened.
                file.set_len(0)?;
                file
            }
            opened => opened?,
        };
        Ok(Self { file: Arc::new(file), len_bytes: 0 })
    }
}

impl File for OsFile {
    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let file = Arc::clone(&self.file);
        let wanted = buf.len();
        let content = blocking(move || {
            let mut content = vec![0; wanted];
            let read = file.read_at(&mut content, offset)?;
            content.truncate(read);
            Ok(content)
        })
        .await?;
        buf[..content.len()].copy_from_slice(&content);
        Ok(content.len())
    }

    async fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let (file, data) = (Arc::clone(&self.file), data.to_owned());
        blocking(move || file.write_at(&data, offset)).await
    }

    async fn sync(&self) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        blocking(move || file.sync_all()).await
    }

    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }
}
