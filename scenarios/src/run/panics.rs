//! Panics of a run: each is noted with its message and place, and ends the run it is in, not those after it.

use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::{Arc, Mutex, Once},
};

use rehearsal_sim::heap::{self, Scope};

thread_local! {
    /// Where panics of this thread are noted, if anywhere.
    static NOTED_IN: RefCell<Option<Panics>> = const { RefCell::new(None) };
}

/// What panicked on the threads that note it here, in order. Clones are handles to the same list.
#[derive(Clone, Debug, Default)]
pub(super) struct Panics(Arc<Mutex<Vec<String>>>);

/// Ends the noting of a thread's panics when it is dropped.
#[must_use = "the noting ends when this is dropped"]
pub(super) struct Noting;

impl Drop for Noting {
    fn drop(&mut self) {
        NOTED_IN.set(None);
    }
}

impl Panics {
    /// Has every panic of the calling thread noted here until the guard is dropped, caught or not, and told as it would be
    /// without.
    pub(super) fn note_here(&self) -> Noting {
        self.note_on_this_thread();
        Noting
    }

    /// The same for a thread that ends with the run.
    pub(super) fn note_on_this_thread(&self) {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let tell = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                // The list of panics and what is printed outlive whoever panics.
                let _scope = heap::enter(Scope::Other);
                note(info);
                tell(info);
            }));
        });
        NOTED_IN.set(Some(self.clone()));
    }

    /// Notes `panicked` once more.
    pub(super) fn add(&self, panicked: &[String]) {
        self.0.lock().expect("no panic under the lock").extend_from_slice(panicked);
    }

    /// Everything noted so far, which is then forgotten.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic under the lock"))
    }
}

fn note(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str();
    let place = info.location().map_or_else(|| "a place unknown".to_owned(), ToString::to_string);
    let what = format!("panicked at {place}: {}", message.unwrap_or("no message"));
    // A thread that ends has no list any more, and nobody who would read it.
    let _ = NOTED_IN.try_with(|panics| {
        if let Some(Panics(noted)) = &*panics.borrow() {
            noted.lock().expect("no panic under the lock").push(what);
        }
    });
}

/// What `run` gives; `None` when it panics. Panics that follow from that one are not noted.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    if outcome.is_err() {
        NOTED_IN.set(None);
    }
    outcome.ok()
}
