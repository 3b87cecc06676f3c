//! UDP between two hosts, as a program sees it.

use std::io;

use crate::pair::{LIMIT, address, pair, wait_ms};
use rehearsal_core::env::{Env, UdpSocket};
use rehearsal_sim::{
    MAX_DATAGRAM_BYTES, UDP_DATAGRAM_OVERHEAD_BYTES, UDP_RECEIVE_BUFFER_BYTES, UdpCounters,
};

#[test]
fn datagrams_keep_their_bounds_and_tell_their_source() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let receiver = server.bind_udp(address(&server)).await.expect("free");
        let sender = client.bind_udp(([0, 0, 0, 0], 0).into()).await.expect("free");
        for datagram in [&b"first"[..], b"", b"third"] {
            sender.send_to(datagram, address(&server)).await.expect("there is a route");
        }
        let from = (client.ip(), sender.local_addr().port()).into();
        let mut buf = [0; 3];
        assert_eq!(receiver.recv_from(&mut buf).await.expect("first"), (3, from));
        assert_eq!(&buf, b"fir", "what does not fit is lost");
        assert_eq!(receiver.recv_from(&mut buf).await.expect("empty"), (0, from));
        assert_eq!(receiver.recv_from(&mut buf).await.expect("third"), (3, from));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn datagrams_without_bytes_fill_the_receive_buffer_too() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let _receiver = server.bind_udp(address(&server)).await.expect("free");
        let sender = client.bind_udp(address(&client)).await.expect("free");
        for _ in 0..1_000 {
            sender.send_to(b"", address(&server)).await.expect("there is a route");
        }
        wait_ms(50).await;
        let fitting = (UDP_RECEIVE_BUFFER_BYTES / UDP_DATAGRAM_OVERHEAD_BYTES) as u64;
        assert_eq!(server.udp_counters().received, fitting);
        assert_eq!(server.udp_counters().receive_buffer_errors, 1_000 - fitting);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn what_overflows_the_receive_buffer_is_dropped_and_counted() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let receiver = server.bind_udp(address(&server)).await.expect("free");
        let sender = client.bind_udp(address(&client)).await.expect("free");
        let fitting = (UDP_RECEIVE_BUFFER_BYTES / (1_000 + UDP_DATAGRAM_OVERHEAD_BYTES)) as u64;
        for _ in 0..fitting + 7 {
            sender.send_to(&[1; 1_000], address(&server)).await.expect("there is a route");
        }
        wait_ms(50).await;
        let counters =
            UdpCounters { received: fitting, receive_buffer_errors: 7, ..Default::default() };
        assert_eq!(server.udp_counters(), counters);
        assert_eq!(client.udp_counters().sent, fitting + 7);
        receiver.recv_from(&mut [0; 1_000]).await.expect("waits in the buffer");
        sender.send_to(&[1; 1_000], address(&server)).await.expect("there is a route");
        wait_ms(50).await;
        assert_eq!(server.udp_counters().received, fitting + 1);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_datagram_for_nobody_is_lost_and_counted() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let sender = client.bind_udp(address(&client)).await.expect("free");
        sender.send_to(b"x", address(&server)).await.expect("a loss is no error");
        wait_ms(50).await;
        assert_eq!(server.udp_counters(), UdpCounters { no_port: 1, ..Default::default() });
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn too_long_a_datagram_and_no_route_are_errors() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let sender = client.bind_udp(address(&client)).await.expect("free");
        let long = vec![0; MAX_DATAGRAM_BYTES + 1];
        sender.send_to(&long[1..], address(&server)).await.expect("just fits");
        let error = sender.send_to(&long, address(&server)).await.expect_err("too long");
        assert_eq!(error.raw_os_error(), Some(90));
        let nobody = ([192, 0, 2, 1], 9).into();
        let error = sender.send_to(b"x", nobody).await.expect_err("no route");
        assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
        let again = client.bind_udp(address(&client)).await.expect_err("bound");
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        drop(sender);
        client.bind_udp(address(&client)).await.expect("free again");
    });
    assert_eq!(outcome, Ok(()));
}
