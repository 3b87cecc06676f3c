//! What a client says: connect and commands, read with all that may be wrong with them.

use std::net::IpAddr;

use thiserror::Error;

use crate::{
    amf::Value,
    gateway::phone::desk::{Action, Attachment, Full},
    rtmp::server::ConnectRequest,
    rtp::dtmf::Digit,
    sdp::Codec,
    sip::{
        digest::Credentials,
        fields::NameAddr,
        uri::{SipUri, Uri},
    },
};

/// Longest text of a client, in bytes.
const TEXT_BYTES_MAX: usize = 512;
/// Codecs that a client may name at a time.
const CODECS_MAX: usize = 16;
/// Codecs of the application's old clients that would have to be transcoded.
const TRANSCODED: [&str; 3] = ["ulaw", "alaw", "flv"];

/// Why a client cannot connect.
#[derive(Debug, Error)]
pub(in crate::gateway) enum Refused {
    #[error("no calls are made here: sip.enabled is false")]
    Disabled,
    #[error("no user agents are served here: sip.client_domains is empty")]
    NoDomains,
    #[error("that domain is not served here: it is none of sip.client_domains")]
    Domain,
    #[error("connect to sip/user@domain, which is the address of whoever calls")]
    NoAddress,
    #[error("a name, a password or a rate is too long or has control characters")]
    Text,
    #[error("the rate is wideband or narrowband")]
    Rate,
    #[error(transparent)]
    Full(#[from] Full),
}

fn is_usable(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Who wants to be a client, as connect says it, which comes from `ip`.
///
/// # Errors
/// It makes no sense.
pub(super) fn attachment(request: &ConnectRequest, ip: IpAddr) -> Result<Attachment, Refused> {
    let address = request.app.strip_prefix("sip/").ok_or(Refused::NoAddress)?;
    let uri = Uri::parse(&format!("sip:{address}")).ok_or(Refused::NoAddress)?;
    let user = uri.as_sip().and_then(SipUri::user_name).ok_or(Refused::NoAddress)?;
    let argument = |index: usize| {
        let text = request.arguments.get(index).and_then(Option::as_deref).unwrap_or_default();
        if is_usable(text) { Ok(text) } else { Err(Refused::Text) }
    };
    let (name, password, display, rate) = (argument(0)?, argument(1)?, argument(2)?, argument(3)?);
    let codec = match rate {
        "" => Codec::Wideband,
        _ => Codec::from_name(rate)
            .filter(|codec| matches!(codec, Codec::Wideband | Codec::Narrowband))
            .ok_or(Refused::Rate)?,
    };
    let mut address = NameAddr::new(uri);
    address.display = (!display.is_empty()).then(|| display.to_owned());
    let credentials = (!password.is_empty()).then(|| Credentials {
        user: if name.is_empty() { user } else { name.to_owned() },
        password: password.to_owned(),
    });
    Ok(Attachment { address, credentials, codecs: vec![codec, Codec::Dtmf], ip })
}

/// What a command wants, or why it makes no sense; `None` if nobody knows it.
pub(super) fn action(name: &str, arguments: &[Value]) -> Option<Result<Action, String>> {
    let text =
        |index: usize| arguments.get(index).and_then(Value::as_str).filter(|text| is_usable(text));
    Some(match name {
        "invite" => text(0)
            .ok_or_else(|| "400 invite needs the address of somebody".to_owned())
            .and_then(|to| {
                let to = destination(to)
                    .ok_or_else(|| "400 that is not the address of a phone".to_owned())?;
                Ok(Action::Invite { to, codecs: codecs(&arguments[1..])? })
            }),
        "accept" => codecs(arguments).map(|codecs| Action::Accept { codecs }),
        "reject" => Ok(Action::Reject { status: text(0).map_or(603, refusal) }),
        "bye" => Ok(Action::Bye),
        "sendDTMF" => text(0)
            .and_then(|text| {
                let mut characters = text.chars();
                Digit::from_char(characters.next()?).filter(|_| characters.next().is_none())
            })
            .map(Action::SendDtmf)
            .ok_or_else(|| "sendDTMF needs one of 0-9, *, # and A-D".to_owned()),
        "hold" => match arguments.first().and_then(Value::as_bool) {
            Some(hold) => Ok(Action::Hold(hold)),
            None => Err("hold needs true or false".to_owned()),
        },
        _ => return None,
    })
}

/// The address of somebody to call, in the forms in which people write it.
fn destination(text: &str) -> Option<NameAddr> {
    let text = text.trim();
    let has_scheme = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let mut parsed = match text.contains('<') || has_scheme("sip:") || has_scheme("sips:") {
        true => NameAddr::parse(text)?,
        false => NameAddr::new(Uri::parse(&format!("sip:{text}"))?),
    };
    let Uri::Sip(uri) = &mut parsed.uri else { return None };
    // They are no part of whom a request is for (RFC 3261, section 19.1.1).
    uri.headers = None;
    parsed.params = Default::default();
    Some(parsed)
}

/// The status of "486 Busy Here"; what has no number of a refusal is 603.
fn refusal(reason: &str) -> u16 {
    let number = reason.split(' ').next().and_then(|number| number.parse().ok());
    number.filter(|status| (400..700).contains(status)).unwrap_or(603)
}

/// What a client names; `None` if it names nothing.
fn codecs(arguments: &[Value]) -> Result<Option<Vec<Codec>>, String> {
    if arguments.is_empty() {
        return Ok(None);
    }
    if arguments.len() > CODECS_MAX {
        return Err(format!("488 more than {CODECS_MAX} codecs"));
    }
    let mut codecs = Vec::new();
    for argument in arguments {
        let name = argument.as_str().filter(|name| is_usable(name)).unwrap_or_default();
        match Codec::from_name(name) {
            Some(codec) if codecs.contains(&codec) => {}
            Some(codec) => codecs.push(codec),
            None if TRANSCODED.contains(&name) => {}
            None => return Err(format!("488 no codec is called {name:?}")),
        }
    }
    match codecs.iter().any(|codec| codec.is_stream()) {
        true => Ok(Some(codecs)),
        false => Err("488 nothing is transcoded: name wideband, narrowband, pcmu or pcma".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn request(app: &str, arguments: &[Option<&str>]) -> ConnectRequest {
        let arguments = arguments.iter().map(|own| own.map(str::to_owned)).collect();
        ConnectRequest { app: app.to_owned(), arguments, ..ConnectRequest::default() }
    }

    #[test]
    fn connect_says_who_calls_and_what_proves_it() {
        let full = [Some("auth"), Some("secret"), Some("Bob"), Some("narrowband")];
        let known = attachment(&request("sip/bob@192.0.2.1", &full), IP).unwrap();
        assert_eq!(known.address.to_string(), "\"Bob\" <sip:bob@192.0.2.1>");
        let credentials = known.credentials.unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("auth", "secret"));
        assert_eq!(known.codecs, [Codec::Narrowband, Codec::Dtmf]);

        let unnamed =
            attachment(&request("sip/bob@192.0.2.1", &[None, Some("secret")]), IP).unwrap();
        assert_eq!(unnamed.credentials.unwrap().user, "bob");
        let anonymous = attachment(&request("sip/bob@192.0.2.1", &[]), IP).unwrap();
        assert_eq!(anonymous.credentials, None);
        assert_eq!(anonymous.codecs, [Codec::Wideband, Codec::Dtmf]);
        for app in ["sip", "sip/", "sip/192.0.2.1", "sip/a b@192.0.2.1", "sip/@192.0.2.1"] {
            let refused = attachment(&request(app, &[]), IP).unwrap_err();
            assert!(matches!(refused, Refused::NoAddress), "{app}: {refused}");
        }
        let broken = attachment(&request("sip/bob@192.0.2.1", &[Some("a\r\nb")]), IP).unwrap_err();
        assert!(matches!(broken, Refused::Text));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert!(attachment(&request("sip/bob@192.0.2.1", &[Some(&long)]), IP).is_err());
        let rate = [None, None, None, Some("pcmu")];
        assert!(matches!(attachment(&request("sip/b@192.0.2.1", &rate), IP), Err(Refused::Rate)));
    }

    #[test]
    fn people_write_addresses_in_several_forms() {
        for (text, read) in [
            ("alice@192.0.2.1", "<sip:alice@192.0.2.1>"),
            ("SIP:alice@192.0.2.1:5070", "<sip:alice@192.0.2.1:5070>"),
            ("\"Alice\" <sip:alice@192.0.2.1>;tag=1", "\"Alice\" <sip:alice@192.0.2.1>"),
            ("<sip:alice@192.0.2.1?Subject=x>", "<sip:alice@192.0.2.1>"),
            (" 192.0.2.1 ", "<sip:192.0.2.1>"),
        ] {
            assert_eq!(destination(text).map(|to| to.to_string()).as_deref(), Some(read), "{text}");
        }
        for text in ["", "tel:+123", "<tel:+123>", "a b@192.0.2.1", "<", "sip:", "@", "\"a"] {
            assert_eq!(destination(text), None, "{text}");
        }
    }

    #[test]
    fn commands_that_make_no_sense_are_told_from_those_that_nobody_knows() {
        let of = |name: &str, arguments: &[Value]| action(name, arguments);
        assert_eq!(of("createRoom", &[]), None);
        for (name, arguments) in [
            ("invite", &[][..]),
            ("invite", &[7.0.into()]),
            ("invite", &["a@192.0.2.1".into(), "opus".into()]),
            ("invite", &["a@192.0.2.1".into(), Value::Null]),
            ("invite", &["a@192.0.2.1".into(), "ulaw".into(), "flv".into()]),
            ("invite", &["a@192.0.2.1".into(), "dtmf".into()]),
            ("invite", &["a@192.0.2.1\r\nVia: x".into()]),
            ("accept", &["opus".into()]),
            ("sendDTMF", &["12".into()]),
            ("sendDTMF", &["E".into()]),
            ("sendDTMF", &[]),
            ("hold", &["true".into()]),
            ("hold", &[]),
        ] {
            assert!(matches!(of(name, arguments), Some(Err(_))), "{name} {arguments:?}");
        }
        let many = vec![Value::from("pcmu"); CODECS_MAX + 1];
        assert!(matches!(of("accept", &many), Some(Err(_))));
    }

    #[test]
    fn codecs_are_named_in_the_order_in_which_they_are_liked() {
        let named = |names: &[&str]| {
            codecs(&names.iter().map(|&name| Value::from(name)).collect::<Vec<_>>())
        };
        assert_eq!(named(&[]), Ok(None));
        let liked = vec![Codec::Pcmu, Codec::Wideband, Codec::Dtmf];
        assert_eq!(named(&["pcmu", "ulaw", "wideband", "pcmu", "dtmf"]), Ok(Some(liked)));
    }

    #[test]
    fn a_call_is_refused_with_the_number_that_is_said_or_declined() {
        let status = |arguments: &[Value]| match action("reject", arguments) {
            Some(Ok(Action::Reject { status })) => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status(&["486 Busy Here".into()]), 486);
        for arguments in [&[][..], &["no thanks".into()], &["200 OK".into()], &["99999".into()]] {
            assert_eq!(status(arguments), 603, "{arguments:?}");
        }
    }
}
