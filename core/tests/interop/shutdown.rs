//! SIGTERM: everybody is told, and the gateway is gone soon after.

use std::time::Duration;

use crate::{
    ffmpeg::{self, Player},
    gateway::Gateway,
    process::PATIENCE,
    raw_http::Client,
};

const SOON: Duration = Duration::from_secs(2);

#[test]
fn sigterm_ends_publisher_and_players_in_order() {
    if ffmpeg::is_missing() {
        return;
    }
    let mut gateway = Gateway::start();
    let mut players =
        [Player::start(gateway.rtmp_url("live/end")), Player::start(gateway.http_url("live/end"))];
    gateway.wait_for_log("play", "live/end", 1);
    players[1].wait_until_asked();
    let mut client = Client::connect(gateway.http);
    client.send("GET /live/end.flv HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut publisher = ffmpeg::publish(&gateway.rtmp_url("live/end"), &[]);
    for player in &players {
        player.wait_until_played(1_000);
    }

    gateway.process.terminate();
    let ended = gateway.process.wait(SOON);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for player in &mut players {
        let got = player.wait_for_packets();
        assert!(got.iter().any(|packet| packet.dts_ms >= 1_000), "{}: {got:?}", player.url);
    }
    assert_eq!(client.read_head().status, "HTTP/1.1 200 OK");
    assert!(client.read_chunks().len() > 20, "the response has all that came");
    assert_eq!(client.read_to_end(), b"");
    // Its stream is not over, so it may complain; it must not hang.
    publisher.wait(PATIENCE);
}

#[test]
fn sigterm_ends_those_who_wait_and_those_who_are_silent() {
    if ffmpeg::is_missing() {
        return;
    }
    let mut gateway = Gateway::start();
    let mut silent = [gateway.rtmp, gateway.http, gateway.http].map(Client::connect);
    silent[2].send("GET /half/a/request HTTP/1.1\r\nHo");
    let mut viewer = Client::connect(gateway.http);
    viewer.send("GET /live/never.flv HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut idle = Client::connect(gateway.http);
    idle.send("GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = idle.read_head();
    idle.read_body(&head);
    let mut player = Player::start(gateway.rtmp_url("live/never"));
    gateway.wait_for_log("play", "live/never", 1);

    gateway.process.terminate();
    let ended = gateway.process.wait(SOON);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let head = viewer.read_head();
    assert_eq!(head.status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(viewer.read_body(&head), "the server is shutting down\n");
    assert_eq!(idle.read_to_end(), b"");
    // RTMP may say good-bye without having shaken hands; HTTP has nothing to say.
    silent[0].read_to_end();
    assert_eq!(silent[1].read_to_end(), b"");
    player.wait_until_over();
}
