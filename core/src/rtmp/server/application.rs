//! Applications with commands of their own: what their clients ask becomes events, and they are called back.

use std::time::Duration;

use super::{ServerEvent, ServerSession};
use crate::{
    amf::Value,
    rtmp::command::{Command, Status},
};

impl ServerSession {
    /// As [`Self::accept_connect`], for an application with commands of its own. Those that the session does not know are
    /// [`ServerEvent::Command`] from now on. Such a client may be connected for as long as it likes without a stream, and
    /// publish without media: that it answers pings says that it is there.
    pub fn accept_caller(&mut self) {
        self.takes_commands = true;
        self.deadline = None;
        self.accept_connect();
    }

    /// Answers [`ServerEvent::Command`]: it is carried out, or was for nobody.
    pub fn accept_command(&mut self, transaction: f64) {
        self.answer(transaction, "_result", vec![Value::Null, Value::Undefined]);
    }

    /// Answers [`ServerEvent::Command`]: it makes no sense, or not now.
    pub fn refuse_command(&mut self, transaction: f64, description: &str) {
        let status = Status::error("NetConnection.Call.Failed", description);
        self.answer(transaction, "_error", vec![Value::Null, status.to_object().into()]);
    }

    /// Calls a method of the client; there is no answer.
    pub fn call_client(&mut self, name: &str, arguments: Vec<Value>) {
        let values = std::iter::once(Value::Null).chain(arguments).collect();
        self.link.send_command(0, &Command::notice(name, values), self.encoding);
    }

    /// Ends what a stream is used for, as if the client had done so, which is told.
    pub fn end_stream(&mut self, now: Duration, stream_id: u32) {
        self.close_stream(now, stream_id);
    }

    /// Replies to a call that asked for it.
    pub(super) fn answer(&mut self, transaction: f64, name: &str, values: Vec<Value>) {
        if transaction != 0.0 {
            let reply = Command { name: name.to_owned(), transaction, values };
            self.link.send_command(0, &reply, self.encoding);
        }
    }
}

/// A command that the session does not know.
pub(super) fn hand_over(command: Command) -> ServerEvent {
    let Command { name, transaction, values } = command;
    // The first value is the command object, which calls leave null.
    ServerEvent::Command { name, transaction, arguments: values.into_iter().skip(1).collect() }
}
