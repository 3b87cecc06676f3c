//! baresip calls the gateway, or registers with it and is called: it hears what ffmpeg publishes, and ffmpeg plays what it says.

#![allow(clippy::disallowed_methods)]

use std::{fs, net::UdpSocket, process::Command};

use super::{Folder, Tone, ffmpeg_command, free_port, is_missing, listen};
use crate::{
    ffmpeg,
    gateway::{Gateway, lines_of},
    process::Process,
};

/// A quarter of a second of samples that was heard, and is looked for in what was said.
const PART_SAMPLES: usize = 2_000;

/// The phone says an address of this machine's network, and its packets must come from there.
const EVERYWHERE: &str = "sip.listen = \"0.0.0.0:0\"";

/// baresip, about to be `account`, of µ-law unless that says something else, for so many seconds, to say `says`, and to record in `folder` what it hears.
fn baresip(folder: &Folder, account: &str, seconds: u32, says: &[i16]) -> Command {
    let path = folder.0.to_str().expect("a path of text").to_owned();
    folder.write("says.wav", wav(says));
    folder.write(
        "config",
        format!(
            "sip_listen 0.0.0.0:{}\naudio_player aubridge,phone\naudio_source aufile,{path}/says.wav\n\
             ausrc_srate 8000\nauplay_srate 8000\nmodule_path /usr/lib/baresip/modules\nsnd_path {path}\n\
             module g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\n\
             module_tmp account.so\nmodule_app menu.so\n",
            free_port()
        ),
    );
    let codecs = if account.contains("audio_codecs=") { "" } else { ";audio_codecs=PCMU/8000/1" };
    folder.write("accounts", format!("{account}{codecs}\n"));
    let mut command = Command::new("baresip");
    command.args(["-f", &path, "-t", &seconds.to_string()]);
    command
}

/// What a phone says that only listens: for longer than it is there, for it hangs up when it has nothing more to say.
static SILENCE: [i16; 8_000 * 20] = [0; 8_000 * 20];

/// Fails unless the phone in `folder` has heard three seconds, nearly all of them sample for sample as `tone` has them.
fn assert_has_heard(folder: &Folder, tone: &Tone) {
    assert_are_of(&samples_of(folder), tone);
}

/// Fails unless `heard` are three seconds, nearly all of them sample for sample as `tone` has them.
fn assert_are_of(heard: &[i16], tone: &Tone) {
    let said = samples(&tone.content("s16le"));
    // A phone on a busy machine may be late for a packet; nearly all else it hears as it was said.
    let parts: Vec<_> = heard.chunks_exact(PART_SAMPLES).collect();
    // Decoders do not agree on what silence is: 0 to one is 2 to another.
    let is_alike = |(a, b): (&i16, &i16)| a.abs_diff(*b) <= 2;
    let is_there = |part: &&&[i16]| {
        said.windows(PART_SAMPLES).any(|own| own.iter().zip(part.iter()).all(is_alike))
    };
    let found = parts.iter().filter(is_there).count();
    assert!(parts.len() >= 12, "only {} samples were heard", heard.len());
    assert!(found * 4 >= parts.len() * 3, "{found} of {} parts were said", parts.len());
}

#[test]
fn baresip_hears_sample_for_sample_what_ffmpeg_publishes() {
    if ffmpeg::is_missing() || is_missing("baresip") {
        return;
    }
    let gateway = Gateway::start_with(EVERYWHERE);
    let folder = Folder::new("baresip");
    let tone = Tone::new(&folder, 30);
    let publishing = tone.publish(&gateway, "live/tone");
    let dial = format!("/dial sip:play-tone@127.0.0.1:{}", gateway.sip.port());
    let mut calling = baresip(&folder, "<sip:phone@127.0.0.1>;regint=0", 5, &SILENCE);
    Process::start("baresip", calling.args(["-e", &dial])).wait_success();
    drop(publishing);
    assert_has_heard(&folder, &tone);
}

#[test]
fn baresip_takes_what_its_stream_has_when_that_begins() {
    if ffmpeg::is_missing() || is_missing("baresip") {
        return;
    }
    let gateway = Gateway::start_with(EVERYWHERE);
    let folder = Folder::new("baresip-waits");
    let tone = Tone::coded(&folder, 30, "pcm_alaw");
    let dial = format!("/dial sip:play-tone@127.0.0.1:{}", gateway.sip.port());
    let account = "<sip:phone@127.0.0.1>;regint=0;audio_codecs=PCMU/8000/1,PCMA/8000/1";
    let mut calling = baresip(&folder, account, 7, &SILENCE);
    let mut calling = Process::start("baresip", calling.args(["-e", &dial]));
    // It is to speak µ-law, as it likes best.
    lines_of(&gateway.process, "a call is taken", 1, |_| true);
    let publishing = tone.publish(&gateway, "live/tone");
    calling.wait_success();
    drop(publishing);
    assert_has_heard(&folder, &tone);
}

#[test]
fn what_baresip_says_is_heard_over_rtmp_sample_for_sample() {
    if ffmpeg::is_missing() || is_missing("baresip") {
        return;
    }
    let gateway = Gateway::start_with(EVERYWHERE);
    let folder = Folder::new("baresip-says");
    let tone = Tone::new(&folder, 30);
    let heard = folder.file("heard.raw");
    let mut listening = listen(&gateway, "call/talk", &heard);
    let dial = format!("/dial sip:talk@127.0.0.1:{}", gateway.sip.port());
    let says = samples(&tone.content("s16le"));
    let mut calling = baresip(&folder, "<sip:phone@127.0.0.1>;regint=0", 5, &says);
    Process::start("baresip", calling.args(["-e", &dial])).wait_success();
    listening.wait_success();
    let decoded = folder.file("heard.s16le");
    let mut decoding = ffmpeg_command();
    decoding.args(["-f", "mulaw", "-ar", "8000", "-i"]).arg(&heard);
    decoding.args(["-f", "s16le"]).arg(&decoded);
    Process::start("ffmpeg decodes it", &mut decoding).wait_success();
    assert_are_of(&samples(&fs::read(decoded).expect("ffmpeg has written it")), &tone);
}

/// A phone registers with the gateway over `transport`, and is called by the name as which it did.
fn a_registered_phone_is_called(name: &str, transport: &str, password: Option<&str>) {
    if ffmpeg::is_missing() || is_missing("baresip") {
        return;
    }
    let user = |password| format!("{{ name = \"bob\", password = \"{password}\" }}");
    let users = password.map_or(String::new(), user);
    let gateway = Gateway::start_with(&format!(
        "{EVERYWHERE}\nsip.registrar = true\nsip.users = [{users}]\n\
         sip.calls = [{{ to = \"bob\", play = \"live/tone\" }}]"
    ));
    let folder = Folder::new(name);
    let tone = Tone::new(&folder, 30);
    let publishing = tone.publish(&gateway, "live/tone");
    let port = gateway.sip.port();
    let proof = password.map_or(String::new(), |password| format!(";auth_pass={password}"));
    let account = format!(
        "<sip:bob@127.0.0.1:{port};transport={transport}>;regint=60;answermode=auto{proof}"
    );
    Process::start("baresip", &mut baresip(&folder, &account, 5, &SILENCE)).wait_success();
    drop(publishing);
    assert_has_heard(&folder, &tone);
    lines_of(&gateway.process, "a call is answered", 1, |_| true);
}

#[test]
fn a_phone_that_has_registered_is_called() {
    a_registered_phone_is_called("baresip-registered", "udp", None);
}

#[test]
fn a_phone_that_has_registered_over_tcp_with_a_password_is_called_over_that_connection() {
    a_registered_phone_is_called("baresip-registered-tcp", "tcp", Some("secret"));
}

#[test]
fn a_phone_that_has_registered_calls_and_hears_what_ffmpeg_publishes() {
    if ffmpeg::is_missing() || is_missing("baresip") {
        return;
    }
    let gateway = Gateway::start_with(&format!(
        "{EVERYWHERE}\nsip.registrar = true\nsip.users = [{{ name = \"bob\", password = \"secret\" }}]"
    ));
    let folder = Folder::new("baresip-registers-and-calls");
    let tone = Tone::new(&folder, 30);
    let publishing = tone.publish(&gateway, "live/tone");
    let port = gateway.sip.port();
    let account = format!("<sip:bob@127.0.0.1:{port}>;regint=60;auth_pass=secret");
    let mut calling = baresip(&folder, &account, 7, &SILENCE);
    let keys = free_port();
    let config = fs::read_to_string(folder.file("config")).expect("it was written");
    folder.write("config", format!("{config}module cons.so\ncons_listen 127.0.0.1:{keys}\n"));
    let mut calling = Process::start("baresip", &mut calling);
    calling.wait_for_line(&calling.stdout, "registration", |lines| {
        lines.iter().any(|line| line.contains("[1 binding]")).then_some(())
    });
    // Its user dials a number of the domain where it is registered.
    let user = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    user.send_to(b"/dial play-tone\n", ("127.0.0.1", keys)).expect("it is on this machine");
    lines_of(&gateway.process, "a call is taken", 1, |line| {
        line["from"].as_str().is_some_and(|from| from.starts_with("sip:bob@"))
    });
    calling.wait_success();
    drop(publishing);
    assert_has_heard(&folder, &tone);
}

/// Samples that baresip's recorder has written for what the phone heard.
fn samples_of(folder: &Folder) -> Vec<i16> {
    let files =
        fs::read_dir(&folder.0).expect("the folder is there").flatten().map(|file| file.path());
    let mut heard = files.filter(|path| path.to_string_lossy().ends_with("-dec.wav"));
    let heard =
        fs::read(heard.next().expect("baresip has heard something")).expect("it can be read");
    // Behind the header of RIFF, the format and the length of the data.
    let data = heard.windows(4).position(|window| window == b"data").expect("samples");
    samples(&heard[data + 8..])
}

/// Samples of 16 bits.
fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// A WAV of 8 kHz and 16 bits.
fn wav(samples: &[i16]) -> Vec<u8> {
    let bytes = samples.len() as u32 * 2;
    let mut file = Vec::new();
    for part in [&b"RIFF"[..], &(36 + bytes).to_le_bytes(), b"WAVEfmt ", &16u32.to_le_bytes()] {
        file.extend_from_slice(part);
    }
    for short in [1u16, 1] {
        file.extend_from_slice(&short.to_le_bytes());
    }
    for long in [8_000u32, 16_000] {
        file.extend_from_slice(&long.to_le_bytes());
    }
    for short in [2u16, 16] {
        file.extend_from_slice(&short.to_le_bytes());
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}
