//! Levers of a host that its programs notice: freeze, NAT, descriptors, ports, clocks.

use std::{io, time::Duration};

use crate::pair::{LIMIT, address, connected, pair, wait_ms};
use rehearsal_core::env::{Env, TcpListener, UdpSocket};
use rehearsal_sim::{DiskConfig, LinkConfig, RECEIVE_BUFFER_BYTES, SimEnv, trace::TraceEvent};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

const EMFILE: Option<i32> = Some(24);

#[test]
fn a_frozen_hosts_kernel_acknowledges_until_its_buffer_is_full_and_a_thaw_goes_on() {
    let (world, client, server) = pair(1);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        let _reader = server.spawn(async move {
            let mut buf = vec![0; 1 << 16];
            while let Ok(read @ 1..) = far.read(&mut buf).await {
                sender.send(read).expect("the test listens");
            }
        });
        wait_ms(10).await;
        server.set_frozen(true);
        near.write_all(&vec![1; RECEIVE_BUFFER_BYTES + 10_000]).await.expect("fits");
        sleep(Duration::from_secs(100)).await;
        assert_eq!(server.netstat().rows[0].rx_queue, RECEIVE_BUFFER_BYTES);
        assert_eq!(client.netstat().rows[0].tx_queue, 10_000);
        assert!(receiver.try_recv().is_err(), "nothing runs there");
        server.set_frozen(false);
        let mut read = 0;
        while read < RECEIVE_BUFFER_BYTES + 10_000 {
            read += receiver.recv().await.expect("goes on");
        }
        near.write_all(b"x").await.expect("open");
        assert_eq!(receiver.recv().await, Some(1));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_nat_that_binds_anew_ends_connections_and_moves_datagrams_to_another_port() {
    let (world, client, server) = pair(1);
    client.rebind_nat();
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = {
            let mut listener = server.bind_tcp(address(&server)).await.expect("free");
            let near = client.connect_tcp(address(&server)).await.expect("listens");
            let (far, peer) = listener.accept().await.expect("connected");
            assert_eq!(peer.ip(), client.ip());
            assert_ne!(peer.port(), near.local_addr().port(), "the outer port is another");
            (near, far)
        };
        let receiver = server.bind_udp(address(&server)).await.expect("free");
        let sender = client.bind_udp(address(&client)).await.expect("free");
        let mut sources = Vec::new();
        for _ in 0..2 {
            sender.send_to(b"x", address(&server)).await.expect("there is a route");
            sources.push(receiver.recv_from(&mut [0]).await.expect("arrives").1);
            receiver.send_to(b"y", sources[0]).await.expect("there is a route");
            let answer = timeout(Duration::from_secs(1), sender.recv_from(&mut [0])).await;
            assert_eq!(answer.is_ok(), sources.len() == 1, "only the new port leads back");
            client.rebind_nat();
        }
        assert_ne!(sources[0], sources[1]);
        // From the client the server gets segments of nobody, and answers RST.
        near.write_all(b"x").await.expect("nobody knows yet");
        let error = near.read_u8().await.expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        // From the server nothing gets through.
        far.write_all(b"y").await.expect("nobody knows yet");
        wait_ms(5_000).await;
        assert_eq!(server.netstat().rows[0].tx_queue, 1);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn without_a_descriptor_nothing_opens_and_a_connection_stays_in_the_queue() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        server.set_descriptor_limit(Some(1));
        let mut near = client.connect_tcp(address(&server)).await.expect("the kernel answers");
        near.write_all(b"x").await.expect("open");
        wait_ms(100).await;
        let any = ([0, 0, 0, 0], 0).into();
        let errors = [
            listener.accept().await.map(drop).expect_err("no descriptor"),
            server.bind_tcp(any).await.map(drop).expect_err("no descriptor"),
            server.bind_udp(any).await.map(drop).expect_err("no descriptor"),
            server.connect_tcp(address(&client)).await.map(drop).expect_err("no descriptor"),
        ];
        assert_eq!(errors.map(|error| error.raw_os_error()), [EMFILE; 4]);
        server.set_descriptor_limit(Some(2));
        let (mut far, _) = listener.accept().await.expect("waited in the queue");
        assert_eq!(far.read_u8().await.expect("has arrived"), b'x');
        server.bind_udp(any).await.map(drop).expect_err("that was the last one");
        drop(far);
        server.bind_udp(any).await.expect("a descriptor is free again");
        server.set_descriptor_limit(None);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn connections_that_die_in_the_queue_fail_accept_and_are_reset() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        server.fail_accepts(1);
        let mut first = client.connect_tcp(address(&server)).await.expect("listens");
        let error = listener.accept().await.expect_err("died");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        let error = first.read_u8().await.expect_err("was told");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        client.connect_tcp(address(&server)).await.expect("listens");
        listener.accept().await.expect("the next one is well");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn without_an_ephemeral_port_connect_and_bind_fail_until_one_is_free() {
    let (world, client, server) = pair(1);
    client.set_ephemeral_ports(40_000..=40_001);
    let outcome = world.run(LIMIT, async {
        let _listener = server.bind_tcp(address(&server)).await.expect("free");
        let first = client.connect_tcp(address(&server)).await.expect("a port is left");
        let second = client.connect_tcp(address(&server)).await.expect("a port is left");
        assert_eq!((first.local_addr().port(), second.local_addr().port()), (40_000, 40_001));
        let error = client.connect_tcp(address(&server)).await.expect_err("no port");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        let any = ([0, 0, 0, 0], 0).into();
        let error = client.bind_tcp(any).await.expect_err("no port");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        client.set_ephemeral_ports(40_001..=40_002);
        assert_eq!(client.bind_tcp(any).await.expect("a port").local_addr().port(), 40_002);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_partition_one_way_lets_the_other_way_through() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        client.set_partition_to(&server, true);
        far.write_all(b"heard").await.expect("open");
        near.read_exact(&mut [0; 5]).await.expect("arrives");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(server.netstat().rows[0].tx_queue, 5, "the acknowledgment does not");
        client.set_partition_to(&server, false);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(server.netstat().rows[0].tx_queue, 0);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_wall_clock_steps_and_durations_do_not() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (wall, begin) = (client.wall_clock(), Instant::now());
        client.step_wall_clock(-3_600_000);
        wait_ms(1_000).await;
        assert_eq!(begin.elapsed(), Duration::from_secs(1));
        let back = wall.duration_since(client.wall_clock()).expect("an hour back");
        assert_eq!(back, Duration::from_secs(3_599));
        client.step_wall_clock(3_600_000 + 5);
        assert_eq!(client.wall_clock(), server.wall_clock() + Duration::from_millis(5));
    });
    assert_eq!(outcome, Ok(()));
}

/// Pulls a lever of the first host; the second is another one.
type Pull = fn(&SimEnv, &SimEnv);

/// Every lever of a host, and what the trace says of it.
const LEVERS: [(&str, Pull); 24] = [
    ("link is LinkConfig", |host, _| host.set_link(LinkConfig::lan())),
    ("black hole begins", |host, _| host.set_black_hole(true)),
    ("black hole ends", |host, _| host.set_black_hole(false)),
    ("cannot reach server", |host, other| host.set_partition_to(other, true)),
    ("can reach server", |host, other| host.set_partition_to(other, false)),
    ("NAT binds anew", |host, _| host.rebind_nat()),
    ("freezes", |host, _| host.set_frozen(true)),
    ("thaws", |host, _| host.set_frozen(false)),
    ("resets its connections", |host, _| host.reset_connections()),
    ("descriptor limit Some(9)", |host, _| host.set_descriptor_limit(Some(9))),
    ("the next 2 accepts fail", |host, _| host.fail_accepts(2)),
    ("ephemeral ports 5..=9", |host, _| host.set_ephemeral_ports(5..=9)),
    ("reads and writes move Some(7) bytes", |host, _| host.set_short_io(Some(7))),
    ("wall clock steps by -3 ms", |host, _| host.step_wall_clock(-3)),
    ("disk is DiskConfig { capacity_bytes: 0, latency_ns: 5000000", |host, _| {
        host.set_disk(DiskConfig::hard_disk());
    }),
    ("folder /srv is made", |host, _| host.create_folder("/srv")),
    ("/srv/film is put there, 3 bytes", |host, _| host.write_file("/srv/film", vec![1; 3])),
    ("/srv/film is cut or grown to 2 bytes", |host, _| host.truncate_file("/srv/film", 2)),
    ("/srv/film is removed", |host, _| host.remove_file("/srv/film")),
    ("what was not synced is lost", |host, _| host.lose_unsynced()),
    ("its tasks end", |host, _| host.end_tasks()),
    ("crashes", |host, _| host.crash()),
    ("restarts", |host, _| host.restart()),
    ("descriptor limit None", |host, _| host.set_descriptor_limit(None)),
];

#[test]
fn each_use_of_a_lever_is_in_the_trace() {
    let (world, client, server) = pair(1);
    world.trace(|trace| trace.keep_all(100));
    let missed: Vec<_> = LEVERS
        .iter()
        .filter(|(told, pull)| {
            let faults = |world: &rehearsal_sim::World| -> Vec<String> {
                let of_client = |event: &TraceEvent| match event {
                    TraceEvent::Fault { who, what } if who == "client" => Some(what.clone()),
                    _ => None,
                };
                world
                    .trace(|trace| trace.kept().filter_map(|kept| of_client(&kept.event)).collect())
            };
            let before = faults(&world).len();
            pull(&client, &server);
            let new = faults(&world).split_off(before);
            !matches!(&new[..], [what] if what.starts_with(told))
        })
        .map(|(told, _)| told)
        .collect();
    assert!(missed.is_empty(), "not in the trace, or not once: {missed:?}");
}
