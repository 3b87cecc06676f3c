//! The counting allocator, which this binary installs: whose memory is whose.

use std::{
    alloc::{Layout, alloc, dealloc, realloc},
    future::pending,
};

use crate::pair::{LIMIT, connected, pair, wait_ms};
use rehearsal_core::env::Env;
use rehearsal_sim::heap::{self, Scope, Usage};
use tokio::io::AsyncWriteExt;

/// What `scope` gained since `before`.
fn gained(scope: Scope, before: Usage) -> (i64, i64) {
    let now = heap::usage(scope);
    (now.live_blocks - before.live_blocks, now.live_bytes - before.live_bytes)
}

#[test]
fn a_free_is_credited_to_the_scope_that_allocated() {
    let before = heap::usage(Scope::Gateway);
    let block = {
        let _scope = heap::enter(Scope::Gateway);
        vec![0_u8; 1_000]
    };
    assert!(heap::is_counting());
    assert_eq!(gained(Scope::Gateway, before), (1, 1_000));
    let _scope = heap::enter(Scope::Client);
    drop(block);
    assert_eq!(gained(Scope::Gateway, before), (0, 0));
}

#[test]
fn a_peak_stays_until_it_is_reset() {
    let block = |bytes: usize| {
        let _scope = heap::enter(Scope::Gateway);
        vec![0_u8; bytes]
    };
    heap::reset_peak(Scope::Gateway);
    let before = heap::usage(Scope::Gateway);
    assert_eq!(before.peak_bytes, before.live_bytes);
    let stays = block(1_000);
    drop(block(50_000));
    let mut grows = block(10);
    grows.reserve_exact(3_000);
    drop(grows);
    let after = heap::usage(Scope::Gateway);
    assert_eq!(after.live_bytes, before.live_bytes + 1_000);
    assert_eq!(after.peak_bytes, before.live_bytes + 51_000);
    heap::reset_peak(Scope::Gateway);
    assert_eq!(heap::usage(Scope::Gateway).peak_bytes, after.live_bytes);
    drop(stays);
    assert_eq!(heap::usage(Scope::Gateway).peak_bytes, after.live_bytes);
}

#[test]
fn growing_keeps_content_owner_and_alignment() {
    let before = heap::usage(Scope::Gateway);
    for align in [1, 8, 16, 64, 4_096] {
        let layout = Layout::from_size_align(100, align).expect("a valid layout");
        // SAFETY: the block is used within its size, and freed by the layout it last had.
        unsafe {
            let guard = heap::enter(Scope::Gateway);
            let block = alloc(layout);
            drop(guard);
            block.write_bytes(7, 100);
            let block = realloc(block, layout, 10_000);
            assert_eq!(block.addr() % align, 0);
            assert!((0..100).all(|index| block.add(index).read() == 7));
            assert_eq!(gained(Scope::Gateway, before), (1, 10_000));
            dealloc(block, Layout::from_size_align(10_000, align).expect("a valid layout"));
        }
        assert_eq!(gained(Scope::Gateway, before), (0, 0));
    }
}

#[test]
fn a_hosts_tasks_pay_for_themselves_and_the_simulation_for_its_sockets() {
    let (world, client, server) = pair(1);
    server.set_heap_scope(Scope::Gateway);
    let gateway = heap::usage(Scope::Gateway);
    let outcome = world.run(LIMIT, async {
        let (mut near, far) = connected(&client, &server).await;
        let task = server.spawn(async move {
            let _far = far;
            let _own = vec![0_u8; 50_000];
            pending::<()>().await;
        });
        wait_ms(1).await;
        let (blocks, bytes) = gained(Scope::Gateway, gateway);
        assert!(blocks == 2 && (50_000..51_000).contains(&bytes), "{blocks} blocks, {bytes} bytes");
        let sim = heap::usage(Scope::Sim);
        near.write_all(&[0; 100_000]).await.expect("fits into the buffers");
        wait_ms(50).await;
        let (_, bytes) = gained(Scope::Sim, sim);
        assert!(bytes > 100_000, "{bytes} bytes in the socket's receive queue");
        drop(task);
        assert_eq!(gained(Scope::Gateway, gateway), (0, 0));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn who_ends_tasks_does_not_pay_for_the_simulations_tables() {
    let (world, _client, server) = pair(1);
    server.set_heap_scope(Scope::Gateway);
    let before = heap::usage(Scope::Gateway);
    let outcome = world.run(LIMIT, async {
        let env = server.clone();
        let task = server.spawn(async move {
            let tasks: Vec<_> = (0..100).map(|_| env.spawn(pending())).collect();
            drop(tasks);
            pending::<()>().await;
        });
        wait_ms(1).await;
        assert_eq!(gained(Scope::Gateway, before).0, 1, "its own future and nothing else");
        drop(task);
        assert_eq!(gained(Scope::Gateway, before), (0, 0));
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_world_gives_everything_back() {
    let visit = || {
        let (world, client, server) = pair(1);
        let outcome = world.run(LIMIT, async {
            let (mut near, _far) = connected(&client, &server).await;
            near.write_all(b"hello").await.expect("open");
            let _task = client.spawn(pending());
            wait_ms(50).await;
        });
        assert_eq!(outcome, Ok(()));
    };
    visit();
    let before = heap::usage(Scope::Sim);
    visit();
    assert_eq!(gained(Scope::Sim, before), (0, 0));
}
