//! The media of one call: packets between its phone and live streams, as long as the call is up.
//!
//! What the phone says passes the line's session (`rtp`), which puts it in order, and becomes messages of a publisher. What a
//! stream has becomes packets, which go out at the pace of their media. Nothing is transcoded: what has another codec than was
//! agreed on is left out and counted.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{futures::OwnedNotified, mpsc},
    time::{Instant, sleep_until},
};
use tracing::{debug, info};

use super::{
    NOTHING_DUE,
    notices::{Notice, Notices},
    route::{Destination, Unreachable},
    session_config::{payload_types, session_config},
};
use crate::{
    bridge::{AudioFormat, AudioPacketizer, AudioPacketizerConfig, MediaClock, Pacer, to_flv},
    env::{Env, UdpSocket},
    gateway::{Shared, count},
    live::{Frame, FrameKind, Publisher, Subscriber, Taken},
    rtmp::message::{Message, type_id},
    rtp::{
        dtmf::{Digit, DtmfEvent},
        sender::StreamStart,
        session::{Remote, Session},
    },
    sdp::{Direction, MediaAgreement, Negotiated},
    sip::{agent::CallRef, dialog::is_hidden},
};

/// Longest packet that fits the links there are.
pub(super) const PACKET_BYTES_MAX: usize = 2_048;
/// Audio in a packet where the phone does not say what it likes, in milliseconds.
const PACKET_MS: u32 = 20;
/// Least and most that a phone may like.
const PACKET_MS_RANGE: std::ops::RangeInclusive<u32> = 10..=60;
/// How far a phone's clock may be from ours before the stream's time is set anew.
const DISCONTINUITY_MS_MAX: u32 = 1_000;
/// How much of a stream may wait to be sent: publishers write in bursts.
const QUEUE_MAX: Duration = Duration::from_millis(400);

/// What a media task is told.
#[derive(Debug)]
pub(super) enum Change {
    /// This holds from now on.
    Agreed {
        /// All of it.
        agreed: Box<Negotiated>,
        /// Where the phone's messages come from.
        peer: IpAddr,
    },
    /// The phone knows it. Whoever may have written another's address is not sent anything before.
    Confirmed,
    /// These are dialled, one after the other.
    SendDigits(Vec<Digit>),
}

/// The streams that a call is connected with.
#[derive(Debug)]
pub(super) struct Line {
    publisher: Option<Publisher>,
    subscriber: Option<Subscriber>,
}

impl Line {
    /// Publishes and plays what `destination` says.
    ///
    /// # Errors
    /// Somebody else publishes it, or there are too many streams; nothing has changed then.
    pub(super) fn connect<E: Env>(
        shared: &Shared<E>,
        destination: &Destination,
    ) -> Result<Self, Unreachable> {
        let publish = |name: &String| {
            shared.live.publish(name).map_err(|error| Unreachable::Publish(name.clone(), error))
        };
        let play = |name: &String| shared.live.subscribe(name, Instant::now());
        let subscriber = destination.play.as_ref().map(play).transpose()?;
        let publisher = destination.publish.as_ref().map(publish).transpose()?;
        Ok(Self { publisher, subscriber })
    }
}

/// What has been agreed on, at work.
struct Flow {
    agreed: MediaAgreement,
    session: Session,
    clock: MediaClock,
    clock_rate_hz: u32,
    packet_ms: u32,
    packetizer: AudioPacketizer,
    pacer: Pacer,
    /// When the phone was last heard, or last began to be expected.
    heard_at: Duration,
    is_silent: bool,
}

/// The media of one call.
pub(super) struct Media<E: Env> {
    shared: Arc<Shared<E>>,
    call: CallRef,
    /// Where the call's messages come from.
    peer: IpAddr,
    line: Line,
    rtp: E::UdpSocket,
    rtcp: E::UdpSocket,
    changes: mpsc::Receiver<Change>,
    notices: Arc<Notices>,
    started_at: Instant,
    /// Frames of the stream from before are old news to a phone.
    joined_at: Instant,
    flow: Option<Flow>,
    /// The phone has confirmed the call, or was heard.
    is_confirmed: bool,
    digits: u64,
}

/// What woke [`Media::run`].
enum Woken {
    Change(Change),
    /// The call is over.
    End,
    Rtp(usize, SocketAddr),
    Rtcp(usize, SocketAddr),
    Other,
}

impl<E: Env> Media<E> {
    pub(super) fn new(
        shared: Arc<Shared<E>>,
        call: CallRef,
        peer: IpAddr,
        line: Line,
        (rtp, rtcp): (E::UdpSocket, E::UdpSocket),
        changes: mpsc::Receiver<Change>,
        notices: Arc<Notices>,
    ) -> Self {
        let started_at = Instant::now();
        Self {
            shared,
            call,
            peer,
            line,
            rtp,
            rtcp,
            changes,
            notices,
            started_at,
            joined_at: started_at,
            flow: None,
            is_confirmed: false,
            digits: 0,
        }
    }

    fn now(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// Carries media until the call is over.
    pub(super) async fn run(mut self) {
        let (mut rtp, mut rtcp) = ([0; PACKET_BYTES_MAX], [0; PACKET_BYTES_MAX]);
        loop {
            let changed = self.line.subscriber.as_ref().map(Subscriber::changed);
            self.take_frames();
            self.flush().await;
            let due = self.due();
            let woken = tokio::select! {
                biased;
                change = self.changes.recv() => change.map_or(Woken::End, Woken::Change),
                received = self.rtp.recv_from(&mut rtp) => {
                    received.map_or(Woken::Other, |(length, source)| Woken::Rtp(length, source))
                }
                received = self.rtcp.recv_from(&mut rtcp) => {
                    received.map_or(Woken::Other, |(length, source)| Woken::Rtcp(length, source))
                }
                () = wait(changed) => Woken::Other,
                () = sleep_until(due) => Woken::Other,
            };
            let now = self.now();
            match woken {
                Woken::Change(Change::Agreed { agreed, peer }) => {
                    self.peer = peer;
                    self.apply(now, *agreed);
                }
                Woken::Change(Change::Confirmed) => self.is_confirmed = true,
                Woken::Change(Change::SendDigits(digits)) => self.send_digits(now, &digits),
                Woken::End => break,
                Woken::Rtp(length, source) => self.handle_rtp(now, source, &rtp[..length]),
                Woken::Rtcp(length, source) => self.handle_rtcp(now, source, &rtcp[..length]),
                Woken::Other => {}
            }
        }
        self.finish().await;
    }

    fn due(&self) -> Instant {
        let Some(flow) = &self.flow else { return Instant::now() + NOTHING_DUE };
        let silence = Duration::from_millis(self.shared.config.rtp.silence_ms);
        let silent_at = (!flow.is_silent).then_some(flow.heard_at + silence);
        let due = [flow.session.poll_timeout(), flow.pacer.poll_timeout(), silent_at];
        let due = due.into_iter().flatten().min();
        due.map_or_else(|| Instant::now() + NOTHING_DUE, |at| self.started_at + at)
    }

    fn handle_rtp(&mut self, now: Duration, source: SocketAddr, datagram: &[u8]) {
        let Some(flow) = &mut self.flow else { return };
        flow.session.handle_rtp(now, source, datagram);
        if flow.session.remote_rtp() == source {
            self.is_confirmed = true;
            (flow.heard_at, flow.is_silent) = (now, false);
        }
    }

    fn handle_rtcp(&mut self, now: Duration, source: SocketAddr, datagram: &[u8]) {
        let Some(flow) = &mut self.flow else { return };
        flow.session.handle_rtcp(now, source, datagram);
        if flow.session.remote_rtcp() == source {
            (flow.heard_at, flow.is_silent) = (now, false);
        }
    }

    /// Something was agreed on, for the first time or anew.
    fn apply(&mut self, now: Duration, agreed: Negotiated) {
        let Some(mut agreed) = agreed.audio else { return };
        if !agreed.direction.receive {
            // What is held to be put in order was said before.
            self.play_out(now + Duration::from_millis(self.shared.config.rtp.max_delay_ms));
        }
        // Whoever holds a call in the old way is at no address: where it was is where it will be, and it need not say anything.
        let is_nowhere = agreed.remote_rtp.ip().is_unspecified();
        if is_nowhere {
            agreed.direction = Direction { send: false, receive: false };
        }
        // A phone behind a NAT says an address of its own network; its packets come from where its messages do.
        for address in [&mut agreed.remote_rtp, &mut agreed.remote_rtcp] {
            if address.ip().is_unspecified() || is_hidden(address.ip(), self.peer) {
                address.set_ip(self.peer);
            }
        }
        let remote = Remote { rtp: agreed.remote_rtp, rtcp: agreed.remote_rtcp };
        let payload_types = payload_types(&agreed);
        let packet_ms = agreed.ptime_ms.filter(|ms| PACKET_MS_RANGE.contains(ms));
        let packet_ms = packet_ms.unwrap_or(PACKET_MS);
        let packetizer_config =
            AudioPacketizerConfig { packet_ms, ..AudioPacketizerConfig::default() };
        match &mut self.flow {
            Some(flow) => {
                if flow.agreed.codec != agreed.codec || flow.packet_ms != packet_ms {
                    flow.packet_ms = packet_ms;
                    flow.packetizer = AudioPacketizer::new(agreed.codec, packetizer_config);
                    flow.pacer = Pacer::new(agreed.codec.clock_rate_hz(), QUEUE_MAX);
                }
                // Silence was agreed on; from now on it is not any more.
                if !flow.agreed.direction.receive {
                    (flow.heard_at, flow.is_silent) = (now, false);
                }
                if !is_nowhere {
                    flow.session.set_remote(remote);
                }
                flow.session.set_payload_types(payload_types);
                flow.agreed = agreed;
            }
            None => {
                let mut entropy = [0; 18];
                self.shared.env.fill_random(&mut entropy);
                let (ssrc, rest) = entropy.split_first_chunk().expect("18 bytes");
                let (timestamp, rest) = rest.split_first_chunk().expect("14 bytes");
                let (sequence, rest) = rest.split_first_chunk().expect("10 bytes");
                let (seed, _) = rest.split_first_chunk().expect("8 bytes");
                let start = StreamStart {
                    ssrc: u32::from_be_bytes(*ssrc),
                    sequence: u16::from_be_bytes(*sequence),
                    timestamp: u32::from_be_bytes(*timestamp),
                };
                let seed = u64::from_be_bytes(*seed);
                let config = session_config(&self.shared.config, start.ssrc);
                let rate = agreed.codec.clock_rate_hz();
                self.flow = Some(Flow {
                    session: Session::new(config, payload_types, remote, start, seed, now),
                    clock: MediaClock::new(rate, DISCONTINUITY_MS_MAX),
                    clock_rate_hz: rate,
                    packet_ms,
                    packetizer: AudioPacketizer::new(agreed.codec, packetizer_config),
                    pacer: Pacer::new(rate, QUEUE_MAX),
                    heard_at: now,
                    is_silent: false,
                    agreed,
                });
            }
        }
    }

    /// What the stream has that is new becomes packets.
    fn take_frames(&mut self) {
        let Some(subscriber) = &mut self.line.subscriber else { return };
        let (instant, now) = (Instant::now(), self.started_at.elapsed());
        let (mut frames, joined_at) = (Vec::<Arc<Frame>>::new(), self.joined_at);
        loop {
            let taken = subscriber.take(instant, |frame| {
                if frame.kind == FrameKind::Audio && frame.arrived_at >= joined_at {
                    frames.push(frame);
                }
                true
            });
            match taken {
                Taken::Nothing => break,
                // What is left of the publish before is not to be heard in this one.
                Taken::Began | Taken::Joined => {
                    frames.clear();
                    if let Some(flow) = &mut self.flow {
                        flow.pacer.clear();
                    }
                }
                Taken::Frames | Taken::Ended => {}
            }
        }
        let Some(flow) = self.flow.as_mut().filter(|flow| flow.agreed.direction.send) else {
            return;
        };
        for frame in frames {
            for packet in flow.packetizer.handle_message(frame.timestamp_ms, &frame.payload) {
                flow.pacer.push(now, packet);
            }
        }
    }

    /// What the phone has said by `until` becomes messages of its stream.
    fn play_out(&mut self, until: Duration) {
        let now = self.started_at.elapsed();
        let Some(flow) = &mut self.flow else { return };
        while let Some(playout) = flow.session.poll_playout(until) {
            let Some(publisher) = &mut self.line.publisher else { continue };
            let formats = flow.agreed.receive_formats.iter();
            let mut formats = formats.filter(|format| format.payload_type == playout.payload_type);
            let format = formats.next().and_then(|format| AudioFormat::of(format.codec));
            let Some(format) = format.filter(|_| flow.agreed.direction.receive) else { continue };
            if playout.clock_rate != flow.clock_rate_hz {
                flow.clock_rate_hz = playout.clock_rate;
                flow.clock = MediaClock::new(playout.clock_rate, DISCONTINUITY_MS_MAX);
            } else if playout.discontinuity {
                flow.clock.reanchor();
            }
            let timestamp_ms =
                flow.clock.handle_timestamp(playout.ext_timestamp, now.as_millis() as u64);
            let payload = to_flv(format, &playout.payload);
            let message = Message { type_id: type_id::AUDIO, stream_id: 0, timestamp_ms, payload };
            if let Err(error) = publisher.push(message, Instant::now()) {
                count(&self.shared.counters.messages_dropped, 1);
                debug!(%error, "what a phone said was left out");
            }
        }
    }

    fn send_digits(&mut self, now: Duration, digits: &[Digit]) {
        let Some(flow) = &mut self.flow else { return };
        for digit in digits {
            if let Err(error) = flow.session.send_digit(now, *digit) {
                debug!(%error, "a digit is not sent");
            }
        }
    }

    /// Does what it is time for.
    async fn flush(&mut self) {
        let now = self.now();
        let wall = self.wall();
        self.play_out(now);
        let silence = Duration::from_millis(self.shared.config.rtp.silence_ms);
        let Some(flow) = &mut self.flow else { return };
        flow.session.handle_timeout(now);
        while let Some(event) = flow.session.poll_dtmf() {
            if let DtmfEvent::Begin { digit } = event {
                self.digits += 1;
                debug!(digit = %digit.to_char(), "a digit was dialled");
                self.notices.push(Notice::Digit(self.call, digit));
            }
        }
        let rtp_to = flow.session.remote_rtp();
        while let Some(packet) = flow.pacer.poll(now) {
            if !flow.agreed.direction.send || !self.is_confirmed {
                continue;
            }
            let payload_type = flow.agreed.send_payload_type;
            let datagram = flow.session.send(
                now,
                payload_type,
                packet.marker,
                packet.timestamp,
                &packet.payload,
            );
            if let Some(datagram) = datagram {
                // A phone that is not there any more is told of by its silence.
                let _ = self.rtp.send_to(&datagram, rtp_to).await;
            }
        }
        while let Some(datagram) = flow.session.poll_rtp(now) {
            let _ = self.rtp.send_to(&datagram, rtp_to).await;
        }
        if let Some(report) = flow.session.poll_rtcp(now, wall).filter(|_| self.is_confirmed) {
            let _ = self.rtcp.send_to(&report, flow.session.remote_rtcp()).await;
        }
        let is_expected = flow.agreed.direction.receive;
        if !flow.is_silent && now >= flow.heard_at + silence {
            flow.is_silent = true;
            if is_expected {
                self.notices.push(Notice::Silent(self.call));
            }
        }
    }

    fn wall(&self) -> Duration {
        let wall = self.shared.env.wall_clock().duration_since(SystemTime::UNIX_EPOCH);
        wall.unwrap_or_default()
    }

    /// Says goodbye, and tells what was counted.
    async fn finish(mut self) {
        let (now, wall) = (self.now(), self.wall());
        // What is held to be put in order was said before the phone hung up.
        self.play_out(now + Duration::from_millis(self.shared.config.rtp.max_delay_ms));
        let skipped = self.line.subscriber.as_ref().map_or(0, Subscriber::skipped_frames);
        count(&self.shared.counters.frames_skipped, skipped);
        self.line = Line { publisher: None, subscriber: None };
        let Some(flow) = &mut self.flow else { return };
        if let Some(report) = flow.session.bye(now, wall) {
            let _ = self.rtcp.send_to(&report, flow.session.remote_rtcp()).await;
        }
        let seen = flow.session.statistics();
        let dropped = flow.packetizer.dropped_messages() + flow.pacer.dropped();
        count(&self.shared.counters.messages_dropped, dropped);
        info!(
            peer = %self.peer,
            sent = seen.sent_packets,
            received = seen.receiver.received,
            lost = seen.lost,
            strangers = seen.strangers,
            invalid = seen.invalid,
            late = seen.jitter_buffer.late,
            digits = self.digits,
            dropped,
            "media of a call"
        );
    }
}

/// Waits for the stream to change, if there is one.
async fn wait(changed: Option<OwnedNotified>) {
    match changed {
        Some(changed) => changed.await,
        None => std::future::pending().await,
    }
}
