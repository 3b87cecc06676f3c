//! What a phone says becomes sound of a stream, and the sound of a stream what it hears.

use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;
use tracing::debug;

use super::{DISCONTINUITY_MS_MAX, EARLY, leg::Leg};
use crate::{
    bridge::{
        AudioFormat, AudioPacketizer, AudioPacketizerConfig, MediaClock, Pacer, from_flv, to_flv,
    },
    env::{Env, UdpSocket},
    gateway::{Shared, count},
    live::{Frame, Publisher},
    rtmp::message::{Message, type_id},
    sdp::MediaAgreement,
};

/// Audio in a packet where the phone does not say what it likes, in milliseconds.
const PACKET_MS: u32 = 20;
/// Least and most that a phone may like.
const PACKET_MS_RANGE: std::ops::RangeInclusive<u32> = 10..=60;
/// How much of a stream may wait to be sent: publishers write in bursts.
const QUEUE_MAX: Duration = Duration::from_millis(400);
/// Least time from telling that the stream has something else to telling so again.
const OTHER_EVERY: Duration = Duration::from_secs(1);

/// The audio of a call.
pub(super) struct Audio {
    pub(super) leg: Leg,
    clock: MediaClock,
    clock_rate_hz: u32,
    packet_ms: u32,
    packetizer: AudioPacketizer,
    pacer: Pacer,
    /// Something was not sent, so that the next packet begins anew.
    has_left_out: bool,
    /// What the stream has instead of what was agreed on, in the first half of a message's first byte, and when that was told.
    other: Option<u8>,
    other_told_at: Option<Duration>,
}

impl Audio {
    pub(super) fn new<E: Env>(
        shared: &Shared<E>,
        agreed: MediaAgreement,
        peer: IpAddr,
        now: Duration,
    ) -> Self {
        let (rate, packet_ms) = (agreed.codec.clock_rate_hz(), packet_ms(&agreed));
        Self {
            clock: MediaClock::new(rate, DISCONTINUITY_MS_MAX),
            clock_rate_hz: rate,
            packet_ms,
            packetizer: packetizer(&agreed),
            pacer: Pacer::new(rate, QUEUE_MAX),
            has_left_out: false,
            other: None,
            other_told_at: None,
            leg: Leg::new(shared, agreed, peer, now),
        }
    }

    /// Something else was agreed on.
    pub(super) fn agree<E: Env>(
        &mut self,
        shared: &Shared<E>,
        agreed: MediaAgreement,
        peer: IpAddr,
    ) {
        self.other = None;
        let packet_ms = packet_ms(&agreed);
        if self.leg.agreed.codec != agreed.codec || self.packet_ms != packet_ms {
            self.packet_ms = packet_ms;
            self.packetizer = packetizer(&agreed);
            self.pacer = Pacer::new(agreed.codec.clock_rate_hz(), QUEUE_MAX);
        }
        self.leg.agree(shared, agreed, peer);
    }

    /// When something is to be done.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        [self.leg.session.poll_timeout(), self.pacer.poll_timeout()].into_iter().flatten().min()
    }

    /// Whether something waits to be sent.
    pub(super) fn has_queued(&self) -> bool {
        self.pacer.poll_timeout().is_some()
    }

    /// Drops what waits to be sent: it belongs to a publish that is over.
    pub(super) fn clear(&mut self) {
        self.pacer.clear();
    }

    /// Has sound of the stream sent. If the stream begins to have something else than what was agreed on, what that is: nothing for
    /// what no phone is sent.
    #[must_use]
    pub(super) fn push(&mut self, now: Duration, frame: &Frame) -> Option<Option<AudioFormat>> {
        if !self.leg.agreed.direction.send {
            self.has_left_out = true;
            return None;
        }
        for packet in self.packetizer.handle_message(frame.timestamp_ms, &frame.payload) {
            self.pacer.push(now, packet);
        }
        // A byte alone is silence.
        let header = *frame.payload.first().filter(|_| frame.payload.len() > 1)?;
        let format = from_flv(&frame.payload).map(|(format, _)| format);
        let is_agreed = format.is_some() && format == AudioFormat::of(self.leg.agreed.codec);
        let other = (!is_agreed).then_some(header >> 4);
        if other.is_none() || other == self.other {
            self.other = other;
            return None;
        }
        if self.other_told_at.is_some_and(|at| now < at + OTHER_EVERY) {
            return None;
        }
        (self.other, self.other_told_at) = (other, Some(now));
        Some(format)
    }

    /// Sends what is due, or leaves it out if the phone is not to be sent anything.
    pub(super) async fn send(&mut self, now: Duration, socket: &impl UdpSocket, is_open: bool) {
        while let Some(mut packet) = self.pacer.poll(now + EARLY) {
            if is_open && self.leg.agreed.direction.send {
                packet.marker |= std::mem::take(&mut self.has_left_out);
                self.leg.send(now, socket, packet).await;
            } else {
                self.leg.withheld += u64::from(!is_open);
                self.has_left_out = true;
            }
        }
        self.leg.send_digits(now, socket, is_open).await;
    }

    /// What the phone has said by `until` becomes messages of its stream.
    pub(super) fn play_out<E: Env>(
        &mut self,
        (now, instant): (Duration, Instant),
        until: Duration,
        publisher: Option<&mut Publisher>,
        shared: &Shared<E>,
    ) {
        let mut publisher = publisher;
        while let Some(playout) = self.leg.session.poll_playout(until) {
            let Some(publisher) = &mut publisher else { continue };
            let formats = self.leg.agreed.receive_formats.iter();
            let mut formats = formats.filter(|format| format.payload_type == playout.payload_type);
            let format = formats.next().and_then(|format| AudioFormat::of(format.codec));
            let is_wanted = self.leg.agreed.direction.receive;
            let Some(format) = format.filter(|_| is_wanted) else { continue };
            if playout.clock_rate != self.clock_rate_hz {
                self.clock_rate_hz = playout.clock_rate;
                self.clock = MediaClock::new(playout.clock_rate, DISCONTINUITY_MS_MAX);
            } else if playout.discontinuity {
                self.clock.reanchor();
            }
            let stream_ms = now.as_millis() as u64;
            let timestamp_ms = self.clock.handle_timestamp(playout.ext_timestamp, stream_ms);
            let payload = to_flv(format, &playout.payload);
            let message = Message { type_id: type_id::AUDIO, stream_id: 0, timestamp_ms, payload };
            if let Err(error) = publisher.push(message, instant) {
                count(&shared.counters.messages_dropped, 1);
                debug!(%error, "what a phone said was left out");
            }
        }
    }

    /// Messages of the stream that were not sent.
    pub(super) fn dropped(&self) -> u64 {
        self.packetizer.dropped_messages() + self.pacer.dropped()
    }
}

fn packet_ms(agreed: &MediaAgreement) -> u32 {
    agreed.ptime_ms.filter(|ms| PACKET_MS_RANGE.contains(ms)).unwrap_or(PACKET_MS)
}

fn packetizer(agreed: &MediaAgreement) -> AudioPacketizer {
    let packet_ms = packet_ms(agreed);
    let config = AudioPacketizerConfig { packet_ms, ..AudioPacketizerConfig::default() };
    AudioPacketizer::new(agreed.codec, config)
}
