//! A line under loss, duplication and reordering, digits of which any packets are lost, and arbitrary bytes.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use proptest::prelude::*;
use rehearsal_core::rtp::{
    dtmf::{Digit, DtmfEvent, DtmfReceiverConfig, DtmfSenderConfig},
    jitter_buffer::{JitterConfig, Playout},
    packet::{EventTypes, PayloadTypes},
    playout_delay::DelayConfig,
    receiver::ReceiverConfig,
    rtcp::{Cname, RtcpConfig},
    sender::StreamStart,
    session::{Remote, Session, SessionConfig},
    source::{Follow, SourceConfig},
};

const MAX_PACKETS: usize = 64;
const MAX_PENDING: usize = 8;

fn session(start: StreamStart, min_delay_ms: u64) -> Session {
    let source = SourceConfig { follow: Follow::Anyone, move_after_packets: 3, silence_ms: 500 };
    let delay = DelayConfig {
        min_delay_ms,
        max_delay_ms: 400,
        window_ms: 8_000,
        marker_begins_talkspurt: true,
    };
    let config = SessionConfig {
        max_payload_bytes: 1_400,
        rtp_source: source,
        rtcp_source: source,
        // Where nothing is to come too late, nobody loses that much at once.
        receiver: ReceiverConfig {
            probation_packets: 4,
            probation_ms: 20 * min_delay_ms,
            former_ssrc_ms: 1_000,
        },
        jitter: JitterConfig { delay, max_packets: MAX_PACKETS },
        rtcp: RtcpConfig { interval_ms: 5_000, cname: Cname::new("a").unwrap() },
        dtmf_receiver: DtmfReceiverConfig { max_event_ms: 3_000, max_pending: MAX_PENDING },
        dtmf_sender: DtmfSenderConfig {
            max_queued: 4,
            duration_ms: 280,
            update_ms: 50,
            end_ms: 20,
            gap_ms: 40,
            volume: 10,
        },
    };
    let events = EventTypes { sent: (101, 8_000), received: vec![(101, 8_000)] };
    let types = PayloadTypes::new((0, 8_000), [(96, 90_000)], Some(events)).unwrap();
    let remote = Remote { rtp: peer(), rtcp: peer(), signalling: peer().ip() };
    Session::new(config, types, remote, start, 1, Duration::ZERO)
}

fn peer() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 4_000))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Numbers about their wraps.
fn start() -> impl Strategy<Value = StreamStart> {
    let sequence = prop_oneof![Just(65_530u16), Just(0), 65_400..=u16::MAX, any::<u16>()];
    let timestamp = prop_oneof![Just(0u32), u32::MAX - 20_000..=u32::MAX, any::<u32>()];
    (sequence, timestamp).prop_map(|(sequence, timestamp)| StreamStart {
        ssrc: 7,
        sequence,
        timestamp,
    })
}

/// What the network does to a packet: `None` loses it, else how late its copies are.
fn fate() -> impl Strategy<Value = Option<Vec<u64>>> {
    prop_oneof![
        1 => Just(None),
        6 => (0..90u64).prop_map(|late_ms| Some(vec![late_ms])),
        1 => (0..90u64, 0..90u64).prop_map(|(a, b)| Some(vec![a, b])),
    ]
}

fn drain(to: &mut Session, now: Duration, played: &mut Vec<Playout>) {
    to.handle_timeout(now);
    while let Some(playout) = to.poll_playout(now) {
        played.push(playout);
    }
}

proptest! {
    /// The least delay is more than any packet is late, so all that arrive come in time.
    #[test]
    fn what_arrives_in_time_is_played_once_and_in_order_and_the_rest_is_told_as_lost(
        start in start(),
        fates in prop::collection::vec(fate(), 30..200),
    ) {
        let mut sender = session(start, 100);
        let mut arrivals = Vec::new();
        for (n, fate) in fates.iter().enumerate() {
            let at_ms = n as u64 * 20;
            let packet = sender.send(ms(at_ms), 0, false, n as u32 * 160, &(n as u32).to_be_bytes());
            for late_ms in fate.iter().flatten() {
                arrivals.push((at_ms + late_ms, packet.clone().unwrap()));
            }
        }
        arrivals.sort_by_key(|(at_ms, _)| *at_ms);
        let mut receiver = session(start, 100);
        let mut played = Vec::new();
        for (at_ms, packet) in &arrivals {
            while let Some(timeout) = receiver.poll_timeout().filter(|timeout| *timeout < ms(*at_ms)) {
                drain(&mut receiver, timeout, &mut played);
                receiver.poll_rtcp(timeout, timeout);
            }
            receiver.handle_rtp(ms(*at_ms), peer(), packet);
            prop_assert!(receiver.statistics().held_packets <= MAX_PACKETS);
        }
        drain(&mut receiver, ms(1_000_000), &mut played);

        let arrived: Vec<u32> =
            (0..).zip(&fates).filter(|(_, fate)| fate.is_some()).map(|(n, _)| n).collect();
        let number = |playout: &Playout| u32::from_be_bytes(playout.payload[..].try_into().unwrap());
        prop_assert_eq!(played.iter().map(number).collect::<Vec<u32>>(), &arrived[..]);
        for two in played.windows(2) {
            let apart = u64::from(number(&two[1]) - number(&two[0]));
            prop_assert_eq!(two[1].ext_sequence - two[0].ext_sequence, apart);
            prop_assert_eq!(two[1].ext_timestamp - two[0].ext_timestamp, apart * 160);
            prop_assert_eq!(two[1].lost_before, apart - 1);
            prop_assert!(!two[1].discontinuity);
        }
        let copies = arrivals.len();
        let expected = (arrived[arrived.len() - 1] - arrived[0] + 1) as i64;
        let statistics = receiver.statistics();
        prop_assert_eq!(statistics.lost, expected - copies as i64);
        prop_assert_eq!(statistics.receiver.duplicates as usize, copies - arrived.len());
        prop_assert_eq!(statistics.jitter_buffer.given_up as i64, expected - arrived.len() as i64);
        prop_assert_eq!(statistics.jitter_buffer.late, 0);
    }

    /// However late packets are: order, no duplicate, and every one is accounted for.
    #[test]
    fn output_is_in_order_and_complete_in_its_counts_whatever_the_network_does(
        start in start(),
        lates in prop::collection::vec(prop::option::of(0..1_500u64), 2..200),
    ) {
        let mut sender = session(start, 20);
        let mut arrivals = Vec::new();
        for (n, late_ms) in lates.iter().enumerate() {
            let at_ms = n as u64 * 20;
            let packet = sender.send(ms(at_ms), 0, false, n as u32 * 160, &[0]).unwrap();
            if let Some(late_ms) = late_ms {
                arrivals.push((at_ms + late_ms, packet));
            }
        }
        arrivals.sort_by_key(|(at_ms, _)| *at_ms);
        let mut receiver = session(start, 20);
        let mut played = Vec::new();
        for (at_ms, packet) in &arrivals {
            receiver.handle_rtp(ms(*at_ms), peer(), packet);
            drain(&mut receiver, ms(*at_ms), &mut played);
            prop_assert!(receiver.statistics().held_packets <= MAX_PACKETS);
            prop_assert!(receiver.statistics().playout_delay <= ms(400));
        }
        drain(&mut receiver, ms(1_000_000), &mut played);
        prop_assert!(played.windows(2).all(|two| two[0].ext_sequence < two[1].ext_sequence));
        let statistics = receiver.statistics();
        let counters = statistics.jitter_buffer;
        prop_assert_eq!(counters.played, played.len() as u64);
        prop_assert_eq!(
            counters.played + counters.late + counters.dropped + statistics.receiver.stale,
            statistics.receiver.received
        );
        let told: u64 = played.iter().map(|playout| playout.lost_before).sum();
        prop_assert_eq!(told, counters.given_up);
    }

    /// Half of the datagrams have a header that passes.
    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_it_may(
        datagrams in prop::collection::vec(
            (
                prop::collection::vec(any::<u8>(), 0..80),
                prop::option::of((0..4u8, any::<u8>(), 0..40u8)),
                0..3u16,
                0..300u64,
            ),
            1..150,
        ),
    ) {
        let start = StreamStart { ssrc: 7, sequence: 0, timestamp: 0 };
        let mut receiver = session(start, 20);
        let mut now = Duration::ZERO;
        for (mut bytes, header, port, passed_ms) in datagrams {
            now += ms(passed_ms);
            if let Some((kind, sequence, spread)) = header {
                let kind = [0, 96, 101, 200 + spread % 5][usize::from(kind)];
                let count = if kind >= 200 { 1 + (bytes.len() as u8 & 1) } else { 0 };
                let mut head = vec![0x80 | count, kind, 0, sequence];
                if kind < 200 {
                    head.extend([spread, 0, 0, sequence, 0, 0, 0, spread & 1]);
                } else {
                    bytes.truncate(bytes.len() / 4 * 4);
                    head[3] = (bytes.len() / 4) as u8;
                }
                head.append(&mut bytes);
                bytes = head;
            }
            let source = SocketAddr::from(([10, 0, 0, 1], 4_000 + port));
            receiver.handle_rtp(now, source, &bytes);
            receiver.handle_rtcp(now, source, &bytes);
            receiver.handle_timeout(now);
            prop_assert!(receiver.statistics().held_packets <= MAX_PACKETS);
            prop_assert!(receiver.statistics().playout_delay <= ms(400));
            receiver.poll_rtcp(now, now);
            if port == 0 {
                while receiver.poll_playout(now).is_some() {}
            }
        }
        let events = std::iter::from_fn(|| receiver.poll_dtmf()).count();
        prop_assert!(events <= MAX_PENDING);
    }
}

/// Packets of two digits that follow one another, and when they are sent.
fn two_digits() -> Vec<(Duration, Vec<u8>)> {
    let start = StreamStart { ssrc: 7, sequence: 65_533, timestamp: u32::MAX - 2_000 };
    let mut sender = session(start, 20);
    for digit in ['5', '5'] {
        sender.send_digit(ms(0), Digit::from_char(digit).unwrap()).unwrap();
    }
    (0..1_000).filter_map(|at_ms| Some((ms(at_ms), sender.poll_rtp(ms(at_ms))?))).collect()
}

#[test]
fn a_digit_is_told_exactly_once_whichever_of_its_packets_are_lost() {
    let packets = two_digits();
    assert_eq!(packets.len(), 16, "five updates and three ends for each");
    let mut outcomes = BTreeSet::new();
    for kept in 0..1u32 << packets.len() {
        let mut receiver = session(StreamStart { ssrc: 8, sequence: 0, timestamp: 0 }, 20);
        // Two packets of audio, which the stream is accepted by.
        let audio = StreamStart { ssrc: 7, sequence: 65_531, timestamp: u32::MAX - 2_320 };
        let mut sender = session(audio, 20);
        for n in 0..2 {
            let packet = sender.send(ms(0), 0, false, n * 160, &[0]).unwrap();
            receiver.handle_rtp(ms(0), peer(), &packet);
        }
        for (n, (at, packet)) in packets.iter().enumerate() {
            if kept & 1 << n != 0 {
                receiver.handle_rtp(*at, peer(), packet);
            }
        }
        receiver.handle_timeout(ms(4_000));
        let events: Vec<DtmfEvent> = std::iter::from_fn(|| receiver.poll_dtmf()).collect();
        let expected = [kept & 0xff, kept >> 8].into_iter().filter(|of_digit| *of_digit != 0);
        let digit = Digit::from_char('5').unwrap();
        let mut told = Vec::new();
        for of_digit in expected {
            // Updates each 50 ms, and ends that tell 280 ms.
            let last = 31 - of_digit.leading_zeros();
            let duration_ms = if last < 5 { u64::from(last + 1) * 50 } else { 280 };
            told.extend([DtmfEvent::Begin { digit }, DtmfEvent::End { digit, duration_ms }]);
        }
        assert_eq!(events, told, "kept {kept:016b}");
        outcomes.insert(events.len());
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<usize>>(), [0, 2, 4]);
}
