//! Commands: a name, a transaction id and AMF values (RTMP 1.0, section 7.2).

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::message::{Message, type_id};
use crate::amf::{DecodeError, Object, Value, amf0};

/// Which message types carry commands to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Type 20: AMF0 values.
    #[default]
    Amf0,
    /// Type 17: a zero byte, then AMF0 values, any of which may switch to AMF3.
    Amf3,
}

/// A command or a reply to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// What to do; `_result` and `_error` in replies.
    pub name: String,
    /// Chosen by the caller and repeated in the reply; 0 when no reply is wanted.
    pub transaction: f64,
    /// The command object (often null), then the arguments.
    pub values: Vec<Value>,
}

/// Why a message is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// Its AMF is malformed.
    #[error("command: {0}")]
    Amf(#[from] DecodeError),
    /// It does not begin with a name.
    #[error("command without a name")]
    NoName,
}

/// The AMF0 body of a command or data message of either type.
pub(super) fn amf0_body(message: &Message) -> Bytes {
    match message.type_id {
        // The format byte is 0; peers that leave it out begin with a string marker at once.
        type_id::COMMAND_AMF3 | type_id::DATA_AMF3 if message.payload.first() == Some(&0) => {
            message.payload.slice(1..)
        }
        _ => message.payload.clone(),
    }
}

/// The value in AMF0 terms, whichever form it came in.
pub(super) fn normalised(value: Value) -> Value {
    match value {
        Value::Amf3(value) => value.into_amf0(),
        other => other,
    }
}

impl Command {
    /// A command without a transaction, as `onStatus` is.
    pub fn notice(name: &str, values: Vec<Value>) -> Self {
        Self { name: name.to_owned(), transaction: 0.0, values }
    }

    /// The successful reply to `transaction`.
    pub fn result(transaction: f64, values: Vec<Value>) -> Self {
        Self { name: "_result".to_owned(), transaction, values }
    }

    /// Parses a message of type 17 or 20. Values sent in AMF3 are given as their AMF0 equivalents.
    ///
    /// # Errors
    /// Malformed AMF, or no name.
    pub fn parse(message: &Message) -> Result<Self, CommandError> {
        let mut values = amf0::decode_all(&amf0_body(message))?.into_iter().map(normalised);
        let Some(Value::String(name)) = values.next() else { return Err(CommandError::NoName) };
        // Notices of some encoders leave the transaction out.
        let transaction = values.next().and_then(|value| value.as_number()).unwrap_or(0.0);
        Ok(Self { name, transaction, values: values.collect() })
    }

    /// Type id and body.
    pub fn encode(&self, encoding: Encoding) -> (u8, Bytes) {
        let mut body = BytesMut::new();
        let type_id = match encoding {
            Encoding::Amf0 => type_id::COMMAND_AMF0,
            Encoding::Amf3 => {
                body.extend_from_slice(&[0]);
                type_id::COMMAND_AMF3
            }
        };
        amf0::encode(&Value::from(self.name.as_str()), &mut body);
        amf0::encode(&Value::from(self.transaction), &mut body);
        for value in &self.values {
            amf0::encode(value, &mut body);
        }
        (type_id, body.freeze())
    }

    /// The command object, if there is one.
    pub fn object(&self) -> Option<&Object> {
        self.values.first()?.as_object()
    }

    /// Argument `index`, counted from 0 behind the command object.
    pub fn argument(&self, index: usize) -> Option<&Value> {
        self.values.get(index + 1)
    }

    /// Argument `index` as text.
    pub fn text(&self, index: usize) -> Option<&str> {
        self.argument(index)?.as_str()
    }

    /// Argument `index` as a number.
    pub fn number(&self, index: usize) -> Option<f64> {
        self.argument(index)?.as_number()
    }
}

/// Level of an `onStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All is well.
    Status,
    /// The operation failed; ffmpeg and Flash give up on it.
    Error,
}

/// The information object of `onStatus` (RTMP 1.0, section 7.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// Level.
    pub level: Level,
    /// Such as `NetStream.Play.Start`.
    pub code: &'a str,
    /// For people.
    pub description: &'a str,
}

impl<'a> Status<'a> {
    /// A status of level "status".
    pub fn ok(code: &'a str, description: &'a str) -> Self {
        Self { level: Level::Status, code, description }
    }

    /// A status of level "error".
    pub fn error(code: &'a str, description: &'a str) -> Self {
        Self { level: Level::Error, code, description }
    }

    /// The object on the wire.
    pub fn to_object(self) -> Object {
        let level = match self.level {
            Level::Status => "status",
            Level::Error => "error",
        };
        Object::new()
            .with("level", level)
            .with("code", self.code)
            .with("description", self.description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amf::amf3;

    fn message(type_id: u8, payload: Bytes) -> Message {
        Message { type_id, stream_id: 0, timestamp_ms: 0, payload }
    }

    #[test]
    fn commands_survive_both_encodings() {
        let command = Command {
            name: "connect".into(),
            transaction: 1.0,
            values: vec![Object::new().with("app", "live").into(), "more".into(), 7.0.into()],
        };
        for encoding in [Encoding::Amf0, Encoding::Amf3] {
            let (type_id, body) = command.encode(encoding);
            assert_eq!(Command::parse(&message(type_id, body)), Ok(command.clone()));
        }
        assert_eq!(command.object().unwrap().get_str("app"), Some("live"));
        assert_eq!((command.text(0), command.number(1)), (Some("more"), Some(7.0)));
    }

    #[test]
    fn a_command_in_amf3_may_lack_its_format_byte() {
        let command = Command { name: "x".into(), transaction: 2.0, values: vec![Value::Null] };
        let (_, body) = command.encode(Encoding::Amf0);
        assert_eq!(Command::parse(&message(type_id::COMMAND_AMF3, body)), Ok(command));
    }

    #[test]
    fn arguments_in_amf3_are_read_as_amf0() {
        let command = Command {
            name: "publish".into(),
            transaction: 5.0,
            values: vec![Value::Null, Value::Amf3(amf3::Value::String("cam".into()))],
        };
        let (type_id, body) = command.encode(Encoding::Amf3);
        assert_eq!(Command::parse(&message(type_id, body)).unwrap().text(0), Some("cam"));
    }

    #[test]
    fn what_does_not_begin_with_a_name_is_no_command() {
        let mut body = BytesMut::new();
        amf0::encode(&Value::from(1.0), &mut body);
        assert_eq!(Command::parse(&message(20, body.freeze())), Err(CommandError::NoName));
        assert_eq!(Command::parse(&message(20, Bytes::new())), Err(CommandError::NoName));
    }
}
