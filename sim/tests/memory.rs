//! What a connection costs: the only test of its process, so that nothing else is on its account.

use std::{net::SocketAddr, time::Duration};

use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{
    LinkConfig, World,
    heap::{self, CountingAllocator, Scope},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What both ends of a connection may take together, beyond what they have buffered.
const BYTES_MAX: i64 = 24 << 10;

fn live_bytes() -> i64 {
    heap::usage(Scope::Sim).live_bytes
}

/// Bytes per connection once each of `connections` has carried `chunks` of `chunk_bytes` each way, and is idle.
fn per_connection(connections: usize, chunks: usize, chunk_bytes: usize) -> i64 {
    let mut world = World::new(1);
    let client = world.add_host("client", LinkConfig::lte());
    let server = world.add_host("server", LinkConfig::datacentre());
    let per_connection = world.run(Duration::from_secs(100_000), async {
        let address: SocketAddr = (server.ip(), 1935).into();
        let mut listener = server.bind_tcp(address).await.expect("free");
        let mut held = Vec::with_capacity(connections + 1);
        let (chunk, mut all) = (vec![1; chunk_bytes], vec![0; chunks * chunk_bytes]);
        let mut before = 0;
        for index in 0..=connections {
            if index == 1 {
                // The first has grown the tables that all share, such as the event queue.
                before = live_bytes();
            }
            let mut near = client.connect_tcp(address).await.expect("listens");
            let (mut far, _) = listener.accept().await.expect("connected");
            // Written before it is read, so that queues grow to their full length.
            for _ in 0..chunks {
                near.write_all(&chunk).await.expect("open");
                far.write_all(&chunk).await.expect("open");
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            near.read_exact(&mut all).await.expect("arrives");
            far.read_exact(&mut all).await.expect("arrives");
            held.push((near, far));
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(client.netstat().rows.iter().all(|row| row.tx_queue == 0 && row.rx_queue == 0));
        (live_bytes() - before) / connections as i64
    });
    per_connection.expect("ends")
}

#[test]
fn a_connection_costs_little() {
    let shapes = [
        ("fresh", 1_000, 0, 0),
        ("after 100 kB in blocks", 200, 100, 1_000),
        ("after 5 kB by the byte", 20, 5_000, 1),
    ];
    for (name, connections, chunks, chunk_bytes) in shapes {
        let bytes = per_connection(connections, chunks, chunk_bytes);
        println!("{name}: {bytes} bytes per connection, both ends");
        assert!((1..=BYTES_MAX).contains(&bytes), "{name}: {bytes}");
    }
}
