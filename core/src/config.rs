//! The configuration: every limit and every deadline of the gateway has its name and default here.
//!
//! It is a TOML file in which everything may be left out. A wrong file is refused with one line that names the
//! file, the line and the key.

mod checks;
mod telephony;

use std::{fmt, net::SocketAddr, path::Path, time::Duration};

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::de::DeTable;

pub use telephony::{Account, Call, Password, Route, Rtp, Sip, User};

use crate::{
    live::LiveLimits,
    rtmp::{chunk::ChunkLimits, server::SessionConfig},
};

/// Longest configuration file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// RTMP: publishers and players.
    pub rtmp: Rtmp,
    /// HTTP: viewers.
    pub http: Http,
    /// SIP: phones that call.
    pub sip: Sip,
    /// RTP: what phones say and hear.
    pub rtp: Rtp,
    /// Live streams and their subscribers.
    pub live: Live,
    /// What the process as a whole takes on.
    pub limits: Limits,
    /// Logging.
    pub log: Log,
}

/// RTMP: publishers and players.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Rtmp {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Chunk size of what is sent, in bytes. Wireshark with its own settings follows none above 32,767.
    pub chunk_bytes: u32,
    /// Peers acknowledge after so many bytes.
    pub window_ack_bytes: u32,
    /// Longest message a peer may send, and the most it may have unfinished, in bytes.
    pub max_message_bytes: u32,
    /// Largest chunk size a peer may set, in bytes.
    pub max_chunk_bytes: u32,
    /// Chunk streams a peer may use.
    pub max_chunk_streams: usize,
    /// Message streams a connection may create.
    pub max_message_streams: usize,
    /// From the accepted connection to the end of the handshake.
    pub handshake_ms: u64,
    /// From the handshake to the first publish or play.
    pub command_ms: u64,
    /// Connected without a stream, after having had one.
    pub idle_ms: u64,
    /// A publisher without media.
    pub publisher_silence_ms: u64,
    /// Without a byte from the peer until it is pinged.
    pub ping_ms: u64,
    /// From the ping until the peer is given up.
    pub ping_timeout_ms: u64,
}

impl Default for Rtmp {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 1935)),
            chunk_bytes: 32_000,
            window_ack_bytes: 2_500_000,
            max_message_bytes: 8 << 20,
            max_chunk_bytes: 0x7fff_ffff,
            max_chunk_streams: 64,
            max_message_streams: 16,
            handshake_ms: 10_000,
            command_ms: 30_000,
            idle_ms: 180_000,
            publisher_silence_ms: 20_000,
            ping_ms: 60_000,
            ping_timeout_ms: 30_000,
        }
    }
}

/// HTTP: viewers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Longest request head, in bytes.
    pub max_head_bytes: usize,
    /// To receive a request head, and between requests of one connection.
    pub head_ms: u64,
    /// Without a byte read or written while a request is answered.
    pub idle_ms: u64,
    /// How long a viewer waits for a stream that nobody publishes before it gets 404.
    pub wait_publisher_ms: u64,
    /// Answer /api/v1/leakcheck to everybody, not only to this machine, which whoever comes through a proxy here seems to be.
    /// Without effect in a gateway that was built without the feature `leakcheck`: there is no such path.
    pub leakcheck_from_anywhere: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            max_head_bytes: 16 << 10,
            head_ms: 15_000,
            idle_ms: 30_000,
            wait_publisher_ms: 10_000,
            leakcheck_from_anywhere: false,
        }
    }
}

/// Live streams and their subscribers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Live {
    /// Streams that are published or waited for at a time.
    pub max_streams: usize,
    /// Longest name of an application or a stream, in bytes.
    pub max_name_bytes: usize,
    /// How long frames from before the last keyframe are kept for slow subscribers.
    pub keep_ms: u64,
    /// How long frames since the last keyframe are kept for those who join.
    pub gop_ms: u64,
    /// Bytes that the frames of one stream may hold.
    pub ring_bytes: usize,
    /// Bytes of headers, metadata included, that one stream may have.
    pub max_headers_bytes: usize,
    /// A subscriber further behind than this goes on at the last keyframe.
    pub lag_resync_ms: u64,
    /// A subscriber with more unread bytes than this goes on at the last keyframe.
    pub lag_resync_bytes: u64,
    /// A subscriber whose next frame has waited this long is closed.
    pub lag_close_ms: u64,
    /// A subscriber whose socket takes nothing for this long is closed.
    pub player_stall_ms: u64,
    /// Bytes on their way to one connection, beyond which no more frames are queued for it; beyond so many bytes of answers
    /// nothing more is read from it.
    pub in_flight_bytes: usize,
    /// How long the header of an HTTP-FLV response waits for the second track of a stream.
    pub flv_probe_ms: u64,
    /// Tell RTMP players when the publisher goes; ffmpeg and VLC then end. Without it they wait for the next.
    pub notify_unpublish: bool,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            max_streams: 10_000,
            max_name_bytes: 255,
            keep_ms: 10_000,
            gop_ms: 60_000,
            ring_bytes: 64 << 20,
            max_headers_bytes: 1 << 20,
            lag_resync_ms: 5_000,
            lag_resync_bytes: 32 << 20,
            lag_close_ms: 30_000,
            player_stall_ms: 30_000,
            in_flight_bytes: 1 << 20,
            flv_probe_ms: 1_000,
            notify_unpublish: true,
        }
    }
}

/// What the process as a whole takes on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections of all kinds at a time; one more is closed at once.
    pub max_connections: usize,
    /// From the signal to end until connections are cut that have not ended by themselves.
    pub shutdown_ms: u64,
    /// How long a peer may take for the last bytes of a connection that the gateway ends.
    pub farewell_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_connections: 10_000, shutdown_ms: 5_000, farewell_ms: 2_000 }
    }
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Form of a line.
    pub format: LogFormat,
    /// Least level that is logged.
    pub level: LogLevel,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LogLevel::Info }
    }
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What went wrong in the gateway itself.
    Error,
    /// What somebody should look at.
    Warn,
    /// Streams and connections that come and go.
    Info,
    /// Why each connection ended and each message was left out.
    Debug,
}

/// Why a configuration is refused: one line for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// Name of the file.
    pub file: String,
    /// Line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// Dotted name of the key, where it is known.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl Config {
    /// Reads `text`, the content of `file`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let refused = |line, key, problem| ConfigError {
            file: file.display().to_string(),
            line,
            key,
            problem,
        };
        let deserializer = toml::Deserializer::parse(text)
            .map_err(|error| refused(error_line(text, &error), None, one_line(error.message())))?;
        let config: Self = serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let path = error.path().to_string();
            let key = (path != ".").then_some(path);
            let line = error_line(text, error.inner());
            refused(line, key, one_line(error.inner().message()))
        })?;
        match config.problem(text) {
            None => Ok(config),
            Some((key, problem)) => {
                Err(refused(key_line(text, key), Some(key.to_owned()), problem))
            }
        }
    }

    /// The configuration as a file that explains itself: every key with what it means.
    pub fn to_commented_toml(&self) -> String {
        let plain = toml::to_string(self).expect("every configuration can be written");
        let mut commented = String::new();
        let mut section = String::new();
        for line in plain.lines() {
            let doc = if line.starts_with('[') {
                section = line.trim_matches(['[', ']']).to_owned();
                match section.as_str() {
                    tables if tables.starts_with("sip.") => {
                        Sip::get_field_docs(tables.trim_start_matches("sip."))
                    }
                    section => Self::get_field_docs(section),
                }
            } else {
                let key = line.split(" =").next().unwrap_or_default();
                match section.as_str() {
                    "rtmp" => Rtmp::get_field_docs(key),
                    "http" => Http::get_field_docs(key),
                    "sip" => Sip::get_field_docs(key),
                    "sip.routes" => Route::get_field_docs(key),
                    "sip.users" => User::get_field_docs(key),
                    "sip.accounts" => Account::get_field_docs(key),
                    "sip.calls" => Call::get_field_docs(key),
                    "rtp" => Rtp::get_field_docs(key),
                    "live" => Live::get_field_docs(key),
                    "limits" => Limits::get_field_docs(key),
                    _ => Log::get_field_docs(key),
                }
            };
            for comment in doc.iter().flat_map(|doc| doc.lines()) {
                commented.push_str(&format!("# {comment}\n"));
            }
            commented.push_str(&format!("{line}\n"));
        }
        commented
    }

    /// The session's part.
    pub fn session(&self) -> SessionConfig {
        let Self { rtmp, live, .. } = self;
        SessionConfig {
            chunk_limits: ChunkLimits {
                message_bytes: rtmp.max_message_bytes,
                chunk_bytes: rtmp.max_chunk_bytes,
                chunk_streams: rtmp.max_chunk_streams,
            },
            chunk_bytes: rtmp.chunk_bytes,
            window_ack_bytes: rtmp.window_ack_bytes,
            message_streams: rtmp.max_message_streams,
            name_bytes: live.max_name_bytes,
            handshake: Duration::from_millis(rtmp.handshake_ms),
            command: Duration::from_millis(rtmp.command_ms),
            idle: Duration::from_millis(rtmp.idle_ms),
            publisher_silence: Duration::from_millis(rtmp.publisher_silence_ms),
            ping: Duration::from_millis(rtmp.ping_ms),
            ping_timeout: Duration::from_millis(rtmp.ping_timeout_ms),
        }
    }

    /// The live streams' part.
    pub fn live_limits(&self) -> LiveLimits {
        let live = &self.live;
        LiveLimits {
            streams: live.max_streams,
            keep: Duration::from_millis(live.keep_ms),
            gop: Duration::from_millis(live.gop_ms),
            ring_bytes: live.ring_bytes,
            headers_bytes: live.max_headers_bytes,
            lag_resync: Duration::from_millis(live.lag_resync_ms),
            lag_resync_bytes: live.lag_resync_bytes,
            lag_close: Duration::from_millis(live.lag_close_ms),
            probe: Duration::from_millis(live.flv_probe_ms),
            in_flight_bytes: live.in_flight_bytes,
        }
    }
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

fn error_line(text: &str, error: &toml::de::Error) -> Option<usize> {
    error.span().map(|span| line_at(text, span.start))
}

/// Where `key`, a section and a name, stands in a file that parses; `None` when it is a default.
fn key_line(text: &str, key: &str) -> Option<usize> {
    let (section, name) = key.split_once('.')?;
    let table = DeTable::parse(text).ok()?;
    let section = table.get_ref().get(section)?.get_ref().as_table()?;
    let (name, _) = section.get_key_value(name)?;
    Some(line_at(text, name.span().start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Config::parse(Path::new("gateway.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let config = Config::parse(Path::new("x"), "").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!((config.rtmp.listen.port(), config.http.listen.port()), (1935, 8080));
    }

    #[test]
    fn the_defaults_survive_being_written_and_read_and_every_key_is_explained() {
        let text = Config::default().to_commented_toml();
        assert_eq!(Config::parse(Path::new("x"), &text), Ok(Config::default()));
        let lines: Vec<_> = text.lines().collect();
        let unexplained = lines.windows(2).find(|pair| {
            let is_entry = pair[1].contains(" = ") || pair[1].starts_with('[');
            is_entry && !pair[0].starts_with("# ")
        });
        assert_eq!(unexplained, None);
    }

    #[test]
    fn mistakes_are_named_by_file_line_and_key_in_one_line() {
        let cases = [
            ("[rtmp]\nport = 5\n", "gateway.toml:2: rtmp.port: unknown field `port`, expected"),
            ("[rtmp]\n\nlisten = \"here\"\n", "gateway.toml:3: rtmp.listen: "),
            ("[live]\nmax_streams = -1\n", "gateway.toml:2: live.max_streams: "),
            (
                "[rtmp]\nping_ms = 9\nchunk_bytes = 5\n",
                "gateway.toml:3: rtmp.chunk_bytes: 5 is out of range, allowed are 128 to 65536",
            ),
            ("[log]\nformat = \"xml\"\n", "gateway.toml:2: log.format: unknown variant `xml`"),
            ("[rtmp\n", "gateway.toml:1: "),
            ("wat = 1\n", "gateway.toml:1: wat: unknown field `wat`"),
        ];
        for (text, expected) in cases {
            let refusal = refusal(text);
            assert!(refusal.starts_with(expected), "{text:?} gave {refusal}");
            assert_eq!(refusal.lines().count(), 1, "{refusal}");
        }
    }

    #[test]
    fn deadlines_that_contradict_each_other_are_refused_where_they_stand() {
        let cases = [
            (
                "[http]\nwait_publisher_ms = 30000\n",
                "gateway.toml:2: http.wait_publisher_ms: http.wait_publisher_ms (30000) must be less",
            ),
            ("[live]\n\nlag_close_ms = 3000\n", "gateway.toml:3: live.lag_close_ms: "),
            ("[limits]\nshutdown_ms = 100\n", "gateway.toml:2: limits.shutdown_ms: "),
        ];
        for (text, expected) in cases {
            let refusal = refusal(text);
            assert!(refusal.starts_with(expected), "{text:?} gave {refusal}");
        }
    }
}
