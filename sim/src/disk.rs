//! A host's disk: files in memory.
//!
//! Opening and reading take no time and never fail half-way; latency, short reads and I/O errors
//! are not modelled yet. There are no directories but those that a file's path implies.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rehearsal_core::env::File;

/// The files of one host.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<PathBuf, Arc<Vec<u8>>>,
}

impl Disk {
    /// Puts a file there, in the place of one with this path; who has that open keeps it.
    pub(crate) fn write(&mut self, path: &Path, content: Vec<u8>) {
        self.files.insert(absolute(path), Arc::new(content));
    }

    pub(crate) fn open(&self, path: &Path) -> io::Result<SimFile> {
        let path = absolute(path);
        if let Some(content) = self.files.get(&path) {
            return Ok(SimFile { content: Arc::clone(content) });
        }
        let is_directory = self.files.keys().any(|file| file.starts_with(&path));
        let is_below_file = self.files.keys().any(|file| path.starts_with(file));
        Err(match (is_directory, is_below_file) {
            (true, _) => io::ErrorKind::IsADirectory.into(),
            (_, true) => io::ErrorKind::NotADirectory.into(),
            _ => io::ErrorKind::NotFound.into(),
        })
    }
}

/// Relative paths start at the root: a simulated host has no working directory.
fn absolute(path: &Path) -> PathBuf {
    Path::new("/").join(path)
}

/// An open file of a simulated host.
#[derive(Clone, Debug)]
pub struct SimFile {
    content: Arc<Vec<u8>>,
}

impl File for SimFile {
    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.content.len());
        let rest = &self.content[start..];
        let fits = rest.len().min(buf.len());
        buf[..fits].copy_from_slice(&rest[..fits]);
        Ok(fits)
    }

    fn len_bytes(&self) -> u64 {
        self.content.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(disk: &Disk, path: &str) -> io::ErrorKind {
        disk.open(Path::new(path)).expect_err(path).kind()
    }

    #[test]
    fn errors_are_those_of_linux() {
        let mut disk = Disk::default();
        disk.write(Path::new("/srv/vod/film.mp4"), vec![1, 2, 3]);
        assert_eq!(error(&disk, "/srv/vod"), io::ErrorKind::IsADirectory);
        assert_eq!(error(&disk, "/srv/vod/film.mp4/x"), io::ErrorKind::NotADirectory);
        assert_eq!(error(&disk, "/srv/vod/film"), io::ErrorKind::NotFound);
        assert_eq!(disk.open(Path::new("srv/vod/film.mp4")).expect("is there").len_bytes(), 3);
    }

    #[test]
    fn an_open_file_outlives_its_replacement() {
        let mut disk = Disk::default();
        disk.write(Path::new("/film"), vec![1, 2, 3]);
        let open = disk.open(Path::new("/film")).expect("is there");
        disk.write(Path::new("/film"), vec![4]);
        assert_eq!(open.len_bytes(), 3);
    }
}
