//! Headers of a message: names, their compact forms, and values as they were written.

use std::{borrow::Cow, fmt};

use super::lexer::{is_token, split};

/// Name of a header; its case does not count.
#[derive(Clone, Debug, Eq)]
pub struct HeaderName(Cow<'static, str>);

macro_rules! header_names {
    ($($(#[$doc:meta])* $constant:ident = $name:literal $(, $compact:literal)?;)*) => {
        impl HeaderName {
            $($(#[$doc])* pub const $constant: Self = Self(Cow::Borrowed($name));)*

            const KNOWN: &'static [(&'static str, Option<&'static str>)] =
                &[$(($name, header_names!(@compact $($compact)?))),*];
        }
    };
    (@compact) => { None };
    (@compact $compact:literal) => { Some($compact) };
}

header_names! {
    /// Methods that are understood.
    ALLOW = "Allow";
    /// What the client proves of itself to a server.
    AUTHORIZATION = "Authorization";
    /// Names the call.
    CALL_ID = "Call-ID", "i";
    /// Where the sender can be reached.
    CONTACT = "Contact", "m";
    /// How the body is compressed.
    CONTENT_ENCODING = "Content-Encoding", "e";
    /// Bytes of the body.
    CONTENT_LENGTH = "Content-Length", "l";
    /// What the body is.
    CONTENT_TYPE = "Content-Type", "c";
    /// Number and method of the request.
    CSEQ = "CSeq";
    /// Seconds until something is void.
    EXPIRES = "Expires";
    /// Who sends the request.
    FROM = "From", "f";
    /// Hops that are left.
    MAX_FORWARDS = "Max-Forwards";
    /// Least seconds of a registration.
    MIN_EXPIRES = "Min-Expires";
    /// Least seconds of a session (RFC 4028).
    MIN_SE = "Min-SE";
    /// What a proxy asks the client to prove.
    PROXY_AUTHENTICATE = "Proxy-Authenticate";
    /// What the client proves of itself to a proxy.
    PROXY_AUTHORIZATION = "Proxy-Authorization";
    /// Extensions that proxies must understand.
    PROXY_REQUIRE = "Proxy-Require";
    /// Why a call ends (RFC 3326).
    REASON = "Reason";
    /// Proxies that want to see what follows.
    RECORD_ROUTE = "Record-Route";
    /// Extensions that the server must understand.
    REQUIRE = "Require";
    /// Seconds until another try makes sense.
    RETRY_AFTER = "Retry-After";
    /// Proxies on the way.
    ROUTE = "Route";
    /// What the server is.
    SERVER = "Server";
    /// Seconds until a session is void (RFC 4028).
    SESSION_EXPIRES = "Session-Expires", "x";
    /// What a call is about.
    SUBJECT = "Subject", "s";
    /// Extensions that are understood.
    SUPPORTED = "Supported", "k";
    /// Whom the request is for.
    TO = "To", "t";
    /// Extensions that are not understood.
    UNSUPPORTED = "Unsupported";
    /// What the client is.
    USER_AGENT = "User-Agent";
    /// The message's way.
    VIA = "Via", "v";
    /// What is odd about an answer.
    WARNING = "Warning";
    /// What a server asks the client to prove.
    WWW_AUTHENTICATE = "WWW-Authenticate";
}

impl HeaderName {
    /// Reads a name or its compact form; `None` for what is no token.
    pub fn parse(text: &str) -> Option<Self> {
        let is_it = |(name, compact): &&(&'static str, Option<&'static str>)| {
            name.eq_ignore_ascii_case(text) || compact.is_some_and(|c| c.eq_ignore_ascii_case(text))
        };
        match Self::KNOWN.iter().find(is_it) {
            Some((name, _)) => Some(Self(Cow::Borrowed(name))),
            None => is_token(text).then(|| Self(Cow::Owned(text.to_owned()))),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Headers in the order in which they stand; values are unfolded, and otherwise as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, String)>);

impl Headers {
    /// Adds a header behind the others.
    pub fn push(&mut self, name: HeaderName, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }

    /// Adds a header before the others.
    pub fn push_front(&mut self, name: HeaderName, value: impl Into<String>) {
        self.0.insert(0, (name, value.into()));
    }

    /// Replaces all headers called `name` by one.
    pub fn set(&mut self, name: HeaderName, value: impl Into<String>) {
        self.remove(&name);
        self.push(name, value);
    }

    /// Replaces the value of the first header called `name`.
    pub fn replace_first(&mut self, name: &HeaderName, value: impl Into<String>) {
        if let Some((_, own)) = self.0.iter_mut().find(|(own, _)| own == name) {
            *own = value.into();
        }
    }

    /// Takes all headers called `name` away.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|(own, _)| own != name);
    }

    /// The first value of `name`.
    pub fn get(&self, name: &HeaderName) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of all headers called `name`, each as it stands.
    pub fn all<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The values of a header that is a list, whether they share a line or have one each. A line in which a quote or bracket is
    /// not closed counts as one value.
    pub fn list<'a>(&'a self, name: &HeaderName) -> Vec<&'a str> {
        let lines = self.all(name);
        let values = lines.flat_map(|line| split(line, b',').unwrap_or_else(|| vec![line]));
        values.filter(|value| !value.is_empty()).collect()
    }

    /// Every header in order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        self.0.iter().map(|(name, value)| (name, value.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_compact_forms() {
        assert_eq!(HeaderName::parse("v"), Some(HeaderName::VIA));
        assert_eq!(HeaderName::parse("cAlL-iD"), Some(HeaderName::CALL_ID));
        assert_eq!(HeaderName::parse("X-Mine"), HeaderName::parse("x-mine"));
        assert_eq!(HeaderName::parse("X Mine"), None);
        assert_eq!(HeaderName::parse("X-Mine").unwrap().to_string(), "X-Mine");
    }

    #[test]
    fn a_list_may_share_lines() {
        let mut headers = Headers::default();
        headers.push(HeaderName::ROUTE, "<sip:a;lr>, \"x,y\" <sip:b>");
        headers.push(HeaderName::TO, "<sip:t>");
        headers.push(HeaderName::ROUTE, "<sip:c>");
        assert_eq!(headers.list(&HeaderName::ROUTE), ["<sip:a;lr>", "\"x,y\" <sip:b>", "<sip:c>"]);
        headers.set(HeaderName::ROUTE, "<sip:d>");
        assert_eq!(headers.list(&HeaderName::ROUTE), ["<sip:d>"]);
        assert_eq!(headers.len(), 2);
    }
}
