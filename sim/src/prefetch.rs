//! Has memory come into the processor's cache before it is needed.

/// How much of a value whose size is its own affair comes into the cache.
const START_BYTES: usize = 256;

/// Has `value` come into the cache; what it points to does not.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    lines(value, size_of::<T>());
}

/// Has the first bytes of `value` come into the cache.
#[inline]
pub(crate) fn prefetch_start<T: ?Sized>(value: &T) {
    lines(value, size_of_val(value).min(START_BYTES));
}

/// Has the first `bytes` of `value` come into the cache.
#[inline]
fn lines<T: ?Sized>(value: &T, bytes: usize) {
    debug_assert!(bytes <= size_of_val(value));
    #[cfg(target_arch = "x86_64")]
    for line in (0..bytes).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch changes nothing that a program can see, and `line` lies within `value`.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast::<i8>().add(line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
