//! Links of every kind, and links that change while bytes are on them.

use std::time::Duration;

use crate::pair::{LIMIT, address, connected, wait_ms};
use rehearsal_core::env::{Env, UdpSocket};
use rehearsal_sim::{LinkConfig, SimEnv, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

/// How long `bytes` take from `from` to `to`.
async fn carry(
    from: &SimEnv,
    to: &SimEnv,
    bytes: usize,
    during: impl Future<Output = ()>,
) -> Duration {
    let (mut near, mut far) = connected(from, to).await;
    let begin = Instant::now();
    let write = async {
        near.write_all(&vec![5; bytes]).await.expect("open");
        near.shutdown().await.expect("open");
    };
    let read = async {
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.expect("ends in order");
        assert!(all.len() == bytes && all.iter().all(|byte| *byte == 5));
        begin.elapsed()
    };
    tokio::join!(read, write, during).0
}

#[test]
fn every_preset_carries_a_megabyte_up_and_down() {
    let presets = [
        ("wifi", LinkConfig::wifi(), 5),
        ("lte", LinkConfig::lte(), 10),
        ("satellite", LinkConfig::satellite(), 60),
        ("congested", LinkConfig::congested(), 60),
        ("datacentre", LinkConfig::datacentre(), 1),
        ("dsl", LinkConfig::dsl(), 3),
        ("lan", LinkConfig::lan(), 1),
    ];
    for (name, link, seconds_max) in presets {
        let mut world = World::new(7);
        let home = world.add_host("home", link);
        let server = world.add_host("server", LinkConfig::datacentre());
        let took = world.run(LIMIT, async {
            let up = carry(&home, &server, 1 << 20, async {}).await;
            (up, carry(&server, &home, 1 << 20, async {}).await)
        });
        let (up, down) = took.expect("ends");
        println!("{name}: {up:.2?} up, {down:.2?} down");
        assert!(up.max(down) < Duration::from_secs(seconds_max), "{name}: {up:?}, {down:?}");
    }
}

#[test]
fn a_rate_that_changes_holds_for_what_comes_after() {
    // 3 Mbit of 4 wait at 1 Mbit/s when the link becomes ten times as fast, or as slow. They arrive as
    // they would have, and what is sent then waits for them at the new rate, and overtakes none.
    for (later_bps, expected_ms) in [(10_000_000, 4_048), (100_000, 31_500)] {
        let mut world = World::new(1);
        let link = LinkConfig::ideal().with_queue_bytes(1 << 20);
        let home = world.add_host("home", link.with_rate_bps(1_000_000));
        let server = world.add_host("server", LinkConfig::ideal());
        let took = world.run(LIMIT, async {
            let receiver = server.bind_udp(address(&server)).await.expect("free");
            let sender = home.bind_udp(address(&home)).await.expect("free");
            let begin = Instant::now();
            for _ in 0..100 {
                sender.send_to(&[0; 4_972], address(&server)).await.expect("there is a route");
            }
            wait_ms(1_000).await;
            home.set_link(link.with_rate_bps(later_bps));
            sender.send_to(&[0; 1], address(&server)).await.expect("there is a route");
            while receiver.recv_from(&mut [0; 9_000]).await.expect("arrives").0 > 1 {}
            begin.elapsed()
        });
        let took_ms = took.expect("ends").as_millis() as u64;
        assert!(took_ms.abs_diff(expected_ms) < expected_ms / 50, "{took_ms} for {expected_ms} ms");
    }
}

#[test]
fn loss_goes_on_and_off() {
    let mut world = World::new(1);
    let link = LinkConfig::lan().with_rate_bps(10_000_000).with_delay_ms(10);
    let home = world.add_host("home", link);
    let server = world.add_host("server", LinkConfig::ideal());
    let outcome = world.run(LIMIT, async {
        let change = async {
            wait_ms(1_000).await;
            assert_eq!(home.link_dropped_packets(), 0);
            home.set_link(link.with_loss_ppm(1_000_000));
            wait_ms(1_000).await;
            assert!(home.link_dropped_packets() > 0);
            home.set_link(link);
        };
        let took = carry(&home, &server, 5_000_000, change).await;
        // Four seconds of bytes, one second of loss, and at most the next retransmission.
        assert!(took < Duration::from_millis(8_000), "{took:?}");
        let dropped = home.link_dropped_packets();
        carry(&home, &server, 1_000_000, async {}).await;
        assert_eq!(home.link_dropped_packets(), dropped);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_copy_of_a_packet_takes_the_way_of_a_packet() {
    let mut world = World::new(1);
    let twice = LinkConfig::ideal().with(|way| way.duplicate_ppm = 1_000_000);
    let home = world.add_host("home", twice);
    let server = world.add_host("server", LinkConfig::ideal().with_delay_ms(30));
    let outcome = world.run(LIMIT, async {
        let receiver = server.bind_udp(address(&server)).await.expect("free");
        let sender = home.bind_udp(address(&home)).await.expect("free");
        let begin = Instant::now();
        sender.send_to(b"x", address(&server)).await.expect("there is a route");
        for _ in 0..2 {
            receiver.recv_from(&mut [0]).await.expect("arrives");
            assert!(begin.elapsed() >= Duration::from_millis(30), "{:?}", begin.elapsed());
        }
        server.set_link(LinkConfig::ideal().with_loss_ppm(1_000_000));
        sender.send_to(b"y", address(&server)).await.expect("there is a route");
        wait_ms(1_000).await;
        assert_eq!(server.udp_counters().received, 2, "the link down loses copies too");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_hundred_idle_connections_cost_nothing_for_an_hour() {
    let mut world = World::new(1);
    let home = world.add_host("home", LinkConfig::lte());
    let server = world.add_host("server", LinkConfig::lan());
    let mut held = Vec::new();
    let outcome = world.run(LIMIT, async {
        for _ in 0..100 {
            let (mut near, mut far) = connected(&home, &server).await;
            near.write_all(b"x").await.expect("open");
            far.read_u8().await.expect("arrives");
            held.push((near, far));
        }
        wait_ms(10_000).await;
    });
    assert_eq!(outcome, Ok(()));
    let before = (world.trace(|trace| trace.events()), home.polls(), server.polls());
    world.run(LIMIT * 10, async { tokio::time::sleep(LIMIT * 6).await }).expect("an hour passes");
    let after = (world.trace(|trace| trace.events()), home.polls(), server.polls());
    assert_eq!(after, before);
}

#[test]
fn a_path_that_becomes_shorter_lets_nothing_overtake_what_is_on_it() {
    // The hosts' links before and after, by their delays: the one changes, the other, or both.
    for (before_ms, after_ms) in
        [((200, 100), (1, 100)), ((100, 200), (100, 1)), ((90, 80), (5, 0))]
    {
        let link = |delay_ms| LinkConfig::ideal().with_delay_ms(delay_ms);
        let mut world = World::new(1);
        let home = world.add_host("home", link(before_ms.0));
        let server = world.add_host("server", link(before_ms.1));
        let outcome = world.run(LIMIT, async {
            let receiver = server.bind_udp(address(&server)).await.expect("free");
            let sender = home.bind_udp(address(&home)).await.expect("free");
            for number in 0..100 {
                if number == 50 {
                    home.set_link(link(after_ms.0));
                    server.set_link(link(after_ms.1));
                }
                sender.send_to(&[number], address(&server)).await.expect("there is a route");
                wait_ms(10).await;
            }
            for expected in 0..100 {
                let mut number = [0];
                receiver.recv_from(&mut number).await.expect("arrives");
                assert_eq!(number, [expected], "{before_ms:?} to {after_ms:?}");
            }
            // What is sent when all has arrived takes as long as the path is now.
            let begin = Instant::now();
            sender.send_to(b"x", address(&server)).await.expect("there is a route");
            receiver.recv_from(&mut [0]).await.expect("arrives");
            let now_ms = after_ms.0 + after_ms.1;
            assert_eq!(begin.elapsed(), Duration::from_millis(now_ms));
        });
        assert_eq!(outcome, Ok(()));
    }
}
