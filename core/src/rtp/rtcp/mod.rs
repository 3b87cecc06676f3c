//! RTCP of a call of two: when to report, what the peer says of our stream, and the round-trip time.
//!
//! RFC 3550 §6.2 lets reports take 5 % of the session's bandwidth, and not one more often than each 5 s. With two
//! members the latter alone binds. For the same reason there is no timer reconsideration (§6.3.1): it
//! spreads the reports of many who join at once. So the interval is not divided by e - 3/2 either, which
//! makes good for reconsideration.

mod compound;

use std::{collections::VecDeque, time::Duration};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

pub use compound::{
    Cname, CnameLength, Heard, HeardBlock, Occasion, Report, SenderInfo, is_rtcp, parse,
};

use super::reception::ReceptionReport;

/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_EPOCH_S: u64 = 2_208_988_800;
/// Reports of ours that the peer may refer to.
const REPORTS_REMEMBERED: usize = 8;

/// When to report, and under which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtcpConfig {
    /// Mean time between two reports, 5 s in the RFC; the first is sent after about half of it.
    pub interval_ms: u64,
    /// Name of this side.
    pub cname: Cname,
}

/// What the peer last said of our stream, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteView {
    /// Loss and jitter at the peer.
    pub reception: ReceptionReport,
    /// When it said so.
    pub heard_at: Duration,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcpCounters {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams understood, if only in part.
    pub received: u64,
    /// Datagrams that are no RTCP.
    pub invalid: u64,
    /// Datagrams of the peer that tell of lost pictures.
    pub picture_losses: u64,
}

/// What this side knows of itself when it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnSide {
    /// SSRC of this side.
    pub ssrc: u32,
    /// RTP timestamp of now.
    pub rtp_timestamp: u32,
    /// RTP packets sent, modulo 2^32.
    pub packets: u32,
    /// Bytes of their payloads, modulo 2^32.
    pub octets: u32,
    /// When the last RTP packet was sent, if any was.
    pub last_sent_at: Option<Duration>,
    /// What was received since the last report.
    pub reception: Option<ReceptionReport>,
}

/// RTCP of a line.
#[derive(Debug)]
pub struct Rtcp {
    config: RtcpConfig,
    random: ChaCha8Rng,
    next_at: Duration,
    /// When the last two reports were sent: who sent RTP since then is a sender (RFC 3550 §6.3.8).
    reported_at: [Option<Duration>; 2],
    /// Middle of the NTP time of our reports and when they were sent.
    own_reports: VecDeque<(u32, Duration)>,
    /// The peer's SSRC, middle of its NTP time, and when that was heard. Of the last two sources, the newest first: one that begins
    /// may report before it is heard.
    peer_reports: [Option<(u32, u32, Duration)>; 2],
    remote_view: Option<RemoteView>,
    round_trip: Option<Duration>,
    is_bye_heard: bool,
    /// The peer has told that it lost a picture.
    is_picture_lost: bool,
    counters: RtcpCounters,
}

impl Rtcp {
    /// Begins at `now`; `seed` varies the intervals.
    pub fn new(config: RtcpConfig, seed: u64, now: Duration) -> Self {
        let mut rtcp = Self {
            config,
            random: ChaCha8Rng::seed_from_u64(seed),
            next_at: now,
            reported_at: [None; 2],
            own_reports: VecDeque::new(),
            peer_reports: [None; 2],
            remote_view: None,
            round_trip: None,
            is_bye_heard: false,
            is_picture_lost: false,
            counters: RtcpCounters::default(),
        };
        rtcp.next_at = now + rtcp.draw_interval() / 2;
        rtcp
    }

    /// What the peer last said of our stream.
    pub fn remote_view(&self) -> Option<RemoteView> {
        self.remote_view
    }

    /// Time there and back, from the peer's last report that refers to one of ours (RFC 3550 §6.4.1). Measured
    /// by the monotonic clock, so that steps of the wall clock do not matter.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Whether the peer has said that its stream ends.
    pub fn is_bye_heard(&self) -> bool {
        self.is_bye_heard
    }

    /// Whether the peer has told that it lost a picture since this was asked last.
    pub fn take_picture_loss(&mut self) -> bool {
        std::mem::take(&mut self.is_picture_lost)
    }

    /// What was counted.
    pub fn counters(&self) -> RtcpCounters {
        self.counters
    }

    /// Between half and three halves of the interval (RFC 3550 §6.2).
    fn draw_interval(&mut self) -> Duration {
        let interval_us = self.config.interval_ms.saturating_mul(1_000);
        let part = u64::from(self.random.next_u32());
        let random_us = (u128::from(interval_us) * u128::from(part)) >> 32;
        Duration::from_micros(interval_us / 2 + random_us as u64)
    }

    /// Takes what came from the peer.
    pub fn handle_heard(&mut self, now: Duration, heard: &Heard) {
        self.counters.received += 1;
        self.is_bye_heard |= heard.is_bye;
        self.is_picture_lost |= heard.picture_loss;
        self.counters.picture_losses += u64::from(heard.picture_loss);
        if let Some((ssrc, ntp_middle)) = heard.sender {
            if self.peer_reports[0].is_some_and(|(newest, ..)| newest != ssrc) {
                self.peer_reports[1] = self.peer_reports[0];
            }
            self.peer_reports[0] = Some((ssrc, ntp_middle, now));
        }
        let Some(block) = &heard.block else { return };
        self.remote_view = Some(RemoteView { reception: block.reception, heard_at: now });
        let referred = self.own_reports.iter().find(|(ntp_middle, _)| *ntp_middle == block.last);
        if let Some((_, sent_at)) = referred {
            let held = Duration::from_nanos((u64::from(block.since) * 1_000_000_000) >> 16);
            // A peer that had it for longer than it exists has another clock; the next report may do better.
            if let Some(round_trip) = now.saturating_sub(*sent_at).checked_sub(held) {
                self.round_trip = Some(round_trip);
            }
        }
    }

    /// Counts a datagram that is no RTCP.
    pub fn count_invalid(&mut self) {
        self.counters.invalid += 1;
    }

    /// Whether it is time for a report.
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.next_at
    }

    /// When to report next.
    pub fn poll_timeout(&self) -> Duration {
        self.next_at
    }

    /// A report, and the interval to the next one begins. `wall` is the time since the Unix epoch.
    pub fn report(
        &mut self,
        now: Duration,
        wall: Duration,
        own: &OwnSide,
        occasion: Occasion,
    ) -> Vec<u8> {
        let ntp = ntp(wall);
        let [since, _] = self.reported_at;
        let is_sender = own.last_sent_at.is_some_and(|at| since.is_none_or(|since| at >= since));
        let sender = is_sender.then_some(SenderInfo {
            ntp,
            rtp_timestamp: own.rtp_timestamp,
            packets: own.packets,
            octets: own.octets,
        });
        if sender.is_some() {
            if self.own_reports.len() == REPORTS_REMEMBERED {
                self.own_reports.pop_front();
            }
            self.own_reports.push_back(((ntp >> 16) as u32, now));
        }
        let reception = own.reception.map(|reception| {
            let mut its = self.peer_reports.into_iter().flatten();
            match its.find(|(ssrc, ..)| *ssrc == reception.ssrc) {
                Some((_, ntp_middle, at)) => {
                    let since = (now.saturating_sub(at).as_nanos() << 16) / 1_000_000_000;
                    (reception, ntp_middle, since.min(u32::MAX.into()) as u32)
                }
                None => (reception, 0, 0),
            }
        });
        self.reported_at = [self.reported_at[1], Some(now)];
        self.next_at = now + self.draw_interval();
        self.counters.sent += 1;
        Report { ssrc: own.ssrc, sender, reception, occasion }.encode(&self.config.cname)
    }
}

/// NTP time of a time since the Unix epoch, 32.32 bits, modulo 2^64 (RFC 3550 §4).
fn ntp(wall: Duration) -> u64 {
    let seconds = wall.as_secs().wrapping_add(NTP_EPOCH_S);
    let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
    seconds << 32 | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtcp(seed: u64) -> Rtcp {
        let cname = Cname::new("a").unwrap();
        Rtcp::new(RtcpConfig { interval_ms: 5_000, cname }, seed, Duration::from_secs(100))
    }

    fn own(ssrc: u32, last_sent_at: Option<Duration>) -> OwnSide {
        OwnSide { ssrc, rtp_timestamp: 0, packets: 1, octets: 160, last_sent_at, reception: None }
    }

    const HEARD: ReceptionReport = ReceptionReport {
        ssrc: 1,
        fraction_lost: 0,
        cumulative_lost: 0,
        ext_highest: 0,
        jitter: 0,
    };

    #[test]
    fn reports_come_at_random_intervals_about_the_mean_and_the_first_one_sooner() {
        let mut first_ms = Vec::new();
        let mut intervals_ms = Vec::new();
        for seed in 0..50 {
            let mut rtcp = rtcp(seed);
            first_ms.push((rtcp.poll_timeout() - Duration::from_secs(100)).as_millis());
            for _ in 0..20 {
                let now = rtcp.poll_timeout();
                assert!(rtcp.is_due(now) && !rtcp.is_due(now - Duration::from_micros(1)));
                rtcp.report(now, Duration::ZERO, &own(1, None), Occasion::Regular);
                intervals_ms.push((rtcp.poll_timeout() - now).as_millis());
            }
        }
        assert!(first_ms.iter().all(|ms| (1_250..=3_750).contains(ms)), "{first_ms:?}");
        assert!(intervals_ms.iter().all(|ms| (2_500..=7_500).contains(ms)));
        let mean_ms = intervals_ms.iter().sum::<u128>() / intervals_ms.len() as u128;
        assert!((4_800..5_200).contains(&mean_ms), "{mean_ms}");
        let spread = intervals_ms.iter().max().unwrap() - intervals_ms.iter().min().unwrap();
        assert!(spread > 4_500, "{spread}");
    }

    #[test]
    fn the_round_trip_is_what_the_network_takes() {
        let (mut caller, mut callee) = (rtcp(1), rtcp(2));
        let at = |ms: u64| Duration::from_secs(200) + Duration::from_millis(ms);
        let wall = Duration::from_millis(1_700_000_000_123);
        let sent = caller.report(at(0), wall, &own(1, Some(at(0))), Occasion::Regular);
        callee.handle_heard(at(30), &parse(&sent, 2, Some(1)).unwrap());
        let reception = Some(ReceptionReport { fraction_lost: 7, ..HEARD });
        let answer = OwnSide { reception, ..own(2, None) };
        let answer = callee.report(at(2_530), Duration::from_secs(9), &answer, Occasion::Regular);
        caller.handle_heard(at(2_575), &parse(&answer, 1, Some(2)).unwrap());
        let round_trip_us = caller.round_trip().unwrap().as_micros();
        assert!((74_950..=75_050).contains(&round_trip_us), "{round_trip_us}");
        assert_eq!(caller.remote_view().unwrap().reception.fraction_lost, 7);
        assert_eq!(callee.round_trip(), None);
    }

    #[test]
    fn a_source_that_is_not_heard_yet_does_not_hide_the_report_of_the_one_that_is() {
        let (mut caller, mut callee) = (rtcp(1), rtcp(2));
        let at = |ms: u64| Duration::from_secs(200) + Duration::from_millis(ms);
        let mut told = [0; 2];
        for (ssrc, told) in [1, 2].into_iter().zip(&mut told) {
            let now = at(u64::from(ssrc) * 1_000);
            let report = caller.report(now, now, &own(ssrc, Some(now)), Occasion::Regular);
            let heard = parse(&report, 9, Some(ssrc)).unwrap();
            *told = heard.sender.unwrap().1;
            callee.handle_heard(now, &heard);
        }
        for (ssrc, told, since_s) in [(1, told[0], 2), (2, told[1], 1)] {
            let reception = Some(ReceptionReport { ssrc, ..HEARD });
            let report = OwnSide { reception, ..own(9, None) };
            let report = callee.report(at(3_000), at(0), &report, Occasion::Regular);
            let block = parse(&report, ssrc, Some(9)).unwrap().block.unwrap();
            assert_eq!((block.last, block.since), (told, since_s << 16));
        }
    }

    #[test]
    fn a_reference_to_a_report_that_was_not_sent_says_nothing() {
        let mut rtcp = rtcp(1);
        for last in [0, 77] {
            let block = HeardBlock { reception: HEARD, last, since: 0 };
            let heard = Heard { block: Some(block), ..Heard::default() };
            rtcp.handle_heard(Duration::from_secs(101), &heard);
        }
        assert_eq!(rtcp.round_trip(), None);
    }

    #[test]
    fn who_has_not_sent_for_two_reports_is_a_receiver() {
        let mut rtcp = rtcp(1);
        let at = Duration::from_secs;
        let types: Vec<u8> = (0..5)
            .map(|n| {
                rtcp.report(at(200 + n * 5), at(1), &own(1, Some(at(202))), Occasion::Regular)[1]
            })
            .collect();
        assert_eq!(types, [200, 200, 200, 201, 201]);
    }

    #[test]
    fn ntp_counts_from_1900() {
        assert_eq!(ntp(Duration::ZERO), 2_208_988_800 << 32);
        assert_eq!(ntp(Duration::from_millis(500)) as u32, 1 << 31);
    }
}
