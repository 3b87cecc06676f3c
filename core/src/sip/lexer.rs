//! The lexical part of SIP's grammar (RFC 3261, section 25.1): tokens, quoted strings, and separators that do not count inside
//! quotes or angle brackets.

/// Whether `text` is a token: a method, a name of a header or of a parameter.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// `text` without the white space around it: spaces and tabs, and nothing else that Unicode takes for it.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Splits `text` at each `separator` that is neither in quotes nor in angle brackets. `None` when one of either is not closed.
pub(super) fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut from, mut quoted, mut angled, mut escaped) = (0, false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'<' if angled => return None,
            b'<' => angled = true,
            b'>' if !angled => return None,
            b'>' => angled = false,
            _ if byte == separator && !angled => {
                parts.push(trim(&text[from..at]));
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(trim(&text[from..]));
    (!quoted && !angled).then_some(parts)
}

/// The end of the quoted string that `text` begins with, behind its closing quote.
pub(super) fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// What a quoted string says; what is not quoted says itself.
pub(super) fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut said = String::with_capacity(inner.len());
    let mut escaped = false;
    for character in inner.chars() {
        match character {
            '\\' if !escaped => escaped = true,
            _ => {
                escaped = false;
                said.push(character);
            }
        }
    }
    said
}

/// `text` as a quoted string. The ends of lines, which none can have, become spaces.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '\r' | '\n' => quoted.push(' '),
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_ascii_control() && character != '\t' => {
                quoted.extend(['\\', character]);
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_do_not_count_inside_quotes_and_angle_brackets() {
        let text = r#""a, \" b" <sip:x@y;z,q>, <sip:c>;p="1,2" , d"#;
        let parts = split(text, b',').unwrap();
        assert_eq!(parts, [r#""a, \" b" <sip:x@y;z,q>"#, r#"<sip:c>;p="1,2""#, "d"]);
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for text in ["\"a", "<a", "a>", "<a<b>", "\"a\\\""] {
            assert_eq!(split(text, b','), None, "{text}");
        }
    }

    #[test]
    fn a_quoted_string_says_what_was_quoted() {
        for text in ["", "plain", "with \" and \\", "é ü", "\0 \u{7f}\t"] {
            assert_eq!(unquote(&quote(text)), text);
            assert_eq!(quoted_end(&format!("{} x", quote(text))), Some(quote(text).len()));
        }
        assert_eq!(unquote("bare"), "bare");
        assert_eq!(quote("a\0\r\nb"), "\"a\\\0  b\"");
    }
}
