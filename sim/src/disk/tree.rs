//! Names and the files they lead to, with the errors that Linux gives.
//!
//! A file lives while a name leads to it or somebody has it open. Folders are there from the moment
//! that somebody makes one. No links: `..` can be taken off a path by its text.

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path, PathBuf},
};

use super::inode::Inode;

/// The longest file; a write that begins beyond gives `FileTooLarge`. Real file systems take more, but
/// not all of it in memory.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// The longest name within a path, and the longest path with the zero at its end.
const NAME_BYTES_MAX: usize = 255;
const PATH_BYTES_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InodeId(u64);

#[derive(Clone, Copy)]
enum Entry {
    Folder,
    File(InodeId),
}

/// Where a path leads.
struct Place {
    path: PathBuf,
    entry: Option<Entry>,
    /// The path ends with a slash, which only a folder's may.
    slash: bool,
}

/// A file that was opened: its holder closes it.
pub(super) struct Opened {
    pub(super) inode: InodeId,
    /// The full path it was opened at.
    pub(super) path: PathBuf,
    pub(super) len_bytes: u64,
}

/// A file, and who needs it.
#[derive(Default)]
struct Held {
    inode: Inode,
    named: bool,
    opens: u32,
}

#[derive(Default)]
pub(super) struct Tree {
    /// The root is not among them.
    entries: BTreeMap<PathBuf, Entry>,
    files: BTreeMap<InodeId, Held>,
    next_inode: u64,
    used_bytes: u64,
}

impl Tree {
    pub(super) fn open(&mut self, path: &Path) -> io::Result<Opened> {
        let place = self.locate(path)?;
        let inode = place.file()?;
        let held = self.held(inode);
        held.opens += 1;
        let len_bytes = held.inode.content().len() as u64;
        Ok(Opened { inode, path: place.path, len_bytes })
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Opened> {
        let place = self.locate(path)?;
        let inode = match place.entry {
            _ if place.slash => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Entry::Folder) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Entry::File(inode)) => {
                self.change(inode, Inode::clear);
                inode
            }
            None => self.insert(place.path.clone(), Inode::default()),
        };
        self.held(inode).opens += 1;
        Ok(Opened { inode, path: place.path, len_bytes: 0 })
    }

    pub(super) fn close(&mut self, inode: InodeId) {
        self.held(inode).opens -= 1;
        self.free_unless_held(inode);
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.locate(from)?, self.locate(to)?);
        let inode = from.file()?;
        match to.entry {
            // Linux finds out that a folder is above before it looks at what it is.
            Some(Entry::Folder) if from.path.starts_with(&to.path) => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            Some(Entry::Folder) => return Err(io::ErrorKind::IsADirectory.into()),
            _ if to.slash => return Err(io::ErrorKind::NotADirectory.into()),
            Some(Entry::File(same)) if same == inode => return Ok(()),
            Some(Entry::File(_)) | None => (),
        }
        self.unname(&to.path);
        self.entries.remove(&from.path);
        self.entries.insert(to.path, Entry::File(inode));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let place = self.locate(path)?;
        place.file()?;
        self.unname(&place.path);
        Ok(())
    }

    /// How many of `wanted` bytes there are from `offset` on.
    pub(super) fn readable(&self, inode: InodeId, offset: u64, wanted: usize) -> usize {
        let len_bytes = self.files[&inode].inode.content().len() as u64;
        wanted.min(len_bytes.saturating_sub(offset) as usize)
    }

    /// Fills `buf`, which is not longer than what is [`Tree::readable`].
    pub(super) fn read(&self, inode: InodeId, offset: u64, buf: &mut [u8]) {
        if !buf.is_empty() {
            let start = offset as usize;
            let content = self.files[&inode].inode.content();
            buf.copy_from_slice(&content[start..start + buf.len()]);
        }
    }

    /// How many of `wanted` bytes can be written from `offset` on within the disk's capacity.
    pub(super) fn room(
        &self,
        inode: InodeId,
        offset: u64,
        wanted: usize,
        capacity_bytes: u64,
    ) -> usize {
        if capacity_bytes == 0 {
            return wanted;
        }
        let len_bytes = self.files[&inode].inode.content().len() as u64;
        let end_max = len_bytes + capacity_bytes.saturating_sub(self.used_bytes);
        wanted.min(end_max.saturating_sub(offset) as usize)
    }

    pub(super) fn write(&mut self, inode: InodeId, offset: u64, data: &[u8]) {
        self.change(inode, |file| file.write(offset as usize, data));
    }

    pub(super) fn sync(&mut self, inode: InodeId) {
        self.held(inode).inode.sync();
    }

    /// Takes every file back to what was synced, and gives those that lost something, with the
    /// lengths they have now.
    pub(super) fn crash(&mut self) -> Vec<(PathBuf, u64)> {
        let mut lost = Vec::new();
        for (path, entry) in &self.entries {
            let Entry::File(inode) = entry else { continue };
            let file = &mut self.files.get_mut(inode).expect("a name leads to a file").inode;
            self.used_bytes -= file.content().len() as u64;
            if file.crash() {
                lost.push((path.clone(), file.content().len() as u64));
            }
            self.used_bytes += file.content().len() as u64;
        }
        lost
    }

    /// Puts a file there in the place of another one, and makes the folders above it.
    pub(super) fn put(&mut self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        let path = Path::new("/").join(path);
        if let Some(folder) = path.parent() {
            self.make_folder(folder)?;
        }
        let place = self.locate(&path)?;
        if matches!(place.entry, Some(Entry::Folder)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.unname(&place.path);
        self.insert(place.path, Inode::synced(content));
        Ok(())
    }

    /// Makes a folder, and those above it.
    pub(super) fn make_folder(&mut self, path: &Path) -> io::Result<()> {
        let path = Path::new("/").join(path);
        if let Some(above) = path.parent() {
            self.make_folder(above)?;
        }
        let place = self.locate(&path)?;
        match place.entry {
            Some(Entry::Folder) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => {
                self.entries.insert(place.path, Entry::Folder);
                Ok(())
            }
        }
    }

    /// Sets a file's length.
    pub(super) fn resize(&mut self, path: &Path, bytes: usize) -> io::Result<()> {
        let inode = self.file(path)?;
        self.change(inode, |file| file.resize(bytes));
        Ok(())
    }

    /// What is in a file.
    pub(super) fn content(&self, path: &Path) -> io::Result<&[u8]> {
        Ok(self.files[&self.file(path)?].inode.content())
    }

    /// What all files take together, those without a name too.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// How many times files are open.
    pub(super) fn open_files(&self) -> u32 {
        self.files.values().map(|held| held.opens).sum()
    }

    fn file(&self, path: &Path) -> io::Result<InodeId> {
        self.locate(path)?.file()
    }

    /// Follows a path, relative ones from the root: a simulated host has no working directory.
    fn locate(&self, path: &Path) -> io::Result<Place> {
        let text = path.as_os_str().as_encoded_bytes();
        if text.contains(&0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if text.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        if text.len() >= PATH_BYTES_MAX {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let mut path_here = PathBuf::from("/");
        let mut entry = Some(Entry::Folder);
        for component in path.components() {
            if matches!(component, Component::RootDir | Component::CurDir | Component::Prefix(_)) {
                continue;
            }
            match entry {
                Some(Entry::Folder) => (),
                Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => return Err(io::ErrorKind::NotFound.into()),
            }
            if component == Component::ParentDir {
                path_here.pop();
                continue;
            }
            if component.as_os_str().len() > NAME_BYTES_MAX {
                return Err(io::ErrorKind::InvalidFilename.into());
            }
            path_here.push(component);
            entry = self.entries.get(&path_here).copied();
        }
        Ok(Place { path: path_here, entry, slash: text.ends_with(b"/") })
    }

    fn insert(&mut self, path: PathBuf, inode: Inode) -> InodeId {
        let id = InodeId(self.next_inode);
        self.next_inode += 1;
        self.used_bytes += inode.content().len() as u64;
        self.files.insert(id, Held { inode, named: true, opens: 0 });
        self.entries.insert(path, Entry::File(id));
        id
    }

    /// Takes a file's name away, if one is there.
    fn unname(&mut self, path: &Path) {
        if let Some(Entry::File(inode)) = self.entries.remove(path) {
            self.held(inode).named = false;
            self.free_unless_held(inode);
        }
    }

    fn free_unless_held(&mut self, inode: InodeId) {
        let held = self.held(inode);
        if !held.named && held.opens == 0 {
            self.used_bytes -= held.inode.content().len() as u64;
            self.files.remove(&inode);
        }
    }

    fn change(&mut self, inode: InodeId, change: impl FnOnce(&mut Inode)) {
        let file = &mut self.held(inode).inode;
        let before = file.content().len() as u64;
        change(file);
        let after = file.content().len() as u64;
        self.used_bytes = self.used_bytes - before + after;
    }

    fn held(&mut self, inode: InodeId) -> &mut Held {
        self.files.get_mut(&inode).expect("a file lives while it has a name or is open")
    }
}

impl Place {
    fn file(&self) -> io::Result<InodeId> {
        match self.entry {
            Some(Entry::File(_)) if self.slash => Err(io::ErrorKind::NotADirectory.into()),
            Some(Entry::File(inode)) => Ok(inode),
            Some(Entry::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
