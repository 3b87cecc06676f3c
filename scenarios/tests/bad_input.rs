//! Any bytes on either port: refused or closed in time and with a logged reason, within the limits, and nobody else
//! notices.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use proptest::prelude::*;
use rehearsal_core::{
    amf::{Object, Value},
    config::Config,
    env::Env,
    gateway::Gateway,
    rtmp::{
        chunk::ChunkLimits,
        command::{Command, Encoding},
        link::Link,
        message::Message,
    },
};
use rehearsal_sim::{
    LinkConfig, World,
    clients::{
        media::{Generated, Item, MediaPlan},
        publisher::{self, Leave, Notes, PublishPlan, Source},
        raw::{self, RawPlan, RawReport},
        rtmp_player::{self, PlayPlan, PlayReport},
    },
    heap::{self, CountingAllocator, Scope},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

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

const RTMP: u16 = 1935;
const HTTP: u16 = 8080;

/// What a run with raw clients shows.
struct Seen {
    raw: Vec<RawReport>,
    /// Who plays a stream that a well-behaved publisher sends meanwhile.
    bystander: PlayReport,
    /// How many messages that publisher sent.
    sent: usize,
    /// Who plays what the raw clients publish as `live/raw`.
    player: PlayReport,
    /// Most the gateway held above what it held before the raw clients came, in bytes.
    held_bytes: i64,
    streams_left: usize,
    tasks_left: usize,
}

fn play(stream: &str, leave_ms: u64) -> PlayPlan {
    PlayPlan { stream: stream.into(), start_ms: 0, leave_ms, stall: None }
}

/// Runs raw clients against the gateway, each on its port, beside a healthy stream of 6 s.
fn run(raw_clients: Vec<(u16, RawPlan)>) -> Seen {
    let mut world = World::new(1);
    let gateway_env = world.add_host("gateway", LinkConfig::datacentre());
    gateway_env.set_heap_scope(Scope::Gateway);
    let mut client = |name: &str| {
        let env = world.add_host(name, LinkConfig::lan());
        env.set_heap_scope(Scope::Client);
        env
    };
    let (publisher, bystander) = (client("publisher"), client("bystander"));
    let (player, attacker) = (client("player"), client("attacker"));
    let address = |port| SocketAddr::new(gateway_env.ip(), port);
    let notes: Notes = Arc::new(|_| {});

    let run = world.run(Duration::from_secs(300), async {
        let origin = Instant::now();
        let shutdown = CancellationToken::new();
        let gateway = Gateway::bind(gateway_env.clone(), Config::default(), shutdown).await;
        let gateway = gateway.expect("a fresh host has its ports free");
        let live = gateway.shared().live.clone();
        let _gateway = gateway_env.spawn(async move {
            gateway.run().await;
        });
        let healthy = PublishPlan {
            stream: "live/healthy".into(),
            epoch: 1,
            start_ms: 0,
            source: Source::Generated(MediaPlan::default()),
            duration_ms: 6_000,
            leave: Leave::Orderly,
            digest: false,
        };
        let publishing =
            publisher::run(publisher, address(RTMP), healthy, origin, Arc::clone(&notes));
        let watching = rtmp_player::run(
            bystander,
            address(RTMP),
            play("live/healthy", 10_000),
            origin,
            Arc::clone(&notes),
        );
        let playing =
            rtmp_player::run(player, address(RTMP), play("live/raw", 100_000), origin, notes);
        let before = heap::usage(Scope::Gateway).live_bytes;
        let attack = async {
            let mut reports = Vec::new();
            for (port, plan) in raw_clients {
                let report = raw::run(attacker.clone(), address(port), plan, origin).await;
                reports.push(report.expect("the gateway accepts everybody"));
            }
            reports
        };
        let watch_heap = async {
            let mut most = 0;
            for step in 0..400 {
                tokio::time::sleep_until(origin + Duration::from_millis(step * 25)).await;
                most = most.max(heap::usage(Scope::Gateway).live_bytes - before);
            }
            most
        };
        let (published, bystander, player, raw, held_bytes) =
            tokio::join!(publishing, watching, playing, attack, watch_heap);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (streams_left, tasks_left) = (live.len(), gateway_env.task_count());
        let sent = published.sent.len();
        Seen { raw, bystander, sent, player, held_bytes, streams_left, tasks_left }
    });
    run.expect("the run ends in time")
}

/// What must hold whatever the raw clients sent.
fn assert_unharmed(seen: &Seen) {
    assert!(seen.raw.iter().all(|raw| raw.closed_at.is_some()), "a raw client was not closed");
    assert_eq!(seen.bystander.violations, Vec::<String>::new());
    assert_eq!((seen.bystander.gaps, seen.bystander.received.len()), (0, seen.sent));
    assert_eq!((seen.streams_left, seen.tasks_left), (0, 1), "streams and tasks at rest");
    // A message and its growth, and the rings of two streams.
    let bound = i64::from(Config::default().rtmp.max_message_bytes) + (4 << 20);
    assert!(seen.held_bytes < bound, "the gateway held {} bytes", seen.held_bytes);
}

/// The media of `live/raw`, three seconds of it.
fn raw_media() -> impl Iterator<Item = Item> {
    let media = Generated::new(MediaPlan::default(), "live/raw", 1);
    media.take_while(|item| item.due < Duration::from_secs(3))
}

/// A whole publisher of `live/raw` that waits for no answer: handshake, commands, media.
fn publisher_bytes() -> Vec<u8> {
    let limits = ChunkLimits { message_bytes: 1 << 20, chunk_bytes: 1 << 20, chunk_streams: 8 };
    let mut link = Link::new(limits, Duration::ZERO);
    let mut command = |stream_id, name: &str, transaction, values| {
        let command = Command { name: name.into(), transaction, values };
        link.send_command(stream_id, &command, Encoding::Amf0);
    };
    command(0, "connect", 1.0, vec![Object::new().with("app", "live").into()]);
    command(0, "createStream", 2.0, vec![Value::Null]);
    command(1, "publish", 3.0, vec![Value::Null, "raw".into(), "live".into()]);
    for item in raw_media() {
        let (type_id, timestamp_ms, payload) = (item.type_id, item.timestamp_ms, item.payload);
        link.send_message(6, &Message { type_id, stream_id: 1, timestamp_ms, payload });
    }
    let handshake = [&[3][..], &[0; 2 * 1536]].concat();
    [handshake, link.poll_output()].concat()
}

/// Cuts `bytes` into pieces of the given lengths, over and over; the end of many is one piece.
fn cut(bytes: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for &length in lengths.iter().cycle().take(500).chain([&usize::MAX]) {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}

fn send(pieces: Vec<Vec<u8>>, half_close: bool) -> RawPlan {
    RawPlan { start_ms: 1_000, pieces, half_close, read_from_ms: 0, leave_ms: 90_000 }
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
        let shaken = [&[3][..], &[0; 2 * 1536], &shaken].concat();
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
fn a_peer_that_reads_nothing_and_asks_for_ever_is_closed() {
    let mut bytes = publisher_bytes();
    let limits = ChunkLimits { message_bytes: 1 << 20, chunk_bytes: 1 << 20, chunk_streams: 8 };
    let mut link = Link::new(limits, Duration::ZERO);
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
