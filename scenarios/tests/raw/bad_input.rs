//! Any bytes on either port: refused or closed in time and with a logged reason, within the limits, and nobody else
//! notices.

use std::{
    io,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use proptest::prelude::*;
use rehearsal_core::{
    amf::Value,
    config::Config,
    rtmp::command::{Command, Encoding},
};
use rehearsal_sim::clients::raw::RawPlan;

use crate::world::{
    HTTP, RTMP, Seen, assert_unharmed, cut, handshake, link, opening, publisher_bytes, raw_media,
    run, send,
};

/// What the gateway logs in this process, whatever test runs.
fn logged() -> &'static Mutex<String> {
    static LOGGED: OnceLock<Mutex<String>> = OnceLock::new();
    LOGGED.get_or_init(|| {
        struct Lines;
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let text = String::from_utf8_lossy(bytes);
                logged().lock().expect("no panic under the lock").push_str(&text);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        tracing_subscriber::fmt().with_ansi(false).with_writer(|| Lines).without_time().init();
        Mutex::default()
    })
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_on_either_port_harm_nobody(
        rtmp in prop::collection::vec(any::<u8>(), 1..5_000),
        shaken in prop::collection::vec(any::<u8>(), 1..5_000),
        http in http_bytes(),
        lengths in prop::collection::vec(1..2_000usize, 1..10),
        half_close in any::<bool>(),
    ) {
        logged();
        let shaken = [handshake(), shaken].concat();
        let seen = run(vec![
            (RTMP, send(cut(&rtmp, &lengths), half_close)),
            (RTMP, send(cut(&shaken, &lengths), half_close)),
            (HTTP, send(cut(&http, &lengths), half_close)),
            (HTTP, send(cut(&rtmp, &lengths), half_close)),
        ]);
        assert_unharmed(&seen);
    }

    #[test]
    fn a_mutated_or_truncated_publisher_harms_nobody(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        length in any::<prop::sample::Index>(),
        lengths in prop::collection::vec(1..9_000usize, 1..10),
        half_close in any::<bool>(),
    ) {
        logged();
        let mut bytes = publisher_bytes();
        for (at, value) in mutations {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(length.index(bytes.len()) + 1);
        assert_unharmed(&run(vec![(RTMP, send(cut(&bytes, &lengths), half_close))]));
    }

    #[test]
    fn a_publisher_is_received_alike_in_every_segmentation(
        lengths in prop::collection::vec(1..9_000usize, 1..10),
    ) {
        logged();
        let frames = |seen: &Seen| -> Vec<_> {
            seen.player.received.iter().map(|frame| (frame.hash, frame.timestamp_ms)).collect()
        };
        let bytes = publisher_bytes();
        let whole = run(vec![(RTMP, send(vec![bytes.clone()], true))]);
        let pieces = run(vec![(RTMP, send(cut(&bytes, &lengths), true))]);
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
        logged().lock().unwrap().clear();
        assert_unharmed(&run(vec![(port, send(vec![bytes.to_vec()], false))]));
        let log = logged().lock().unwrap().clone();
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
