//! Entropy.

use std::ffi::{c_int, c_long, c_uint, c_void};

use super::super::{
    Breach,
    kernel::{EINTR, EIO, call, fail, number},
    note,
};

pub(super) const fn asks_entropy(call: &'static str) -> Breach {
    Breach { call, instead: "Env::fill_random or a stream of rehearsal_sim::Rng" }
}

/// Random bytes, of the kernel or served: as many as fit in one answer.
///
/// # Safety
/// `buffer` may be written to for `len_bytes`.
pub(super) unsafe fn random_to(
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
