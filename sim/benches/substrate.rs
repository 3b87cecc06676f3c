//! How fast the fabric is beside turmoil, another network simulator: one server sends 25 messages of 1 kB a second to
//! each subscriber, 20 ms one way. The same program runs on both, in one process, in turns.
//!
//! `cargo bench -p rehearsal-sim --bench substrate` prints simulated seconds per real second, the best of several rounds
//! of each. Connections are made before the clock starts, and every byte must have come when it stops.
//!
//! Turmoil has what is best for it: all subscribers on one host (it looks at every link for every delivery), ticks as long
//! as the delay, which lose nothing here as everything happens at multiples of them, and buffers that hold a portion of
//! connections. The fabric has the same two hosts, and the whole of TCP.
//!
//! Three lines more tell the fabric's speed when the server's line has a rate and a queue, as in most scenarios.

use std::{
    future::{Future, pending},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{LinkConfig, World, turmoil_env::TurmoilEnv};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::{interval, sleep},
};

const MESSAGE_BYTES: usize = 1_000;
const MESSAGES_PER_SECOND: u64 = 25;
const ONE_WAY: Duration = Duration::from_millis(20);
const PORT: u16 = 1935;
/// What the server's line carries where it has a rate.
const SERVER_RATE_BPS: u64 = 10_000_000_000;
/// Connections made at a time, which a backlog has room for, and the time they take.
const PORTION: usize = 500;
const PORTION_TIME: Duration = Duration::from_millis(100);
/// Between the last message and the end.
const DRAIN: Duration = Duration::from_millis(100);
/// Virtual time for all connections together.
const SETUP_LIMIT: Duration = Duration::from_secs(60);

/// The size of a measurement.
#[derive(Clone, Copy)]
struct Size {
    players: usize,
    virtual_secs: u64,
    rounds: usize,
}

const SIZES: [Size; 3] = [
    Size { players: 100, virtual_secs: 200, rounds: 8 },
    Size { players: 1_000, virtual_secs: 15, rounds: 8 },
    Size { players: 7_500, virtual_secs: 4, rounds: 4 },
];

impl Size {
    fn messages(self) -> u64 {
        self.virtual_secs * MESSAGES_PER_SECOND
    }

    /// Virtual time that is measured.
    fn duration(self) -> Duration {
        Duration::from_secs(self.virtual_secs) + DRAIN
    }
}

/// What the program and whoever measures it share.
struct Progress {
    size: Size,
    connected: AtomicUsize,
    received_bytes: AtomicU64,
    /// Has the server begin to send.
    begin: Notify,
}

impl Progress {
    fn new(size: Size) -> Arc<Self> {
        let (connected, received_bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { size, connected, received_bytes, begin: Notify::new() })
    }

    fn all_are_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed) == self.size.players
    }

    /// Checks that all came, and gives simulated seconds per real second.
    fn speed(&self, real: Duration) -> f64 {
        let sent = self.size.messages() * (MESSAGE_BYTES * self.size.players) as u64;
        assert_eq!(self.received_bytes.load(Ordering::Relaxed), sent, "bytes that came");
        self.size.duration().as_secs_f64() / real.as_secs_f64()
    }
}

/// The server: a task that ticks, and one for each subscriber.
async fn serve<E: Env>(env: E, address: SocketAddr, progress: Arc<Progress>) {
    let mut listener = env.bind_tcp(address).await.expect("the port is free");
    let tick = Arc::new(Notify::new());
    let message = Arc::new([7; MESSAGE_BYTES]);
    let ticker = {
        let (tick, progress) = (Arc::clone(&tick), Arc::clone(&progress));
        env.spawn(async move {
            progress.begin.notified().await;
            let mut interval = interval(Duration::from_secs(1) / MESSAGES_PER_SECOND as u32);
            for _ in 0..progress.size.messages() {
                interval.tick().await;
                tick.notify_waiters();
            }
        })
    };
    let mut tasks = vec![ticker];
    loop {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let (tick, message) = (Arc::clone(&tick), Arc::clone(&message));
        tasks.push(env.spawn(async move {
            loop {
                tick.notified().await;
                stream.write_all(&*message).await.expect("the subscriber stays");
            }
        }));
    }
}

/// Every subscriber, each in a task.
async fn subscribe<E: Env>(env: E, server: SocketAddr, progress: Arc<Progress>) {
    let mut tasks = Vec::new();
    while tasks.len() < progress.size.players {
        let portion = PORTION.min(progress.size.players - tasks.len());
        for _ in 0..portion {
            let (connecting, progress) = (env.clone(), Arc::clone(&progress));
            tasks.push(env.spawn(async move {
                let mut stream = connecting.connect_tcp(server).await.expect("the server listens");
                progress.connected.fetch_add(1, Ordering::Relaxed);
                let mut buf = [0; 4096];
                loop {
                    let read = stream.read(&mut buf).await.expect("no error");
                    assert!(read > 0, "the server stays");
                    progress.received_bytes.fetch_add(read as u64, Ordering::Relaxed);
                }
            }));
        }
        sleep(PORTION_TIME).await;
    }
    pending().await
}

fn on_fabric(size: Size, server_rate_bps: u64) -> f64 {
    let progress = Progress::new(size);
    let mut world = World::new(1);
    let uplink = LinkConfig::ideal().with_rate_bps(server_rate_bps).with_queue_bytes(1 << 30);
    let server = world.add_host("server", uplink);
    let link = LinkConfig::ideal().with_delay_ms(ONE_WAY.as_millis() as u64);
    let client = world.add_host("client", link);
    let address = SocketAddr::new(server.ip(), PORT);
    let _server = server.spawn(serve(server.clone(), address, Arc::clone(&progress)));
    let _client = client.spawn(subscribe(client.clone(), address, Arc::clone(&progress)));
    let connecting = async {
        while !progress.all_are_connected() {
            sleep(PORTION_TIME).await;
        }
    };
    world.run(SETUP_LIMIT, connecting).expect("all connect");
    progress.begin.notify_one();
    let limit = size.duration() + DRAIN;
    let measured = async { sleep(size.duration()).await };
    let real = real_time(|| world.run(limit, measured).expect("runs for its time"));
    progress.speed(real)
}

fn on_turmoil(size: Size) -> f64 {
    let progress = Progress::new(size);
    let mut sim = turmoil::Builder::new()
        .rng_seed(1)
        .epoch(SystemTime::UNIX_EPOCH)
        .simulation_duration(SETUP_LIMIT + size.duration() + DRAIN)
        .min_message_latency(ONE_WAY)
        .max_message_latency(ONE_WAY)
        .tick_duration(ONE_WAY)
        .tcp_capacity(2 * PORTION)
        .build();
    let [server, client] = ["server", "client"].map(|name| TurmoilEnv::new(&sim, 1, name));
    let address = SocketAddr::new(server.ip(), PORT);
    host(&mut sim, "server", {
        let progress = Arc::clone(&progress);
        move || serve(server.clone(), address, Arc::clone(&progress))
    });
    host(&mut sim, "client", {
        let progress = Arc::clone(&progress);
        move || subscribe(client.clone(), address, Arc::clone(&progress))
    });
    let mut step = || {
        sim.step().expect("no host fails");
    };
    while !progress.all_are_connected() {
        step();
    }
    progress.begin.notify_one();
    let ticks = size.duration().as_nanos().div_ceil(ONE_WAY.as_nanos());
    let real = real_time(|| (0..ticks).for_each(|_| step()));
    progress.speed(real)
}

fn host<F: Future<Output = ()> + 'static>(
    sim: &mut turmoil::Sim<'static>,
    name: &str,
    program: impl Fn() -> F + 'static,
) {
    sim.host(name, move || {
        let running = program();
        async move {
            running.await;
            Ok(())
        }
    });
}

#[allow(clippy::disallowed_methods, reason = "real time is what this measures")]
fn real_time(run: impl FnOnce()) -> Duration {
    let begin = std::time::Instant::now();
    run();
    begin.elapsed()
}

fn main() {
    for size in SIZES {
        let Size { players, rounds, .. } = size;
        let (mut fabric, mut turmoil) = (0.0_f64, 0.0_f64);
        for round in 1..=rounds {
            let (one, other) = (on_fabric(size, 0), on_turmoil(size));
            eprintln!(
                "round {round} of {rounds}: players {players} fabric {one:.2} turmoil {other:.2}"
            );
            (fabric, turmoil) = (fabric.max(one), turmoil.max(other));
        }
        let ratio = fabric / turmoil;
        println!("players {players} fabric {fabric:.2} turmoil {turmoil:.2} ratio {ratio:.1}");
    }
    // A link with a rate has a queue, which turmoil has not: acknowledgments then are events too.
    for size in SIZES {
        let rounds = (0..size.rounds).map(|_| on_fabric(size, SERVER_RATE_BPS));
        let (players, fabric) = (size.players, rounds.fold(0.0, f64::max));
        println!(
            "players {players} over {} Gbit/s fabric {fabric:.2}",
            SERVER_RATE_BPS / 1_000_000_000
        );
    }
}
