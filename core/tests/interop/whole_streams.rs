//! Who waits for a publisher gets all of it.

use crate::{
    ffmpeg::{self, Player},
    gateway::Gateway,
    process::PATIENCE,
};

#[test]
fn players_who_wait_get_every_packet_as_it_was_published() {
    if ffmpeg::is_missing() {
        return;
    }
    let gateway = Gateway::start();
    let mut players = [
        Player::start(gateway.rtmp_url("live/whole")),
        Player::start(gateway.rtmp_url("live/whole")),
        Player::start(gateway.http_url("live/whole")),
    ];
    gateway.wait_for_log("play", "live/whole", 2);
    players[2].wait_until_asked();

    let mut publisher = ffmpeg::publish(&gateway.rtmp_url("live/whole"), &[]);
    assert_eq!(publisher.wait(PATIENCE).code, Some(0), "the publisher is content");
    let published = ffmpeg::published(&[]);
    for player in &mut players {
        let got = player.wait_for_packets();
        ffmpeg::assert_same(&player.url, &got, &published);
    }
    let ended = gateway.wait_for_log("unpublish", "live/whole", 1);
    // Metadata, the header of each track, and the end of the video sequence come on top.
    assert!(ended[0]["frames"].as_u64() >= Some(published.len() as u64), "{}", ended[0]);
}
