//! Any bytes on either port: refused or closed in time and with a logged reason, within the limits, and nobody else
//! notices.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::{prelude::*, test_runner::RngSeed};
use rehearsal_core::{
    amf::Value,
    config::Config,
    rtmp::{
        command::{Command, Encoding},
        message::Message,
    },
};
use rehearsal_sim::clients::raw::RawPlan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::world::{
    HTTP, RTMP, Seen, assert_unharmed, cut, handshake, link, opening, publisher_bytes, raw_media,
    run, send,
};

/// Where log lines go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic under the lock").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs raw clients, and gives what the gateway logs meanwhile. Other threads' worlds log elsewhere: a buffer for all would
/// grow on the account of whoever's line makes it.
fn run_logged(raw_clients: Vec<(u16, RawPlan)>) -> (Seen, String) {
    let log = Lines::default();
    let lines = tracing_subscriber::fmt().with_ansi(false).without_time();
    let writer = log.clone();
    let subscriber = lines.with_writer(move || writer.clone()).finish();
    let seen = {
        let _logging = subscriber.set_default();
        run(raw_clients)
    };
    let log = log.0.lock().expect("no panic under the lock").clone();
    (seen, String::from_utf8(log).expect("text"))
}

/// Bytes of an HTTP client, more or less.
fn http_bytes() -> impl Strategy<Value = Vec<u8>> {
    let request = prop_oneof![
        Just("GET /live/healthy.flv HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        Just("GET /live/nothing.flv HTTP/1.0\r\n\r\n".to_owned()),
        Just("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx".to_owned()),
        Just("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz".to_owned()),
        Just(format!("GET /{} HTTP/1.1\r\n", "a".repeat(40_000))),
        Just(format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(4_000))),
    ];
    (request, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)).prop_map(
        |(request, mutations)| {
            let mut bytes = request.into_bytes();
            for (at, value) in mutations {
                let at = at.index(bytes.len().min(60));
                bytes[at] = value;
            }
            bytes
        },
    )
}

/// A value of a command, nested a little.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(Value::Undefined),
        any::<bool>().prop_map(Value::Boolean),
        prop_oneof![Just(1.0), Just(-1.0), Just(1e300), Just(f64::NAN), any::<f64>()]
            .prop_map(Value::Number),
        prop_oneof![Just("raw".to_owned()), Just("healthy".to_owned()), ".{0,300}"]
            .prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let pairs = prop::collection::vec(("[a-z]{0,8}", inner.clone()), 0..4);
        prop_oneof![
            pairs.prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            prop::collection::vec(inner, 0..4).prop_map(Value::StrictArray),
        ]
    })
}

/// Commands that mean something, replies that nobody asked for, and one that nobody knows.
const NAMES: &[&str] = &[
    "connect",
    "createStream",
    "publish",
    "play",
    "pause",
    "pauseRaw",
    "seek",
    "closeStream",
    "deleteStream",
    "FCPublish",
    "FCUnpublish",
    "FCSubscribe",
    "getStreamLength",
    "_checkbw",
    "releaseStream",
    "_result",
    "onStatus",
    "x",
];
/// Message types other than commands.
const TYPES: &[u8] = &[2, 3, 4, 5, 6, 8, 8, 9, 9, 15, 16, 18, 19, 22, 99];
/// How headers and frames of several codecs begin.
const STARTS: &[&[u8]] =
    &[&[], &[0x17, 0], &[0x17, 1], &[0x27, 1], &[0x90], &[0x96, 0x10], &[0xaf, 0], &[0xa9]];

/// A message that is well formed and need not make sense.
fn message() -> impl Strategy<Value = Message> {
    let values = prop::collection::vec(value(), 0..4);
    let command =
        (prop::sample::select(NAMES), 0..5u8, values).prop_map(|(name, transaction, values)| {
            let encoding = if values.len() == 3 { Encoding::Amf3 } else { Encoding::Amf0 };
            let transaction = f64::from(transaction);
            Command { name: name.into(), transaction, values }.encode(encoding)
        });
    let rest = prop::collection::vec(any::<u8>(), 0..60);
    let other = (prop::sample::select(TYPES), prop::sample::select(STARTS), rest)
        .prop_map(|(type_id, start, rest)| (type_id, [start, &rest].concat().into()));
    let time = prop_oneof![0..9_000u32, any::<u32>()];
    (prop_oneof![command, other], 0..4u32, time).prop_map(
        |((type_id, payload), stream_id, timestamp_ms)| Message {
            type_id,
            stream_id,
            timestamp_ms,
            payload,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_on_either_port_harm_nobody(
        rtmp in prop::collection::vec(any::<u8>(), 1..5_000),
        shaken in prop::collection::vec(any::<u8>(), 1..5_000),
        http in http_bytes(),
        lengths in prop::collection::vec(1..2_000usize, 1..10),
        half_close in any::<bool>(),
    ) {
        let shaken = [handshake(), shaken].concat();
        let (seen, _) = run_logged(vec![
            (RTMP, send(cut(&rtmp, &lengths), half_close)),
            (RTMP, send(cut(&shaken, &lengths), half_close)),
            (HTTP, send(cut(&http, &lengths), half_close)),
            (HTTP, send(cut(&rtmp, &lengths), half_close)),
        ]);
        assert_unharmed(&seen);
    }

    #[test]
    fn well_formed_messages_in_any_order_harm_nobody(
        messages in prop::collection::vec((message(), 3..9u32), 1..60),
        as_publisher in any::<bool>(),
        lengths in prop::collection::vec(1..2_000usize, 1..10),
    ) {
        let mut link = link();
        for (message, chunk_stream_id) in &messages {
            link.send_message(*chunk_stream_id, message);
        }
        let opening = opening(if as_publisher { "publish" } else { "play" }, "raw");
        let bytes = [opening, link.poll_output()].concat();
        let (seen, _) = run_logged(vec![(RTMP, send(cut(&bytes, &lengths), true))]);
        assert_unharmed(&seen);
    }

    #[test]
    fn a_mutated_or_truncated_publisher_harms_nobody(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        length in any::<prop::sample::Index>(),
        lengths in prop::collection::vec(1..9_000usize, 1..10),
        half_close in any::<bool>(),
    ) {
        let mut bytes = publisher_bytes();
        for (at, value) in mutations {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(length.index(bytes.len()) + 1);
        assert_unharmed(&run_logged(vec![(RTMP, send(cut(&bytes, &lengths), half_close))]).0);
    }

    #[test]
    fn requests_are_answered_alike_in_every_segmentation(
        lengths in prop::collection::vec(1..60usize, 1..10),
    ) {
        let requests = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS /live/raw.flv HTTP/1.1\r\nHost: x\r\n\r\n\
            POST /live/raw.flv HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        let answers = |pieces| {
            let (seen, _) = run_logged(vec![(HTTP, send(pieces, false))]);
            assert_unharmed(&seen);
            let text = String::from_utf8(seen.raw[0].received.clone()).expect("text");
            text.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n")
        };
        let whole = answers(vec![requests.to_vec()]);
        prop_assert_eq!(whole.matches("HTTP/1.1 ").count(), 3);
        prop_assert_eq!(answers(cut(requests, &lengths)), whole);
    }

    #[test]
    fn a_publisher_is_received_alike_in_every_segmentation(
        lengths in prop::collection::vec(1..9_000usize, 1..10),
    ) {
        let frames = |seen: &Seen| -> Vec<_> {
            seen.player.received.iter().map(|frame| (frame.hash, frame.timestamp_ms)).collect()
        };
        let bytes = publisher_bytes();
        let (whole, _) = run_logged(vec![(RTMP, send(vec![bytes.clone()], true))]);
        let (pieces, _) = run_logged(vec![(RTMP, send(cut(&bytes, &lengths), true))]);
        assert_unharmed(&pieces);
        prop_assert!(whole.player.violations.is_empty());
        prop_assert_eq!(frames(&whole).len(), raw_media().count());
        prop_assert_eq!(frames(&pieces), frames(&whole));
    }
}

#[test]
fn the_reason_of_every_end_is_logged() {
    let reasons: [(u16, &[u8], &str); 4] = [
        (RTMP, b"GET / HTTP/1.1\r\n\r\n", "first byte is 0x47, expected version 3"),
        (RTMP, b"\x06", "first byte is 0x06"),
        (RTMP, b"\x03", "no complete handshake in time"),
        (HTTP, b"\x03\0\0\0\0\0\0\r\n\r\n", "invalid HTTP"),
    ];
    for (port, bytes, reason) in reasons {
        let (seen, log) = run_logged(vec![(port, send(vec![bytes.to_vec()], false))]);
        assert_unharmed(&seen);
        assert!(log.contains(reason), "{reason:?} is not in {log}");
    }
}

#[test]
fn messages_up_to_the_limit_are_taken_and_longer_ones_refused() {
    let limit = Config::default().rtmp.max_message_bytes;
    for (length, refused) in [(limit - 1_000, false), (limit + 1, true)] {
        let mut bytes = publisher_bytes();
        let mut header = vec![0x06, 0, 0x10, 0];
        header.extend_from_slice(&length.to_be_bytes()[1..]);
        header.extend_from_slice(&[18, 1, 0, 0, 0]);
        bytes.extend(header);
        // As much as fits the time; the rest never comes.
        let pieces = (0..20_000).map(|_| {
            let mut chunk = vec![b'x'; 128];
            chunk.push(0xc6);
            chunk
        });
        bytes.extend(pieces.flatten());
        let seen = run(vec![(RTMP, send(vec![bytes], false))]);
        assert_unharmed(&seen);
        let closed = seen.raw[0].closed_at.unwrap();
        assert_eq!(closed < Duration::from_secs(2), refused, "closed at {closed:?}");
    }
}

#[test]
fn a_peer_that_reads_late_gets_every_answer() {
    let mut link = link();
    let calls = 100_000;
    for index in 0..calls {
        let values = vec![Value::Null];
        let call = Command { name: "_checkbw".into(), transaction: f64::from(index + 10), values };
        link.send_command(0, &call, Encoding::Amf0);
    }
    let bytes = [opening("play", "nothing"), link.poll_output()].concat();
    let plan = RawPlan { read_from_ms: 10_000, ..send(vec![bytes], false) };
    let seen = run(vec![(RTMP, plan)]);
    let answers = seen.raw[0].received.windows(7).filter(|bytes| bytes == b"_result").count();
    assert_eq!(answers, calls as usize + 2, "with those to connect and createStream");
}

#[test]
fn a_peer_that_reads_nothing_and_asks_for_ever_is_closed() {
    let mut bytes = publisher_bytes();
    let mut link = link();
    for index in 0..120_000 {
        let values = vec![Value::Null];
        let call = Command { name: "_checkbw".into(), transaction: f64::from(index), values };
        link.send_command(0, &call, Encoding::Amf0);
    }
    let calls = link.poll_output();
    bytes.extend(&calls);
    let plan = RawPlan { read_from_ms: 80_000, ..send(vec![bytes], false) };
    let seen = run(vec![(RTMP, plan)]);
    assert_unharmed(&seen);
    // The answers that are allowed to pile up, not all of them.
    let in_flight = Config::default().live.in_flight_bytes;
    assert!(calls.len() > 2 * in_flight);
    assert!(seen.held_bytes < 2 * in_flight as i64, "{} bytes were held", seen.held_bytes);
}

#[test]
fn a_request_with_a_body_is_the_last_of_its_connection() {
    let requests = b"POST /live/raw.flv HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
        GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
    // With the body at once, without it, and with a part of it.
    for lengths in [vec![requests.len()], vec![requests.len() - 33, 100], vec![1]] {
        let seen = run(vec![(HTTP, send(cut(requests, &lengths), false))]);
        assert_unharmed(&seen);
        let text = String::from_utf8(seen.raw[0].received.clone()).expect("text");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{lengths:?}: {text}");
        assert!(text.starts_with("HTTP/1.1 405 ") && text.contains("connection: close\r\n"));
    }
}

#[test]
fn a_head_that_is_too_long_is_refused_however_it_comes() {
    let limit_bytes = Config::default().http.max_head_bytes;
    // What comes while somebody is waited for is read at once afterwards.
    let before = "GET /live/nobody.flv HTTP/1.1\r\nHost: x\r\n\r\n";
    for (excess_bytes, status) in [(0, "404"), (1, "431"), (limit_bytes - 3_000, "431")] {
        let start = "GET http://x/x HTTP/1.1\r\nHost: x\r\nX: ";
        let long = "y".repeat(limit_bytes + excess_bytes - start.len() - 4);
        let requests = format!("{before}{start}{long}\r\n\r\n");
        let answers = [requests.len(), requests.len() - 2, 9_000, 700].map(|length| {
            let pieces = cut(requests.as_bytes(), &[length]);
            let seen = run(vec![(HTTP, send(pieces, false))]);
            assert_unharmed(&seen);
            let text = String::from_utf8(seen.raw[0].received.clone()).expect("text");
            let is_kept = |line: &&str| !line.starts_with("date:");
            text.lines().filter(is_kept).collect::<Vec<_>>().join("\n")
        });
        let statuses = answers[0].matches("HTTP/1.1 ").count();
        assert!(
            statuses == 2 && answers[0].contains(&format!("HTTP/1.1 {status} ")),
            "{answers:?}"
        );
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
}
