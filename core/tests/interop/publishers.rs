//! Publishers that die, come back, and collide.

use crate::{
    ffmpeg::{self, Packet, Player, Track},
    gateway::Gateway,
    process::PATIENCE,
};

/// Fails unless `got` is the beginning of `published`, track by track.
fn assert_beginning(who: &str, got: &[Packet], published: &[Packet]) {
    let beginning: Vec<Packet> = [Track::Video, Track::Audio]
        .into_iter()
        .flat_map(|track| {
            let count = ffmpeg::of_track(track, got).len();
            assert!(count > 20, "{who}: only {count} packets of {track:?}");
            ffmpeg::of_track(track, published).into_iter().take(count)
        })
        .collect();
    ffmpeg::assert_same(who, got, &beginning);
}

#[test]
fn a_killed_publisher_ends_its_viewers_and_can_come_back() {
    if ffmpeg::is_missing() {
        return;
    }
    let gateway = Gateway::start();
    let viewers = || {
        [Player::start(gateway.rtmp_url("live/back")), Player::start(gateway.http_url("live/back"))]
    };
    let mut first_viewers = viewers();
    gateway.wait_for_log("play", "live/back", 1);
    first_viewers[1].wait_until_asked();
    let mut publisher = ffmpeg::publish(&gateway.rtmp_url("live/back"), &[]);
    for viewer in &first_viewers {
        viewer.wait_until_played(1_500);
    }
    publisher.kill();
    let published = ffmpeg::published(&[]);
    for viewer in &mut first_viewers {
        let got = viewer.wait_for_packets();
        assert_beginning(&viewer.url, &got, &published);
    }
    gateway.wait_for_log("unpublish", "live/back", 1);

    let mut new_viewers = viewers();
    gateway.wait_for_log("play", "live/back", 2);
    new_viewers[1].wait_until_asked();
    let selection = ["-t", "3"];
    ffmpeg::publish(&gateway.rtmp_url("live/back"), &selection).wait_success();
    let published = ffmpeg::published(&selection);
    for viewer in &mut new_viewers {
        let got = viewer.wait_for_packets();
        ffmpeg::assert_same(&viewer.url, &got, &published);
    }
}

#[test]
fn a_second_publisher_is_refused_and_the_first_untouched() {
    if ffmpeg::is_missing() {
        return;
    }
    let selection = ["-t", "4"];
    let gateway = Gateway::start();
    let url = gateway.rtmp_url("live/taken");
    let mut viewer = Player::start(url.clone());
    gateway.wait_for_log("play", "live/taken", 1);
    let mut first = ffmpeg::publish(&url, &selection);
    viewer.wait_until_played(0);

    let refused = ffmpeg::publish(&url, &selection).wait(PATIENCE);
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    let said = refused.stderr.join("\n");
    assert!(said.contains("published already"), "the publisher is not told why: {said}");
    let lines = gateway.wait_for_log("publish refused", "live/taken", 1);
    assert_eq!(lines[0]["error"], "the stream is being published already");

    first.wait_success();
    ffmpeg::assert_same(&url, &viewer.wait_for_packets(), &ffmpeg::published(&selection));
}

/// `published` at the times at which the first packets of `got` have it; that they are the same is left to others.
fn shifted_to(got: &[Packet], published: &[Packet]) -> Vec<Packet> {
    let shift_ms = got[0].dts_ms - published[0].dts_ms;
    let shifted = published.iter().cloned().map(|mut packet| {
        packet.dts_ms += shift_ms;
        packet.pts_ms += shift_ms;
        packet
    });
    shifted.collect()
}

#[test]
fn a_player_that_is_not_told_stays_and_sees_one_clock_across_publishes() {
    if ffmpeg::is_missing() {
        return;
    }
    let selection = ["-t", "2"];
    let gateway = Gateway::start_with("live.notify_unpublish = false");
    let url = gateway.rtmp_url("live/stays");
    let mut player = Player::start(url.clone());
    gateway.wait_for_log("play", "live/stays", 1);
    for _ in 0..2 {
        ffmpeg::publish(&url, &selection).wait_success();
    }
    // Once something of a third publish is there, the two before it are complete.
    let mut third = ffmpeg::publish(&url, &[]);
    let published = ffmpeg::published(&selection);
    player.wait_until_listed(2 * published.len() + 10);
    third.kill();
    gateway.process.terminate();

    // What ffmpeg takes for other packets is a subject of `late_joiners`.
    let mut got = player.wait_for_packets();
    got.retain(|packet| packet.track != Track::Other);
    let (first, rest) = got.split_at(published.len());
    ffmpeg::assert_same("first publish", first, &published);
    let second = shifted_to(rest, &published);
    ffmpeg::assert_same("second publish", &rest[..published.len()], &second);
    let pause_ms = second[0].dts_ms - first[first.len() - 1].dts_ms;
    assert!((1..10_000).contains(&pause_ms), "the clock goes on by {pause_ms} ms");
}
