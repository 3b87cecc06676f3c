//! What a request to the leak check asks for, and who may ask.

use std::net::SocketAddr;

use hyper::{HeaderMap, header};
use serde::Serialize;

/// What is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Check {
    /// Remember what is held now.
    Calibrate,
    /// What call sites hold more than they did then.
    Added,
    /// What all call sites hold.
    Full,
}

/// Form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Text,
}

impl Format {
    /// The first of those that `headers` accept. Who accepts neither gets JSON.
    fn accepted(headers: &HeaderMap) -> Self {
        let ranges = headers.get_all(header::ACCEPT).into_iter();
        let ranges =
            ranges.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        let formats = ranges.filter_map(|range| match range.split(';').next()?.trim() {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "text/plain" | "text/*" => Some(Self::Text),
            _ => None,
        });
        formats.into_iter().next().unwrap_or(Self::Json)
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

/// A request that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) check: Check,
    pub(super) format: Format,
}

impl Ask {
    /// # Errors
    /// What is wrong, and what there is.
    pub(super) fn parse(query: Option<&str>, headers: &HeaderMap) -> Result<Self, String> {
        let (mut check, mut format) = (None, None);
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for pair in pairs {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("check", "calibrate") => check = Some(Check::Calibrate),
                ("check", "added") => check = Some(Check::Added),
                ("check", "full") => check = Some(Check::Full),
                ("check", other) => {
                    return Err(format!(
                        "no check is called {other:?}; there are calibrate, added and full"
                    ));
                }
                ("format", "json") => format = Some(Format::Json),
                ("format", "text") => format = Some(Format::Text),
                ("format", other) => {
                    return Err(format!("no format is called {other:?}; there are json and text"));
                }
                (other, _) => {
                    return Err(format!(
                        "no parameter is called {other:?}; there are check and format"
                    ));
                }
            }
        }
        let check = check.ok_or("say which: ?check=calibrate, ?check=added or ?check=full")?;
        Ok(Self { check, format: format.unwrap_or_else(|| Format::accepted(headers)) })
    }
}

/// Whether `peer` may ask at all.
pub(super) fn is_allowed(peer: SocketAddr, from_anywhere: bool) -> bool {
    // A listener for IPv6 sees those who come over IPv4 by a mapped address.
    from_anywhere || peer.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn parse(query: &str, accept: Option<&'static str>) -> Result<Ask, String> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        Ask::parse(Some(query), &headers)
    }

    #[test]
    fn checks_and_formats_are_told_by_the_query() {
        let ask = |check, format| Ok(Ask { check, format });
        assert_eq!(parse("check=calibrate", None), ask(Check::Calibrate, Format::Json));
        assert_eq!(parse("format=text&check=added", None), ask(Check::Added, Format::Text));
        assert_eq!(parse("check=full&format=json", None), ask(Check::Full, Format::Json));
        // What the query says counts, whatever is accepted.
        assert_eq!(
            parse("check=full&format=json", Some("text/plain")),
            ask(Check::Full, Format::Json)
        );
    }

    #[test]
    fn without_a_format_the_first_that_is_accepted_is_taken() {
        let format = |accept| parse("check=full", Some(accept)).map(|ask| ask.format);
        for accept in ["text/plain", "text/*;q=0.5", "text/html, text/plain, */*"] {
            assert_eq!(format(accept), Ok(Format::Text), "{accept}");
        }
        for accept in ["*/*", "application/json", "application/json, text/plain", "image/png"] {
            assert_eq!(format(accept), Ok(Format::Json), "{accept}");
        }
    }

    #[test]
    fn what_there_is_not_is_refused_with_what_there_is() {
        for (query, expected) in [
            ("", "say which: ?check=calibrate"),
            ("format=text", "say which: ?check=calibrate"),
            ("check=", "no check is called \"\"; there are calibrate, added and full"),
            ("check=new", "no check is called \"new\"; there are calibrate, added and full"),
            ("check=full&format=xml", "no format is called \"xml\"; there are json and text"),
            ("check=full&fromat=text", "no parameter is called \"fromat\"; there are check and"),
        ] {
            let refusal = parse(query, None).unwrap_err();
            assert!(refusal.starts_with(expected), "{query:?}: {refusal}");
        }
        assert!(Ask::parse(None, &HeaderMap::new()).is_err());
    }

    #[test]
    fn who_comes_from_this_machine_may_ask_and_others_when_configured() {
        let peer = |text: &str| text.parse::<SocketAddr>().expect("an address");
        for here in ["127.0.0.1:9", "127.8.9.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert!(is_allowed(peer(here), false), "{here}");
        }
        for there in ["192.0.2.1:9", "[::ffff:192.0.2.1]:9", "[2001:db8::1]:9", "[::7f00:1]:9"] {
            assert!(!is_allowed(peer(there), false), "{there}");
            assert!(is_allowed(peer(there), true), "{there}");
        }
    }
}
