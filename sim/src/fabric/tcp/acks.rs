//! Acknowledgments that are on their way without an event of their own.
//!
//! On a path where nothing is left to chance and nothing queues, when a pure acknowledgment arrives is known
//! when it is sent. Most of them change nothing that anybody waits for, so they lie here until their
//! socket is touched for another reason and are then taken in with the times at which they came. Only a
//! socket that waits for one, because it has more to send than it may or somebody waits to write,
//! gets an event.

use super::{
    super::{events::Event, network::Network},
    queue::Queue,
};
use crate::slab::Key;

/// Acknowledgments that may lie here; with more there is an event, which takes them in.
const ACKS_MAX: usize = 64;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    pub(crate) at_ns: u64,
    pub(crate) ack: u64,
    pub(crate) window_bytes: u32,
    /// When that was sent which it answers, by the socket's own clock.
    pub(crate) echo_ns: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Acks {
    /// By time.
    acks: Queue<Ack>,
    has_event: bool,
}

impl Acks {
    pub(crate) fn is_empty(&self) -> bool {
        self.acks.front().is_none()
    }

    /// Takes one that has been sent. One that was sent later does not overtake.
    pub(crate) fn push(&mut self, mut ack: Ack) {
        if let Some(last) = self.acks.back() {
            ack.at_ns = ack.at_ns.max(last.at_ns);
        }
        self.acks.push_back(ack);
    }

    /// The next one that has arrived by `now_ns`.
    pub(crate) fn next(&mut self, now_ns: u64) -> Option<Ack> {
        self.acks.front().filter(|ack| ack.at_ns <= now_ns)?;
        self.acks.pop_front()
    }

    /// The highest number that has been acknowledged by `now_ns` among these.
    pub(crate) fn arrived(&self, now_ns: u64) -> Option<u64> {
        let arrived = self.acks.iter().take_while(|ack| ack.at_ns <= now_ns);
        arrived.map(|ack| ack.ack).max()
    }

    /// Has an event come at the time of the first one, if `socket` waits for it.
    pub(crate) fn schedule(&mut self, net: &mut Network, socket: Key, is_waiting: bool) {
        let Some(first) = self.acks.front() else { return };
        if !self.has_event && (is_waiting || self.acks.len() > ACKS_MAX) {
            self.has_event = true;
            // One that has lain here for a while came earlier.
            net.events.schedule(first.at_ns.max(net.now_ns), Event::AckArrives { socket });
        }
    }

    /// The event has come.
    pub(crate) fn on_event(&mut self) {
        self.has_event = false;
    }
}
