//! Whatever chance does to packets, bytes arrive whole and in order, or the connection fails as
//! Linux would have it; and afterwards nothing is left of it.

use std::{future::pending, io, time::Duration};

use crate::pair::address;
use proptest::{prelude::*, test_runner::RngSeed};
use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{Direction, GilbertElliott, LinkConfig, RunError, SimEnv, SimTcpStream, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    time::{sleep, timeout},
};

/// What one side of a connection does.
#[derive(Clone, Debug)]
struct Side {
    /// How much each of its writes carries, at most.
    writes: Vec<usize>,
    read_bytes: usize,
    /// Writes only when the other side has closed; else both at once.
    listens_first: bool,
}

#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    near_link: LinkConfig,
    far_link: LinkConfig,
    near: Side,
    far: Side,
    short_io: [Option<usize>; 2],
    /// When the near host's packets, the far host's, or both, stop arriving, and for how long.
    partition: Option<Partition>,
}

#[derive(Clone, Debug)]
struct Partition {
    begin_ms: u64,
    lasts_ms: u64,
    ways: [bool; 2],
}

/// What one side has come to know.
#[derive(Debug)]
struct Heard {
    bytes: Vec<u8>,
    read: io::Result<()>,
    wrote: io::Result<()>,
}

fn direction(loss_ppm_max: u32) -> impl Strategy<Value = Direction> {
    let bursts = (1_u32..20_000, 100_000_u32..500_000, 0..=loss_ppm_max);
    let bursts = bursts.prop_map(|(to_bad_ppm, to_good_ppm, bad_loss_ppm)| GilbertElliott {
        to_bad_ppm,
        to_good_ppm,
        good_loss_ppm: 0,
        bad_loss_ppm,
    });
    let mtu_bytes = prop_oneof![60_u32..200, Just(576), Just(1_500)];
    let rate_bps = prop_oneof![Just(0), 200_000_u64..100_000_000];
    let times = (0_u64..80_000_000, 0_u64..40_000_000, 0_u64..150_000_000);
    let chances = (0..=loss_ppm_max, 0_u32..200_000, 0_u32..200_000, 0..=loss_ppm_max / 4);
    (times, rate_bps, 3_000_u64..300_000, mtu_bytes, chances, prop::option::of(bursts)).prop_map(
        |(times, rate_bps, queue_bytes, mtu_bytes, chances, burst_loss)| Direction {
            delay_ns: times.0,
            jitter_ns: times.1,
            reorder_ns: times.2,
            rate_bps,
            queue_bytes,
            mtu_bytes,
            loss_ppm: chances.0,
            duplicate_ppm: chances.1,
            reorder_ppm: chances.2,
            corrupt_ppm: chances.3,
            burst_loss,
        },
    )
}

/// A direction that leaves nothing to chance: with a rate its packets queue, without one TCP's pure
/// acknowledgments pass it without events.
fn steady() -> impl Strategy<Value = Direction> {
    let rate_bps = prop_oneof![Just(0), 200_000_u64..100_000_000];
    (0_u64..80_000, rate_bps, 3_000_u64..300_000).prop_map(|(delay_us, rate_bps, queue_bytes)| {
        Direction::steady(delay_us, rate_bps, queue_bytes)
    })
}

fn link(loss_ppm_max: u32) -> impl Strategy<Value = LinkConfig> {
    let either = || prop_oneof![3 => direction(loss_ppm_max), 2 => steady()];
    (either(), either()).prop_map(|(up, down)| LinkConfig { up, down })
}

fn side() -> impl Strategy<Value = Side> {
    let bytes = prop_oneof![1_usize..100, 1_usize..6_000];
    (prop::collection::vec(bytes, 0..12), 1_usize..9_000).prop_map(|(writes, read_bytes)| Side {
        writes,
        read_bytes,
        listens_first: false,
    })
}

fn partition() -> impl Strategy<Value = Option<Partition>> {
    let lasts_ms = prop_oneof![1_u64..1_000, 1_000_u64..200_000];
    let partition = (0_u64..3_000, lasts_ms, any::<[bool; 2]>());
    prop::option::of(partition.prop_map(|(begin_ms, lasts_ms, ways)| Partition {
        begin_ms,
        lasts_ms,
        ways,
    }))
}

fn case(loss_ppm_max: u32) -> impl Strategy<Value = Case> {
    let short_io = || prop::option::of(1_usize..2_000);
    let plain = || (0_u64..50).prop_map(|delay_ms| LinkConfig::ideal().with_delay_ms(delay_ms));
    let links = prop_oneof![3 => (link(loss_ppm_max), link(loss_ppm_max)), 1 => (plain(), plain())];
    (any::<u64>(), links, (side(), side()), 0..3, (short_io(), short_io()), partition()).prop_map(
        |(seed, (near_link, far_link), (mut near, mut far), first, short_io, partition)| {
            near.listens_first = first == 1;
            far.listens_first = first == 2;
            let short_io = [short_io.0, short_io.1];
            Case { seed, near_link, far_link, near, far, short_io, partition }
        },
    )
}

/// What a side writes, all its writes together.
fn bytes_of(side: &Side, salt: usize) -> Vec<u8> {
    let total: usize = side.writes.iter().sum();
    (0..total).map(|index| (index * 7 % 251 + salt) as u8).collect()
}

async fn talk(stream: SimTcpStream, side: &Side, salt: usize) -> Heard {
    let (mut reader, mut writer) = split(stream);
    let mut bytes = Vec::new();
    let read = async {
        let mut buf = vec![0; side.read_bytes];
        loop {
            match reader.read(&mut buf).await? {
                0 => return Ok(()),
                read => bytes.extend_from_slice(&buf[..read]),
            }
        }
    };
    let write = async {
        let (all, mut from) = (bytes_of(side, salt), 0);
        for len in &side.writes {
            writer.write_all(&all[from..from + len]).await?;
            from += len;
        }
        writer.shutdown().await
    };
    let (read, wrote) = match side.listens_first {
        true => (read.await, write.await),
        false => tokio::join!(read, write),
    };
    Heard { bytes, read, wrote }
}

/// How a side's part came out.
#[derive(Debug)]
enum End {
    /// There was no connection.
    Absent,
    /// It waits for a peer that is gone, and would for ever.
    Stuck,
    Over(Heard),
}

impl End {
    fn is_whole(&self) -> bool {
        matches!(self, Self::Over(heard) if heard.read.is_ok() && heard.wrote.is_ok())
    }
}

/// More than any connection here takes, and any that fails.
const PATIENCE: Duration = Duration::from_secs(50_000);

async fn end(stream: SimTcpStream, side: &Side, salt: usize) -> End {
    timeout(PATIENCE, talk(stream, side, salt)).await.map_or(End::Stuck, End::Over)
}

async fn meet(near: SimEnv, far: SimEnv, case: &Case) -> [End; 2] {
    let mut listener = far.bind_tcp(address(&far)).await.expect("the port is free");
    let connecting = async {
        match near.connect_tcp(address(&far)).await {
            Ok(stream) => end(stream, &case.near, 0).await,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                End::Absent
            }
        }
    };
    let accepting = async {
        // Longer than a client tries to connect.
        match timeout(Duration::from_secs(200), listener.accept()).await {
            Ok(accepted) => end(accepted.expect("a connection").0, &case.far, 1).await,
            Err(_) => End::Absent,
        }
    };
    let (near, far) = tokio::join!(connecting, accepting);
    [near, far]
}

/// Runs `case` to the end and says whether everything arrived.
fn check(case: &Case) -> Result<bool, TestCaseError> {
    let mut world = World::new(case.seed);
    let near = world.add_host("near", case.near_link);
    let far = world.add_host("far", case.far_link);
    near.set_short_io(case.short_io[0]);
    far.set_short_io(case.short_io[1]);
    let parting = async {
        let Some(Partition { begin_ms, lasts_ms, ways }) = case.partition.clone() else { return };
        for (after_ms, is_parted) in [(begin_ms, true), (lasts_ms, false)] {
            sleep(Duration::from_millis(after_ms)).await;
            near.set_partition_to(&far, ways[0] && is_parted);
            far.set_partition_to(&near, ways[1] && is_parted);
        }
    };
    let meeting = async { tokio::join!(meet(near.clone(), far.clone(), case), parting).0 };
    let met = world.run(3 * PATIENCE, meeting);
    let ends = met.expect("every wait has an end");
    let sent = [bytes_of(&case.near, 0), bytes_of(&case.far, 1)];
    for (end, sent) in ends.iter().zip(sent.iter().rev()) {
        let End::Over(heard) = end else { continue };
        prop_assert!(sent.starts_with(&heard.bytes), "read what was not written");
        prop_assert!(heard.read.is_err() || heard.bytes == *sent, "an end before the end");
        prop_assert!(is_linux_error(&heard.read) && is_linux_error(&heard.wrote), "{heard:?}");
    }
    // As on Linux one side may wait for ever, when the other has given up and it was not told.
    let is_stuck = |end: &End| matches!(end, End::Stuck);
    prop_assert!(!ends.iter().all(is_stuck), "both sides wait for the other");
    rest(&world, &[near, far])?;
    Ok(ends.iter().all(End::is_whole))
}

fn is_linux_error(result: &io::Result<()>) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut};
    let is_known =
        |error: &io::Error| [BrokenPipe, ConnectionReset, TimedOut].contains(&error.kind());
    result.as_ref().err().is_none_or(is_known)
}

/// Lets the world come to rest, and finds nothing left and nothing going on.
fn rest(world: &World, hosts: &[SimEnv]) -> Result<(), TestCaseError> {
    let limit = Duration::from_secs(3 * 3_600);
    prop_assert_eq!(world.run(limit, pending::<()>()), Err(RunError::OutOfTime { limit }));
    for host in hosts {
        prop_assert_eq!(host.netstat().rows, vec![], "left on {}", host.name());
    }
    let before = world.trace(|trace| trace.events());
    prop_assert_eq!(world.run(limit, pending::<()>()), Err(RunError::OutOfTime { limit }));
    prop_assert_eq!(world.trace(|trace| trace.events()), before);
    Ok(())
}

/// Cases per property, the same in each run; `PROPTEST_CASES` tries more by hand.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(256),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_few_percent_of_loss_break_no_connection(mut case in case(30_000)) {
        // A handshake has but five tries.
        if let Some(partition) = &mut case.partition {
            partition.lasts_ms = partition.lasts_ms.min(2_000);
        }
        prop_assert!(check(&case)?);
    }

    #[test]
    fn much_loss_tears_no_hole(case in case(300_000)) {
        check(&case)?;
    }

    #[test]
    fn loss_that_lets_hardly_anything_pass_tears_no_hole(mut case in case(990_000)) {
        // Each segment takes minutes: not too many of them.
        let Case { near_link, far_link, near, far, .. } = &mut case;
        for direction in [near_link, far_link].into_iter().flat_map(|link| [&mut link.up, &mut link.down]) {
            direction.mtu_bytes = 1_500;
        }
        [near, far].into_iter().for_each(|side| side.writes.truncate(4));
        check(&case)?;
    }
}
