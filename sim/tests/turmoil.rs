//! Turmoil behind the seam keeps what [`Env`] promises.

use std::{
    future::pending,
    io::{ErrorKind, IoSlice},
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use rehearsal_core::env::{Env, TcpListener, UdpSocket, read_file};
use rehearsal_sim::turmoil_env::{TurmoilEnv, TurmoilTcpStream, WRITE_BYTES_MAX};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep},
};

const LATENCY: Duration = Duration::from_millis(5);
const PORT: u16 = 1935;

/// A simulation whose buffers hold `tcp_capacity` writes.
fn simulation(tcp_capacity: usize) -> turmoil::Sim<'static> {
    turmoil::Builder::new()
        .rng_seed(1)
        .epoch(SystemTime::UNIX_EPOCH)
        .simulation_duration(Duration::from_secs(10))
        .min_message_latency(LATENCY)
        .max_message_latency(LATENCY)
        .tcp_capacity(tcp_capacity)
        .build()
}

/// Runs both ends of a connection on hosts of their own until both are done.
fn connected<S, C>(
    tcp_capacity: usize,
    server: impl FnOnce(TurmoilTcpStream) -> S + 'static,
    client: impl FnOnce(TurmoilTcpStream) -> C + 'static,
) where
    S: Future<Output = ()> + 'static,
    C: Future<Output = ()> + 'static,
{
    let mut sim = simulation(tcp_capacity);
    let [server_env, client_env] = ["server", "client"].map(|name| TurmoilEnv::new(&sim, 1, name));
    let address = SocketAddr::new(server_env.ip(), PORT);
    sim.client("server", async move {
        let mut listener = server_env.bind_tcp(address).await?;
        assert_eq!(listener.local_addr().port(), PORT);
        server(listener.accept().await?.0).await;
        Ok(())
    });
    sim.client("client", async move {
        client(client_env.connect_tcp(address).await?).await;
        Ok(())
    });
    sim.run().expect("both ends are done in time");
}

#[test]
fn a_closed_writing_half_leaves_the_reading_half_open() {
    let server = async |mut stream: TurmoilTcpStream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        stream.write_all(b"answer").await.unwrap();
    };
    let client = async |mut stream: TurmoilTcpStream| {
        stream.write_all(b"question").await.unwrap();
        stream.shutdown().await.unwrap();
        stream.shutdown().await.expect("a second time changes nothing");
        let refused = stream.write(b"more").await.expect_err("the writing half is closed");
        assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");
    };
    connected(64, server, client);
}

#[test]
fn one_vectored_write_takes_all_slices_and_no_more_than_its_limit() {
    let server = async |mut stream: TurmoilTcpStream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(&heard[..5], b"abcde");
        assert_eq!(heard.len(), 5 + WRITE_BYTES_MAX);
        assert!(heard[5..5 + 3].iter().all(|byte| *byte == 1));
        assert!(heard[5 + 3..].iter().all(|byte| *byte == 2));
    };
    let client = async |mut stream: TurmoilTcpStream| {
        assert!(stream.is_write_vectored());
        let slices = [b"ab".as_slice(), b"", b"cde"].map(IoSlice::new);
        assert_eq!(stream.write_vectored(&slices).await.unwrap(), 5);
        let large = [[1; 3].as_slice(), &[2; WRITE_BYTES_MAX]].map(IoSlice::new);
        assert_eq!(stream.write_vectored(&large).await.unwrap(), WRITE_BYTES_MAX);
        stream.shutdown().await.unwrap();
    };
    connected(64, server, client);
}

#[test]
fn a_full_buffer_holds_the_writer_up_and_swallows_no_end() {
    let server = async |mut stream: TurmoilTcpStream| {
        sleep(Duration::from_secs(1)).await;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, [1, 2, 3, 4]);
    };
    let client = async |mut stream: TurmoilTcpStream| {
        let start = Instant::now();
        for byte in 1..=2 {
            stream.write_all_buf(&mut [byte].as_slice()).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "both have room");
        for byte in 3..=4 {
            let written = stream.write_vectored(&[IoSlice::new(&[byte])]).await;
            assert_eq!(written.unwrap(), 1);
        }
        assert!(start.elapsed() > Duration::from_millis(900), "nobody reads before");
        stream.shutdown().await.unwrap();
        let mut heard = [0];
        assert_eq!(stream.read(&mut heard).await.unwrap(), 0);
    };
    connected(2, server, client);
}

#[test]
fn errors_are_those_of_linux() {
    let mut sim = simulation(64);
    let env = TurmoilEnv::new(&sim, 1, "host");
    let ip = env.ip();
    sim.host("server", pending);
    let server = sim.lookup("server");
    sim.client("host", async move {
        let kind = async |addr: SocketAddr| env.bind_tcp(addr).await.err().map(|e| e.kind());
        let any = SocketAddr::from(([0, 0, 0, 0], PORT));
        let _listener = env.bind_tcp(SocketAddr::new(ip, PORT)).await.expect("its own address");
        assert_eq!(kind(any).await, Some(ErrorKind::AddrInUse));
        assert_eq!(kind(([192, 0, 2, 1], 1).into()).await, Some(ErrorKind::AddrNotAvailable));
        assert_eq!(kind(([0; 16], 1).into()).await, Some(ErrorKind::AddrNotAvailable));
        let refused = env.connect_tcp((server, 1).into()).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let socket = env.bind_udp((ip, 0).into()).await?;
        let too_long = socket.send_to(&[0; 65_508], any).await.expect_err("too long");
        assert_eq!(too_long.raw_os_error(), Some(90));
        Ok(())
    });
    sim.run().expect("the host is done in time");
}

#[test]
fn datagrams_files_and_the_wall_clock_reach_a_host() {
    let mut sim = simulation(64);
    let [env, peer] = ["host", "peer"].map(|name| TurmoilEnv::new(&sim, 1, name));
    env.write_file("/film", vec![1, 2, 3]);
    let address = SocketAddr::new(env.ip(), 5060);
    sim.client("host", async move {
        let socket = env.bind_udp(address).await?;
        let start = env.wall_clock();
        let mut buf = [0; 4];
        let (length, _) = socket.recv_from(&mut buf).await?;
        assert_eq!((length, &buf), (4, b"ping"));
        let passed = env.wall_clock().duration_since(start)?;
        assert!((LATENCY..3 * LATENCY).contains(&passed), "{passed:?}");
        assert_eq!(read_file(&env, Path::new("film"), 10).await?, [1, 2, 3]);
        Ok(())
    });
    sim.client("peer", async move {
        let socket = peer.bind_udp((peer.ip(), 0).into()).await?;
        socket.send_to(b"pings", address).await?;
        Ok(())
    });
    sim.run().expect("both hosts are done in time");
}

#[test]
fn entropy_is_the_stream_of_the_seed_and_the_host() {
    let draw = |seed, name| {
        let env = TurmoilEnv::new(&simulation(1), seed, name);
        let mut drawn = [0; 8];
        env.fill_random(&mut drawn);
        drawn
    };
    assert_eq!(draw(1, "a"), draw(1, "a"));
    assert_ne!(draw(1, "a"), draw(2, "a"));
    assert_ne!(draw(1, "a"), draw(1, "b"));
    let mut fabric = rehearsal_sim::World::new(1);
    let env = fabric.add_host("a", rehearsal_sim::LinkConfig::lan());
    let mut drawn = [0; 8];
    env.fill_random(&mut drawn);
    assert_eq!(drawn, draw(1, "a"), "the same as on the fabric");
}

#[test]
fn a_task_ends_with_its_handle() {
    struct Ends(Arc<AtomicBool>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let mut sim = simulation(64);
    let env = TurmoilEnv::new(&sim, 1, "host");
    sim.client("host", async move {
        let ended = Arc::new(AtomicBool::new(false));
        let ends = Ends(Arc::clone(&ended));
        let task = env.spawn(async move {
            let _ends = ends;
            pending::<()>().await;
        });
        sleep(Duration::from_secs(1)).await;
        assert!(!ended.load(Ordering::Relaxed), "it runs while its handle is there");
        drop(task);
        sleep(Duration::from_millis(1)).await;
        assert!(ended.load(Ordering::Relaxed));
        Ok(())
    });
    sim.run().expect("the host is done in time");
}
