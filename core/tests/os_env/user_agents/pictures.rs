//! A phone that shows pictures, and sees what the stream that it dials has: its own.

use rehearsal_core::{
    amf::{Value, amf0},
    config::Route,
    env::{Env, Os, UdpSocket},
    rtmp::message::type_id,
    sip::method::Method,
};

use super::{
    Served,
    client::Client,
    phone::{Phone, rtp_of},
};
use crate::{any_port, in_time};

const SPS: &[u8] = b"\x67\x42\x00\x1e\x80";
const PPS: &[u8] = b"\x68\x80";
const KEYFRAME: &[u8] = b"\x65\x88pictured";
const INTER: &[u8] = b"\x41\x9apictured";

/// The port of the video line in a description.
fn video_port(sdp: &[u8]) -> u16 {
    let text = std::str::from_utf8(sdp).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("m=video ")).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}

/// A packet of a picture.
fn pictured(sequence: u16, time: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 99 | if marker { 0x80 } else { 0 }];
    packet.extend(sequence.to_be_bytes());
    packet.extend(time.to_be_bytes());
    packet.extend(9_u32.to_be_bytes());
    packet.extend(payload);
    packet
}

#[tokio::test]
async fn a_phone_is_seen_and_sees_asks_for_keyframes_and_dials_by_sip() {
    let echo = Route {
        dial: "*".to_owned(),
        publish: Some("call/*".to_owned()),
        play: Some("call/*".to_owned()),
    };
    let gateway = Served::with(|config| config.sip.routes = vec![echo]).await;
    let mut phone = Phone::new().await;
    let video = Os.bind_udp(any_port()).await.unwrap();
    let with_video = |phone: &Phone, port| {
        let sdp = phone.sdp("sendrecv");
        let lines = "a=rtpmap:99 H264/90000\r\na=fmtp:99 packetization-mode=1\r\n";
        format!("{sdp}m=video {port} RTP/AVP 99\r\n{lines}")
    };
    let mut player = Client::connect(gateway.rtmp, "call", &[]).await;
    let own_port = video.local_addr().port();

    // Without video, which is added, taken away, and added again.
    let mut call = phone.invite("room", gateway.sip, 1).await;
    Phone::learn(&mut call, &phone.response(200).await);
    phone.confirm(&call).await;
    let mut ports = Vec::new();
    for port in [own_port, 0, own_port] {
        phone.ask(&mut call, "INVITE", &with_video(&phone, port)).await;
        ports.push(video_port(&phone.response(200).await.body));
        phone.confirm(&call).await;
    }
    assert_eq!((ports[0] % 2, ports[1], ports[2]), (0, 0, ports[0]));
    player.stream("play", "room").await;

    let mut sequence = 0;
    let mut packet = |time: u32, marker: bool, payload: &[u8]| {
        sequence += 1;
        pictured(sequence, time, marker, payload)
    };
    let gateway_video = std::net::SocketAddr::new(gateway.sip.ip(), ports[0]);
    // A picture that needs another is of no use yet.
    for packet in [packet(0, true, INTER), packet(3_000, true, INTER)] {
        video.send_to(&packet, gateway_video).await.unwrap();
    }
    let asked = phone.request(Method::Info).await;
    assert!(asked.0.body.windows(19).any(|part| part == b"picture_fast_update"));
    phone.answer(&asked, 200).await;
    for packet in [
        packet(6_000, false, SPS),
        packet(6_000, false, PPS),
        packet(6_000, true, KEYFRAME),
        packet(9_000, true, INTER),
    ] {
        video.send_to(&packet, gateway_video).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let message = player.get(type_id::VIDEO).await;
        seen.push((message.payload[..2].to_vec(), message.payload.ends_with(b"pictured")));
    }
    let expected = [(vec![0x17, 0], false), (vec![0x17, 1], true), (vec![0x27, 1], true)];
    assert_eq!(seen, expected);

    let mut buf = [0; 2_048];
    let mut shown = Vec::new();
    while shown.len() < 4 {
        let (length, _) = in_time(video.recv_from(&mut buf)).await.unwrap();
        shown.push((buf[12..length].to_vec(), buf[1] & 0x80 != 0));
    }
    let expected = [(SPS, false), (PPS, false), (KEYFRAME, true), (INTER, true)];
    assert_eq!(shown, expected.map(|(unit, is_last)| (unit.to_vec(), is_last)));

    // It has lost its picture, and gets what it needs to go on.
    let body = "<media_control><picture_fast_update/></media_control>";
    phone.inform(&mut call, "application/media_control+xml", body).await;
    phone.response(200).await;
    phone.inform(&mut call, "application/dtmf-relay", "Signal=7\r\nDuration=90\r\n").await;
    phone.response(200).await;
    let mut told = Vec::new();
    while told.first().is_none_or(|name: &Value| name.as_str() != Some("onDTMF")) {
        told = amf0::decode_all(&player.get(type_id::DATA_AMF0).await.payload).unwrap();
    }
    assert_eq!(told, ["onDTMF".into(), "7".into(), Value::from(90.0)]);
    video.send_to(&packet(12_000, true, INTER), gateway_video).await.unwrap();
    for expected in [SPS, PPS, INTER] {
        let (length, _) = in_time(video.recv_from(&mut buf)).await.unwrap();
        assert_eq!(buf[12..length], *expected);
    }
}

#[tokio::test]
async fn a_phone_that_takes_audio_out_of_its_call_is_not_heard_until_it_puts_it_in_again() {
    let gateway = Served::new().await;
    let mut phone = Phone::new().await;
    let video = Os.bind_udp(any_port()).await.unwrap();
    let lines = "a=rtpmap:99 H264/90000\r\na=fmtp:99 packetization-mode=1\r\n";
    let port = video.local_addr().port();
    let both = format!("{}m=video {port} RTP/AVP 99\r\n{lines}", phone.sdp("sendrecv"));
    let own_port = rtp_of(both.as_bytes(), phone.address().ip()).port();
    let no_audio = both.replace(&format!("m=audio {own_port} "), "m=audio 0 ");
    let mut player = Client::connect(gateway.rtmp, "call", &[]).await;

    let mut call = phone.invite_with("room", gateway.sip, 1, &both).await;
    let answer = phone.response(200).await;
    let media = rtp_of(&answer.body, gateway.sip.ip());
    let shown_at = std::net::SocketAddr::new(gateway.sip.ip(), video_port(&answer.body));
    Phone::learn(&mut call, &answer);
    phone.confirm(&call).await;
    player.stream("play", "room").await;
    let mut said = 0;
    let mut heard = Vec::new();
    for (sdp, is_heard) in [(&both, true), (&no_audio, false), (&both, true)] {
        phone.ask(&mut call, "INVITE", sdp).await;
        let body = phone.response(200).await.body;
        assert_eq!(rtp_of(&body, gateway.sip.ip()).port() != 0, is_heard);
        phone.confirm(&call).await;
        for _ in 0..3 {
            said += 1;
            phone.say(media, said, 0, &[said as u8; 160]).await;
        }
        while is_heard && !heard.ends_with(&[said as u8]) {
            heard.push(player.get(type_id::AUDIO).await.payload[1]);
        }
        // What is shown behind what is said comes behind it.
        for (unit, number) in [SPS, PPS, KEYFRAME].into_iter().zip(said..) {
            let (time, is_last) = (u32::from(said) * 3_000, unit == KEYFRAME);
            video.send_to(&pictured(number, time, is_last, unit), shown_at).await.unwrap();
        }
        while !player.get(type_id::VIDEO).await.payload.ends_with(b"pictured") {}
    }
    assert_eq!(heard, [1, 2, 3, 7, 8, 9]);
}
