//! The media of one call: packets between its phone and live streams, as long as the call is up.
//!
//! What the phone says passes the line's session (`rtp`), which puts it in order, and becomes messages of a publisher. What a
//! stream has becomes packets, which go out at the pace of their media. Nothing is transcoded: what has another codec than was
//! agreed on is left out and counted.
//!
//! A wake costs more than what it is for. So whatever would be due within [`MARGIN`] is done along with what the task woke for,
//! and a timer waits as much longer than it has to, in case a packet comes meanwhile: a phone that sends each 20 ms costs one
//! wake each 20 ms, in which what it said before is played, and what it is to hear is sent. Times in packets and messages are
//! those of the media, whenever they go out.

mod audio;
mod leg;
mod line;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{futures::OwnedNotified, mpsc},
    time::{Instant, sleep_until},
};
use tracing::{debug, info};

use self::audio::Audio;
pub(super) use self::line::Line;
use super::{
    NOTHING_DUE,
    notices::{Notice, Notices},
};
use crate::{
    env::{Env, UdpSocket},
    gateway::{Shared, count},
    live::{Frame, FrameKind, Subscriber, Taken},
    rtp::dtmf::{Digit, DtmfEvent},
    sdp::Negotiated,
    sip::agent::CallRef,
};

/// Longest packet that fits the links there are.
pub(super) const PACKET_BYTES_MAX: usize = 2_048;
/// How much earlier or later than it is due something may be done, so that less is done one by one.
const MARGIN: Duration = Duration::from_millis(5);
/// Packets that are taken before anything else is done.
const BATCH_MAX: usize = 32;

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
    audio: Option<Audio>,
    /// The phone has confirmed the call, or was heard.
    is_confirmed: bool,
    /// When the phone has not been heard for too long; `None` once that was told.
    silent_at: Option<Duration>,
    digits: u64,
}

/// What comes to a media task.
enum Received {
    Change(Change),
    /// The call is over.
    End,
    Rtp(usize, SocketAddr),
    Rtcp(usize, SocketAddr),
    /// A socket reports an error that an earlier datagram caused.
    Error,
}

/// What has come last to each socket.
struct Datagrams {
    rtp: [u8; PACKET_BYTES_MAX],
    rtcp: [u8; PACKET_BYTES_MAX],
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
            audio: None,
            is_confirmed: false,
            silent_at: None,
            digits: 0,
        }
    }

    /// Carries media until the call is over.
    pub(super) async fn run(mut self) {
        let mut datagrams = Datagrams { rtp: [0; _], rtcp: [0; _] };
        'call: loop {
            let instant = Instant::now();
            let now = instant - self.started_at;
            self.play_out((now, instant), now + MARGIN);
            // Made after what was published just now, and before frames are taken.
            let changed = self.line.subscriber.as_ref().map(Subscriber::changed);
            self.take_frames(now, instant);
            self.send(now).await;
            let due = self.due(instant);
            // What the stream has is taken in time for it to be sent behind what waits.
            let changed = changed.filter(|_| !self.audio.as_ref().is_some_and(Audio::has_queued));
            let mut received = tokio::select! {
                biased;
                received = self.receive(&mut datagrams) => Some(received),
                () = wait(changed) => None,
                // Made anew each time: one that is put off still wakes its thread when it was due before.
                () = sleep_until(due) => None,
            };
            for _ in 0..BATCH_MAX {
                let Some(next) = received else { break };
                let now = self.started_at.elapsed();
                match next {
                    Received::Change(Change::Agreed { agreed, peer }) => {
                        self.peer = peer;
                        self.apply(now, *agreed);
                    }
                    Received::Change(Change::Confirmed) => self.is_confirmed = true,
                    Received::Change(Change::SendDigits(digits)) => self.send_digits(now, &digits),
                    Received::End => break 'call,
                    Received::Rtp(length, source) => {
                        self.handle_rtp(now, source, &datagrams.rtp[..length]);
                    }
                    Received::Rtcp(length, source) => {
                        self.handle_rtcp(now, source, &datagrams.rtcp[..length]);
                    }
                    Received::Error => {}
                }
                received = tokio::select! {
                    biased;
                    received = self.receive(&mut datagrams) => Some(received),
                    () = std::future::ready(()) => None,
                };
            }
        }
        self.finish().await;
    }

    /// Waits for something to come. Cancel safe.
    async fn receive(&mut self, datagrams: &mut Datagrams) -> Received {
        tokio::select! {
            biased;
            change = self.changes.recv() => change.map_or(Received::End, Received::Change),
            received = self.rtp.recv_from(&mut datagrams.rtp) => {
                received.map_or(Received::Error, |(length, source)| Received::Rtp(length, source))
            }
            received = self.rtcp.recv_from(&mut datagrams.rtcp) => {
                received.map_or(Received::Error, |(length, source)| Received::Rtcp(length, source))
            }
        }
    }

    /// When the task is to wake at the latest.
    fn due(&self, instant: Instant) -> Instant {
        let audio = self.audio.as_ref().and_then(Audio::poll_timeout);
        let due = [audio, self.silent_at].into_iter().flatten().min();
        due.map_or_else(|| instant + NOTHING_DUE, |at| self.started_at + at + MARGIN)
    }

    fn handle_rtp(&mut self, now: Duration, source: SocketAddr, datagram: &[u8]) {
        let Some(audio) = &mut self.audio else { return };
        let session = &mut audio.leg.session;
        session.handle_rtp(now, source, datagram);
        if session.remote_rtp() == source {
            self.is_confirmed = true;
            self.hear(now);
        }
    }

    fn handle_rtcp(&mut self, now: Duration, source: SocketAddr, datagram: &[u8]) {
        let Some(audio) = &mut self.audio else { return };
        let session = &mut audio.leg.session;
        session.handle_rtcp(now, source, datagram);
        if session.remote_rtcp() == source {
            self.hear(now);
        }
    }

    /// The phone was heard, or begins to be expected.
    fn hear(&mut self, now: Duration) {
        self.silent_at = Some(now + Duration::from_millis(self.shared.config.rtp.silence_ms));
    }

    /// Whether the phone is to say something.
    fn is_expected(&self) -> bool {
        self.audio.as_ref().is_some_and(|audio| audio.leg.agreed.direction.receive)
    }

    /// Something was agreed on, for the first time or anew.
    fn apply(&mut self, now: Duration, agreed: Negotiated) {
        let Some(agreed) = agreed.audio else { return };
        if !agreed.direction.receive {
            self.play_out_all(now);
        }
        let was_expected = self.is_expected();
        match &mut self.audio {
            Some(audio) => audio.agree(agreed, self.peer),
            None => self.audio = Some(Audio::new(&self.shared, agreed, self.peer, now)),
        }
        // Silence was agreed on; from now on it is not any more.
        if !was_expected {
            self.hear(now);
        }
    }

    /// What the stream has that is new becomes packets.
    fn take_frames(&mut self, now: Duration, instant: Instant) {
        let Some(subscriber) = &mut self.line.subscriber else { return };
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
                    if let Some(audio) = &mut self.audio {
                        audio.clear();
                    }
                }
                Taken::Frames | Taken::Ended => {}
            }
        }
        if let Some(audio) = &mut self.audio {
            frames.iter().for_each(|frame| audio.push(now, frame));
        }
    }

    /// What the phone has said by `until` becomes messages of its stream.
    fn play_out(&mut self, now: (Duration, Instant), until: Duration) {
        if let Some(audio) = &mut self.audio {
            audio.play_out(now, until, self.line.publisher.as_mut(), &self.shared);
        }
    }

    /// What is held to be put in order was said before now.
    fn play_out_all(&mut self, now: Duration) {
        let until = now + Duration::from_millis(self.shared.config.rtp.max_delay_ms);
        self.play_out((now, Instant::now()), until);
    }

    fn send_digits(&mut self, now: Duration, digits: &[Digit]) {
        let Some(audio) = &mut self.audio else { return };
        for digit in digits {
            if let Err(error) = audio.leg.session.send_digit(now, *digit) {
                debug!(%error, "a digit is not sent");
            }
        }
    }

    /// Sends what is due, and tells of what the phone does.
    async fn send(&mut self, now: Duration) {
        let Some(audio) = &mut self.audio else { return };
        audio.leg.session.handle_timeout(now);
        while let Some(event) = audio.leg.session.poll_dtmf() {
            if let DtmfEvent::Begin { digit } = event {
                self.digits += 1;
                debug!(digit = %digit.to_char(), "a digit was dialled");
                self.notices.push(Notice::Digit(self.call, digit));
            }
        }
        audio.send(now, &self.rtp, self.is_confirmed).await;
        audio.leg.send_digits(now, &self.rtp).await;
        audio.leg.report(now, &self.shared.env, &self.rtcp, self.is_confirmed).await;
        if self.silent_at.take_if(|at| *at <= now).is_some() && self.is_expected() {
            self.notices.push(Notice::Silent(self.call));
        }
    }

    /// Says goodbye, and tells what was counted.
    async fn finish(mut self) {
        let now = self.started_at.elapsed();
        // What is held to be put in order was said before the phone hung up.
        self.play_out_all(now);
        let skipped = self.line.subscriber.as_ref().map_or(0, Subscriber::skipped_frames);
        count(&self.shared.counters.frames_skipped, skipped);
        self.line = Line::default();
        let Some(audio) = &mut self.audio else { return };
        audio.leg.finish(now, &self.shared.env, &self.rtcp).await;
        let (seen, dropped) = (audio.leg.session.statistics(), audio.dropped());
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
