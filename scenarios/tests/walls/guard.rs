//! The guard: what asks the real world in a run fails it, by name; the same is free to ask outside of one.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "breaks the wall to see it there"
)]

use std::{
    collections::HashMap,
    ffi::{c_int, c_long, c_uint, c_void},
    hash::RandomState,
    sync::{Condvar, Mutex},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rehearsal_core::env::Env;
use rehearsal_sim::{GUARD_STANDS, LinkConfig, RunError, World};
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_secs(60);

unsafe extern "C" {
    fn getentropy(buffer: *mut c_void, len_bytes: usize) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn usleep(microseconds: c_uint) -> c_int;
}

/// Runs a world in which a task of host "guilty" does `what` after three seconds, beside an innocent one.
fn run_with(what: impl FnOnce() + Send + 'static) -> Result<(), RunError> {
    let mut world = World::new(1);
    let guilty = world.add_host("guilty", LinkConfig::lan());
    let innocent = world.add_host("innocent", LinkConfig::lan());
    world.run(LIMIT, async {
        let _other = innocent.spawn(async {
            loop {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let _task = guilty.spawn(async {
            sleep(Duration::from_secs(3)).await;
            what();
        });
        sleep(Duration::from_secs(10)).await;
    })
}

/// Does `what` outside of a run, where it must pass, and in one, where it must fail the run as a call of `call`.
fn assert_caught(call: &str, what: fn()) {
    const { assert!(GUARD_STANDS) };
    what();
    let error = run_with(what).expect_err(call);
    let RunError::RealWorld { breach, at, who } = &error else { panic!("{call}: {error}") };
    assert_eq!(breach.call, call);
    assert_eq!((*at, who.as_str()), (Duration::from_secs(3), "guilty"), "{call}");
    let text = error.to_string();
    assert!(text.contains(call) && text.contains(breach.instead), "{text}");
    // The thread is free again.
    what();
}

#[test]
fn a_run_that_asks_nothing_passes() {
    assert_eq!(run_with(|| {}), Ok(()));
}

#[test]
fn clocks_are_caught() {
    assert_caught("clock_gettime", || {
        let _ = Instant::now();
    });
    assert_caught("clock_gettime", || {
        let _ = Instant::now().elapsed();
    });
    // Clock 1 is the monotonic one; 228 and 113 are clock_gettime.
    assert_caught("syscall(SYS_clock_gettime)", || {
        let number = if cfg!(target_arch = "x86_64") { 228 } else { 113 };
        let mut time = [0_i64; 2];
        // SAFETY: the kernel writes two 64-bit integers.
        assert_eq!(unsafe { syscall(number, 1 as c_long, time.as_mut_ptr()) }, 0);
    });
}

#[test]
fn a_loop_until_a_deadline_of_the_real_clock_ends_and_is_caught() {
    assert_caught("clock_gettime", || {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(20) {}
    });
}

#[test]
fn entropy_is_caught() {
    assert_caught("getentropy", || {
        let mut bytes = [0_u8; 16];
        // SAFETY: as many bytes as there are.
        assert_eq!(unsafe { getentropy(bytes.as_mut_ptr().cast(), bytes.len()) }, 0);
        assert_ne!(bytes, [0; 16]);
    });
    assert_caught("syscall(SYS_getrandom)", || {
        let number = if cfg!(target_arch = "x86_64") { 318 } else { 278 };
        let mut bytes = [0_u8; 16];
        // SAFETY: as many bytes as there are.
        let filled = unsafe { syscall(number, bytes.as_mut_ptr(), bytes.len(), 0 as c_long) };
        assert_eq!(filled, 16);
        assert_ne!(bytes, [0; 16]);
    });
}

#[test]
fn the_gateways_own_source_of_entropy_is_caught() {
    // Through the crate getrandom, which looks the function up by name.
    assert_caught("getrandom", || {
        let mut bytes = [0_u8; 16];
        rehearsal_core::env::Os.fill_random(&mut bytes);
        assert_ne!(bytes, [0; 16]);
    });
}

#[test]
fn a_hash_map_is_caught_though_its_thread_has_its_entropy_already() {
    assert_caught("std::hash::RandomState::new", || drop(RandomState::new()));
    assert_caught("std::hash::RandomState::new", || drop(HashMap::from([(1, 2)])));
}

#[test]
fn a_hash_map_is_caught_on_a_thread_that_had_none_before() {
    thread::spawn(|| assert!(run_with(|| drop(RandomState::new())).is_err()))
        .join()
        .expect("caught");
}

#[test]
fn real_sleeps_are_caught_and_over_at_once() {
    assert_caught("clock_nanosleep", || thread::sleep(Duration::from_millis(1)));
    // SAFETY: a number only.
    assert_caught("usleep", || assert_eq!(unsafe { usleep(1000) }, 0));
    // The standard library asks when the deadline is.
    assert_caught("clock_gettime", || {
        let lock = Mutex::new(());
        let guard = lock.lock().expect("nobody else");
        drop(Condvar::new().wait_timeout(guard, Duration::from_millis(1)));
    });
    let begin = Instant::now();
    assert!(run_with(|| thread::sleep(Duration::from_secs(3600))).is_err());
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_wait_with_a_deadline_is_caught_without_a_question_for_the_time() {
    assert_caught("syscall(SYS_futex), a wait with a deadline", || {
        let number: c_long = if cfg!(target_arch = "x86_64") { 202 } else { 98 };
        const WAIT_PRIVATE: c_long = 128;
        let (word, timeout) = (0_u32, [0_i64, 1_000_000]);
        // SAFETY: the kernel reads the word and the two integers of the timeout.
        let answer = unsafe {
            syscall(number, &raw const word, WAIT_PRIVATE, 0 as c_long, &raw const timeout)
        };
        assert_eq!(answer, -1);
        let error = std::io::Error::last_os_error();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    });
}

#[test]
fn threads_and_sockets_are_caught() {
    assert_caught("pthread_create", || drop(thread::Builder::new().spawn(|| {})));
    assert_caught("socket", || drop(std::net::UdpSocket::bind("127.0.0.1:0")));
}

#[test]
fn main_is_watched_too_even_in_its_last_poll() {
    let world = World::new(1);
    let outcome = world.run(LIMIT, async { Instant::now() });
    let Err(RunError::RealWorld { breach, who, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((breach.call, who.as_str()), ("clock_gettime", "main"));
    let outcome = world.run(LIMIT, async { RandomState::new() });
    assert!(matches!(outcome, Err(RunError::RealWorld { .. })));
}

#[test]
fn a_panic_in_a_run_leaves_its_thread_free() {
    let panics = || drop(run_with(|| panic!("as meant")));
    std::panic::catch_unwind(panics).expect_err("the task's panic");
    let times = [0; 2].map(|_| {
        thread::sleep(Duration::from_millis(2));
        Instant::now()
    });
    assert!(times[1] - times[0] >= Duration::from_millis(2), "the real clock again");
    assert_eq!(run_with(|| {}), Ok(()));
}

#[test]
fn other_threads_go_on_with_the_real_clock_while_a_world_runs() {
    let (begun, wait_until_begun) = std::sync::mpsc::channel();
    let (asked, wait_until_asked) = std::sync::mpsc::channel();
    let other = thread::spawn(move || {
        wait_until_begun.recv().expect("the run begins");
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let before = Instant::now();
        thread::sleep(Duration::from_millis(2));
        let slept = before.elapsed();
        drop(RandomState::new());
        asked.send(()).expect("the run waits");
        (wall, slept)
    });
    let outcome = run_with(move || {
        begun.send(()).expect("the thread waits");
        // Without a deadline: this is no question for the time.
        wait_until_asked.recv().expect("the thread asks");
    });
    assert_eq!(outcome, Ok(()));
    let (_wall, slept) = other.join().expect("no panic");
    assert!(slept >= Duration::from_millis(2));
}

/// What a task of the one host of a world sees of the wall clock after `wait`: through std, and through Env.
fn wall_clocks_after(wait: Duration) -> (SystemTime, SystemTime) {
    let mut world = World::new(1);
    let host = world.add_host("host", LinkConfig::lan());
    let seen = world.run(LIMIT, async {
        sleep(wait).await;
        (SystemTime::now(), host.wall_clock())
    });
    seen.expect("the wall clock is no breach")
}

#[test]
fn the_wall_clock_is_the_worlds() {
    let wait = Duration::from_millis(1_234);
    let (std, env) = wall_clocks_after(wait);
    assert_eq!(std, env);
    assert_eq!(wall_clocks_after(wait), (std, env));
    assert_ne!(wall_clocks_after(2 * wait).0, std);
    assert_ne!(SystemTime::now(), std);
}
