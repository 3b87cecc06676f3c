//! What goes out of the buffer, and when.

use super::*;

fn buffer(max_packets: usize) -> JitterBuffer {
    let delay = DelayConfig {
        min_delay_ms: 40,
        max_delay_ms: 200,
        window_ms: 8_000,
        marker_begins_talkspurt: true,
    };
    JitterBuffer::new(JitterConfig { delay, max_packets })
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Packet `n` of a stream that sends one each 20 ms.
fn packet(n: u64, arrived_ms: u64) -> Received {
    Received {
        stream: 1,
        arrived: ms(arrived_ms),
        ext_sequence: (1 << 32) + n,
        ext_timestamp: (1 << 32) + n * 160,
        clock_rate: 8_000,
        marker: false,
        payload_type: 0,
        payload: Bytes::from_static(&[1]),
    }
}

/// Numbers and gaps of what plays until `now_ms`.
fn play(buffer: &mut JitterBuffer, now_ms: u64) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| buffer.poll(ms(now_ms)))
        .map(|playout| (playout.ext_sequence - (1 << 32), playout.lost_before))
        .collect()
}

#[test]
fn packets_play_in_order_at_their_time() {
    let mut buffer = buffer(50);
    for (n, arrived_ms) in [(0, 100), (2, 140), (1, 150), (3, 160)] {
        buffer.handle_packet(packet(n, arrived_ms));
    }
    assert_eq!(play(&mut buffer, 139), []);
    assert_eq!(buffer.poll_timeout(), Some(ms(140)));
    assert_eq!(play(&mut buffer, 140), [(0, 0)]);
    assert_eq!(play(&mut buffer, 160), [(1, 0)]);
    assert_eq!(play(&mut buffer, 180), [(2, 0)]);
    assert_eq!(play(&mut buffer, 199), []);
    assert_eq!(play(&mut buffer, 200), [(3, 0)]);
    assert_eq!(buffer.poll_timeout(), None);
}

#[test]
fn what_is_missing_is_given_up_when_its_successor_plays() {
    let mut buffer = buffer(50);
    for n in [0, 3] {
        buffer.handle_packet(packet(n, 100 + n * 20));
    }
    assert_eq!(play(&mut buffer, 199), [(0, 0)]);
    assert_eq!(play(&mut buffer, 200), [(3, 2)]);
    buffer.handle_packet(packet(2, 201));
    assert_eq!(play(&mut buffer, 900), []);
    let counters = buffer.counters();
    assert_eq!((counters.late, counters.given_up, counters.played), (1, 2, 2));
}

#[test]
fn late_but_not_overtaken_is_not_too_late() {
    let mut buffer = buffer(50);
    buffer.handle_packet(packet(0, 100));
    assert_eq!(play(&mut buffer, 140), [(0, 0)]);
    buffer.handle_packet(packet(1, 220));
    assert_eq!(play(&mut buffer, 220), [(1, 0)]);
    assert_eq!(buffer.delay(), ms(100), "and the next may be as late");
}

#[test]
fn duplicates_play_once() {
    let mut buffer = buffer(50);
    buffer.handle_packet(packet(0, 100));
    buffer.handle_packet(packet(0, 101));
    assert_eq!(play(&mut buffer, 900), [(0, 0)]);
    buffer.handle_packet(packet(0, 901));
    assert_eq!(play(&mut buffer, 2_000), []);
    assert_eq!((buffer.counters().duplicates, buffer.counters().late), (1, 1));
}

#[test]
fn a_full_buffer_plays_early_and_holds_no_more_than_it_may() {
    let mut drained = buffer(3);
    let mut played = Vec::new();
    for n in 0..10 {
        drained.handle_packet(packet(n, 100));
        assert!(drained.held_packets() <= 3);
        if drained.held_packets() == 3 {
            assert_eq!(drained.poll_timeout(), Some(Duration::ZERO));
        }
        played.extend(play(&mut drained, 100));
    }
    assert_eq!(played, (0..8).map(|n| (n, 0)).collect::<Vec<_>>());
    let mut left_alone = buffer(3);
    for n in 0..10 {
        left_alone.handle_packet(packet(n, 100));
        assert!(left_alone.held_packets() <= 3);
    }
    assert_eq!(left_alone.counters().dropped, 7);
    assert_eq!(play(&mut left_alone, 900).len(), 3);
}

#[test]
fn telephone_events_leave_no_gap() {
    let mut buffer = buffer(50);
    buffer.handle_packet(packet(0, 100));
    for n in [1, 2, 4] {
        buffer.handle_skipped(packet(n, 100 + n * 20));
    }
    buffer.handle_packet(packet(5, 200));
    assert_eq!(play(&mut buffer, 900), [(0, 0), (5, 1)], "packet 3 is lost");
}

#[test]
fn packets_of_one_frame_share_their_time() {
    let mut buffer = buffer(50);
    for n in 0..6 {
        let mut part = packet(n, 100 + n);
        part.ext_timestamp = (1 << 32) + n / 3 * 320;
        part.marker = n % 3 == 2;
        buffer.handle_packet(part);
    }
    let played: Vec<usize> =
        [140, 142, 180, 183].map(|at_ms| play(&mut buffer, at_ms).len()).into();
    assert_eq!(played.iter().sum::<usize>(), 6);
    assert_eq!(played[0] + played[1], 3, "a frame, and the next one 40 ms later: {played:?}");
}

#[test]
fn another_stream_follows_with_a_discontinuity_and_without_loss() {
    let mut buffer = buffer(50);
    buffer.handle_packet(packet(0, 100));
    let mut other = packet(1 << 32, 120);
    other.stream = 2;
    buffer.handle_packet(other);
    let played: Vec<Playout> = std::iter::from_fn(|| buffer.poll(ms(900))).collect();
    assert_eq!(
        played.iter().map(|p| (p.discontinuity, p.lost_before)).collect::<Vec<_>>(),
        [(false, 0), (true, 0)]
    );
}
