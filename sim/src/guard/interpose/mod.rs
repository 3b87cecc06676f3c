//! The C library's functions that ask the real world, as this process has them: on a watched
//! thread a breach, elsewhere the kernel's answer.
//!
//! The linker takes a symbol of the executable before one of a shared library, and exports it
//! where a shared library has one of this name; so the standard library, C code and `dlsym` all
//! come here. What the C library calls inside of itself does not. Nothing here allocates, locks, or
//! calls what may come back here, but for what makes a thread or a process or asks for a name.
//!
//! What a breach is served: time that moves on by a millisecond with each question, so that a loop
//! that waits for a deadline ends; bytes from a counter; sleeps and waits until a deadline that are
//! over at once; no thread, no process, no socket, no name, no file.

mod clocks;
mod door;
mod entropy;
mod resources;
mod sleeps;
mod waits;

use std::ffi::{CStr, c_char, c_void};

pub(super) use clocks::find_clock;

/// The function that the one here stands in front of; null if there is none.
fn next(name: &CStr) -> *mut c_void {
    const RTLD_NEXT: *mut c_void = usize::MAX as *mut c_void;
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // SAFETY: looks a name up.
    unsafe { dlsym(RTLD_NEXT, name.as_ptr()) }
}
