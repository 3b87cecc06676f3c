//! Addresses, ports and listeners: who gets which, and who is refused.

use std::{io, time::Duration};

use crate::pair::{LIMIT, PORT, address, pair, wait_ms};
use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{LISTEN_BACKLOG, SocketState, TIME_WAIT};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

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
        assert_eq!(client.netstat().count(SocketState::TimeWait), 1);
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
fn a_full_backlog_drops_syns_and_dropping_the_listener_resets_who_waits_in_it() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        let mut waiting = Vec::new();
        for _ in 0..LISTEN_BACKLOG {
            waiting.push(client.connect_tcp(address(&server)).await.expect("room in the backlog"));
        }
        // Nobody answers until there is room, and then the SYN is sent again after a second.
        let begin = Instant::now();
        let accepting = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            listener.accept().await.expect("somebody waits")
        };
        let (one_more, _accepted) = tokio::join!(client.connect_tcp(address(&server)), accepting);
        waiting.push(one_more.expect("room again"));
        assert_eq!(begin.elapsed(), Duration::from_millis(1_040));
        // And when there is none for two minutes, the client gives up (tcp(7), tcp_syn_retries).
        let begin = Instant::now();
        let error = client.connect_tcp(address(&server)).await.expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), Duration::from_secs(127));
        drop(listener);
        assert_eq!(server.netstat().rows.len(), 1, "the one that was accepted");
        let error = waiting[1].read_u8().await.expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        server.bind_tcp(address(&server)).await.expect("free again");
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
