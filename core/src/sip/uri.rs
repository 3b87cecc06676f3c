//! URIs (RFC 3261, section 19.1): those of SIP taken apart, those of other schemes kept as they are.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use percent_encoding::percent_decode_str;

use super::{lexer::trim, params::Params};

/// Port of SIP over UDP and TCP where none is said.
pub const SIP_PORT: u16 = 5060;

/// Whom a message is for, or where somebody can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri {
    /// `sip:` or `sips:`.
    Sip(SipUri),
    /// Another scheme, as written.
    Other(String),
}

/// A URI of the scheme `sip` or `sips`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri {
    /// Whether it is `sips:`.
    pub secure: bool,
    /// User part as written, with its escapes and its password.
    pub user: Option<String>,
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// Port, where one is written.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params,
    /// Headers behind the question mark, as written.
    pub headers: Option<String>,
}

impl Uri {
    /// Reads a URI; white space around or in it is refused.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme || rest.is_empty() || !text.bytes().all(is_uri_byte) {
            return None;
        }
        match scheme.to_ascii_lowercase().as_str() {
            "sip" => SipUri::parse_rest(false, rest).map(Self::Sip),
            "sips" => SipUri::parse_rest(true, rest).map(Self::Sip),
            _ => Some(Self::Other(text.to_owned())),
        }
    }

    /// The URI, if its scheme is SIP's.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Other(_) => None,
        }
    }

    /// Whether both lead to the same, however they are written (RFC 3261, section 19.1.4).
    pub fn is_equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sip(one), Self::Sip(other)) => one.is_equivalent(other),
            (Self::Other(one), Self::Other(other)) => one == other,
            _ => false,
        }
    }
}

/// What may stand in a URI as written: no white space, control bytes, quotes or brackets around it. Bytes beyond ASCII are taken as
/// they come.
fn is_uri_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && !b"<>\"`{}|\\^".contains(&byte)
}

impl SipUri {
    /// `sip:user@host:port`; `user` is escaped here.
    pub fn new(user: Option<&str>, address: SocketAddr) -> Self {
        let mut uri = Self::at(&host_of(address.ip()), Some(address.port()));
        uri.user = user.map(escape_user);
        uri
    }

    /// `sip:host:port`.
    pub fn at(host: &str, port: Option<u16>) -> Self {
        Self {
            secure: false,
            user: None,
            host: host.to_owned(),
            port,
            params: Params::default(),
            headers: None,
        }
    }

    fn parse_rest(secure: bool, rest: &str) -> Option<Self> {
        let (user, rest) = match rest.split_once('@') {
            Some((user, rest)) if !user.is_empty() => (Some(user.to_owned()), rest),
            Some(_) => return None,
            None => (None, rest),
        };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers.to_owned())),
            None => (rest, None),
        };
        let (host_port, params) = rest.split_once(';').unwrap_or((rest, ""));
        let (host, port) = parse_host_port(host_port)?;
        let mut params = Params::parse(params)?;
        params.unescape();
        Some(Self { secure, user, host, port, params, headers })
    }

    /// The user without escapes and password; `None` when there is none, or when it is no text.
    pub fn user_name(&self) -> Option<String> {
        let user = self.user.as_deref()?;
        let user = user.split_once(':').map_or(user, |(user, _)| user);
        Some(percent_decode_str(user).decode_utf8().ok()?.into_owned())
    }

    fn is_equivalent(&self, other: &Self) -> bool {
        let user = |uri: &Self| {
            uri.user.as_deref().map(|user| percent_decode_str(user).collect::<Vec<u8>>())
        };
        let is_same_host = match (address_of(&self.host), address_of(&other.host)) {
            (Some(one), Some(other)) => one == other,
            _ => self.host.eq_ignore_ascii_case(&other.host),
        };
        is_same_host
            && (self.secure, self.port, &self.headers) == (other.secure, other.port, &other.headers)
            && user(self) == user(other)
            && self.params.agrees_with(&other.params)
            && other.params.agrees_with(&self.params)
    }

    /// The address, if the host is one; the port is 5060 where none is written.
    pub fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(address_of(&self.host)?, self.port.unwrap_or(SIP_PORT)))
    }
}

/// A user part that says `user`.
fn escape_user(user: &str) -> String {
    let mut escaped = String::with_capacity(user.len());
    for byte in user.bytes() {
        match byte {
            _ if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// The address that `host` is, if it is one.
pub(super) fn address_of(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// `ip` as a host is written.
pub fn host_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Reads `host` or `host:port`, where white space may stand around the colon, as in Via.
pub(super) fn parse_host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, rest) = rest.split_once(']')?;
            inner.parse::<Ipv6Addr>().ok()?;
            let rest = trim(rest);
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(trim(port)),
                None if rest.is_empty() => None,
                None => return None,
            };
            (format!("[{inner}]"), port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (trim(host).to_owned(), Some(trim(port))),
            None => (text.to_owned(), None),
        },
    };
    let is_name = |host: &str| {
        host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    if host.is_empty() || !(host.starts_with('[') || is_name(&host)) {
        return None;
    }
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        Some(_) => return None,
        None => None,
    };
    Some((host, port))
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(uri) => uri.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sip(text: &str) -> SipUri {
        match Uri::parse(text) {
            Some(Uri::Sip(uri)) => uri,
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn a_sip_uri_is_taken_apart_and_written_as_it_was() {
        let text = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com";
        assert_eq!(sip(text).host, "example.com");
        let text = "sips:user;par=u%40example.net@example.com:5070;transport=tcp;lr?subject=x";
        let uri = sip(text);
        assert_eq!(uri.to_string(), text);
        assert_eq!(uri.user_name().as_deref(), Some("user;par=u@example.net"));
        assert_eq!((uri.port, uri.secure), (Some(5070), true));
        assert_eq!(uri.params.get("transport").as_deref(), Some("tcp"));
        assert_eq!(uri.headers.as_deref(), Some("subject=x"));
    }

    #[test]
    fn addresses_are_told_from_names() {
        assert_eq!(sip("sip:a@192.0.2.1").address(), Some("192.0.2.1:5060".parse().unwrap()));
        assert_eq!(sip("sip:[2001:db8::1]:7").address(), Some("[2001:db8::1]:7".parse().unwrap()));
        assert_eq!(sip("sip:a@example.com:7").address(), None);
        let own = SipUri::new(Some("a b@c"), "[::1]:9".parse().unwrap());
        assert_eq!(own.to_string(), "sip:a%20b%40c@[::1]:9");
        assert_eq!(sip(&own.to_string()).user_name().as_deref(), Some("a b@c"));
    }

    #[test]
    fn the_same_may_be_written_in_several_ways() {
        let is_same = |one: &str, other: &str| {
            let (one, other) = (Uri::parse(one).unwrap(), Uri::parse(other).unwrap());
            let is_same = one.is_equivalent(&other);
            assert_eq!(is_same, other.is_equivalent(&one), "{one} {other}");
            is_same
        };
        // The examples of the section.
        for (one, other) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
            ("tel:1", "tel:1"),
        ] {
            assert!(is_same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@b", "sips:a@b"),
            ("sip:a@b", "sip:b"),
            ("tel:1", "sip:1"),
        ] {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn another_scheme_is_kept() {
        let uri = Uri::parse("nobodyKnowsThisScheme:totallyopaquecontent").unwrap();
        assert_eq!(uri.as_sip(), None);
        assert_eq!(uri.to_string(), "nobodyKnowsThisScheme:totallyopaquecontent");
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        let bad = [
            "",
            "sip",
            "sip:",
            "sip:@host",
            "sip:a@",
            "sip:a@host:x",
            "sip:a@host:70000",
            "sip:a@ho st",
            "sip:a@[::1",
            "sip:a@[x]",
            "<sip:a@b>",
            " sip:a@b",
            "sip:a@b ",
            "1x:y",
            "sip:a@b;c=d e",
        ];
        for text in bad {
            assert_eq!(Uri::parse(text), None, "{text}");
        }
    }
}
