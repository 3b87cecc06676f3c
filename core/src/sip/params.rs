//! Parameters behind a semicolon: of URIs, and of headers.

use std::{borrow::Cow, fmt};

use super::lexer::{is_token_byte, quoted_end, split, trim, unquote};

/// Parameters in the order in which they stand. Names are compared without regard to case; values are kept as written, with
/// their quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// Reads what stands behind the first semicolon, without it; nothing gives none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut params = Vec::new();
        for part in split(text, b';')? {
            // Some write a semicolon and nothing behind it.
            if part.is_empty() {
                continue;
            }
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (trim(name), Some(trim(value))),
                None => (part, None),
            };
            if !is_param_name(name) || !value.is_none_or(is_value) {
                return None;
            }
            params.push((name.to_owned(), value.map(str::to_owned)));
        }
        Some(Self(params))
    }

    /// The same as parameters of a URI, where an escaped letter or digit is the letter or digit (RFC 3261, section 19.1.4):
    /// it is written without its escape.
    pub(super) fn unescape(&mut self) {
        for (name, value) in &mut self.0 {
            for text in std::iter::once(name).chain(value) {
                if let Cow::Owned(unescaped) = unescape(text) {
                    *text = unescaped;
                }
            }
        }
    }

    /// The value of `name` without quotes; empty for one without a value. `None` when it is not there.
    pub fn get(&self, name: &str) -> Option<String> {
        self.raw(name).map(|value| value.map(unquote).unwrap_or_default())
    }

    /// Whether `name` is there, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// Whether `name` is there more than once, which it must not be (RFC 3261, section 7.3.1).
    pub(super) fn is_doubled(&self, name: &str) -> bool {
        self.0.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).count() > 1
    }

    /// Whether `name` is there, without a value.
    pub(super) fn is_empty_flag(&self, name: &str) -> bool {
        matches!(self.raw(name), Some(None))
    }

    fn raw(&self, name: &str) -> Option<Option<&str>> {
        let mut all = self.0.iter();
        all.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_deref())
    }

    /// Whether none of these of a URI makes it another than one with `other` (RFC 3261, section 19.1.4).
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        self.0.iter().all(|(name, value)| match (other.raw(name), value) {
            (Some(Some(other)), Some(own)) => own.eq_ignore_ascii_case(other),
            (Some(other), own) => other.is_none() && own.is_none(),
            (None, _) => !["user", "ttl", "method", "maddr", "transport"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own)),
        })
    }

    /// Sets `name` to `value`, a token or a quoted string.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        match self.0.iter_mut().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
            Some((_, own)) => *own = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Takes `name` away.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }
}

/// As a token, with the brackets, slashes, colons and the like that parameters of URIs may have (RFC 3261, paramchar).
fn is_param_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| is_token_byte(byte) || b"[]/:&+$()".contains(&byte))
}

/// `text` with what needs no escape in it unescaped.
fn unescape(text: &str) -> Cow<'_, str> {
    let mut parts = text.split('%');
    let mut unescaped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte.filter(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte)) {
            Some(byte) => {
                unescaped.push(char::from(byte));
                unescaped.push_str(&part[2..]);
            }
            None => unescaped.extend(["%", part]),
        }
    }
    if unescaped == text { Cow::Borrowed(text) } else { Cow::Owned(unescaped) }
}

fn is_value(value: &str) -> bool {
    if value.starts_with('"') {
        return quoted_end(value) == Some(value.len());
    }
    !value.bytes().any(|byte| byte.is_ascii_control() || b" \t\",<>?".contains(&byte))
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            match value {
                Some(value) => write!(f, ";{name}={value}")?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_values_lose_their_quotes() {
        let params = Params::parse(r#"Tag = a1 ;lr; note="x;\"y""#).unwrap();
        assert_eq!(params.get("tag").as_deref(), Some("a1"));
        assert_eq!(params.get("LR").as_deref(), Some(""));
        assert!(params.is_empty_flag("lr") && !params.is_empty_flag("tag"));
        assert_eq!(params.get("note").as_deref(), Some("x;\"y"));
        assert_eq!(params.get("none"), None);
        assert_eq!(params.to_string(), r#";Tag=a1;lr;note="x;\"y""#);
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        for text in ["a b", "=x", "a=b c", "a=\"b", "a=\"b\"c", "a=<b", "é=1"] {
            assert_eq!(Params::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_parameter_is_replaced_and_taken_away() {
        let mut params = Params::parse("rport;branch=x").unwrap();
        params.set("RPORT", Some("5060".into()));
        params.set("received", Some("192.0.2.1".into()));
        params.remove("Branch");
        assert_eq!(params.to_string(), ";rport=5060;received=192.0.2.1");
    }
}
