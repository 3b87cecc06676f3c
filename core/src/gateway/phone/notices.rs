//! What the tasks of the phone gateway say to it: never waited for, never lost.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::locating::{Unlocatable, Wanted};
use crate::{
    bridge::AudioFormat,
    rtp::{dtmf::Digit, ports::PortPair},
    sip::{agent::CallRef, transport::Hop},
};

/// What a task has to say.
#[derive(Debug)]
pub(super) enum Notice {
    /// The phone should be heard, and is not.
    Silent(CallRef),
    /// The phone has dialled a digit.
    Digit(CallRef, Digit),
    /// A digit is to be sent to the phone by SIP, for it takes none as telephone events.
    SendDigit(CallRef, Digit),
    /// The phone is to be asked for a picture that needs no other.
    KeyframeNeeded(CallRef),
    /// The stream that the phone hears has audio of this kind, and something else was agreed on; nothing for what no phone is sent.
    OtherAudio(CallRef, Option<AudioFormat>),
    /// The task of a call's media is over.
    Over(CallRef),
    /// Sockets of media are closed, and their ports are free.
    Closed(PortPair),
    /// Where somebody is, or why nobody is there.
    Located(Wanted, Result<Hop, Unlocatable>),
}

/// What was said and nobody has heard yet: of each call at most that it is silent, that it is over, what is free then, a keyframe a
/// few seconds, another kind of audio a second, and what digits were dialled just now; and where it is of each that is looked for.
#[derive(Debug, Default)]
pub(super) struct Notices {
    said: Mutex<Vec<Notice>>,
    is_told: Notify,
}

impl Notices {
    /// Says it.
    pub(super) fn push(&self, notice: Notice) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
        self.is_told.notify_one();
    }

    /// Waits for something to be said. Cancel safe.
    pub(super) async fn told(&self) {
        self.is_told.notified().await;
    }

    /// All that was said, in order.
    pub(super) fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says that a media task is over when it is dropped, behind everything else of the task: a panic ends one call only.
#[derive(Debug)]
pub(super) struct Over {
    notices: Arc<Notices>,
    call: CallRef,
}

impl Over {
    /// Of the task that carries `call`.
    pub(super) fn new(notices: Arc<Notices>, call: CallRef) -> Self {
        Self { notices, call }
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        self.notices.push(Notice::Over(self.call));
    }
}
