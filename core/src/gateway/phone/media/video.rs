//! What a phone shows becomes pictures of a stream, and the pictures of a stream what it sees. H.264 only, both ways.
//!
//! A stream's profile is not compared with what the phone says that it can: most can more, and for many phones the other choice is
//! no picture at all.
//!
//! Towards the phone: parameter sets and a keyframe first, then all that follows, until something has to be left out; then
//! nothing before the next keyframe. Who joins a publish in its midst begins at its newest keyframe. A publisher over RTMP cannot
//! be asked for a keyframe: a phone that asks, by INFO or by RTCP, gets the parameter sets again, in front of the next picture, and
//! the next keyframe when it comes.

use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;
use tracing::debug;

use super::{DISCONTINUITY_MS_MAX, leg::Leg};
use crate::{
    bridge::{
        DepacketizerConfig, H264Depacketizer, H264Packet, H264Packetizer, H264PacketizerConfig,
        MediaClock, PicturePacer, PicturePacerConfig, VideoEvent,
    },
    env::{Env, UdpSocket},
    gateway::{Shared, count},
    live::{Frame, FrameKind, Publisher},
    rtmp::message::{Message, type_id},
    sdp::MediaAgreement,
};

/// The video of a call.
pub(super) struct Video {
    pub(super) leg: Leg,
    clock: MediaClock,
    depacketizer: H264Depacketizer,
    packetizer: H264Packetizer,
    pacer: PicturePacer,
    /// Nothing can be sent before a keyframe.
    awaits_keyframe: bool,
    /// Something that the phone has shown was left out, and what follows may refer to it.
    has_left_out: bool,
    /// The phone is to be told by RTCP that a picture of its is lost.
    tells_loss: bool,
    /// Messages of the stream that were not sent.
    dropped: u64,
}

impl Video {
    pub(super) fn new<E: Env>(
        shared: &Shared<E>,
        agreed: MediaAgreement,
        peer: IpAddr,
        now: Duration,
    ) -> Self {
        let mut video = Self {
            clock: MediaClock::new(agreed.codec.clock_rate_hz(), DISCONTINUITY_MS_MAX),
            depacketizer: H264Depacketizer::new(DepacketizerConfig {
                keyframe_request_interval_ms: shared.config.rtp.keyframe_request_ms,
                ..DepacketizerConfig::default()
            }),
            packetizer: H264Packetizer::new(H264PacketizerConfig::default()),
            pacer: PicturePacer::new(PicturePacerConfig::default()),
            awaits_keyframe: true,
            has_left_out: false,
            tells_loss: false,
            dropped: 0,
            leg: Leg::new(shared, agreed, peer, now),
        };
        video.describe();
        video
    }

    /// Something else was agreed on.
    pub(super) fn agree<E: Env>(
        &mut self,
        shared: &Shared<E>,
        agreed: MediaAgreement,
        peer: IpAddr,
    ) {
        let is_described_anew = agreed.parameters != self.leg.agreed.parameters;
        self.leg.agree(shared, agreed, peer);
        if is_described_anew {
            self.describe();
        }
    }

    /// What the phone has said of its pictures, and of those that it takes.
    fn describe(&mut self) {
        self.packetizer.set_takes_parts(self.leg.agreed.takes_parts());
        if let Some(parameters) = &self.leg.agreed.parameters {
            self.depacketizer.describe(parameters);
        }
    }

    /// When something is to be done: what may wait a little, and what may not.
    pub(super) fn poll_timeouts(&self) -> (Option<Duration>, Option<Duration>) {
        (self.leg.session.poll_timeout(), self.pacer.poll_timeout())
    }

    /// Another publish begins.
    pub(super) fn begin(&mut self) {
        self.pacer.clear();
        self.awaits_keyframe = true;
    }

    /// The phone has lost its picture.
    pub(super) fn handle_keyframe_request(&mut self) {
        self.packetizer.repeat_parameter_sets();
    }

    /// Has a picture of the stream sent, or takes note of what it is coded with.
    pub(super) fn push(&mut self, frame: &Frame) {
        if frame.kind == FrameKind::VideoHeader {
            return self.configure(frame);
        }
        if !self.leg.agreed.direction.send {
            self.awaits_keyframe = true;
            return;
        }
        if frame.kind == FrameKind::Keyframe {
            if !self.packetizer.is_configured() {
                let mut headers = frame.headers.iter();
                let is_video =
                    |header: &&std::sync::Arc<Frame>| header.kind == FrameKind::VideoHeader;
                headers.find(is_video).into_iter().for_each(|header| self.configure(header));
            }
            self.awaits_keyframe = false;
        }
        if self.awaits_keyframe {
            self.dropped += 1;
            return;
        }
        let packets = self.packetizer.handle_message(frame.timestamp_ms, &frame.payload);
        // What does not fit, or makes no sense, is missed by those that refer to it.
        if !packets.is_ok_and(|packets| self.pacer.push(packets)) {
            self.dropped += 1;
            self.awaits_keyframe = true;
        }
    }

    fn configure(&mut self, header: &Frame) {
        if let Err(error) = self.packetizer.handle_message(header.timestamp_ms, &header.payload) {
            self.dropped += 1;
            debug!(%error, "a stream has pictures that its phone cannot show");
        }
    }

    /// Sends what is due, or leaves it out if the phone is not to be sent anything.
    pub(super) async fn send(&mut self, now: Duration, socket: &impl UdpSocket, is_open: bool) {
        if self.leg.session.take_picture_loss() {
            sometimes!("a phone tells of a lost picture by RTCP");
            self.handle_keyframe_request();
        }
        while let Some(packet) = self.pacer.poll(now) {
            if is_open && self.leg.agreed.direction.send {
                self.leg.send(now, socket, packet).await;
            } else {
                self.leg.withheld += u64::from(!is_open);
                self.awaits_keyframe = true;
            }
        }
    }

    /// Tells the phone that a picture of its is lost, if it is, and if the phone may be sent anything.
    pub(super) async fn tell_loss<E: Env>(
        &mut self,
        now: Duration,
        env: &E,
        socket: &E::UdpSocket,
        is_open: bool,
    ) {
        if std::mem::take(&mut self.tells_loss) && is_open {
            sometimes!("a phone is told by RTCP that a picture is lost");
            self.leg.tell_picture_loss(now, env, socket).await;
        }
    }

    /// What the phone has shown by `until` becomes messages of its stream. True if the phone is to be asked for a keyframe by INFO,
    /// since it listens to nothing else.
    pub(super) fn play_out<E: Env>(
        &mut self,
        (now, instant): (Duration, Instant),
        until: Duration,
        publisher: Option<&mut Publisher>,
        shared: &Shared<E>,
    ) -> bool {
        let (mut publisher, mut is_needed) = (publisher, false);
        while let Some(playout) = self.leg.session.poll_playout(until) {
            let is_heard = self.leg.agreed.direction.receive;
            let Some(publisher) = publisher.as_mut().filter(|_| is_heard) else {
                self.has_left_out = true;
                continue;
            };
            if playout.discontinuity {
                self.clock.reanchor();
                self.depacketizer.restart();
            }
            let packet = H264Packet {
                timestamp: playout.ext_timestamp,
                marker: playout.marker,
                lost_before: playout.lost_before > 0 || std::mem::take(&mut self.has_left_out),
                payload: &playout.payload,
            };
            for event in self.depacketizer.handle_packet(now, packet) {
                let (timestamp, payload) = match event {
                    VideoEvent::SequenceHeader { timestamp, body } => (timestamp, body),
                    VideoEvent::AccessUnit { timestamp, body, .. } => (timestamp, body),
                    VideoEvent::KeyFrameNeeded => {
                        is_needed = true;
                        continue;
                    }
                };
                let timestamp_ms = self.clock.handle_timestamp(timestamp, now.as_millis() as u64);
                let message =
                    Message { type_id: type_id::VIDEO, stream_id: 0, timestamp_ms, payload };
                if let Err(error) = publisher.push(message, instant) {
                    count(&shared.counters.messages_dropped, 1);
                    debug!(%error, "what a phone showed was left out");
                }
            }
        }
        let takes_rtcp = self.leg.agreed.picture_loss;
        self.tells_loss |= is_needed && takes_rtcp;
        is_needed && !takes_rtcp
    }

    /// Messages of the stream that were not sent.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Pictures of the phone that were incomplete, or referred to others that were.
    pub(super) fn dropped_pictures(&self) -> u64 {
        self.depacketizer.dropped_access_units()
    }
}
