//! What layers above must make sense of (RFC 4475, sections 3.2 to 3.4): it can be read, and this is what they see.

use rehearsal_core::sip::{
    fields::{NameAddr, Via},
    headers::HeaderName,
    message::Fields,
    method::Method,
    uri::Uri,
};

use crate::Text;

fn options(uri: &str) -> Text {
    Text::request("OPTIONS", uri)
}

fn register() -> Text {
    Text::request("REGISTER", "sip:example.com")
}

// badbranch
#[test]
fn a_branch_of_nothing_but_the_cookie_names_no_transaction() {
    let text = options("sip:user@example.com").with("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK");
    let via = text.as_request().top_via().unwrap();
    assert_eq!(via.transaction_branch(), None);
    assert_eq!(via.params.get("branch").as_deref(), Some("z9hG4bK"));
}

// insuf
#[test]
fn what_every_request_must_have_is_missed() {
    let text = Text::request("INVITE", "sip:user@example.com");
    let cases = [
        ("From", "From must be there once"),
        ("To", "To must be there once"),
        ("Call-ID", "Call-ID must be there once"),
        ("CSeq", "CSeq must be there once"),
    ];
    for (name, problem) in cases {
        text.clone().without(name).is_refused(400, problem);
    }
    let none = text.without("From").without("To").without("Call-ID");
    none.is_refused(400, "From must be there once");
}

// unkscm
#[test]
fn a_request_may_be_for_an_unknown_scheme() {
    let text = options("nobodyKnowsThisScheme:totallyopaquecontent");
    let opaque = "nobodyKnowsThisScheme:totallyopaquecontent";
    assert_eq!(text.as_request().uri, Uri::Other(opaque.into()));
}

// novelsc
#[test]
fn a_request_may_be_for_a_scheme_that_others_know() {
    let request = options("soap.beep://192.0.2.103:3002").as_request();
    assert_eq!(request.uri, Uri::Other("soap.beep://192.0.2.103:3002".into()));
}

// unksm2
#[test]
fn addresses_may_be_of_unknown_schemes() {
    let register = register()
        .with("To: isbn:2983792873")
        .with("From: <http://www.example.com>;tag=3234233")
        .and("Contact: <name:John_Smith>")
        .as_request();
    assert_eq!(register.to().unwrap().uri, Uri::Other("isbn:2983792873".into()));
    assert_eq!(register.from().unwrap().tag().as_deref(), Some("3234233"));
    assert_eq!(register.contact().unwrap().uri, Uri::Other("name:John_Smith".into()));
}

// bext01
#[test]
fn extensions_that_are_required_are_seen_one_by_one() {
    let request = options("sip:user@example.com")
        .and("Require: nothingSupportsThis, nothingSupportsThisEither")
        .and("Proxy-Require: noProxiesSupportThis")
        .and("Proxy-Require: norDoAnyProxiesSupportThis")
        .as_request();
    let required = request.headers.list(&HeaderName::REQUIRE);
    assert_eq!(required, ["nothingSupportsThis", "nothingSupportsThisEither"]);
    let required = request.headers.list(&HeaderName::PROXY_REQUIRE);
    assert_eq!(required, ["noProxiesSupportThis", "norDoAnyProxiesSupportThis"]);
}

// invut
#[test]
fn a_body_may_be_of_an_unknown_type() {
    let invite = Text::request("INVITE", "sip:user@example.com")
        .and("c: application/unknownformat ; a=b")
        .and("l: 6")
        .body("<one/>")
        .as_request();
    assert_eq!(invite.content_type().as_deref(), Some("application/unknownformat"));
    assert_eq!(&invite.body[..], b"<one/>");
}

// regaut01
#[test]
fn a_scheme_of_authorization_may_be_unknown() {
    let register =
        register().and("Authorization: NoOneKnowsThisScheme opaque-data=here").as_request();
    let said = register.headers.get(&HeaderName::AUTHORIZATION);
    assert_eq!(said, Some("NoOneKnowsThisScheme opaque-data=here"));
}

// multi01
#[test]
fn what_may_be_there_once_is_refused_twice() {
    let cases = [
        ("f: <sip:other@example.org>;tag=2", "From must be there once"),
        ("To: <sip:other@example.org>", "To must be there once"),
        ("i: other", "Call-ID must be there once"),
        ("CSeq: 9 OPTIONS", "CSeq must be there once"),
        ("Max-Forwards: 5", "Max-Forwards may be there once"),
    ];
    for (line, problem) in cases {
        options("sip:user@example.com").and(line).is_refused(400, problem);
    }
    let two = options("sip:user@example.com").and("Expires: 1").and("Expires: 1");
    two.is_refused(400, "Expires may be there once");
    let two = options("sip:user@example.com").with("To: <sip:a@example.com>, <sip:b@example.com>");
    two.is_refused(400, "Malformed To");
}

#[test]
fn too_many_headers_are_refused_if_it_can_be_said() {
    let mut text = options("sip:user@example.com");
    let line = text.lines.remove(0);
    text.lines.extend((0..crate::LIMITS.headers).map(|number| format!("X-{number}: x")));
    // The way back is among what is left out.
    text.clone().and(&line).is_dropped("Too many headers");
    text.lines.insert(3, line);
    text.is_refused(400, "Too many headers");
}

#[test]
fn two_tags_or_branches_are_refused() {
    let cases = [
        ("From: <sip:caller@example.org>;tag=1;Tag=2", "Malformed From"),
        ("To: <sip:user@example.com>;tag=1;tag=1", "Malformed To"),
        ("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport;BRANCH=z9hG4bK2", "Malformed Via"),
    ];
    for (line, problem) in cases {
        options("sip:user@example.com").with(line).is_refused(400, problem);
    }
    let twice = options("sip:user@example.com").with("From: <sip:a@b;x=1;x=2>;tag=1;x=1;x=2");
    assert_eq!(twice.as_request().from().unwrap().tag().as_deref(), Some("1"));
}

// mcl01
#[test]
fn two_lengths_that_differ_are_refused() {
    let text = options("sip:user@example.com").and("Content-Length: 13").body("There's no way\r\n");
    text.clone().and("l: 5").is_refused(400, "Malformed Content-Length");
    text.clone().with("Content-Length: 13, 5").is_refused(400, "Malformed Content-Length");
    assert_eq!(text.and("l: 0013").as_request().body.len(), 13);
}

// bcast
#[test]
fn a_response_may_have_come_over_a_broadcast_address() {
    let response = Text::new("SIP/2.0 200 OK", "INVITE")
        .and("Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKsaved;received=192.0.2.198")
        .as_response();
    let vias = response.headers.list(&HeaderName::VIA);
    let hosts: Vec<_> = vias.iter().map(|via| Via::parse(via).unwrap().host).collect();
    // More than one: it is for another element.
    assert_eq!(hosts, ["192.0.2.1", "255.255.255.255"]);
}

// zeromf
#[test]
fn no_hop_may_be_left() {
    let request = options("sip:user@example.com").with("Max-Forwards: 0").as_request();
    assert_eq!(request.headers.get(&HeaderName::MAX_FORWARDS), Some("0"));
}

// cparam01
#[test]
fn a_parameter_behind_a_bare_address_is_the_headers() {
    let text = register().and("Contact: sip:+19725552222@gw1.example.net;unknownparam");
    let contact = text.as_request().contact().unwrap();
    assert_eq!(contact.uri.to_string(), "sip:+19725552222@gw1.example.net");
    assert!(contact.params.has("unknownparam"));
}

// cparam02
#[test]
fn a_parameter_within_angle_brackets_is_the_addresss() {
    let text = register().and("Contact: <sip:+19725552222@gw1.example.net;unknownparam>");
    let contact = text.as_request().contact().unwrap();
    assert!(contact.uri.as_sip().unwrap().params.has("unknownparam"));
    assert!(!contact.params.has("unknownparam"));
}

// regescrt
#[test]
fn a_contact_may_have_headers_in_its_address() {
    let text = register().and("Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>");
    let contact = text.as_request().contact().unwrap();
    let headers = contact.uri.as_sip().unwrap().headers.as_deref();
    assert_eq!(headers, Some("Route=%3Csip:sip.example.com%3E"));
}

// sdp01
#[test]
fn what_is_accepted_may_be_unknown() {
    let invite = Text::request("INVITE", "sip:user@example.com")
        .and("Accept: text/nobodyKnowsThis")
        .as_request();
    let accept = HeaderName::parse("accept").unwrap();
    assert_eq!(invite.headers.list(&accept), ["text/nobodyKnowsThis"]);
}

// inv2543
#[test]
fn a_request_of_rfc_2543_is_read() {
    let lines = [
        "Via: SIP/2.0/UDP iftgw.example.com",
        "From: <sip:+13035551111@ift.client.example.net;user=phone>",
        "Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>",
        "To: sip:+16505552222@ss1.example.net;user=phone",
        "Call-ID: inv2543.1717@ift.client.example.com",
        "CSeq: 56 INVITE",
        "Content-Type: application/sdp",
    ];
    let text = Text::bare("INVITE sip:UserB@example.com SIP/2.0", &lines).body("v=0\r\n");
    let invite = text.as_request();
    assert_eq!(invite.method, Method::Invite);
    assert_eq!(invite.top_via().unwrap().transaction_branch(), None);
    assert_eq!((invite.from().unwrap().tag(), invite.to().unwrap().tag()), (None, None));
    let route = NameAddr::parse(invite.headers.get(&HeaderName::RECORD_ROUTE).unwrap()).unwrap();
    assert!(!route.uri.as_sip().unwrap().params.has("lr"));
    // Without a length the body is all that is left of the datagram.
    assert_eq!(&invite.body[..], b"v=0\r\n");
}
