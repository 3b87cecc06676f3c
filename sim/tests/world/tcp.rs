//! TCP between two hosts, as a program sees it.

use std::{io, time::Duration};

use crate::pair::{LIMIT, address, connected, pair, wait_ms};
use proptest::{prelude::*, test_runner::RngSeed};
use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{
    LinkConfig, RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES, SimEnv, SocketState, TIME_WAIT, World,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// Whether `operation` is still waiting after a while.
async fn stalls<T>(operation: impl Future<Output = T>) -> bool {
    timeout(Duration::from_secs(5), operation).await.is_err()
}

fn count(host: &SimEnv, state: SocketState) -> usize {
    host.netstat().count(state)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..Default::default() })]

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
        let more_than_fits = vec![1; 2 * (RECEIVE_BUFFER_BYTES + SEND_BUFFER_BYTES)];
        assert!(stalls(near.write_all(&more_than_fits)).await, "the buffers are full");
        let row = client.netstat().rows[0].clone();
        assert_eq!(row.state, SocketState::Established);
        // A writer that waits is not woken for less than a third of the buffer.
        assert!(row.tx_queue > SEND_BUFFER_BYTES * 2 / 3, "{}", row.tx_queue);
        let mut buf = vec![0; RECEIVE_BUFFER_BYTES + row.tx_queue];
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
