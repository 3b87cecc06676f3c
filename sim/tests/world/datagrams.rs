//! What links do to datagrams: fragments, copies, flipped bits, another order.

use std::time::Duration;

use crate::pair::{LIMIT, address};
use rehearsal_core::env::{Env, UdpSocket};
use rehearsal_sim::{Direction, LinkConfig, World};
use tokio::time::{sleep, timeout};

/// Sends `count` datagrams of `bytes`, one each `every`, numbered, over `way`; gives what arrives.
fn carried(way: Direction, count: u32, bytes: usize, every: Duration) -> Vec<(u32, Vec<u8>)> {
    let mut world = World::new(3);
    let home = world.add_host("home", LinkConfig { up: way, down: Direction::default() });
    let server = world.add_host("server", LinkConfig::ideal());
    let arrived = world.run(LIMIT, async {
        let receiver = server.bind_udp(address(&server)).await.expect("free");
        let sender = home.bind_udp(address(&home)).await.expect("free");
        let send = async {
            for number in 0..count {
                let mut datagram = vec![0xA5; bytes];
                datagram[..4].copy_from_slice(&number.to_be_bytes());
                sender.send_to(&datagram, address(&server)).await.expect("there is a route");
                sleep(every).await;
            }
        };
        let receive = async {
            let (mut arrived, mut buf) = (Vec::new(), vec![0; bytes]);
            let wait = Duration::from_secs(10);
            while let Ok(received) = timeout(wait, receiver.recv_from(&mut buf)).await {
                let len = received.expect("open").0;
                assert_eq!(len, bytes, "a datagram is whole or not there");
                let number = u32::from_be_bytes([buf[0], buf[1], buf[2], buf[3]]);
                arrived.push((number, buf.clone()));
            }
            arrived
        };
        tokio::join!(send, receive).1
    });
    arrived.expect("ends")
}

const EVERY: Duration = Duration::from_millis(1);

#[test]
fn a_datagram_is_as_likely_to_arrive_as_all_of_its_fragments() {
    let way = Direction { loss_ppm: 50_000, ..Direction::default() };
    let arrived = |bytes| carried(way, 4_000, bytes, EVERY).len();
    // 0.95 of 4,000, and 0.95^4: 5,000 bytes are four fragments of up to 1,480.
    assert!(arrived(1_000).abs_diff(3_800) < 60, "{}", arrived(1_000));
    assert!(arrived(5_000).abs_diff(3_258) < 100, "{}", arrived(5_000));
}

#[test]
fn fragments_take_room_on_the_wire_for_their_headers() {
    // 1,008 bytes of UDP on a link of 128 bytes MTU: ten fragments of 104 bytes at most.
    let way = Direction { mtu_bytes: 128, ..Direction::steady(0, 1_000_000, 5_000) };
    let arrived = carried(way, 4, 1_000, Duration::ZERO);
    assert_eq!(arrived.len(), 4);
    let way = Direction { queue_bytes: 2 * 1_208, ..way };
    assert_eq!(carried(way, 4, 1_000, Duration::ZERO).len(), 2, "the queue has room for two");
}

#[test]
fn a_copy_is_the_same_datagram_and_comes_once() {
    let way = Direction { duplicate_ppm: 300_000, ..Direction::default() };
    let arrived = carried(way, 1_000, 100, EVERY);
    assert!(arrived.len().abs_diff(1_300) < 60, "{}", arrived.len());
    let times = |number| arrived.iter().filter(|(arrived, _)| *arrived == number).count();
    assert!((0..1_000).all(|number| (1..=2).contains(&times(number))));
}

#[test]
fn corruption_flips_one_bit_of_some() {
    let way = Direction { corrupt_ppm: 200_000, ..Direction::default() };
    let arrived = carried(way, 2_000, 100, EVERY);
    assert_eq!(arrived.len(), 2_000);
    let flips = |(place, (_, datagram)): (u32, &(u32, Vec<u8>))| -> u32 {
        let mut sent = vec![0xA5; 100];
        sent[..4].copy_from_slice(&place.to_be_bytes());
        datagram.iter().zip(&sent).map(|(got, sent)| (got ^ sent).count_ones()).sum()
    };
    let flips: Vec<u32> = (0..).zip(&arrived).map(flips).collect();
    assert!(flips.iter().all(|flips| *flips <= 1));
    let damaged = flips.iter().filter(|flips| **flips == 1).count();
    assert!(damaged.abs_diff(400) < 60, "{damaged}");
}

#[test]
fn what_is_overtaken_comes_later_and_not_too_late() {
    let way = Direction {
        reorder_ppm: 100_000,
        reorder_ns: 20_000_000,
        ..Direction::steady(5_000, 0, 0)
    };
    let arrived = carried(way, 2_000, 100, EVERY);
    let mut numbers: Vec<u32> = arrived.iter().map(|(number, _)| *number).collect();
    let late = numbers.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((100..220).contains(&late), "{late}");
    let displaced = (0_u32..).zip(&numbers).map(|(place, number)| place.abs_diff(*number)).max();
    assert!(displaced.is_some_and(|displaced| (5..=21).contains(&displaced)), "{displaced:?}");
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2_000).collect::<Vec<_>>());
}
