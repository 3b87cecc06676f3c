//! Which faults strike: the draws, one named stream for each, and their counters.
//!
//! Every operation draws from the streams of its kind whether or not the fault is on, so that
//! turning one fault off or on moves no draw of another.

use std::fmt;

use super::config::DiskFaults;
use crate::rng::Rng;

/// A fault that struck an operation on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// An open or a creation ended with an I/O error.
    OpenError,
    /// A read ended with an I/O error.
    ReadError,
    /// A write ended with an I/O error.
    WriteError,
    /// A sync ended with an I/O error.
    SyncError,
    /// A rename or a removal ended with an I/O error.
    DirectoryError,
    /// A read gave less than there was.
    ShortRead,
    /// A write took less than it was given and had room for.
    ShortWrite,
    /// A write had no room, or not for all of it.
    StorageFull,
    /// A file lost in a crash what was not synced.
    LostInCrash,
}

impl DiskFault {
    /// The fault's number in the encoding of the trace, never used again for another one.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::OpenError => 1,
            Self::ReadError => 2,
            Self::WriteError => 3,
            Self::SyncError => 4,
            Self::DirectoryError => 5,
            Self::ShortRead => 6,
            Self::ShortWrite => 7,
            Self::StorageFull => 8,
            Self::LostInCrash => 9,
        }
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenError => "open failed",
            Self::ReadError => "read failed",
            Self::WriteError => "write failed",
            Self::SyncError => "sync failed",
            Self::DirectoryError => "directory operation failed",
            Self::ShortRead => "short read",
            Self::ShortWrite => "short write",
            Self::StorageFull => "storage full",
            Self::LostInCrash => "lost in a crash",
        })
    }
}

/// How often each fault struck a host's disk since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Opens and creations that ended with an I/O error.
    pub open_errors: u64,
    /// Reads that ended with an I/O error.
    pub read_errors: u64,
    /// Writes that ended with an I/O error.
    pub write_errors: u64,
    /// Syncs that ended with an I/O error.
    pub sync_errors: u64,
    /// Renames and removals that ended with an I/O error.
    pub directory_errors: u64,
    /// Reads that gave less than there was.
    pub short_reads: u64,
    /// Writes that took less than they were given and had room for.
    pub short_writes: u64,
    /// Writes that had no room, or not for all of it.
    pub storage_full: u64,
    /// Files that lost something in a crash.
    pub lost_in_crash: u64,
}

impl DiskCounters {
    pub(super) fn of(&mut self, fault: DiskFault) -> &mut u64 {
        match fault {
            DiskFault::OpenError => &mut self.open_errors,
            DiskFault::ReadError => &mut self.read_errors,
            DiskFault::WriteError => &mut self.write_errors,
            DiskFault::SyncError => &mut self.sync_errors,
            DiskFault::DirectoryError => &mut self.directory_errors,
            DiskFault::ShortRead => &mut self.short_reads,
            DiskFault::ShortWrite => &mut self.short_writes,
            DiskFault::StorageFull => &mut self.storage_full,
            DiskFault::LostInCrash => &mut self.lost_in_crash,
        }
    }
}

/// The random streams of one disk.
pub(super) struct Draws {
    seed: u64,
    host: String,
    /// Made when the first operation draws: most hosts have no use for their disk.
    streams: Option<Box<Streams>>,
}

struct Streams {
    latency: Rng,
    open_errors: Rng,
    read_errors: Rng,
    write_errors: Rng,
    sync_errors: Rng,
    directory_errors: Rng,
    short_reads: Rng,
    short_writes: Rng,
}

impl Draws {
    pub(super) fn new(seed: u64, host: &str) -> Self {
        Self { seed, host: host.to_owned(), streams: None }
    }

    /// A part of the jitter, drawn for one operation.
    pub(super) fn jitter_ns(&mut self, jitter_ns: u64) -> u64 {
        self.streams().latency.range(0..=jitter_ns)
    }

    /// Whether an operation ends with this error; never with one that is no I/O error.
    pub(super) fn error(&mut self, fault: DiskFault, faults: &DiskFaults) -> bool {
        let streams = self.streams();
        let (stream, ppm) = match fault {
            DiskFault::OpenError => (&mut streams.open_errors, faults.open_error_ppm),
            DiskFault::ReadError => (&mut streams.read_errors, faults.read_error_ppm),
            DiskFault::WriteError => (&mut streams.write_errors, faults.write_error_ppm),
            DiskFault::SyncError => (&mut streams.sync_errors, faults.sync_error_ppm),
            DiskFault::DirectoryError => {
                (&mut streams.directory_errors, faults.directory_error_ppm)
            }
            DiskFault::ShortRead
            | DiskFault::ShortWrite
            | DiskFault::StorageFull
            | DiskFault::LostInCrash => return false,
        };
        stream.chance_ppm(ppm)
    }

    pub(super) fn short_read(&mut self, faults: &DiskFaults) -> Cut {
        Cut::draw(&mut self.streams().short_reads, faults.short_read_ppm)
    }

    pub(super) fn short_write(&mut self, faults: &DiskFaults) -> Cut {
        Cut::draw(&mut self.streams().short_writes, faults.short_write_ppm)
    }

    fn streams(&mut self) -> &mut Streams {
        let Self { seed, host, streams } = self;
        streams.get_or_insert_with(|| {
            let stream = |name: &str| Rng::named(*seed, &format!("disk/{host}/{name}"));
            Box::new(Streams {
                latency: stream("latency"),
                open_errors: stream("open-errors"),
                read_errors: stream("read-errors"),
                write_errors: stream("write-errors"),
                sync_errors: stream("sync-errors"),
                directory_errors: stream("directory-errors"),
                short_reads: stream("short-reads"),
                short_writes: stream("short-writes"),
            })
        })
    }
}

/// What an operation is cut to: a fraction of its bytes in 1/2^64, or not at all.
pub(super) struct Cut(Option<u64>);

impl Cut {
    /// Draws two numbers in any case, so that the operations that follow meet the same ones.
    fn draw(stream: &mut Rng, ppm: u32) -> Self {
        let strikes = stream.chance_ppm(ppm);
        let fraction = stream.next_u64();
        Self(strikes.then_some(fraction))
    }

    /// The part of `bytes` that is done: at least one byte, and fewer than all when it can be.
    pub(super) fn of(&self, bytes: usize) -> usize {
        match self.0 {
            Some(fraction) if bytes > 1 => {
                let most = bytes as u128 - 1;
                1 + ((u128::from(fraction) * most) >> 64) as usize
            }
            _ => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_leaves_some_and_takes_some() {
        for (fraction, bytes, left) in [
            (0, 2, 1),
            (u64::MAX, 2, 1),
            (0, 100, 1),
            (u64::MAX, 100, 99),
            (u64::MAX, 1, 1),
            (7, 0, 0),
        ] {
            assert_eq!(Cut(Some(fraction)).of(bytes), left, "{fraction} of {bytes}");
        }
        assert_eq!(Cut(None).of(100), 100);
    }
}
