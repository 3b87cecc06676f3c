//! Sleeps, and waits for descriptors.

#![allow(clippy::disallowed_methods, reason = "looks how long a wait takes")]

use std::{
    ffi::{c_int, c_long, c_void},
    ptr::{null, null_mut},
    time::{Duration, Instant},
};

use super::{MILLISECOND, MONOTONIC, NONE, Time, assert_all_caught, c, number};
use crate::guard::{assert_caught, caught, run_with};

#[test]
fn every_sleep_is_caught() {
    assert_all_caught(&[
        // SAFETY: the time is there, and the rest may be null.
        ("nanosleep", || assert_eq!(unsafe { c::nanosleep(&MILLISECOND, null_mut()) }, 0)),
        ("clock_nanosleep", || {
            // SAFETY: as above.
            let error = unsafe { c::clock_nanosleep(MONOTONIC, 0, &MILLISECOND, null_mut()) };
            assert_eq!(error, 0);
        }),
        ("usleep", || assert_eq!(c::usleep(1_000), 0)),
        ("sleep", || assert_eq!(c::sleep(0), 0)),
        ("nanosleep", || {
            let rest = null_mut::<Time>();
            // SAFETY: as above.
            let answer = unsafe { c::syscall(number::NANOSLEEP, &raw const MILLISECOND, rest) };
            assert_eq!(answer, 0);
        }),
        ("clock_nanosleep", || {
            let (clock, flags, rest) = (c_long::from(MONOTONIC), 0 as c_long, null_mut::<Time>());
            let time = &raw const MILLISECOND;
            // SAFETY: as above.
            let answer = unsafe { c::syscall(number::CLOCK_NANOSLEEP, clock, flags, time, rest) };
            assert_eq!(answer, 0);
        }),
    ]);
}

#[test]
fn a_wait_with_a_deadline_is_caught_without_a_question_for_the_time() {
    assert_caught("syscall(SYS_futex), a wait with a deadline", || {
        const WAIT_PRIVATE: c_long = 128;
        let (word, timeout) = (0_u32, &raw const MILLISECOND);
        // SAFETY: the kernel reads the word and the timeout.
        let answer = unsafe {
            c::syscall(number::FUTEX, &raw const word, WAIT_PRIVATE, 0 as c_long, timeout)
        };
        assert_eq!(answer, -1);
        let error = std::io::Error::last_os_error();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    });
}

/// Does `wait` with the descriptor of an epoll instance, on which nothing happens.
fn with_epoll(wait: impl Fn(c_int, *mut c_void)) {
    let epoll = c::epoll_create1(0);
    assert!(epoll >= 0);
    wait(epoll, [0_u64; 2].as_mut_ptr().cast());
    assert_eq!(c::close(epoll), 0);
}

/// Waits for nothing, for so many seconds and a little.
type Wait = fn(u16);

/// Every wait for descriptors.
const WAITS: [(&str, Wait); 6] = [
    // SAFETY: no descriptors.
    ("poll", |seconds| assert_eq!(unsafe { c::poll(null_mut(), 0, ms(seconds)) }, 0)),
    ("ppoll", |seconds| {
        let time = [seconds.into(), 1];
        // SAFETY: no descriptors; the time is there, and signals may be null.
        assert_eq!(unsafe { c::ppoll(null_mut(), 0, &time, null()) }, 0);
        assert_eq!(time, [seconds.into(), 1], "the caller's own");
    }),
    ("select", |seconds| {
        let (mut time, none) = ([seconds.into(), 1_000], null_mut());
        // SAFETY: as above.
        assert_eq!(unsafe { c::select(0, none, none, none, &mut time) }, 0);
        assert_eq!(time, NONE, "none is left");
    }),
    ("pselect", |seconds| {
        let (time, none) = ([seconds.into(), 1], null_mut());
        // SAFETY: as above.
        assert_eq!(unsafe { c::pselect(0, none, none, none, &time, null()) }, 0);
        assert_eq!(time, [seconds.into(), 1], "the caller's own");
    }),
    ("epoll_wait", |seconds| {
        // SAFETY: room for one event.
        with_epoll(|fd, to| assert_eq!(unsafe { c::epoll_wait(fd, to, 1, ms(seconds)) }, 0));
    }),
    ("epoll_pwait", |seconds| {
        // SAFETY: room for one event; signals may be null.
        let wait = |fd, to| unsafe { c::epoll_pwait(fd, to, 1, ms(seconds), null()) };
        with_epoll(|fd, to| assert_eq!(wait(fd, to), 0));
    }),
];

/// So long a wait is told from none, however busy the machine is.
const WAIT_SECONDS: u16 = 10;

/// At least one millisecond.
fn ms(seconds: u16) -> c_int {
    (c_int::from(seconds) * 1_000).max(1)
}

#[test]
fn every_wait_for_descriptors_is_caught_and_over_at_once() {
    let missed: Vec<_> = WAITS
        .iter()
        .filter(|(call, wait)| {
            wait(0);
            let begin = Instant::now();
            let seen = caught(move || wait(WAIT_SECONDS));
            seen != Some(*call) || begin.elapsed() >= Duration::from_secs(WAIT_SECONDS.into())
        })
        .map(|(call, _)| call)
        .collect();
    assert!(missed.is_empty(), "not caught, or waited: {missed:?}");
}

#[test]
fn a_wait_without_a_deadline_is_caught_when_it_is_over() {
    // Bytes lie in the pipe.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut writer, b"x").expect("room");
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&reader);
    const READABLE: u64 = 1;
    let waits = move |timeout_ms| {
        let mut fds = [u64::from(descriptor as u32) | READABLE << 32];
        // SAFETY: one `pollfd`: an int and two shorts.
        assert_eq!(unsafe { c::poll(fds.as_mut_ptr().cast(), 1, timeout_ms) }, 1);
        assert_eq!(fds[0] >> 48, READABLE);
    };
    waits(-1);
    assert_eq!(caught(move || waits(-1)), Some("poll"));
    assert_eq!(run_with(move || waits(0)), Ok(()), "to ask what is ready is no wait");
}

#[test]
fn a_wait_lasts_as_long_as_it_is_told_outside_of_a_run() {
    let begin = Instant::now();
    // SAFETY: no descriptors.
    assert_eq!(unsafe { c::poll(null_mut(), 0, 20) }, 0);
    let (mut time, none) = ([0, 20_000], null_mut());
    // SAFETY: no descriptors; the time is there.
    assert_eq!(unsafe { c::select(0, none, none, none, &mut time) }, 0);
    with_epoll(|fd, to| {
        // SAFETY: room for one event.
        assert_eq!(unsafe { c::epoll_wait(fd, to, 1, 20) }, 0);
    });
    assert!(begin.elapsed() >= Duration::from_millis(60), "{:?}", begin.elapsed());
    // Beyond a second of microseconds, as the C library takes it; 1 below zero it does not.
    let mut time = [-1, 0];
    // SAFETY: no descriptors; the time is there.
    assert_eq!(unsafe { c::select(0, none, none, none, &mut time) }, -1);
    let mut time = [0, 1_000_001];
    // SAFETY: as above.
    assert_eq!(unsafe { c::select(0, none, none, none, &mut time) }, 0);
}
