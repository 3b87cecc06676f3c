//! A phone's audio: what it says and dials every 20 ms, and what it hears.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use super::{
    super::stamp::{Stamp, stream_hash},
    acts::{DIGIT_PACKETS, Dialled},
    call::is_dialled,
    codec::Codec,
    plan::{Direction, Voice},
    report::{PhoneReport, Pressed, Spoken},
    rtp::{self, Balance},
};

/// From one packet to the next.
const PACKET: Duration = Duration::from_millis(20);
/// From one report to the next.
const REPORT: Duration = Duration::from_secs(5);
/// Seconds from the beginning of NTP's time to that of Unix.
const NTP_BEFORE_UNIX_S: u64 = 2_208_988_800;

/// A time of day as NTP writes it.
pub(super) fn ntp(wall_clock: SystemTime) -> u64 {
    let since_unix = wall_clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since_unix.subsec_nanos()) << 32) / 1_000_000_000;
    (since_unix.as_secs() + NTP_BEFORE_UNIX_S) << 32 | fraction
}

/// Where a source begins to count.
pub(super) struct Source {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
}

/// What was agreed on about the audio of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Where it goes.
    pub(super) to: SocketAddr,
    pub(super) codec: Codec,
    /// Its number, as the gateway wants to hear it.
    pub(super) number: u8,
    /// Number of what is dialled.
    pub(super) events: Option<u8>,
    pub(super) direction: Direction,
    /// The call is not up yet.
    pub(super) is_early: bool,
}

/// A key that is down.
struct KeyDown {
    dialled: Dialled,
    timestamp: u32,
    /// How many packets of it there were.
    steps: u32,
}

/// Audio of one call.
pub(super) struct Speech {
    source: Source,
    /// All there were.
    ssrcs: Vec<u32>,
    /// Packets of the source, and when it began, after the first packet of all.
    packets: u32,
    source_since: Duration,
    voice: Option<Voice>,
    /// While there is a call.
    agreed: Option<Agreed>,
    /// When the first packet was due.
    began_at: Option<Duration>,
    next_at: Option<Duration>,
    report_at: Option<Duration>,
    /// The next packet begins a talk spurt.
    begins: bool,
    /// What is left to be dialled, and when.
    digits: VecDeque<(Duration, Dialled)>,
    key: Option<KeyDown>,
    /// Source, first and greatest sequence number, and number of packets of what is heard.
    balance: Option<(u32, u16, u32, u32)>,
}

impl Speech {
    pub(super) fn new(source: Source, voice: Option<Voice>) -> Self {
        Self {
            ssrcs: vec![source.ssrc],
            source,
            packets: 0,
            source_since: Duration::ZERO,
            voice,
            agreed: None,
            began_at: None,
            next_at: None,
            report_at: None,
            begins: true,
            digits: VecDeque::new(),
            key: None,
            balance: None,
        }
    }

    /// What is to be dialled.
    pub(super) fn dial(&mut self, digits: impl Iterator<Item = (Duration, Dialled)>) {
        self.digits.extend(digits);
    }

    /// What was agreed on, at `now`.
    pub(super) fn agree(
        &mut self,
        agreed: Option<Agreed>,
        now: Duration,
        report: &mut PhoneReport,
    ) {
        if self.agreed == agreed {
            return;
        }
        self.agreed = agreed;
        if let Some(Agreed { codec, direction, .. }) = agreed.filter(|agreed| !agreed.is_early) {
            if report.codec != Some(codec) {
                report.codecs.push((now, codec));
            }
            report.codec = Some(codec);
            report.directions.push((now, direction));
        }
        let speaks = agreed.is_some_and(|agreed| agreed.direction.sends());
        self.next_at = match (speaks && self.voice.is_some(), self.next_at) {
            (false, _) => None,
            (true, Some(next)) => Some(next),
            (true, None) => {
                self.begins = true;
                Some(self.whole_ms(now))
            }
        };
        // Who has no voice tells nothing of it either.
        let reports = agreed.is_some() && self.voice.is_some();
        self.report_at = reports.then(|| self.report_at.unwrap_or(now + REPORT));
    }

    /// Goes on as `source`.
    pub(super) fn begin_anew(&mut self, source: Source, now: Duration) {
        self.ssrcs.push(source.ssrc);
        self.source = source;
        (self.packets, self.key) = (0, None);
        self.source_since = self.passed(self.next_at.unwrap_or(now));
    }

    /// Since the first packet of all.
    fn passed(&self, at: Duration) -> Duration {
        self.began_at.map_or(Duration::ZERO, |began| at.saturating_sub(began))
    }

    /// The first moment from `at` on that is whole milliseconds behind the first packet of all: what is said of it is exact then.
    fn whole_ms(&self, at: Duration) -> Duration {
        let Some(began) = self.began_at else { return at };
        let passed_ns = at.saturating_sub(began).as_nanos() as u64;
        began + Duration::from_millis(passed_ns.div_ceil(1_000_000))
    }

    /// The time of the source, in samples, when `passed` has since the first packet of all.
    fn timestamp(&self, passed: Duration) -> u32 {
        let of_source = passed.saturating_sub(self.source_since);
        let per_ms = self.agreed.map_or(8, |agreed| agreed.codec.samples_per_ms());
        let samples = of_source.as_micros() as u64 * u64::from(per_ms) / 1_000;
        self.source.timestamp.wrapping_add(samples as u32)
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
        let (agreed, voice) = (self.agreed?, self.voice.clone()?);
        self.next_at = Some(due + PACKET);
        self.began_at.get_or_insert(due);
        let passed = self.passed(due);
        let sequence = self.source.sequence.wrapping_add(self.packets as u16);
        let (ssrc, timestamp) = (self.source.ssrc, self.timestamp(passed));
        self.packets += 1;
        if let Some(events) = agreed.events
            && let Some((dialled, began, step)) = self.step(due, timestamp)
        {
            let (digit, is_lost) = (dialled.digit, dialled.loses(step));
            let pressed = Pressed { at: now, ssrc, sequence, timestamp: began, digit, is_lost };
            report.dialled.push(pressed);
            let samples = agreed.codec.samples_per_packet();
            let packet = rtp::digit(&pressed, events, dialled.code(), step, samples);
            return (!is_lost).then_some((packet, agreed.to));
        }
        let index = report.spoken.len() as u32;
        let spoken = Spoken { at: now, ssrc, sequence, timestamp, index };
        let stamp = Stamp {
            stream: stream_hash(&voice.stream),
            epoch: voice.epoch,
            index,
            config: 0,
            timestamp_ms: passed.as_millis() as u32,
        };
        report.spoken.push(spoken);
        let begins = std::mem::take(&mut self.begins);
        Some((rtp::packet(&spoken, agreed.number, begins, &agreed.codec.frame(&stamp)), agreed.to))
    }

    /// The key that is down at `now`, since when, and which of its packets is due.
    fn step(&mut self, now: Duration, timestamp: u32) -> Option<(Dialled, u32, u32)> {
        if self.key.is_none() {
            let (_, dialled) = self.digits.pop_front_if(|(at, _)| *at <= now)?;
            self.key = Some(KeyDown { dialled, timestamp, steps: 0 });
        }
        let key = self.key.as_mut()?;
        let step = (key.dialled, key.timestamp, key.steps);
        key.steps += 1;
        if key.steps == DIGIT_PACKETS {
            self.key = None;
        }
        Some(step)
    }

    /// The report that is due, and where it goes.
    pub(super) fn take_report(
        &mut self,
        now: Duration,
        wall_clock: SystemTime,
        report: &mut PhoneReport,
    ) -> Option<(Vec<u8>, SocketAddr)> {
        let due = self.report_at.filter(|at| *at <= now)?;
        let Agreed { to, codec, .. } = self.agreed?;
        self.report_at = Some(due + REPORT);
        let balance = Balance {
            ssrc: self.source.ssrc,
            ntp: ntp(wall_clock),
            timestamp: self.timestamp(self.passed(now)),
            packets: self.packets,
            bytes: self.packets.wrapping_mul(codec.frame_bytes() as u32),
            heard: self.balance,
        };
        report.told.push(balance.told(now));
        let address = SocketAddr::new(to.ip(), to.port() + 1);
        Some((rtp::sender_report(&balance), address))
    }

    /// A datagram came at the port for RTP.
    pub(super) fn hear(&mut self, packet: &[u8], at: Duration, report: &mut PhoneReport) {
        let Some(heard) = rtp::heard(packet, at) else {
            report.unreadable += 1;
            return;
        };
        let dials = self.agreed.is_some_and(|agreed| agreed.events.is_some());
        if dials && is_dialled(heard.payload_type) {
            match rtp::tone(&heard, packet) {
                Some(tone) => report.tones.push(tone),
                None => report.unreadable += 1,
            }
        }
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
                let mine = about.into_iter().filter(|block| self.ssrcs.contains(&block.about));
                report.reports.extend(mine);
                report.sender_reports.extend(own);
            }
        }
    }
}
