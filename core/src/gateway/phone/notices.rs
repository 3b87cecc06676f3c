//! What the tasks of the phone gateway say to it: never waited for, never lost.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::locating::{Unlocatable, Wanted};
use crate::{
    rtp::ports::PortPair,
    sip::{agent::CallRef, transport::Hop},
};

/// What a task has to say.
#[derive(Debug)]
pub(super) enum Notice {
    /// The phone should be heard, and is not.
    Silent(CallRef),
    /// The task of a call's media is over, and its ports are closed.
    Over(CallRef, PortPair),
    /// Where somebody is, or why nobody is there.
    Located(Wanted, Result<Hop, Unlocatable>),
}

/// What was said and nobody has heard yet: at most that it is silent and that it is over of each call, and where it is of each that
/// is looked for.
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

/// Says that a media task is over when it is dropped, behind everything else of the task: a panic ends one call and
/// costs no ports.
#[derive(Debug)]
pub(super) struct Over {
    notices: Arc<Notices>,
    call: CallRef,
    ports: Option<PortPair>,
}

impl Over {
    /// Of the task that carries `call` on `ports`.
    pub(super) fn new(notices: Arc<Notices>, call: CallRef, ports: PortPair) -> Self {
        Self { notices, call, ports: Some(ports) }
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        if let Some(ports) = self.ports.take() {
            self.notices.push(Notice::Over(self.call, ports));
        }
    }
}
