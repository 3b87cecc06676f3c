//! Every deadline, from both sides: who stops half-way is closed when it is due, and not before.

use std::time::Duration;

use rehearsal_core::config::Config;
use rehearsal_sim::clients::{media::MediaPlan, raw::RawPlan};

use crate::world::{
    HTTP, RTMP, Seen, Setup, assert_unharmed, handshake, opening, publisher_bytes, run, run_with,
    send,
};

/// The raw clients connect at 1 s; the gateway sees what they sent a little later.
const START: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(50);

/// The connection ended `expected_ms` after the client came.
fn assert_gone_after(seen: &Seen, expected_ms: u64) {
    let expected = START + Duration::from_millis(expected_ms);
    let gone_at = seen.gone_at;
    let in_time = (expected - SOON..expected + SOON).contains(&gone_at);
    assert!(in_time, "gone at {gone_at:?}, due at {expected:?}");
}

fn one(port: u16, bytes: &[u8]) -> Seen {
    let seen = run(vec![(port, send(vec![bytes.to_vec()], false))]);
    assert_unharmed(&seen);
    seen
}

#[test]
fn half_a_handshake_is_closed_when_it_is_due() {
    let handshake_ms = Config::default().rtmp.handshake_ms;
    assert_gone_after(&one(RTMP, &handshake()[..1_000]), handshake_ms);
    assert_gone_after(&one(RTMP, &handshake()[..2_000]), handshake_ms);
    assert_gone_after(&one(RTMP, &[]), handshake_ms);
}

#[test]
fn a_client_that_asks_for_nothing_is_closed_when_it_is_due() {
    let command_ms = Config::default().rtmp.command_ms;
    assert_gone_after(&one(RTMP, &handshake()), command_ms);
    // Connected and with a stream, but neither publishing nor playing.
    assert_gone_after(&one(RTMP, &opening("nothing", "raw")), command_ms);
}

#[test]
fn a_silent_publisher_is_closed_when_it_is_due() {
    let silence_ms = Config::default().rtmp.publisher_silence_ms;
    assert_gone_after(&one(RTMP, &opening("publish", "raw")), silence_ms);
    assert_gone_after(&one(RTMP, &publisher_bytes()), silence_ms);
}

#[test]
fn a_player_that_does_not_answer_a_ping_is_closed_when_it_is_due() {
    let Config { rtmp, .. } = Config::default();
    let mut config = Config::default();
    config.rtmp.ping_ms = 10_000;
    config.rtmp.ping_timeout_ms = 5_000;
    let client = (RTMP, send(vec![opening("play", "nothing")], false));
    let seen = run_with(Setup { config, ..Setup::default() }, vec![client]);
    assert_unharmed(&seen);
    assert_gone_after(&seen, 15_000);
    assert!(rtmp.ping_ms > 15_000, "the default would not have ended it");
}

#[test]
fn half_a_request_is_closed_when_it_is_due() {
    let head_ms = Config::default().http.head_ms;
    assert_gone_after(&one(HTTP, b"GET / HTTP/1.1\r\nHo"), head_ms);
    assert_gone_after(&one(HTTP, b""), head_ms);
    // After an answer, the next request is waited for as long.
    assert_gone_after(&one(HTTP, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), head_ms);
}

#[test]
fn a_viewer_waits_for_a_publisher_as_long_as_configured() {
    let wait_ms = Config::default().http.wait_publisher_ms;
    let seen = one(HTTP, b"GET /live/nothing.flv HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_gone_after(&seen, wait_ms);
    assert!(seen.raw[0].received.starts_with(b"HTTP/1.1 404 "));
}

#[test]
fn who_asks_for_ever_and_reads_nothing_over_http_is_closed_when_it_is_due() {
    let requests = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20_000);
    let plan = RawPlan { read_from_ms: 80_000, ..send(vec![requests], false) };
    let seen = run(vec![(HTTP, plan)]);
    assert_unharmed(&seen);
    assert_gone_after(&seen, Config::default().http.idle_ms);
}

/// A stream that fills what the sockets buffer within a second.
fn fat_stream() -> Setup {
    let media = MediaPlan { keyframe_bytes: 400_000, ..MediaPlan::default() };
    let mut setup = Setup { media, healthy_ms: 60_000, ..Setup::default() };
    setup.config.live.keep_ms = 1_000;
    setup
}

/// A player and a viewer of the healthy stream that read nothing.
fn who_read_nothing() -> Vec<(u16, RawPlan)> {
    let request = b"GET /live/healthy.flv HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    [(RTMP, opening("play", "healthy")), (HTTP, request)]
        .map(|(port, bytes)| (port, RawPlan { read_from_ms: 80_000, ..send(vec![bytes], false) }))
        .to_vec()
}

#[test]
fn who_reads_nothing_is_closed_when_the_stall_is_over() {
    for client in who_read_nothing() {
        let mut setup = fat_stream();
        setup.config.live.player_stall_ms = 20_000;
        setup.config.live.lag_close_ms = 59_000;
        let seen = run_with(setup, vec![client]);
        assert_unharmed(&seen);
        // The socket was full between 1 s and 3 s after the start.
        let stalled = seen.gone_at - Duration::from_secs(20);
        assert!(stalled > START - SOON && stalled < START + Duration::from_secs(2), "{stalled:?}");
    }
}

#[test]
fn who_reads_nothing_is_closed_when_its_next_frame_is_too_old() {
    for client in who_read_nothing() {
        let mut setup = fat_stream();
        setup.config.live.lag_close_ms = 12_000;
        let seen = run_with(setup, vec![client]);
        assert_unharmed(&seen);
        let came = seen.gone_at - Duration::from_secs(12);
        assert!(came > START - SOON && came < START + Duration::from_secs(2), "{came:?}");
    }
}
