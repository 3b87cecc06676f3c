//! Sockets of a phone for datagrams: one for SIP, and pairs for media, of which RTP has the even port.

use std::{
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use rehearsal_core::env::{Env, UdpSocket};

/// No datagram is longer.
pub(super) const DATAGRAM_BYTES: usize = 65_535;
/// Where ports for media begin.
const MEDIA_PORTS_FROM: u16 = 40_000;
/// All addresses of the host.
pub(super) const ANY_IP: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What came, and how long it is; it is in the buffer of its kind.
pub(super) enum Came {
    Sip(usize),
    Rtp(usize),
    Rtcp(usize),
    /// From who was at the former ports.
    FormerRtp(usize),
    FormerRtcp(usize),
}

/// Where what comes is put.
pub(super) struct Buffers([Vec<u8>; 5]);

impl Buffers {
    pub(super) fn new() -> Self {
        Self([(); 5].map(|()| vec![0; DATAGRAM_BYTES]))
    }

    /// The bytes of `came`.
    pub(super) fn of(&self, came: &Came) -> &[u8] {
        let (index, bytes) = match *came {
            Came::Sip(bytes) => (0, bytes),
            Came::Rtp(bytes) => (1, bytes),
            Came::Rtcp(bytes) => (2, bytes),
            Came::FormerRtp(bytes) => (3, bytes),
            Came::FormerRtcp(bytes) => (4, bytes),
        };
        &self.0[index][..bytes]
    }
}

/// Sockets for media.
pub(super) struct Pair<S> {
    pub(super) rtp: S,
    pub(super) rtcp: S,
}

/// Sockets of one phone.
pub(super) struct Line<S> {
    /// Without, it speaks SIP in another way.
    pub(super) sip: Option<S>,
    media: Pair<S>,
    /// Where media went before it moved, or will go once that is agreed on.
    other: Option<Pair<S>>,
}

impl<S: UdpSocket> Line<S> {
    /// Opens them, that of SIP at `sip_port`, or any for 0.
    pub(super) async fn open<E: Env<UdpSocket = S>>(
        env: &E,
        sip_port: Option<u16>,
    ) -> io::Result<Self> {
        // Media first, whose ports are certain ones: that of SIP may be any other.
        let media = pair(env, ANY_IP).await?;
        let sip = match sip_port {
            Some(port) => Some(env.bind_udp(SocketAddr::new(ANY_IP, port)).await?),
            None => None,
        };
        Ok(Self { sip, media, other: None })
    }

    /// Says something to `gateway` by a datagram.
    pub(super) async fn say(&self, message: &[u8], gateway: SocketAddr) {
        if let Some(sip) = &self.sip {
            // One that does not get away is a lost one.
            let _ = sip.send_to(message, gateway).await;
        }
    }

    pub(super) fn rtp(&self) -> &S {
        &self.media.rtp
    }

    pub(super) fn rtcp(&self) -> &S {
        &self.media.rtcp
    }

    /// Opens another pair to move to, at `ip`, and gives its port for RTP.
    pub(super) async fn prepare<E: Env<UdpSocket = S>>(
        &mut self,
        env: &E,
        ip: IpAddr,
    ) -> io::Result<u16> {
        self.other = None;
        let other = self.other.insert(pair(env, ip).await?);
        Ok(other.rtp.local_addr().port())
    }

    /// Media goes by `port` from now on, if it is that of the other pair; whether it did not before.
    pub(super) fn move_to(&mut self, port: u16) -> bool {
        match &mut self.other {
            Some(other) if other.rtp.local_addr().port() == port => {
                std::mem::swap(other, &mut self.media);
                true
            }
            _ => false,
        }
    }

    /// Media goes by another pair from now on; what is sent to the one before is lost.
    pub(super) async fn rebind<E: Env<UdpSocket = S>>(&mut self, env: &E) -> io::Result<()> {
        self.media = pair(env, ANY_IP).await?;
        Ok(())
    }

    /// Waits until something comes.
    pub(super) async fn receive(&self, buffers: &mut Buffers) -> io::Result<Came> {
        let [sip, rtp, rtcp, former_rtp, former_rtcp] = &mut buffers.0;
        let former = |of: fn(&Pair<S>) -> &S| self.other.as_ref().map(of);
        tokio::select! {
            biased;
            came = receive(self.sip.as_ref(), sip) => came.map(Came::Sip),
            came = self.media.rtp.recv_from(rtp) => came.map(|(bytes, _)| Came::Rtp(bytes)),
            came = self.media.rtcp.recv_from(rtcp) => came.map(|(bytes, _)| Came::Rtcp(bytes)),
            came = receive(former(|pair| &pair.rtp), former_rtp) => came.map(Came::FormerRtp),
            came = receive(former(|pair| &pair.rtcp), former_rtcp) => came.map(Came::FormerRtcp),
        }
    }
}

async fn receive<S: UdpSocket>(socket: Option<&S>, buf: &mut [u8]) -> io::Result<usize> {
    match socket {
        Some(socket) => socket.recv_from(buf).await.map(|(bytes, _)| bytes),
        None => pending().await,
    }
}

/// The next pair of ports at `ip` that nobody has.
pub(super) async fn pair<E: Env>(env: &E, ip: IpAddr) -> io::Result<Pair<E::UdpSocket>> {
    let at = |port| SocketAddr::new(ip, port);
    let mut port = MEDIA_PORTS_FROM;
    loop {
        let pair = match env.bind_udp(at(port)).await {
            Ok(rtp) => env.bind_udp(at(port + 1)).await.map(|rtcp| Pair { rtp, rtcp }),
            Err(error) => Err(error),
        };
        match pair {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port < u16::MAX - 3 => {
                port += 2;
            }
            pair => return pair,
        }
    }
}
