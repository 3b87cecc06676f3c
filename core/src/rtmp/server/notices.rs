//! What the owner of a session tells its peer: answers to publish and play, and how a stream goes on.

use std::time::Duration;

use bytes::BytesMut;

use super::{ServerSession, Use};
use crate::{
    amf::{Value, amf0},
    rtmp::{
        command::{Command, Status},
        message::{Control, Message, UserControl, chunk_stream, type_id},
    },
};

impl ServerSession {
    /// Answers publish: the stream is the peer's.
    pub fn accept_publish(&mut self, now: Duration, stream_id: u32, name: &str) {
        self.set_use(now, stream_id, Use::Publishing { name: name.to_owned(), last_media_at: now });
        self.send_user(UserControl::StreamBegin(stream_id));
        let text = format!("{name} is now published.");
        self.send_status(stream_id, Status::ok("NetStream.Publish.Start", &text));
    }

    /// Answers play: the owner sends media from now on, if there is any.
    pub fn accept_play(&mut self, now: Duration, stream_id: u32, name: &str) {
        self.set_use(now, stream_id, Use::Playing);
        self.send_user(UserControl::StreamBegin(stream_id));
        let text = format!("Playing {name}.");
        self.send_status(stream_id, Status::ok("NetStream.Play.Reset", &text));
        self.send_status(stream_id, Status::ok("NetStream.Play.Start", &text));
        // Lets Flash read audio and video samples of the stream.
        let mut body = BytesMut::new();
        for value in ["|RtmpSampleAccess".into(), true.into(), true.into()] {
            amf0::encode(&value, &mut body);
        }
        let payload = body.freeze();
        let message = Message { type_id: type_id::DATA_AMF0, stream_id, timestamp_ms: 0, payload };
        // Not on the chunk stream of data, on which the owner's frames go out.
        self.link.send_message(chunk_stream::COMMAND, &message);
    }

    /// Answers publish or play: not possible. The peer may try another name.
    pub fn refuse(&mut self, now: Duration, stream_id: u32, status: Status<'_>) {
        self.set_use(now, stream_id, Use::Idle);
        self.send_status(stream_id, status);
    }

    /// Tells a player that a publisher has come.
    pub fn notify_publisher_came(&mut self, stream_id: u32, name: &str) {
        self.send_user(UserControl::StreamBegin(stream_id));
        let text = format!("{name} is now published.");
        self.send_status(stream_id, Status::ok("NetStream.Play.PublishNotify", &text));
    }

    /// Tells a player that the publisher has gone. ffmpeg and VLC end here.
    pub fn notify_publisher_gone(&mut self, stream_id: u32, name: &str) {
        let text = format!("{name} is now unpublished.");
        self.send_status(stream_id, Status::ok("NetStream.Play.UnpublishNotify", &text));
        self.send_user(UserControl::StreamEof(stream_id));
    }

    /// Tells the peer, and whoever publishes or plays, that the server ends the session, and why.
    pub fn notify_end(&mut self, reason: &str) {
        for index in 0..self.streams.len() {
            let stream_id = index as u32 + 1;
            match self.stream(stream_id) {
                Some(Use::Publishing { .. }) => {
                    let status = Status::ok("NetStream.Unpublish.Success", reason);
                    self.send_status(stream_id, status);
                }
                Some(Use::Playing) => {
                    let status = Status::ok("NetStream.Play.Stop", reason);
                    self.send_status(stream_id, status);
                    self.send_user(UserControl::StreamEof(stream_id));
                }
                _ => {}
            }
        }
        self.send_status(0, Status::ok("NetConnection.Connect.Closed", reason));
    }

    pub(super) fn send_status(&mut self, stream_id: u32, status: Status<'_>) {
        let notice = Command::notice("onStatus", vec![Value::Null, status.to_object().into()]);
        self.link.send_command(stream_id, &notice, self.encoding);
    }

    fn send_user(&mut self, event: UserControl) {
        self.link.send_control(Control::User(event));
    }

    /// FMLE waits for these besides the replies to its FC calls.
    pub(super) fn send_fc_notice(&mut self, notice: &str, code: &str, command: &Command) {
        // The peer's own words, and no more of them than a name may have.
        let name = command.text(0).unwrap_or_default();
        let name = &name[..name.floor_char_boundary(self.config.name_bytes)];
        let status = Status::ok(code, name);
        let notice = Command::notice(notice, vec![Value::Null, status.to_object().into()]);
        self.link.send_command(0, &notice, self.encoding);
    }
}
