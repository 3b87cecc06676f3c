//! Faults of a disk, seen from programs on its host.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};

use crate::pair::{LIMIT, pair, wait_ms};
use rehearsal_core::env::{Env, File, read_file};
use rehearsal_sim::{
    DiskConfig, DiskCounters, DiskFault, DiskFaults, FILE_BYTES_MAX, SimEnv, trace::TraceEvent,
};
use tokio::time::{Instant, timeout};

const ALWAYS: u32 = 1_000_000;
const FILE: &str = "/srv/file";

fn file() -> &'static Path {
    Path::new(FILE)
}

/// Runs `main` on a host that has [`FILE`] with this content and no other one.
fn on_disk<T>(seed: u64, content: &[u8], main: impl AsyncFnOnce(&SimEnv) -> T) -> T {
    let (world, host, _) = pair(seed);
    host.write_file(FILE, content.to_vec());
    world.run(LIMIT, main(&host)).expect("main comes to its end")
}

fn faulty(faults: DiskFaults) -> DiskConfig {
    DiskConfig { faults, ..DiskConfig::default() }
}

async fn read(file: &impl File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; bytes];
    let read = file.read_at(offset, &mut buf).await?;
    buf.truncate(read);
    Ok(buf)
}

/// Whether this is the error of a broken disk.
fn is_broken<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.to_string() == "Input/output error (os error 5)")
}

#[test]
fn every_operation_takes_the_disks_latency() {
    on_disk(1, b"content", async |host| {
        let (begin, part) = (Instant::now(), Path::new("/srv/part"));
        host.open(file()).await.expect("is there");
        assert_eq!(begin.elapsed(), Duration::ZERO, "unless it is set");
        host.set_disk(DiskConfig { latency_ns: 7_000_000, ..DiskConfig::default() });
        let new = host.create(part).await.expect("is new");
        assert_eq!(begin.elapsed(), Duration::from_millis(7));
        new.write_at(0, b"x").await.expect("there is room");
        new.read_at(0, &mut [0]).await.expect("can be read");
        new.sync().await.expect("can be synced");
        assert_eq!(begin.elapsed(), Duration::from_millis(28));
        host.rename(part, file()).await.expect("both can be named");
        host.open(file()).await.expect("is there");
        host.remove(file()).await.expect("is there");
        assert_eq!(begin.elapsed(), Duration::from_millis(49));
    });
}

#[test]
fn latencies_vary_by_the_jitter_and_are_waited_for_side_by_side() {
    on_disk(1, b"content", async |host| {
        host.set_disk(DiskConfig::hard_disk());
        let mut latencies = Vec::new();
        for _ in 0..100 {
            let begin = Instant::now();
            host.open(file()).await.expect("is there");
            latencies.push(begin.elapsed().as_millis());
        }
        assert_eq!((latencies.iter().min(), latencies.iter().max()), (Some(&5), Some(&14)));

        host.set_disk(DiskConfig { latency_ns: 7_000_000, ..DiskConfig::default() });
        let begin = Instant::now();
        let (one, other) = tokio::join!(host.open(file()), host.open(file()));
        assert!(one.is_ok() && other.is_ok());
        assert_eq!(begin.elapsed(), Duration::from_millis(7));
    });
}

#[test]
fn a_slow_disk_keeps_its_rate_whatever_the_pieces() {
    let content = vec![7; 1_000_000];
    for piece in [100, 999, 50_000, 1_000_000] {
        on_disk(1, &content, async |host| {
            host.set_disk(DiskConfig { rate_bytes_per_s: 500_000, ..DiskConfig::default() });
            let begin = Instant::now();
            let file = host.open(file()).await.expect("is there");
            for offset in (0..1_000_000).step_by(piece) {
                read(&file, offset as u64, piece).await.expect("can be read");
            }
            assert_eq!(begin.elapsed().as_millis(), 2_000, "pieces of {piece}");
        });
    }
}

#[test]
fn a_slow_disk_is_shared_by_who_uses_it() {
    let content = vec![7; 500_000];
    on_disk(1, &content, async |host| {
        host.set_disk(DiskConfig { rate_bytes_per_s: 500_000, ..DiskConfig::default() });
        let reader = host.open(file()).await.expect("is there");
        let writer = host.create(Path::new("/srv/new")).await.expect("is new");
        let begin = Instant::now();
        let (got, written) = tokio::join!(read(&reader, 0, 500_000), writer.write_at(0, &content));
        assert_eq!(
            (got.expect("can be read").len(), written.expect("has room")),
            (500_000, 500_000)
        );
        assert_eq!(begin.elapsed(), Duration::from_secs(2));
        // Nothing is there to be moved.
        read(&reader, 500_000, 500_000).await.expect("the end");
        assert_eq!(begin.elapsed(), Duration::from_secs(2));
    });
}

#[test]
fn whole_files_arrive_in_short_reads() {
    let content: Vec<u8> = (0..50_000).map(|index: u32| index as u8).collect();
    on_disk(1, &content, async |host| {
        host.set_disk(faulty(DiskFaults { short_read_ppm: ALWAYS, ..DiskFaults::default() }));
        let open = host.open(file()).await.expect("is there");
        let first = read(&open, 0, 1_000).await.expect("can be read");
        assert!((1..1_000).contains(&first.len()), "{}", first.len());
        // One byte cannot come short.
        assert_eq!(read(&open, 5, 1).await.expect("can be read"), [5]);
        assert_eq!(host.disk_counters().short_reads, 1);
        assert_eq!(read_file(host, file(), 50_000).await.expect("can be read"), content);
        assert!(host.disk_counters().short_reads > 1);
    });
}

#[test]
fn short_writes_write_what_they_say() {
    on_disk(1, b"", async |host| {
        host.set_disk(faulty(DiskFaults { short_write_ppm: ALWAYS, ..DiskFaults::default() }));
        let file = host.create(file()).await.expect("can be created");
        let written = file.write_at(0, &[9; 1_000]).await.expect("there is room");
        assert!((1..1_000).contains(&written), "{written}");
        assert_eq!(host.read_file(FILE).expect("is there"), vec![9; written]);
        assert_eq!(host.disk_counters().short_writes, 1);
    });
}

#[test]
fn a_failed_operation_does_nothing() {
    on_disk(1, b"content", async |host| {
        let open = host.create(file()).await.expect("can be created");
        open.write_at(0, b"content").await.expect("there is room");
        let new = Path::new("/srv/new");

        host.set_disk(faulty(DiskFaults { open_error_ppm: ALWAYS, ..DiskFaults::default() }));
        assert!(is_broken(host.open(file()).await) && is_broken(host.create(file()).await));
        host.set_disk(faulty(DiskFaults { read_error_ppm: ALWAYS, ..DiskFaults::default() }));
        assert!(is_broken(open.read_at(0, &mut [0; 7]).await));
        host.set_disk(faulty(DiskFaults { write_error_ppm: ALWAYS, ..DiskFaults::default() }));
        assert!(is_broken(open.write_at(0, b"x").await));
        host.set_disk(faulty(DiskFaults { directory_error_ppm: ALWAYS, ..DiskFaults::default() }));
        assert!(is_broken(host.rename(file(), new).await) && is_broken(host.remove(file()).await));
        host.set_disk(faulty(DiskFaults { sync_error_ppm: ALWAYS, ..DiskFaults::default() }));
        assert!(is_broken(open.sync().await));

        host.set_disk(DiskConfig::default());
        assert_eq!(read(&open, 0, 9).await.expect("is healed"), b"content");
        assert_eq!(host.read_file(new).expect_err("was not made").kind(), ErrorKind::NotFound);
        let expected = DiskCounters {
            open_errors: 2,
            read_errors: 1,
            write_errors: 1,
            directory_errors: 2,
            sync_errors: 1,
            ..DiskCounters::default()
        };
        assert_eq!(host.disk_counters(), expected);
        host.lose_unsynced();
        assert_eq!(read(&open, 0, 9).await.expect("is healed"), b"content", "created over it");
    });
}

#[test]
fn the_next_reads_of_one_path_fail_as_often_as_told() {
    on_disk(1, b"content", async |host| {
        host.write_file("/srv/other", b"other".to_vec());
        let fail_next_reads = BTreeMap::from([(FILE.into(), 2)]);
        host.set_disk(faulty(DiskFaults { fail_next_reads, ..DiskFaults::default() }));
        // By whatever path it is opened.
        let one = host.open(Path::new("srv/./file")).await.expect("is there");
        let other = host.open(Path::new("/srv/other")).await.expect("is there");
        assert!(is_broken(read(&one, 0, 9).await));
        assert_eq!(read(&other, 0, 9).await.expect("is another path"), b"other");
        assert!(is_broken(read_file(host, file(), 9).await));
        assert_eq!(read(&one, 0, 9).await.expect("the third read"), b"content");
        assert_eq!(host.disk_counters().read_errors, 2);
    });
}

#[test]
fn files_change_from_outside_under_an_open_reader() {
    on_disk(1, b"content", async |host| {
        let reader = host.open(file()).await.expect("is there");
        host.truncate_file(FILE, 3);
        assert_eq!(read(&reader, 0, 9).await.expect("can be read"), b"con");
        assert_eq!(read(&reader, 3, 9).await.expect("the end"), b"");
        assert_eq!(reader.len_bytes(), 7);
        host.truncate_file(FILE, 5);
        assert_eq!(read(&reader, 0, 9).await.expect("can be read"), b"con\0\0");
        host.write_file(FILE, b"replaced".to_vec());
        assert_eq!(read(&reader, 0, 9).await.expect("can be read"), b"con\0\0");
        let reader = host.open(file()).await.expect("is there");
        host.remove_file(FILE);
        assert_eq!(read(&reader, 0, 9).await.expect("can be read"), b"replaced");
        assert_eq!(host.open(file()).await.expect_err("is gone").kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_is_replaced_while_it_is_read_in_pieces() {
    on_disk(1, &[1; 1_000], async |host| {
        let millisecond = DiskConfig { latency_ns: 1_000_000, ..DiskConfig::default() };
        host.set_disk(DiskConfig {
            faults: DiskFaults { short_read_ppm: ALWAYS, ..DiskFaults::default() },
            ..millisecond
        });
        let (content, ()) = tokio::join!(read_file(host, file(), 1_000), async {
            wait_ms(2).await;
            host.write_file(FILE, vec![2; 2_000]);
        });
        assert_eq!(content.expect("can be read"), [1; 1_000], "all of it is the old one's");
        assert_eq!(host.disk_used_bytes(), 2_000, "the old one went with its reader");
    });
}

#[test]
fn a_full_disk_takes_what_fits_until_there_is_room_again() {
    on_disk(1, &[1; 60], async |host| {
        host.set_disk(DiskConfig { capacity_bytes: 100, ..DiskConfig::default() });
        let new = host.create(Path::new("/srv/new")).await.expect("is new");
        assert_eq!(new.write_at(0, &[2; 30]).await.expect("fits"), 30);
        assert_eq!(new.write_at(30, &[2; 30]).await.expect("a part fits"), 10);
        let full = async |offset| new.write_at(offset, &[2; 30]).await.expect_err("is full").kind();
        assert_eq!(full(40).await, ErrorKind::StorageFull);
        assert_eq!(full(50).await, ErrorKind::StorageFull);
        assert_eq!(host.disk_counters().storage_full, 3);
        assert_eq!(new.write_at(10, &[3; 30]).await.expect("needs no more room"), 30);

        let reader = host.open(file()).await.expect("is there");
        host.remove(file()).await.expect("is there");
        assert_eq!(full(40).await, ErrorKind::StorageFull);
        drop(reader);
        assert_eq!(host.disk_used_bytes(), 40);
        assert_eq!(new.write_at(40, &[2; 30]).await.expect("there is room again"), 30);
        host.set_disk(DiskConfig { capacity_bytes: 50, ..DiskConfig::default() });
        assert_eq!(full(70).await, ErrorKind::StorageFull);
        // An empty file takes no room.
        host.create(Path::new("/srv/empty")).await.expect("has room");
    });
}

#[test]
fn a_file_has_a_greatest_length() {
    on_disk(1, b"", async |host| {
        let file = host.create(file()).await.expect("can be created");
        let beyond = file.write_at(FILE_BYTES_MAX, b"x").await.expect_err("is too long");
        assert_eq!(beyond.kind(), ErrorKind::FileTooLarge);
        assert_eq!(host.disk_used_bytes(), 0);
    });
}

#[test]
fn a_crash_loses_what_was_not_synced() {
    on_disk(1, b"old content", async |host| {
        let part = Path::new("/srv/part");
        let log = host.create(Path::new("/srv/log")).await.expect("is new");
        log.write_at(0, b"synced").await.expect("there is room");
        log.sync().await.expect("is kept");
        log.write_at(6, b" and not").await.expect("there is room");
        log.write_at(0, b"S").await.expect("there is room");
        let old = host.create(file()).await.expect("can be created");
        old.write_at(0, b"new").await.expect("there is room");
        let renamed = host.create(part).await.expect("is new");
        renamed.write_at(0, b"not synced").await.expect("there is room");
        host.rename(part, Path::new("/srv/renamed")).await.expect("can be renamed");
        drop((log, old, renamed));

        host.lose_unsynced();
        let content = |path: &str| host.read_file(path).expect("has its name");
        assert_eq!(content("/srv/log"), b"synced");
        assert_eq!(content(FILE), b"old content");
        assert_eq!(content("/srv/renamed"), b"");
        assert_eq!(host.disk_used_bytes(), 17);
        assert_eq!(host.disk_counters().lost_in_crash, 3);
        host.lose_unsynced();
        assert_eq!(host.disk_counters().lost_in_crash, 3);
    });
}

#[test]
fn a_write_that_is_given_up_is_not_done_later() {
    on_disk(1, b"", async |host| {
        let file = host.create(file()).await.expect("can be created");
        host.set_disk(DiskConfig { latency_ns: 20_000_000, ..DiskConfig::default() });
        let write = timeout(Duration::from_millis(19), file.write_at(0, b"late")).await;
        assert!(write.is_err());
        wait_ms(100).await;
        assert_eq!(host.read_file(FILE).expect("is there"), b"");
        assert_eq!(file.write_at(0, b"done").await.expect("there is room"), 4);
    });
}

#[test]
fn faults_are_in_the_trace() {
    let (world, host, _) = pair(1);
    host.write_file(FILE, vec![7; 100]);
    let outcome = world.run(LIMIT, async {
        let file = host.open(file()).await.expect("is there");
        host.set_disk(faulty(DiskFaults { short_read_ppm: ALWAYS, ..DiskFaults::default() }));
        world.trace(|trace| trace.keep_all(10));
        read(&file, 0, 100).await.expect("can be read").len()
    });
    let bytes = outcome.expect("main comes to its end") as u64;
    let (host, path) = ("client".into(), FILE.into());
    let expected = TraceEvent::DiskFault { host, fault: DiskFault::ShortRead, path, bytes };
    assert_eq!(
        expected.to_string(),
        format!("disk of client: short read at /srv/file len {bytes}")
    );
    world.trace(|trace| {
        assert_eq!(trace.kept().map(|kept| &kept.event).collect::<Vec<_>>(), [&expected]);
        assert_eq!(trace.counts().disk_faults, 1);
    });
}

/// What a program meets in 200 rounds: lengths, or `None` for errors, of a read and of a write, and
/// the run's hash.
fn rounds(seed: u64, config: DiskConfig) -> (Vec<Option<usize>>, Vec<Option<usize>>, u64) {
    let (world, host, _) = pair(seed);
    host.set_disk(config);
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    let outcome = world.run(LIMIT, async {
        let file = host.create(Path::new("/file")).await.expect("is new");
        host.truncate_file("/file", 1_000);
        for _ in 0..200 {
            reads.push(file.read_at(0, &mut [0; 1_000]).await.ok());
            writes.push(file.write_at(0, &[0; 1_000]).await.ok());
        }
    });
    assert_eq!(outcome, Ok(()));
    (reads, writes, world.trace(|trace| trace.hash()))
}

fn bad_disk() -> DiskConfig {
    DiskConfig {
        jitter_ns: 5_000_000,
        faults: DiskFaults {
            read_error_ppm: 200_000,
            write_error_ppm: 200_000,
            short_read_ppm: 300_000,
            short_write_ppm: 300_000,
            ..DiskFaults::default()
        },
        ..DiskConfig::default()
    }
}

#[test]
fn faults_are_the_seeds() {
    let once = rounds(7, bad_disk());
    assert_eq!(rounds(7, bad_disk()), once);
    let other = rounds(8, bad_disk());
    assert!(other.0 != once.0 && other.1 != once.1 && other.2 != once.2);
    // A stream for each: a read does not fail because the write beside it does.
    let failing = |rounds: &[Option<usize>]| rounds.iter().map(Option::is_none).collect::<Vec<_>>();
    assert_ne!(failing(&once.0), failing(&once.1));
    let failed = once.0.iter().filter(|read| read.is_none()).count();
    let short = once.0.iter().flatten().filter(|read| **read < 1_000).count();
    assert!((20..70).contains(&failed) && (25..80).contains(&short), "{failed} {short}");
}

#[test]
fn taking_one_fault_away_moves_no_other() {
    let (reads, writes, _) = rounds(7, bad_disk());
    let without = |take: fn(&mut DiskConfig)| {
        let mut config = bad_disk();
        take(&mut config);
        rounds(7, config)
    };
    let (same_reads, other_writes, _) = without(|disk| disk.faults.write_error_ppm = 0);
    assert_eq!(same_reads, reads);
    // Writes that did not fail are as short as before.
    assert!(other_writes.iter().all(Option::is_some));
    assert!(
        writes.iter().zip(&other_writes).all(|(with, without)| with.is_none() || with == without)
    );
    let (other_reads, same_writes, _) = without(|disk| disk.faults.short_read_ppm = 0);
    assert_eq!(same_writes, writes);
    assert!(
        reads.iter().zip(&other_reads).all(|(with, without)| with.is_none() == without.is_none())
    );
    // A read that came short comes as short when more of them do.
    let (shorter_reads, same_writes, _) = without(|disk| disk.faults.short_read_ppm = ALWAYS);
    assert_eq!(same_writes, writes);
    let is_short = |read: &Option<usize>| read.is_some_and(|bytes| bytes < 1_000);
    assert!(reads.iter().zip(&shorter_reads).all(|(few, all)| !is_short(few) || few == all));
    let (same_reads, same_writes, _) = without(|disk| disk.jitter_ns = 0);
    assert_eq!((same_reads, same_writes), (reads, writes));
}
