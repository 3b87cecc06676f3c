//! What comes to the task of a call's media: datagrams at its sockets, and changes of the call.

use std::{io, net::SocketAddr};

use super::{Change, Changes};
use crate::{env::UdpSocket, gateway::phone::sockets::SocketPair, sdp::MediaKind};

/// Longest packet that fits the links there are.
pub(in crate::gateway::phone) const PACKET_BYTES_MAX: usize = 2_048;

/// What has come.
pub(super) enum Received<S> {
    Change(Change<S>),
    /// The call is over.
    End,
    /// A datagram of so many bytes, and from where.
    Rtp(MediaKind, usize, SocketAddr),
    Rtcp(MediaKind, usize, SocketAddr),
    /// A socket reports an error that an earlier datagram caused.
    Error,
}

/// What has come last to each socket.
#[derive(Default)]
pub(super) struct Datagrams {
    audio_rtp: Vec<u8>,
    audio_rtcp: Vec<u8>,
    video_rtp: Vec<u8>,
    video_rtcp: Vec<u8>,
}

impl Datagrams {
    pub(super) fn new() -> Self {
        Self { audio_rtp: buffer(), audio_rtcp: buffer(), ..Self::default() }
    }

    /// Waits for something to come. Cancel safe.
    pub(super) async fn receive<S: UdpSocket>(
        &mut self,
        changes: &mut Changes<S>,
        audio: &SocketPair<S>,
        video: Option<&SocketPair<S>>,
    ) -> Received<S> {
        if video.is_some() && self.video_rtp.is_empty() {
            (self.video_rtp, self.video_rtcp) = (buffer(), buffer());
        }
        tokio::select! {
            biased;
            change = changes.next() => change.map_or(Received::End, Received::Change),
            received = audio.rtp.recv_from(&mut self.audio_rtp) => {
                of(received, |length, source| Received::Rtp(MediaKind::Audio, length, source))
            }
            received = audio.rtcp.recv_from(&mut self.audio_rtcp) => {
                of(received, |length, source| Received::Rtcp(MediaKind::Audio, length, source))
            }
            received = from(video.map(|video| &video.rtp), &mut self.video_rtp) => {
                of(received, |length, source| Received::Rtp(MediaKind::Video, length, source))
            }
            received = from(video.map(|video| &video.rtcp), &mut self.video_rtcp) => {
                of(received, |length, source| Received::Rtcp(MediaKind::Video, length, source))
            }
        }
    }

    /// What has come as [`Received::Rtp`].
    pub(super) fn rtp(&self, kind: MediaKind, length: usize) -> &[u8] {
        match kind {
            MediaKind::Audio => &self.audio_rtp[..length],
            MediaKind::Video => &self.video_rtp[..length],
        }
    }

    /// What has come as [`Received::Rtcp`].
    pub(super) fn rtcp(&self, kind: MediaKind, length: usize) -> &[u8] {
        match kind {
            MediaKind::Audio => &self.audio_rtcp[..length],
            MediaKind::Video => &self.video_rtcp[..length],
        }
    }
}

fn buffer() -> Vec<u8> {
    vec![0; PACKET_BYTES_MAX]
}

fn of<S>(
    received: io::Result<(usize, SocketAddr)>,
    wrap: impl FnOnce(usize, SocketAddr) -> Received<S>,
) -> Received<S> {
    received.map_or(Received::Error, |(length, source)| wrap(length, source))
}

/// Waits for a datagram, if there is a socket.
async fn from(
    socket: Option<&impl UdpSocket>,
    datagram: &mut [u8],
) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(datagram).await,
        None => std::future::pending().await,
    }
}
