//! Streams with sound only, with pictures only, and with both: what players get and what the FLV header says.

use crate::{
    ffmpeg::{self, Player},
    gateway::Gateway,
    raw_http::Client,
};

/// Publishes what `selection` picks of the source: the FLV header has these `flags`, and players get it all.
fn assert_served(selection: &[&str], flags: u8) {
    if ffmpeg::is_missing() {
        return;
    }
    let gateway = Gateway::start();
    let mut players = [
        Player::start(gateway.rtmp_url("live/tracks")),
        Player::start(gateway.http_url("live/tracks")),
    ];
    gateway.wait_for_log("play", "live/tracks", 1);
    players[1].wait_until_asked();
    let mut client = Client::connect(gateway.http);
    client.send("GET /live/tracks.flv HTTP/1.0\r\n\r\n");

    ffmpeg::publish(&gateway.rtmp_url("live/tracks"), selection).wait_success();
    let published = ffmpeg::published(selection);
    for player in &mut players {
        let got = player.wait_for_packets();
        ffmpeg::assert_same(&player.url, &got, &published);
    }
    assert_eq!(client.read_head().status, "HTTP/1.0 200 OK");
    let body = client.read_to_end();
    assert_eq!(&body[..9], [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9]);
}

#[test]
fn sound_alone_is_announced_and_delivered() {
    assert_served(&["-vn", "-t", "2"], 4);
}

#[test]
fn pictures_alone_are_announced_and_delivered() {
    assert_served(&["-an", "-t", "2"], 1);
}

#[test]
fn both_tracks_are_announced_and_delivered() {
    assert_served(&["-t", "2"], 5);
}
