//! A socket's one timer. Moving it to a later time, which every acknowledgment does, costs nothing: the
//! event that is scheduled already looks at the time that holds when it comes.

use super::super::{events::Event, network::Network};
use crate::slab::Key;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timer {
    /// When it runs out; 0 when it is not set.
    deadline_ns: u64,
    /// When the event comes that looks at it; 0 without one.
    event_ns: u64,
}

impl Timer {
    pub(crate) fn is_set(&self) -> bool {
        self.deadline_ns != 0
    }

    pub(crate) fn stop(&mut self) {
        self.deadline_ns = 0;
    }

    pub(crate) fn set(&mut self, net: &mut Network, socket: Key, deadline_ns: u64) {
        self.deadline_ns = deadline_ns;
        if self.event_ns == 0 || self.event_ns > deadline_ns {
            self.event_ns = deadline_ns;
            net.events.schedule(deadline_ns, Event::TcpTimer { socket });
        }
    }

    /// An event came; true if the timer has run out.
    pub(crate) fn on_event(&mut self, net: &mut Network, socket: Key) -> bool {
        if self.event_ns != net.now_ns {
            // An earlier event took this one's place.
            return false;
        }
        self.event_ns = 0;
        if self.deadline_ns > net.now_ns {
            self.set(net, socket, self.deadline_ns);
            return false;
        }
        std::mem::take(&mut self.deadline_ns) != 0
    }
}
