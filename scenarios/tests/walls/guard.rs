//! The guard: what asks the real world in a run fails it, by name; the same is free to ask outside of one.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "breaks the wall to see it there"
)]

use std::{
    collections::HashMap,
    hash::RandomState,
    sync::{Condvar, Mutex},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rehearsal_core::env::Env;
use rehearsal_sim::{GUARD_STANDS, LinkConfig, RunError, SimEnv, World};
use tokio::time::sleep;

pub const LIMIT: Duration = Duration::from_secs(60);

/// Runs a world in which a task of host "guilty" does `what` after three seconds, beside an innocent one.
pub fn run_with(what: impl FnOnce() + Send + 'static) -> Result<(), RunError> {
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

/// The call that fails a run in which a task does `what`.
pub fn caught(what: impl FnOnce() + Send + 'static) -> Option<&'static str> {
    match run_with(what) {
        Ok(()) => None,
        Err(RunError::RealWorld { breach, .. }) => Some(breach.call),
        Err(error) => panic!("{error}"),
    }
}

/// Does `what` outside of a run, where it must pass, and in one, where it must fail the run as a call of `call`.
pub fn assert_caught(call: &str, what: fn()) {
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
}

#[test]
fn a_loop_until_a_deadline_of_the_real_clock_ends_and_is_caught() {
    assert_caught("clock_gettime", || {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(20) {}
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

#[test]
fn a_host_whose_wall_clock_steps_sees_it_and_no_other_does() {
    let mut world = World::new(1);
    let [stepped, other] = ["stepped", "other"].map(|name| world.add_host(name, LinkConfig::lan()));
    let task = |host: &SimEnv, steps_ms: Vec<i64>| {
        let env = host.clone();
        host.spawn(async move {
            for step_ms in steps_ms {
                assert_eq!(SystemTime::now(), env.wall_clock());
                // At once, in the same poll.
                env.step_wall_clock(step_ms);
                assert_eq!(SystemTime::now(), env.wall_clock());
                sleep(Duration::from_millis(10)).await;
            }
        })
    };
    let outcome = world.run(LIMIT, async {
        let main_before = SystemTime::now();
        // An hour on, a century back (which is before 1970), and a little on again.
        let _stepped = task(&stepped, vec![3_600_000, -3_155_760_000_000, 1]);
        let _other = task(&other, vec![0; 3]);
        sleep(Duration::from_secs(1)).await;
        // By main, which has no clock of its own.
        stepped.step_wall_clock(5);
        let _again = task(&stepped, vec![0]);
        sleep(Duration::from_secs(1)).await;
        assert!(stepped.wall_clock() < SystemTime::UNIX_EPOCH);
        assert_eq!(SystemTime::now(), main_before + Duration::from_secs(2));
        assert_eq!(SystemTime::now(), other.wall_clock());
    });
    assert_eq!(outcome, Ok(()));
}
