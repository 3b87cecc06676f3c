//! TCP between two hosts, as a program sees it.

use std::{io, time::Duration};

use crate::pair::{LIMIT, PORT, address, connected, pair, wait_ms};
use proptest::prelude::*;
use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{
    LISTEN_BACKLOG, LinkConfig, RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES, SimEnv, SocketState,
    TIME_WAIT, World,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

/// Whether `operation` is still waiting after a while.
async fn stalls<T>(operation: impl Future<Output = T>) -> bool {
    timeout(Duration::from_secs(5), operation).await.is_err()
}

fn count(host: &SimEnv, state: SocketState) -> usize {
    host.netstat().count(state)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_writes_arrive_whole_and_in_order(
        seed: u64,
        writes in prop::collection::vec(1_usize..40_000, 1..20),
        read_bytes in 1_usize..20_000,
        rate_bps in prop_oneof![Just(0), 1_000_000_u64..1_000_000_000],
    ) {
        let mut world = World::new(seed);
        let link = LinkConfig::lan().with_rate_bps(rate_bps);
        let (client, server) = (world.add_host("client", link), world.add_host("server", link));
        let total: usize = writes.iter().sum();
        let sent: Vec<u8> = (0..total).map(|index| (index * 7 % 251) as u8).collect();
        let mut rest = sent.clone();
        let received = world.run(LIMIT, async {
            let (mut near, mut far) = connected(&client, &server).await;
            let _writer = client.spawn(async move {
                for bytes in writes {
                    near.write_all(&rest[..bytes]).await.expect("the reader reads");
                    rest.drain(..bytes);
                }
            });
            let (mut received, mut buf) = (Vec::new(), vec![0; read_bytes]);
            loop {
                match far.read(&mut buf).await.expect("the writer closes in order") {
                    0 => return received,
                    read => received.extend_from_slice(&buf[..read]),
                }
            }
        });
        prop_assert_eq!(received.expect("ends"), sent);
    }
}

#[test]
fn a_reader_that_does_not_read_stalls_the_writer_until_it_does() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        let room = RECEIVE_BUFFER_BYTES + SEND_BUFFER_BYTES;
        near.write_all(&vec![1; room]).await.expect("fits into the buffers");
        assert!(stalls(near.write_all(&[2])).await, "the buffers are full");
        let row = client.netstat().rows[0].clone();
        assert_eq!((row.state, row.tx_queue), (SocketState::Established, SEND_BUFFER_BYTES));
        let mut buf = vec![0; room];
        far.read_exact(&mut buf).await.expect("what was written arrives");
        near.write_all(&[3]).await.expect("there is room again");
        assert_eq!(far.read_u8().await.expect("arrives"), 3);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn vectored_writes_go_out_in_one_piece() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        assert!(near.is_write_vectored());
        let parts = [io::IoSlice::new(b"ab"), io::IoSlice::new(b""), io::IoSlice::new(b"cde")];
        let before = world.trace(|trace| trace.counts().segments_sent);
        assert_eq!(near.write_vectored(&parts).await.expect("there is room"), 5);
        assert_eq!(world.trace(|trace| trace.counts().segments_sent), before + 1);
        let mut buf = [0; 5];
        far.read_exact(&mut buf).await.expect("arrives");
        assert_eq!(&buf, b"abcde");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn each_direction_closes_alone() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        near.write_all(b"request").await.expect("open");
        near.shutdown().await.expect("open");
        near.shutdown().await.expect("twice is no error");
        let error = near.write_all(b"more").await.expect_err("closed for writing");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let mut request = String::new();
        far.read_to_string(&mut request).await.expect("ends at the FIN");
        assert_eq!(request, "request");
        assert_eq!(count(&server, SocketState::CloseWait), 1);
        wait_ms(50).await;
        assert_eq!(count(&client, SocketState::FinWait2), 1);
        far.write_all(b"response").await.expect("this direction is open");
        drop(far);
        let mut response = String::new();
        near.read_to_string(&mut response).await.expect("ends at the FIN");
        assert_eq!(response, "response");
        wait_ms(50).await;
        assert_eq!(count(&client, SocketState::TimeWait), 1);
        assert_eq!(server.netstat().rows, []);
        drop(near);
        tokio::time::sleep(TIME_WAIT).await;
        assert_eq!(client.netstat().rows, []);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn both_ends_closing_at_once_come_to_rest() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        drop(connected(&client, &server).await);
        wait_ms(10).await;
        assert_eq!(count(&client, SocketState::FinWait1), 1);
        wait_ms(100).await;
        assert_eq!(count(&client, SocketState::TimeWait), 1);
        assert_eq!(count(&server, SocketState::TimeWait), 1);
        tokio::time::sleep(TIME_WAIT).await;
        assert_eq!((client.netstat().rows, server.netstat().rows), (vec![], vec![]));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_closed_socket_does_not_wait_for_its_peer_for_ever() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (near, far) = connected(&client, &server).await;
        drop(near);
        wait_ms(100).await;
        assert_eq!(count(&client, SocketState::FinWait2), 1);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(client.netstat().rows, []);
        drop(far);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn dropping_a_stream_with_unread_bytes_resets_the_peer() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, far) = connected(&client, &server).await;
        near.write_all(b"unread").await.expect("open");
        wait_ms(50).await;
        drop(far);
        wait_ms(50).await;
        let error = near.read_u8().await.expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = near.write_all(b"more").await.expect_err("gone");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(near.read(&mut [0]).await.expect("the error was told once"), 0);
        assert_eq!(count(&client, SocketState::Closed), 1);
        near.shutdown().await.expect("no error, as with tokio on Linux");
        drop(near);
        assert_eq!((client.netstat().rows, server.netstat().rows), (vec![], vec![]));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn bytes_for_a_closed_socket_are_answered_by_a_reset() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, far) = connected(&client, &server).await;
        drop(far);
        wait_ms(50).await;
        assert_eq!(near.read(&mut [0]).await.expect("the FIN"), 0);
        near.write_all(b"late").await.expect("nobody knows yet");
        wait_ms(50).await;
        let error = near.write_all(b"later").await.expect_err("the RST is there");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn bytes_before_a_reset_are_read_before_its_error() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        near.write_all(b"unread").await.expect("open");
        far.write_all(b"last words").await.expect("open");
        wait_ms(50).await;
        drop(far);
        wait_ms(50).await;
        let mut words = Vec::new();
        let error = near.read_to_end(&mut words).await.expect_err("reset");
        assert_eq!(
            (&words[..], error.kind()),
            (&b"last words"[..], io::ErrorKind::ConnectionReset)
        );
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn nobody_listening_refuses_and_nobody_there_is_unreachable() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let begin = Instant::now();
        let error = client.connect_tcp(address(&server)).await.expect_err("no listener");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(begin.elapsed(), Duration::from_millis(40));
        let nobody = ([10, 0, 0, 77], PORT).into();
        let error = client.connect_tcp(nobody).await.expect_err("no host");
        assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
        assert_eq!(client.netstat().rows, []);
        assert_eq!(world.trace(|trace| trace.counts().refused), 1);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn giving_up_a_connection_attempt_leaves_nothing() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        let attempt = client.connect_tcp(address(&server));
        timeout(Duration::from_millis(30), attempt).await.expect_err("takes 40 ms");
        assert_eq!(client.netstat().rows, []);
        wait_ms(50).await;
        assert!(stalls(listener.accept()).await, "the handshake was never finished");
        assert_eq!(server.netstat().rows.len(), 1, "only the listener: {}", server.netstat());
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_full_backlog_refuses_and_dropping_the_listener_resets_who_waits_in_it() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let listener = server.bind_tcp(address(&server)).await.expect("free");
        let mut waiting = Vec::new();
        for _ in 0..LISTEN_BACKLOG {
            waiting.push(client.connect_tcp(address(&server)).await.expect("room in the backlog"));
        }
        let error = client.connect_tcp(address(&server)).await.expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        drop(listener);
        assert_eq!(server.netstat().rows, []);
        let error = waiting[0].read_u8().await.expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        server.bind_tcp(address(&server)).await.expect("free again");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_port_is_bound_once_and_free_after_its_listener() {
    let (world, _, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let listener = server.bind_tcp(address(&server)).await.expect("free");
        let every = ([0, 0, 0, 0], PORT).into();
        let error = server.bind_tcp(every).await.expect_err("overlaps");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        server.bind_tcp(([127, 0, 0, 1], PORT).into()).await.expect("another address");
        let error = server.bind_tcp(([10, 9, 9, 9], PORT).into()).await.expect_err("not ours");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        drop(listener);
        server.bind_tcp(every).await.expect("free again");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn ephemeral_ports_in_use_or_in_time_wait_are_skipped_until_none_is_left() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let mut held = Vec::new();
        for _ in 32_768..=60_999 {
            held.push(client.bind_tcp(([10, 0, 0, 1], 0).into()).await.expect("a port is left"));
        }
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        let error = client.connect_tcp(address(&server)).await.expect_err("no port is left");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        let freed = held.pop().expect("many").local_addr();
        let near = client.connect_tcp(address(&server)).await.expect("one port is left");
        assert_eq!(near.local_addr(), freed);
        let (far, _) = listener.accept().await.expect("connected");
        drop(near);
        wait_ms(50).await;
        drop(far);
        wait_ms(50).await;
        assert_eq!(count(&client, SocketState::TimeWait), 1);
        let error = client.connect_tcp(address(&server)).await.expect_err("in TIME_WAIT");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        tokio::time::sleep(TIME_WAIT).await;
        client.connect_tcp(address(&server)).await.expect("free again");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_host_reaches_itself_over_loopback() {
    let (world, _, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let every = ([0, 0, 0, 0], PORT).into();
        let mut listener = server.bind_tcp(every).await.expect("free");
        let begin = Instant::now();
        let near = server.connect_tcp(([127, 0, 0, 1], PORT).into()).await.expect("listens");
        assert_eq!(begin.elapsed(), Duration::from_micros(20));
        let (_far, peer) = listener.accept().await.expect("connected");
        assert!(peer.ip().is_loopback() && near.peer_addr().ip().is_loopback());
    });
    assert_eq!(outcome, Ok(()));
}

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
fn a_full_link_queue_drops_and_counts() {
    let mut world = World::new(1);
    let slow = LinkConfig::lan().with_rate_bps(1_000_000).with_queue_bytes(20_000);
    let client = world.add_host("client", slow);
    let server = world.add_host("server", LinkConfig::lan());
    let outcome = world.run(LIMIT, async {
        let (mut near, _far) = connected(&client, &server).await;
        near.write_all(&[0; 100_000]).await.expect("fits into the send buffer");
    });
    assert_eq!(outcome, Ok(()));
    assert!(client.link_dropped_packets() > 40, "{}", client.link_dropped_packets());
}

#[test]
fn netstat_is_a_table_by_address() {
    let (world, client, server) = pair(1);
    let table = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        let _udp = server.bind_udp(([0, 0, 0, 0], 5060).into()).await.expect("free");
        let mut near = client.connect_tcp(address(&server)).await.expect("listens");
        near.write_all(b"hello").await.expect("open");
        let (_far, peer) = listener.accept().await.expect("connected");
        wait_ms(50).await;
        server.netstat().to_string().replace(&peer.port().to_string(), "PORT")
    });
    let expected = "\
proto  rx-queue  tx-queue  local                  remote                 state
tcp           0         0  10.0.0.2:1935          *                      LISTEN
tcp           5         0  10.0.0.2:1935          10.0.0.1:PORT         ESTABLISHED
udp           0         0  0.0.0.0:5060           *                      -
";
    assert_eq!(table.expect("ends"), expected);
}
