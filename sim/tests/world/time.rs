//! One time line: tokio's timers, fabric events and the limit of a run.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use crate::pair::{LIMIT, address, connected, pair, wait_ms};
use rehearsal_core::env::{Env, UdpSocket};
use rehearsal_sim::{Direction, LinkConfig, RunError, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, sleep_until},
};

#[test]
fn a_packet_takes_exactly_the_links_delay() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        let begin = Instant::now();
        near.write_all(b"x").await.expect("open");
        far.read_u8().await.expect("arrives");
        assert_eq!(begin.elapsed(), Duration::from_millis(20));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn event_times_are_exact_to_the_nanosecond_and_timers_to_the_millisecond() {
    let mut world = World::new(1);
    let odd = Direction { delay_ns: 1_234_567, ..Direction::default() };
    let client = world.add_host("client", LinkConfig::symmetric(odd));
    let server = world.add_host("server", LinkConfig::ideal());
    let outcome = world.run(LIMIT, async {
        let begin = Instant::now();
        let _listener = server.bind_tcp(address(&server)).await.expect("free");
        client.connect_tcp(address(&server)).await.expect("listens");
        assert_eq!(begin.elapsed(), Duration::from_nanos(2 * 1_234_567));
        assert_eq!(world.now(), Duration::from_nanos(2 * 1_234_567));
        sleep(Duration::from_millis(10)).await;
        assert_eq!(begin.elapsed(), Duration::from_millis(13));
        sleep(Duration::from_millis(10)).await;
        assert_eq!(begin.elapsed(), Duration::from_millis(23));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn timers_of_any_distance_fire_on_time_among_events() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        let _traffic = client.spawn(async move {
            loop {
                near.write_all(&[0; 100]).await.expect("open");
                wait_ms(3).await;
            }
        });
        let _reader =
            server.spawn(async move { while far.read(&mut [0; 7]).await.expect("open") > 0 {} });
        for ms in [1, 5, 63, 64, 65, 1_000, 4_095, 4_096, 4_097, 100_000] {
            let begin = Instant::now();
            wait_ms(ms).await;
            assert_eq!(begin.elapsed(), Duration::from_millis(ms));
        }
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_timer_and_a_packet_of_one_instant_come_in_both_orders() {
    let order = |seed| {
        let (world, client, server) = pair(seed);
        let order = Arc::new(Mutex::new(Vec::new()));
        let outcome = world.run(LIMIT, async {
            let receiver = server.bind_udp(address(&server)).await.expect("free");
            let sender = client.bind_udp(address(&client)).await.expect("free");
            sender.send_to(b"x", address(&server)).await.expect("there is a route");
            let due = Instant::now() + Duration::from_millis(20);
            let (by_packet, by_timer) = (Arc::clone(&order), Arc::clone(&order));
            let _packet = server.spawn(async move {
                receiver.recv_from(&mut [0; 9]).await.expect("arrives");
                assert_eq!(Instant::now(), due);
                by_packet.lock().expect("unbroken").push("packet");
            });
            let _timer = server.spawn(async move {
                sleep_until(due).await;
                assert_eq!(Instant::now(), due);
                by_timer.lock().expect("unbroken").push("timer");
            });
            wait_ms(100).await;
        });
        assert_eq!(outcome, Ok(()));
        let order = order.lock().expect("unbroken");
        order.clone()
    };
    let orders: Vec<_> = (0..20).map(order).collect();
    assert!(orders.contains(&vec!["packet", "timer"]), "{orders:?}");
    assert!(orders.contains(&vec!["timer", "packet"]), "{orders:?}");
}

#[test]
fn a_task_that_yields_goes_on_before_time_does() {
    let (world, _, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let socket = server.bind_udp(address(&server)).await.expect("free");
        // Arrives over loopback after 10 µs, which is before tokio's next tick.
        socket.send_to(b"x", address(&server)).await.expect("there is a route");
        let begin = Instant::now();
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!((begin.elapsed(), server.udp_counters().received), (Duration::ZERO, 0));
        socket.recv_from(&mut [0]).await.expect("arrives");
        assert_eq!(begin.elapsed(), Duration::from_micros(10));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_task_has_no_budget_that_runs_out_within_an_instant() {
    let (world, client, _) = pair(1);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let outcome = world.run(LIMIT, async {
        let _sender = client.spawn(async move {
            (0..10_000).for_each(|number| sender.send(number).expect("open"));
            wait_ms(1).await;
        });
        let begin = Instant::now();
        while receiver.recv().await.is_some_and(|number| number < 9_999) {}
        assert_eq!(begin.elapsed(), Duration::ZERO);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_run_that_waits_for_nothing_ends_at_its_limit() {
    let world = World::new(1);
    let limit = Duration::from_secs(3_600);
    assert_eq!(world.run(limit, std::future::pending::<()>()), Err(RunError::OutOfTime { limit }));
    assert_eq!(world.now(), limit);
    assert_eq!(world.run(limit, async { wait_ms(5).await }), Ok(()));
    assert_eq!(world.now(), limit + Duration::from_millis(5));
}

#[test]
fn what_is_due_at_the_limit_still_happens() {
    let world = World::new(1);
    let second = Duration::from_secs(1);
    assert_eq!(world.run(second, async { sleep(second).await }), Ok(()));
}

#[test]
fn a_task_that_spins_ends_the_run() {
    let (world, client, _) = pair(1);
    let _spinning = client.spawn(async {
        wait_ms(7).await;
        loop {
            tokio::task::yield_now().await;
        }
    });
    let error = world.run(LIMIT, std::future::pending::<()>()).expect_err("spins");
    let at = Duration::from_millis(7);
    assert_eq!(error, RunError::TooManyPolls { at, who: "client".into() });
}

#[test]
fn wall_clocks_start_in_2026_and_follow_virtual_time() {
    let (world, client, _) = pair(1);
    let outcome = world.run(LIMIT, async {
        wait_ms(1_500).await;
        client.wall_clock()
    });
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    assert_eq!(outcome, Ok(start + Duration::from_millis(1_500)));
}
