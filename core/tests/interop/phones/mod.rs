//! Phones that are not ours: SIPp and baresip talk to the gateway, ffmpeg is at the other end of the stream.

// Sound and settings are real files here, and ports are found without the seam that the gateway uses.
#![allow(clippy::disallowed_methods)]

mod accounts;
mod baresip;
mod floods;
mod sipp_answers;
mod sipp_calls;

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    gateway::Gateway,
    process::{PATIENCE, Process},
};

/// Two seconds of G.711.
const SPOKEN_BYTES: usize = 16_000;

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

    /// Waits until somebody has made a file of this name.
    fn wait_for(&self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.file(name).exists() {
            assert!(Instant::now() < deadline, "nobody has made {name}");
            thread::sleep(Duration::from_millis(10));
        }
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

/// SIPp at 127.0.0.1 and the port `sip`, about to carry out `scenario` once in `folder`.
fn sipp(folder: &Folder, scenario: &str, sip: u16) -> Command {
    folder.write("scenario.xml", scenario);
    let (sip, media) = (sip.to_string(), free_port().to_string());
    let mut command = Command::new("sipp");
    command
        .current_dir(&folder.0)
        .args(["-sf", "scenario.xml", "-m", "1", "-nostdin", "-timeout", "30"])
        .args(["-timeout_error", "-i", "127.0.0.1", "-p", &sip, "-mp", &media]);
    command
}

/// Two seconds of G.711, each packet different from the others; it is in the file that scenarios of SIPp say.
fn speech(folder: &Folder) -> Vec<u8> {
    let spoken: Vec<u8> = (0..SPOKEN_BYTES).map(|n| ((n * 7 + n / 160) % 251 + 1) as u8).collect();
    folder.write("media.raw", &spoken);
    spoken
}

/// A player that writes the µ-law that `stream` carries to `file`, as it comes; it is there before the publisher.
fn listen(gateway: &Gateway, stream: &str, file: &Path) -> Process {
    let mut listening = ffmpeg_command();
    // It begins with what comes first, and does not look ahead.
    listening.args(["-rw_timeout", "20000000", "-probesize", "32", "-analyzeduration", "0"]);
    listening.args(["-i", &gateway.rtmp_url(stream)]);
    listening.args(["-c", "copy", "-flush_packets", "1", "-f", "mulaw"]).arg(file);
    let listening = Process::start("ffmpeg listens", &mut listening);
    gateway.wait_for_log("play", stream, 1);
    listening
}

/// A tone of G.711 that rises, so that no second of it is like another.
struct Tone {
    flv: PathBuf,
}

impl Tone {
    /// In µ-law.
    fn new(folder: &Folder, seconds: u32) -> Self {
        Self::coded(folder, seconds, "pcm_mulaw")
    }

    /// In what ffmpeg calls `codec`.
    fn coded(folder: &Folder, seconds: u32, codec: &str) -> Self {
        let flv = folder.file("tone.flv");
        let source = format!("aevalsrc='0.3*sin(2*PI*(200*t+40*t*t))':s=8000:d={seconds}");
        let mut making = ffmpeg_command();
        making.args(["-f", "lavfi", "-i", &source, "-c:a", codec]).arg(&flv);
        Process::start("ffmpeg makes a tone", &mut making).wait_success();
        Self { flv }
    }

    /// What it is in a format of ffmpeg's: `mulaw` for bytes, `s16le` for samples.
    fn content(&self, format: &str) -> Vec<u8> {
        let file = self.flv.with_extension(format);
        let mut decoding = ffmpeg_command();
        decoding.arg("-i").arg(&self.flv).args(["-f", format]).arg(&file);
        Process::start("ffmpeg decodes it", &mut decoding).wait_success();
        fs::read(file).expect("ffmpeg has written it")
    }

    /// Publishes it in real time.
    fn publish(&self, gateway: &Gateway, stream: &str) -> Process {
        let mut publishing = ffmpeg_command();
        publishing.args(["-re", "-i"]).arg(&self.flv);
        publishing.args(["-c", "copy", "-f", "flv", &gateway.rtmp_url(stream)]);
        let publishing = Process::start("ffmpeg publishes", &mut publishing);
        gateway.wait_for_log("publish", stream, 1);
        publishing
    }
}

/// Waits until a player has written `bytes` to `file`, and gives what it has written.
fn heard(file: &Path, bytes: usize) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let heard = fs::read(file).unwrap_or_default();
        if heard.len() >= bytes {
            return heard;
        }
        assert!(Instant::now() < deadline, "{} bytes were heard of {bytes}", heard.len());
        thread::sleep(Duration::from_millis(10));
    }
}
