//! A phone's pictures: their sockets, what it shows, what it sees, and what is said of either by RTCP.

use std::{future::pending, io, net::SocketAddr, time::Duration};

use rehearsal_core::env::{Env, UdpSocket};

use super::{
    line::{ANY_IP, DATAGRAM_BYTES, Pair, pair},
    packets::Reading,
    plan::{Direction, Voice},
    rtp::{self, Balance},
    show::Show,
    video::{Asked, Pictures, Video},
    voice::{Source, ntp},
};

/// From one report to the next.
const REPORT: Duration = Duration::from_secs(5);

/// What was agreed on about the pictures of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AgreedVideo {
    /// Where they go.
    pub(super) to: SocketAddr,
    /// The number of H.264, as the gateway wants to see it.
    pub(super) number: u8,
    pub(super) direction: Direction,
    pub(super) tells_by_rtcp: bool,
}

/// What came, and how long it is.
pub(super) enum Sight {
    Rtp(usize),
    Rtcp(usize),
}

/// Pictures of one call.
pub(super) struct Screen<S> {
    /// Without, the phone has none.
    media: Option<Pair<S>>,
    buffers: [Vec<u8>; 2],
    show: Option<Show>,
    reading: Reading,
    agreed: Option<AgreedVideo>,
    report_at: Option<Duration>,
    /// As what it reports that shows nothing.
    ssrc: u32,
    /// The source that is seen.
    seen: Option<u32>,
    told: Pictures,
}

impl<S: UdpSocket> Screen<S> {
    /// Opens it for a phone with `video`, whose pictures are of the stream of `voice`.
    pub(super) async fn open<E: Env<UdpSocket = S>>(
        env: &E,
        (video, voice): (Option<&Video>, Option<&Voice>),
        source: impl FnOnce() -> Source,
    ) -> io::Result<Self> {
        let mut screen = Self {
            media: None,
            buffers: Default::default(),
            show: None,
            reading: Reading::default(),
            agreed: None,
            report_at: None,
            ssrc: 0,
            seen: None,
            told: Pictures::default(),
        };
        if let Some(video) = video {
            screen.reading = Reading::new(video.whole_units);
            screen.media = Some(pair(env, ANY_IP).await?);
            screen.buffers = [(); 2].map(|()| vec![0; DATAGRAM_BYTES]);
            let source = source();
            screen.ssrc = source.ssrc;
            screen.show = video
                .shows
                .clone()
                .zip(voice)
                .map(|(shows, voice)| Show::new(shows, voice, source));
        }
        Ok(screen)
    }

    /// Its port for RTP.
    pub(super) fn port(&self) -> Option<u16> {
        self.media.as_ref().map(|media| media.rtp.local_addr().port())
    }

    /// What was agreed on, at `now`.
    pub(super) fn agree(&mut self, agreed: Option<AgreedVideo>, now: Duration) {
        if self.agreed == agreed {
            return;
        }
        self.agreed = agreed;
        let direction = agreed.map(|agreed| agreed.direction);
        let (sends, receives) = direction.map_or((false, false), |it| (it.sends(), it.receives()));
        let shows = sends && self.show.is_some();
        self.told.agreed.push((now, shows, receives));
        if let Some(show) = &mut self.show {
            show.set(shows, now);
        }
        self.report_at = agreed.map(|_| self.report_at.unwrap_or(now + REPORT));
    }

    pub(super) fn next(&self) -> Option<Duration> {
        let show = self.show.as_ref().and_then(Show::next);
        [show, self.report_at].into_iter().flatten().min()
    }

    /// Sends what is due; what does not get away is lost.
    pub(super) async fn send(&mut self, now: Duration, wall_clock: std::time::SystemTime) {
        let (Some(media), Some(agreed)) = (&self.media, self.agreed) else { return };
        while let Some(packet) =
            self.show.as_mut().and_then(|show| show.take_packet(now, agreed.number, &mut self.told))
        {
            let _ = media.rtp.send_to(&packet, agreed.to).await;
        }
        if let Some(due) = self.report_at.filter(|at| *at <= now) {
            self.report_at = Some(due + REPORT);
            let balance = self.balance(now, wall_clock);
            self.told.told.push(balance.told(now));
            let report = rtp::sender_report(&balance);
            let _ = media.rtcp.send_to(&report, rtcp(agreed)).await;
        }
    }

    fn balance(&self, now: Duration, wall_clock: std::time::SystemTime) -> Balance {
        let show = self.show.as_ref();
        Balance {
            ssrc: show.map_or(self.ssrc, Show::ssrc),
            ntp: ntp(wall_clock),
            timestamp: show.map_or(0, |show| show.timestamp(now)),
            packets: show.map_or(0, |show| show.packets),
            bytes: show.map_or(0, |show| show.bytes),
            heard: None,
        }
    }

    /// Asks for a keyframe by RTCP, if that was agreed on. False if it is to be asked for in another way.
    pub(super) async fn ask(&mut self, now: Duration, wall_clock: std::time::SystemTime) -> bool {
        let Some(agreed) = self.agreed else { return true };
        self.told.asks.push((now, agreed.tells_by_rtcp));
        if let (true, Some(media), Some(of)) = (agreed.tells_by_rtcp, &self.media, self.seen) {
            let balance = self.balance(now, wall_clock);
            self.told.told.push(balance.told(now));
            let told = rtp::picture_loss(&balance, of);
            let _ = media.rtcp.send_to(&told, rtcp(agreed)).await;
        }
        agreed.tells_by_rtcp
    }

    /// The gateway asks for a keyframe.
    pub(super) fn is_asked(&mut self, at: Duration, by_rtcp: bool) {
        self.told.asked.push(Asked { at, by_rtcp });
        if let Some(show) = &mut self.show {
            show.is_asked();
        }
    }

    /// Waits until something comes.
    pub(super) async fn receive(&mut self) -> io::Result<Sight> {
        let Some(media) = &self.media else { return pending().await };
        let [rtp, rtcp] = &mut self.buffers;
        tokio::select! {
            biased;
            came = media.rtp.recv_from(rtp) => came.map(|(bytes, _)| Sight::Rtp(bytes)),
            came = media.rtcp.recv_from(rtcp) => came.map(|(bytes, _)| Sight::Rtcp(bytes)),
        }
    }

    /// What came, at `at`.
    pub(super) fn see(&mut self, sight: Sight, at: Duration) {
        match sight {
            Sight::Rtp(bytes) => self.see_packet(bytes, at),
            Sight::Rtcp(bytes) => {
                let compound = &self.buffers[1][..bytes];
                let lost = rtp::lost_pictures(compound);
                let own = self.show.as_ref().map(Show::ssrc);
                match rtp::reports(compound, at) {
                    Some((about, theirs)) => {
                        let mine = about.into_iter().filter(|block| Some(block.about) == own);
                        self.told.reports.extend(mine);
                        self.told.sender_reports.extend(theirs);
                    }
                    None => self.told.unreadable += 1,
                }
                if lost.iter().any(|of| Some(*of) == own) {
                    self.is_asked(at, true);
                }
            }
        }
    }

    fn see_packet(&mut self, bytes: usize, at: Duration) {
        let packet = &self.buffers[0][..bytes];
        match (rtp::heard(packet, at), rtp::payload(packet)) {
            (Some(heard), Some(payload)) => {
                self.seen = Some(heard.ssrc);
                self.told.seen.extend(self.reading.take(&heard, payload));
                self.told.came.push(heard);
            }
            _ => self.told.unreadable += 1,
        }
    }

    /// What it has to tell in the end.
    pub(super) fn finish(self) -> Pictures {
        self.told
    }
}

fn rtcp(agreed: AgreedVideo) -> SocketAddr {
    SocketAddr::new(agreed.to.ip(), agreed.to.port() + 1)
}
