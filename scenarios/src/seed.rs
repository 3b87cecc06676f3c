//! Seeds as people give them.

/// Least length of a git commit id that is taken for a seed.
const COMMIT_ID_CHARS_MIN: usize = 7;

/// Reads a seed: a decimal number, or a git commit id, of which the first 16 hex digits count.
///
/// # Errors
/// It is neither.
pub fn parse(text: &str) -> Result<u64, String> {
    if let Ok(seed) = text.parse() {
        return Ok(seed);
    }
    let is_commit_id = (COMMIT_ID_CHARS_MIN..=40).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_commit_id {
        true => Ok(u64::from_str_radix(&text[..text.len().min(16)], 16).expect("hex digits")),
        false => Err("a seed is a number from 0 to 2^64 - 1 or a git commit id".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_and_commit_ids_are_seeds() {
        assert_eq!(parse("7"), Ok(7));
        assert_eq!(parse("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse("4bbd2da"), Ok(0x4bb_d2da));
        assert_eq!(parse("00000000000000ff0000000000000000000000ff"), Ok(0xff));
        assert!(parse("x").is_err() && parse("-1").is_err() && parse("abcdef").is_err());
    }
}
