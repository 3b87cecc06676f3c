//! The wall between a run and the real world: real clocks, entropy, sleeps, threads, sockets, files and
//! processes are not to be had on the thread that runs a world.
//!
//! A binary that links this crate gets its own `clock_gettime`, `getrandom` and kin
//! (`interpose`) in front of the system library's. They go on to the kernel, unless the
//! calling thread is inside of [`World::run`](crate::World::run), where tasks, fabric and main are
//! polled (tokio's own loop between polls times itself). There, the first such call ends
//! the run with [`RunError::RealWorld`](crate::RunError::RealWorld), which names the call, who made it and what to use
//! instead. A library's call cannot be refused without crashing it, so that it is served something
//! fixed first. `RUST_BACKTRACE=1` prints where the call came from.
//!
//! One question is harmless and has an answer: the wall clock is that of the host whose task asks, as
//! `Env::wall_clock` says it, steps included; main, which runs on no host, sees the world's. hyper asks at every
//! poll of a connection, for a header that it was told to leave out.
//!
//! The standard library's `RandomState` asks for entropy once a thread and counts on from there, so
//! a `HashMap` made in a run would ask nothing. The guard counts them instead.
//!
//! Out of its reach, and left to clippy's bans and to the comparison of two processes:
//!
//! - instructions (`rdtsc`, `rdrand`), and system calls that go past the C library;
//! - what the C library does inside of itself: waits of `pthread_cond_timedwait`, `sem_timedwait` and
//!   `sigtimedwait`, files of `fopen` and `opendir`, processes of `system` and `popen`;
//! - functions that have no wall: what is asked of or done to a path without opening it (`stat`, `rename`, `unlink`,
//!   `mkdir`), descriptors that tell the time (`timerfd`), and reading and writing those that were open
//!   before the run. By number (`syscall`) only clocks, entropy, sleeps, sockets and waits on a futex are seen;
//! - waits without a deadline for another thread: a lock, a channel;
//! - addresses, the process id, the environment, and hash maps that were made before the run;
//! - files that a panic opens, for its backtrace.
//!
//! There is a guard on Linux with glibc, on x86-64 and AArch64; elsewhere [`STANDS`] is false.

#[cfg(guarded)]
mod interpose;
#[cfg(guarded)]
mod kernel;

use std::{cell::Cell, marker::PhantomData, sync::OnceLock};

#[cfg(guarded)]
use crate::env::WALL_CLOCK_START;
use crate::executor::HostId;

/// Whether this build has a guard.
pub const STANDS: bool = cfg!(guarded);

/// A call that left the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Name of the function that was called.
    pub call: &'static str,
    /// What to use instead.
    pub instead: &'static str,
}

const HASH_SEED: Breach = Breach {
    call: "std::hash::RandomState::new",
    instead: "a BTreeMap, or a hasher with fixed keys: this one orders differently in every process",
};

/// What the guard knows of its thread. Plain cells without a destructor: an allocator, or the
/// destructor of another thread-local, may ask for the time, too.
struct Watched {
    is_on: Cell<bool>,
    /// Virtual time since the world began.
    now_ns: Cell<u64>,
    /// Whose task is polled; `None` is the main future.
    host: Cell<Option<HostId>>,
    /// How far its wall clock was set forward.
    step_ms: Cell<i64>,
    first: Cell<Option<Breach>>,
    /// Calls served so far, from which what is served next is made.
    served: Cell<u64>,
    /// How many `RandomState`s this thread had made when it was last looked at.
    hash_seeds: Cell<u64>,
}

thread_local! {
    static WATCHED: Watched = const {
        Watched {
            is_on: Cell::new(false),
            now_ns: Cell::new(0),
            host: Cell::new(None),
            step_ms: Cell::new(0),
            first: Cell::new(None),
            served: Cell::new(0),
            hash_seeds: Cell::new(0),
        }
    };
}

/// Watches the calling thread until it is dropped.
#[derive(Debug)]
#[must_use = "the guard stands until this is dropped"]
pub(crate) struct Watch {
    // The watch is on the thread that entered it.
    _not_send: PhantomData<*const ()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.with(|watched| watched.is_on.set(false));
    }
}

/// Watches the calling thread from now on.
///
/// # Panics
/// When the guard is blind: the system library was linked in front of it, or `RandomState` changed.
pub(crate) fn enter() -> Watch {
    static IS_PROVEN: OnceLock<bool> = OnceLock::new();
    let is_proven = IS_PROVEN.get_or_init(|| {
        #[cfg(guarded)]
        interpose::find_clock();
        !STANDS || sees_a_breach()
    });
    assert!(is_proven, "the guard does not see the standard library's clock or RandomState");
    // Read here, because a breach must not allocate; after the proof, which nobody wants to see.
    SHOWS_BACKTRACES
        .get_or_init(|| std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0"));
    start()
}

fn start() -> Watch {
    // The first on a thread asks for entropy, which is no breach yet.
    let hash_seeds = hash_seeds();
    WATCHED.with(|watched| {
        assert!(!watched.is_on.get(), "a thread runs one world at a time");
        watched.first.set(None);
        watched.served.set(0);
        watched.hash_seeds.set(hash_seeds);
        watched.is_on.set(STANDS);
    });
    Watch { _not_send: PhantomData }
}

/// Sets the time that the calling thread's wall clock shows while it is watched.
pub(crate) fn set_time(since_start_ns: u64) {
    WATCHED.with(|watched| watched.now_ns.set(since_start_ns));
}

/// Says whose task the calling thread polls next, and how far that host's wall clock was set forward.
pub(crate) fn set_host(host: Option<HostId>, step_ms: i64) {
    WATCHED.with(|watched| {
        watched.host.set(host);
        watched.step_ms.set(step_ms);
    });
}

/// The host whose task is being polled on this thread; `None` is the main future.
pub(crate) fn host() -> Option<HostId> {
    WATCHED.with(|watched| watched.host.get())
}

/// The wall clock of `host` was set, maybe by a task of its own.
pub(crate) fn on_wall_clock_step(host: HostId, step_ms: i64) {
    WATCHED.with(|watched| {
        if watched.host.get() == Some(host) {
            watched.step_ms.set(step_ms);
        }
    });
}

/// The wall clock that the calling thread's host shows, when the thread is watched: seconds since 1970, which
/// may be below zero, and the nanoseconds beyond.
#[cfg(guarded)]
fn wall_clock() -> Option<(i64, u32)> {
    const SECOND_NS: i128 = 1_000_000_000;
    WATCHED.with(|watched| {
        let step_ns = i128::from(watched.step_ms.get()) * 1_000_000;
        let since_start_ns = i128::from(watched.now_ns.get()) + step_ns;
        let now_ns = WALL_CLOCK_START.as_nanos() as i128 + since_start_ns;
        let parts = (now_ns.div_euclid(SECOND_NS) as i64, now_ns.rem_euclid(SECOND_NS) as u32);
        watched.is_on.get().then_some(parts)
    })
}

/// Whether the standard library's clock and a new `RandomState` are seen, and nothing else is.
#[allow(clippy::disallowed_methods, reason = "breaks the wall to see that it is there")]
fn sees_a_breach() -> bool {
    let seen = |break_it: fn()| {
        let _watch = start();
        break_it();
        breach().map(|breach| breach.call)
    };
    let clock = seen(|| {
        let _ = std::time::Instant::now();
    });
    let hash = seen(|| {
        hash_seeds();
    });
    seen(|| {}).is_none() && clock == Some("clock_gettime") && hash == Some(HASH_SEED.call)
}

/// The first breach since the calling thread entered. To be asked after every poll, so
/// that it is known whose it was.
pub(crate) fn breach() -> Option<Breach> {
    WATCHED.with(|watched| {
        if watched.first.get().is_none() && watched.is_on.get() {
            let (before, now) = (watched.hash_seeds.get(), hash_seeds());
            watched.hash_seeds.set(now);
            if now != before.wrapping_add(1) {
                watched.first.set(Some(HASH_SEED));
            }
        }
        watched.first.get()
    })
}

/// A number that grows by one with every `RandomState` that the calling thread makes; asking
/// makes one.
#[allow(clippy::disallowed_types, reason = "counts them; hashes nothing")]
fn hash_seeds() -> u64 {
    use std::hash::RandomState;
    // SAFETY: sizes are equal or this does not compile, so it is two integers without padding.
    // That they are a counter and a constant, in whatever order, is proven by `sees_a_breach`.
    let [one, other] = unsafe { std::mem::transmute::<RandomState, [u64; 2]>(RandomState::new()) };
    one.wrapping_add(other)
}

/// Whether breaches print a backtrace.
static SHOWS_BACKTRACES: OnceLock<bool> = OnceLock::new();

/// Notes a breach when the calling thread is watched: `Some` is the number of the call in this
/// run, from 1, and the call is to be served something that depends on nothing else.
#[cfg(guarded)]
fn note(breach: Breach) -> Option<u64> {
    WATCHED.with(|watched| {
        if !watched.is_on.get() {
            return None;
        }
        let served = watched.served.get() + 1;
        watched.served.set(served);
        if watched.first.get().is_none() {
            watched.first.set(Some(breach));
            if SHOWS_BACKTRACES.get() == Some(&true) {
                print_backtrace(watched, breach);
            }
        }
        Some(served)
    })
}

/// As a panic would. This allocates, which only somebody who asked for it has to live with.
#[cfg(guarded)]
#[cold]
fn print_backtrace(watched: &Watched, breach: Breach) {
    watched.is_on.set(false);
    let backtrace = std::backtrace::Backtrace::force_capture();
    eprintln!("a run called {}:\n{backtrace}", breach.call);
    watched.hash_seeds.set(hash_seeds());
    watched.is_on.set(true);
}
