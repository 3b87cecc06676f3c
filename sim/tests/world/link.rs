//! Access links: rate and queue.

use crate::pair::{LIMIT, connected};
use rehearsal_core::env::Env;
use rehearsal_sim::{LinkConfig, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

#[test]
fn the_links_rate_is_honoured() {
    const BYTES: usize = 5_000_000;
    const RATE_BPS: u64 = 10_000_000;
    let mut world = World::new(1);
    let client = world.add_host("client", LinkConfig::lan().with_rate_bps(RATE_BPS));
    let server = world.add_host("server", LinkConfig::lan());
    let took = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        let _writer = client.spawn(async move {
            near.write_all(&vec![0; BYTES]).await.expect("read");
        });
        let begin = Instant::now();
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.expect("ends in order");
        assert_eq!(received.len(), BYTES);
        begin.elapsed()
    });
    let wire_bits = (BYTES + BYTES.div_ceil(1_460) * 40) as u64 * 8;
    let expected_us = wire_bits * 1_000_000 / RATE_BPS;
    let took_us = took.expect("ends").as_micros() as u64;
    assert!(took_us.abs_diff(expected_us) < expected_us / 100, "{took_us} for {expected_us} µs");
    assert_eq!(client.link_dropped_packets(), 0);
}

#[test]
fn a_full_link_queue_drops_and_counts_and_tcp_sends_again() {
    let mut world = World::new(1);
    let slow = LinkConfig::lan().with_rate_bps(1_000_000).with_queue_bytes(20_000);
    let client = world.add_host("client", slow);
    let server = world.add_host("server", LinkConfig::lan());
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        near.write_all(&[7; 100_000]).await.expect("fits into the send buffer");
        let mut all = vec![0; 100_000];
        far.read_exact(&mut all).await.expect("arrives");
        assert!(all.iter().all(|byte| *byte == 7));
    });
    assert_eq!(outcome, Ok(()));
    assert!(client.link_dropped_packets() > 5, "{}", client.link_dropped_packets());
}
