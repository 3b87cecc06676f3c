//! Header values with a structure: Via, addresses with names, CSeq.

use std::fmt;

use super::{
    lexer::{is_token, quote, quoted_end, trim, unquote},
    method::Method,
    params::Params,
    uri::{Uri, parse_host_port},
};

/// Prefix of every branch that identifies a transaction (RFC 3261, section 8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One hop of a message's way (RFC 3261, section 20.42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP` or another, in upper case.
    pub transport: String,
    /// Where the sender says that it is.
    pub host: String,
    /// Its port, where one is written.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport` and others.
    pub params: Params,
}

impl Via {
    /// Reads one value. Its version may be another one: an answer that says so finds its way back, too.
    pub fn parse(text: &str) -> Option<Self> {
        let (protocol, rest) = text.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        if !trim(protocol).eq_ignore_ascii_case("SIP") || !is_token(trim(version)) {
            return None;
        }
        let rest = trim(rest);
        let (transport, rest) = rest.split_once([' ', '\t'])?;
        let (sent_by, params) = rest.split_once(';').unwrap_or((rest, ""));
        let (host, port) = parse_host_port(trim(sent_by))?;
        let params = Params::parse(params)?;
        is_token(transport).then(|| Self {
            transport: transport.to_ascii_uppercase(),
            host,
            port,
            params,
        })
    }

    /// The branch, if it identifies a transaction: it begins with the cookie and goes on.
    pub fn transaction_branch(&self) -> Option<String> {
        let branch = self.params.get("branch")?;
        let prefix = branch.get(..MAGIC_COOKIE.len())?;
        let is_unique = prefix.eq_ignore_ascii_case(MAGIC_COOKIE) && branch.len() > prefix.len();
        is_unique.then_some(branch)
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)
    }
}

/// An address, perhaps with a name, and what is said of it: From, To, Contact, Route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// Name for people.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// Parameters of the header, not of the address: `tag`, `expires`, `q`.
    pub params: Params,
}

impl NameAddr {
    /// An address and nothing else.
    pub fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: Params::default() }
    }

    /// Reads one value. Without angle brackets what is behind a semicolon belongs to the header, and the address may have no
    /// question mark or comma (RFC 3261, section 20).
    pub fn parse(text: &str) -> Option<Self> {
        let text = trim(text);
        let (display, rest) = if text.starts_with('"') {
            let end = quoted_end(text)?;
            (Some(unquote(&text[..end])), trim(&text[end..]))
        } else if let Some(at) = text.find(['<', ':']).filter(|at| text[*at..].starts_with('<')) {
            let name = trim(&text[..at]);
            if !name.split([' ', '\t']).all(|word| word.is_empty() || is_token(word)) {
                return None;
            }
            ((!name.is_empty()).then(|| name.to_owned()), &text[at..])
        } else {
            let (uri, params) = text.split_once(';').unwrap_or((text, ""));
            let uri = trim(uri);
            if uri.contains(['?', ',']) {
                return None;
            }
            return Some(Self {
                display: None,
                uri: Uri::parse(uri)?,
                params: Params::parse(params)?,
            });
        };
        let (uri, rest) = rest.strip_prefix('<')?.split_once('>')?;
        let rest = trim(rest);
        let params = match rest.strip_prefix(';') {
            Some(params) => Params::parse(params)?,
            None if rest.is_empty() => Params::default(),
            None => return None,
        };
        Some(Self { display, uri: Uri::parse(uri)?, params })
    }

    /// The tag, which names an end of a dialog.
    pub fn tag(&self) -> Option<String> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The same with `tag`.
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", Some(tag.to_owned()));
        self
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", quote(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// Number of a request in its dialog and direction (RFC 3261, section 20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Less than 2^31.
    pub number: u32,
    /// Method of the request, also in its responses.
    pub method: Method,
}

impl CSeq {
    /// Reads the value.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, method) = text.split_once([' ', '\t'])?;
        let number = decimal(number).filter(|&number| number < 1 << 31)?;
        Some(Self { number, method: Method::parse(trim(method))? })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// A number of digits only; `None` for what is none or too great.
pub(super) fn decimal(text: &str) -> Option<u32> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_may_have_white_space_where_the_grammar_has_it() {
        let via =
            Via::parse("SIP  /    2.0   / udp  192.0.2.2 : 99 ; branch = z9hG4bK1; RPORT").unwrap();
        assert_eq!(via.to_string(), "SIP/2.0/UDP 192.0.2.2:99;branch=z9hG4bK1;RPORT");
        assert_eq!(via.transaction_branch().as_deref(), Some("z9hG4bK1"));
        for text in ["SIP/2.0/UDP", "SIP//UDP a", "HTTP/2.0/UDP a", "SIP/2.0/UDP a:b", "x"] {
            assert_eq!(Via::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_branch_that_is_only_the_cookie_or_none_names_no_transaction() {
        for params in ["branch=z9hG4bK", "branch=0", "rport", "branch=1é"] {
            let via = Via::parse(&format!("SIP/2.0/UDP a;{params}")).unwrap();
            assert_eq!(via.transaction_branch(), None, "{params}");
        }
    }

    #[test]
    fn an_address_stands_in_brackets_or_alone() {
        let cases = [
            ("\"A \\\"B\" <sip:a@b;x=y>;tag=1", "\"A \\\"B\" <sip:a@b;x=y>;tag=1"),
            (
                "caller<sip:caller@example.com>;tag=323",
                "\"caller\" <sip:caller@example.com>;tag=323",
            ),
            ("sip:a@b;tag=1", "<sip:a@b>;tag=1"),
            ("<sip:a@b> ; tag = 1", "<sip:a@b>;tag=1"),
            ("isbn:2983792873", "<isbn:2983792873>"),
        ];
        for (text, written) in cases {
            let address = NameAddr::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(address.to_string(), written);
            assert_eq!(NameAddr::parse(written), Some(address));
        }
        let bad = [
            "\"a <sip:a@b>",
            "Bell, A <sip:a@b>",
            "<sip:a@b",
            "< sip:a@b >",
            "<sip:a@b>x",
            "sip:a@b?c=d",
            "",
        ];
        for text in bad {
            assert_eq!(NameAddr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_cseq_is_a_number_below_two_to_the_31_and_a_method() {
        assert_eq!(CSeq::parse("0009  INVITE").unwrap().to_string(), "9 INVITE");
        assert_eq!(CSeq::parse("2147483647 X").unwrap().number, 2_147_483_647);
        for text in ["2147483648 A", "36893488147419103232 A", "-1 A", "+1 A", "1", "A 1", "1 A B"]
        {
            assert_eq!(CSeq::parse(text), None, "{text}");
        }
    }
}
