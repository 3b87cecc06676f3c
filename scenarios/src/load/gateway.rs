//! The gateway that is measured: a process of its own on loopback ports that are free, and what it logs.

use std::{
    env, fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rehearsal_core::env::{Env, Os, OsTask};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    sync::mpsc,
    time::timeout,
};

/// Time in which a gateway must listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// A line of the log, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
struct Line {
    #[serde(default)]
    message: String,
    #[serde(default)]
    level: String,
    sip: Option<String>,
    #[serde(flatten)]
    media: MediaOfCall,
}

/// What the gateway counted of a call that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct MediaOfCall {
    /// Packets to the caller.
    pub(super) sent: u64,
    /// Packets that came from the caller.
    pub(super) received: u64,
    /// Those that did not come.
    pub(super) lost: u64,
    /// Those that came too late to be heard.
    pub(super) late: u64,
    /// Messages of the stream that the caller did not get.
    pub(super) dropped: u64,
}

/// A running gateway; it is killed on drop.
pub(super) struct Gateway {
    child: Child,
    sip: SocketAddr,
    lines: mpsc::UnboundedReceiver<Line>,
    _reading: OsTask,
}

impl Gateway {
    /// Starts `program`, which echoes whoever dials `load-` and anything: what the caller publishes is what it plays.
    ///
    /// # Errors
    /// It does not start, or does not listen in time.
    pub(super) async fn start(program: &Path, calls: u32) -> io::Result<Self> {
        let config = Scratch::new(&configuration(calls))?;
        let mut child = Command::new(program)
            .arg("--config")
            .arg(&config.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                io::Error::other(format!("{} does not start: {error}", program.display()))
            })?;
        let stderr = child.stderr.take().expect("it is piped");
        let (told, mut lines) = mpsc::unbounded_channel();
        let reading = Os.spawn(read(stderr, told));
        let listening = async {
            while let Some(line) = lines.recv().await {
                if let Some(sip) = line.sip.filter(|_| line.message == "listening") {
                    return sip.parse().ok();
                }
            }
            None
        };
        let sip = timeout(LISTENS_WITHIN, listening).await.ok().flatten();
        let sip = sip.ok_or_else(|| {
            let within = LISTENS_WITHIN;
            io::Error::other(format!("{} has not listened in {within:?}", program.display()))
        })?;
        Ok(Self { child, sip, lines, _reading: reading })
    }

    /// Where it is called.
    pub(super) fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id().expect("nobody has waited for its end")
    }

    /// What it counted of the next call that is over; `None` once it has ended.
    pub(super) async fn next_call_over(&mut self) -> Option<MediaOfCall> {
        loop {
            let line = self.lines.recv().await?;
            if line.message == "media of a call" {
                return Some(line.media);
            }
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// It has ended before, by itself.
    pub(super) async fn end(mut self) -> io::Result<()> {
        match self.child.try_wait()? {
            Some(status) => Err(io::Error::other(format!("the gateway has ended: {status}"))),
            None => self.child.kill().await,
        }
    }
}

/// Hands on the lines of the log as they come: a pipe that is full would hold the gateway up. What people should see is shown.
async fn read(stderr: ChildStderr, told: mpsc::UnboundedSender<Line>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let line = serde_json::from_str::<Line>(&text);
        if line.as_ref().map_or(true, |line| matches!(line.level.as_str(), "WARN" | "ERROR")) {
            eprintln!("the gateway says: {text}");
        }
        if let Ok(line) = line {
            // Nobody listens any more at the end.
            let _ = told.send(line);
        }
    }
}

fn configuration(calls: u32) -> String {
    format!(
        "rtmp.listen = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\nlog.format = \"json\"\n\n\
         [sip]\nlisten = \"127.0.0.1:0\"\nmax_calls = {calls}\nsession_expires_ms = 86400000\n\n\
         [[sip.routes]]\ndial = \"load-*\"\npublish = \"load/*\"\nplay = \"load/*\"\n"
    )
}

/// A configuration that is there until the gateway has read it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("rehearse-load-{}-{count}.toml", process::id()));
        // Nobody else's file.
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        let scratch = Self(path);
        file.write_all(text.as_bytes())?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it, and the system clears such files by itself.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use rehearsal_core::config::Config;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn the_configuration_is_one() {
        let config = Config::parse(Path::new("load.toml"), &configuration(7)).unwrap();
        assert_eq!((config.sip.max_calls, config.sip.routes.len()), (7, 1));
        assert_eq!(config.sip.routes[0].publish, config.sip.routes[0].play);
    }

    #[test]
    fn a_program_that_does_not_listen_is_no_gateway() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("it starts");
        for (program, says) in [("/bin/true", "has not listened"), ("/no/such", "does not start")] {
            let started = runtime.block_on(Gateway::start(Path::new(program), 1));
            let error = started.err().expect("it is none").to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn what_a_call_came_to_is_read_from_the_log() {
        let line = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","message":"media of a call","peer":"127.0.0.1",
            "sent":499,"received":500,"lost":1,"strangers":0,"invalid":0,"late":2,"digits":0,"dropped":3}"#;
        let line: Line = serde_json::from_str(line).unwrap();
        assert_eq!((line.message.as_str(), line.level.as_str()), ("media of a call", "INFO"));
        let media = MediaOfCall { sent: 499, received: 500, lost: 1, late: 2, dropped: 3 };
        assert_eq!(line.media, media);
    }
}
