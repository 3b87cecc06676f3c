//! Random messages, made of the public types: whatever they write must be read as it was.

use proptest::{collection::vec, option, prelude::*, sample::select};
use rehearsal_core::sip::{
    fields::{CSeq, MAGIC_COOKIE, NameAddr, Via},
    headers::{HeaderName, Headers},
    message::{Message, Request, Response},
    method::Method,
    params::Params,
    uri::{SipUri, Uri},
};

pub fn method() -> impl Strategy<Value = Method> {
    // Each begins with a letter that no known method begins with: `differential` says why.
    let other = "[X-Z!][A-Za-z0-9.!%*_+`'~-]{0,11}".prop_map(|name| Method::parse(&name).unwrap());
    const KNOWN: &[&str] =
        &["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "UPDATE"];
    prop_oneof![select(KNOWN).prop_map(|name| Method::parse(name).unwrap()), other]
}

/// Parameters of a URI or of a header; `tag` and the like come besides.
fn params() -> impl Strategy<Value = Params> {
    let value = prop_oneof!["[A-Za-z0-9._~+-]{1,9}", Just("[2001:db8::1]".to_owned())];
    vec(("[a-z][A-Za-z0-9.!*+-]{0,7}", option::of(value)), 0..4).prop_map(|all| {
        let mut params = Params::default();
        all.into_iter().for_each(|(name, value)| params.set(&name, value));
        params
    })
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,8}(\\.[a-z0-9]{1,8}){0,3}",
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ]
}

pub fn sip_uri() -> impl Strategy<Value = SipUri> {
    let user = "([A-Za-z0-9;,?/&=+$_.!~*'()-]|%20|%40|%3A|%C3%A9){1,12}(:[a-z0-9%]{0,5})?";
    let headers = "[a-z]{1,5}=[a-z0-9]{1,5}(&[a-z]{1,5}=%[23]C[a-z]{0,5}%3E){0,2}";
    (
        any::<bool>(),
        option::of(user),
        host(),
        option::of(any::<u16>()),
        params(),
        option::of(headers),
    )
        .prop_map(|(secure, user, host, port, params, headers)| SipUri {
            secure,
            user,
            host,
            port,
            params,
            headers,
        })
}

/// Quotes, escapes, brackets, separators, control characters and letters of any script.
pub const ANY_NAME: &str = "([\"\\\\<>,;:@ \\x00\\x07\\t\\x7f]|\\PC){0,12}";

/// With a name that matches `display`, or none, and with `tag`, or without.
pub fn name_addr(display: &'static str) -> impl Strategy<Value = NameAddr> {
    let tag = option::of("[A-Za-z0-9.!*_+-]{1,12}");
    (option::of(display), sip_uri(), params(), tag).prop_map(|(display, uri, params, tag)| {
        let address = NameAddr { display, uri: Uri::Sip(uri), params };
        match tag {
            Some(tag) => address.with_tag(&tag),
            None => address,
        }
    })
}

pub fn via() -> impl Strategy<Value = Via> {
    const TRANSPORTS: &[&str] = &["UDP", "TCP", "TLS", "SCTP", "X-1"];
    let branch = option::of("[A-Za-z0-9.!*_+`'~-]{0,12}");
    (select(TRANSPORTS), host(), option::of(any::<u16>()), params(), branch).prop_map(
        |(transport, host, port, mut params, branch)| {
            if let Some(branch) = branch {
                params.set("branch", Some(format!("{MAGIC_COOKIE}{branch}")));
            }
            Via { transport: transport.into(), host, port, params }
        },
    )
}

pub fn cseq(method: Method) -> impl Strategy<Value = CSeq> {
    (0..1_u32 << 31).prop_map(move |number| CSeq { number, method: method.clone() })
}

/// One that is nobody's: it is passed on as it stands.
fn unknown_header() -> impl Strategy<Value = (HeaderName, String)> {
    ("X-[A-Za-z0-9.!%*_+`'~-]{1,9}", "\\PC{0,20}").prop_map(|(name, value)| {
        (HeaderName::parse(&name).unwrap(), value.trim_matches([' ', '\t']).to_owned())
    })
}

/// What every message must have and some of what it may have, in any order.
fn headers(method: Method, name: &'static str) -> impl Strategy<Value = Headers> {
    let call_id = "[A-Za-z0-9.!%*_+`'~()<>:/?{}\\[\\]-]{1,16}(@[a-z0-9.]{1,9})?";
    let once = (name_addr(name), name_addr(name), call_id, cseq(method), option::of(0..=255_u8));
    let many = (vec(via(), 1..4), vec(name_addr(name), 0..3), vec(unknown_header(), 0..4));
    let all =
        (once, many).prop_map(|((from, to, call_id, cseq, hops), (vias, contacts, unknown))| {
            let mut all = vec![
                (HeaderName::FROM, from.to_string()),
                (HeaderName::TO, to.to_string()),
                (HeaderName::CALL_ID, call_id),
                (HeaderName::CSEQ, cseq.to_string()),
            ];
            all.extend(hops.map(|hops| (HeaderName::MAX_FORWARDS, hops.to_string())));
            all.extend(vias.iter().map(|via| (HeaderName::VIA, via.to_string())));
            let contacts: Vec<_> = contacts.iter().map(NameAddr::to_string).collect();
            all.push((HeaderName::CONTACT, contacts.join(", ")));
            all.extend(unknown);
            all
        });
    all.prop_shuffle().prop_map(|all| {
        let mut headers = Headers::default();
        all.into_iter().for_each(|(name, value)| headers.push(name, value));
        headers
    })
}

/// Names of addresses match `name`.
pub fn message(name: &'static str) -> impl Strategy<Value = Message> {
    let head = method().prop_flat_map(move |method| (Just(method.clone()), headers(method, name)));
    let body = vec(any::<u8>(), 0..80);
    let start = prop_oneof![
        sip_uri().prop_map(|uri| Ok(Uri::Sip(SipUri { headers: None, ..uri }))),
        (100..700_u16, "\\PC{0,16}").prop_map(Err),
    ];
    (head, body, start).prop_map(|((method, headers), body, start)| {
        let body = body.into();
        match start {
            Ok(uri) => Message::Request(Request { method, uri, headers, body }),
            Err((status, reason)) => Message::Response(Response { status, reason, headers, body }),
        }
    })
}
