//! One media line of a call, as it was agreed on: its session, and what goes through its sockets.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use super::elsewhere::Elsewhere;
use crate::{
    bridge::RtpPayload,
    env::{Env, UdpSocket},
    gateway::{
        Shared,
        phone::session_config::{payload_types, session_config},
    },
    rtp::{
        sender::StreamStart,
        session::{Remote, Session},
    },
    sdp::{Direction, Format, MediaAgreement},
    sip::behind_nat::is_hidden,
};

/// A media line at work.
pub(super) struct Leg {
    pub(super) agreed: MediaAgreement,
    pub(super) session: Session,
    pub(super) elsewhere: Elsewhere,
    /// Packets that were not sent because the phone is not to be sent anything.
    pub(super) withheld: u64,
}

impl Leg {
    /// A line that begins `now`, of a phone whose messages come from `peer`.
    pub(super) fn new<E: Env>(
        shared: &Shared<E>,
        mut agreed: MediaAgreement,
        peer: IpAddr,
        now: Duration,
    ) -> Self {
        settle(&mut agreed, peer);
        let (start, seed) = random_start(&shared.env);
        let config = session_config(&shared.config, agreed.codec.kind(), start.ssrc);
        let remote = remote(&agreed, peer);
        let session = Session::new(config, payload_types(&agreed), remote, start, seed, now);
        Self { agreed, session, elsewhere: Elsewhere::default(), withheld: 0 }
    }

    /// Something else was agreed on.
    pub(super) fn agree<E: Env>(
        &mut self,
        shared: &Shared<E>,
        mut agreed: MediaAgreement,
        peer: IpAddr,
    ) {
        // A source has one clock (RFC 7160, section 4.1).
        if agreed.codec.clock_rate_hz() != self.agreed.codec.clock_rate_hz() {
            self.session.send_as(random_start(&shared.env).0);
        }
        let was_at = self.session.remote_rtp().ip();
        // Where it was is where it will be.
        if settle(&mut agreed, peer) {
            self.session.set_remote(remote(&agreed, peer));
        }
        if self.session.remote_rtp().ip() != was_at {
            self.elsewhere.handle_move();
        }
        self.session.set_payload_types(payload_types(&agreed));
        if agreed.direction.receive != self.agreed.direction.receive {
            self.session.hold();
        }
        self.agreed = agreed;
    }

    /// It may come in one of `formats`, too.
    pub(super) fn expect(&mut self, formats: &[Format]) {
        let known = &mut self.agreed.receive_formats;
        for format in formats {
            if known.iter().all(|it| it.payload_type != format.payload_type) {
                known.push(*format);
            }
        }
        self.session.set_payload_types(payload_types(&self.agreed));
    }

    /// Whether the phone, whose messages come from `peer`, may be sent media where it is.
    pub(super) fn may_send(&mut self, now: Duration, peer: IpAddr, unheard_ms: u64) -> bool {
        self.elsewhere.may_send(now, self.session.remote_rtp().ip(), peer, unheard_ms)
    }

    /// Sends media.
    pub(super) async fn send(
        &mut self,
        now: Duration,
        socket: &impl UdpSocket,
        packet: RtpPayload,
    ) {
        let RtpPayload { payload, timestamp, marker } = packet;
        let payload_type = self.agreed.send_payload_type;
        let datagram = self.session.send(now, payload_type, marker, timestamp, &payload);
        if let Some(datagram) = datagram {
            // A phone that is not there any more is told of by its silence.
            let _ = socket.send_to(&datagram, self.session.remote_rtp()).await;
        }
    }

    /// Sends what is due of digits, or leaves it out if the phone is not to be sent anything.
    pub(super) async fn send_digits(
        &mut self,
        now: Duration,
        socket: &impl UdpSocket,
        is_open: bool,
    ) {
        while let Some(datagram) = self.session.poll_rtp(now) {
            if is_open {
                let _ = socket.send_to(&datagram, self.session.remote_rtp()).await;
            }
        }
    }

    /// Sends a report if it is time for one, or leaves it out if the phone is not to be sent anything.
    pub(super) async fn report<E: Env>(
        &mut self,
        now: Duration,
        env: &E,
        socket: &E::UdpSocket,
        is_open: bool,
    ) {
        if self.session.is_report_due(now)
            && let Some(report) = self.session.poll_rtcp(now, wall(env)).filter(|_| is_open)
        {
            let _ = socket.send_to(&report, self.session.remote_rtcp()).await;
        }
    }

    /// Tells the phone that a picture of its is lost, unless it is not to be sent anything.
    pub(super) async fn tell_picture_loss<E: Env>(
        &mut self,
        now: Duration,
        env: &E,
        socket: &E::UdpSocket,
    ) {
        if let Some(report) = self.session.picture_loss(now, wall(env)) {
            let _ = socket.send_to(&report, self.session.remote_rtcp()).await;
        }
    }

    /// Says goodbye.
    pub(super) async fn finish<E: Env>(&mut self, now: Duration, env: &E, socket: &E::UdpSocket) {
        if let Some(report) = self.session.bye(now, wall(env)) {
            let _ = socket.send_to(&report, self.session.remote_rtcp()).await;
        }
    }
}

/// Where a stream begins, and a seed.
fn random_start(env: &impl Env) -> (StreamStart, u64) {
    let mut entropy = [0; 18];
    env.fill_random(&mut entropy);
    let (ssrc, rest) = entropy.split_first_chunk().expect("18 bytes");
    let (timestamp, rest) = rest.split_first_chunk().expect("14 bytes");
    let (sequence, rest) = rest.split_first_chunk().expect("10 bytes");
    let (seed, _) = rest.split_first_chunk().expect("8 bytes");
    let start = StreamStart {
        ssrc: u32::from_be_bytes(*ssrc),
        sequence: u16::from_be_bytes(*sequence),
        timestamp: u32::from_be_bytes(*timestamp),
    };
    (start, u64::from_be_bytes(*seed))
}

fn remote(agreed: &MediaAgreement, peer: IpAddr) -> Remote {
    Remote { rtp: agreed.remote_rtp, rtcp: agreed.remote_rtcp, signalling: peer }
}

/// Puts right where the phone is said to be. False if it is nowhere: whoever holds a call in the old way is at no address, and
/// need not say anything.
fn settle(agreed: &mut MediaAgreement, peer: IpAddr) -> bool {
    let is_nowhere = agreed.remote_rtp.ip().is_unspecified();
    if is_nowhere {
        agreed.direction = Direction { send: false, receive: false };
    }
    // A phone behind a NAT says an address of its own network; its packets come from where its messages do.
    for address in [&mut agreed.remote_rtp, &mut agreed.remote_rtcp] {
        if address.ip().is_unspecified() || is_hidden(address.ip(), peer) {
            address.set_ip(peer);
        }
    }
    !is_nowhere
}

fn wall(env: &impl Env) -> Duration {
    env.wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
