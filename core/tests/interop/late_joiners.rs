//! Who joins in the middle starts at a keyframe and misses nothing from there on.

use crate::{
    ffmpeg::{self, Packet, Player, Track},
    gateway::Gateway,
};

/// What is published here: three groups of pictures.
const SELECTION: [&str; 2] = ["-t", "6"];

/// Publishes, lets an RTMP and an HTTP-FLV player join in the second group of pictures, and gives the URL and the
/// packets of each.
fn join_late() -> [(String, Vec<Packet>); 2] {
    let gateway = Gateway::start();
    let mut publisher = ffmpeg::publish(&gateway.rtmp_url("live/late"), &SELECTION);
    ffmpeg::wait_until_published(&publisher, ffmpeg::keyframes_pts_ms()[1] + 500);
    let players = [
        Player::start(gateway.rtmp_url("live/late")),
        Player::start(gateway.http_url("live/late")),
    ];
    publisher.wait_success();
    players.map(|mut player| (player.url.clone(), player.wait_for_packets()))
}

/// What of `published` a player gets whose first picture is that of `pts_ms`.
fn since_picture(pts_ms: i64, published: &[Packet]) -> &[Packet] {
    let is_first = |packet: &Packet| packet.track == Track::Video && packet.pts_ms == pts_ms;
    let at = published.iter().position(is_first).expect("a time of the source");
    &published[at..]
}

#[test]
fn late_joiners_start_at_a_keyframe_and_get_all_that_follows() {
    if ffmpeg::is_missing() {
        return;
    }
    let published = ffmpeg::published(&SELECTION);
    let later_keyframes_pts_ms = &ffmpeg::keyframes_pts_ms()[1..];
    for (who, mut got) in join_late() {
        // What else ffmpeg takes for a packet is the next test's subject.
        got.retain(|packet| packet.track != Track::Other);
        let first = got.iter().find(|packet| packet.track == Track::Video);
        let first_pts_ms = first.expect("it got pictures").pts_ms;
        assert!(
            later_keyframes_pts_ms.contains(&first_pts_ms),
            "{who}: starts at {first_pts_ms}, later keyframes are at {later_keyframes_pts_ms:?}"
        );
        ffmpeg::assert_same(&who, &got, since_picture(first_pts_ms, &published));
    }
}

/// ffmpeg takes `onMetaData` for metadata at time 0 only. At any other time it makes a subtitle track of it: in a
/// recording as Matroska there is one more track, and one as MP4 with all tracks (`-map 0`) fails.
#[test]
fn metadata_for_late_joiners_is_no_track_of_its_own() {
    if ffmpeg::is_missing() {
        return;
    }
    for (who, got) in join_late() {
        assert_eq!(ffmpeg::of_track(Track::Other, &got), [], "{who}");
    }
}
