//! Valid, however it looks (RFC 4475, section 3.1.1).

use rehearsal_core::sip::{
    fields::NameAddr,
    headers::{HeaderName, Headers},
    message::Fields,
    method::Method,
    params::Params,
    uri::SipUri,
};

use crate::Text;

fn name(text: &str) -> HeaderName {
    HeaderName::parse(text).unwrap()
}

fn sip(address: Option<NameAddr>) -> SipUri {
    address.unwrap().uri.as_sip().unwrap().clone()
}

fn contacts(headers: &Headers) -> Vec<NameAddr> {
    let all = headers.list(&HeaderName::CONTACT).into_iter();
    all.map(|text| NameAddr::parse(text).unwrap()).collect()
}

fn values(params: &Params, names: &[&str]) -> Vec<Option<String>> {
    names.iter().map(|name| params.get(name)).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

// wsinv
#[test]
fn white_space_may_be_all_over() {
    let text = Text::bare(
        "INVITE sip:vera@chair.example.com;unknownparam SIP/2.0",
        &[
            "TO :",
            " sip:vera@chair.example.com ;   tag    = 1918181833n",
            "from   : \"J Roe \\\\\\\"\"       <sip:roe@example.com>",
            "  ;",
            "  tag = 98asjd8",
            "MaX-fOrWaRdS: 0068",
            "Call-ID: wsinv.ours@192.0.2.1",
            "Content-Length   : 5",
            "cseq: 0009",
            "  INVITE",
            "Via  : SIP  /   2.0",
            " /UDP",
            "    192.0.2.2;branch=390skdjuw",
            "s :",
            "NewFangledHeader:   new",
            " continued",
            "UnknownHeaderWithUnusualValue: ;;,,;;,;",
            "Content-Type: application/sdp",
            "Route:",
            " <sip:services.example.com;lr;unknownwith=value;unknown-no-value>",
            "v:  SIP  / 2.0  / TCP     spindle.example.com   ;",
            "  branch  =   z9hG4bK9ikj8  ,",
            " SIP  /    2.0   / UDP  192.168.255.111   ; branch=",
            " z9hG4bK30239",
            "m:\"Quoted string \\\"\\\"\" <sip:roe@example.com> ; newparam =",
            "      newvalue ;",
            "  secondparam ; q = 0.33",
        ],
    );
    let invite = text.body("v=0\r\n").differs("the escaped quote in From").as_request();
    assert_eq!(invite.uri.as_sip().unwrap().params.get("unknownparam").as_deref(), Some(""));
    assert_eq!(invite.to().unwrap().tag().as_deref(), Some("1918181833n"));
    let from = invite.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("J Roe \\\""));
    assert_eq!(from.tag().as_deref(), Some("98asjd8"));
    assert_eq!(invite.headers.get(&HeaderName::MAX_FORWARDS), Some("0068"));
    assert_eq!(invite.cseq().unwrap().to_string(), "9 INVITE");
    assert_eq!(invite.headers.get(&HeaderName::SUBJECT), Some(""));
    assert_eq!(invite.headers.get(&name("newfangledheader")), Some("new continued"));
    assert_eq!(invite.headers.get(&name("UnknownHeaderWithUnusualValue")), Some(";;,,;;,;"));
    assert_eq!(invite.headers.list(&HeaderName::VIA).len(), 3);
    assert_eq!(invite.top_via().unwrap().to_string(), "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw");
    let contact = invite.contact().unwrap();
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    let wanted = some(&["newvalue", "", "0.33"]);
    assert_eq!(values(&contact.params, &["newparam", "secondparam", "q"]), wanted);
    assert_eq!(&invite.body[..], b"v=0\r\n");
}

// intmeth
#[test]
fn every_character_that_the_grammar_has_is_taken() {
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    let uri = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com";
    let id = "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{";
    let request = Text::request(method, uri)
        .with("Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~")
        .with("To: \"BEL:\\\u{7} NUL:\\\0 DEL:\\\u{7f}\" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>")
        .with("From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"работающий\";tag=_token~1'+`*%!-.")
        .with(&format!("Call-ID: {id}"))
        .and("extensionHeader-!.%*+_`'~: \u{feff}大停電")
        .differs("the escape that is none in the branch")
        .as_request();
    assert_eq!(request.method, Method::Other(method.into()));
    let sip = request.uri.as_sip().unwrap();
    assert_eq!((sip.host.as_str(), sip.port), ("example.com", None));
    let user = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*";
    assert_eq!(sip.user_name().as_deref(), Some(user));
    let to = request.to().unwrap();
    assert_eq!(to.display.as_deref(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));
    let from = request.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("token1~` token2'+_ token3*%!.-"));
    assert_eq!(from.params.get("FROMPARAM''~+*_!.-%").as_deref(), Some("работающий"));
    assert_eq!(from.tag().as_deref(), Some("_token~1'+`*%!-."));
    assert_eq!(request.call_id(), Some(id));
    assert_eq!(request.headers.get(&name("extensionheader-!.%*+_`'~")), Some("\u{feff}大停電"));
    // What had to be escaped is escaped again.
    assert_eq!(NameAddr::parse(&to.to_string()), Some(to.clone()));
    assert!(to.to_string().starts_with("\"BEL:\\\u{7} NUL:\\\0 DEL:\\\u{7f}\" <"));
}

// esc01
#[test]
fn escapes_stand_for_what_they_escape() {
    let invite = Text::request("INVITE", "sip:sips%3Auser%40example.com@example.net")
        .with("To: sip:%75se%72@example.com")
        .and("Contact: <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>")
        .as_request();
    let uri = invite.uri.as_sip().unwrap();
    assert_eq!(uri.user_name().as_deref(), Some("sips:user@example.com"));
    assert_eq!((uri.host.as_str(), uri.secure), ("example.net", false));
    assert_eq!(sip(invite.to()).user_name().as_deref(), Some("user"));
    let contact = sip(invite.contact());
    assert_eq!(contact.user_name().as_deref(), Some("caller"));
    // An escaped percent sign begins no other escape: not "valueA".
    assert_eq!(values(&contact.params, &["lr", "name"]), some(&["", "value%2541"]));
}

// escnull
#[test]
fn an_escaped_zero_byte_is_a_character() {
    let register = Text::request("REGISTER", "sip:example.com")
        .with("To: sip:null-%00-null@example.com")
        .and("Contact: <sip:%00@host5.example.com>")
        .and("Contact: <sip:%00%00@host5.example.com>")
        .as_request();
    assert_eq!(sip(register.to()).user_name().as_deref(), Some("null-\0-null"));
    let users: Vec<_> = contacts(&register.headers)
        .into_iter()
        .map(|own| sip(Some(own)).user_name().unwrap())
        .collect();
    assert_eq!(users, ["\0", "\0\0"]);
}

// esc02
#[test]
fn a_percent_sign_is_no_escape_where_there_are_none() {
    let request = Text::request("RE%47IST%45R", "sip:registrar.example.com")
        .with("To: \"%Z%45\" <sip:resource@example.com>")
        .and("Contact: <sip:alias1@host1.example.com>")
        .and("C%6Fntact: <sip:alias2@host2.example.com>")
        .and("Contact: <sip:alias3@host3.example.com>")
        .as_request();
    assert_eq!(request.method, Method::Other("RE%47IST%45R".into()));
    assert_eq!(request.to().unwrap().display.as_deref(), Some("%Z%45"));
    assert_eq!(contacts(&request.headers).len(), 2);
    assert!(request.headers.get(&name("C%6Fntact")).is_some());
}

// lwsdisp
#[test]
fn no_white_space_is_needed_before_an_angle_bracket() {
    let options = Text::request("OPTIONS", "sip:user@example.com")
        .with("From: caller<sip:caller@example.com>;tag=323")
        .as_request();
    let from = options.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("caller"));
    assert_eq!(from.tag().as_deref(), Some("323"));
}

// longreq
#[test]
fn long_values_are_taken() {
    let long = |text: &str| text.repeat(2000);
    let mut text = Text::request("INVITE", &format!("sip:user@{}example.com", "long.".repeat(50)))
        .with(&format!("To: \"{}\" <sip:user@example.com>", long("I have a name ")))
        .with(&format!("From: sip:{}@example.com;tag=1;p={}", long("user"), long("v")))
        .with(&format!("Call-ID: {}", long("id")))
        .and(&format!("Unknown-{}: {}", long("Long"), long("value")));
    for hop in 0..60 {
        text = text.and(&format!("Via: SIP/2.0/TCP sip{hop}.example.com;branch=z9hG4bK{hop}"));
    }
    let invite = text.as_request();
    assert_eq!(invite.to().unwrap().display.unwrap().len(), 28_000);
    assert_eq!(sip(invite.from()).user.unwrap().len(), 8000);
    assert_eq!(invite.from().unwrap().params.get("p").unwrap().len(), 2000);
    assert_eq!(invite.headers.list(&HeaderName::VIA).len(), 61);
}

// dblreq
#[test]
fn what_follows_a_body_in_a_datagram_is_not_looked_at() {
    let second = Text::request("INVITE", "sip:joe@example.com").bytes();
    let first = Text::request("REGISTER", "sip:example.com").and("Content-Length: 0");
    let register = first.body(second).as_request();
    assert_eq!(register.method, Method::Register);
    assert!(register.body.is_empty());
}

// semiuri
#[test]
fn a_semicolon_before_the_at_sign_belongs_to_the_user() {
    let options = Text::request("OPTIONS", "sip:user;par=u%40example.net@example.com").as_request();
    let uri = options.uri.as_sip().unwrap();
    assert_eq!(uri.user_name().as_deref(), Some("user;par=u@example.net"));
    assert_eq!((uri.host.as_str(), &uri.params), ("example.com", &Params::default()));
}

// transports
#[test]
fn every_transport_can_be_named() {
    let transports = ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"];
    let mut text = Text::request("OPTIONS", "sip:user@example.com").without("Via");
    for transport in transports {
        text =
            text.and(&format!("Via: SIP/2.0/{transport} t1.example.com;branch=z9hG4bK{transport}"));
    }
    let options = text.as_request();
    assert_eq!(options.top_via().unwrap().transport, "UDP");
    assert_eq!(options.headers.list(&HeaderName::VIA).len(), transports.len());
}

// mpart01
#[test]
fn a_body_is_bytes() {
    let mut body = b"--7a9c\r\nContent-Type: text/plain\r\n\r\nHello\r\n--7a9c\r\n".to_vec();
    body.extend((0..=255).chain([0, 13, 10, 13, 10]).collect::<Vec<u8>>());
    body.extend(b"\r\n--7a9c--\r\n");
    let message = Text::request("MESSAGE", "sip:kumiko@example.org")
        .and("Content-Type: multipart/mixed;boundary=7a9c")
        .and(&format!("Content-Length: {}", body.len()))
        .body(body.clone())
        .as_request();
    assert_eq!(message.content_type().as_deref(), Some("multipart/mixed"));
    assert_eq!(message.body, body);
}

// unreason
#[test]
fn a_reason_phrase_is_any_text() {
    let reason = "= 2**3 * 5**2 но сто девяносто девять - простое";
    let response = Text::new(&format!("SIP/2.0 200 {reason}"), "INVITE").as_response();
    assert_eq!((response.status, response.reason.as_str()), (200, reason));
}

// noreason
#[test]
fn a_reason_phrase_may_be_nothing() {
    for start in ["SIP/2.0 100 ", "SIP/2.0 100"] {
        let response = Text::new(start, "INVITE").as_response();
        assert_eq!((response.status, response.reason.as_str()), (100, ""));
    }
}
