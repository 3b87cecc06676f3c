//! For whom blocks are allocated, and how much each holds.
//!
//! Each block remembers the scope it was allocated in, so a free is credited to the scope that paid, wherever it
//! happens.
//!
//! Counters belong to a thread: tests that run side by side do not see each other. A block freed on another thread than
//! it was allocated on is credited to the freeing thread; a simulation has one thread, so that this does not happen in a
//! run.

use std::{
    cell::Cell,
    future::poll_fn,
    marker::PhantomData,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
};

/// On whose account an allocation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// Everything outside a simulation, such as a test itself. On real sockets, the process around the gateway.
    Other = 0,
    /// The simulation: sockets, links, events, the task table.
    Sim = 1,
    /// The gateway.
    Gateway = 2,
    /// The clients that use the gateway.
    Client = 3,
}

const SCOPES: usize = 4;

/// What a scope holds and has asked for, on the calling thread, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blocks allocated and not freed.
    pub live_blocks: i64,
    /// Bytes allocated and not freed, as asked for: without the header that the allocator adds.
    pub live_bytes: i64,
    /// Most that `live_bytes` ever was, or has been since [`reset_peak`].
    pub peak_bytes: i64,
    /// Allocations ever made; a reallocation is one.
    pub allocations: u64,
}

impl Usage {
    const NOTHING: Self = Self { live_blocks: 0, live_bytes: 0, peak_bytes: 0, allocations: 0 };
}

thread_local! {
    static CURRENT: Cell<u8> = const { Cell::new(Scope::Other as u8) };
    static USAGE: [Cell<Usage>; SCOPES] = const {
        [const { Cell::new(Usage::NOTHING) }; SCOPES]
    };
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Restores the scope that was current before [`enter`] when dropped.
#[derive(Debug)]
#[must_use = "the scope ends when the guard is dropped"]
pub struct Guard {
    before: u8,
    // The scope belongs to the thread that entered it.
    _not_send: PhantomData<*const ()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Makes `scope` the one that the calling thread allocates in, until the guard is dropped.
pub fn enter(scope: Scope) -> Guard {
    Guard { before: CURRENT.replace(scope as u8), _not_send: PhantomData }
}

/// Runs `future` so that what its polls allocate is in `scope`, whichever thread polls it.
pub async fn charge_to<F: Future>(scope: Scope, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _scope = enter(scope);
        future.as_mut().poll(cx)
    })
    .await
}

/// The scope that the calling thread allocates in.
pub fn current() -> Scope {
    match CURRENT.get() {
        1 => Scope::Sim,
        2 => Scope::Gateway,
        3 => Scope::Client,
        _ => Scope::Other,
    }
}

/// The number of the scope that the calling thread allocates in.
pub(crate) fn current_number() -> u8 {
    CURRENT.get()
}

/// What `scope` holds, on the calling thread. All zero unless [`is_counting`].
pub fn usage(scope: Scope) -> Usage {
    USAGE.with(|usage| usage[scope as usize].get())
}

/// Has the peak of `scope` start anew from what it holds, on the calling thread.
pub fn reset_peak(scope: Scope) {
    USAGE.with(|usage| {
        let cell = &usage[scope as usize];
        let now = cell.get();
        cell.set(Usage { peak_bytes: now.live_bytes, ..now });
    });
}

/// Whether [`CountingAllocator`](crate::CountingAllocator) is this process's global allocator.
pub fn is_counting() -> bool {
    INSTALLED.load(Ordering::Relaxed)
}

/// The allocator is this process's.
pub(crate) fn is_installed() {
    if !is_counting() {
        INSTALLED.store(true, Ordering::Relaxed);
    }
}

/// Charges the scope of this number.
pub(crate) fn charge(scope: u8, blocks: i64, bytes: i64, allocations: u64) {
    USAGE.with(|usage| {
        let cell = &usage[usize::from(scope)];
        let mut now = cell.get();
        now.live_blocks += blocks;
        now.live_bytes += bytes;
        now.peak_bytes = now.peak_bytes.max(now.live_bytes);
        now.allocations += allocations;
        cell.set(now);
    });
}
