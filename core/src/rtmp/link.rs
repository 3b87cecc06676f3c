//! What both sides of a connection do alike after the handshake: chunking, acknowledgements, window
//! sizes, pings, and taking aggregates apart.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::{
    aggregate::{self, AggregateError, Parts},
    chunk::{ChunkError, ChunkLimits, ChunkReader, ChunkWriter},
    command::{Command, Encoding},
    message::{Control, ControlError, Message, UserControl, chunk_stream, type_id},
};

/// Bytes after which an acknowledgement is sent to a peer that has not announced a window: some
/// encoders wait for acknowledgements of a size they never told.
const UNTOLD_WINDOW_BYTES: u32 = 1_000_000;

/// Least window that is taken at its word: a smaller one would ask for more acknowledgements than it sends data.
const LEAST_WINDOW_BYTES: u32 = 1_024;

/// Why a link is broken. Nothing more can be read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The chunk data makes no sense or exceeds a limit.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A control message makes no sense.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// An aggregate message makes no sense.
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
}

/// What the peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A command, data, audio or video message, or one of an unknown type.
    Message(Message),
    /// A user control event other than pings, which are answered here.
    User(UserControl),
}

/// One side of a connection after the handshake.
#[derive(Debug)]
pub struct Link {
    reader: ChunkReader,
    writer: ChunkWriter,
    output: Vec<u8>,
    parts: Option<Parts>,
    /// Window the peer announced; it gets an acknowledgement each half of it.
    peer_window_bytes: u32,
    received_bytes: u32,
    acknowledged_bytes: u32,
    /// Bytes that the peer has received of ours, as it said last.
    peer_received_bytes: u32,
    /// Window we announced last.
    own_window_bytes: u32,
    last_received_at: Duration,
}

impl Link {
    /// A link that starts at `now`.
    pub fn new(limits: ChunkLimits, now: Duration) -> Self {
        Self {
            reader: ChunkReader::new(limits),
            writer: ChunkWriter::default(),
            output: Vec::new(),
            parts: None,
            peer_window_bytes: UNTOLD_WINDOW_BYTES,
            received_bytes: 0,
            acknowledged_bytes: 0,
            peer_received_bytes: 0,
            own_window_bytes: 0,
            last_received_at: now,
        }
    }

    /// When the peer last sent anything.
    pub fn last_received_at(&self) -> Duration {
        self.last_received_at
    }

    /// Bytes since the handshake that the peer has acknowledged, modulo 2^32.
    pub fn peer_received_bytes(&self) -> u32 {
        self.peer_received_bytes
    }

    /// Consumes from the front of `input` until something for the session is there or the input is used up.
    ///
    /// # Errors
    /// Whatever [`LinkError`] says; the link must not be used after one.
    pub fn handle_input(
        &mut self,
        now: Duration,
        input: &mut &[u8],
    ) -> Result<Option<Incoming>, LinkError> {
        loop {
            if let Some(parts) = &mut self.parts {
                if let Some(part) = parts.next().transpose()? {
                    return Ok(Some(Incoming::Message(part)));
                }
                self.parts = None;
            }
            let before = input.len();
            let message = self.reader.handle_input(input)?;
            if input.len() < before {
                self.last_received_at = now;
                self.count_received((before - input.len()) as u32);
            }
            let Some(message) = message else { return Ok(None) };
            match Control::parse(&message)? {
                Some(control) => {
                    if let Some(event) = self.handle_control(control) {
                        return Ok(Some(Incoming::User(event)));
                    }
                }
                None if message.type_id == type_id::AGGREGATE => {
                    sometimes!("an aggregate is taken apart");
                    self.parts = Some(aggregate::split(&message));
                }
                None => return Ok(Some(Incoming::Message(message))),
            }
        }
    }

    fn count_received(&mut self, bytes: u32) {
        self.received_bytes = self.received_bytes.wrapping_add(bytes);
        let unacknowledged = self.received_bytes.wrapping_sub(self.acknowledged_bytes);
        if unacknowledged >= self.peer_window_bytes / 2 {
            self.acknowledged_bytes = self.received_bytes;
            self.send_control(Control::Acknowledgement(self.received_bytes));
        }
    }

    fn handle_control(&mut self, control: Control) -> Option<UserControl> {
        match control {
            // How far the peer is behind shows in the socket, which is what the server acts on.
            Control::Acknowledgement(bytes) => {
                self.peer_received_bytes = bytes;
                None
            }
            Control::WindowAckSize(bytes) => {
                self.peer_window_bytes = bytes.max(LEAST_WINDOW_BYTES);
                None
            }
            // Section 5.4.5: answer with a window size unless it is the one sent last.
            Control::SetPeerBandwidth { window_bytes, .. } => {
                if window_bytes != self.own_window_bytes {
                    self.send_window_ack_size(window_bytes);
                }
                None
            }
            Control::User(UserControl::PingRequest(time)) => {
                self.send_control(Control::User(UserControl::PingResponse(time)));
                None
            }
            Control::User(UserControl::PingResponse(_)) => None,
            Control::User(event) => Some(event),
        }
    }

    /// Announces the window after which we want an acknowledgement.
    pub fn send_window_ack_size(&mut self, bytes: u32) {
        self.own_window_bytes = bytes;
        self.send_control(Control::WindowAckSize(bytes));
    }

    /// Tells the peer a new chunk size and uses it from then on.
    pub fn send_set_chunk_size(&mut self, bytes: u32) {
        self.send_message(
            chunk_stream::CONTROL,
            &Message {
                type_id: type_id::SET_CHUNK_SIZE,
                stream_id: 0,
                timestamp_ms: 0,
                payload: Bytes::copy_from_slice(&bytes.to_be_bytes()),
            },
        );
        self.writer.set_chunk_bytes(bytes);
    }

    /// Sends a control message.
    pub fn send_control(&mut self, control: Control) {
        let (type_id, body) = control.encode();
        let message = Message { type_id, stream_id: 0, timestamp_ms: 0, payload: body.into() };
        self.send_message(chunk_stream::CONTROL, &message);
    }

    /// Sends a command on a message stream.
    pub fn send_command(&mut self, stream_id: u32, command: &Command, encoding: Encoding) {
        let (type_id, payload) = command.encode(encoding);
        let message = Message { type_id, stream_id, timestamp_ms: 0, payload };
        self.send_message(chunk_stream::COMMAND, &message);
    }

    /// Sends a message.
    pub fn send_message(&mut self, chunk_stream_id: u32, message: &Message) {
        self.writer.write(chunk_stream_id, message, &mut self.output);
    }

    /// Where the handshake writes, ahead of everything the link sends.
    pub fn output_mut(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Takes the bytes to send, whole messages only; empty when there is nothing.
    pub fn poll_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ChunkLimits =
        ChunkLimits { message_bytes: 1 << 20, chunk_bytes: 1 << 20, chunk_streams: 8 };

    fn link() -> Link {
        Link::new(LIMITS, Duration::ZERO)
    }

    /// Everything `to` makes of `bytes`, and what it answers.
    fn deliver(to: &mut Link, bytes: &[u8]) -> (Vec<Incoming>, Vec<u8>) {
        let mut input = bytes;
        let mut incoming = Vec::new();
        while let Some(event) = to.handle_input(Duration::from_secs(1), &mut input).unwrap() {
            incoming.push(event);
        }
        (incoming, to.poll_output())
    }

    fn controls(bytes: &[u8]) -> Vec<Control> {
        let mut reader = ChunkReader::new(LIMITS);
        let mut input = bytes;
        let mut controls = Vec::new();
        while let Some(message) = reader.handle_input(&mut input).unwrap() {
            controls.push(Control::parse(&message).unwrap().expect("a control message"));
        }
        controls
    }

    #[test]
    fn every_half_window_is_acknowledged_with_the_bytes_received_so_far() {
        let (mut sender, mut receiver) = (link(), link());
        sender.send_window_ack_size(2_000);
        let announced = sender.poll_output();
        deliver(&mut receiver, &announced);
        let mut sent = announced.len();
        let mut acknowledged = Vec::new();
        for _ in 0..10 {
            let payload = Bytes::from(vec![0; 118]);
            let message = Message { type_id: 8, stream_id: 1, timestamp_ms: 0, payload };
            sender.send_message(6, &message);
            let bytes = sender.poll_output();
            sent += bytes.len();
            for control in controls(&deliver(&mut receiver, &bytes).1) {
                assert_eq!(control, Control::Acknowledgement(sent as u32));
                acknowledged.push(sent);
            }
        }
        assert_eq!(acknowledged.len(), 1, "{sent} bytes hold one half window of 1000");
    }

    #[test]
    fn a_ping_is_answered_with_its_time() {
        let (mut sender, mut receiver) = (link(), link());
        sender.send_control(Control::User(UserControl::PingRequest(4711)));
        let (incoming, answer) = deliver(&mut receiver, &sender.poll_output());
        assert!(incoming.is_empty());
        assert_eq!(controls(&answer), [Control::User(UserControl::PingResponse(4711))]);
    }

    #[test]
    fn a_new_peer_bandwidth_is_answered_once_with_a_window_size() {
        let (mut sender, mut receiver) = (link(), link());
        for expected in [vec![Control::WindowAckSize(9000)], vec![]] {
            sender.send_control(Control::SetPeerBandwidth { window_bytes: 9000, limit_type: 2 });
            let (_, answer) = deliver(&mut receiver, &sender.poll_output());
            assert_eq!(controls(&answer), expected);
        }
    }

    #[test]
    fn aggregates_arrive_as_their_parts_before_what_follows() {
        let (mut sender, mut receiver) = (link(), link());
        let part = [8, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'a', 0, 0, 0, 12];
        let aggregate = Message {
            type_id: type_id::AGGREGATE,
            stream_id: 1,
            timestamp_ms: 40,
            payload: Bytes::from([part, part].concat()),
        };
        sender.send_message(6, &aggregate);
        sender.send_control(Control::User(UserControl::StreamDry(1)));
        let (incoming, _) = deliver(&mut receiver, &sender.poll_output());
        assert_eq!(incoming.len(), 3);
        assert!(
            matches!(&incoming[1], Incoming::Message(m) if m.timestamp_ms == 40 && m.type_id == 8)
        );
        assert_eq!(incoming[2], Incoming::User(UserControl::StreamDry(1)));
    }
}
