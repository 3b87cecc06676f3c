//! How fast the fabric is: one server sends 25 messages of 1 kB a second to N subscribers, 20 ms
//! one way. Prints virtual seconds per real second.
//!
//! `cargo run --release -p rehearsal-sim --example fanout`

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{LinkConfig, SimEnv, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::{interval, sleep},
};

const MESSAGE_BYTES: usize = 1_000;
const INTERVAL: Duration = Duration::from_millis(40);

async fn serve(env: SimEnv) {
    let address = (env.ip(), 1935).into();
    let mut listener = env.bind_tcp(address).await.expect("the port is free");
    let tick = Arc::new(Notify::new());
    let message = Arc::new([7; MESSAGE_BYTES]);
    let ticker = {
        let tick = Arc::clone(&tick);
        env.spawn(async move {
            let mut interval = interval(INTERVAL);
            loop {
                interval.tick().await;
                tick.notify_waiters();
            }
        })
    };
    let mut subscribers = vec![ticker];
    loop {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let (tick, message) = (Arc::clone(&tick), Arc::clone(&message));
        subscribers.push(env.spawn(async move {
            loop {
                tick.notified().await;
                stream.write_all(&*message).await.expect("the subscriber stays");
            }
        }));
    }
}

async fn subscribe(env: SimEnv, server: SimEnv) {
    let address = (server.ip(), 1935).into();
    let mut stream = env.connect_tcp(address).await.expect("the server listens");
    let mut buf = [0; 4096];
    while stream.read(&mut buf).await.expect("the server stays") > 0 {}
}

/// Prints the speed with `subscribers` spread over `hosts`, and the run's trace hash, which is the
/// same whenever the same code runs.
#[allow(clippy::disallowed_methods, reason = "real time is what this measures")]
fn measure(subscribers: usize, hosts: usize, rate_bps: u64, virtual_secs: u64) {
    let mut world = World::new(1);
    let server = world
        .add_host("server", LinkConfig::ideal().with_rate_bps(rate_bps).with_queue_bytes(1 << 30));
    let link = LinkConfig::ideal().with_delay_ms(20);
    let clients: Vec<SimEnv> =
        (0..hosts).map(|index| world.add_host(&format!("client{index}"), link)).collect();
    let mut tasks = vec![server.spawn(serve(server.clone()))];
    let limit = Duration::from_secs(3600);
    // In portions that the backlog has room for.
    for portion in 0..subscribers.div_ceil(500) {
        let last = (portion * 500 + 500).min(subscribers);
        tasks.extend((portion * 500..last).map(|index| {
            let client = &clients[index % hosts];
            client.spawn(subscribe(client.clone(), server.clone()))
        }));
        world.run(limit, async { sleep(Duration::from_millis(100)).await }).expect("connects");
    }
    let sent = world.trace(|trace| trace.counts().segments_sent);
    let begin = Instant::now();
    world
        .run(limit, async { sleep(Duration::from_secs(virtual_secs)).await })
        .expect("runs for its time");
    let real = begin.elapsed();
    let segments = world.trace(|trace| trace.counts().segments_sent) - sent;
    let speed = virtual_secs as f64 / real.as_secs_f64();
    let segment_ns = real.as_nanos() as f64 / segments as f64;
    println!(
        "{subscribers:>11} {hosts:>5} {rate_bps:>15} {speed:>13.1} {segment_ns:>10.0}  {:016x}",
        world.trace(|trace| trace.hash()),
    );
}

fn main() {
    println!("subscribers hosts uplink bits/s virtual s / s ns/segment  trace hash");
    for (subscribers, virtual_secs) in [(100, 40)] {
        measure(subscribers, 1, 0, virtual_secs);
    }
}
