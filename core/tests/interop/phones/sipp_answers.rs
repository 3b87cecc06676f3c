//! The gateway calls SIPp, by its configuration: it rings, answers, is heard and hears, and either end hangs up.

#![allow(clippy::disallowed_methods)]

use std::fs;

use super::{Folder, Tone, free_port, heard, is_missing, listen, sipp, speech};
use crate::{
    ffmpeg,
    gateway::{Gateway, lines_of},
    process::Process,
};

/// It says what is in `media.raw`, and hangs up.
const SPEAKER: &str = include_str!("callee.xml");
/// Bytes of audio in a packet of SIPp's.
const PACKET_BYTES: usize = 160;
/// It says what it hears until the other end hangs up.
const ECHO: &str = include_str!("callee_echo.xml");

/// A gateway that calls `to`. Over UDP its call is sent again until somebody is there; over TCP it must call again.
fn calling(to: &str, others: &str) -> Gateway {
    let call = format!("{{ to = \"{to}\", publish = \"call/callee\"{others} }}");
    Gateway::start_with(&format!("sip.t1_ms = 100\nsip.calls = [{call}]"))
}

#[test]
fn whom_the_gateway_calls_is_heard_byte_for_byte_and_hangs_up() {
    if ffmpeg::is_missing() || is_missing("sipp") {
        return;
    }
    let port = free_port();
    let gateway = calling(&format!("sip:callee@127.0.0.1:{port}"), "");
    let folder = Folder::new("sipp-callee");
    let spoken = speech(&folder);
    let heard = folder.file("heard.raw");
    let mut listening = listen(&gateway, "call/callee", &heard);
    Process::start("sipp", &mut sipp(&folder, SPEAKER, port)).wait_success();
    listening.wait_success();
    let heard = fs::read(&heard).expect("ffmpeg has written it");
    assert!(heard == spoken, "{} bytes were heard of {}", heard.len(), spoken.len());
    lines_of(&gateway.process, "it rings", 1, |line| line["status"] == 180);
    lines_of(&gateway.process, "a call is over", 1, |line| line["end"] == "HungUp");
}

#[test]
fn the_gateway_calls_over_tcp_and_hears_every_packet() {
    if is_missing("sipp") {
        return;
    }
    let port = free_port();
    let to = format!("sip:callee@127.0.0.1:{port};transport=tcp");
    let gateway = calling(&to, ", redial_ms = 1000");
    let folder = Folder::new("sipp-callee-tcp");
    let packets = speech(&folder).len() / PACKET_BYTES;
    Process::start("sipp", sipp(&folder, SPEAKER, port).args(["-t", "t1"])).wait_success();
    lines_of(&gateway.process, "media of a call", 1, |line| {
        line["received"] == packets && line["lost"] == 0
    });
    lines_of(&gateway.process, "a call is over", 1, |line| line["end"] == "HungUp");
}

#[test]
fn whom_the_gateway_calls_hears_byte_for_byte_until_the_gateway_hangs_up() {
    if ffmpeg::is_missing() || is_missing("sipp") {
        return;
    }
    let port = free_port();
    let to = format!("sip:callee@127.0.0.1:{port}");
    let gateway = calling(&to, ", play = \"live/tone\"");
    let folder = Folder::new("sipp-callee-echo");
    let tone = Tone::new(&folder, 2);
    let said = tone.content("mulaw");
    let file = folder.file("heard.raw");
    let mut listening = listen(&gateway, "call/callee", &file);
    let mut callee = Process::start("sipp", sipp(&folder, ECHO, port).arg("-rtp_echo"));
    lines_of(&gateway.process, "a call is answered", 1, |_| true);
    let publishing = tone.publish(&gateway, "live/tone");
    heard(&file, said.len());
    drop(publishing);
    gateway.process.terminate();
    callee.wait_success();
    listening.wait_success();
    assert!(heard(&file, said.len()) == said, "something else was heard than was said");
}
