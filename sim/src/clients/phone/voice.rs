//! A phone's audio: what it says every 20 ms, and what it hears.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use super::{
    super::stamp::{Stamp, stream_hash},
    plan::{Codec, Direction, Voice},
    report::PhoneReport,
    report::Spoken,
    rtp::{self, Balance},
};

/// From one packet to the next.
const PACKET: Duration = Duration::from_millis(20);
/// From one report to the next.
const REPORT: Duration = Duration::from_secs(5);
/// Samples in a millisecond.
const SAMPLES_PER_MS: u64 = 8;
/// Seconds from the beginning of NTP's time to that of Unix.
const NTP_BEFORE_UNIX_S: u64 = 2_208_988_800;

/// Where a source begins to count.
pub(super) struct Source {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
}

/// Audio of one call.
pub(super) struct Speech {
    source: Source,
    voice: Option<Voice>,
    /// Where it goes while there is a call, in which codec, and who speaks.
    audio: Option<(SocketAddr, Codec, Direction)>,
    /// When the first packet was due.
    began_at: Option<Duration>,
    next_at: Option<Duration>,
    report_at: Option<Duration>,
    /// The next packet begins a talk spurt.
    begins: bool,
    /// Source, first and greatest sequence number, and number of packets of what is heard.
    balance: Option<(u32, u16, u32, u32)>,
}

impl Speech {
    pub(super) fn new(source: Source, voice: Option<Voice>) -> Self {
        Self {
            source,
            voice,
            audio: None,
            began_at: None,
            next_at: None,
            report_at: None,
            begins: true,
            balance: None,
        }
    }

    /// What was agreed on, at `now`.
    pub(super) fn agree(
        &mut self,
        audio: Option<(SocketAddr, Codec, Direction)>,
        now: Duration,
        report: &mut PhoneReport,
    ) {
        if self.audio == audio {
            return;
        }
        self.audio = audio;
        if let Some((_, codec, direction)) = audio {
            report.codec = Some(codec);
            report.directions.push((now, direction));
        }
        let speaks = audio.is_some_and(|(_, _, direction)| direction.sends());
        self.next_at = match (speaks && self.voice.is_some(), self.next_at) {
            (false, _) => None,
            (true, Some(next)) => Some(next),
            (true, None) => {
                self.begins = true;
                Some(now)
            }
        };
        // Who has no voice tells nothing of it either.
        let reports = audio.is_some() && self.voice.is_some();
        self.report_at = reports.then(|| self.report_at.unwrap_or(now + REPORT));
    }

    pub(super) fn next(&self) -> Option<Duration> {
        [self.next_at, self.report_at].into_iter().flatten().min()
    }

    /// The packet that is due, and where it goes.
    pub(super) fn take_packet(
        &mut self,
        now: Duration,
        report: &mut PhoneReport,
    ) -> Option<(Vec<u8>, SocketAddr)> {
        let due = self.next_at.filter(|next| *next <= now)?;
        let ((address, codec, _), voice) = (self.audio?, self.voice.as_ref()?);
        self.next_at = Some(due + PACKET);
        let began_at = *self.began_at.get_or_insert(due);
        let passed_ms = (due - began_at).as_millis() as u64;
        let passed = (passed_ms * SAMPLES_PER_MS) as u32;
        let index = report.spoken.len() as u32;
        let spoken = Spoken {
            at: now,
            sequence: self.source.sequence.wrapping_add(index as u16),
            timestamp: self.source.timestamp.wrapping_add(passed),
            index,
        };
        let stamp = Stamp {
            stream: stream_hash(&voice.stream),
            epoch: voice.epoch,
            index,
            config: 0,
            timestamp_ms: passed_ms as u32,
        };
        report.spoken.push(spoken);
        let begins = std::mem::take(&mut self.begins);
        let number = codec.payload_type();
        Some((rtp::packet(&spoken, self.source.ssrc, number, begins, &stamp), address))
    }

    /// The report that is due, and where it goes.
    pub(super) fn take_report(
        &mut self,
        now: Duration,
        wall_clock: SystemTime,
        report: &PhoneReport,
    ) -> Option<(Vec<u8>, SocketAddr)> {
        let due = self.report_at.filter(|at| *at <= now)?;
        let (address, ..) = self.audio?;
        self.report_at = Some(due + REPORT);
        let since_unix = wall_clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let fraction = (u64::from(since_unix.subsec_nanos()) << 32) / 1_000_000_000;
        let passed = self.began_at.map_or(Duration::ZERO, |began| now - began);
        let balance = Balance {
            ssrc: self.source.ssrc,
            ntp: (since_unix.as_secs() + NTP_BEFORE_UNIX_S) << 32 | fraction,
            timestamp: self
                .source
                .timestamp
                .wrapping_add((passed.as_micros() as u64 * SAMPLES_PER_MS / 1_000) as u32),
            packets: report.spoken.len() as u32,
            heard: self.balance,
        };
        let address = SocketAddr::new(address.ip(), address.port() + 1);
        Some((rtp::sender_report(&balance), address))
    }

    /// A datagram came at the port for RTP.
    pub(super) fn hear(&mut self, packet: &[u8], at: Duration, report: &mut PhoneReport) {
        let Some(heard) = rtp::heard(packet, at) else {
            report.unreadable += 1;
            return;
        };
        let number = u32::from(heard.sequence);
        let (ssrc, _, highest, came) =
            self.balance.get_or_insert((heard.ssrc, heard.sequence, number, 0));
        if *ssrc == heard.ssrc {
            let ahead = heard.sequence.wrapping_sub(*highest as u16) as i16;
            *highest += u32::try_from(ahead).unwrap_or(0);
            *came += 1;
        }
        report.heard.push(heard);
    }

    /// A datagram came at the port for RTCP.
    pub(super) fn is_told(&self, compound: &[u8], at: Duration, report: &mut PhoneReport) {
        match rtp::reports(compound, at) {
            None => report.unreadable += 1,
            Some((about, own)) => {
                let mine = about.into_iter().filter(|block| block.about == self.source.ssrc);
                report.reports.extend(mine);
                report.sender_reports.extend(own);
            }
        }
    }
}
