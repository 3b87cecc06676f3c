//! Invalid, however near to valid (RFC 4475, section 3.1.2), and what else reads as two different things.

use rehearsal_core::sip::message::Fields;

use crate::Text;

fn options() -> Text {
    Text::request("OPTIONS", "sip:user@example.com")
}

fn invite() -> Text {
    Text::request("INVITE", "sip:user@example.com")
}

// badinv01
#[test]
fn a_via_of_separators_is_refused() {
    invite()
        .with("Via: SIP/2.0/UDP 192.0.2.15;;,;,,")
        .and("Contact: \"Joe\" <sip:joe@example.org>;;;;")
        .is_refused(400, "Malformed Via");
}

// clerr
#[test]
fn a_body_shorter_than_it_is_said_to_be_is_refused() {
    let text = invite().and("Content-Type: application/sdp").and("Content-Length: 9999");
    text.body("v=0\r\n").is_refused(400, "Content-Length is greater than the body");
}

// ncl
#[test]
fn a_negative_length_is_refused() {
    for length in ["-999", "+5", "0x5", "", "5 5", "99999999999999999999"] {
        let text = invite().and(&format!("Content-Length: {length}")).body("v=0\r\n");
        text.is_refused(400, "Malformed Content-Length");
    }
}

// scalar02
#[test]
fn numbers_out_of_range_are_refused() {
    let register = || Text::request("REGISTER", "sip:example.com");
    register().with("CSeq: 36893488147419103232 REGISTER").is_refused(400, "Malformed CSeq");
    register().with("CSeq: 2147483648 REGISTER").is_refused(400, "Malformed CSeq");
    register().with("Max-Forwards: 300").is_refused(400, "Malformed Max-Forwards");
    register().and("Expires: 10000000000000").is_refused(400, "Malformed Expires");
    // A registrar takes what is no time for an hour (RFC 3261, section 20.10): it sees what was written.
    let text = register().and("Contact: <sip:user@host129.example.com>;expires=280297596632815");
    let contact = text.as_request().contact().unwrap();
    assert_eq!(contact.params.get("expires").as_deref(), Some("280297596632815"));
}

// scalarlg
#[test]
fn a_response_with_a_number_out_of_range_is_dropped() {
    Text::new("SIP/2.0 503 Service Unavailable", "OPTIONS")
        .with("CSeq: 9292394834772304023312 OPTIONS")
        .and("Retry-After: 949302838503028349304023988")
        .and("Warning: 1812 overture \"In Progress\"")
        .is_dropped("Malformed CSeq");
}

// quotbal
#[test]
fn a_quote_that_is_not_closed_is_refused() {
    invite().with("To: \"Mr. J. User <sip:j.user@example.com>").is_refused(400, "Malformed To");
}

// ltgtruri
#[test]
fn a_request_uri_in_angle_brackets_is_refused() {
    Text::request("INVITE", "<sip:user@example.com>").is_refused(400, "Malformed Request-URI");
}

// lwsruri
#[test]
fn white_space_in_a_request_uri_is_refused() {
    Text::request("INVITE", "sip:user@example.com; lr").is_refused(400, "Malformed Request-URI");
}

// lwsstart
#[test]
fn more_than_one_space_in_the_request_line_is_refused() {
    let text = Text::new("INVITE  sip:user@example.com  SIP/2.0", "INVITE");
    text.is_refused(400, "Malformed Request-URI");
}

// trws
#[test]
fn space_behind_the_request_line_is_refused() {
    for end in [" ", "  "] {
        let text = Text::new(&format!("OPTIONS sip:user@example.com SIP/2.0{end}"), "OPTIONS");
        text.is_refused(400, "Malformed Request-URI");
    }
}

// escruri
#[test]
fn headers_in_a_request_uri_are_refused() {
    Text::request("INVITE", "sip:user@example.com?Route=%3Csip:example.com%3E")
        .is_refused(400, "Headers in the Request-URI");
}

// baddate
#[test]
fn a_date_that_nobody_looks_at_is_passed_on() {
    let invite = invite().and("Date: Fri, 01 Jan 2010 16:00:00 EST").as_request();
    assert_eq!(invite.headers.iter().last().unwrap().1, "Fri, 01 Jan 2010 16:00:00 EST");
}

// regbadct
#[test]
fn a_contact_with_headers_needs_angle_brackets() {
    Text::request("REGISTER", "sip:example.com")
        .and("Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E")
        .is_refused(400, "Malformed Contact");
}

// badaspec
#[test]
fn white_space_within_angle_brackets_is_refused() {
    let text = options().with("To: \"Watson, Thomas\" < sip:t.watson@example.org >");
    text.is_refused(400, "Malformed To");
}

// baddn
#[test]
fn a_name_that_needs_quotes_and_has_none_is_refused() {
    let text = options().with("From: Bell, Alexander <sip:a.g.bell@example.com>;tag=43");
    text.is_refused(400, "Malformed From");
}

// badvers
#[test]
fn another_version_is_refused_as_such() {
    Text::new("OPTIONS sip:t.watson@example.org SIP/7.0", "OPTIONS")
        .with("Via: SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw")
        .is_refused(505, "Version Not Supported");
    Text::new("SIP/7.0 200 OK", "OPTIONS").is_dropped("malformed status line");
}

// mismatch01
#[test]
fn a_cseq_of_another_method_is_refused() {
    options().with("CSeq: 8 INVITE").is_refused(400, "CSeq has another method");
}

// mismatch02
#[test]
fn a_cseq_of_another_method_than_an_unknown_one_is_refused() {
    let text = Text::request("NEWMETHOD", "sip:user@example.com").with("CSeq: 8 INVITE");
    text.is_refused(400, "CSeq has another method");
}

// bigcode
#[test]
fn a_status_beyond_699_is_dropped() {
    for status in ["4294967301", "700", "099", "20", "-200", "2O0"] {
        let text = Text::new(&format!("SIP/2.0 {status} better not break"), "INVITE");
        text.is_dropped("malformed status line");
    }
}

// From here on, not in RFC 4475.

#[test]
fn a_request_that_nobody_could_answer_is_dropped() {
    options().without("Via").is_dropped("Malformed Via");
    options().with("Via: 192.0.2.1").is_dropped("Malformed Via");
    // There is no answer to an ACK.
    Text::request("ACK", "sip:user@example.com").without("To").is_dropped("To must be there once");
}

#[test]
fn what_is_no_sip_is_dropped() {
    for start in
        ["GET / HTTP/1.1", "INVITE", "INVITE sip:a@example.com", "", "a b", "IN/VITE sip:a SIP/2.0"]
    {
        let error = rehearsal_core::sip::parse(&Text::new(start, "INVITE").bytes(), &crate::LIMITS);
        assert!(matches!(error, Err(rehearsal_core::sip::ParseError::Unreadable(_))), "{start}");
    }
}

#[test]
fn a_carriage_return_alone_ends_no_line_and_is_in_none() {
    options()
        .and("Subject: a\rRoute: <sip:evil.example.com>")
        .is_refused(400, "Malformed header line");
    let text = Text::new("SIP/2.0 200 OK\rRoute: <sip:evil.example.com>", "OPTIONS");
    text.is_dropped("malformed status line");
}

#[test]
fn a_line_without_a_name_is_refused() {
    for line in ["Subject", ": x", "Sub ject: x", "Sub\u{e9}ject: x"] {
        options().and(line).is_refused(400, "Malformed header line");
    }
    let mut first = options();
    first.lines.insert(0, " Subject: folded into nothing".into());
    first.is_refused(400, "Malformed header line");
}

#[test]
fn a_version_has_no_case() {
    let why = "the small letters";
    Text::new("OPTIONS sip:user@example.com sip/2.0", "OPTIONS").differs(why).as_request();
    let response = Text::new("sip/2.0 200 OK", "OPTIONS").differs(why).as_response();
    assert_eq!(response.status, 200);
}

#[test]
fn only_space_and_tab_are_white_space() {
    let request = options().and("Subject: \u{a0}x\u{3000}\t ").as_request();
    assert_eq!(request.headers.iter().last().unwrap().1, "\u{a0}x\u{3000}");
    options().with("Via: SIP/2.0/UDP 192.0.2.1\u{a0};branch=z9hG4bK1").is_dropped("Malformed Via");
    options().with("To: <sip:user@example.com\u{a0}:5060>").is_refused(400, "Malformed To");
    options().with("From: A\u{c}B <sip:a@example.com>").is_refused(400, "Malformed From");
    options().with("From: <sip:a@example.com>\u{a0};tag=1").is_refused(400, "Malformed From");
}

#[test]
fn a_bracket_in_a_quoted_parameter_begins_no_address() {
    let request = options().with("From: sip:a@example.com;note=\"<sip:b@example.com>\";tag=1");
    let from = request.as_request().from().unwrap();
    assert_eq!(from.uri.to_string(), "sip:a@example.com");
    assert_eq!((from.display.clone(), from.tag().as_deref()), (None, Some("1")));
}
