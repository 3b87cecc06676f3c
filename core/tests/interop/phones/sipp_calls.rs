//! SIPp calls: what it says is heard, and what is played comes back through it, byte for byte.

#![allow(clippy::disallowed_methods)]

use std::fs;

use super::{Folder, Tone, free_port, heard, is_missing, listen, sipp, speech};
use crate::{ffmpeg, gateway::Gateway, process::Process};

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
    let said = tone.content("mulaw");
    let file = folder.file("heard.raw");
    let mut listening = listen(&gateway, "call/both", &file);
    let mut calling = sipp(&folder, ECHO, free_port());
    calling.args(["-rtp_echo", "-s", "both"]).arg(gateway.sip.to_string());
    let mut calling = Process::start("sipp", &mut calling);
    // What is published before it has acknowledged its call is not for it.
    folder.wait_for("acknowledged");
    let publishing = tone.publish(&gateway, "live/tone");
    heard(&file, said.len());
    drop(publishing);
    // It hangs up.
    gateway.process.terminate();
    calling.wait_success();
    listening.wait_success();
    assert!(heard(&file, said.len()) == said, "something else was heard than was said");
}
