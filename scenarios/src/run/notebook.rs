//! Notes of clients on networks that keep no trace.

use std::sync::{Arc, Mutex};

use rehearsal_sim::{clients::publisher::Notes, trace::Note};
use tokio::time::Instant;

/// What everybody noted. Clones write into the same.
#[derive(Clone, Default)]
pub(super) struct Notebook(Arc<Mutex<Vec<Note>>>);

impl Notebook {
    /// Takes the notes of `who`; times count from `origin`.
    pub(super) fn of(&self, who: &str, origin: Instant) -> Notes {
        let (notes, who) = (Arc::clone(&self.0), who.to_owned());
        Arc::new(move |what: &str| {
            let at_ns = origin.elapsed().as_nanos() as u64;
            let note = Note { at_ns, who: who.clone(), what: what.to_owned() };
            notes.lock().expect("no panic under the lock").push(note);
        })
    }

    /// Everything noted so far, by time.
    pub(super) fn take(&self) -> Vec<Note> {
        let mut notes = std::mem::take(&mut *self.0.lock().expect("no panic under the lock"));
        notes.sort_by_key(|note| note.at_ns);
        notes
    }
}
