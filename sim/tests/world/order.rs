//! The seed fixes a run, and only the seed does.

use std::{
    future::{pending, poll_fn},
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use crate::pair::{LIMIT, address, pair, wait_ms};
use rehearsal_core::env::{Env, TcpListener, UdpSocket};
use rehearsal_sim::{LinkConfig, SimEnv, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Eight clients of an echo server; returns the hash and what was noted, in order.
fn run(seed: u64) -> (u64, Vec<String>) {
    let mut world = World::new(seed);
    let server = world.add_host("server", LinkConfig::datacentre());
    let clients: Vec<SimEnv> =
        (0..8).map(|index| world.add_host(&format!("client{index}"), LinkConfig::dsl())).collect();
    let outcome = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        let host = server.clone();
        let _server = server.spawn(async move {
            let mut sessions = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect("accepts");
                sessions.push(host.spawn(async move {
                    let (mut read, mut write) = tokio::io::split(&mut stream);
                    tokio::io::copy(&mut read, &mut write).await.expect("echoes");
                }));
            }
        });
        let target = address(&server);
        let _clients: Vec<_> = clients
            .iter()
            .map(|client| {
                let env = client.clone();
                client.spawn(async move {
                    let mut stream = env.connect_tcp(target).await.expect("listens");
                    let mut number = [0];
                    env.fill_random(&mut number);
                    stream.write_all(&number).await.expect("open");
                    stream.read_exact(&mut number).await.expect("echoes");
                    env.note("echoed");
                })
            })
            .collect();
        wait_ms(1_000).await;
    });
    assert_eq!(outcome, Ok(()));
    world.trace(|trace| {
        assert_eq!(trace.counts().notes, 8);
        (trace.hash(), trace.notes().iter().map(|note| note.who.clone()).collect())
    })
}

#[test]
fn one_seed_is_one_run() {
    assert_eq!(run(7), run(7));
}

#[test]
fn seeds_differ_in_hash_and_order() {
    let ((hash_7, order_7), (hash_8, order_8)) = (run(7), run(8));
    assert_ne!(hash_7, hash_8);
    assert_ne!(order_7, order_8);
}

#[test]
fn the_order_of_ready_tasks_is_the_seeds() {
    let order = |seed| {
        let (world, client, _) = pair(seed);
        let order = Arc::new(Mutex::new(Vec::new()));
        let _tasks: Vec<_> = (0..6)
            .map(|number| {
                let order = Arc::clone(&order);
                client.spawn(async move { order.lock().expect("unbroken").push(number) })
            })
            .collect();
        assert_eq!(world.run(LIMIT, async { wait_ms(1).await }), Ok(()));
        (world.trace(|trace| trace.hash()), order.lock().expect("unbroken").clone())
    };
    assert_eq!(order(1), order(1));
    let (mut orders, mut hashes): (Vec<_>, Vec<_>) = (0..20).map(order).map(|o| (o.1, o.0)).unzip();
    orders.sort();
    orders.dedup();
    assert!(orders.len() > 15, "{orders:?}");
    hashes.sort_unstable();
    hashes.dedup();
    // Not the same number: where the main future came among the tasks is in the hash as well.
    assert!(hashes.len() >= orders.len(), "the order of polls is in the hash");
}

#[test]
fn what_one_instant_wakes_runs_in_every_order() {
    // The two datagrams arrive at the same nanosecond, off tokio's ticks.
    let order = |seed| {
        let (world, _, server) = pair(seed);
        let order = Arc::new(Mutex::new(Vec::new()));
        let outcome = world.run(LIMIT, async {
            let mut tasks = Vec::new();
            for port in [5060, 5062] {
                let socket = server.bind_udp(([0, 0, 0, 0], port).into()).await.expect("free");
                socket.send_to(b"x", (server.ip(), port).into()).await.expect("there is a route");
                let order = Arc::clone(&order);
                tasks.push(server.spawn(async move {
                    socket.recv_from(&mut [0]).await.expect("arrives");
                    order.lock().expect("unbroken").push(port);
                }));
            }
            wait_ms(1).await;
        });
        assert_eq!(outcome, Ok(()));
        order.lock().expect("unbroken").clone()
    };
    let orders: Vec<Vec<u16>> = (0..20).map(order).collect();
    assert!(orders.contains(&vec![5060, 5062]), "{orders:?}");
    assert!(orders.contains(&vec![5062, 5060]), "{orders:?}");
}

#[test]
fn dropping_the_handle_ends_the_task_and_drops_its_future() {
    let (world, client, _) = pair(1);
    let alive = Arc::new(());
    let inside = Arc::clone(&alive);
    let outcome = world.run(LIMIT, async {
        let task = client.spawn(async move {
            let _inside = inside;
            pending::<()>().await;
        });
        wait_ms(1).await;
        assert_eq!((client.task_count(), Arc::strong_count(&alive)), (1, 2));
        drop(task);
        assert_eq!((client.task_count(), Arc::strong_count(&alive)), (0, 1));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_task_may_end_itself_and_others_while_it_is_polled() {
    let (world, client, _) = pair(1);
    let alive = Arc::new(());
    let (inside, others) = (Arc::clone(&alive), Arc::clone(&alive));
    let own: Arc<Mutex<Vec<_>>> = Arc::default();
    let handles = Arc::clone(&own);
    let outcome = world.run(LIMIT, async {
        let other = client.spawn(async move {
            let _others = others;
            pending::<()>().await;
        });
        let task = client.spawn(poll_fn(move |_| {
            let _ = &inside;
            handles.lock().expect("unbroken").clear();
            Poll::Pending
        }));
        own.lock().expect("unbroken").extend([other, task]);
        wait_ms(1).await;
        assert_eq!((client.task_count(), Arc::strong_count(&alive)), (0, 1));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn ending_a_hosts_tasks_closes_their_sockets_and_spares_other_hosts() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let mut listener = server.bind_tcp(address(&server)).await.expect("free");
        let (env, target) = (client.clone(), address(&server));
        let _task = client.spawn(async move {
            let _stream = env.connect_tcp(target).await.expect("listens");
            pending::<()>().await;
        });
        let (mut far, _) = listener.accept().await.expect("connected");
        let _spared = server.spawn(pending());
        wait_ms(50).await;
        client.end_tasks();
        assert_eq!((client.task_count(), server.task_count()), (0, 1));
        assert_eq!(far.read(&mut [0]).await.expect("closed in order"), 0);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn dropping_the_world_leaves_no_task() {
    let (world, client, server) = pair(1);
    let alive = Arc::new(());
    let inside = Arc::clone(&alive);
    let (env, target) = (client.clone(), address(&server));
    let task = client.spawn(async move {
        let _inside = inside;
        let _listener = env.bind_tcp(address(&env)).await.expect("free");
        let _attempt = env.connect_tcp(target).await;
        tokio::time::sleep(Duration::from_secs(1_000)).await;
    });
    assert_eq!(world.run(LIMIT, async { wait_ms(100).await }), Ok(()));
    assert_eq!((client.task_count(), Arc::strong_count(&alive)), (1, 2));
    drop(world);
    assert_eq!((client.task_count(), Arc::strong_count(&alive)), (0, 1));
    assert_eq!(client.netstat().rows, []);
    drop(task);
}

#[test]
#[should_panic(expected = "a task's own words")]
fn a_panic_in_a_task_fails_the_run() {
    let (world, client, _) = pair(1);
    let _task = client.spawn(async { panic!("a task's own words") });
    let _ = world.run(LIMIT, pending::<()>());
}
