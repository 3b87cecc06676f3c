//! System calls without the C library, for calls that the guard lets through.
//!
//! The guard stands in front of the C library's own functions, so it cannot call those.

use std::{arch::asm, ffi::c_long};

/// Numbers of the system calls that the guard knows.
#[cfg(target_arch = "x86_64")]
pub(super) mod number {
    use std::ffi::c_long;

    pub const SOCKET: c_long = 41;
    pub const NANOSLEEP: c_long = 35;
    pub const GETTIMEOFDAY: c_long = 96;
    pub const TIME: c_long = 201;
    pub const FUTEX: c_long = 202;
    pub const CLOCK_GETTIME: c_long = 228;
    pub const CLOCK_NANOSLEEP: c_long = 230;
    pub const OPENAT: c_long = 257;
    pub const PSELECT6: c_long = 270;
    pub const PPOLL: c_long = 271;
    pub const EPOLL_PWAIT: c_long = 281;
    pub const GETRANDOM: c_long = 318;
}

/// Numbers of the system calls that the guard knows.
#[cfg(target_arch = "aarch64")]
pub(super) mod number {
    use std::ffi::c_long;

    pub const SOCKET: c_long = 198;
    pub const NANOSLEEP: c_long = 101;
    pub const GETTIMEOFDAY: c_long = 169;
    /// Not of this architecture; no call has this number.
    pub const TIME: c_long = c_long::MIN;
    pub const FUTEX: c_long = 98;
    pub const CLOCK_GETTIME: c_long = 113;
    pub const CLOCK_NANOSLEEP: c_long = 115;
    pub const OPENAT: c_long = 56;
    pub const PSELECT6: c_long = 72;
    pub const PPOLL: c_long = 73;
    pub const EPOLL_PWAIT: c_long = 22;
    pub const GETRANDOM: c_long = 278;
}

/// The kernel's `struct timespec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timespec {
    pub seconds: i64,
    pub nanoseconds: i64,
}

/// The kernel's `struct timeval`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timeval {
    pub seconds: i64,
    pub microseconds: i64,
}

pub(super) const CLOCK_REALTIME: i32 = 0;
pub(super) const CLOCK_REALTIME_COARSE: i32 = 5;
pub(super) const CLOCK_PROCESS_CPUTIME: i32 = 2;

/// Length of the kernel's `sigset_t`, which is shorter than the C library's.
pub(super) const SIGNAL_SET_BYTES: c_long = 8;
/// In place of a folder's descriptor: where the process is.
pub(super) const AT_FDCWD: i32 = -100;

pub(super) const EINTR: i32 = 4;
pub(super) const EIO: i32 = 5;
pub(super) const EAGAIN: i32 = 11;
pub(super) const EACCES: i32 = 13;
pub(super) const EINVAL: i32 = 22;
pub(super) const ENOSYS: i32 = 38;
pub(super) const ETIMEDOUT: i32 = 110;

/// Asks the kernel; a negative answer is an error number.
///
/// # Safety
/// As for the system call `number`.
pub(super) unsafe fn call(number: c_long, arguments: [c_long; 6]) -> c_long {
    let [a, b, c, d, e, f] = arguments;
    let answer;
    // SAFETY: the registers are those of the kernel's calling convention; what the call itself
    // does with them is the caller's promise.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => answer,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    answer
}

/// The C library's way to give an answer of the kernel: -1, and the error number in `errno`.
pub(super) fn answer_or_errno(answer: c_long) -> c_long {
    if (-4095..0).contains(&answer) { fail(-answer as i32) } else { answer }
}

/// Sets `errno`, and gives -1.
pub(super) fn fail(error: i32) -> c_long {
    unsafe extern "C" {
        fn __errno_location() -> *mut i32;
    }
    // SAFETY: the C library's address of the calling thread's `errno`, always valid.
    unsafe { *__errno_location() = error };
    -1
}
