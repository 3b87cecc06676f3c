//! The gateway registers where it is told to, proves who it is, and can be called by that.

#![allow(clippy::disallowed_methods)]

use std::fs;

use super::{Folder, free_port, is_missing, listen, sipp, speech};
use crate::{
    ffmpeg,
    gateway::{Gateway, lines_of},
    process::{PATIENCE, Process},
};

/// It wants a password, and calls who has proven to know it.
const REGISTRAR: &str = include_str!("registrar.xml");

fn registering(port: u16, password: &str) -> Gateway {
    Gateway::start_with(&format!(
        "sip.t1_ms = 100\nsip.accounts = [{{ address = \"sip:talk@127.0.0.1:{port}\", password = \"{password}\" }}]"
    ))
}

#[test]
fn who_calls_an_account_through_its_registrar_is_heard_byte_for_byte() {
    if ffmpeg::is_missing() || is_missing("sipp") {
        return;
    }
    let port = free_port();
    let gateway = registering(port, "not to be guessed");
    let folder = Folder::new("sipp-registrar");
    let spoken = speech(&folder);
    let heard = folder.file("heard.raw");
    let mut listening = listen(&gateway, "call/talk", &heard);
    Process::start("sipp", &mut sipp(&folder, REGISTRAR, port)).wait_success();
    listening.wait_success();
    let heard = fs::read(&heard).expect("ffmpeg has written it");
    assert!(heard == spoken, "{} bytes were heard of {}", heard.len(), spoken.len());
    lines_of(&gateway.process, "registered", 1, |_| true);
}

#[test]
fn a_wrong_password_is_told_of() {
    if is_missing("sipp") {
        return;
    }
    let port = free_port();
    let gateway = registering(port, "guessed");
    let folder = Folder::new("sipp-wrong-password");
    speech(&folder);
    let mut registrar = Process::start("sipp", &mut sipp(&folder, REGISTRAR, port));
    let told = "not registered, so nobody can call: trying again";
    lines_of(&gateway.process, told, 1, |line| line["status"] == 403);
    registrar.wait(PATIENCE);
}
