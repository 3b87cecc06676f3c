//! Each function that the guard stands in front of, called by its C name, and each system call that it knows by its number.
//!
//! The calls hand over pointers to what they own, or null where the function takes null.

mod asks;
mod resources;
mod waits;

use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

use crate::guard::caught;

/// The kernel's `timespec` and `timeval`: seconds, and parts of one.
type Time = [i64; 2];

const NONE: Time = [0, 0];
static MILLISECOND: Time = [0, 1_000_000];

mod c {
    use super::*;

    unsafe extern "C" {
        pub safe fn arc4random() -> u32;
        pub safe fn arc4random_uniform(bound: u32) -> u32;
        pub fn arc4random_buf(buffer: *mut c_void, len_bytes: usize);
        pub fn getentropy(buffer: *mut c_void, len_bytes: usize) -> c_int;
        pub fn getrandom(buffer: *mut c_void, len_bytes: usize, flags: c_uint) -> isize;

        pub safe fn clock() -> c_long;
        pub fn clock_gettime(clock: c_int, time: *mut Time) -> c_int;
        pub fn gettimeofday(time: *mut Time, zone: *mut c_void) -> c_int;
        pub fn time(seconds: *mut i64) -> i64;
        pub fn timespec_get(time: *mut Time, base: c_int) -> c_int;

        pub fn clock_nanosleep(c: c_int, flags: c_int, time: *const Time, rest: *mut Time)
        -> c_int;
        pub fn nanosleep(time: *const Time, rest: *mut Time) -> c_int;
        pub safe fn sleep(seconds: c_uint) -> c_uint;
        pub safe fn usleep(microseconds: c_uint) -> c_int;

        pub fn poll(fds: *mut c_void, count: c_ulong, timeout_ms: c_int) -> c_int;
        pub fn ppoll(fds: *mut c_void, count: c_ulong, t: *const Time, set: *const c_void)
        -> c_int;
        pub fn select(
            count: c_int,
            read: *mut c_void,
            write: *mut c_void,
            except: *mut c_void,
            timeout: *mut Time,
        ) -> c_int;
        pub fn pselect(
            count: c_int,
            read: *mut c_void,
            write: *mut c_void,
            except: *mut c_void,
            timeout: *const Time,
            signals: *const c_void,
        ) -> c_int;
        pub safe fn epoll_create1(flags: c_int) -> c_int;
        pub fn epoll_wait(epoll: c_int, events: *mut c_void, count: c_int, ms: c_int) -> c_int;
        pub fn epoll_pwait(
            epoll: c_int,
            events: *mut c_void,
            count: c_int,
            ms: c_int,
            signals: *const c_void,
        ) -> c_int;

        pub safe fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
        pub fn open(path: *const c_char, flags: c_int, ...) -> c_int;
        pub fn open64(path: *const c_char, flags: c_int, ...) -> c_int;
        pub fn openat(folder: c_int, path: *const c_char, flags: c_int, ...) -> c_int;
        pub fn openat64(folder: c_int, path: *const c_char, flags: c_int, ...) -> c_int;
        pub safe fn close(descriptor: c_int) -> c_int;
        pub safe fn fork() -> c_int;
        pub safe fn _exit(status: c_int) -> !;
        pub fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
        pub fn posix_spawn(
            id: *mut c_int,
            program: *const c_char,
            actions: *const c_void,
            attributes: *const c_void,
            words: *const *const c_char,
            environment: *const *const c_char,
        ) -> c_int;
        pub fn posix_spawnp(
            id: *mut c_int,
            program: *const c_char,
            actions: *const c_void,
            attributes: *const c_void,
            words: *const *const c_char,
            environment: *const *const c_char,
        ) -> c_int;

        pub fn syscall(number: c_long, ...) -> c_long;
    }
}

/// Numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod number {
    use std::ffi::c_long;

    pub const NANOSLEEP: c_long = 35;
    pub const SOCKET: c_long = 41;
    pub const GETTIMEOFDAY: c_long = 96;
    pub const TIME: Option<c_long> = Some(201);
    pub const FUTEX: c_long = 202;
    pub const CLOCK_GETTIME: c_long = 228;
    pub const CLOCK_NANOSLEEP: c_long = 230;
    pub const GETRANDOM: c_long = 318;
}

/// Numbers of system calls.
#[cfg(target_arch = "aarch64")]
mod number {
    use std::ffi::c_long;

    pub const NANOSLEEP: c_long = 101;
    pub const SOCKET: c_long = 198;
    pub const GETTIMEOFDAY: c_long = 169;
    pub const TIME: Option<c_long> = None;
    pub const FUTEX: c_long = 98;
    pub const CLOCK_GETTIME: c_long = 113;
    pub const CLOCK_NANOSLEEP: c_long = 115;
    pub const GETRANDOM: c_long = 278;
}

const MONOTONIC: c_int = 1;

/// Does each call outside of a run, where it must do what it is for, and in one, where it must be caught as what it is.
fn assert_all_caught(calls: &[(&'static str, fn())]) {
    let missed: Vec<_> = calls
        .iter()
        .filter_map(|(call, what)| {
            what();
            let seen = caught(*what);
            (seen != Some(call)).then_some((*call, seen))
        })
        .collect();
    assert!(missed.is_empty(), "not caught, or as another call: {missed:?}");
}
