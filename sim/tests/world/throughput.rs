//! How fast TCP gets through: loss, and others on the same link.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::pair::{PORT, address};
use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{LinkConfig, MSS_BYTES, SimEnv, SimTask, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

/// A host that writes to `to` for ever, from `after` on.
fn writer(from: &SimEnv, to: &SimEnv, after: Duration) -> SimTask {
    let (env, target) = (from.clone(), address(to));
    from.spawn(async move {
        sleep(after).await;
        let mut stream = env.connect_tcp(target).await.expect("listens");
        let block = vec![7; 1 << 16];
        while stream.write_all(&block).await.is_ok() {}
    })
}

/// Reads every connection to `host` and counts its bytes, in the order they were accepted.
fn counters(host: &SimEnv, connections: usize) -> (Vec<Arc<AtomicU64>>, SimTask) {
    let counters: Vec<_> = (0..connections).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let (env, given) = (host.clone(), counters.clone());
    let task = host.spawn(async move {
        let every = ([0, 0, 0, 0], PORT).into();
        let mut listener = env.bind_tcp(every).await.expect("the port is free");
        let mut readers = Vec::new();
        for counter in given {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            readers.push(env.spawn(async move {
                let mut buf = vec![0; 1 << 16];
                while let Ok(read @ 1..) = stream.read(&mut buf).await {
                    counter.fetch_add(read as u64, Ordering::Relaxed);
                }
            }));
        }
        std::future::pending::<()>().await;
    });
    (counters, task)
}

/// Bytes per second that a path with 100 ms of round trip and `loss_ppm` carries.
fn goodput(loss_ppm: u32, seed: u64) -> f64 {
    const SECONDS: u64 = 400;
    let mut world = World::new(seed);
    let mut link = LinkConfig::ideal().with_delay_ms(50);
    link.up.loss_ppm = loss_ppm;
    let (near, far) = (world.add_host("near", link), world.add_host("far", LinkConfig::ideal()));
    let (counters, _reader) = counters(&far, 1);
    let _writer = writer(&near, &far, Duration::from_millis(1));
    let limit = Duration::from_secs(SECONDS + 1);
    world.run(limit, async { sleep(Duration::from_secs(SECONDS)).await }).expect("ends");
    counters[0].load(Ordering::Relaxed) as f64 / SECONDS as f64
}

#[test]
fn loss_costs_what_mathis_says() {
    for loss_ppm in [1_000, 3_000, 10_000, 30_000] {
        let mathis = MSS_BYTES as f64 / 0.1 * (1.5 / (f64::from(loss_ppm) / 1e6)).sqrt();
        for seed in 1..=3 {
            let ratio = goodput(loss_ppm, seed) / mathis;
            println!("loss {loss_ppm} ppm, seed {seed}: {ratio:.2} of {mathis:.0} bytes a second");
            assert!((0.8..1.2).contains(&ratio), "{ratio:.2} at {loss_ppm} ppm, seed {seed}");
        }
    }
}

/// The share of each of `flows` on one link, in percent, over a minute after the last has begun.
fn shares(flows: usize, seed: u64) -> Vec<u64> {
    let mut world = World::new(seed);
    let narrow = LinkConfig::ideal().with_rate_bps(10_000_000).with_queue_bytes(100_000);
    let far = world.add_host("far", narrow);
    let link = LinkConfig::ideal().with_delay_ms(20);
    let near: Vec<_> = (0..flows).map(|flow| world.add_host(&format!("{flow}"), link)).collect();
    let (counters, _reader) = counters(&far, flows);
    let starts = (0..flows as u64).map(|flow| Duration::from_millis(1 + 3_000 * flow));
    let _writers: Vec<_> =
        near.iter().zip(starts).map(|(near, start)| writer(near, &far, start)).collect();
    let read = || counters.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let run = |seconds| {
        let limit = Duration::from_secs(seconds + 1);
        world.run(limit, async { sleep(Duration::from_secs(seconds)).await }).expect("ends");
        read()
    };
    let (before, after) = (run(3 * flows as u64 + 5), run(60));
    let gained: Vec<_> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let total: u64 = gained.iter().sum();
    let wire_bytes = 60 * 10_000_000 / 8;
    assert!(total > wire_bytes * 85 / 100, "the link is used: {total} of {wire_bytes}");
    gained.iter().map(|bytes| bytes * 100 / total).collect()
}

#[test]
fn flows_share_a_link_about_fairly() {
    for (flows, least) in [(2, 33), (5, 8)] {
        for seed in 1..=3 {
            let shares = shares(flows, seed);
            println!("{flows} flows, seed {seed}: {shares:?} %");
            assert!(shares.iter().all(|share| *share >= least), "{shares:?}");
        }
    }
}

/// How often a path with `delay_ms` each way sees a segment sent again though nothing is lost, when
/// a message goes out each `every_ms`.
fn needless(delay_ms: u64, later_delay_ms: u64, every_ms: u64) -> u64 {
    let mut world = World::new(1);
    let near = world.add_host("near", LinkConfig::ideal().with_delay_ms(delay_ms));
    let far = world.add_host("far", LinkConfig::ideal());
    let (_counters, _reader) = counters(&far, 1);
    let outcome = world.run(Duration::from_secs(1_000), async {
        sleep(Duration::from_millis(1)).await;
        let mut stream = near.connect_tcp(address(&far)).await.expect("listens");
        let mut before = 0;
        for message in 0..200 {
            if message == 50 {
                near.set_link(LinkConfig::ideal().with_delay_ms(later_delay_ms));
            }
            if message == 150 {
                before = world.trace(|trace| trace.counts().retransmitted);
            }
            stream.write_all(&[1; 1_000]).await.expect("open");
            sleep(Duration::from_millis(every_ms)).await;
        }
        before
    });
    world.trace(|trace| trace.counts().retransmitted) - outcome.expect("ends")
}

#[test]
fn a_path_that_loses_nothing_sees_nothing_sent_again() {
    assert_eq!(needless(300, 300, 700), 0, "a round trip that does not vary");
    assert_eq!(needless(300, 305, 700), 0, "a round trip that becomes a little longer");
}

#[test]
fn a_path_that_becomes_longer_is_learnt() {
    for every_ms in [40, 700] {
        let needless = needless(10, 300, every_ms);
        assert!(needless < 5, "{needless} of 140 sent again, one each {every_ms} ms");
    }
}

#[test]
fn both_directions_at_once_take_a_loss_in_stride() {
    let mut world = World::new(1);
    let link = LinkConfig::ideal().with_delay_ms(50).with_loss_ppm(3_000);
    let (near, far) = (world.add_host("near", link), world.add_host("far", LinkConfig::ideal()));
    let outcome = world.run(Duration::from_secs(1_000), async {
        let (near, far) = crate::pair::connected(&near, &far).await;
        let carry = |stream| async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let write = async {
                writer.write_all(&vec![1; 10_000_000]).await.expect("open");
                writer.shutdown().await.expect("open");
            };
            let mut all = Vec::new();
            let (read, ()) = tokio::join!(reader.read_to_end(&mut all), write);
            assert_eq!(read.expect("ends in order"), 10_000_000);
        };
        tokio::join!(carry(near), carry(far));
        world.now()
    });
    let mathis = 1_460.0 / 0.1 * (1.5_f64 / 0.003).sqrt();
    let ratio = 10_000_000.0 / outcome.expect("ends").as_secs_f64() / mathis;
    println!("both directions at 0.3 %: {ratio:.2} of Mathis");
    assert!(ratio > 0.4, "{ratio:.2}");
}
