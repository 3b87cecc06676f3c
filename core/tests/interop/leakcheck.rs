//! A gateway that tells what it holds on the heap: nothing is left of those who were there, what is there is told by call
//! site, and not to everybody.

// Time and addresses are the machine's here.
#![allow(clippy::disallowed_methods)]

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    ffmpeg,
    gateway::{Gateway, lines_of},
    raw_http::{Client, Head},
};

const SELECTION: [&str; 2] = ["-t", "1"];
/// How long what is left may take to go. What leaks stays.
const REST: Duration = Duration::from_secs(10);

/// Sends `request`, a method and what follows the path, to the leak check at `address`.
fn send(address: SocketAddr, method: &str, query: &str, headers: &str) -> (Client, Head) {
    let mut client = Client::connect(address);
    client.send(&format!("{method} /api/v1/leakcheck{query} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
    let head = client.read_head();
    (client, head)
}

/// Asks and reads all of the answer. Who was given a report has left when it returns, so that the next one does not find it.
fn ask_with(gateway: &Gateway, query: &str, headers: &str) -> (Head, String) {
    let asked = gateway.process.stderr.so_far();
    let asked = asked.iter().filter(|line| line.contains("leakcheck ended")).count();
    let (mut client, head) = send(gateway.http, "GET", query, headers);
    let body = match head.header("transfer-encoding") {
        Some(_) => {
            let body = client.read_chunks().concat();
            drop(client);
            lines_of(&gateway.process, "leakcheck ended", asked + 1, |_| true);
            String::from_utf8(body).expect("text")
        }
        None => client.read_body(&head),
    };
    (head, body)
}

fn ask(gateway: &Gateway, query: &str) -> Value {
    let (head, body) = ask_with(gateway, query, "");
    assert_eq!(head.status, "HTTP/1.1 200 OK", "{body}");
    assert_eq!(head.header("content-type"), Some("application/json"));
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}"))
}

/// Asks again until the answer is as expected, or [`REST`] is over; gives the last one. What is freed by other threads takes a
/// moment to be.
fn settled<T>(mut ask: impl FnMut() -> T, is_settled: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + REST;
    loop {
        let answer = ask();
        if is_settled(&answer) || Instant::now() >= deadline {
            return answer;
        }
    }
}

/// Whether no call site and no resource has grown.
fn is_nothing_added(answer: &Value) -> bool {
    let summary = answer["summary"].as_object().expect("a summary");
    let mut added = summary.values().map(|count| count["added"].as_i64().expect("calibrated"));
    answer["listed"]["sites"] == 0 && added.all(|added| added <= 0)
}

/// Calibrates with nobody there but who asks.
fn calibrate(gateway: &Gateway) {
    let calibrate = || ask(gateway, "?check=calibrate");
    let is_alone = |answer: &Value| answer["summary"]["connections"]["now"] == 1;
    let calibrated = settled(calibrate, is_alone);
    assert!(is_alone(&calibrated), "somebody stays: {calibrated:#}");
}

/// What leaks is still there when all the rest has gone.
fn assert_nothing_added(gateway: &Gateway) {
    let added = settled(|| ask(gateway, "?check=added"), is_nothing_added);
    assert!(is_nothing_added(&added), "{added:#}");
}

/// One publishes over RTMP and one views it over HTTP-FLV; both have left when it returns. `before` cycles went before it.
fn cycle(gateway: &Gateway, before: usize) {
    let mut viewer = Client::connect(gateway.http);
    viewer.send("GET /live/cycle.flv HTTP/1.1\r\nHost: x\r\n\r\n");
    ffmpeg::publish(&gateway.rtmp_url("live/cycle"), &SELECTION).wait_success();
    assert_eq!(viewer.read_head().status, "HTTP/1.1 200 OK");
    assert!(viewer.read_chunks().len() > 20, "there was something to see");
    drop(viewer);
    for end in ["RTMP connection ended", "HTTP-FLV ended"] {
        lines_of(&gateway.process, end, before + 1, |_| true);
    }
}

#[test]
fn nothing_is_left_of_a_publisher_and_a_viewer() {
    if ffmpeg::is_missing() {
        return;
    }
    let gateway = Gateway::start();
    cycle(&gateway, 0);
    calibrate(&gateway);
    for before in 1..=3 {
        cycle(&gateway, before);
        assert_nothing_added(&gateway);
    }
}

#[test]
fn what_a_publisher_holds_is_told_by_call_site() {
    if ffmpeg::is_missing() {
        return;
    }
    let gateway = Gateway::start();
    calibrate(&gateway);
    let publisher = ffmpeg::publish(&gateway.rtmp_url("live/held"), &[]);
    ffmpeg::wait_until_published(&publisher, 1_000);
    // The socket is the publisher's.
    let is_one = |answer: &Value| {
        let added = |what: &str| answer["summary"][what]["added"] == 1;
        added("connections") && added("streams") && added("open_files")
    };
    let added = settled(|| ask(&gateway, "?check=added"), is_one);
    assert!(is_one(&added), "{added:#}");
    let sites = added["sites"].as_array().expect("sites");
    let ring = sites.iter().find(|site| {
        let own = site["own"].as_array().expect("calls");
        own.iter().any(|call| {
            call["place"].as_str().is_some_and(|at| at.starts_with("core/src/live/publisher.rs:"))
        })
    });
    let ring = ring.unwrap_or_else(|| panic!("no frames: {added:#}"));
    assert!(ring["blocks"].as_i64() > Some(10), "{ring:#}");
    let bytes: Vec<i64> = sites.iter().filter_map(|site| site["bytes"].as_i64()).collect();
    assert!(bytes.is_sorted_by(|one, next| one >= next), "{bytes:?}");

    let (connection, stream) =
        ("  connections             2 (+1)\n", "  streams                 1 (+1)\n");
    let (head, text) = settled(
        || ask_with(&gateway, "?check=added&format=text", ""),
        |(_, text)| text.contains(connection),
    );
    assert_eq!(head.header("content-type"), Some("text/plain; charset=utf-8"));
    for part in ["  at rehearsal_core::", "(core/src/", connection, stream] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert_lines_up(&text);
}

/// Numbers of blocks and of bytes end in the same columns on all lines.
fn assert_lines_up(text: &str) {
    let (table, _) = text.split_once("\nleak summary\n").expect("a summary");
    let (_, table) = table.split_once("\n\n").expect("a title");
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("      blocks         bytes  call site"));
    let mut sites = 0;
    for line in lines {
        let (numbers, call) =
            line.split_at_checked(28).unwrap_or_else(|| panic!("short: {line:?}"));
        match call.split_once(' ') {
            Some(("at", _)) => {
                let digits = numbers.char_indices().filter(|(_, char)| char.is_ascii_digit());
                let columns: Vec<usize> = digits.map(|(at, _)| at).collect();
                assert!(columns.contains(&11) && columns.contains(&25), "{line:?}");
                sites += 1;
            }
            Some(("by", _)) => assert_eq!(numbers.trim(), "", "{line:?}"),
            _ => panic!("neither at nor by: {line:?}"),
        }
    }
    assert!(sites > 3, "{table}");
}

#[test]
fn all_that_an_idle_gateway_holds_is_told_and_there_is_nothing_of_the_answer() {
    let gateway = Gateway::start();
    let first = ask(&gateway, "?check=full");
    assert!(first["listed"]["blocks"].as_i64() > Some(3), "{first:#}");
    assert_eq!(first["summary"]["blocks"]["now"], first["listed"]["blocks"], "{first:#}");
    assert_eq!(first["summary"]["bytes"]["added"], Value::Null, "it is not calibrated");
    assert_eq!(first["summary"]["connections"]["now"], 1, "the one that asks");
    let text = first.to_string();
    for absent in ["hyper::", "serde_json", "rehearsal_heap", "http::leakcheck::"] {
        assert!(!text.contains(absent), "{absent} is in {first:#}");
    }
    // Whatever the answer needed is gone, however long it was and however it was asked for.
    calibrate(&gateway);
    ask_with(&gateway, "?check=full&format=text", "X-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n");
    assert_nothing_added(&gateway);
}

#[test]
fn accept_tells_the_form_too() {
    let gateway = Gateway::start();
    let (head, body) = ask_with(&gateway, "?check=calibrate", "Accept: text/plain\r\n");
    assert_eq!(head.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(body.starts_with("leakcheck: calibrated\n"), "{body}");
    // Not for the pages of whichever browser runs here.
    assert_eq!(head.header("access-control-allow-origin"), None);
    assert_eq!(head.header("cache-control"), Some("no-store"));
}

#[test]
fn http_1_0_gets_its_answer_up_to_the_end_of_the_connection() {
    let gateway = Gateway::start();
    let mut client = Client::connect(gateway.http);
    client.send("GET /api/v1/leakcheck?check=calibrate HTTP/1.0\r\n\r\n");
    let head = client.read_head();
    assert_eq!((head.status.as_str(), head.header("transfer-encoding")), ("HTTP/1.0 200 OK", None));
    let body: Value = serde_json::from_slice(&client.read_to_end()).expect("JSON");
    assert_eq!(body["check"], "calibrate");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_does() {
    let gateway = Gateway::start();
    for (query, expected) in [
        ("", "?check=calibrate, ?check=added or ?check=full"),
        ("?check=new", "there are calibrate, added and full"),
        ("?check=full&format=xml", "there are json and text"),
    ] {
        let (head, body) = ask_with(&gateway, query, "");
        assert_eq!(head.status, "HTTP/1.1 400 Bad Request", "{query}");
        assert!(body.contains(expected), "{query}: {body}");
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        let (_, head) = send(gateway.http, method, "?check=full", "Content-Length: 0\r\n");
        assert_eq!(head.status, "HTTP/1.1 405 Method Not Allowed", "{method}");
        assert_eq!(head.header("allow"), Some("GET, HEAD"));
    }
}

#[test]
fn what_was_added_is_told_only_after_a_calibration() {
    let gateway = Gateway::start();
    let (head, body) = ask_with(&gateway, "?check=added", "");
    assert_eq!(head.status, "HTTP/1.1 409 Conflict");
    assert!(body.contains("?check=calibrate first"), "{body}");
    // HEAD tells as much, and calibrates nothing.
    for (query, status) in [("calibrate", "200 OK"), ("added", "409 Conflict")] {
        let (mut client, head) =
            send(gateway.http, "HEAD", &format!("?check={query}"), "Connection: close\r\n");
        assert_eq!(head.status, format!("HTTP/1.1 {status}"));
        assert_eq!(client.read_to_end(), b"");
    }
    ask(&gateway, "?check=calibrate");
    assert_eq!(ask(&gateway, "?check=added")["check"], "added");
}

#[test]
fn one_is_answered_at_a_time() {
    let gateway = Gateway::start();
    // The first look at symbols reads all of them, which takes longer than to ask.
    let (mut first, head) = send(gateway.http, "GET", "?check=full", "");
    assert_eq!(head.status, "HTTP/1.1 200 OK");
    let (head, body) = ask_with(&gateway, "?check=full", "");
    assert_eq!(head.status, "HTTP/1.1 503 Service Unavailable");
    assert!(head.header("retry-after").is_some(), "{head:?}");
    assert!(body.contains("going on"), "{body}");
    // The first has its answer all the same, and makes room.
    assert!(first.read_chunks().concat().starts_with(b"{"));
    ask(&gateway, "?check=full");
}

/// An address of this machine by which it is no loopback peer. Nothing is sent.
fn address_of_this_machine() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn who_comes_from_elsewhere_is_refused_unless_configured() {
    let Some(address) = address_of_this_machine() else {
        eprintln!("skipped: this machine has loopback addresses only");
        return;
    };
    for (settings, status) in
        [("", "HTTP/1.1 403 Forbidden"), ("http.leakcheck_from_anywhere = true", "HTTP/1.1 200 OK")]
    {
        let gateway = Gateway::start_on("0.0.0.0:0", settings);
        let elsewhere = SocketAddr::new(address, gateway.http.port());
        let (mut client, head) = send(elsewhere, "GET", "?check=calibrate", "");
        assert_eq!(head.status, status, "{settings:?}");
        if status.contains("403") {
            let body = client.read_body(&head);
            assert!(body.contains("http.leakcheck_from_anywhere"), "{body}");
        }
    }
}

#[test]
fn who_comes_over_ipv4_to_a_listener_for_ipv6_is_from_this_machine() {
    let gateway = Gateway::start_on("[::]:0", "");
    for here in ["127.0.0.1", "::1"] {
        let address = SocketAddr::new(here.parse().expect("an address"), gateway.http.port());
        let (mut client, head) = send(address, "GET", "?check=calibrate", "");
        assert_eq!(head.status, "HTTP/1.1 200 OK", "{here}");
        client.read_chunks();
    }
}

#[cfg(feature = "canary")]
#[test]
fn the_canary_is_found_in_its_file() {
    if ffmpeg::is_missing() {
        return;
    }
    // Otherwise ffmpeg leaves with the first publisher.
    let gateway = Gateway::start_with("live.notify_unpublish = false");
    let published = || ffmpeg::publish(&gateway.rtmp_url("live/canary"), &SELECTION).wait_success();
    // Who waits keeps the stream from one publish to the next.
    let _player = ffmpeg::Player::start(gateway.rtmp_url("live/canary"));
    lines_of(&gateway.process, "play", 1, |_| true);
    published();
    gateway.wait_for_log("unpublish", "live/canary", 1);
    ask(&gateway, "?check=calibrate");
    published();
    let added = ask(&gateway, "?check=added");
    let sites = added["sites"].as_array().expect("sites");
    let canary = sites.iter().find(|site| {
        site["own"][0]["place"]
            .as_str()
            .is_some_and(|at| at.starts_with("core/src/live/canary.rs:"))
    });
    let canary = canary.unwrap_or_else(|| panic!("no canary: {added:#}"));
    assert_eq!((&canary["blocks"], &canary["bytes"]), (&1.into(), &64.into()), "{added:#}");
}
