//! The client's side of a connection, as a state machine: one stream, published or played.
//!
//! It goes from the handshake to `Publish.Start` or `Play.Start` by itself, in the order encoders and
//! players do, and then carries media. It has no deadlines: whoever drives it knows how long to wait.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::{
    chunk::ChunkLimits,
    command::{Command, CommandError, Encoding},
    handshake::{ClientForm, ClientHandshake, Entropy, HandshakeError},
    link::{Incoming, Link, LinkError},
    message::{Control, Message, UserControl, chunk_stream, type_id},
};
use crate::amf::{Object, Value};

/// Transaction of connect; that of createStream follows.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 2.0;
/// What a player says it buffers.
const BUFFER_MS: u32 = 3000;

/// What to do with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Publish it.
    Publish,
    /// Play it, live.
    Play,
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// How to open the handshake.
    pub form: ClientForm,
    /// Limits on what the server sends.
    pub chunk_limits: ChunkLimits,
    /// Chunk size of what is sent.
    pub chunk_bytes: u32,
    /// Which message type carries commands.
    pub encoding: Encoding,
    /// Application.
    pub app: String,
    /// Stream name.
    pub name: String,
    /// Publish or play.
    pub intent: Intent,
}

/// What the server does or says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// Publishing or playing has begun.
    Started,
    /// The server refused connect, createStream, publish or play; nothing more will come of it.
    Refused {
        /// Status code, such as `NetStream.Publish.BadName`.
        code: String,
        /// For people.
        description: String,
    },
    /// Another status of the stream or the connection, such as `NetStream.Play.UnpublishNotify`.
    Status {
        /// Status code.
        code: String,
    },
    /// Audio, video or data.
    Media(Message),
    /// A user control event, such as StreamEOF.
    User(UserControl),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The server does not speak RTMP.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// The server's messages make no sense or exceed a limit.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A command makes no sense.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// The client's side of one connection.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    handshake: ClientHandshake,
    link: Link,
    /// Message stream the server has given.
    stream_id: u32,
    started: bool,
    shook_hands: bool,
}

impl ClientSession {
    /// A session whose connection was established at `now`.
    pub fn new(config: ClientConfig, now: Duration, entropy: Entropy<'_>) -> Self {
        let mut link = Link::new(config.chunk_limits, now);
        let handshake = ClientHandshake::start(config.form, entropy, link.output_mut());
        Self { config, handshake, link, stream_id: 0, started: false, shook_hands: false }
    }

    /// Consumes from the front of `input` until there is an event or the input is used up.
    ///
    /// # Errors
    /// Whatever [`ClientError`] says; the session must not be used after one.
    pub fn handle_input(
        &mut self,
        now: Duration,
        input: &mut &[u8],
        entropy: Entropy<'_>,
    ) -> Result<Option<ClientEvent>, ClientError> {
        if !self.shook_hands {
            self.handshake.handle_input(input, entropy, self.link.output_mut())?;
            if !self.handshake.is_done() {
                return Ok(None);
            }
            self.shook_hands = true;
            self.send_connect();
        }
        while let Some(incoming) = self.link.handle_input(now, input)? {
            let event = match incoming {
                Incoming::User(event) => Some(ClientEvent::User(event)),
                Incoming::Message(message) => match message.type_id {
                    type_id::COMMAND_AMF0 | type_id::COMMAND_AMF3 => {
                        self.handle_command(&Command::parse(&message)?)
                    }
                    _ => Some(ClientEvent::Media(message)),
                },
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn call(&mut self, stream_id: u32, name: &str, transaction: f64, values: Vec<Value>) {
        let command = Command { name: name.to_owned(), transaction, values };
        // Connect itself is always AMF0; its objectEncoding announces the rest.
        let encoding = if name == "connect" { Encoding::Amf0 } else { self.config.encoding };
        self.link.send_command(stream_id, &command, encoding);
    }

    fn send_connect(&mut self) {
        // OBS, for one, sets its chunk size before anything else.
        self.link.send_set_chunk_size(self.config.chunk_bytes);
        let object_encoding = match self.config.encoding {
            Encoding::Amf0 => 0.0,
            Encoding::Amf3 => 3.0,
        };
        let object = Object::new()
            .with("app", self.config.app.as_str())
            .with("type", "nonprivate")
            .with("flashVer", "FMLE/3.0 (compatible; Rehearsal)")
            .with("tcUrl", format!("rtmp://gateway/{}", self.config.app))
            .with("objectEncoding", object_encoding)
            .with("fourCcList", Value::StrictArray(vec!["*".into()]));
        self.call(0, "connect", CONNECT, vec![object.into()]);
    }

    fn handle_command(&mut self, command: &Command) -> Option<ClientEvent> {
        match (command.name.as_str(), command.transaction) {
            ("_result", CONNECT) => {
                self.request_stream();
                None
            }
            ("_result", CREATE_STREAM) => {
                self.stream_id = command.number(0).unwrap_or(0.0) as u32;
                self.use_stream();
                None
            }
            ("_error", CONNECT | CREATE_STREAM) => Some(refused(command)),
            ("onStatus", _) => Some(self.handle_status(command)),
            _ => None,
        }
    }

    fn request_stream(&mut self) {
        let name = Value::from(self.config.name.as_str());
        match self.config.intent {
            Intent::Publish => {
                self.call(0, "releaseStream", 3.0, vec![Value::Null, name.clone()]);
                self.call(0, "FCPublish", 4.0, vec![Value::Null, name]);
            }
            Intent::Play => self.call(0, "FCSubscribe", 3.0, vec![Value::Null, name]),
        }
        self.call(0, "createStream", CREATE_STREAM, vec![Value::Null]);
    }

    fn use_stream(&mut self) {
        let name = Value::from(self.config.name.as_str());
        let stream_id = self.stream_id;
        match self.config.intent {
            Intent::Publish => {
                let values = vec![Value::Null, name, "live".into()];
                self.call(stream_id, "publish", 5.0, values);
            }
            Intent::Play => {
                let live = -1000.0;
                self.call(stream_id, "play", 4.0, vec![Value::Null, name, live.into()]);
                let buffer = UserControl::SetBufferLength { stream_id, buffer_ms: BUFFER_MS };
                self.link.send_control(Control::User(buffer));
            }
        }
    }

    fn handle_status(&mut self, command: &Command) -> ClientEvent {
        let information = command.argument(0).and_then(Value::as_object);
        let text = |name| information.and_then(|object| object.get_str(name)).unwrap_or_default();
        let code = text("code").to_owned();
        let start = match self.config.intent {
            Intent::Publish => "NetStream.Publish.Start",
            Intent::Play => "NetStream.Play.Start",
        };
        if !self.started && code == start {
            self.started = true;
            ClientEvent::Started
        } else if !self.started && text("level") == "error" {
            refused(command)
        } else {
            ClientEvent::Status { code }
        }
    }

    /// Sends audio, video or data on the published stream.
    pub fn send_media(&mut self, type_id: u8, timestamp_ms: u32, payload: Bytes) {
        let chunk_stream_id = match type_id {
            type_id::AUDIO => chunk_stream::AUDIO,
            type_id::VIDEO => chunk_stream::VIDEO,
            _ => chunk_stream::DATA,
        };
        let stream_id = self.stream_id;
        self.link
            .send_message(chunk_stream_id, &Message { type_id, stream_id, timestamp_ms, payload });
    }

    /// Stops or goes on playing.
    pub fn send_pause(&mut self, paused: bool) {
        let values = vec![Value::Null, paused.into(), 0.0.into()];
        self.call(self.stream_id, "pause", 0.0, values);
    }

    /// Ends publishing or playing in order; the connection may then be closed.
    pub fn send_close(&mut self) {
        if self.config.intent == Intent::Publish {
            let name = Value::from(self.config.name.as_str());
            self.call(0, "FCUnpublish", 6.0, vec![Value::Null, name]);
        }
        let stream = f64::from(self.stream_id);
        self.call(0, "deleteStream", 7.0, vec![Value::Null, stream.into()]);
    }

    /// Bytes since the handshake that the server has acknowledged, modulo 2^32.
    pub fn peer_received_bytes(&self) -> u32 {
        self.link.peer_received_bytes()
    }

    /// Takes the bytes to send; empty when there is nothing.
    pub fn poll_output(&mut self) -> Vec<u8> {
        self.link.poll_output()
    }
}

/// The refusal in an `_error` or in an `onStatus` of level error.
fn refused(command: &Command) -> ClientEvent {
    let information = command.argument(0).and_then(Value::as_object);
    let text =
        |name| information.and_then(|object| object.get_str(name)).unwrap_or_default().to_owned();
    ClientEvent::Refused { code: text("code"), description: text("description") }
}
