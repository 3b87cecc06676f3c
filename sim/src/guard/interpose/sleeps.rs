//! Sleeps.

use std::{
    ffi::{c_int, c_long, c_uint},
    ptr::null_mut,
};

use super::super::{
    Breach,
    kernel::{CLOCK_REALTIME, Timespec, call, fail, number},
    note,
};

pub(super) const fn asks_sleep(call: &'static str) -> Breach {
    Breach { call, instead: "tokio::time::sleep" }
}

/// Sleeps as the kernel does, or not at all. Gives the kernel's error number, or 0.
///
/// # Safety
/// `request` may be read, `rest` is null or may be written to.
unsafe fn sleep_for(
    clock_id: c_int,
    flags: c_int,
    request: *const Timespec,
    rest: *mut Timespec,
    breach: Breach,
) -> c_int {
    if note(breach).is_some() {
        return 0;
    }
    let arguments = [clock_id.into(), flags.into(), request as c_long, rest as c_long, 0, 0];
    // SAFETY: the caller's promise.
    -unsafe { call(number::CLOCK_NANOSLEEP, arguments) } as c_int
}

/// # Safety
/// `request` may be read, `rest` is null or may be written to.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn clock_nanosleep(
    clock_id: c_int,
    flags: c_int,
    request: *const Timespec,
    rest: *mut Timespec,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { sleep_for(clock_id, flags, request, rest, asks_sleep("clock_nanosleep")) }
}

/// # Safety
/// `request` may be read, `rest` is null or may be written to.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn nanosleep(request: *const Timespec, rest: *mut Timespec) -> c_int {
    // SAFETY: the caller's promise.
    match unsafe { sleep_for(CLOCK_REALTIME, 0, request, rest, asks_sleep("nanosleep")) } {
        0 => 0,
        error => fail(error) as c_int,
    }
}

#[unsafe(no_mangle)]
extern "C" fn usleep(microseconds: c_uint) -> c_int {
    let seconds = (microseconds / 1_000_000).into();
    let request = Timespec { seconds, nanoseconds: (microseconds % 1_000_000 * 1000).into() };
    let nowhere = null_mut();
    // SAFETY: `request` is there for the call; nothing is written.
    match unsafe { sleep_for(CLOCK_REALTIME, 0, &request, nowhere, asks_sleep("usleep")) } {
        0 => 0,
        error => fail(error) as c_int,
    }
}

/// Gives the seconds that a signal cut off.
#[unsafe(no_mangle)]
extern "C" fn sleep(seconds: c_uint) -> c_uint {
    let request = Timespec { seconds: seconds.into(), nanoseconds: 0 };
    let mut rest = Timespec::default();
    // SAFETY: both are there for the call.
    match unsafe { sleep_for(CLOCK_REALTIME, 0, &request, &mut rest, asks_sleep("sleep")) } {
        0 => 0,
        _ => rest.seconds as c_uint,
    }
}
