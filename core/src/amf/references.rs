//! Which values of a message can be referred to, and where they are.
//!
//! The table holds offsets, not values: a reference is resolved by decoding its target once more.
//! A message without references then pays nothing for them, and the limits on values and bytes hold
//! for repeated ones without further counting.

use super::DecodeError;

/// The objects of one message in the order they begin.
#[derive(Default)]
pub(super) struct References {
    targets: Vec<Target>,
    replays: usize,
}

struct Target {
    start: usize,
    is_open: bool,
}

/// An object between its first byte and its last; given back to [`References::close`].
pub(super) struct Open(Option<usize>);

impl References {
    /// An object begins at offset `start`. While a target is decoded once more, its objects have
    /// their places already.
    pub(super) fn open(&mut self, start: usize) -> Open {
        if self.is_replaying() {
            return Open(None);
        }
        self.targets.push(Target { start, is_open: true });
        Open(Some(self.targets.len() - 1))
    }

    /// The object is complete.
    pub(super) fn close(&mut self, open: Open) {
        if let Open(Some(index)) = open {
            self.targets[index].is_open = false;
        }
    }

    /// Goes back for object `index`: its offset. What is decoded until [`References::replayed`]
    /// has been decoded before.
    pub(super) fn replay(&mut self, index: usize) -> Result<usize, DecodeError> {
        match self.targets.get(index) {
            None => Err(DecodeError::UnknownReference(index)),
            Some(target) if target.is_open => Err(DecodeError::CircularReference(index)),
            Some(target) => {
                self.replays += 1;
                Ok(target.start)
            }
        }
    }

    /// The object last gone back for is decoded.
    pub(super) fn replayed(&mut self) {
        self.replays -= 1;
    }

    pub(super) fn is_replaying(&self) -> bool {
        self.replays > 0
    }
}
