//! Every ban of clippy.toml, broken once on a line that names it. `bans.rs` has clippy look at it; nothing else compiles it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    path::Path,
    process, sync,
    sync::{Condvar, MutexGuard, mpsc::Receiver},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    runtime::{Handle, Runtime},
    task::{JoinSet, LocalSet},
};

const TIME: Duration = Duration::ZERO;

pub fn clocks(instant: Instant, system: SystemTime) {
    let _ = Instant::now(); // bans std::time::Instant::now
    let _ = instant.elapsed(); // bans std::time::Instant::elapsed
    let _ = SystemTime::now(); // bans std::time::SystemTime::now
    let _ = system.elapsed(); // bans std::time::SystemTime::elapsed
    let _ = Some(0).map(|_: i32| Instant::now()); // bans std::time::Instant::now
    let _ = Some(()).map_or_else(Instant::now, |()| instant); // bans std::time::Instant::now
    tokio::time::pause(); // bans tokio::time::pause
    tokio::time::resume(); // bans tokio::time::resume
}

pub fn threads(condvar: &Condvar, lock: MutexGuard<'_, ()>, again: MutexGuard<'_, ()>, channel: Receiver<()>) {
    let _ = thread::spawn(|| {}); // bans std::thread::spawn
    thread::scope(|scope| { // bans std::thread::scope
        let _ = thread::Builder::new().spawn_scoped(scope, || {}); // bans std::thread::Builder::spawn_scoped
    });
    let _ = thread::Builder::new().spawn(|| {}); // bans std::thread::Builder::spawn
    let _ = thread::available_parallelism(); // bans std::thread::available_parallelism
    thread::sleep(TIME); // bans std::thread::sleep
    thread::park_timeout(TIME); // bans std::thread::park_timeout
    let _ = condvar.wait_timeout(lock, TIME); // bans std::sync::Condvar::wait_timeout
    let _ = condvar.wait_timeout_while(again, TIME, |_| true); // bans std::sync::Condvar::wait_timeout_while
    let _ = channel.recv_timeout(TIME); // bans std::sync::mpsc::Receiver::recv_timeout
    let _ = tokio::task::spawn_blocking(|| {}); // bans tokio::task::spawn_blocking
    tokio::task::block_in_place(|| {}); // bans tokio::task::block_in_place
}

pub fn tasks(mut set: JoinSet<()>, local: LocalSet, handle: Handle, runtime: Runtime) {
    let _ = tokio::spawn(async {}); // bans tokio::spawn
    let _ = tokio::task::spawn(async {}); // bans tokio::spawn
    let _ = tokio::task::spawn_local(async {}); // bans tokio::task::spawn_local
    set.spawn(async {}); // bans tokio::task::JoinSet::spawn
    set.spawn_on(async {}, &handle); // bans tokio::task::JoinSet::spawn_on
    set.spawn_local(async {}); // bans tokio::task::JoinSet::spawn_local
    set.spawn_local_on(async {}, &local); // bans tokio::task::JoinSet::spawn_local_on
    set.spawn_blocking(|| {}); // bans tokio::task::JoinSet::spawn_blocking
    set.spawn_blocking_on(|| {}, &handle); // bans tokio::task::JoinSet::spawn_blocking_on
    let _ = local.spawn_local(async {}); // bans tokio::task::LocalSet::spawn_local
    let _ = handle.spawn(async {}); // bans tokio::runtime::Handle::spawn
    let _ = handle.spawn_blocking(|| {}); // bans tokio::runtime::Handle::spawn_blocking
    handle.block_on(async {}); // bans tokio::runtime::Handle::block_on
    let _ = runtime.spawn(async {}); // bans tokio::runtime::Runtime::spawn
    let _ = runtime.spawn_blocking(|| {}); // bans tokio::runtime::Runtime::spawn_blocking
    let _ = Runtime::new(); // bans tokio::runtime::Runtime::new
}

pub async fn network(address: SocketAddr) {
    let _ = TcpListener::bind(address); // bans std::net::TcpListener::bind
    let _ = TcpStream::connect(address); // bans std::net::TcpStream::connect
    let _ = TcpStream::connect_timeout(&address, TIME); // bans std::net::TcpStream::connect_timeout
    let _ = UdpSocket::bind(address); // bans std::net::UdpSocket::bind
    let _ = "name:1".to_socket_addrs(); // bans std::net::ToSocketAddrs::to_socket_addrs
    let _ = UnixListener::bind("path"); // bans std::os::unix::net::UnixListener::bind
    let _ = UnixStream::connect("path"); // bans std::os::unix::net::UnixStream::connect
    let _ = UnixStream::pair(); // bans std::os::unix::net::UnixStream::pair
    let _ = UnixDatagram::bind("path"); // bans std::os::unix::net::UnixDatagram::bind
    let _ = UnixDatagram::unbound(); // bans std::os::unix::net::UnixDatagram::unbound
    let _ = tokio::net::TcpSocket::new_v4(); // bans tokio::net::TcpSocket::new_v4
    let _ = tokio::net::TcpSocket::new_v6(); // bans tokio::net::TcpSocket::new_v6
    let _ = tokio::net::TcpListener::bind(address).await; // bans tokio::net::TcpListener::bind
    let _ = tokio::net::TcpStream::connect(address).await; // bans tokio::net::TcpStream::connect
    let _ = tokio::net::UdpSocket::bind(address).await; // bans tokio::net::UdpSocket::bind
    let _ = tokio::net::lookup_host("name:1").await; // bans tokio::net::lookup_host
    let _ = tokio::net::UnixListener::bind("path"); // bans tokio::net::UnixListener::bind
    let _ = tokio::net::UnixStream::connect("path").await; // bans tokio::net::UnixStream::connect
    let _ = tokio::net::UnixStream::pair(); // bans tokio::net::UnixStream::pair
    let _ = tokio::net::UnixDatagram::bind("path"); // bans tokio::net::UnixDatagram::bind
}

pub fn disk(path: &Path, permissions: Permissions, options: &OpenOptions, builder: &DirBuilder) {
    let _ = fs::read(path); // bans std::fs::read
    let _ = fs::read_to_string(path); // bans std::fs::read_to_string
    let _ = fs::write(path, ""); // bans std::fs::write
    let _ = fs::copy(path, path); // bans std::fs::copy
    let _ = fs::rename(path, path); // bans std::fs::rename
    let _ = fs::remove_file(path); // bans std::fs::remove_file
    let _ = fs::remove_dir(path); // bans std::fs::remove_dir
    let _ = fs::remove_dir_all(path); // bans std::fs::remove_dir_all
    let _ = fs::create_dir(path); // bans std::fs::create_dir
    let _ = fs::create_dir_all(path); // bans std::fs::create_dir_all
    let _ = fs::read_dir(path); // bans std::fs::read_dir
    let _ = fs::read_link(path); // bans std::fs::read_link
    let _ = fs::hard_link(path, path); // bans std::fs::hard_link
    let _ = fs::metadata(path); // bans std::fs::metadata
    let _ = fs::symlink_metadata(path); // bans std::fs::symlink_metadata
    let _ = fs::exists(path); // bans std::fs::exists
    let _ = fs::canonicalize(path); // bans std::fs::canonicalize
    let _ = fs::set_permissions(path, permissions); // bans std::fs::set_permissions
    let _ = File::open(path); // bans std::fs::File::open
    let _ = File::create(path); // bans std::fs::File::create
    let _ = File::create_new(path); // bans std::fs::File::create_new
    let _ = File::options(); // bans std::fs::File::options
    let _ = OpenOptions::new(); // bans std::fs::OpenOptions::new
    let _ = options.open(path); // bans std::fs::OpenOptions::open
    let _ = builder.create(path); // bans std::fs::DirBuilder::create
    let _ = path.exists(); // bans std::path::Path::exists
    let _ = path.try_exists(); // bans std::path::Path::try_exists
    let _ = path.is_file(); // bans std::path::Path::is_file
    let _ = path.is_dir(); // bans std::path::Path::is_dir
    let _ = path.is_symlink(); // bans std::path::Path::is_symlink
    let _ = path.metadata(); // bans std::path::Path::metadata
    let _ = path.symlink_metadata(); // bans std::path::Path::symlink_metadata
    let _ = path.read_dir(); // bans std::path::Path::read_dir
    let _ = path.read_link(); // bans std::path::Path::read_link
    let _ = path.canonicalize(); // bans std::path::Path::canonicalize
}

pub fn processes() {
    let _ = process::Command::new("name"); // bans std::process::Command::new
    let _ = process::id(); // bans std::process::id
    let _ = std::io::stdin(); // bans std::io::stdin
}

pub fn entropy() {
    let _ = getrandom::fill(&mut []); // bans getrandom::fill
    let _ = getrandom::fill_uninit(&mut []); // bans getrandom::fill_uninit
    let _ = getrandom::u32(); // bans getrandom::u32
    let _ = getrandom::u64(); // bans getrandom::u64
}

pub fn types(
    _map: std::collections::HashMap<u8, u8>, // bans std::collections::HashMap
    _set: std::collections::HashSet<u8>,     // bans std::collections::HashSet
    _state: std::hash::RandomState,          // bans std::hash::RandomState
    _hasher: std::hash::DefaultHasher,       // bans std::hash::DefaultHasher
    _watch: tokio::sync::watch::Sender<u8>,  // bans tokio::sync::watch::Sender
) {
}

pub fn allowed(lock: &sync::Mutex<u8>) {
    let _ = (lock.lock(), tokio::time::Instant::now(), std::collections::BTreeMap::<u8, u8>::new());
}
