//! Beginning a connection when segments of the handshake are lost, late or doubled.

use std::{io, time::Duration};

use crate::pair::{LIMIT, address, pair, wait_ms};
use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{LinkConfig, SocketState, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

#[test]
fn a_lost_syn_is_sent_again_after_a_second() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let _listener = server.bind_tcp(address(&server)).await.expect("free");
        client.set_partition_to(&server, true);
        let begin = Instant::now();
        let heal = async {
            wait_ms(500).await;
            client.set_partition_to(&server, false);
        };
        let (connected, ()) = tokio::join!(client.connect_tcp(address(&server)), heal);
        connected.expect("the second SYN arrives");
        assert_eq!(begin.elapsed(), Duration::from_millis(1_040));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_lost_answer_to_a_syn_is_sent_again() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        server.set_partition_to(&client, true);
        let begin = Instant::now();
        let heal = async {
            wait_ms(500).await;
            server.set_partition_to(&client, false);
        };
        let (connected, ()) = tokio::join!(client.connect_tcp(address(&server)), heal);
        connected.expect("the second answer arrives");
        // The client's second SYN and the server's second answer cross.
        assert_eq!(begin.elapsed(), Duration::from_millis(1_040));
        listener.accept().await.expect("one connection");
        timeout(Duration::from_secs(100), listener.accept()).await.expect_err("and no other");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_lost_last_acknowledgment_is_sent_again_or_comes_with_the_first_bytes() {
    for writes in [false, true] {
        let (world, client, server) = pair(1);
        let outcome = world.run(LIMIT, async {
            let mut listener = server.bind_tcp(address(&server)).await.expect("free");
            let lose = async {
                wait_ms(30).await;
                client.set_partition_to(&server, true);
                wait_ms(30).await;
                client.set_partition_to(&server, false);
            };
            let begin = Instant::now();
            let (near, ()) = tokio::join!(client.connect_tcp(address(&server)), lose);
            let mut near = near.expect("for the client it is open");
            assert_eq!(server.netstat().count(SocketState::SynReceived), 1);
            if writes {
                near.write_all(b"hello").await.expect("open");
            }
            let (mut far, _) = listener.accept().await.expect("is open in the end");
            let expected_ms = if writes { 80 } else { 1_060 };
            assert_eq!(begin.elapsed(), Duration::from_millis(expected_ms));
            near.write_all(b"!").await.expect("open");
            assert_eq!(far.read_u8().await.expect("arrives"), if writes { b'h' } else { b'!' });
        });
        assert_eq!(outcome, Ok(()));
    }
}

#[test]
fn both_ends_give_up_a_handshake_that_gets_no_answer() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let _listener = server.bind_tcp(address(&server)).await.expect("free");
        server.set_partition_to(&client, true);
        let begin = Instant::now();
        let error = client.connect_tcp(address(&server)).await.expect_err("no answer");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), Duration::from_secs(127));
        sleep(Duration::from_secs(100)).await;
        assert_eq!(server.netstat().rows.len(), 1, "{}", server.netstat());
        assert_eq!(client.netstat().rows, []);
    });
    assert_eq!(outcome, Ok(()));
}

/// A SYN that was on its way for so long that its connection, which a second SYN began, is over.
#[test]
fn a_syn_that_comes_late_opens_nothing() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let client = world.add_host("client", LinkConfig::ideal().with_delay_ms(3_000));
        let server = world.add_host("server", LinkConfig::ideal());
        let outcome = world.run(LIMIT, async {
            let mut listener = server.bind_tcp(address(&server)).await.expect("free");
            let quicken = async {
                wait_ms(500).await;
                client.set_link(LinkConfig::ideal().with_delay_ms(10));
            };
            let (near, ()) = tokio::join!(client.connect_tcp(address(&server)), quicken);
            let near = near.expect("the second SYN is quick");
            let (far, _) = listener.accept().await.expect("connected");
            drop(near);
            wait_ms(100).await;
            drop(far);
            wait_ms(100).await;
            assert_eq!(client.netstat().count(SocketState::TimeWait), 1);
            assert_eq!(server.netstat().rows.len(), 1);
            let ghost = timeout(Duration::from_secs(200), listener.accept()).await;
            assert!(ghost.is_err(), "a connection that nobody asked for");
            assert_eq!(server.netstat().rows.len(), 1, "{}", server.netstat());
        });
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}

#[test]
fn a_doubled_handshake_makes_one_connection() {
    let mut world = World::new(1);
    let twice = LinkConfig::ideal().with_delay_ms(20).with(|way| way.duplicate_ppm = 1_000_000);
    let client = world.add_host("client", twice);
    let server = world.add_host("server", LinkConfig::ideal());
    let outcome = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        let mut near = client.connect_tcp(address(&server)).await.expect("listens");
        let (mut far, _) = listener.accept().await.expect("connected");
        near.write_all(b"once").await.expect("open");
        near.shutdown().await.expect("open");
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.expect("ends in order");
        assert_eq!(all, b"once");
        drop((near, far));
        timeout(Duration::from_secs(100), listener.accept()).await.expect_err("no other");
        assert_eq!((client.netstat().rows.len(), server.netstat().rows.len()), (0, 1));
    });
    assert_eq!(outcome, Ok(()));
}
