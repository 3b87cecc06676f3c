//! The media of one call: packets between its phone and live streams, as long as the call is up.
//!
//! What the phone says passes the line's session (`rtp`), which puts it in order, and becomes messages of a publisher. What a
//! stream has becomes packets, which go out at the pace of their media. Nothing is transcoded: what has another codec than was
//! agreed on is left out and counted, and told of, so that it can be agreed on.
//!
//! A wake costs more than what it is for. So whatever would be due within [`EARLY`] is done along with what the task woke for,
//! and a timer waits [`LATE`] longer than it has to, in case a packet comes meanwhile: a phone that sends each 20 ms costs one
//! wake each 20 ms, in which what it said before is played, and what it is to hear is sent. Times in packets and messages are
//! those of the media, whenever they go out.

mod audio;
mod changes;
mod datagrams;
mod digits;
mod elsewhere;
mod ending;
mod leg;
mod line;
mod video;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::futures::OwnedNotified,
    time::{Instant, sleep_until},
};
use tracing::debug;

use self::{
    audio::Audio,
    datagrams::{Datagrams, Received},
    digits::{Digits, Way},
    leg::Leg,
    video::Video,
};
pub(super) use self::{
    changes::{Changes, Telling, changes},
    datagrams::PACKET_BYTES_MAX,
    line::Line,
};
use super::{
    NOTHING_DUE,
    notices::{Notice, Notices},
    sockets::SocketPair,
};
use crate::{
    bridge::digit_message::DigitMessage,
    env::Env,
    gateway::{Shared, count},
    live::{Frame, FrameKind, Publisher, Subscriber, Taken},
    rtp::{
        dtmf::{Digit, DtmfEvent},
        session::SendDigitError,
    },
    sdp::{Format, MediaAgreement, MediaKind, Negotiated},
    sip::agent::CallRef,
};

/// How much earlier than it is due something may be done, so that less is done one by one.
const EARLY: Duration = Duration::from_millis(5);
/// How much later. With [`EARLY`] it is 20 ms, from one packet of most phones to the next: whatever the phase of what is due, a
/// packet comes in time to do it.
const LATE: Duration = Duration::from_millis(15);
/// How far a phone's clock may be from ours before the stream's time is set anew.
const DISCONTINUITY_MS_MAX: u32 = 1_000;

/// What a media task is told.
#[derive(Debug)]
pub(super) enum Change<S> {
    /// There are sockets for video, which may be agreed on next.
    Video(Box<SocketPair<S>>),
    /// This holds from now on.
    Agreed {
        /// All of it.
        agreed: Box<Negotiated>,
        /// Where the phone's messages come from.
        peer: IpAddr,
    },
    /// Its audio may come in one of these, too, from now on: they were offered to it.
    Offered(Vec<Format>),
    /// The phone, which was called, has answered: this is where it is heard.
    Publish(Box<Publisher>),
    /// The phone knows it. Whoever may have written another's address is not sent anything before.
    Confirmed,
    /// These are to be sent, one after the other.
    SendDigits(Vec<Digit>),
    /// The phone has dialled a digit by SIP.
    Dialled(DigitMessage),
    /// The phone wants a picture that needs no other.
    KeyframeRequested,
}

/// The media of one call.
pub(super) struct Media<E: Env> {
    shared: Arc<Shared<E>>,
    call: CallRef,
    /// Where the call's messages come from.
    peer: IpAddr,
    /// Where those have come from that began it.
    first_peer: IpAddr,
    line: Line,
    audio_sockets: SocketPair<E::UdpSocket>,
    /// Kept to the end of the call, whether it has video or not.
    video_sockets: Option<Box<SocketPair<E::UdpSocket>>>,
    changes: Changes<E::UdpSocket>,
    notices: Arc<Notices>,
    started_at: Instant,
    audio: Option<Audio>,
    /// In a box: most calls have none.
    video: Option<Box<Video>>,
    /// When the phone confirmed the call, or was heard. Sound of the stream from before is old news to it.
    confirmed_at: Option<Instant>,
    /// When the phone has not been heard for too long; `None` once that was told.
    silent_at: Option<Duration>,
    digits: Digits,
    /// Packets of media of which nothing was agreed on. Those of somebody who is called may come before his answer (RFC 3264, section
    /// 5.1), which alone tells whose they are, and where he is.
    unagreed: u64,
    /// Datagrams of audio, and of video, that the system dropped, as far as that was told.
    kernel_dropped: (u64, u64),
}

impl<E: Env> Media<E> {
    pub(super) fn new(
        shared: Arc<Shared<E>>,
        call: CallRef,
        peer: IpAddr,
        line: Line,
        (audio_sockets, video_sockets): (
            SocketPair<E::UdpSocket>,
            Option<SocketPair<E::UdpSocket>>,
        ),
        changes: Changes<E::UdpSocket>,
        notices: Arc<Notices>,
    ) -> Self {
        Self {
            shared,
            call,
            peer,
            first_peer: peer,
            line,
            audio_sockets,
            video_sockets: video_sockets.map(Box::new),
            changes,
            notices,
            started_at: Instant::now(),
            audio: None,
            video: None,
            confirmed_at: None,
            silent_at: None,
            digits: Digits::default(),
            unagreed: 0,
            kernel_dropped: (0, 0),
        }
    }

    /// Carries media until the call is over.
    pub(super) async fn run(mut self) {
        let mut datagrams = Datagrams::new();
        loop {
            let instant = Instant::now();
            let now = instant - self.started_at;
            self.play_out((now, instant), now + EARLY);
            // Made after what was published just now, and before frames are taken.
            let changed = self.line.subscriber.as_ref().map(Subscriber::changed);
            self.take_frames(now, instant);
            self.send(now).await;
            let due = self.due(instant);
            let changed = changed.filter(|_| self.awaits_frames());
            let received = tokio::select! {
                biased;
                received = datagrams.receive(
                    &mut self.changes,
                    &self.audio_sockets,
                    self.video_sockets.as_deref(),
                ) => received,
                () = wait(changed) => continue,
                // Made anew each time: one that is put off still wakes its thread when it was due before.
                () = sleep_until(due) => continue,
            };
            let now = self.started_at.elapsed();
            match received {
                // Boxed, as its end is: what is seldom done takes no room in the meantime.
                Received::Change(change) => Box::pin(self.handle_change(now, change)).await,
                Received::End => break,
                Received::Rtp(kind, length, source) => {
                    self.handle_rtp(now, kind, source, datagrams.rtp(kind, length));
                }
                Received::Rtcp(kind, length, source) => {
                    self.handle_rtcp(now, kind, source, datagrams.rtcp(kind, length));
                }
                Received::Error => {}
            }
        }
        Box::pin(self.finish()).await;
    }

    /// When the task is to wake at the latest.
    fn due(&self, instant: Instant) -> Instant {
        let audio = self.audio.as_ref().and_then(Audio::poll_timeout);
        let (video, picture) = self.video.as_deref().map(Video::poll_timeouts).unwrap_or_default();
        let soft = [audio, video, self.silent_at].into_iter().flatten().min();
        let due = [soft.map(|at| at + LATE), picture].into_iter().flatten().min();
        due.map_or_else(|| instant + NOTHING_DUE, |at| self.started_at + at)
    }

    /// Whether to wake for what the stream has. What waits to be sent goes out before it, and is woken for.
    fn awaits_frames(&self) -> bool {
        let has_queued = self.audio.as_ref().is_some_and(Audio::has_queued);
        self.confirmed_at.is_some() && (self.video.is_some() || !has_queued)
    }

    fn leg(&mut self, kind: MediaKind) -> Option<&mut Leg> {
        match kind {
            MediaKind::Audio => self.audio.as_mut().map(|audio| &mut audio.leg),
            MediaKind::Video => self.video.as_mut().map(|video| &mut video.leg),
        }
    }

    async fn handle_change(&mut self, now: Duration, change: Change<E::UdpSocket>) {
        match change {
            Change::Video(sockets) => self.video_sockets = Some(sockets),
            Change::Agreed { agreed, peer } => {
                self.peer = peer;
                self.apply(now, *agreed).await;
            }
            Change::Offered(formats) => {
                if let Some(audio) = &mut self.audio {
                    audio.leg.expect(&formats);
                }
            }
            Change::Publish(publisher) => self.line.publisher = Some(*publisher),
            Change::Confirmed => self.confirm(now),
            Change::SendDigits(digits) => self.send_digits(now, &digits),
            Change::Dialled(dialled) => {
                self.handle_digit(now, Way::Info, dialled.digit, dialled.duration_ms);
            }
            Change::KeyframeRequested => {
                if let Some(video) = &mut self.video {
                    video.handle_keyframe_request();
                }
            }
        }
    }

    fn confirm(&mut self, now: Duration) {
        self.confirmed_at.get_or_insert(self.started_at + now);
    }

    fn handle_rtp(&mut self, now: Duration, kind: MediaKind, source: SocketAddr, datagram: &[u8]) {
        let silence_ms = self.shared.config.rtp.silence_ms;
        let Some(leg) = self.leg(kind) else {
            self.unagreed += 1;
            return;
        };
        if leg.session.handle_rtp(now, source, datagram) && leg.session.remote_rtp() == source {
            leg.elsewhere.handle_heard(now, silence_ms);
            self.confirm(now);
            self.hear(now);
        }
    }

    fn handle_rtcp(&mut self, now: Duration, kind: MediaKind, source: SocketAddr, datagram: &[u8]) {
        let silence_ms = self.shared.config.rtp.silence_ms;
        let Some(leg) = self.leg(kind) else { return };
        if leg.session.handle_rtcp(now, source, datagram) && leg.session.remote_rtcp() == source {
            // Reports from elsewhere do not tell that anybody wants what goes there.
            if leg.session.remote_rtp().ip().to_canonical() == source.ip().to_canonical() {
                leg.elsewhere.handle_heard(now, silence_ms);
            }
            self.hear(now);
        }
    }

    /// The phone was heard, or begins to be expected.
    fn hear(&mut self, now: Duration) {
        self.silent_at = Some(now + Duration::from_millis(self.shared.config.rtp.silence_ms));
    }

    /// Whether the phone is to say or to show something.
    fn is_expected(&self) -> bool {
        let receives = |leg: &Leg| leg.agreed.direction.receive;
        self.audio.as_ref().is_some_and(|audio| receives(&audio.leg))
            || self.video.as_ref().is_some_and(|video| receives(&video.leg))
    }

    /// Something was agreed on, for the first time or anew.
    async fn apply(&mut self, now: Duration, agreed: Negotiated) {
        let receives = |media: &MediaAgreement| media.direction.receive;
        let [hears, sees] =
            [&agreed.audio, &agreed.video].map(|media| media.as_ref().is_some_and(receives));
        self.play_out_all(now, !hears, !sees);
        let was_expected = self.is_expected();
        match (agreed.audio, &mut self.audio) {
            (Some(agreed), Some(audio)) => audio.agree(&self.shared, agreed, self.peer),
            (Some(agreed), None) => {
                self.audio = Some(Audio::new(&self.shared, agreed, self.peer, now));
            }
            (None, _) => self.end_audio(now).await,
        }
        match (agreed.video, &mut self.video) {
            (Some(agreed), Some(video)) => video.agree(&self.shared, agreed, self.peer),
            (Some(agreed), None) => {
                self.video = Some(Box::new(Video::new(&self.shared, agreed, self.peer, now)));
            }
            (None, _) => self.end_video(now).await,
        }
        // Silence was agreed on; from now on it is not any more.
        if !was_expected {
            self.hear(now);
        }
    }

    /// What the stream has that is new becomes packets.
    fn take_frames(&mut self, now: Duration, instant: Instant) {
        let Some(confirmed_at) = self.confirmed_at else { return };
        let Some(subscriber) = &mut self.line.subscriber else { return };
        let mut frames = Vec::<Arc<Frame>>::new();
        let (mut audio, mut video) = (self.audio.as_mut(), self.video.as_deref_mut());
        loop {
            let taken = subscriber.take(instant, |frame| {
                let is_wanted = match frame.kind {
                    FrameKind::Audio => frame.arrived_at >= confirmed_at,
                    FrameKind::VideoHeader | FrameKind::Keyframe | FrameKind::Inter => {
                        video.is_some()
                    }
                    FrameKind::Metadata | FrameKind::Data | FrameKind::AudioHeader => false,
                };
                if is_wanted {
                    frames.push(frame);
                }
                true
            });
            match taken {
                Taken::Nothing => break,
                // What is left of the publish before is not to be heard in this one.
                Taken::Began | Taken::Joined => {
                    frames.clear();
                    audio.iter_mut().for_each(|audio| audio.clear());
                    video.iter_mut().for_each(|video| video.begin());
                }
                Taken::Frames | Taken::Ended => {}
            }
        }
        for frame in frames {
            match (frame.kind, &mut audio, &mut video) {
                (FrameKind::Audio, Some(audio), _) => {
                    if let Some(other) = audio.push(now, &frame) {
                        self.notices.push(Notice::OtherAudio(self.call, other));
                    }
                }
                (FrameKind::Audio, None, _) => {}
                (_, _, Some(video)) => video.push(&frame),
                (_, _, None) => {}
            }
        }
    }

    /// What the phone has said and shown by `until` becomes messages of its stream.
    fn play_out(&mut self, now: (Duration, Instant), until: Duration) {
        self.play_audio(now, until);
        self.play_video(now, until);
    }

    fn play_audio(&mut self, now: (Duration, Instant), until: Duration) {
        if let Some(audio) = &mut self.audio {
            audio.play_out(now, until, self.line.publisher.as_mut(), &self.shared);
        }
    }

    fn play_video(&mut self, now: (Duration, Instant), until: Duration) {
        if let Some(video) = &mut self.video
            && video.play_out(now, until, self.line.publisher.as_mut(), &self.shared)
        {
            self.notices.push(Notice::KeyframeNeeded(self.call));
        }
    }

    /// What is held to be put in order was said, and shown, before now.
    fn play_out_all(&mut self, now: Duration, audio: bool, video: bool) {
        let until = now + Duration::from_millis(self.shared.config.rtp.max_delay_ms);
        let now = (now, Instant::now());
        if audio {
            self.play_audio(now, until);
        }
        if video {
            self.play_video(now, until);
        }
    }

    fn send_digits(&mut self, now: Duration, digits: &[Digit]) {
        for digit in digits {
            let sent = match &mut self.audio {
                Some(audio) => audio.leg.session.send_digit(now, *digit),
                None => Err(SendDigitError::NotAgreed),
            };
            match sent {
                Ok(()) => {}
                Err(SendDigitError::NotAgreed) => {
                    self.notices.push(Notice::SendDigit(self.call, *digit));
                }
                Err(error @ SendDigitError::QueueFull(_)) => {
                    count(&self.shared.counters.digits_dropped, 1);
                    debug!(%error, "a digit is not sent");
                }
            }
        }
    }

    /// The phone has dialled a digit: its owner is told, and who plays its stream.
    fn handle_digit(&mut self, now: Duration, way: Way, digit: Digit, duration_ms: Option<u32>) {
        if !self.digits.handle(now, digit, way) {
            return;
        }
        debug!(digit = %digit.to_char(), ?way, "a digit was dialled");
        self.notices.push(Notice::Digit(self.call, digit));
        if let Some(publisher) = &mut self.line.publisher {
            let message = digits::message(now.as_millis() as u32, digit, duration_ms);
            let pushed = publisher.push(message, self.started_at + now);
            pushed.expect("a data message of ours makes sense");
        }
    }

    /// Sends what is due, and tells of what the phone does.
    async fn send(&mut self, now: Duration) {
        while let Some(audio) = &mut self.audio
            && let Some(event) = audio.leg.session.poll_dtmf()
        {
            if let DtmfEvent::Begin { digit } = event {
                self.handle_digit(now, Way::Rtp, digit, None);
            }
        }
        let (env, unheard_ms) = (&self.shared.env, self.shared.config.rtp.unheard_ms);
        let (is_confirmed, peer) = (self.confirmed_at.is_some(), self.first_peer);
        if let Some(audio) = &mut self.audio {
            let SocketPair { rtp, rtcp, .. } = &self.audio_sockets;
            audio.leg.session.handle_timeout(now);
            let is_open = is_confirmed && audio.leg.may_send(now, peer, unheard_ms);
            audio.send(now, rtp, is_open).await;
            audio.leg.report(now, env, rtcp, is_open).await;
        }
        if let (Some(video), Some(SocketPair { rtp, rtcp, .. })) =
            (&mut self.video, self.video_sockets.as_deref())
        {
            let is_open = is_confirmed && video.leg.may_send(now, peer, unheard_ms);
            video.send(now, rtp, is_open).await;
            video.tell_loss(now, env, rtcp, is_open).await;
            video.leg.report(now, env, rtcp, is_open).await;
        }
        if self.silent_at.take_if(|at| *at <= now).is_some() && self.is_expected() {
            self.notices.push(Notice::Silent(self.call));
        }
    }
}

/// Waits for the stream to change, if there is one.
async fn wait(changed: Option<OwnedNotified>) {
    match changed {
        Some(changed) => changed.await,
        None => std::future::pending().await,
    }
}
