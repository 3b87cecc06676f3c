//! Puts packets in order and lets each out when it is time to play it.
//!
//! What is missing when a later packet's time has come is given up: the later one tells how many. What comes after
//! that is late and dropped, so the output's numbers only grow. A full buffer plays its first packet before
//! its time, and if nobody takes it, drops it.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    playout_delay::{DelayConfig, PlayoutDelay},
    receiver::Received,
};

/// Bounds of a jitter buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitterConfig {
    /// How long packets are held.
    pub delay: DelayConfig,
    /// How many packets are held, those of telephone events among them.
    pub max_packets: usize,
}

/// A packet whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playout {
    /// Sequence number across wraps; greater than all before.
    pub ext_sequence: u64,
    /// Timestamp across wraps in units of `clock_rate`. That of another stream is above all of the one before.
    pub ext_timestamp: u64,
    /// Clock rate of the payload type, Hz.
    pub clock_rate: u32,
    /// Begin of a talkspurt in audio, end of a frame in video.
    pub marker: bool,
    /// Format of the payload.
    pub payload_type: u8,
    /// The media.
    pub payload: Bytes,
    /// Packets given up between the one before and this.
    pub lost_before: u64,
    /// Its timestamp has nothing to do with those before: another SSRC, or a sender that began anew.
    pub discontinuity: bool,
}

/// What was counted since the buffer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterCounters {
    /// Packets played.
    pub played: u64,
    /// Packets that came after a later one was played.
    pub late: u64,
    /// Packets that were held already.
    pub duplicates: u64,
    /// Packets given up.
    pub given_up: u64,
    /// Packets dropped because the buffer was full.
    pub dropped: u64,
}

#[derive(Debug)]
struct Held {
    play_at: Duration,
    packet: Received,
    /// Part of the numbering only: a telephone event, or a packet without payload.
    is_skipped: bool,
}

/// Buffer of a line.
#[derive(Debug)]
pub struct JitterBuffer {
    max_packets: usize,
    delay: PlayoutDelay,
    /// In the order of their extended sequence numbers.
    held: VecDeque<Held>,
    highest: u64,
    /// Stream and number of what went out last.
    last: Option<(u32, u64)>,
    discontinuity: bool,
    lost: u64,
    counters: JitterCounters,
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new(config: JitterConfig) -> Self {
        Self {
            max_packets: config.max_packets.max(1),
            delay: PlayoutDelay::new(config.delay),
            held: VecDeque::new(),
            highest: 0,
            last: None,
            discontinuity: false,
            lost: 0,
            counters: JitterCounters::default(),
        }
    }

    /// Packets held.
    pub fn held_packets(&self) -> usize {
        self.held.len()
    }

    /// How long a packet that came on the shortest way is held.
    pub fn delay(&self) -> Duration {
        self.delay.delay()
    }

    /// What was counted.
    pub fn counters(&self) -> JitterCounters {
        self.counters
    }

    /// Takes a packet to be played.
    pub fn handle_packet(&mut self, packet: Received) {
        let is_newest = packet.ext_sequence > self.highest;
        if self.place(packet.ext_sequence).is_ok() {
            self.counters.duplicates += 1;
            return;
        }
        let play_at = self.delay.schedule(&packet, is_newest);
        self.hold(Held { play_at, packet, is_skipped: false });
    }

    /// Takes a packet that is not to be played, so that it does not count as lost.
    pub fn handle_skipped(&mut self, packet: Received) {
        let play_at = packet.arrived + self.delay.delay();
        let packet = Received { payload: Bytes::new(), ..packet };
        self.hold(Held { play_at, packet, is_skipped: true });
    }

    fn hold(&mut self, held: Held) {
        let ext_sequence = held.packet.ext_sequence;
        if self.last.is_some_and(|(_, last)| ext_sequence <= last) {
            sometimes!("a packet comes when a later one was played");
            self.counters.late += 1;
            return;
        }
        self.highest = self.highest.max(ext_sequence);
        match self.place(ext_sequence) {
            Ok(place) => self.held[place] = held,
            Err(place) => self.held.insert(place, held),
        }
        if self.held.len() > self.max_packets {
            self.held.pop_front();
            self.counters.dropped += 1;
        }
    }

    /// Where a packet is held, or would be.
    fn place(&self, ext_sequence: u64) -> Result<usize, usize> {
        self.held.binary_search_by_key(&ext_sequence, |held| held.packet.ext_sequence)
    }

    /// The next packet whose time has come.
    pub fn poll(&mut self, now: Duration) -> Option<Playout> {
        loop {
            let first = self.held.front()?;
            let ext_sequence = first.packet.ext_sequence;
            let follows = self.last.is_some_and(|(_, last)| last.wrapping_add(1) == ext_sequence);
            let is_skippable = first.is_skipped && follows;
            if !is_skippable && first.play_at > now && self.held.len() < self.max_packets {
                return None;
            }
            let Held { packet, is_skipped, .. } = self.held.pop_front()?;
            match self.last {
                Some((stream, last)) if stream == packet.stream && !self.discontinuity => {
                    let lost = ext_sequence - last - 1;
                    self.lost += lost;
                    self.counters.given_up += lost;
                }
                Some((stream, _)) if stream != packet.stream => self.discontinuity = true,
                _ => (),
            }
            self.last = Some((packet.stream, ext_sequence));
            if is_skipped {
                continue;
            }
            self.counters.played += 1;
            return Some(Playout {
                ext_sequence,
                ext_timestamp: packet.ext_timestamp,
                clock_rate: packet.clock_rate,
                marker: packet.marker,
                payload_type: packet.payload_type,
                payload: packet.payload,
                lost_before: std::mem::take(&mut self.lost),
                discontinuity: std::mem::take(&mut self.discontinuity),
            });
        }
    }

    /// When the next packet's time comes.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let first = self.held.front()?;
        Some(if self.held.len() < self.max_packets { first.play_at } else { Duration::ZERO })
    }
}

#[cfg(test)]
mod tests;
