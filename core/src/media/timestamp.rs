//! Times of RTMP messages: milliseconds modulo 2³², so they wrap after 49.7 days.
//!
//! Two times are compared by the shorter way around (RTMP §5.3.1.1 refers to RFC 1982): they are
//! assumed to be less than 2³¹ ms, 24.8 days, apart.

/// Milliseconds from `earlier` to `later`; negative if `later` comes first. Exactly half the circle
/// apart, either comes first by `i32::MIN`.
pub fn elapsed_ms(later: u32, earlier: u32) -> i32 {
    later.wrapping_sub(earlier) as i32
}

/// Whether `a` comes after `b`. Of two times exactly half the circle apart, neither does.
pub fn wrapping_after(a: u32, b: u32) -> bool {
    elapsed_ms(a, b) > 0
}

#[cfg(test)]
mod tests {
    use super::{elapsed_ms, wrapping_after};

    #[test]
    fn time_goes_on_across_the_wrap() {
        assert_eq!(elapsed_ms(5, u32::MAX - 4), 10);
        assert_eq!(elapsed_ms(u32::MAX - 4, 5), -10);
        assert!(wrapping_after(0, u32::MAX));
        assert!(!wrapping_after(u32::MAX, 0));
    }

    #[test]
    fn time_goes_on_across_the_sign() {
        assert_eq!(elapsed_ms(0x8000_0001, 0x7fff_ffff), 2);
        assert!(wrapping_after(0x8000_0000, 0x7fff_ffff));
    }

    #[test]
    fn no_time_is_after_itself_or_its_opposite() {
        assert!(!wrapping_after(7, 7));
        assert_eq!(elapsed_ms(0x8000_0007, 7), i32::MIN);
        assert!(!wrapping_after(0x8000_0007, 7));
        assert!(!wrapping_after(7, 0x8000_0007));
        assert!(wrapping_after(0x8000_0006, 7));
    }
}
