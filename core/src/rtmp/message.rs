//! RTMP messages and the protocol control messages among them (RTMP 1.0, sections 5.4, 6 and 7.1.7).

use bytes::Bytes;
use thiserror::Error;

/// Message type ids.
pub mod type_id {
    /// Protocol control: Set Chunk Size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Protocol control: Abort Message.
    pub const ABORT: u8 = 2;
    /// Protocol control: Acknowledgement.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control.
    pub const USER_CONTROL: u8 = 4;
    /// Protocol control: Window Acknowledgement Size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Protocol control: Set Peer Bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data, with a format byte before AMF0 values.
    pub const DATA_AMF3: u8 = 15;
    /// Command, with a format byte before AMF0 values.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0.
    pub const DATA_AMF0: u8 = 18;
    /// Command in AMF0.
    pub const COMMAND_AMF0: u8 = 20;
    /// Several messages in one.
    pub const AGGREGATE: u8 = 22;
}

/// Chunk stream ids this implementation sends on. Any id from 3 is allowed for anything but
/// protocol control; peers use their own.
pub mod chunk_stream {
    /// Protocol and user control.
    pub const CONTROL: u32 = 2;
    /// Commands.
    pub const COMMAND: u32 = 3;
    /// Data messages of a stream.
    pub const DATA: u32 = 5;
    /// Audio.
    pub const AUDIO: u32 = 6;
    /// Video.
    pub const VIDEO: u32 = 7;
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One of [`type_id`], or one this implementation does not know.
    pub type_id: u8,
    /// Message stream it belongs to; 0 for control and connection-wide commands.
    pub stream_id: u32,
    /// Milliseconds modulo 2^32 on the sender's clock.
    pub timestamp_ms: u32,
    /// The body.
    pub payload: Bytes,
}

/// Events of User Control messages (RTMP 1.0, section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserControl {
    /// The stream can be used.
    StreamBegin(u32),
    /// Playback of the stream is over for now.
    StreamEof(u32),
    /// The stream has no data for the moment.
    StreamDry(u32),
    /// The client buffers this much of the stream.
    SetBufferLength {
        /// Message stream.
        stream_id: u32,
        /// Buffer in milliseconds.
        buffer_ms: u32,
    },
    /// The stream is recorded.
    StreamIsRecorded(u32),
    /// Answer with the same time.
    PingRequest(u32),
    /// Answer to a ping.
    PingResponse(u32),
    /// An event this implementation does not use.
    Other(u16),
}

/// Protocol control messages other than Set Chunk Size and Abort, which the chunk layer applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The peer has received this many bytes, modulo 2^32.
    Acknowledgement(u32),
    /// A user control event.
    User(UserControl),
    /// The peer wants an acknowledgement each so many bytes.
    WindowAckSize(u32),
    /// The peer limits our output to this window; limit type 0 hard, 1 soft, 2 dynamic.
    SetPeerBandwidth {
        /// Window in bytes.
        window_bytes: u32,
        /// 0 hard, 1 soft, 2 dynamic.
        limit_type: u8,
    },
}

/// A control message whose body is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("control message of type {type_id} has {length} bytes, too few")]
pub struct ControlError {
    /// The message type.
    pub type_id: u8,
    /// Length of the body in bytes.
    pub length: usize,
}

/// Four bytes big-endian at `at`, if they are there.
pub(super) fn be32(body: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?))
}

impl Control {
    /// Parses a control message; `None` when `message` is of another type.
    ///
    /// # Errors
    /// A body that is too short for its type.
    pub fn parse(message: &Message) -> Result<Option<Self>, ControlError> {
        let body = &message.payload;
        let parsed = match message.type_id {
            type_id::ACKNOWLEDGEMENT => be32(body, 0).map(Self::Acknowledgement),
            type_id::WINDOW_ACK_SIZE => be32(body, 0).map(Self::WindowAckSize),
            type_id::SET_PEER_BANDWIDTH => be32(body, 0).map(|window_bytes| {
                // Some senders leave the limit type out; FMS's default is dynamic.
                let limit_type = body.get(4).copied().unwrap_or(2);
                Self::SetPeerBandwidth { window_bytes, limit_type }
            }),
            type_id::USER_CONTROL => UserControl::parse(body).map(Self::User),
            _ => return Ok(None),
        };
        parsed.map(Some).ok_or(ControlError { type_id: message.type_id, length: body.len() })
    }

    /// Type id and body.
    pub fn encode(self) -> (u8, Vec<u8>) {
        match self {
            Self::Acknowledgement(bytes) => (type_id::ACKNOWLEDGEMENT, bytes.to_be_bytes().into()),
            Self::WindowAckSize(bytes) => (type_id::WINDOW_ACK_SIZE, bytes.to_be_bytes().into()),
            Self::SetPeerBandwidth { window_bytes, limit_type } => {
                let mut body = window_bytes.to_be_bytes().to_vec();
                body.push(limit_type);
                (type_id::SET_PEER_BANDWIDTH, body)
            }
            Self::User(event) => (type_id::USER_CONTROL, event.encode()),
        }
    }
}

impl UserControl {
    fn parse(body: &[u8]) -> Option<Self> {
        let event = u16::from_be_bytes(body.get(..2)?.try_into().ok()?);
        Some(match event {
            0 => Self::StreamBegin(be32(body, 2)?),
            1 => Self::StreamEof(be32(body, 2)?),
            2 => Self::StreamDry(be32(body, 2)?),
            3 => Self::SetBufferLength { stream_id: be32(body, 2)?, buffer_ms: be32(body, 6)? },
            4 => Self::StreamIsRecorded(be32(body, 2)?),
            6 => Self::PingRequest(be32(body, 2)?),
            7 => Self::PingResponse(be32(body, 2)?),
            other => Self::Other(other),
        })
    }

    fn encode(self) -> Vec<u8> {
        let (event, values): (u16, &[u32]) = match self {
            Self::StreamBegin(stream_id) => (0, &[stream_id]),
            Self::StreamEof(stream_id) => (1, &[stream_id]),
            Self::StreamDry(stream_id) => (2, &[stream_id]),
            Self::SetBufferLength { stream_id, buffer_ms } => (3, &[stream_id, buffer_ms]),
            Self::StreamIsRecorded(stream_id) => (4, &[stream_id]),
            Self::PingRequest(time) => (6, &[time]),
            Self::PingResponse(time) => (7, &[time]),
            Self::Other(event) => (event, &[]),
        };
        let mut body = event.to_be_bytes().to_vec();
        body.extend(values.iter().flat_map(|value| value.to_be_bytes()));
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(type_id: u8, payload: Vec<u8>) -> Message {
        Message { type_id, stream_id: 0, timestamp_ms: 0, payload: payload.into() }
    }

    #[test]
    fn control_messages_survive_the_wire() {
        let all = [
            Control::Acknowledgement(u32::MAX),
            Control::WindowAckSize(2_500_000),
            Control::SetPeerBandwidth { window_bytes: 5_000_000, limit_type: 1 },
            Control::User(UserControl::StreamBegin(1)),
            Control::User(UserControl::StreamEof(2)),
            Control::User(UserControl::StreamDry(3)),
            Control::User(UserControl::SetBufferLength { stream_id: 1, buffer_ms: 3000 }),
            Control::User(UserControl::StreamIsRecorded(9)),
            Control::User(UserControl::PingRequest(77)),
            Control::User(UserControl::PingResponse(77)),
            Control::User(UserControl::Other(31)),
        ];
        for control in all {
            let (type_id, body) = control.encode();
            assert_eq!(Control::parse(&message(type_id, body.clone())), Ok(Some(control)));
            let short = message(type_id, body[..1].to_vec());
            assert_eq!(Control::parse(&short), Err(ControlError { type_id, length: 1 }));
        }
        assert_eq!(Control::parse(&message(type_id::AUDIO, vec![])), Ok(None));
    }
}
