//! SIPp calls: what it says is heard, and what is played comes back through it, byte for byte.

#![allow(clippy::disallowed_methods)]

use std::fs;

use super::{
    Folder, HALF_SECOND_BYTES, Tone, assert_is_piece, free_port, is_missing, listen, sipp, speech,
};
use crate::{
    ffmpeg,
    gateway::{Gateway, lines_of},
    process::Process,
};

/// It says what is in `media.raw`, and hangs up.
const SPEAKER: &str = include_str!("caller.xml");
/// It says what it hears until the other end hangs up.
const ECHO: &str = include_str!("echo.xml");

/// SIPp calls by `transport` as it names it, one socket over UDP or TCP; what it says is heard.
fn what_it_says_is_heard_byte_for_byte(name: &str, transport: &str) {
    if ffmpeg::is_missing() || is_missing("sipp") {
        return;
    }
    let gateway = Gateway::start();
    let folder = Folder::new(name);
    let spoken = speech(&folder);
    let heard = folder.file("heard.raw");
    let mut listening = listen(&gateway, "call/talk", &heard);
    let mut calling = sipp(&folder, SPEAKER, free_port());
    calling.args(["-t", transport, "-s", "talk"]).arg(gateway.sip.to_string());
    Process::start("sipp", &mut calling).wait_success();
    // The end of the publish is the end of what ffmpeg reads.
    listening.wait_success();
    let heard = fs::read(&heard).expect("ffmpeg has written it");
    assert!(heard == spoken, "{} bytes were heard of {}", heard.len(), spoken.len());
}

#[test]
fn what_sipp_says_is_heard_over_rtmp_byte_for_byte() {
    what_it_says_is_heard_byte_for_byte("sipp", "u1");
}

#[test]
fn sipp_calls_over_tcp_as_it_does_over_udp() {
    what_it_says_is_heard_byte_for_byte("sipp-tcp", "t1");
}

#[test]
fn what_a_call_plays_and_publishes_is_the_same_where_the_phone_is_an_echo() {
    if ffmpeg::is_missing() || is_missing("sipp") {
        return;
    }
    let gateway = Gateway::start_with(
        "sip.routes = [{ dial = \"both\", publish = \"call/both\", play = \"live/tone\" }]",
    );
    let folder = Folder::new("sipp-echo");
    let tone = Tone::new(&folder, 2);
    let heard = folder.file("heard.raw");
    let mut listening = listen(&gateway, "call/both", &heard);
    let mut calling = sipp(&folder, ECHO, free_port());
    calling.args(["-rtp_echo", "-s", "both"]).arg(gateway.sip.to_string());
    let mut calling = Process::start("sipp", &mut calling);
    lines_of(&gateway.process, "a call is taken", 1, |_| true);
    tone.publish(&gateway, "live/tone").wait_success();
    gateway.wait_for_log("unpublish", "live/tone", 1);
    // It hangs up.
    gateway.process.terminate();
    calling.wait_success();
    listening.wait_success();
    let heard = fs::read(&heard).expect("ffmpeg has written it");
    // The phone may have come later than the first packets, and the last ones are on their way when the call ends.
    assert_is_piece(&heard, &tone.content("mulaw"), 2 * HALF_SECOND_BYTES);
}
