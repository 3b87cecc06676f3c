//! One file's content, and what of it a crash leaves.

use std::mem;

/// A file, whatever its path.
#[derive(Default)]
pub(super) struct Inode {
    content: Vec<u8>,
    synced: Synced,
}

/// What a crash leaves.
enum Synced {
    /// This many bytes from the beginning: nothing of them was changed since.
    Beginning(usize),
    /// This, kept aside when some of it was changed.
    Aside(Vec<u8>),
}

impl Default for Synced {
    fn default() -> Self {
        Self::Beginning(0)
    }
}

impl Inode {
    /// A file that a crash leaves as it is.
    pub(super) fn synced(content: Vec<u8>) -> Self {
        Self { synced: Synced::Beginning(content.len()), content }
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        self.keep_synced(offset);
        let end = offset + data.len();
        if end > self.content.len() {
            self.content.resize(end, 0);
        }
        self.content[offset..end].copy_from_slice(data);
    }

    pub(super) fn clear(&mut self) {
        self.keep_synced(0);
        self.content = Vec::new();
    }

    pub(super) fn sync(&mut self) {
        self.synced = Synced::Beginning(self.content.len());
    }

    /// Gives up what was not synced, and tells whether there was something.
    pub(super) fn crash(&mut self) -> bool {
        let lost = match mem::take(&mut self.synced) {
            Synced::Beginning(bytes) => {
                let lost = bytes < self.content.len();
                self.content.truncate(bytes);
                lost
            }
            Synced::Aside(content) => mem::replace(&mut self.content, content) != self.content,
        };
        self.sync();
        lost
    }

    /// Sets the length, which a crash does not undo; zeros fill what is new.
    pub(super) fn resize(&mut self, bytes: usize) {
        self.content.resize(bytes, 0);
        self.sync();
    }

    /// Called before anything from `offset` on is changed.
    fn keep_synced(&mut self, offset: usize) {
        if let Synced::Beginning(bytes) = self.synced
            && offset < bytes
        {
            self.synced = Synced::Aside(self.content[..bytes].to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_crash(change: impl FnOnce(&mut Inode)) -> (bool, Vec<u8>) {
        let mut inode = Inode::synced(b"synced".to_vec());
        change(&mut inode);
        (inode.crash(), inode.content().to_vec())
    }

    #[test]
    fn a_crash_leaves_what_was_synced_last() {
        assert_eq!(after_crash(|_| ()), (false, b"synced".to_vec()));
        assert_eq!(after_crash(|inode| inode.write(6, b" not")), (true, b"synced".to_vec()));
        assert_eq!(after_crash(|inode| inode.write(2, b"__")), (true, b"synced".to_vec()));
        assert_eq!(after_crash(Inode::clear), (true, b"synced".to_vec()));
        let rewritten = after_crash(|inode| {
            inode.clear();
            inode.write(0, b"sy");
            inode.write(2, b"nc");
            inode.sync();
            inode.write(4, b"opated");
            inode.write(0, b"S");
        });
        assert_eq!(rewritten, (true, b"sync".to_vec()));
        let synced = after_crash(|inode| {
            inode.write(8, b"!");
            inode.sync();
        });
        assert_eq!(synced, (false, b"synced\0\0!".to_vec()));
    }

    #[test]
    fn a_second_crash_has_nothing_to_take() {
        let mut inode = Inode::default();
        inode.write(0, b"x");
        assert!(inode.crash());
        assert!(!inode.crash());
        assert_eq!(inode.content(), b"");
    }
}
