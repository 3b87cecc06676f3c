//! RTP, RTCP and digits of one media line of a call.
//!
//! Input is `handle_*`; after it, and when [`Session::poll_timeout`] says so, [`Session::handle_timeout`] is called
//! and the `poll_*` are drained: media to play, digits of the peer, packets for RTP and for RTCP.
//! Both ports send from where they receive, to [`Session::remote_rtp`] and [`Session::remote_rtcp`].

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use thiserror::Error;

use super::{
    dtmf::{
        Digit, DtmfEvent, DtmfReceiver, DtmfReceiverConfig, DtmfSender, DtmfSenderConfig, QueueFull,
    },
    jitter_buffer::{JitterBuffer, JitterConfig, Playout},
    packet::{Packet, PayloadTypes},
    receiver::{Receiver, ReceiverConfig},
    rtcp::{self, Occasion, OwnSide, Rtcp, RtcpConfig},
    sender::{Sender, StreamStart},
    source::{SourceConfig, SourceFilter},
    statistics::Statistics,
};

/// Limits and rules of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Longest payload that is taken, bytes.
    pub max_payload_bytes: usize,
    /// Who may be listened to on the RTP port.
    pub rtp_source: SourceConfig,
    /// Who may be listened to on the RTCP port, where packets are seconds apart.
    pub rtcp_source: SourceConfig,
    /// Which streams are listened to.
    pub receiver: ReceiverConfig,
    /// How long packets are held, and how many.
    pub jitter: JitterConfig,
    /// When to report.
    pub rtcp: RtcpConfig,
    /// The peer's digits.
    pub dtmf_receiver: DtmfReceiverConfig,
    /// Our digits.
    pub dtmf_sender: DtmfSenderConfig,
}

/// Where the peer said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// For RTP.
    pub rtp: SocketAddr,
    /// For RTCP: the next port unless the SDP says otherwise (RFC 3605).
    pub rtcp: SocketAddr,
    /// Where its messages come from.
    pub signalling: IpAddr,
}

/// Why a digit is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendDigitError {
    /// No payload type for telephone events was agreed on.
    #[error("telephone events were not agreed on")]
    NotAgreed,
    /// Too many wait.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
}

/// The media's time when something was sent last.
#[derive(Clone, Copy, Debug)]
struct MediaClock {
    at: Duration,
    media_timestamp: u32,
    clock_rate: u32,
}

impl MediaClock {
    /// The media's time now, if it went on with ours.
    fn now(&self, now: Duration) -> u32 {
        let passed = now.saturating_sub(self.at).as_nanos() * u128::from(self.clock_rate);
        self.media_timestamp.wrapping_add((passed / 1_000_000_000) as u32)
    }
}

/// A media line.
#[derive(Debug)]
pub struct Session {
    max_payload_bytes: usize,
    payload_types: PayloadTypes,
    rtp_source: SourceFilter,
    rtcp_source: SourceFilter,
    receiver: Receiver,
    jitter_buffer: JitterBuffer,
    dtmf_receiver: DtmfReceiver,
    dtmf_sender: DtmfSender,
    sender: Sender,
    /// Packets, and bytes in them, of streams before it.
    sent_before: (u64, u64),
    /// Media time 0 is when the line began until media with a time of its own is sent.
    media_clock: Option<MediaClock>,
    began_at: Duration,
    last_sent_at: Option<Duration>,
    rtcp: Rtcp,
    has_ended: bool,
    invalid: u64,
    suppressed: u64,
}

impl Session {
    /// A line that begins at `now`. The entropy is in `start` and `rtcp_seed`.
    pub fn new(
        config: SessionConfig,
        payload_types: PayloadTypes,
        remote: Remote,
        start: StreamStart,
        rtcp_seed: u64,
        now: Duration,
    ) -> Self {
        Self {
            max_payload_bytes: config.max_payload_bytes,
            payload_types,
            rtp_source: SourceFilter::new(config.rtp_source, remote.rtp, remote.signalling),
            rtcp_source: SourceFilter::new(config.rtcp_source, remote.rtcp, remote.signalling),
            receiver: Receiver::new(config.receiver),
            jitter_buffer: JitterBuffer::new(config.jitter),
            dtmf_receiver: DtmfReceiver::new(config.dtmf_receiver),
            dtmf_sender: DtmfSender::new(config.dtmf_sender),
            sender: Sender::new(start),
            sent_before: (0, 0),
            media_clock: None,
            began_at: now,
            last_sent_at: None,
            rtcp: Rtcp::new(config.rtcp, rtcp_seed, now),
            has_ended: false,
            invalid: 0,
            suppressed: 0,
        }
    }

    /// Where to send RTP.
    pub fn remote_rtp(&self) -> SocketAddr {
        self.rtp_source.remote()
    }

    /// Where to send RTCP.
    pub fn remote_rtcp(&self) -> SocketAddr {
        self.rtcp_source.remote()
    }

    /// Everything counted.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            sent_packets: self.sent_before.0 + u64::from(self.sender.packets()),
            sent_octets: self.sent_before.1 + u64::from(self.sender.octets()),
            suppressed: self.suppressed,
            invalid: self.invalid,
            strangers: self.rtp_source.strangers(),
            rtcp_strangers: self.rtcp_source.strangers(),
            moves: self.rtp_source.moves(),
            receiver: self.receiver.counters(),
            lost: self.receiver.lost(),
            jitter: self.receiver.jitter(),
            jitter_buffer: self.jitter_buffer.counters(),
            held_packets: self.jitter_buffer.held_packets(),
            playout_delay: self.jitter_buffer.delay(),
            dtmf_received: self.dtmf_receiver.counters(),
            dtmf_sent: self.dtmf_sender.status(),
            rtcp: self.rtcp.counters(),
            remote_view: self.rtcp.remote_view(),
            round_trip: self.rtcp.round_trip(),
            is_bye_heard: self.rtcp.is_bye_heard(),
        }
    }

    /// Takes a datagram that came to the RTP port: a packet, or RTCP from a peer that sends both to one port. Whether it is
    /// valid, and the peer's.
    pub fn handle_rtp(&mut self, now: Duration, source: SocketAddr, datagram: &[u8]) -> bool {
        if rtcp::is_rtcp(datagram) {
            return self.rtp_source.hears(source) && self.handle_report(now, datagram);
        }
        let Ok(packet) = Packet::parse(datagram, &self.payload_types, self.max_payload_bytes)
        else {
            self.invalid += 1;
            return false;
        };
        if !self.rtp_source.handle_packet(now, source) {
            return false;
        }
        let is_media = !self.payload_types.are_events(packet.payload_type);
        self.receiver.handle_packet(now, packet, is_media);
        while let Some(received) = self.receiver.poll_packet() {
            if self.payload_types.are_events(received.payload_type) {
                self.dtmf_receiver.handle_packet(
                    now,
                    received.ext_timestamp,
                    received.clock_rate,
                    received.marker,
                    &received.payload,
                );
                self.jitter_buffer.handle_skipped(received);
            } else if received.payload.is_empty() {
                self.jitter_buffer.handle_skipped(received);
            } else {
                self.jitter_buffer.handle_packet(received);
            }
        }
        true
    }

    /// Takes a datagram that came to the RTCP port. Whether it is valid, and the peer's.
    pub fn handle_rtcp(&mut self, now: Duration, source: SocketAddr, datagram: &[u8]) -> bool {
        match rtcp::parse(datagram, self.sender.ssrc(), self.receiver.ssrc()) {
            None => {
                self.rtcp.count_invalid();
                false
            }
            Some(heard) => {
                let is_peers = self.rtcp_source.handle_packet(now, source);
                if is_peers {
                    self.rtcp.handle_heard(now, &heard);
                }
                is_peers
            }
        }
    }

    /// Takes RTCP that the peer has sent to the RTP port. Whether it is valid.
    fn handle_report(&mut self, now: Duration, datagram: &[u8]) -> bool {
        let heard = rtcp::parse(datagram, self.sender.ssrc(), self.receiver.ssrc());
        match &heard {
            Some(heard) => self.rtcp.handle_heard(now, heard),
            None => self.rtcp.count_invalid(),
        }
        heard.is_some()
    }

    /// Ends what has lasted too long.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.dtmf_receiver.handle_timeout(now);
    }

    /// The SDP says that the peer is elsewhere.
    pub fn set_remote(&mut self, remote: Remote) {
        self.rtp_source.set_remote(remote.rtp, remote.signalling);
        self.rtcp_source.set_remote(remote.rtcp, remote.signalling);
    }

    /// Other payload types were agreed on. Without telephone events no digit is sent any more.
    pub fn set_payload_types(&mut self, payload_types: PayloadTypes) {
        if payload_types.sent_events().is_none() {
            self.dtmf_sender.clear();
        }
        self.payload_types = payload_types;
    }

    /// What is sent from now on is another stream, which begins at `start`.
    pub fn send_as(&mut self, start: StreamStart) {
        self.sent_before.0 += u64::from(self.sender.packets());
        self.sent_before.1 += u64::from(self.sender.octets());
        self.sender = Sender::new(start);
        (self.media_clock, self.last_sent_at) = (None, None);
    }

    /// The peer stops to talk, or goes on: a packet from before whose stream is not known to be its own would else be heard then.
    pub fn hold(&mut self) {
        self.receiver.forget_probation();
    }

    /// The packet of some media for [`Session::remote_rtp`]. `media_timestamp` is media time in units of the payload type's
    /// clock, modulo 2^32. `None` while a digit is sent, after [`Session::bye`], and for a payload type that was not agreed on.
    pub fn send(
        &mut self,
        now: Duration,
        payload_type: u8,
        marker: bool,
        media_timestamp: u32,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let clock_rate = self.payload_types.sent_clock_rate(payload_type)?;
        if self.has_ended {
            return None;
        }
        self.media_clock = Some(MediaClock { at: now, media_timestamp, clock_rate });
        if self.dtmf_sender.is_sending() {
            self.suppressed += 1;
            return None;
        }
        self.last_sent_at = Some(now);
        Some(self.sender.packet(payload_type, marker, media_timestamp, payload))
    }

    /// Has a digit sent by [`Session::poll_rtp`], at the time that the media sent last has reached by then.
    ///
    /// # Errors
    /// Whatever [`SendDigitError`] says.
    pub fn send_digit(&mut self, now: Duration, digit: Digit) -> Result<(), SendDigitError> {
        if self.payload_types.sent_events().is_none() || self.has_ended {
            return Err(SendDigitError::NotAgreed);
        }
        Ok(self.dtmf_sender.queue(now, digit)?)
    }

    /// Ends our side: the last report, with a farewell, for [`Session::remote_rtcp`]. `None` if nothing was ever sent, when RFC
    /// 3550 §6.3.7 wants none, or if it was called before. `wall` is the time since the Unix epoch.
    pub fn bye(&mut self, now: Duration, wall: Duration) -> Option<Vec<u8>> {
        let is_known = self.last_sent_at.is_some() || self.rtcp.counters().sent > 0;
        if std::mem::replace(&mut self.has_ended, true) || !is_known {
            return None;
        }
        self.dtmf_sender.clear();
        Some(self.report(now, wall, Occasion::Bye))
    }

    fn report(&mut self, now: Duration, wall: Duration, occasion: Occasion) -> Vec<u8> {
        let own = OwnSide {
            ssrc: self.sender.ssrc(),
            rtp_timestamp: self.sender.timestamp(self.media_time(now)),
            packets: self.sender.packets(),
            octets: self.sender.octets(),
            last_sent_at: self.last_sent_at,
            reception: self.receiver.poll_report(),
        };
        self.rtcp.report(now, wall, &own, occasion)
    }

    /// The media's time now.
    fn media_time(&self, now: Duration) -> u32 {
        let clock = self.media_clock.unwrap_or_else(|| {
            let clock_rate =
                self.payload_types.sent_events().map_or(0, |(_, clock_rate)| clock_rate);
            MediaClock { at: self.began_at, media_timestamp: 0, clock_rate }
        });
        clock.now(now)
    }

    /// The next media whose time has come.
    pub fn poll_playout(&mut self, now: Duration) -> Option<Playout> {
        self.jitter_buffer.poll(now)
    }

    /// What the peer dials.
    pub fn poll_dtmf(&mut self) -> Option<DtmfEvent> {
        self.dtmf_receiver.poll()
    }

    /// The next packet of a digit of ours for [`Session::remote_rtp`].
    pub fn poll_rtp(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (payload_type, clock_rate) = self.payload_types.sent_events()?;
        let media_timestamp = self.media_time(now);
        let packet = self.dtmf_sender.poll(now, media_timestamp, clock_rate)?;
        self.last_sent_at = Some(now);
        Some(self.sender.packet(
            payload_type,
            packet.marker,
            packet.media_timestamp,
            &packet.payload,
        ))
    }

    /// Whether [`Session::poll_rtcp`] would give a report.
    pub fn is_report_due(&self, now: Duration) -> bool {
        !self.has_ended && self.rtcp.is_due(now)
    }

    /// A report for [`Session::remote_rtcp`] when it is time for one. `wall` is the time since the Unix epoch.
    pub fn poll_rtcp(&mut self, now: Duration, wall: Duration) -> Option<Vec<u8>> {
        self.is_report_due(now).then(|| self.report(now, wall, Occasion::Regular))
    }

    /// A report that tells the peer that a picture of its stream is lost (RFC 4585 §6.3.1), for [`Session::remote_rtcp`]. `None`
    /// while nothing is received, and after [`Session::bye`]. How often is the caller's affair.
    pub fn picture_loss(&mut self, now: Duration, wall: Duration) -> Option<Vec<u8>> {
        let of = self.receiver.ssrc().filter(|_| !self.has_ended)?;
        Some(self.report(now, wall, Occasion::PictureLoss(of)))
    }

    /// Whether the peer has told that it lost a picture of ours since this was asked last.
    pub fn take_picture_loss(&mut self) -> bool {
        self.rtcp.take_picture_loss()
    }

    /// When to drain and call [`Session::handle_timeout`] next, if nothing comes before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let rtcp = (!self.has_ended).then(|| self.rtcp.poll_timeout());
        let dtmf = [self.dtmf_sender.poll_timeout(), self.dtmf_receiver.poll_timeout()];
        [self.jitter_buffer.poll_timeout(), rtcp].into_iter().chain(dtmf).flatten().min()
    }
}

#[cfg(test)]
mod tests;
