//! Questions: for entropy, for the time, and for the wall clock, which is answered.

#![allow(clippy::disallowed_methods, reason = "breaks the wall to see it there")]

use std::{
    ffi::{c_long, c_void},
    ptr::null_mut,
    time::{Duration, SystemTime},
};

use rehearsal_core::env::Env;
use rehearsal_sim::{LinkConfig, World};

use super::{MONOTONIC, NONE, assert_all_caught, c, number};
use crate::guard::LIMIT;

#[test]
fn every_source_of_entropy_is_caught() {
    fn fills(fill: impl Fn(*mut c_void, usize)) {
        let mut bytes = [0_u8; 32];
        fill(bytes.as_mut_ptr().cast(), bytes.len());
        assert_ne!(bytes, [0; 32]);
    }
    assert_all_caught(&[
        // SAFETY: as many bytes as there are.
        ("getrandom", || fills(|at, len| assert_eq!(unsafe { c::getrandom(at, len, 0) }, 32))),
        // SAFETY: as above.
        ("getentropy", || fills(|at, len| assert_eq!(unsafe { c::getentropy(at, len) }, 0))),
        // SAFETY: as above.
        ("arc4random_buf", || fills(|at, len| unsafe { c::arc4random_buf(at, len) })),
        ("arc4random", || assert_ne!([0; 4].map(|_| c::arc4random()), [0; 4])),
        ("arc4random_uniform", || assert!(c::arc4random_uniform(7) < 7)),
        ("syscall(SYS_getrandom)", || {
            fills(|at, len| {
                // SAFETY: as above.
                assert_eq!(unsafe { c::syscall(number::GETRANDOM, at, len, 0 as c_long) }, 32);
            });
        }),
    ]);
}

#[test]
fn every_clock_but_the_wall_clock_is_caught() {
    assert_all_caught(&[
        ("clock_gettime", || {
            let mut time = NONE;
            // SAFETY: the time is there.
            assert_eq!(unsafe { c::clock_gettime(MONOTONIC, &mut time) }, 0);
            assert_ne!(time, NONE);
        }),
        ("syscall(SYS_clock_gettime)", || {
            let mut time = NONE;
            let clock = c_long::from(MONOTONIC);
            // SAFETY: the time is there.
            assert_eq!(unsafe { c::syscall(number::CLOCK_GETTIME, clock, &raw mut time) }, 0);
            assert_ne!(time, NONE);
        }),
        ("clock", || assert!(c::clock() > 0)),
    ]);
}

/// A way to ask for the wall clock, which gives it rounded down to a unit of `unit_ns`.
struct WallClock {
    call: &'static str,
    unit_ns: u128,
    now_ns: fn() -> u128,
}

fn seconds(seconds: i64) -> u128 {
    seconds as u128 * 1_000_000_000
}

const WALL_CLOCKS: [WallClock; 9] = [
    WallClock {
        call: "std::time::SystemTime::now",
        unit_ns: 1,
        now_ns: || {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            since.expect("after 1970").as_nanos()
        },
    },
    WallClock {
        call: "clock_gettime(CLOCK_REALTIME)",
        unit_ns: 1,
        now_ns: || {
            let mut time = NONE;
            // SAFETY: the time is there.
            assert_eq!(unsafe { c::clock_gettime(0, &mut time) }, 0);
            seconds(time[0]) + time[1] as u128
        },
    },
    WallClock {
        call: "clock_gettime(CLOCK_REALTIME_COARSE)",
        unit_ns: 1,
        now_ns: || {
            let mut time = NONE;
            // SAFETY: the time is there.
            assert_eq!(unsafe { c::clock_gettime(5, &mut time) }, 0);
            seconds(time[0]) + time[1] as u128
        },
    },
    WallClock {
        call: "gettimeofday",
        unit_ns: 1_000,
        now_ns: || {
            let mut time = NONE;
            // SAFETY: the time is there, and the zone may be null.
            assert_eq!(unsafe { c::gettimeofday(&mut time, null_mut()) }, 0);
            seconds(time[0]) + time[1] as u128 * 1_000
        },
    },
    WallClock {
        call: "time",
        unit_ns: 1_000_000_000,
        now_ns: || {
            let mut time = 0;
            // SAFETY: the time is there.
            assert_eq!(unsafe { c::time(&mut time) }, time);
            seconds(time)
        },
    },
    WallClock {
        call: "timespec_get",
        unit_ns: 1,
        now_ns: || {
            let mut time = NONE;
            // SAFETY: the time is there; 1 is UTC.
            assert_eq!(unsafe { c::timespec_get(&mut time, 1) }, 1);
            seconds(time[0]) + time[1] as u128
        },
    },
    WallClock {
        call: "syscall(SYS_clock_gettime, CLOCK_REALTIME)",
        unit_ns: 1,
        now_ns: || {
            let mut time = NONE;
            // SAFETY: the time is there.
            let answer = unsafe { c::syscall(number::CLOCK_GETTIME, 0 as c_long, &raw mut time) };
            assert_eq!(answer, 0);
            seconds(time[0]) + time[1] as u128
        },
    },
    WallClock {
        call: "syscall(SYS_gettimeofday)",
        unit_ns: 1_000,
        now_ns: || {
            let (mut time, zone) = (NONE, null_mut::<c_void>());
            // SAFETY: the time is there, and the zone may be null.
            assert_eq!(unsafe { c::syscall(number::GETTIMEOFDAY, &raw mut time, zone) }, 0);
            seconds(time[0]) + time[1] as u128 * 1_000
        },
    },
    WallClock {
        call: "syscall(SYS_time)",
        unit_ns: 1_000_000_000,
        now_ns: || match number::TIME {
            // SAFETY: null is for those who want the answer only.
            Some(number) => seconds(unsafe { c::syscall(number, null_mut::<i64>()) }),
            // This architecture has none.
            // SAFETY: as above.
            None => seconds(unsafe { c::time(null_mut()) }),
        },
    },
];

#[test]
fn every_way_to_ask_for_the_wall_clock_gives_the_worlds() {
    let mut wrong = Vec::new();
    for WallClock { call, unit_ns, now_ns } in WALL_CLOCKS {
        let mut world = World::new(1);
        let host = world.add_host("host", LinkConfig::lan());
        let seen = world.run(LIMIT, async {
            tokio::time::sleep(Duration::from_millis(1_234)).await;
            now_ns()
        });
        let seen_ns = seen.unwrap_or_else(|error| panic!("{call}: {error}"));
        let expected = host.wall_clock().duration_since(SystemTime::UNIX_EPOCH);
        let expected_ns = expected.expect("after 1970").as_nanos();
        // Outside of a run it is the real one: not of the same second.
        if seen_ns != expected_ns / unit_ns * unit_ns
            || now_ns().abs_diff(expected_ns) < 1_000_000_000
        {
            wrong.push(call);
        }
    }
    assert!(wrong.is_empty(), "another clock than the world's, or its outside: {wrong:?}");
}
