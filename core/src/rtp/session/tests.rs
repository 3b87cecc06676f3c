//! Two lines that talk to each other, packet by packet.

use super::{
    super::{
        packet::EventTypes, playout_delay::DelayConfig, receiver::ReceiverCounters, rtcp::Cname,
        source::Follow,
    },
    *,
};

fn config() -> SessionConfig {
    let source = SourceConfig { follow: Follow::SameIp, move_after_packets: 3, silence_ms: 500 };
    let delay = DelayConfig {
        min_delay_ms: 40,
        max_delay_ms: 200,
        window_ms: 8_000,
        marker_begins_talkspurt: true,
    };
    SessionConfig {
        max_payload_bytes: 1_400,
        rtp_source: source,
        rtcp_source: source,
        receiver: ReceiverConfig { probation_packets: 4, probation_ms: 400, former_ssrc_ms: 1_000 },
        jitter: JitterConfig { delay, max_packets: 20 },
        rtcp: RtcpConfig { interval_ms: 5_000, cname: Cname::new("a").unwrap() },
        dtmf_receiver: DtmfReceiverConfig { max_event_ms: 3_000, max_pending: 8 },
        dtmf_sender: DtmfSenderConfig {
            max_queued: 4,
            duration_ms: 100,
            update_ms: 50,
            end_ms: 20,
            gap_ms: 40,
            volume: 10,
        },
    }
}

fn types() -> PayloadTypes {
    let events = EventTypes { sent: (101, 8_000), received: vec![(101, 8_000)] };
    PayloadTypes::new((0, 8_000), [], Some(events)).unwrap()
}

fn remote(port: u16) -> Remote {
    let at = |port| SocketAddr::from(([10, 0, 0, 1], port));
    Remote { rtp: at(port), rtcp: at(port + 1), signalling: at(port).ip() }
}

fn session(ssrc: u32) -> Session {
    let start = StreamStart { ssrc, sequence: 65_530, timestamp: u32::MAX - 500 };
    Session::new(config(), types(), remote(4_000), start, u64::from(ssrc), Duration::ZERO)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Media `n` of a stream of one packet each 20 ms.
fn send(from: &mut Session, n: u64) -> Option<Vec<u8>> {
    from.send(ms(n * 20), 0, n == 0, n as u32 * 160, &[n as u8; 160])
}

/// First bytes of everything `to` plays until `now_ms`.
fn played(to: &mut Session, now_ms: u64) -> Vec<u8> {
    std::iter::from_fn(|| to.poll_playout(ms(now_ms))).map(|playout| playout.payload[0]).collect()
}

#[test]
fn media_is_played_as_it_was_sent() {
    let (mut caller, mut callee) = (session(1), session(2));
    let mut heard = Vec::new();
    for n in 0..50 {
        let packet = send(&mut caller, n).unwrap();
        callee.handle_rtp(ms(n * 20 + 30), remote(4_000).rtp, &packet);
        heard.extend(played(&mut callee, n * 20 + 30));
    }
    assert_eq!(heard.len(), 48, "40 ms behind");
    heard.extend(played(&mut callee, 2_000));
    assert_eq!(heard, (0..50).collect::<Vec<u8>>());
    let statistics = callee.statistics();
    assert_eq!((statistics.receiver.received, statistics.lost, statistics.invalid), (50, 0, 0));
    assert_eq!(caller.statistics().sent_packets, 50);
}

#[test]
fn another_ssrc_goes_on_with_greater_numbers_and_says_so() {
    let mut callee = session(2);
    let mut before: Option<Playout> = None;
    for (part, ssrc) in [7, 8].into_iter().enumerate() {
        let mut caller = session(ssrc);
        for n in 0..10 {
            let packet = send(&mut caller, n).unwrap();
            let arrives_ms = (part as u64 * 10 + n) * 20;
            callee.handle_rtp(ms(arrives_ms), remote(4_000).rtp, &packet);
            while let Some(playout) = callee.poll_playout(ms(arrives_ms)) {
                let is_new = before.is_some() && playout.payload[0] == 0;
                assert_eq!(playout.discontinuity, is_new);
                if let Some(before) = before.replace(playout.clone()) {
                    assert!(playout.ext_sequence > before.ext_sequence);
                    assert!(playout.ext_timestamp > before.ext_timestamp);
                    assert_eq!(playout.lost_before, 0);
                }
            }
        }
    }
    played(&mut callee, 2_000);
    assert_eq!(callee.statistics().jitter_buffer.played, 20);
}

#[test]
fn a_digit_takes_the_place_of_audio_and_arrives_once() {
    let (mut caller, mut callee) = (session(1), session(2));
    for n in 0..10 {
        callee.handle_rtp(ms(n * 20), remote(4_000).rtp, &send(&mut caller, n).unwrap());
    }
    caller.send_digit(ms(190), Digit::from_char('#').unwrap()).unwrap();
    let mut suppressed = 0;
    for at_ms in 190..400 {
        if let Some(packet) = caller.poll_rtp(ms(at_ms)) {
            let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
            assert_eq!(timestamp, (u32::MAX - 500).wrapping_add(190 * 8), "190 ms of media");
            callee.handle_rtp(ms(at_ms), remote(4_000).rtp, &packet);
        }
        if at_ms % 20 == 0 {
            match send(&mut caller, at_ms / 20) {
                Some(packet) => {
                    assert!(callee.handle_rtp(ms(at_ms), remote(4_000).rtp, &packet));
                }
                None => suppressed += 1,
            }
        }
    }
    let events: Vec<DtmfEvent> = std::iter::from_fn(|| callee.poll_dtmf()).collect();
    let digit = Digit::from_char('#').unwrap();
    assert_eq!(events, [DtmfEvent::Begin { digit }, DtmfEvent::End { digit, duration_ms: 100 }]);
    assert_eq!(caller.statistics().suppressed, suppressed);
    let played = played(&mut callee, 2_000);
    assert_eq!(played.len() as u64, 20 - suppressed);
    assert_eq!(callee.statistics().jitter_buffer.given_up, 0, "digits leave no gap");
}

#[test]
fn reports_go_both_ways_and_tell_loss_and_round_trip() {
    let (mut caller, mut callee) = (session(1), session(2));
    let wall = Duration::from_secs(1_700_000_000);
    for n in 0..1_000 {
        let now = ms(n * 20);
        let packet = send(&mut caller, n).unwrap();
        if n % 4 != 2 {
            callee.handle_rtp(now + ms(15), remote(4_000).rtp, &packet);
        }
        while callee.poll_playout(now).is_some() {}
        if let Some(report) = caller.poll_rtcp(now, wall + now) {
            callee.handle_rtcp(now + ms(15), remote(4_000).rtcp, &report);
        }
        if let Some(report) = callee.poll_rtcp(now, wall + now) {
            // This one sends both to one port.
            caller.handle_rtp(now + ms(15), remote(4_000).rtp, &report);
        }
    }
    let statistics = caller.statistics();
    let view = statistics.remote_view.unwrap().reception;
    assert!((60..=68).contains(&view.fraction_lost), "{view:?}");
    assert!((100..=250).contains(&view.cumulative_lost), "{view:?}");
    let round_trip = statistics.round_trip.unwrap();
    assert!((ms(29)..=ms(31)).contains(&round_trip), "{round_trip:?}");
    assert!(callee.statistics().rtcp.received >= 3);
}

#[test]
fn a_farewell_is_said_once_by_who_was_heard() {
    let (mut caller, mut callee) = (session(1), session(2));
    assert_eq!(callee.bye(ms(0), ms(0)), None, "it sent nothing");
    for n in 0..2 {
        let packet = send(&mut caller, n).unwrap();
        callee.handle_rtp(ms(n * 20), remote(4_000).rtp, &packet);
    }
    let bye = caller.bye(ms(40), ms(0)).unwrap();
    callee.handle_rtcp(ms(50), remote(4_000).rtcp, &bye);
    assert!(callee.statistics().is_bye_heard);
    assert_eq!(caller.bye(ms(60), ms(0)), None);
    assert_eq!(send(&mut caller, 3), None);
    assert_eq!(caller.poll_rtcp(ms(60_000), ms(0)), None);
    assert_eq!(caller.poll_timeout(), None);
}

#[test]
fn what_is_not_of_the_line_is_counted_and_leaves_no_trace() {
    let mut callee = session(2);
    let mut caller = session(1);
    let packet = send(&mut caller, 0).unwrap();
    callee.handle_rtp(ms(0), "192.0.2.1:4000".parse().unwrap(), &packet);
    callee.handle_rtp(ms(0), remote(4_000).rtp, &packet[..10]);
    callee.handle_rtcp(ms(0), remote(4_000).rtcp, &packet);
    let statistics = callee.statistics();
    assert_eq!((statistics.strangers, statistics.invalid, statistics.rtcp.invalid), (1, 1, 1));
    assert_eq!(statistics.receiver, ReceiverCounters::default());
}

#[test]
fn a_renegotiation_changes_types_and_addresses_in_mid_call() {
    let mut caller = session(1);
    caller.send_digit(ms(0), Digit::from_char('1').unwrap()).unwrap();
    caller.set_payload_types(PayloadTypes::new((8, 8_000), [], None).unwrap());
    caller.set_remote(remote(6_000));
    assert_eq!(
        (caller.remote_rtp(), caller.remote_rtcp()),
        (remote(6_000).rtp, remote(6_000).rtcp)
    );
    assert_eq!(send(&mut caller, 0), None);
    assert!(caller.send(ms(0), 8, false, 0, &[1]).is_some());
    let digit = Digit::from_char('1').unwrap();
    assert_eq!(caller.send_digit(ms(0), digit), Err(SendDigitError::NotAgreed));
    assert_eq!(caller.poll_rtp(ms(500)), None);
}

#[test]
fn digits_go_out_by_the_peers_number_and_come_in_by_ours() {
    let (mut caller, mut callee) = (session(1), session(2));
    let types = |media, sent, received| {
        let events = EventTypes { sent: (sent, 16_000), received: vec![(received, 16_000)] };
        PayloadTypes::new((media, 16_000), [(96, 16_000)], Some(events)).unwrap()
    };
    // The number that each has for events is the other's for media.
    caller.set_payload_types(types(97, 120, 101));
    callee.set_payload_types(types(96, 101, 120));
    caller.send_digit(ms(0), Digit::from_char('7').unwrap()).unwrap();
    let mut packets = Vec::new();
    while let Some(now) = caller.poll_timeout().filter(|now| *now < ms(300)) {
        packets.extend(caller.poll_rtp(now).map(|packet| (now, packet)));
    }
    let (last, packet) = packets.last().unwrap();
    assert_eq!((packet[1], &packet[14..16]), (120, &1_600u16.to_be_bytes()[..]), "100 ms");
    let source = remote(4_000).rtp;
    packets.iter().for_each(|(at, packet)| assert!(callee.handle_rtp(*at, source, packet)));
    let digit = Digit::from_char('7').unwrap();
    assert_eq!(callee.poll_dtmf(), Some(DtmfEvent::Begin { digit }));
    assert_eq!(callee.poll_dtmf(), Some(DtmfEvent::End { digit, duration_ms: 100 }), "{last:?}");
}

#[test]
fn what_was_said_before_a_hold_is_not_heard_behind_it() {
    let (mut caller, mut callee) = (session(1), session(2));
    let packet = send(&mut caller, 0).unwrap();
    callee.handle_rtp(ms(0), remote(4_000).rtp, &packet);
    callee.hold();
    for n in 50..60 {
        let packet = send(&mut caller, n).unwrap();
        callee.handle_rtp(ms(n * 20), remote(4_000).rtp, &packet);
    }
    assert_eq!(played(&mut callee, 2_000), (50..60).collect::<Vec<u8>>());
}

#[test]
fn only_what_is_valid_and_comes_from_the_peer_is_heard() {
    let mut own = session(1);
    let [peer, stranger] = ["10.0.0.1:4000", "10.0.0.9:4000"].map(|it| it.parse().unwrap());
    let packet = send(&mut session(2), 0).unwrap();
    let report = [&[0x80, 201, 0, 1][..], b"SSRC"].concat();
    let nonsense: [&[u8]; 6] =
        [&[], &[0x80], &packet[..11], &[0x80, 96], &[0x80, 201, 0, 9, 1], &report[..7]];
    for datagram in nonsense {
        assert!(!own.handle_rtp(ms(0), peer, datagram), "{datagram:?}");
        assert!(!own.handle_rtcp(ms(0), peer, datagram), "{datagram:?}");
    }
    let mut other_type = packet.clone();
    other_type[1] = 96;
    assert!(!own.handle_rtp(ms(0), peer, &other_type));
    for datagram in [&packet, &report] {
        assert!(!own.handle_rtp(ms(0), stranger, datagram));
        assert!(own.handle_rtp(ms(0), peer, datagram));
    }
    assert!(!own.handle_rtcp(ms(0), stranger, &report));
    assert!(own.handle_rtcp(ms(0), peer, &report));
}
