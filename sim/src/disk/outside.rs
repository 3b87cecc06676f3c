//! What scenarios and oracles do with a host's files from outside: it takes no virtual time, meets no
//! fault and no limit, and a crash does not undo it. What changes something is in the trace.

use std::{io, path::Path};

use super::{Disk, DiskConfig, DiskCounters};
use crate::env::SimEnv;

impl Disk {
    fn set(&self, config: DiskConfig) {
        self.act(|state| state.config = config);
    }

    /// Puts a file there and makes the folders above it; who has one with this path open keeps it.
    pub(crate) fn put(&self, path: &Path, content: Vec<u8>) {
        done(path, self.act(|state| state.tree.put(path, content)));
    }
}

/// A host's disk from outside. Relative paths start at the root.
impl SimEnv {
    /// Makes the host's disk another one from now on; its files stay, and so do operations that are
    /// under way.
    pub fn set_disk(&self, config: DiskConfig) {
        self.fault(format!("disk is {config:?}"));
        self.disk().set(config);
    }

    /// Puts a file on the host's disk and makes the folders above it. A file with this path is
    /// replaced; who has it open keeps it.
    ///
    /// # Panics
    /// When the path cannot be a file's, because it is a folder or below a file.
    pub fn write_file(&self, path: impl AsRef<Path>, content: Vec<u8>) {
        let path = path.as_ref();
        self.fault(format!("{} is put there, {} bytes", path.display(), content.len()));
        self.disk().put(path, content);
    }

    /// Makes a folder on the host's disk, and those above it.
    ///
    /// # Panics
    /// When the path is a file's, or below one.
    pub fn create_folder(&self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        self.fault(format!("folder {} is made", path.display()));
        done(path, self.disk().act(|state| state.tree.make_folder(path)));
    }

    /// Sets the length of a file on the host's disk, under those who have it open; zeros fill what
    /// is new.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn truncate_file(&self, path: impl AsRef<Path>, bytes: usize) {
        let path = path.as_ref();
        self.fault(format!("{} is cut or grown to {bytes} bytes", path.display()));
        done(path, self.disk().act(|state| state.tree.resize(path, bytes)));
    }

    /// Removes a file from the host's disk; who has it open keeps it.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn remove_file(&self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        self.fault(format!("{} is removed", path.display()));
        done(path, self.disk().act(|state| state.tree.remove(path)));
    }

    /// Takes the files on the host's disk back to what was synced, as a crash of the host does. Its
    /// tasks go on: end them first where they should not.
    pub fn lose_unsynced(&self) {
        self.fault("what was not synced is lost".to_owned());
        self.disk().crash();
    }

    /// What is in a file on the host's disk, synced or not.
    ///
    /// # Errors
    /// Those of [`Env::open`](rehearsal_core::env::Env::open), without the disk's faults.
    pub fn read_file(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        self.disk().lock().tree.content(path.as_ref()).map(<[u8]>::to_vec)
    }

    /// How often each fault struck the host's disk.
    pub fn disk_counters(&self) -> DiskCounters {
        self.disk().lock().counters
    }

    /// Bytes that the files on the host's disk have together, with those that are only open.
    pub fn disk_used_bytes(&self) -> u64 {
        self.disk().lock().tree.used_bytes()
    }

    /// How many times files of the host are open.
    pub fn open_files(&self) -> u32 {
        self.disk().lock().tree.open_files()
    }
}

/// A scenario that names a wrong path is wrong itself.
fn done(path: &Path, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        panic!("{}: {error}", path.display());
    }
}
