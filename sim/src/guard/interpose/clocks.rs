//! Clocks. The wall clock of a watched thread is its host's; any other question is a breach.

use std::{
    ffi::{c_int, c_long, c_void},
    mem::transmute,
    ptr::null_mut,
    sync::atomic::{AtomicPtr, Ordering},
};

use super::{
    super::{
        Breach,
        kernel::{
            CLOCK_PROCESS_CPUTIME, CLOCK_REALTIME, CLOCK_REALTIME_COARSE, EINVAL, Timespec,
            Timeval, call, fail, number,
        },
        note, wall_clock,
    },
    next,
};

/// What a watched thread's first question for a monotonic time is told, in seconds: long past, so
/// that the kernel makes nobody wait for a deadline that was reckoned from it.
const SERVED_TIME_SECS: u64 = 1;

pub(super) const fn asks_time(call: &'static str) -> Breach {
    Breach { call, instead: "tokio::time::Instant" }
}

type ClockGettime = unsafe extern "C" fn(c_int, *mut Timespec) -> c_int;

/// The C library's own `clock_gettime`, once [`find_clock`] found it. It reads the clock without a
/// system call, which a run of many short instants is 20 % faster with: tokio's loop times itself.
static NEXT_CLOCK_GETTIME: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Looks for the C library's own clock. Not done in a call for the time, which may come from
/// anywhere.
pub(in super::super) fn find_clock() {
    NEXT_CLOCK_GETTIME.store(next(c"clock_gettime"), Ordering::Relaxed);
}

/// The time: of the kernel, of the world, or served; the error is one of the kernel's.
pub(super) fn time_of(clock_id: c_int, breach: Breach) -> Result<Timespec, c_int> {
    let mut time = Timespec::default();
    if matches!(clock_id, CLOCK_REALTIME | CLOCK_REALTIME_COARSE)
        && let Some((seconds, nanoseconds)) = wall_clock()
    {
        return Ok(Timespec { seconds, nanoseconds: nanoseconds.into() });
    }
    if let Some(served) = note(breach) {
        time.seconds = (SERVED_TIME_SECS + served / 1000) as i64;
        time.nanoseconds = (served % 1000 * 1_000_000) as i64;
        return Ok(time);
    }
    let next = NEXT_CLOCK_GETTIME.load(Ordering::Relaxed);
    if !next.is_null() {
        // SAFETY: a function of this name has this type; `time` is there for the call.
        return match unsafe { transmute::<*mut c_void, ClockGettime>(next)(clock_id, &mut time) } {
            0 => Ok(time),
            _ => Err(EINVAL), // the one error of a call with a good pointer
        };
    }
    let pointer = (&raw mut time) as c_long;
    // SAFETY: `time` is the kernel's structure, and is there for the call.
    match unsafe { call(number::CLOCK_GETTIME, [clock_id.into(), pointer, 0, 0, 0, 0]) } {
        0 => Ok(time),
        error => Err(-error as c_int),
    }
}

/// # Safety
/// `time` may be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock_id: c_int, time: *mut Timespec) -> c_int {
    match time_of(clock_id, asks_time("clock_gettime")) {
        Ok(now) => {
            // SAFETY: the caller's promise.
            unsafe { time.write(now) };
            0
        }
        Err(error) => fail(error) as c_int,
    }
}

/// # Safety
/// `time` is null or may be written to. The time zone, obsolete, stays as it is.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn gettimeofday(time: *mut Timeval, _zone: *mut c_void) -> c_int {
    match time_of(CLOCK_REALTIME, asks_time("gettimeofday")) {
        Ok(now) => {
            let now = Timeval { seconds: now.seconds, microseconds: now.nanoseconds / 1000 };
            if !time.is_null() {
                // SAFETY: the caller's promise.
                unsafe { time.write(now) };
            }
            0
        }
        Err(error) => fail(error) as c_int,
    }
}

/// # Safety
/// `seconds` is null or may be written to.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn time(seconds: *mut i64) -> i64 {
    let now = time_of(CLOCK_REALTIME, asks_time("time")).unwrap_or_default().seconds;
    if !seconds.is_null() {
        // SAFETY: the caller's promise.
        unsafe { seconds.write(now) };
    }
    now
}

/// # Safety
/// `time` may be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn timespec_get(time: *mut Timespec, base: c_int) -> c_int {
    const TIME_UTC: c_int = 1;
    match time_of(CLOCK_REALTIME, asks_time("timespec_get")) {
        Ok(now) if base == TIME_UTC => {
            // SAFETY: the caller's promise.
            unsafe { time.write(now) };
            base
        }
        _ => 0,
    }
}

/// Processor time in microseconds.
#[unsafe(no_mangle)]
extern "C" fn clock() -> c_long {
    let used = time_of(CLOCK_PROCESS_CPUTIME, asks_time("clock")).unwrap_or_default();
    used.seconds * 1_000_000 + used.nanoseconds / 1000
}
