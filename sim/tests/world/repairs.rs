//! Connections and hosts after something that went wrong is right again: nothing of it stays.

use std::time::Duration;

use crate::pair::{LIMIT, address, connected, pair, wait_ms};
use rehearsal_core::env::{Env, TcpListener, UdpSocket};
use rehearsal_sim::{Direction, LinkConfig, SimEnv, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

/// How long it takes until `far` has read `bytes`.
async fn arrival(far: &mut (impl AsyncReadExt + Unpin), bytes: usize) -> Duration {
    let begin = Instant::now();
    far.read_exact(&mut vec![0; bytes]).await.expect("all arrives");
    begin.elapsed()
}

#[test]
fn time_goes_on_when_what_was_sent_twice_is_acknowledged_after_a_partition() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        client.set_partition_to(&server, true);
        near.write_all(b"one").await.expect("is queued");
        near.write_all(b"two").await.expect("is queued");
        sleep(Duration::from_secs(20)).await;
        client.set_partition_to(&server, false);
        // The timer was set for ever longer times.
        assert!(arrival(&mut far, 6).await < Duration::from_secs(30));
        // And is forgotten as soon as the peer answers: what is lost next is sent again at once.
        sleep(Duration::from_secs(10)).await;
        client.set_partition_to(&server, true);
        near.write_all(b"three").await.expect("is queued");
        wait_ms(100).await;
        client.set_partition_to(&server, false);
        assert!(arrival(&mut far, 5).await < Duration::from_secs(1));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn acknowledgments_that_lie_unread_wake_who_begins_to_wait_for_them() {
    // Only the way there leaves something to chance: acknowledgments come back without events.
    let mut world = World::new(1);
    let jitter = Direction { jitter_ns: 3_000_000, ..Direction::steady(20_000, 0, 1 << 20) };
    let link = LinkConfig { up: jitter, ..LinkConfig::ideal() };
    let client = world.add_host("client", link);
    let server = world.add_host("server", LinkConfig::ideal());
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        for _ in 0..40 {
            // More segments than may lie unread, and then nothing that would have them read.
            for _ in 0..100 {
                near.write_all(&[7; 100]).await.expect("open");
            }
            assert!(arrival(&mut far, 10_000).await < Duration::from_secs(1));
            wait_ms(300).await;
        }
        let retransmitted = world.trace(|trace| trace.counts().retransmitted);
        assert_eq!(retransmitted, 0, "nothing was lost");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn after_an_hour_of_silence_a_loss_is_noticed_as_soon_as_ever() {
    for silence_minutes in [20, 40, 60, 80] {
        let (world, client, server) = pair(1);
        let outcome = world.run(100 * LIMIT, async {
            let (mut near, mut far) = connected(&client, &server).await;
            near.write_all(b"before").await.expect("open");
            arrival(&mut far, 6).await;
            sleep(Duration::from_secs(60 * silence_minutes)).await;
            near.write_all(b"after").await.expect("open");
            arrival(&mut far, 5).await;
            client.set_partition_to(&server, true);
            near.write_all(b"lost").await.expect("is queued");
            wait_ms(200).await;
            client.set_partition_to(&server, false);
            let took = arrival(&mut far, 4).await;
            assert!(took < Duration::from_secs(1), "{took:?} after {silence_minutes} minutes");
        });
        assert_eq!(outcome, Ok(()));
    }
}

#[test]
fn a_host_that_crashed_while_frozen_runs_again() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        server.set_frozen(true);
        server.crash();
        server.restart();
        assert!(is_served(&client, &server).await);
    });
    assert_eq!(outcome, Ok(()));
}

/// Has `server` run an echo, and says whether `client` hears it within a second.
async fn is_served(client: &SimEnv, server: &SimEnv) -> bool {
    let env = server.clone();
    let _echo = server.spawn(async move {
        let mut listener = env.bind_tcp(address(&env)).await.expect("the port is free");
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let byte = stream.read_u8().await.expect("a byte");
        stream.write_u8(byte).await.expect("open");
        std::future::pending::<()>().await;
    });
    wait_ms(10).await;
    let asked = async {
        let mut near = client.connect_tcp(address(server)).await.expect("listens");
        near.write_u8(7).await.expect("open");
        near.read_u8().await.expect("answers")
    };
    timeout(Duration::from_millis(900), asked).await.is_ok()
}

#[test]
fn a_black_hole_outlives_a_restart_and_a_crash_outlives_a_black_hole() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        server.set_black_hole(true);
        server.crash();
        server.restart();
        assert!(!is_served(&client, &server).await, "still in the black hole");
        server.set_black_hole(false);
        assert!(is_served(&client, &server).await);
        server.set_black_hole(true);
        server.crash();
        server.set_black_hole(false);
        let connecting = client.connect_tcp(address(&server));
        assert!(timeout(Duration::from_secs(2), connecting).await.is_err(), "nobody answers");
        server.restart();
        assert!(is_served(&client, &server).await);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn what_was_on_its_way_to_a_host_that_crashed_does_not_arrive() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, _far) = connected(&client, &server).await;
        let sender = client.bind_udp(address(&client)).await.expect("free");
        let delivered = || world.trace(|trace| trace.counts().segments_delivered);
        wait_ms(100).await;
        let before = delivered();
        near.write_all(b"x").await.expect("open");
        sender.send_to(b"x", address(&server)).await.expect("a route");
        wait_ms(10).await;
        server.crash();
        wait_ms(100).await;
        assert_eq!(delivered(), before);
        assert_eq!(server.udp_counters().no_port, 0);
        assert_eq!(server.link_dropped_packets(), 2);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_host_behind_a_nat_reaches_itself_by_its_own_address() {
    let (world, client, _server) = pair(1);
    client.rebind_nat();
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &client).await;
        near.write_all(b"to myself").await.expect("open");
        arrival(&mut far, 9).await;
    });
    assert_eq!(outcome, Ok(()));
}
