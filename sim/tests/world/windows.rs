//! The peer's window: shut, opened again, and the news of it lost.

use std::{io, time::Duration};

use crate::pair::{LIMIT, connected, pair, wait_ms};
use rehearsal_sim::{RECEIVE_BUFFER_BYTES, SimEnv, SimTcpStream, SocketState, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

const MORE_BYTES: usize = 50_000;

/// A connection whose far end has its buffer full, and 50,000 bytes more wait at the near end.
async fn shut(client: &SimEnv, server: &SimEnv) -> (SimTcpStream, SimTcpStream) {
    let (mut near, far) = connected(client, server).await;
    near.write_all(&vec![1; RECEIVE_BUFFER_BYTES + MORE_BYTES]).await.expect("fits");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(server.netstat().rows[0].rx_queue, RECEIVE_BUFFER_BYTES);
    assert_eq!(client.netstat().rows[0].tx_queue, MORE_BYTES);
    (near, far)
}

fn sent(world: &World) -> u64 {
    world.trace(|trace| trace.counts().segments_sent)
}

#[test]
fn a_lost_window_update_heals() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (_near, mut far) = shut(&client, &server).await;
        server.set_partition_to(&client, true);
        let dropped = server.link_dropped_packets();
        far.read_exact(&mut vec![0; RECEIVE_BUFFER_BYTES]).await.expect("has arrived");
        assert!(server.link_dropped_packets() > dropped, "the update was sent, and lost");
        let mut rest = vec![0; MORE_BYTES];
        timeout(Duration::from_secs(2), far.read_exact(&mut rest)).await.expect_err("is not known");
        server.set_partition_to(&client, false);
        let begin = Instant::now();
        far.read_exact(&mut rest).await.expect("the window was probed");
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_window_may_stay_shut_for_a_day_and_probes_become_rare() {
    let (world, client, server) = pair(1);
    let outcome = world.run(Duration::from_secs(100_000), async {
        let (_near, mut far) = shut(&client, &server).await;
        let before = sent(&world);
        sleep(Duration::from_secs(86_400)).await;
        // One each two minutes, and its answer.
        let probes = (sent(&world) - before) / 2;
        assert!((700..750).contains(&probes), "{probes}");
        let begin = Instant::now();
        far.read_exact(&mut vec![0; RECEIVE_BUFFER_BYTES + MORE_BYTES]).await.expect("whole");
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_peer_that_vanishes_behind_a_shut_window_is_given_up() {
    let (world, client, server) = pair(1);
    let outcome = world.run(Duration::from_secs(5_000), async {
        let (mut near, _far) = shut(&client, &server).await;
        server.set_black_hole(true);
        let begin = Instant::now();
        let error = near.read_u8().await.expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let seconds = begin.elapsed().as_secs();
        // Fifteen probes, the first after three seconds or so.
        assert!((900..1_400).contains(&seconds), "{seconds}");
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_closed_socket_does_not_probe_for_ever() {
    let (world, client, server) = pair(1);
    let outcome = world.run(Duration::from_secs(5_000), async {
        let (near, mut far) = shut(&client, &server).await;
        drop(near);
        sleep(Duration::from_secs(300)).await;
        assert_eq!(client.netstat().rows, []);
        far.read_exact(&mut vec![0; RECEIVE_BUFFER_BYTES]).await.expect("had arrived");
        // The window update finds nobody, and is answered by RST.
        let error = far.read_u8().await.expect_err("the rest was given up");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_fin_waits_for_a_shut_window_like_a_byte() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = connected(&client, &server).await;
        near.write_all(&vec![1; RECEIVE_BUFFER_BYTES]).await.expect("fits");
        wait_ms(500).await;
        near.shutdown().await.expect("open");
        sleep(Duration::from_secs(10)).await;
        assert_eq!(server.netstat().count(SocketState::Established), 1, "{}", server.netstat());
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.expect("ends in order");
        assert_eq!(all.len(), RECEIVE_BUFFER_BYTES);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_reader_of_few_bytes_opens_the_window_in_steps() {
    let (world, client, server) = pair(1);
    let outcome = world.run(LIMIT, async {
        let (mut near, mut far) = shut(&client, &server).await;
        server.set_short_io(Some(100));
        let writer = async { near.write_all(&[2; 100_000]).await.expect("read") };
        let reader = async {
            let mut all = vec![0; RECEIVE_BUFFER_BYTES + MORE_BYTES + 100_000];
            far.read_exact(&mut all).await.expect("whole");
        };
        let before = sent(&world);
        tokio::join!(writer, reader);
        // 150,000 bytes in segments of 1,460 are 103, and each is acknowledged.
        let segments = sent(&world) - before;
        assert!(segments < 2 * 103 + 100, "{segments}");
    });
    assert_eq!(outcome, Ok(()));
}
