//! The door to system calls by number.

use std::ffi::{c_int, c_long, c_uint};

use super::{
    super::{
        kernel::{ETIMEDOUT, Timespec, answer_or_errno, call, fail, number},
        note,
    },
    clocks::{asks_time, gettimeofday, time, time_of},
    entropy::{asks_entropy, random_to},
    resources::socket,
    sleeps::{asks_sleep, clock_nanosleep, nanosleep},
};

/// The C library's door to system calls by number, which those use who cannot count on a function.
///
/// Variadic in C; on these architectures arguments come in the same registers either way.
///
/// # Safety
/// As for the system call.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    which: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    match which {
        number::GETRANDOM => {
            let (buffer, len_bytes, flags) = (a as *mut u8, b as usize, c as c_uint);
            let breach = asks_entropy("syscall(SYS_getrandom)");
            // SAFETY: the caller's promise.
            match unsafe { random_to(buffer, len_bytes, flags, breach) } {
                Ok(filled) => filled as c_long,
                Err(error) => fail(error),
            }
        }
        number::CLOCK_GETTIME => {
            match time_of(a as c_int, asks_time("syscall(SYS_clock_gettime)")) {
                Ok(now) => {
                    // SAFETY: the caller's promise.
                    unsafe { (b as *mut Timespec).write(now) };
                    0
                }
                Err(error) => fail(error),
            }
        }
        // SAFETY: the caller's promise.
        number::GETTIMEOFDAY => unsafe { gettimeofday(a as _, b as _) }.into(),
        // SAFETY: the caller's promise.
        number::TIME => unsafe { time(a as _) },
        // SAFETY: the caller's promise.
        number::NANOSLEEP => unsafe { nanosleep(a as _, b as _) }.into(),
        number::CLOCK_NANOSLEEP => {
            // SAFETY: the caller's promise.
            let error = unsafe { clock_nanosleep(a as _, b as _, c as _, d as _) };
            if error == 0 { 0 } else { fail(error) }
        }
        number::SOCKET => socket(a as c_int, b as c_int, c as c_int).into(),
        // Condvar::wait_timeout, thread::park_timeout and the like, once they know the time.
        number::FUTEX if waits_for_time(b, d) && note(asks_sleep(FUTEX_WAIT)).is_some() => {
            fail(ETIMEDOUT)
        }
        // SAFETY: the caller's promise.
        _ => answer_or_errno(unsafe { call(which, [a, b, c, d, e, f]) }),
    }
}

const FUTEX_WAIT: &str = "syscall(SYS_futex), a wait with a deadline";

/// Whether a futex call sleeps until a time: `operation` waits, and `deadline` is not null.
fn waits_for_time(operation: c_long, deadline: c_long) -> bool {
    const COMMAND: c_long = 0x7f;
    const WAIT: c_long = 0;
    const WAIT_BITSET: c_long = 9;
    matches!(operation & COMMAND, WAIT | WAIT_BITSET) && deadline != 0
}
