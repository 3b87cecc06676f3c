//! A host's disk: files in memory, with the faults that disks have.
//!
//! Programs come through [`Env`](rehearsal_core::env::Env): each operation waits as long as the
//! disk takes (`timing`), may meet a fault (`faults`), and is then carried out at one instant on
//! the files (`tree`, `inode`). A future that is dropped while it waits has done nothing. Scenarios
//! and oracles act from outside (`outside`), at once and without faults.
//!
//! The disk needs tokio's clock, a seed and somebody to tell its faults to; it knows no network.
//!
//! Not modelled: permissions, links, sparse files (a hole takes room), the page cache (reads always
//! reach the disk), limits on open files, and directory operations that a crash undoes.

mod config;
mod faults;
mod file;
mod inode;
mod outside;
mod timing;
mod tree;

use std::{
    fmt, io, mem,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{
    heap::{self, Scope},
    trace::TraceEvent,
};
use faults::Draws;
use timing::Timing;
use tree::{InodeId, Tree};

pub use config::{DiskConfig, DiskFaults};
pub use faults::{DiskCounters, DiskFault};
pub use file::SimFile;
pub use tree::FILE_BYTES_MAX;

/// Tokio's timers fire on whole milliseconds, the next one for any time between. Taken off, they
/// fire on the one before.
const ROUND_DOWN: Duration = Duration::from_nanos(999_999);

/// The disk of one host. Clones are handles to the same disk.
#[derive(Clone)]
pub(crate) struct Disk {
    shared: Arc<Shared>,
}

struct Shared {
    host: String,
    state: Mutex<State>,
    record: Box<dyn Fn(&TraceEvent) + Send + Sync>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("host", &self.shared.host).finish_non_exhaustive()
    }
}

struct State {
    tree: Tree,
    config: DiskConfig,
    timing: Timing,
    draws: Draws,
    counters: DiskCounters,
    /// Faults of the operation under way: which, where, and what was done all the same.
    struck: Vec<(DiskFault, String, u64)>,
}

impl Disk {
    /// An empty disk of `host`, whose faults are fixed by `seed`. `record` is told each fault that
    /// strikes; the disk is not locked meanwhile.
    pub(crate) fn new(
        seed: u64,
        host: &str,
        record: impl Fn(&TraceEvent) + Send + Sync + 'static,
    ) -> Self {
        let state = Mutex::new(State {
            tree: Tree::default(),
            config: DiskConfig::default(),
            timing: Timing::default(),
            draws: Draws::new(seed, host),
            counters: DiskCounters::default(),
            struck: Vec::new(),
        });
        let record = Box::new(record);
        Self { shared: Arc::new(Shared { host: host.to_owned(), state, record }) }
    }

    pub(crate) async fn open(&self, path: &Path) -> io::Result<SimFile> {
        self.wait(|_| 0).await;
        let opened = self.act(|state| {
            state.strike_by_chance(DiskFault::OpenError, path)?;
            state.tree.open(path)
        })?;
        Ok(SimFile::new(self, opened, false))
    }

    pub(crate) async fn create(&self, path: &Path) -> io::Result<SimFile> {
        self.wait(|_| 0).await;
        let opened = self.act(|state| {
            state.strike_by_chance(DiskFault::OpenError, path)?;
            state.tree.create(path)
        })?;
        Ok(SimFile::new(self, opened, true))
    }

    pub(crate) async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.wait(|_| 0).await;
        self.act(|state| {
            state.strike_by_chance(DiskFault::DirectoryError, from)?;
            state.tree.rename(from, to)
        })
    }

    pub(crate) async fn remove(&self, path: &Path) -> io::Result<()> {
        self.wait(|_| 0).await;
        self.act(|state| {
            state.strike_by_chance(DiskFault::DirectoryError, path)?;
            state.tree.remove(path)
        })
    }

    /// What a crash of the host does to its files: what was written and not synced is lost, and
    /// each file is again as it was synced last. Directory operations stay. Files that are open
    /// belong to tasks, which the crash ends as well.
    pub(crate) fn crash(&self) {
        self.act(|state| {
            state.timing = Timing::default();
            for (path, len_bytes) in state.tree.crash() {
                state.strike(DiskFault::LostInCrash, &path, len_bytes);
            }
        });
    }

    /// Waits as long as an operation takes that moves as many bytes as `moves` says.
    async fn wait(&self, moves: impl FnOnce(&Tree) -> usize) {
        let due = self.act(|state| {
            let bytes = moves(&state.tree);
            let jitter_ns = state.draws.jitter_ns(state.config.jitter_ns);
            state.timing.due(&state.config, jitter_ns, bytes)
        });
        if let Some(due) = due.map(|due| due - ROUND_DOWN)
            && due > Instant::now()
        {
            sleep_until(due).await;
        }
    }

    /// Does something with the disk, then tells of the faults that struck.
    fn act<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let _scope = heap::enter(Scope::Sim);
        let mut state = self.lock();
        let outcome = act(&mut state);
        let struck = mem::take(&mut state.struck);
        drop(state);
        for (fault, path, bytes) in struck {
            let host = self.shared.host.clone();
            (self.shared.record)(&TraceEvent::DiskFault { host, fault, path, bytes });
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("the disk broke before")
    }
}

impl State {
    /// Counts a fault and has it told.
    fn strike(&mut self, fault: DiskFault, path: &Path, bytes: u64) {
        *self.counters.of(fault) += 1;
        self.struck.push((fault, path.display().to_string(), bytes));
    }

    /// Draws whether an operation fails.
    fn strike_by_chance(&mut self, fault: DiskFault, path: &Path) -> io::Result<()> {
        match self.draws.error(fault, &self.config.faults) {
            true => Err(self.io_error(fault, path)),
            false => Ok(()),
        }
    }

    fn io_error(&mut self, fault: DiskFault, path: &Path) -> io::Error {
        self.strike(fault, path, 0);
        io::Error::from_raw_os_error(EIO)
    }

    fn read(
        &mut self,
        path: &Path,
        inode: InodeId,
        offset: u64,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        let fails = self.draws.error(DiskFault::ReadError, &self.config.faults);
        let short = self.draws.short_read(&self.config.faults);
        if self.fails_next(path) || fails {
            return Err(self.io_error(DiskFault::ReadError, path));
        }
        let there = self.tree.readable(inode, offset, buf.len());
        let read = short.of(there);
        if read < there {
            self.strike(DiskFault::ShortRead, path, read as u64);
        }
        self.tree.read(inode, offset, &mut buf[..read]);
        Ok(read)
    }

    /// Whether the next read of `path` was told to fail.
    fn fails_next(&mut self, path: &Path) -> bool {
        let next = &mut self.config.faults.fail_next_reads;
        let Some(count) = next.get_mut(path).filter(|count| **count > 0) else { return false };
        *count -= 1;
        true
    }

    fn write(
        &mut self,
        path: &Path,
        inode: InodeId,
        offset: u64,
        data: &[u8],
    ) -> io::Result<usize> {
        let fails = self.draws.error(DiskFault::WriteError, &self.config.faults);
        let short = self.draws.short_write(&self.config.faults);
        if fails {
            return Err(self.io_error(DiskFault::WriteError, path));
        }
        if data.is_empty() {
            return Ok(0);
        }
        let allowed = data.len().min(FILE_BYTES_MAX.saturating_sub(offset) as usize);
        if allowed == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let fits = self.tree.room(inode, offset, allowed, self.config.capacity_bytes);
        if fits < allowed {
            self.strike(DiskFault::StorageFull, path, fits as u64);
        }
        if fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = short.of(fits);
        if written < fits {
            self.strike(DiskFault::ShortWrite, path, written as u64);
        }
        self.tree.write(inode, offset, &data[..written]);
        Ok(written)
    }

    fn sync(&mut self, path: &Path, inode: InodeId) -> io::Result<()> {
        self.strike_by_chance(DiskFault::SyncError, path)?;
        self.tree.sync(inode);
        Ok(())
    }
}

/// Input/output error; `io::ErrorKind` has no name for it.
const EIO: i32 = 5;
