//! Starting the gateway, and reading its log.

// A configuration is a real file here.
#![allow(clippy::disallowed_methods)]

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;

use crate::process::Process;

/// The binary under test.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gateway"))
}

/// A file for one test that goes with its owner.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(content: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("gateway-{}-{}.toml", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, content).expect("the target folder can be written");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A running gateway on free ports of its own.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) rtmp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) sip: SocketAddr,
    _config: Scratch,
}

impl Gateway {
    /// With the default limits and deadlines.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With `settings`, lines of dotted keys, in addition to what every test needs.
    pub(crate) fn start_with(settings: &str) -> Self {
        Self::start_on("127.0.0.1:0", settings)
    }

    /// As [`Gateway::start_with`], with HTTP on `listen`.
    pub(crate) fn start_on(listen: &str, settings: &str) -> Self {
        let is_told = settings.contains("sip.listen");
        let sip = if is_told { "" } else { "sip.listen = \"127.0.0.1:0\"\n" };
        let config = Scratch::new(&format!(
            "rtmp.listen = \"127.0.0.1:0\"\nhttp.listen = \"{listen}\"\n{sip}\
             log.format = \"json\"\nlog.level = \"info\"\n{settings}\n"
        ));
        let process = Process::start("gateway", binary().arg("--config").arg(config.path()));
        let listening = lines_of(&process, "listening", 1, |_| true).remove(0);
        let address = |key: &str| {
            let text = listening[key].as_str().expect("an address is a text");
            text.parse().expect("an address and a port")
        };
        Self {
            rtmp: address("rtmp"),
            http: address("http"),
            sip: address("sip"),
            process,
            _config: config,
        }
    }

    /// Where `stream` is published and played over RTMP.
    pub(crate) fn rtmp_url(&self, stream: &str) -> String {
        format!("rtmp://{}/{stream}", self.rtmp)
    }

    /// Where `stream` is viewed over HTTP-FLV.
    pub(crate) fn http_url(&self, stream: &str) -> String {
        format!("http://{}/{stream}.flv", self.http)
    }

    /// Waits until `message` has been logged `count` times about `stream`, and gives these lines.
    pub(crate) fn wait_for_log(&self, message: &str, stream: &str, count: usize) -> Vec<Value> {
        lines_of(&self.process, message, count, |line| line["stream"] == stream)
    }
}

/// Waits until `process` has logged `count` lines with `message` that `matches`, and gives them.
pub(crate) fn lines_of(
    process: &Process,
    message: &str,
    count: usize,
    matches: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let sought = format!("{count} log lines {message:?}");
    process.wait_for_line(&process.stderr, &sought, |lines| {
        let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = parsed.filter(|line| line["message"] == message && matches(line));
        let found: Vec<Value> = found.collect();
        (found.len() >= count).then_some(found)
    })
}
