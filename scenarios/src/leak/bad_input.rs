//! Bytes that make no sense, or ask for what there is not: each is refused, and its connection ends at once or when it is due.

use std::time::Duration;

use bytes::Bytes;
use rehearsal_core::{
    amf::Value,
    rtmp::message::{Message, type_id},
};
use rehearsal_sim::{LinkConfig, Rng};

use super::{SOON, plays, sends, short_deadlines};
use crate::{
    catalogue::Scenario,
    live::unless,
    plan::{Listener, Plan, Protocol},
    wire::{call, handshake, link, opening, opening_until, request},
};

/// When everything comes.
const BUSY_MS: (u64, u64) = (1_000, 3_000);
/// Every deadline is over by then.
const LEAVE_MS: u64 = 11_000;
/// So small that it is reached: headers of one stream, in bytes.
const HEADERS_BYTES: usize = 4_096;

/// Streams of which every message is left out.
const SENSELESS: [&str; 3] = ["audio", "headers", "metadata"];
/// What tells a player that its stream begins.
const PUBLISHED: &str = "NetStream.Play.PublishNotify";

/// When a connection is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    AtOnce,
    /// A client may go on: the gateway waits for that.
    WhenDue,
}

/// What somebody sends, and what comes of it.
struct Input {
    /// For who reads a violation.
    name: &'static str,
    listener: Listener,
    bytes: Vec<u8>,
    /// Part of the answer; nothing if there is none.
    answer: &'static str,
    end: End,
}

/// One message on a chunk stream of its own.
fn message(type_id: u8, payload: Vec<u8>) -> Vec<u8> {
    let mut link = link();
    let payload = Bytes::from(payload);
    link.send_message(6, &Message { type_id, stream_id: 1, timestamp_ms: 0, payload });
    link.poll_output()
}

fn rtmp(name: &'static str, bytes: Vec<u8>, answer: &'static str, end: End) -> Input {
    Input { name, listener: Listener::Rtmp, bytes, answer, end }
}

fn http(name: &'static str, bytes: Vec<u8>, answer: &'static str, end: End) -> Input {
    Input { name, listener: Listener::Http, bytes, answer, end }
}

/// What breaks a connection.
fn broken_rtmp() -> Vec<Input> {
    let after = |more: &[u8]| [&handshake(), more].concat();
    let connected = |more: &[u8]| [&opening_until("", "", 1), more].concat();
    let begun = [9, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 0];
    let inside = [&begun[..], &[7; 128], &begun].concat();
    let many: Vec<u8> = (4..40).flat_map(|id| [&[id], &begun[1..], &[7; 128]].concat()).collect();
    // AMF0 of a marker that nobody knows, AMF3 that ends in the middle.
    let unknown = [b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0" as &[u8], &[0x1f, 1, 2]].concat();
    let cut =
        [b"\0\x02\0\x08whatever\0\x3f\xf0\0\0\0\0\0\0" as &[u8], &[0x11, 0x0a, 0x0b]].concat();
    let broken = [
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), ""),
        ("version 6", vec![6], ""),
        ("a continuation of nothing", after(&[0xc9, 1, 2]), ""),
        ("chunks of no length", after(&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0]), ""),
        ("half a chunk size", after(&[2, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]), ""),
        (
            "a message beyond the limit",
            connected(&[9, 0, 0, 0, 0xff, 0, 0, 9, 1, 0, 0, 0]),
            "_result",
        ),
        ("a message inside a message", connected(&inside), "_result"),
        ("messages on too many chunk streams", connected(&many), "_result"),
        (
            "a command without a name",
            connected(&[3, 0, 0, 0, 0, 0, 1, 20, 0, 0, 0, 0, 5]),
            "_result",
        ),
        ("AMF0 that nobody knows", connected(&message(type_id::COMMAND_AMF0, unknown)), "_result"),
        ("half of AMF3", connected(&message(type_id::COMMAND_AMF3, cut)), "_result"),
        ("a command before connect", after(&call("createStream", 0, vec![Value::Null])), ""),
    ];
    broken.map(|(name, bytes, answer)| rtmp(name, bytes, answer, End::AtOnce)).into()
}

/// What is refused or left out, and nothing else.
fn wrong_rtmp() -> Vec<Input> {
    let connected = |more: Vec<u8>| [opening_until("", "", 1), more].concat();
    let created = |more: Vec<u8>| [opening_until("", "", 2), more].concat();
    let publishing = |name, more: Vec<u8>| [opening("publish", name), more].concat();
    let name = |text: String| vec![Value::Null, text.into()];
    let many = call("createStream", 0, vec![Value::Null]).repeat(20);
    let header = [&[0x17, 0, 0, 0, 0][..], &[1; HEADERS_BYTES]].concat();
    // Half a message, which is aborted; another half, a chunk size, and the rest.
    let half = [&[9, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 0][..], &[7; 128]].concat();
    let abort = [2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 9];
    let chunk_size = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0x10, 0];
    let halves = [&half[..], &abort, &half, &chunk_size, &[0xc9], &[7; 128]].concat();
    let wrong = [
        ("a call that nobody knows", connected(call("make tea", 0, vec![])), "_result"),
        ("halves of messages", connected(halves), "_result"),
        ("too many message streams", connected(many), "too many message streams"),
        (
            "publish on no stream",
            connected(call("publish", 1, name("x".into()))),
            "NetStream.Publish.BadConnection",
        ),
        (
            "play on no stream",
            connected(call("play", 1, name("x".into()))),
            "NetStream.Play.Failed",
        ),
        (
            "a name that is too long",
            created(call("publish", 1, name("x".repeat(300)))),
            "NetStream.Publish.BadName",
        ),
        (
            "a name that is none",
            created(call("play", 1, name("a\nb".into()))),
            "NetStream.Play.StreamNotFound",
        ),
        ("seek", created(call("seek", 1, vec![Value::Null, 5.0.into()])), "NetStream.Seek.Failed"),
        (
            "audio of no kind",
            publishing(SENSELESS[0], message(type_id::AUDIO, vec![0xaf, 9, 1, 2])),
            "NetStream.Publish.Start",
        ),
        (
            "headers beyond the limit",
            publishing(SENSELESS[1], message(type_id::VIDEO, header)),
            "NetStream.Publish.Start",
        ),
        (
            "metadata that is none",
            publishing(SENSELESS[2], message(type_id::DATA_AMF0, vec![0x1f; 200])),
            "NetStream.Publish.Start",
        ),
    ];
    wrong.map(|(name, bytes, answer)| rtmp(name, bytes, answer, End::WhenDue)).into()
}

fn wrong_http() -> Vec<Input> {
    let body = |more: &str, body: &str| {
        [request("POST", "/live/cam.flv", more), body.as_bytes().to_vec()].concat()
    };
    let long = format!("GET /live/{} HTTP/1.1\r\n", "n".repeat(80_000)).into_bytes();
    let head = format!("GET /live/cam.flv HTTP/1.1\r\nHost: x\r\n{}", "X: y\r\n".repeat(4_000));
    let host_less = b"GET /live/cam.flv HTTP/1.1\r\n\r\n".to_vec();
    vec![
        http("RTMP", b"\x03\0\0\0\0\0\0\r\n\r\n".to_vec(), "HTTP/1.1 400 ", End::AtOnce),
        http("a line of one word", b"GET\r\n\r\n".to_vec(), "HTTP/1.1 400 ", End::AtOnce),
        http(
            "a version that nobody knows",
            b"GET / HTTP/7\r\n\r\n".to_vec(),
            "HTTP/1.1 400 ",
            End::AtOnce,
        ),
        http("a path that is too long", long, "HTTP/1.1 431 ", End::AtOnce),
        http("a head that is too long", head.into_bytes(), "HTTP/1.1 431 ", End::AtOnce),
        http(
            "a body of a length",
            body("Content-Length: 3\r\n", "abc"),
            "HTTP/1.1 405 ",
            End::AtOnce,
        ),
        http(
            "a body that never comes",
            body("Content-Length: 9999\r\n", "abc"),
            "HTTP/1.1 405 ",
            End::AtOnce,
        ),
        http(
            "no chunks",
            body("Transfer-Encoding: chunked\r\n", "zz\r\n"),
            "HTTP/1.1 405 ",
            End::AtOnce,
        ),
        http("no host", host_less, "HTTP/1.1 400 ", End::WhenDue),
        http("nothing there", request("GET", "/nothing", ""), "HTTP/1.1 404 ", End::WhenDue),
        http("no UTF-8", request("GET", "/live/%ff.flv", ""), "HTTP/1.1 404 ", End::WhenDue),
        http(
            "HEAD of nothing",
            request("HEAD", "/live/nothing.flv", ""),
            "HTTP/1.1 404 ",
            End::WhenDue,
        ),
        http("OPTIONS", request("OPTIONS", "/live/cam.flv", ""), "HTTP/1.1 204 ", End::WhenDue),
        http("DELETE", request("DELETE", "/live/cam.flv", ""), "HTTP/1.1 405 ", End::WhenDue),
        http(
            "a stream that never comes",
            request("GET", "/live/never.flv", ""),
            "HTTP/1.1 404 ",
            End::WhenDue,
        ),
    ]
}

fn inputs() -> Vec<Input> {
    [broken_rtmp(), wrong_rtmp(), wrong_http()].into_iter().flatten().collect()
}

/// Everything that is refused for what it is.
pub const BAD_INPUT: Scenario = Scenario {
    name: "leak/bad-input",
    about: "malformed RTMP and HTTP, and calls and requests that nobody can answer, are refused one by one",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/leak/bad-input");
        let mut plan = Plan::empty();
        plan.config = short_deadlines(&mut rng);
        plan.config.rtmp.max_chunk_streams = 16;
        plan.config.live.max_headers_bytes = HEADERS_BYTES;
        for input in inputs() {
            let host = match input.listener {
                Listener::Rtmp => "rtmp",
                Listener::Http => "http",
            };
            let raw = sends(rng.range(BUSY_MS.0..=BUSY_MS.1), input.bytes, LEAVE_MS);
            plan.raw_client(host, LinkConfig::lan(), input.listener, raw);
        }
        // Who waited for a stream gets the first that comes.
        for name in SENSELESS {
            let plays = plays(&format!("live/{name}"), rng.below(BUSY_MS.0 - 100), LEAVE_MS);
            plan.player("watches", LinkConfig::lan(), Protocol::Rtmp, plays);
        }
        // Who publishes what it watches is not among the publishers.
        plan.terms.faulty.push("watches".to_owned());
        plan
    },
    check: |evidence| {
        let clients = evidence.plan.raw_clients.iter().zip(&evidence.raw_clients);
        let check = inputs().into_iter().zip(clients).filter_map(|(input, (raw, report))| {
            let Ok(report) = report else {
                return unless(false, || format!("{} could not connect", input.name));
            };
            let has = |text: &str| {
                text.is_empty() || report.received.windows(text.len()).any(|b| b == text.as_bytes())
            };
            let at_once = Duration::from_millis(raw.plan.start_ms) + SOON;
            let ends =
                report.closed_at.is_some_and(|at| (at < at_once) == (input.end == End::AtOnce));
            let is_answered = has(input.answer);
            unless(is_answered && ends, || {
                let (name, answer, closed_at) = (input.name, input.answer, report.closed_at);
                format!("{name}: {answer:?} came: {is_answered}; before {at_once:?}, closed at {closed_at:?}")
            })
        });
        let passed_on = evidence.players.iter().filter_map(|player| {
            let was_published = player.statuses.iter().any(|(_, code)| code == PUBLISHED);
            unless(was_published && player.received.is_empty(), || {
                let (stream, count) = (&player.stream, player.received.len());
                format!("{stream} was published: {was_published}; {count} messages were passed on")
            })
        });
        check.chain(passed_on).collect()
    },
};
