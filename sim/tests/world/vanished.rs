//! Peers that are gone, came back without their memory, or are heard and do not hear.

use std::{io, time::Duration};

use crate::pair::{LIMIT, PORT, address, connected, pair, wait_ms};
use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{LinkConfig, SocketState, TIME_WAIT, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

fn sent_again(world: &World) -> u64 {
    world.trace(|trace| trace.counts().retransmitted)
}

/// More virtual time than a silent peer is waited for.
const LONG: Duration = Duration::from_secs(5_000);

#[test]
fn a_peer_that_does_not_acknowledge_is_given_up_after_a_quarter_of_an_hour() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LONG, async {
        let (mut near, _far) = connected(&client, &server).await;
        server.set_black_hole(true);
        near.write_all(b"anybody there?").await.expect("is queued");
        let begin = Instant::now();
        let error = near.read_u8().await.expect_err("nobody");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let seconds = begin.elapsed().as_secs();
        assert!((924..980).contains(&seconds), "{seconds}");
        assert_eq!(sent_again(&world), 15);
        let error = near.write_all(b"!").await.expect_err("the connection is over");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        drop(near);
        assert_eq!(client.netstat().rows, []);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_peer_that_is_heard_but_does_not_hear_is_given_up_too() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LONG, async {
        let (mut near, mut far) = connected(&client, &server).await;
        client.set_partition_to(&server, true);
        near.write_all(b"lost").await.expect("is queued");
        let begin = Instant::now();
        // What the peer sends tells nothing about what it got.
        let _talker = server.spawn(async move {
            while far.write_all(b"still here").await.is_ok() {
                sleep(Duration::from_secs(7)).await;
            }
        });
        let error = near.read_to_end(&mut Vec::new()).await.expect_err("gives up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let seconds = begin.elapsed().as_secs();
        assert!((924..980).contains(&seconds), "{seconds}");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn an_idle_connection_notices_nothing() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LONG, async {
        let (mut near, mut far) = connected(&client, &server).await;
        server.set_black_hole(true);
        sleep(Duration::from_secs(3_000)).await;
        server.set_black_hole(false);
        near.write_all(b"x").await.expect("open");
        assert_eq!(far.read_u8().await.expect("arrives"), b'x');
        assert_eq!(sent_again(&world), 0);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_closed_socket_gives_up_a_silent_peer_sooner() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LONG, async {
        let (near, _far) = connected(&client, &server).await;
        server.set_black_hole(true);
        drop(near);
        sleep(Duration::from_secs(90)).await;
        assert_eq!(client.netstat().count(SocketState::FinWait1), 1);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(client.netstat().rows, []);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_peer_that_crashed_and_came_back_resets_what_it_does_not_know() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, far) = connected(&client, &server).await;
        server.crash();
        near.write_all(b"lost").await.expect("nobody knows yet");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.netstat().count(SocketState::Established), 1);
        server.restart();
        let error = near.read_u8().await.expect_err("unknown there");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(server.netstat().rows, []);
        let mut listener = server.bind_tcp(address(&server)).await.expect("the port is free");
        client.connect_tcp(address(&server)).await.expect("listens again");
        listener.accept().await.expect("connected");
        drop(far);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_client_that_comes_back_on_its_port_ends_the_half_open_connection() {
    let (world, client, server) = pair(1);
    client.set_ephemeral_ports(50_000..=50_000);
    let outcome = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        let _lost = client.connect_tcp(address(&server)).await.expect("listens");
        let (mut old, _) = listener.accept().await.expect("connected");
        client.crash();
        client.restart();
        let begin = Instant::now();
        let mut near = client.connect_tcp(address(&server)).await.expect("in the end");
        // The SYN is answered for the old connection, that ends by RST, and the SYN comes again.
        assert_eq!(begin.elapsed(), Duration::from_millis(1_040));
        let error = old.read_u8().await.expect_err("was reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let (mut new, _) = listener.accept().await.expect("connected");
        near.write_all(b"x").await.expect("open");
        assert_eq!(new.read_u8().await.expect("arrives"), b'x');
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn time_wait_answers_a_fin_that_comes_again_and_waits_anew() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (near, far) = connected(&client, &server).await;
        drop(near);
        wait_ms(100).await;
        client.set_partition_to(&server, true);
        drop(far);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(client.netstat().count(SocketState::TimeWait), 1);
        assert_eq!(server.netstat().count(SocketState::LastAck), 1);
        client.set_partition_to(&server, false);
        sleep(Duration::from_secs(40)).await;
        assert_eq!(server.netstat().rows, [], "the FIN was sent again and is acknowledged");
        assert_eq!(client.netstat().count(SocketState::TimeWait), 1, "waits for others");
        sleep(TIME_WAIT).await;
        assert_eq!(client.netstat().rows, []);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn bytes_after_a_fin_that_was_lost_arrive_with_it() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        client.set_partition_to(&server, true);
        near.write_all(b"lost").await.expect("open");
        wait_ms(10).await;
        client.set_partition_to(&server, false);
        near.shutdown().await.expect("open");
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.expect("ends in order");
        assert_eq!(all, b"lost");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_path_whose_mtu_shrinks_is_a_black_hole_for_full_segments_only() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LONG, async {
        let (mut near, mut far) = connected(&client, &server).await;
        client.set_link(LinkConfig::ideal().with_delay_ms(20).with_mtu_bytes(600));
        near.write_all(&[1; 500]).await.expect("open");
        far.read_exact(&mut [0; 500]).await.expect("is short enough");
        near.write_all(&[2; 5_000]).await.expect("is queued");
        let error = near.read_u8().await.expect_err("gives up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        let mut near = client.connect_tcp(address(&server)).await.expect("SYNs are short");
        let (mut far, _) = listener.accept().await.expect("connected");
        near.write_all(&[3; 5_000]).await.expect("open");
        far.read_exact(&mut [0; 5_000]).await.expect("a new connection has the new MSS");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_syn_that_comes_late_does_not_end_time_wait() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        let link = client.link();
        // The first SYN takes the long way.
        client.set_link(link.with(|direction| {
            direction.reorder_ppm = 1_000_000;
            direction.reorder_ns = 30_000_000_000;
        }));
        let connecting = async {
            let straighten = async {
                sleep(Duration::from_millis(500)).await;
                client.set_link(link);
            };
            tokio::join!(client.connect_tcp(address(&server)), straighten).0
        };
        let (near, far) = tokio::join!(connecting, listener.accept());
        let (mut near, (far, _)) = (near.expect("the second SYN"), far.expect("connected"));
        assert!(world.now() < Duration::from_secs(2), "the first SYN is under way");
        drop(far);
        assert_eq!(near.read(&mut [0]).await.expect("ends"), 0);
        drop(near);
        sleep(Duration::from_secs(40)).await;
        let states: Vec<_> = server.netstat().rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [SocketState::Listen, SocketState::TimeWait]);
    });
    assert_eq!(outcome, Ok(()));
}

/// Oracles forgive what loss costs: that is from when the lost was sent to its acknowledgment, and nothing else.
#[test]
fn waits_for_the_timer_are_from_the_loss_to_its_acknowledgment() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let start = Instant::now();
        let (mut near, mut far) = connected(&client, &server).await;
        near.write_all(b"arrives").await.expect("is queued");
        wait_ms(1_000).await;
        assert_eq!((client.waits(), server.waits()), (vec![], vec![]), "nothing was lost");
        let lost_at = start.elapsed();
        server.set_black_hole(true);
        near.write_all(b"is lost").await.expect("is queued");
        wait_ms(1_000).await;
        server.set_black_hole(false);
        far.read_exact(&mut [0; 14]).await.expect("both arrive");
        let acknowledged_at = start.elapsed() + Duration::from_millis(20);
        wait_ms(5_000).await;
        let [wait] = client.waits()[..] else { panic!("{:?}", client.waits()) };
        assert_eq!((wait.from, wait.remote.port()), (lost_at, PORT));
        assert!(wait.to.abs_diff(acknowledged_at) <= Duration::from_millis(1), "{wait:?}");
        assert!(wait.to - wait.from > Duration::from_secs(1), "{wait:?}");
        assert_eq!(server.waits(), []);
        // Who waits still is known to.
        server.set_black_hole(true);
        near.write_all(b"is lost, too").await.expect("is queued");
        wait_ms(1_000).await;
        let last = client.waits()[1];
        assert!(last.to > start.elapsed(), "{last:?}");
    });
    assert_eq!(outcome, Ok(()));
}
