//! The C library's functions that ask the real world, as this process has them: on a watched
//! thread a breach, elsewhere the kernel's answer.
//!
//! The linker takes a symbol of the executable before one of a shared library, and exports it
//! where a shared library has one of this name; so the standard library, C code and `dlsym` all
//! come here. Nothing here allocates, locks, or calls what may come back here.
//!
//! The wall clock of a watched thread is the world's. What a breach is served: time that moves on by
//! a millisecond with each question, so that a loop that waits for a deadline ends; bytes from a counter; sleeps that are over at once; no thread;
//! no socket.

use std::{
    ffi::{CStr, c_char, c_int, c_long, c_uint, c_void},
    mem::transmute,
    ptr::null_mut,
    sync::atomic::{AtomicPtr, Ordering},
};

use super::{
    Breach,
    kernel::{
        CLOCK_PROCESS_CPUTIME, CLOCK_REALTIME, CLOCK_REALTIME_COARSE, EACCES, EAGAIN, EINTR,
        EINVAL, EIO, ETIMEDOUT, Timespec, Timeval, answer_or_errno, call, fail, number,
    },
    note, wall_clock,
};

/// What a watched thread's first question for a monotonic time is told, in seconds: long past, so
/// that the kernel makes nobody wait for a deadline that was reckoned from it.
const SERVED_TIME_SECS: u64 = 1;

const fn asks_time(call: &'static str) -> Breach {
    Breach { call, instead: "tokio::time::Instant" }
}

const fn asks_entropy(call: &'static str) -> Breach {
    Breach { call, instead: "Env::fill_random or a stream of rehearsal_sim::Rng" }
}

const fn asks_sleep(call: &'static str) -> Breach {
    Breach { call, instead: "tokio::time::sleep" }
}

type ClockGettime = unsafe extern "C" fn(c_int, *mut Timespec) -> c_int;

/// The C library's own `clock_gettime`, once [`find_clock`] found it. It reads the clock without a
/// system call, which a run of many short instants is 20 % faster with: tokio's loop times itself.
static NEXT_CLOCK_GETTIME: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Looks for the C library's own clock. Not done in a call for the time, which may come from
/// anywhere.
pub(super) fn find_clock() {
    NEXT_CLOCK_GETTIME.store(next(c"clock_gettime"), Ordering::Relaxed);
}

/// The function that the one here stands in front of; null if there is none.
fn next(name: &CStr) -> *mut c_void {
    const RTLD_NEXT: *mut c_void = usize::MAX as *mut c_void;
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // SAFETY: looks a name up.
    unsafe { dlsym(RTLD_NEXT, name.as_ptr()) }
}

/// The time: of the kernel, of the world, or served; the error is one of the kernel's.
fn time_of(clock_id: c_int, breach: Breach) -> Result<Timespec, c_int> {
    let mut time = Timespec::default();
    if matches!(clock_id, CLOCK_REALTIME | CLOCK_REALTIME_COARSE)
        && let Some(now) = wall_clock()
    {
        time.seconds = now.as_secs() as i64;
        time.nanoseconds = now.subsec_nanos().into();
        return Ok(time);
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
unsafe extern "C" fn gettimeofday(time: *mut Timeval, _zone: *mut c_void) -> c_int {
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
unsafe extern "C" fn time(seconds: *mut i64) -> i64 {
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

/// Random bytes, of the kernel or served: as many as fit in one answer.
///
/// # Safety
/// `buffer` may be written to for `len_bytes`.
unsafe fn random_to(
    buffer: *mut u8,
    len_bytes: usize,
    flags: c_uint,
    breach: Breach,
) -> Result<usize, c_int> {
    // A question for no bytes only looks whether the kernel has this call.
    if len_bytes > 0
        && let Some(served) = note(breach)
    {
        for index in 0..len_bytes {
            let word = (served << 32 | (index / 8) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            // SAFETY: `index` lies in the buffer (caller's promise).
            unsafe { buffer.add(index).write(word.to_le_bytes()[7 - index % 8]) };
        }
        return Ok(len_bytes);
    }
    let arguments = [buffer as c_long, len_bytes as c_long, flags.into(), 0, 0, 0];
    // SAFETY: the kernel writes to the buffer only (caller's promise).
    match unsafe { call(number::GETRANDOM, arguments) } {
        error if error < 0 => Err(-error as c_int),
        filled => Ok(filled as usize),
    }
}

/// # Safety
/// `buffer` may be written to for `len_bytes`.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, len_bytes: usize, flags: c_uint) -> isize {
    // SAFETY: the caller's promise.
    match unsafe { random_to(buffer.cast(), len_bytes, flags, asks_entropy("getrandom")) } {
        Ok(filled) => filled as isize,
        Err(error) => fail(error) as isize,
    }
}

/// # Safety
/// `buffer` may be written to for `len_bytes`.
#[unsafe(no_mangle)]
unsafe extern "C" fn getentropy(buffer: *mut c_void, len_bytes: usize) -> c_int {
    const LEN_BYTES_MAX: usize = 256;
    if len_bytes > LEN_BYTES_MAX {
        return fail(EIO) as c_int;
    }
    // SAFETY: the caller's promise.
    match unsafe { fill(buffer.cast(), len_bytes, asks_entropy("getentropy")) } {
        Ok(()) => 0,
        Err(error) => fail(error) as c_int,
    }
}

/// # Safety
/// `buffer` may be written to for `len_bytes`.
#[unsafe(no_mangle)]
unsafe extern "C" fn arc4random_buf(buffer: *mut c_void, len_bytes: usize) {
    // SAFETY: the caller's promise.
    if unsafe { fill(buffer.cast(), len_bytes, asks_entropy("arc4random_buf")) }.is_err() {
        std::process::abort(); // as the C library: its callers cannot be told
    }
}

#[unsafe(no_mangle)]
extern "C" fn arc4random() -> u32 {
    random_word(asks_entropy("arc4random"))
}

#[unsafe(no_mangle)]
extern "C" fn arc4random_uniform(bound: u32) -> u32 {
    if bound < 2 {
        return 0;
    }
    // What lies above the last whole multiple of `bound` would favour small numbers.
    let rejected_below = bound.wrapping_neg() % bound;
    loop {
        let word = random_word(asks_entropy("arc4random_uniform"));
        if word >= rejected_below {
            return word % bound;
        }
    }
}

fn random_word(breach: Breach) -> u32 {
    let mut word = [0; 4];
    // SAFETY: four bytes of our own.
    if unsafe { fill(word.as_mut_ptr(), word.len(), breach) }.is_err() {
        std::process::abort();
    }
    u32::from_ne_bytes(word)
}

/// # Safety
/// `buffer` may be written to for `len_bytes`.
unsafe fn fill(buffer: *mut u8, len_bytes: usize, breach: Breach) -> Result<(), c_int> {
    let mut filled = 0;
    while filled < len_bytes {
        // SAFETY: the rest of the buffer (caller's promise).
        match unsafe { random_to(buffer.add(filled), len_bytes - filled, 0, breach) } {
            Ok(more) => filled += more,
            Err(EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
unsafe extern "C" fn clock_nanosleep(
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
unsafe extern "C" fn nanosleep(request: *const Timespec, rest: *mut Timespec) -> c_int {
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

#[unsafe(no_mangle)]
extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    if note(Breach { call: "socket", instead: "the network of Env" }).is_some() {
        return fail(EACCES) as c_int;
    }
    let arguments = [domain.into(), kind.into(), protocol.into(), 0, 0, 0];
    // SAFETY: numbers only.
    answer_or_errno(unsafe { call(number::SOCKET, arguments) }) as c_int
}

/// # Safety
/// As the C library's, where it goes on to.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut c_void,
    attributes: *const c_void,
    start: *const c_void,
    argument: *mut c_void,
) -> c_int {
    type Create =
        unsafe extern "C" fn(*mut c_void, *const c_void, *const c_void, *mut c_void) -> c_int;
    if note(Breach { call: "pthread_create", instead: "Env::spawn" }).is_some() {
        return EAGAIN;
    }
    let next = next(c"pthread_create");
    if next.is_null() {
        return EAGAIN;
    }
    // SAFETY: a function of this name has this type; arguments are the caller's promise.
    unsafe { transmute::<*mut c_void, Create>(next)(thread, attributes, start, argument) }
}

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
