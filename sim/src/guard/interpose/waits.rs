//! Waits for descriptors. One that asks what is ready, and does not wait, is no breach.

use std::{
    ffi::{c_int, c_long, c_ulong, c_void},
    ptr::{null, null_mut},
};

use super::super::{
    Breach,
    kernel::{EINVAL, SIGNAL_SET_BYTES, Timespec, Timeval, answer_or_errno, call, fail, number},
    note,
};

const fn asks_wait(call: &'static str) -> Breach {
    Breach { call, instead: "the network of Env, or tokio::time::timeout" }
}

/// How long a wait may last, in milliseconds as `poll` has them; below zero, for ever. A breach with a deadline does
/// not wait; one without goes on, for nothing that it could be told ends a loop around it.
fn limit_ms(timeout_ms: c_int, breach: Breach) -> c_int {
    let is_breach = timeout_ms != 0 && note(breach).is_some();
    if is_breach && timeout_ms > 0 { 0 } else { timeout_ms }
}

/// The same for a timeout that is null when there is no deadline.
fn limit(timeout: Option<Timespec>, breach: Breach) -> Option<Timespec> {
    let waits = timeout != Some(Timespec::default());
    let is_breach = waits && note(breach).is_some();
    timeout.map(|timeout| if is_breach { Timespec::default() } else { timeout })
}

/// The kernel writes to a timeout, which is the caller's own in some of these functions only.
fn pointer_to(timeout: &mut Option<Timespec>) -> c_long {
    timeout.as_mut().map_or(null_mut(), |timeout| timeout as *mut Timespec) as c_long
}

/// # Safety
/// `fds` are `count` structures that may be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn poll(fds: *mut c_void, count: c_ulong, timeout_ms: c_int) -> c_int {
    let timeout_ms = limit_ms(timeout_ms, asks_wait("poll"));
    let mut timeout = (timeout_ms >= 0).then(|| Timespec {
        seconds: (timeout_ms / 1000).into(),
        nanoseconds: (timeout_ms % 1000 * 1_000_000).into(),
    });
    // SAFETY: the caller's promise; no signals are named.
    unsafe { kernel_poll(fds, count, &mut timeout, null()) }
}

/// # Safety
/// `fds` are `count` structures that may be written to; `timeout` and `signals` are null or may be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn ppoll(
    fds: *mut c_void,
    count: c_ulong,
    timeout: *const Timespec,
    signals: *const c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let mut timeout = limit(unsafe { timeout.as_ref() }.copied(), asks_wait("ppoll"));
    // SAFETY: the caller's promise.
    unsafe { kernel_poll(fds, count, &mut timeout, signals) }
}

/// # Safety
/// As for `ppoll`.
unsafe fn kernel_poll(
    fds: *mut c_void,
    count: c_ulong,
    timeout: &mut Option<Timespec>,
    signals: *const c_void,
) -> c_int {
    let timeout = pointer_to(timeout);
    let arguments =
        [fds as c_long, count as c_long, timeout, signals as c_long, SIGNAL_SET_BYTES, 0];
    // SAFETY: the caller's promise; the timeout is there for the call.
    answer_or_errno(unsafe { call(number::PPOLL, arguments) }) as c_int
}

/// # Safety
/// The sets have room for `count` descriptors, or are null; `timeout` is null or may be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn select(
    count: c_int,
    read: *mut c_void,
    write: *mut c_void,
    except: *mut c_void,
    timeout: *mut Timeval,
) -> c_int {
    // SAFETY: the caller's promise.
    let asked = unsafe { timeout.as_ref() }.copied();
    if asked.is_some_and(|asked| asked.seconds < 0 || asked.microseconds < 0) {
        return fail(EINVAL) as c_int;
    }
    let asked = asked.map(|Timeval { seconds, microseconds }| Timespec {
        seconds: seconds.saturating_add(microseconds / 1_000_000),
        nanoseconds: microseconds % 1_000_000 * 1000,
    });
    let mut left = limit(asked, asks_wait("select"));
    // SAFETY: the caller's promise; no signals are named.
    let answer = unsafe { kernel_select(count, [read, write, except], &mut left, null()) };
    if let Some(Timespec { seconds, nanoseconds }) = left {
        // Linux tells how much of the time is left.
        // SAFETY: the caller's promise; it is not null, because there was a time.
        unsafe { timeout.write(Timeval { seconds, microseconds: nanoseconds / 1000 }) };
    }
    answer
}

/// # Safety
/// As for `select`; `timeout` and `signals` are null or may be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pselect(
    count: c_int,
    read: *mut c_void,
    write: *mut c_void,
    except: *mut c_void,
    timeout: *const Timespec,
    signals: *const c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let mut timeout = limit(unsafe { timeout.as_ref() }.copied(), asks_wait("pselect"));
    // SAFETY: the caller's promise.
    unsafe { kernel_select(count, [read, write, except], &mut timeout, signals) }
}

/// # Safety
/// As for `pselect`.
unsafe fn kernel_select(
    count: c_int,
    [read, write, except]: [*mut c_void; 3],
    timeout: &mut Option<Timespec>,
    signals: *const c_void,
) -> c_int {
    let signals = [signals as c_long, SIGNAL_SET_BYTES];
    let (timeout, signals) = (pointer_to(timeout), signals.as_ptr() as c_long);
    let arguments =
        [count.into(), read as c_long, write as c_long, except as c_long, timeout, signals];
    // SAFETY: the caller's promise; timeout and signals are there for the call.
    answer_or_errno(unsafe { call(number::PSELECT6, arguments) }) as c_int
}

/// # Safety
/// `events` has room for `count` structures.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut c_void,
    count: c_int,
    timeout_ms: c_int,
) -> c_int {
    let timeout_ms = limit_ms(timeout_ms, asks_wait("epoll_wait"));
    // SAFETY: the caller's promise; no signals are named.
    unsafe { kernel_epoll(epoll, events, count, timeout_ms, null()) }
}

/// # Safety
/// `events` has room for `count` structures; `signals` is null or may be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_pwait(
    epoll: c_int,
    events: *mut c_void,
    count: c_int,
    timeout_ms: c_int,
    signals: *const c_void,
) -> c_int {
    let timeout_ms = limit_ms(timeout_ms, asks_wait("epoll_pwait"));
    // SAFETY: the caller's promise.
    unsafe { kernel_epoll(epoll, events, count, timeout_ms, signals) }
}

/// # Safety
/// As for `epoll_pwait`.
unsafe fn kernel_epoll(
    epoll: c_int,
    events: *mut c_void,
    count: c_int,
    timeout_ms: c_int,
    signals: *const c_void,
) -> c_int {
    let (count, timeout_ms) = (count.into(), timeout_ms.into());
    let arguments =
        [epoll.into(), events as c_long, count, timeout_ms, signals as c_long, SIGNAL_SET_BYTES];
    // SAFETY: the caller's promise.
    answer_or_errno(unsafe { call(number::EPOLL_PWAIT, arguments) }) as c_int
}
