//! The pictures that a phone shows: access units, one each [`Shows::frame_ms`], and the packets that they go out in.

use std::{collections::VecDeque, time::Duration};

use data_encoding::BASE64;

use super::{
    super::{
        access_unit::{self, DELIMITER, SPS, Shape, units},
        stamp::{Stamp, stream_hash},
    },
    packets::{STAP_A, payloads},
    plan::Voice,
    report::Spoken,
    rtp,
    video::{Pictures, Sets, Shown, Shows},
    voice::Source,
};

/// Ticks of H.264 in a millisecond.
const TICKS_PER_MS: u32 = 90;
/// What the first pictures are coded with.
const FIRST_CONFIG: u32 = 1;

/// What a phone shows on the stream of its voice.
pub(super) struct Show {
    plan: Shows,
    stream: u64,
    epoch: u32,
    source: Source,
    /// Packets of all pictures, and bytes in them.
    pub(super) packets: u32,
    pub(super) bytes: u32,
    /// When the first picture was due, and the next one is.
    began_at: Option<Duration>,
    next_at: Option<Duration>,
    /// Pictures since the last keyframe, and keyframes that there were by plan.
    in_gop: u32,
    gops: u32,
    /// Its packets that have not gone out.
    ready: VecDeque<Vec<u8>>,
}

/// The parameter sets of who shows `plan` as `voice`, as they stand in a description (RFC 6184, section 8.1).
pub(super) fn described(plan: &Shows, voice: &Voice) -> Option<String> {
    let stamp = |index| Stamp {
        stream: stream_hash(&voice.stream),
        epoch: voice.epoch,
        index,
        config: FIRST_CONFIG,
        timestamp_ms: 0,
    };
    let sets = access_unit::sets(&stamp(0));
    let are_said = plan.sets != Sets::InBand;
    are_said.then(|| sets.map(|set| BASE64.encode(&set)).join(","))
}

impl Show {
    pub(super) fn new(plan: Shows, voice: &Voice, source: Source) -> Self {
        Self {
            plan,
            stream: stream_hash(&voice.stream),
            epoch: voice.epoch,
            source,
            packets: 0,
            bytes: 0,
            began_at: None,
            next_at: None,
            in_gop: 0,
            gops: 0,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.source.ssrc
    }

    /// Begins, or goes on, at `now`, or stops; who goes on does so by a keyframe.
    pub(super) fn set(&mut self, shows: bool, now: Duration) {
        self.next_at = match (shows, self.next_at) {
            (false, _) => None,
            (true, Some(next)) => Some(next),
            (true, None) => {
                self.in_gop = 0;
                Some(now)
            }
        };
        if !shows {
            self.ready.clear();
        }
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.next_at
    }

    /// Its time of `now`.
    pub(super) fn timestamp(&self, now: Duration) -> u32 {
        let passed = self.began_at.map_or(Duration::ZERO, |began| now.saturating_sub(began));
        let ticks = (passed.as_millis() as u32).wrapping_mul(TICKS_PER_MS);
        self.source.timestamp.wrapping_add(ticks)
    }

    /// Somebody wants a keyframe.
    pub(super) fn is_asked(&mut self) {
        if self.plan.obeys {
            self.in_gop = 0;
        }
    }

    /// The next packet of what is due.
    pub(super) fn take_packet(
        &mut self,
        now: Duration,
        number: u8,
        told: &mut Pictures,
    ) -> Option<Vec<u8>> {
        if self.ready.is_empty()
            && let Some(due) = self.next_at.filter(|next| *next <= now)
        {
            self.next_at = Some(due + Duration::from_millis(self.plan.frame_ms));
            self.make(due, now, number, told);
        }
        self.ready.pop_front()
    }

    /// What the pictures from here on are coded with.
    fn config(&self) -> u32 {
        // The first keyframe is the first of `gops`.
        let gop = self.gops - 1;
        match self.plan.sets {
            Sets::InBand | Sets::Described => FIRST_CONFIG,
            Sets::Changing if gop.is_multiple_of(2) => gop.max(FIRST_CONFIG),
            Sets::Changing => gop + 1,
        }
    }

    fn make(&mut self, due: Duration, now: Duration, number: u8, told: &mut Pictures) {
        let began = *self.began_at.get_or_insert(due);
        let is_key = self.in_gop == 0;
        self.gops += u32::from(is_key);
        self.in_gop = (self.in_gop + 1) % self.plan.gop_frames;
        let config = self.config();
        let has_sets = is_key
            && match self.plan.sets {
                Sets::InBand => true,
                Sets::Described => false,
                Sets::Changing => self.gops.is_multiple_of(2),
            };
        let index = told.shown.len() as u32;
        let timestamp_ms = (due - began).as_millis() as u32;
        let (stream, epoch) = (self.stream, self.epoch);
        let stamp = Stamp { stream, epoch, index, config, timestamp_ms };
        let Shows { slices, slice_bytes, payload_bytes, aggregates, .. } = self.plan;
        // Nobody could tell that the very first packet is lost if it had nothing but that.
        let is_adorned = self.plan.is_adorned && index > 0;
        let slice_bytes = if is_key { slice_bytes } else { slice_bytes / 5 };
        let mut units = units(&stamp, Shape { is_key, slices, slice_bytes, is_adorned });
        if has_sets {
            // A delimiter is the very first.
            let at = usize::from(units[0][0] & 0x1f == DELIMITER);
            units.splice(at..at, access_unit::sets(&stamp));
        }
        let payloads = payloads(&units, payload_bytes, aggregates);
        let from = told.sent.len();
        let (last, timestamp) = (payloads.len() - 1, self.timestamp(due));
        for (payload, place) in payloads.iter().zip(0..) {
            let sequence = self.source.sequence.wrapping_add(self.packets as u16);
            let ssrc = self.source.ssrc;
            let spoken = Spoken { at: now, ssrc, sequence, timestamp, index };
            told.sent.push(spoken);
            self.packets += 1;
            self.bytes = self.bytes.wrapping_add(payload.len() as u32);
            self.ready.push_back(rtp::packet(&spoken, number, place == last, payload));
        }
        let begun = payloads.iter().take_while(|payload| begins(payload)).count();
        let packets = (from, told.sent.len());
        told.shown.push(Shown { at: now, is_key, begun, index, packets });
    }
}

/// Whether nothing of a picture can come before what is in a packet.
fn begins(payload: &[u8]) -> bool {
    let first = if payload[0] & 0x1f == STAP_A { payload.get(3) } else { payload.first() };
    first.is_some_and(|header| [DELIMITER, SPS].contains(&(header & 0x1f)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changing_sets_are_told_by_every_other_keyframe() {
        let plan = Shows {
            frame_ms: 40,
            gop_frames: 2,
            slices: 1,
            slice_bytes: 100,
            payload_bytes: 1_000,
            aggregates: false,
            is_adorned: false,
            sets: Sets::Changing,
            obeys: true,
        };
        let voice = Voice { stream: "x".to_owned(), epoch: 1 };
        let source = Source { ssrc: 1, sequence: 65_535, timestamp: 7 };
        let mut show = Show::new(plan, &voice, source);
        show.set(true, Duration::ZERO);
        let mut told = Pictures::default();
        let mut packets = Vec::new();
        for index in 0..10 {
            let now = Duration::from_millis(40 * index);
            packets.push(std::iter::from_fn(|| show.take_packet(now, 97, &mut told)).count());
        }
        assert_eq!(packets, [1, 1, 3, 1, 1, 1, 3, 1, 1, 1]);
        assert_eq!((told.sent[1].sequence, told.sent[1].timestamp), (0, 7 + 40 * 90));
        show.is_asked();
        show.take_packet(Duration::from_millis(400), 97, &mut told);
        assert!(told.shown[10].is_key && told.shown[10].packets == (14, 17));
    }
}
