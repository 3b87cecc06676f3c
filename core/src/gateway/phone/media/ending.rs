//! How media of a call end: with a goodbye, and with what was counted told.

use std::{net::IpAddr, time::Duration};

use tracing::info;

use super::{Line, Media, leg::Leg};
use crate::{
    env::{Env, UdpSocket},
    gateway::{Shared, count, phone::sockets::SocketPair},
    live::Subscriber,
    sdp::MediaKind,
};

impl<E: Env> Media<E> {
    /// There is no audio in the call any more: says goodbye, and tells what was counted.
    pub(super) async fn end_audio(&mut self, now: Duration) {
        let Some(mut audio) = self.audio.take() else { return };
        let SocketPair { rtp, rtcp, .. } = &self.audio_sockets;
        audio.leg.finish(now, &self.shared.env, rtcp).await;
        let kernel_dropped = since(&mut self.kernel_dropped.0, rtp.dropped().await);
        let kind = MediaKind::Audio;
        tell(&self.shared, self.peer, kind, &audio.leg, audio.dropped(), kernel_dropped);
    }

    /// The same of video.
    pub(super) async fn end_video(&mut self, now: Duration) {
        let Some(mut video) = self.video.take() else { return };
        let Some(SocketPair { rtp, rtcp, .. }) = self.video_sockets.as_deref() else { return };
        video.leg.finish(now, &self.shared.env, rtcp).await;
        let kernel_dropped = since(&mut self.kernel_dropped.1, rtp.dropped().await);
        let (peer, kind) = (self.peer, MediaKind::Video);
        tell(&self.shared, peer, kind, &video.leg, video.dropped(), kernel_dropped);
        let losses_told = video.leg.session.statistics().rtcp.picture_losses;
        let dropped_pictures = video.dropped_pictures();
        info!(%peer, dropped_pictures, losses_told, "pictures of a call");
    }

    /// Says goodbye, and tells what was counted.
    pub(super) async fn finish(mut self) {
        let now = self.started_at.elapsed();
        // What is held to be put in order was said before the phone hung up.
        self.play_out_all(now, true, true);
        let skipped = self.line.subscriber.as_ref().map_or(0, Subscriber::skipped_frames);
        count(&self.shared.counters.frames_skipped, skipped);
        self.line = Line::default();
        self.end_audio(now).await;
        self.end_video(now).await;
        let (digits, unagreed, peer) = (self.digits.told(), self.unagreed, self.peer);
        if unagreed > 0 {
            info!(%peer, unagreed, "packets came of media that was not agreed on");
        }
        if digits > 0 {
            info!(%peer, digits, "a phone has dialled");
        }
    }
}

/// By how much `all` is more than what was told of it before.
fn since(told: &mut u64, all: u64) -> u64 {
    all.saturating_sub(std::mem::replace(told, all))
}

/// Tells what was counted of one kind of media.
fn tell<E: Env>(
    shared: &Shared<E>,
    peer: IpAddr,
    kind: MediaKind,
    leg: &Leg,
    dropped: u64,
    kernel_dropped: u64,
) {
    let seen = leg.session.statistics();
    count(&shared.counters.messages_dropped, dropped);
    count(&shared.counters.packets_dropped, kernel_dropped);
    info!(
        %peer,
        kind = kind.as_str(),
        sent = seen.sent_packets,
        received = seen.receiver.received,
        lost = seen.lost,
        strangers = seen.strangers,
        invalid = seen.invalid,
        late = seen.jitter_buffer.late + seen.receiver.stale,
        withheld = leg.withheld,
        dropped,
        kernel_dropped,
        "media of a call"
    );
}
