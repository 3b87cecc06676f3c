//! What a disk is like and which faults it has, as scenarios set it.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// A host's disk. The default has no latency, no limit and no faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskConfig {
    /// Bytes that all files may have together; 0 is unlimited. A file that is removed or replaced
    /// takes its room until nobody has it open.
    pub capacity_bytes: u64,
    /// Nanoseconds that every operation takes, side by side with others. An operation ends on the
    /// last whole millisecond before it is due, for tokio has no finer timers: what takes less than
    /// one is mostly done at once.
    pub latency_ns: u64,
    /// Nanoseconds that an operation takes beyond that: drawn for each, this at most.
    pub jitter_ns: u64,
    /// Bytes that are read and written per second, one operation after the other; 0 is unlimited.
    /// The rate holds over many operations, whatever their timers round.
    pub rate_bytes_per_s: u64,
    /// What goes wrong.
    pub faults: DiskFaults,
}

impl DiskConfig {
    /// A slow disk with a spindle: 5 ms to 15 ms for each operation, 100 MB a second.
    pub fn hard_disk() -> Self {
        Self {
            latency_ns: 5_000_000,
            jitter_ns: 10_000_000,
            rate_bytes_per_s: 100_000_000,
            ..Self::default()
        }
    }
}

/// What goes wrong on a disk. Probabilities are parts per million of the operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskFaults {
    /// Opens and creations that end with an I/O error.
    pub open_error_ppm: u32,
    /// Reads that end with an I/O error.
    pub read_error_ppm: u32,
    /// Writes that end with an I/O error and write nothing.
    pub write_error_ppm: u32,
    /// Syncs that end with an I/O error and keep nothing from a crash.
    pub sync_error_ppm: u32,
    /// Renames and removals that end with an I/O error and do nothing.
    pub directory_error_ppm: u32,
    /// Reads that give less than there is: at least one byte, the length drawn.
    pub short_read_ppm: u32,
    /// Writes that take less than they were given: at least one byte, the length drawn.
    pub short_write_ppm: u32,
    /// How many of the next reads end with an I/O error, by the path that the file was opened at;
    /// the full path, from the root. Counts anew whenever the disk is set.
    pub fail_next_reads: BTreeMap<PathBuf, u32>,
}
