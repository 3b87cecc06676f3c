//! HTTP without a live stream: what is refused, how, and what the connection is good for afterwards.

use std::time::Instant;

use crate::{gateway::Gateway, raw_http::Client};

const NOBODY: &str = "GET /live/nobody.flv HTTP/1.1\r\nHost: x\r\n\r\n";
const ELSEWHERE: &str = "GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n";

// Real time is what a viewer waits.
#[allow(clippy::disallowed_methods)]
#[test]
fn a_stream_that_nobody_publishes_is_waited_for_and_then_not_found() {
    let gateway = Gateway::start_with("http.wait_publisher_ms = 300");
    let mut client = Client::connect(gateway.http);
    let asked_at = Instant::now();
    client.send(NOBODY);
    let head = client.read_head();
    let waited_ms = asked_at.elapsed().as_millis();
    assert_eq!(head.status, "HTTP/1.1 404 Not Found");
    assert!((300..5_000).contains(&waited_ms), "waited {waited_ms} ms");
    assert_eq!(head.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    assert!(head.header("retry-after").is_some(), "{head:?}");
    let body = client.read_body(&head);
    assert_eq!(body, "nobody sends media as live/nobody; waited 300 ms (http.wait_publisher_ms)\n");
}

#[test]
fn paths_that_are_no_stream_are_not_found_at_once() {
    // A wait would outlast the test's patience.
    let gateway = Gateway::start_with("http.wait_publisher_ms = 600000\nhttp.idle_ms = 700000");
    let mut client = Client::connect(gateway.http);
    for path in ["/", "/elsewhere", "/cam.flv", "/live/cam", "/live/.flv", "/live/%ff.flv"] {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = client.read_head();
        assert_eq!(head.status, "HTTP/1.1 404 Not Found", "{path}");
        assert_ne!(client.read_body(&head).trim(), "", "{path}: no reason is given");
    }
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    let gateway = Gateway::start();
    for method in ["POST", "PUT", "DELETE"] {
        let mut client = Client::connect(gateway.http);
        client.send(&format!(
            "{method} /live/cam.flv HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        ));
        let head = client.read_head();
        assert_eq!(head.status, "HTTP/1.1 405 Method Not Allowed", "{method}");
        assert_eq!(head.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
}

#[test]
fn head_tells_that_nobody_publishes() {
    let gateway = Gateway::start();
    let mut client = Client::connect(gateway.http);
    client.send("HEAD /live/cam.flv HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.read_head().status, "HTTP/1.1 404 Not Found");
}

#[test]
fn http_1_1_without_a_host_is_a_bad_request() {
    let gateway = Gateway::start();
    for (request, status) in [
        ("GET /x HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("GET /x HTTP/1.0\r\n\r\n", "HTTP/1.0 404 Not Found"),
    ] {
        let mut client = Client::connect(gateway.http);
        client.send(request);
        assert_eq!(client.read_head().status, status, "{request:?}");
    }
}

#[test]
fn a_browser_may_ask_from_another_origin() {
    let gateway = Gateway::start();
    let mut client = Client::connect(gateway.http);
    client.send(
        "OPTIONS /live/cam.flv HTTP/1.1\r\nHost: x\r\nOrigin: http://page.example\r\n\
         Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: range\r\n\r\n",
    );
    let head = client.read_head();
    assert_eq!(head.status, "HTTP/1.1 204 No Content");
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    assert_eq!(head.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(head.header("access-control-allow-headers"), Some("*"));
    // The connection is still good: nothing of a body stands between the answers.
    client.send(ELSEWHERE);
    assert_eq!(client.read_head().status, "HTTP/1.1 404 Not Found");
}

#[test]
fn every_answer_names_its_date_and_server() {
    let gateway = Gateway::start();
    let mut client = Client::connect(gateway.http);
    client.send(ELSEWHERE);
    let head = client.read_head();
    let date = head.header("date").expect("a date");
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
    assert!(head.header("server").is_some_and(|server| server.starts_with("rehearsal/")));
}

#[test]
fn garbage_behind_a_request_is_refused_and_ends_the_connection() {
    let gateway = Gateway::start();
    let mut client = Client::connect(gateway.http);
    client.send(&format!("{ELSEWHERE}\u{1}this is not HTTP\r\n\r\n"));
    let head = client.read_head();
    assert_eq!(head.status, "HTTP/1.1 404 Not Found");
    client.read_body(&head);
    let rest = String::from_utf8(client.read_to_end()).expect("a head is text");
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{rest}");
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let gateway = Gateway::start_with("http.max_head_bytes = 8192");
    let mut client = Client::connect(gateway.http);
    client.send(&format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {}\r\n\r\n", "y".repeat(9_000)));
    assert_eq!(client.read_head().status, "HTTP/1.1 431 Request Header Fields Too Large");
}
