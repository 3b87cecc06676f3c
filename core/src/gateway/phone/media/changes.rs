//! The way of changes from the phone gateway to the task of a call's media.
//!
//! A task looks whether there is one each time it wakes, fifty times a second and more. tokio's channel is made for many senders:
//! what it has to look at is in several places in memory, which have left the cache since. Here it is in one.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::Change;

/// Changes that a task has not taken yet; one more is refused.
const CHANGES_MAX: usize = 32;

#[derive(Debug)]
struct Queue<S> {
    waiting: VecDeque<Change<S>>,
    is_over: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Shared<S>(Mutex<Queue<S>>);

impl<S> Shared<S> {
    fn queue(&self) -> MutexGuard<'_, Queue<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where changes are told. The call is over when it is dropped.
#[derive(Debug)]
pub(in crate::gateway::phone) struct Telling<S>(Arc<Shared<S>>);

/// Where they are heard.
#[derive(Debug)]
pub(in crate::gateway::phone) struct Changes<S>(Arc<Shared<S>>);

/// Both ends.
pub(in crate::gateway::phone) fn changes<S>() -> (Telling<S>, Changes<S>) {
    let queue = Queue { waiting: VecDeque::new(), is_over: false, waker: None };
    let shared = Arc::new(Shared(Mutex::new(queue)));
    (Telling(Arc::clone(&shared)), Changes(shared))
}

impl<S> Telling<S> {
    /// Tells a change. False if too many wait.
    pub(in crate::gateway::phone) fn tell(&self, change: Change<S>) -> bool {
        let mut queue = self.0.queue();
        let has_room = queue.waiting.len() < CHANGES_MAX;
        if has_room {
            queue.waiting.push_back(change);
            wake(queue);
        }
        has_room
    }
}

impl<S> Drop for Telling<S> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.is_over = true;
        wake(queue);
    }
}

fn wake<S>(mut queue: MutexGuard<'_, Queue<S>>) {
    let waker = queue.waker.take();
    drop(queue);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<S> Changes<S> {
    /// The next change, or `None` when the call is over and all were taken. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Change<S>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Change<S>>> {
        let mut queue = self.0.queue();
        match queue.waiting.pop_front() {
            Some(change) => Poll::Ready(Some(change)),
            None if queue.is_over => Poll::Ready(None),
            None => {
                match &mut queue.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    waker => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn all_that_was_told_is_heard_and_then_the_end() {
        let (telling, mut changes) = changes::<()>();
        let mut context = Context::from_waker(Waker::noop());
        let mut next = || pin!(changes.next()).poll(&mut context).map(|told| told.is_some());
        assert_eq!(next(), Poll::Pending);
        for _ in 0..CHANGES_MAX {
            assert!(telling.tell(Change::Confirmed));
        }
        assert!(!telling.tell(Change::Confirmed), "one too many");
        drop(telling);
        for _ in 0..CHANGES_MAX {
            assert_eq!(next(), Poll::Ready(true));
        }
        assert_eq!(next(), Poll::Ready(false));
    }

    #[test]
    fn who_waits_is_woken_by_a_change_and_by_the_end() {
        let (telling, mut changes) = changes::<()>();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        assert!(pin!(changes.next()).poll(&mut context).is_pending());
        assert!(telling.tell(Change::Confirmed));
        assert_eq!(woken.times(), 1);
        assert!(pin!(changes.next()).poll(&mut context).is_ready());
        assert!(pin!(changes.next()).poll(&mut context).is_pending());
        drop(telling);
        assert_eq!(woken.times(), 2);
    }

    #[derive(Default)]
    struct Woken(Mutex<usize>);

    impl Woken {
        fn times(&self) -> usize {
            *self.0.lock().unwrap()
        }
    }

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }
}
