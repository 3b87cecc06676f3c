//! The server's side of a connection, as a state machine.
//!
//! [`ServerSession`] in four groups:
//! - input: [`handle_input`](ServerSession::handle_input), [`handle_timeout`](ServerSession::handle_timeout);
//! - what the owner decided: [`accept_connect`](ServerSession::accept_connect),
//!   [`accept_publish`](ServerSession::accept_publish), [`accept_play`](ServerSession::accept_play),
//!   [`refuse`](ServerSession::refuse) and the notices to players and publishers;
//! - an application with commands of its own: [`accept_caller`](ServerSession::accept_caller),
//!   [`accept_command`](ServerSession::accept_command), [`call_client`](ServerSession::call_client);
//! - output: [`poll_output`](ServerSession::poll_output), [`poll_timeout`](ServerSession::poll_timeout).
//!
//! Media to players does not pass through here: the owner writes shared frames between the outputs of
//! the session, which are whole messages on chunk streams of their own.

mod application;
mod commands;
mod connect;
mod notices;

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::{
    chunk::ChunkLimits,
    command::{Command, CommandError, Encoding},
    handshake::{Entropy, HandshakeError, ServerHandshake},
    link::{Incoming, Link, LinkError},
    message::{Control, UserControl, type_id},
};
use crate::amf::Value;

pub use connect::ConnectRequest;

/// What a session allows and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct SessionConfig {
    /// Limits on what the peer sends.
    pub chunk_limits: ChunkLimits,
    /// Chunk size of what is sent.
    pub chunk_bytes: u32,
    /// Window announced to the peer, which acknowledges after so many bytes.
    pub window_ack_bytes: u32,
    /// Message streams a connection may create.
    pub message_streams: usize,
    /// Longest name of an application or a stream, in bytes.
    pub name_bytes: usize,
    /// From the start to the end of the handshake.
    pub handshake: Duration,
    /// From the handshake to the first publish or play.
    pub command: Duration,
    /// Without a stream after having had one.
    pub idle: Duration,
    /// Without media from a publisher.
    pub publisher_silence: Duration,
    /// Without a byte from the peer until it is pinged.
    pub ping: Duration,
    /// From the ping until the peer is given up.
    pub ping_timeout: Duration,
}

/// What the owner has to decide or to do.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerEvent {
    /// Answer with [`ServerSession::accept_connect`], [`ServerSession::accept_caller`] or
    /// [`ServerSession::reject_connect`], now or later: until then no deadline runs.
    Connect(ConnectRequest),
    /// A client of an application with commands of its own calls one; answer with
    /// [`ServerSession::accept_command`] or [`ServerSession::refuse_command`].
    Command {
        /// What to do.
        name: String,
        /// For the answer.
        transaction: f64,
        /// What with.
        arguments: Vec<Value>,
    },
    /// Answer with [`ServerSession::accept_publish`] or [`ServerSession::refuse`].
    Publish {
        /// Message stream.
        stream_id: u32,
        /// Name without its query.
        name: String,
    },
    /// Answer with [`ServerSession::accept_play`] or [`ServerSession::refuse`].
    Play {
        /// Message stream.
        stream_id: u32,
        /// Name without its query.
        name: String,
    },
    /// The player stops or goes on; it has been told that it did.
    Pause {
        /// Message stream.
        stream_id: u32,
        /// True to stop, false to go on.
        paused: bool,
    },
    /// Media or data on a stream that is being published.
    Media {
        /// Message stream.
        stream_id: u32,
        /// The message.
        media: Media,
    },
    /// The stream is no longer published or played; the peer has been told.
    Closed {
        /// Message stream.
        stream_id: u32,
    },
}

/// A message of a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Audio (8), video (9), or data (15, 18) of [`type_id`].
    pub type_id: u8,
    /// Milliseconds modulo 2^32 on the publisher's clock.
    pub timestamp_ms: u32,
    /// The body.
    pub payload: Bytes,
}

/// Why a session is over. The peer gets nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The peer does not speak RTMP.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// The peer's messages make no sense or exceed a limit.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A command makes no sense.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A command other than connect came first, or one before connect was answered.
    #[error("a command came before connect was answered")]
    NotConnected,
    /// A deadline passed.
    #[error("no {0} in time")]
    Timeout(Awaited),
}

/// What a session waited for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The rest of the handshake.
    Handshake,
    /// A first publish or play.
    Command,
    /// Another publish or play.
    NextStream,
    /// Media from the publisher.
    Media,
    /// An answer to a ping.
    Ping,
}

impl std::fmt::Display for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Handshake => "complete handshake",
            Self::Command => "publish or play command",
            Self::NextStream => "further publish or play command",
            Self::Media => "media from the publisher",
            Self::Ping => "sign of life after a ping",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// Before connect.
    Unconnected,
    /// The owner has not answered connect.
    Deciding,
    Connected,
}

/// What a message stream is used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Use {
    #[default]
    Idle,
    /// Publish or play has been asked for and not answered.
    Pending,
    Publishing {
        name: String,
        last_media_at: Duration,
    },
    Playing,
}

/// The server's side of one connection. See the module's documentation.
#[derive(Debug)]
pub struct ServerSession {
    config: SessionConfig,
    phase: Phase,
    handshake: ServerHandshake,
    link: Link,
    encoding: Encoding,
    connect_transaction: f64,
    object_encoding: f64,
    enhanced: bool,
    /// The application has commands of its own.
    takes_commands: bool,
    /// Message stream n is at n - 1; `None` once deleted.
    streams: Vec<Option<Use>>,
    /// When a session without a stream ends, and what it then waited for.
    deadline: Option<(Duration, Awaited)>,
    /// When the ping was sent that nothing has answered yet.
    pinged_at: Option<Duration>,
}

impl ServerSession {
    /// A session whose connection was accepted at `now`.
    pub fn new(config: SessionConfig, now: Duration) -> Self {
        Self {
            config,
            phase: Phase::Handshake,
            handshake: ServerHandshake::default(),
            link: Link::new(config.chunk_limits, now),
            encoding: Encoding::Amf0,
            connect_transaction: 1.0,
            object_encoding: 0.0,
            enhanced: false,
            takes_commands: false,
            streams: Vec::new(),
            deadline: Some((now + config.handshake, Awaited::Handshake)),
            pinged_at: None,
        }
    }

    /// Consumes from the front of `input` until there is an event or the input is used up.
    ///
    /// # Errors
    /// Whatever [`SessionError`] says; the session must not be used after one.
    pub fn handle_input(
        &mut self,
        now: Duration,
        input: &mut &[u8],
        entropy: Entropy<'_>,
    ) -> Result<Option<ServerEvent>, SessionError> {
        if self.phase == Phase::Handshake {
            self.handshake.handle_input(input, entropy, self.link.output_mut())?;
            if !self.handshake.is_done() {
                return Ok(None);
            }
            self.phase = Phase::Unconnected;
            self.deadline = Some((now + self.config.command, Awaited::Command));
        }
        while let Some(incoming) = self.link.handle_input(now, input)? {
            // How much a player buffers, or a client's view of its streams, changes nothing here.
            let Incoming::Message(message) = incoming else { continue };
            let event = match message.type_id {
                type_id::COMMAND_AMF0 | type_id::COMMAND_AMF3 => {
                    self.handle_command(now, message.stream_id, Command::parse(&message)?)?
                }
                type_id::AUDIO | type_id::VIDEO | type_id::DATA_AMF0 | type_id::DATA_AMF3 => {
                    self.note_media(now, message.stream_id).then_some(ServerEvent::Media {
                        stream_id: message.stream_id,
                        media: Media {
                            type_id: message.type_id,
                            timestamp_ms: message.timestamp_ms,
                            payload: message.payload,
                        },
                    })
                }
                // Shared objects and what the future brings.
                _ => None,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Notes media on a stream; false when it is not being published.
    fn note_media(&mut self, now: Duration, stream_id: u32) -> bool {
        match self.stream_mut(stream_id) {
            Some(Use::Publishing { last_media_at, .. }) => {
                *last_media_at = now;
                true
            }
            _ => false,
        }
    }

    fn stream(&self, stream_id: u32) -> Option<&Use> {
        self.streams.get((stream_id as usize).checked_sub(1)?)?.as_ref()
    }

    fn stream_mut(&mut self, stream_id: u32) -> Option<&mut Use> {
        self.streams.get_mut((stream_id as usize).checked_sub(1)?)?.as_mut()
    }

    /// Sets what a stream is used for. The session's deadline rests while any is in use, and is a new one after that.
    fn set_use(&mut self, now: Duration, stream_id: u32, new: Use) {
        let in_use = |used: &Use| matches!(used, Use::Publishing { .. } | Use::Playing);
        let Some(stream) = self.stream_mut(stream_id) else { return };
        let was_in_use = in_use(stream);
        *stream = new;
        if self.takes_commands || self.streams.iter().flatten().any(in_use) {
            self.deadline = None;
        } else if was_in_use {
            self.deadline = Some((now + self.config.idle, Awaited::NextStream));
        }
    }

    /// Takes the bytes to send, whole messages only; empty when there is nothing.
    pub fn poll_output(&mut self) -> Vec<u8> {
        self.link.poll_output()
    }

    /// When [`Self::handle_timeout`] has something to do. Any other call may change it.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers().into_iter().flatten().map(|(at, _)| at).min()
    }

    /// Every deadline that runs; no awaited thing means that a ping is due.
    fn timers(&self) -> [Option<(Duration, Option<Awaited>)>; 3] {
        let last_media_at = self.streams.iter().flatten().filter_map(|used| match used {
            Use::Publishing { last_media_at, .. } if !self.takes_commands => Some(*last_media_at),
            _ => None,
        });
        let quiet_since = self.link.last_received_at();
        let ping_at = quiet_since + self.config.ping;
        [
            self.deadline
                .filter(|_| self.phase != Phase::Deciding)
                .map(|(at, awaited)| (at, Some(awaited))),
            last_media_at
                .min()
                .map(|at| (at + self.config.publisher_silence, Some(Awaited::Media))),
            (self.phase == Phase::Connected).then_some(
                match self.pinged_at.filter(|&at| at > quiet_since) {
                    None => (ping_at, None),
                    Some(at) => (at + self.config.ping_timeout, Some(Awaited::Ping)),
                },
            ),
        ]
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    /// [`SessionError::Timeout`] when a deadline has passed.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), SessionError> {
        let due = self.timers().into_iter().flatten().filter(|(at, _)| *at <= now);
        match due.min_by_key(|(at, _)| *at) {
            None => Ok(()),
            Some((_, Some(awaited))) => {
                if awaited == Awaited::Ping {
                    sometimes!("a peer is closed because it has not answered a ping");
                }
                Err(SessionError::Timeout(awaited))
            }
            Some((_, None)) => {
                self.pinged_at = Some(now);
                let time_ms = now.as_millis() as u32;
                self.link.send_control(Control::User(UserControl::PingRequest(time_ms)));
                Ok(())
            }
        }
    }
}
