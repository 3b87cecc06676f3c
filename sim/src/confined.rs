//! A value that belongs to the thread that made it, for state that is touched several times for every packet.
//!
//! The seam wants handles that may be sent anywhere, while a world runs on one thread. A mutex would keep that
//! promise with two atomic operations at each touch, which cost a run a third of its time. This keeps it by
//! refusing: whoever touches the value from another thread, or while it is borrowed, gets a panic that
//! says so.

use std::{
    cell::{Cell, UnsafeCell},
    marker::PhantomData,
    ops::{Deref, DerefMut},
    thread,
};

thread_local! {
    /// Its address tells threads apart that live at the same time.
    static MARK: u8 = const { 0 };
}

fn this_thread() -> usize {
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// Whether a value may be borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Borrowed,
    /// A panic has passed while it was borrowed: it may be half changed.
    Broken,
}

/// A value that only the thread that made this can borrow, once at a time.
pub(crate) struct Confined<T> {
    thread: usize,
    state: Cell<State>,
    value: UnsafeCell<T>,
}

// SAFETY: `state` and `value` are only touched after the calling thread has been found to be the one
// that made this (a mark of a thread that has ended could be another's only after the value's own thread
// has ended, and then nobody runs beside it). The value itself may be dropped on another
// thread, hence `T: Send`.
unsafe impl<T: Send> Sync for Confined<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Confined<T> {}

impl<T> Confined<T> {
    pub(crate) fn new(value: T) -> Self {
        let (state, value) = (Cell::new(State::Free), UnsafeCell::new(value));
        Self { thread: this_thread(), state, value }
    }

    /// Borrows the value.
    ///
    /// # Panics
    /// On another thread, while it is borrowed, and after a panic has passed while it was.
    #[track_caller]
    pub(crate) fn borrow(&self) -> Borrowed<'_, T> {
        self.borrow_unless_broken().expect("a panic has left this half changed")
    }

    /// Borrows the value, unless a panic has passed while it was borrowed.
    ///
    /// # Panics
    /// On another thread, and while it is borrowed.
    #[track_caller]
    pub(crate) fn borrow_unless_broken(&self) -> Option<Borrowed<'_, T>> {
        assert!(self.thread == this_thread(), "a world is used on the thread that made it");
        match self.state.get() {
            State::Free => {
                self.state.set(State::Borrowed);
                let was_panicking = thread::panicking();
                Some(Borrowed { confined: self, was_panicking, _not_send: PhantomData })
            }
            State::Broken => None,
            State::Borrowed => panic!("this part of the world is being changed"),
        }
    }
}

impl<T> std::fmt::Debug for Confined<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Confined").finish_non_exhaustive()
    }
}

/// The borrowed value.
pub(crate) struct Borrowed<'a, T> {
    confined: &'a Confined<T>,
    /// A panic was under way already, as when what it unwinds lets go of things.
    was_panicking: bool,
    /// It stays on the thread that was found to be the right one.
    _not_send: PhantomData<*const ()>,
}

impl<T> Deref for Borrowed<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the one `Borrowed` at a time, on the one thread, is `self`.
        unsafe { &*self.confined.value.get() }
    }
}

impl<T> DerefMut for Borrowed<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { &mut *self.confined.value.get() }
    }
}

impl<T> Drop for Borrowed<'_, T> {
    fn drop(&mut self) {
        let is_broken = !self.was_panicking && thread::panicking();
        self.confined.state.set(if is_broken { State::Broken } else { State::Free });
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn panics(what: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(what)).is_err()
    }

    #[test]
    fn one_borrow_at_a_time() {
        let confined = Confined::new(1);
        let first = confined.borrow();
        assert!(panics(|| drop(confined.borrow())));
        drop(first);
        *confined.borrow() += 1;
        assert_eq!(*confined.borrow(), 2);
    }

    #[test]
    fn another_thread_is_refused() {
        let confined = Confined::new(1);
        #[allow(clippy::disallowed_methods, reason = "another thread is what this is about")]
        let refused = thread::scope(|scope| {
            scope.spawn(|| panics(|| drop(confined.borrow()))).join().expect("caught there")
        });
        assert!(refused);
        assert_eq!(*confined.borrow(), 1);
    }

    #[test]
    fn a_panic_leaves_it_broken() {
        let confined = Confined::new(1);
        let breaks = panics(|| {
            let _borrowed = confined.borrow();
            panic!("half-way");
        });
        assert!(breaks && confined.borrow_unless_broken().is_none());
        assert!(panics(|| drop(confined.borrow())));
    }
}
