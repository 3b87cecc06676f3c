//! The commands after connect: message streams, publishing, playing, and what encoders send around them.

use std::time::Duration;

use super::{
    Phase, ServerEvent, ServerSession, SessionError, Use, application::hand_over,
    connect::plain_name,
};
use crate::{
    amf::Value,
    rtmp::{
        command::{Command, Status},
        message::{Control, UserControl},
    },
};

impl ServerSession {
    pub(super) fn handle_command(
        &mut self,
        now: Duration,
        stream_id: u32,
        command: Command,
    ) -> Result<Option<ServerEvent>, SessionError> {
        // Whoever waits for the answer to connect has to wait.
        if self.phase == Phase::Deciding {
            return Err(SessionError::NotConnected);
        }
        if command.name == "connect" {
            // A second connect changes nothing; it gets the reply of an unknown call.
            return match self.phase {
                Phase::Connected => {
                    self.reply(&command, vec![Value::Null, Value::Null]);
                    Ok(None)
                }
                _ => self.handle_connect(&command),
            };
        }
        if self.phase != Phase::Connected {
            return Err(SessionError::NotConnected);
        }
        Ok(match command.name.as_str() {
            "createStream" => {
                self.create_stream(&command);
                None
            }
            "publish" => self.publish(now, stream_id, &command),
            "play" => self.play(now, stream_id, &command),
            "pause" | "pauseRaw" => self.pause(stream_id, &command),
            "seek" => {
                let status =
                    Status::error("NetStream.Seek.Failed", "A live stream cannot be sought.");
                self.send_status(stream_id, status);
                None
            }
            "closeStream" => self.close_stream(now, stream_id),
            "deleteStream" => self.delete_stream(now, &command),
            "FCPublish" => {
                self.reply(&command, vec![Value::Null]);
                self.send_fc_notice("onFCPublish", "NetStream.Publish.Start", &command);
                None
            }
            "FCUnpublish" => self.fc_unpublish(now, &command),
            "FCSubscribe" => {
                self.reply(&command, vec![Value::Null]);
                self.send_fc_notice("onFCSubscribe", "NetStream.Play.Start", &command);
                None
            }
            // A live stream has no length.
            "getStreamLength" => {
                self.reply(&command, vec![Value::Null, 0.0.into()]);
                None
            }
            // A reply to onBWDone, or to anything else that was not asked.
            "_result" | "_error" | "onStatus" => None,
            // These want just a reply, and so does every call that is unknown.
            "releaseStream" | "_checkbw" => {
                self.reply(&command, vec![Value::Null, Value::Undefined]);
                None
            }
            _ if self.takes_commands => Some(hand_over(command)),
            _ => {
                self.reply(&command, vec![Value::Null, Value::Undefined]);
                None
            }
        })
    }

    /// Replies to a call that asked for it.
    fn reply(&mut self, command: &Command, values: Vec<Value>) {
        self.answer(command.transaction, "_result", values);
    }

    fn create_stream(&mut self, command: &Command) {
        let free = self.streams.iter().position(Option::is_none);
        let index = match free {
            Some(index) => {
                self.streams[index] = Some(Use::Idle);
                index
            }
            None if self.streams.len() < self.config.message_streams => {
                self.streams.push(Some(Use::Idle));
                self.streams.len() - 1
            }
            None => {
                self.refuse_command(command.transaction, "too many message streams");
                return;
            }
        };
        self.reply(command, vec![Value::Null, ((index + 1) as f64).into()]);
    }

    /// Whether an application or a stream may have this name.
    pub(super) fn is_usable_name(&self, name: &str) -> bool {
        !name.is_empty()
            && name.len() <= self.config.name_bytes
            && !name.chars().any(char::is_control)
    }

    /// The stream name of publish and play, if it can be used.
    fn stream_name(&self, command: &Command) -> Option<String> {
        let name = plain_name(command.text(0)?);
        self.is_usable_name(name).then(|| name.to_owned())
    }

    fn publish(&mut self, now: Duration, stream_id: u32, command: &Command) -> Option<ServerEvent> {
        if is_false(command) {
            return self.close_stream(now, stream_id);
        }
        if self.stream(stream_id) != Some(&Use::Idle) {
            let status = Status::error(
                "NetStream.Publish.BadConnection",
                "publish needs a message stream of its own; call createStream",
            );
            self.send_status(stream_id, status);
            return None;
        }
        let Some(name) = self.stream_name(command) else {
            let status =
                Status::error("NetStream.Publish.BadName", "The stream name is not usable.");
            self.send_status(stream_id, status);
            return None;
        };
        self.set_use(now, stream_id, Use::Pending);
        Some(ServerEvent::Publish { stream_id, name })
    }

    fn play(&mut self, now: Duration, stream_id: u32, command: &Command) -> Option<ServerEvent> {
        if is_false(command) {
            return self.close_stream(now, stream_id);
        }
        // A player that plays again on its stream leaves what it played.
        if !matches!(self.stream(stream_id), Some(Use::Idle | Use::Playing)) {
            let status = Status::error(
                "NetStream.Play.Failed",
                "play needs a message stream of its own; call createStream",
            );
            self.send_status(stream_id, status);
            return None;
        }
        let Some(name) = self.stream_name(command) else {
            let status =
                Status::error("NetStream.Play.StreamNotFound", "The stream name is not usable.");
            self.send_status(stream_id, status);
            return None;
        };
        self.set_use(now, stream_id, Use::Pending);
        Some(ServerEvent::Play { stream_id, name })
    }

    fn pause(&mut self, stream_id: u32, command: &Command) -> Option<ServerEvent> {
        if self.stream(stream_id) != Some(&Use::Playing) {
            return None;
        }
        let paused = command.argument(0).and_then(Value::as_bool)?;
        let (code, text, event) = match paused {
            true => ("NetStream.Pause.Notify", "Paused.", UserControl::StreamEof(stream_id)),
            false => {
                ("NetStream.Unpause.Notify", "Playing again.", UserControl::StreamBegin(stream_id))
            }
        };
        self.send_status(stream_id, Status::ok(code, text));
        self.link.send_control(Control::User(event));
        Some(ServerEvent::Pause { stream_id, paused })
    }

    /// Ends the use of a stream and tells the peer; the stream stays.
    pub(super) fn close_stream(&mut self, now: Duration, stream_id: u32) -> Option<ServerEvent> {
        let status = match self.stream(stream_id)? {
            Use::Idle => return None,
            Use::Pending => None,
            Use::Publishing { .. } => {
                Some(Status::ok("NetStream.Unpublish.Success", "Publishing has ended."))
            }
            Use::Playing => Some(Status::ok("NetStream.Play.Stop", "Playing has ended.")),
        };
        if let Some(status) = status {
            self.send_status(stream_id, status);
        }
        self.set_use(now, stream_id, Use::Idle);
        Some(ServerEvent::Closed { stream_id })
    }

    fn delete_stream(&mut self, now: Duration, command: &Command) -> Option<ServerEvent> {
        let stream_id = command.number(0)? as u32;
        let event = self.close_stream(now, stream_id);
        if let Some(index) = (stream_id as usize).checked_sub(1)
            && let Some(stream) = self.streams.get_mut(index)
        {
            *stream = None;
        }
        event
    }

    fn fc_unpublish(&mut self, now: Duration, command: &Command) -> Option<ServerEvent> {
        self.reply(command, vec![Value::Null]);
        self.send_fc_notice("onFCUnpublish", "NetStream.Unpublish.Success", command);
        let name = plain_name(command.text(0)?);
        let published = |used: &Option<Use>| matches!(used, Some(Use::Publishing { name: known, .. }) if known == name);
        let index = self.streams.iter().position(published)?;
        self.close_stream(now, index as u32 + 1)
    }
}

/// Flash ends a stream by publishing or playing `false`.
fn is_false(command: &Command) -> bool {
    command.argument(0).and_then(Value::as_bool) == Some(false)
}
