//! A live stream over plain HTTP: framing, the end, and what else may be on the connection.

use rehearsal_core::media::flv::{Demuxer, Tag, TagKind};

use crate::{
    ffmpeg::{self, Packet, Track},
    gateway::Gateway,
    raw_http::Client,
};

const SELECTION: [&str; 2] = ["-t", "2"];

/// The tags of an FLV body, which is whole and framed as specified.
fn tags(body: &[u8]) -> Vec<Tag> {
    let mut demuxer = Demuxer::new(1 << 20);
    demuxer.feed(body);
    let mut tags = Vec::new();
    while let Some(tag) = demuxer.next_tag().expect("the body is FLV") {
        tags.push(tag);
    }
    assert_eq!(demuxer.previous_size_mismatches(), 0);
    let framed: usize = tags.iter().map(|tag| 11 + tag.body.len() + 4).sum();
    assert_eq!(body.len(), 13 + framed, "the body ends with a whole tag");
    tags
}

/// Times of the coded frames of one track: the second byte of such a tag is 1, for H.264 and AAC alike.
fn times_ms(kind: TagKind, tags: &[Tag]) -> Vec<i64> {
    let frames = tags.iter().filter(|tag| tag.kind == kind && tag.body[1] == 1);
    frames.map(|tag| tag.timestamp_ms.into()).collect()
}

fn assert_complete(body: &[u8], published: &[Packet]) {
    let tags = tags(body);
    assert_eq!(tags[0].kind, TagKind::Script, "metadata comes first");
    for (kind, track) in [(TagKind::Video, Track::Video), (TagKind::Audio, Track::Audio)] {
        let published = ffmpeg::of_track(track, published);
        let expected: Vec<i64> = published.iter().map(|packet| packet.dts_ms).collect();
        assert_eq!(times_ms(kind, &tags), expected, "{kind:?}");
    }
}

#[test]
fn http_1_1_is_chunked_by_tags_and_http_1_0_ends_by_closing() {
    if ffmpeg::is_missing() {
        return;
    }
    let gateway = Gateway::start();
    let (mut newer, mut older) = (Client::connect(gateway.http), Client::connect(gateway.http));
    newer.send("GET /live/plain.flv HTTP/1.1\r\nHost: x\r\n\r\n");
    older.send("GET /live/plain.flv?token=1 HTTP/1.0\r\n\r\n");
    ffmpeg::publish(&gateway.rtmp_url("live/plain"), &SELECTION).wait_success();

    let head = newer.read_head();
    assert_eq!(head.status, "HTTP/1.1 200 OK");
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(head.header("content-length"), None);
    assert_eq!(head.header("content-type"), Some("video/x-flv"));
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    let chunks = newer.read_chunks();
    assert_eq!(newer.read_to_end(), b"", "nothing follows the last chunk");

    let head = older.read_head();
    assert_eq!(head.status, "HTTP/1.0 200 OK");
    assert_eq!(head.header("transfer-encoding"), None);
    assert_eq!(head.header("content-length"), None);
    let body = older.read_to_end();

    assert_complete(&body, &ffmpeg::published(&SELECTION));
    assert_eq!(chunks.len(), 1 + tags(&body).len(), "a chunk for the header and one for each tag");
    assert!(chunks.concat() == body, "both get the same bytes");
}

#[test]
fn a_connection_that_was_refused_a_path_can_still_view_a_stream() {
    if ffmpeg::is_missing() {
        return;
    }
    let gateway = Gateway::start();
    let mut client = Client::connect(gateway.http);
    client.send("GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n");
    let refused = client.read_head();
    assert_eq!(refused.status, "HTTP/1.1 404 Not Found");
    client.read_body(&refused);
    client.send("GET /live/again.flv HTTP/1.1\r\nHost: x\r\n\r\n");
    ffmpeg::publish(&gateway.rtmp_url("live/again"), &SELECTION).wait_success();
    assert_eq!(client.read_head().status, "HTTP/1.1 200 OK");
    assert_complete(&client.read_chunks().concat(), &ffmpeg::published(&SELECTION));
}

#[test]
fn requests_behind_a_live_one_change_nothing_of_it() {
    if ffmpeg::is_missing() {
        return;
    }
    let gateway = Gateway::start();
    let live = "GET /live/behind.flv HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut client = Client::connect(gateway.http);
    // Two paths in one write before the live request, one behind it, and more while it is served.
    let elsewhere = "GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n";
    client.send(&[elsewhere, live, elsewhere].concat());
    let refused = client.read_head();
    assert_eq!(refused.status, "HTTP/1.1 404 Not Found");
    client.read_body(&refused);
    let mut publisher = ffmpeg::publish(&gateway.rtmp_url("live/behind"), &SELECTION);
    assert_eq!(client.read_head().status, "HTTP/1.1 200 OK");
    client.send(elsewhere);
    publisher.wait_success();
    assert_complete(&client.read_chunks().concat(), &ffmpeg::published(&SELECTION));
    assert_eq!(client.read_to_end(), b"", "the connection ends with the stream");
}

#[test]
fn head_of_a_published_stream_has_its_headers_and_no_body() {
    if ffmpeg::is_missing() {
        return;
    }
    let gateway = Gateway::start();
    let _publisher = ffmpeg::publish(&gateway.rtmp_url("live/head"), &SELECTION);
    gateway.wait_for_log("publish", "live/head", 1);
    let mut client = Client::connect(gateway.http);
    client.send("HEAD /live/head.flv HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.read_head();
    assert_eq!(head.status, "HTTP/1.1 200 OK");
    assert_eq!(head.header("content-type"), Some("video/x-flv"));
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    // A live stream has no length, and 0 would be a wrong one.
    assert_eq!(head.header("content-length"), None);
    assert_eq!(client.read_to_end(), b"");
}
