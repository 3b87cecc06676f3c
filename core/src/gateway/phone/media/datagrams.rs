//! What comes to the task of a call's media: changes of the call, and datagrams at its sockets.
//!
//! Sockets take turns: one that is sent more than the task can take does not keep it from the others.

use std::{
    future::{pending, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    task::Poll,
};

use super::{Change, Changes};
use crate::{env::UdpSocket, gateway::phone::sockets::SocketPair, sdp::MediaKind};

/// Longest packet that fits the links there are.
pub(in crate::gateway::phone) const PACKET_BYTES_MAX: usize = 2_048;

/// RTP and RTCP of audio, and of video.
const SOCKETS: usize = 4;

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
    /// Which socket is looked at first, in this order.
    turn: usize,
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
        let Self { audio_rtp, audio_rtcp, video_rtp, video_rtcp, turn } = self;
        let audio_rtp = pin!(from(Some(&audio.rtp), audio_rtp));
        let audio_rtcp = pin!(from(Some(&audio.rtcp), audio_rtcp));
        let video_rtp = pin!(from(video.map(|video| &video.rtp), video_rtp));
        let video_rtcp = pin!(from(video.map(|video| &video.rtcp), video_rtcp));
        let mut sockets = [audio_rtp, audio_rtcp, video_rtp, video_rtcp];
        let datagram = poll_fn(|context| {
            for index in (0..sockets.len()).map(|later| (*turn + later) % SOCKETS) {
                if let Poll::Ready(received) = sockets[index].as_mut().poll(context) {
                    *turn = (index + 1) % SOCKETS;
                    return Poll::Ready((index, received));
                }
            }
            Poll::Pending
        });
        tokio::select! {
            biased;
            change = changes.next() => change.map_or(Received::End, Received::Change),
            (index, received) = datagram => match (index, received) {
                (_, Err(_)) => Received::Error,
                (0, Ok((length, source))) => Received::Rtp(MediaKind::Audio, length, source),
                (1, Ok((length, source))) => Received::Rtcp(MediaKind::Audio, length, source),
                (2, Ok((length, source))) => Received::Rtp(MediaKind::Video, length, source),
                (_, Ok((length, source))) => Received::Rtcp(MediaKind::Video, length, source),
            },
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

/// Waits for a datagram, if there is a socket.
async fn from(
    socket: Option<&impl UdpSocket>,
    datagram: &mut [u8],
) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(datagram).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::Arc,
        task::{Context, Waker},
        time::Duration,
    };

    use super::*;
    use crate::{
        gateway::phone::{media::changes, notices::Notices},
        rtp::ports::{PortConfig, PortPool},
    };

    /// A socket that always has something, or never.
    struct Flooded(bool);

    impl UdpSocket for Flooded {
        async fn send_to(&self, datagram: &[u8], _: SocketAddr) -> io::Result<usize> {
            Ok(datagram.len())
        }

        async fn recv_from(&self, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            match self.0 {
                true => Ok((1, self.local_addr())),
                false => pending().await,
            }
        }

        fn dropped(&self) -> impl Future<Output = u64> + Send {
            ready(0)
        }

        fn local_addr(&self) -> SocketAddr {
            SocketAddr::from(([192, 0, 2, 1], 7))
        }
    }

    fn pairs(flooded: [bool; 4]) -> [SocketPair<Flooded>; 2] {
        let config = PortConfig { first: 20_000, last: 20_003, quarantine_ms: 0 };
        let mut pool = PortPool::new(config, 0).unwrap();
        let [rtp, rtcp, video_rtp, video_rtcp] = flooded.map(Flooded);
        [(rtp, rtcp), (video_rtp, video_rtcp)].map(|pair| {
            let ports = pool.allocate(Duration::ZERO).unwrap();
            SocketPair::new(Arc::new(Notices::default()), ports, pair)
        })
    }

    /// The sockets from which the next eight datagrams are, by their numbers; fewer if nothing more comes.
    fn order(flooded: [bool; 4]) -> Vec<usize> {
        let [audio, video] = pairs(flooded);
        let (_telling, mut changes) = changes();
        let mut datagrams = Datagrams::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut next = || {
            let received = pin!(datagrams.receive(&mut changes, &audio, Some(&video)));
            Some(match received.poll(&mut context) {
                Poll::Ready(Received::Rtp(MediaKind::Audio, ..)) => 0,
                Poll::Ready(Received::Rtcp(MediaKind::Audio, ..)) => 1,
                Poll::Ready(Received::Rtp(MediaKind::Video, ..)) => 2,
                Poll::Ready(Received::Rtcp(MediaKind::Video, ..)) => 3,
                Poll::Ready(_) => panic!("nothing else comes"),
                Poll::Pending => return None,
            })
        };
        (0..8).map_while(|_| next()).collect()
    }

    #[test]
    fn a_socket_that_always_has_something_does_not_keep_the_task_from_the_others() {
        assert_eq!(order([true; 4]), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(order([true, false, true, false]), [0, 2, 0, 2, 0, 2, 0, 2]);
        assert_eq!(order([false, false, false, true]), [3; 8]);
        assert!(order([false; 4]).is_empty());
    }
}
