//! An open file of a simulated host.

use std::{fmt, io, path::PathBuf};

use rehearsal_core::env::File;

use super::{
    Disk,
    tree::{InodeId, Opened},
};

/// An open file. It keeps its content when its path is removed or given to another file.
pub struct SimFile {
    disk: Disk,
    inode: InodeId,
    /// Where it was opened: faults are set and told by path.
    path: PathBuf,
    len_bytes: u64,
    writable: bool,
}

/// Bad file descriptor: what Linux says to a write to a file that was opened for reading.
const EBADF: i32 = 9;

impl SimFile {
    pub(super) fn new(disk: &Disk, opened: Opened, writable: bool) -> Self {
        let Opened { inode, path, len_bytes } = opened;
        Self { disk: disk.clone(), inode, path, len_bytes, writable }
    }
}

impl File for SimFile {
    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len();
        self.disk.wait(|tree| tree.readable(self.inode, offset, wanted)).await;
        self.disk.act(|state| state.read(&self.path, self.inode, offset, buf))
    }

    async fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        if !self.writable {
            return Err(io::Error::from_raw_os_error(EBADF));
        }
        self.disk.wait(|_| data.len()).await;
        self.disk.act(|state| state.write(&self.path, self.inode, offset, data))
    }

    async fn sync(&self) -> io::Result<()> {
        self.disk.wait(|_| 0).await;
        self.disk.act(|state| state.sync(&self.path, self.inode))
    }

    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        // It may go because the disk panicked.
        if let Ok(mut state) = self.disk.shared.state.lock() {
            state.tree.close(self.inode);
        }
    }
}
