//! Phones that are not ours: SIPp and baresip call the gateway, ffmpeg is at the other end of the stream.

// Sound and settings are real files here, and ports are found without the seam that the gateway uses.
#![allow(clippy::disallowed_methods)]

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{ffmpeg, gateway::Gateway, process::Process};

/// What SIPp does: it calls, says what is in `media.raw`, and hangs up.
const SIPP_SCENARIO: &str = include_str!("caller.xml");
/// Two seconds of G.711, each packet different from the others.
const SPOKEN_BYTES: usize = 16_000;
/// A quarter of a second of samples that was heard, and is looked for in what was said.
const PART_SAMPLES: usize = 2_000;

/// A folder for one test that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the target folder can be written");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.file(name), content).expect("the target folder can be written");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// True when a phone is not installed, and the test can only say so. In CI that is a failure.
fn is_missing(phone: &str) -> bool {
    let is_there =
        Command::new("which").arg(phone).output().is_ok_and(|found| found.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "{phone} is not installed");
    if !is_there {
        eprintln!("skipped: {phone} is not installed");
    }
    !is_there
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("an address").port()
}

fn ffmpeg_command() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y"]);
    command
}

#[test]
fn what_sipp_says_is_heard_over_rtmp_byte_for_byte() {
    if ffmpeg::is_missing() || is_missing("sipp") {
        return;
    }
    let gateway = Gateway::start();
    let folder = Folder::new("sipp");
    let spoken: Vec<u8> = (0..SPOKEN_BYTES).map(|n| ((n * 7 + n / 160) % 251 + 1) as u8).collect();
    folder.write("media.raw", &spoken);
    folder.write("caller.xml", SIPP_SCENARIO);
    let heard = folder.file("heard.raw");
    let url = gateway.rtmp_url("call/talk");
    let mut listening = Process::start(
        "ffmpeg listens",
        ffmpeg_command()
            .args(["-rw_timeout", "20000000", "-i", &url, "-c", "copy", "-f", "mulaw"])
            .arg(&heard),
    );
    gateway.wait_for_log("play", "call/talk", 1);
    let (sip, media) = (free_port().to_string(), free_port().to_string());
    let mut calling = Process::start(
        "sipp",
        Command::new("sipp")
            .current_dir(&folder.0)
            .args(["-sf", "caller.xml", "-s", "talk", "-m", "1", "-nostdin", "-timeout", "30"])
            .args(["-i", "127.0.0.1", "-p", &sip, "-mp", &media])
            .arg(gateway.sip.to_string()),
    );
    calling.wait_success();
    // The end of the publish is the end of what ffmpeg reads.
    listening.wait_success();
    let heard = fs::read(&heard).expect("ffmpeg has written it");
    assert!(heard == spoken, "{} bytes were heard of {}", heard.len(), spoken.len());
}

#[test]
fn baresip_hears_sample_for_sample_what_ffmpeg_publishes() {
    if ffmpeg::is_missing() || is_missing("baresip") {
        return;
    }
    // The phone says an address of this machine's network, and its packets must come from there.
    let gateway = Gateway::start_with("sip.listen = \"0.0.0.0:0\"");
    let folder = Folder::new("baresip");
    let path = folder.0.to_str().expect("a path of text").to_owned();
    // A tone that rises: no second of it is like another.
    let tone = "aevalsrc='0.3*sin(2*PI*(200*t+40*t*t))':s=8000:d=30";
    let coded = folder.file("tone.flv");
    let mut making = ffmpeg_command();
    making.args(["-f", "lavfi", "-i", tone, "-c:a", "pcm_mulaw"]).arg(&coded);
    Process::start("ffmpeg makes a tone", &mut making).wait_success();
    let mut decoding = ffmpeg_command();
    decoding.arg("-i").arg(&coded).args(["-f", "s16le"]).arg(folder.file("tone.raw"));
    Process::start("ffmpeg decodes it", &mut decoding).wait_success();
    let mut publishing = ffmpeg_command();
    publishing.args(["-re", "-i"]).arg(&coded);
    publishing.args(["-c", "copy", "-f", "flv", &gateway.rtmp_url("live/tone")]);
    let publishing = Process::start("ffmpeg publishes", &mut publishing);
    gateway.wait_for_log("publish", "live/tone", 1);
    folder.write("silence.wav", wav(&vec![0; 8_000 * 20]));
    folder.write(
        "config",
        format!(
            "sip_listen 0.0.0.0:{}\naudio_player aubridge,phone\naudio_source aufile,{path}/silence.wav\n\
             ausrc_srate 8000\nauplay_srate 8000\nmodule_path /usr/lib/baresip/modules\nsnd_path {path}\n\
             module g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\n\
             module_tmp account.so\nmodule_app menu.so\n",
            free_port()
        ),
    );
    folder.write("accounts", "<sip:phone@127.0.0.1>;regint=0;audio_codecs=PCMU/8000/1\n");
    let dial = format!("/dial sip:play-tone@127.0.0.1:{}", gateway.sip.port());
    let mut calling = Command::new("baresip");
    calling.args(["-f", &path, "-t", "5", "-e", &dial]);
    Process::start("baresip", &mut calling).wait_success();
    drop(publishing);
    let heard = samples_of(&folder);
    let said = samples(&fs::read(folder.file("tone.raw")).expect("ffmpeg has written it"));
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
