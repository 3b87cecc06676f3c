//! The tasks of all connections: each is forgotten when it ends, and all end with the set.

use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::env::Env;

struct Tasks<T> {
    next: u64,
    /// `None` between the reservation of a place and the spawn.
    running: BTreeMap<u64, Option<T>>,
}

struct Inner<T> {
    tasks: Mutex<Tasks<T>>,
    idle: Notify,
}

impl<T> Inner<T> {
    fn tasks(&self) -> MutexGuard<'_, Tasks<T>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tasks that end with it.
pub(super) struct TaskSet<E: Env> {
    env: E,
    inner: Arc<Inner<E::Task>>,
}

impl<E: Env> TaskSet<E> {
    pub(super) fn new(env: E) -> Self {
        let tasks = Mutex::new(Tasks { next: 0, running: BTreeMap::new() });
        Self { env, inner: Arc::new(Inner { tasks, idle: Notify::new() }) }
    }

    /// Tasks that have not ended.
    pub(super) fn len(&self) -> usize {
        self.inner.tasks().running.len()
    }

    /// Tells how many tasks have not ended, to whoever must not keep the set.
    #[cfg(feature = "leakcheck")]
    pub(super) fn counter(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.inner);
        move || inner.upgrade().map_or(0, |inner| inner.tasks().running.len())
    }

    /// Runs `future` as a task.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let (id, future) = self.reserve(future);
        self.keep(id, self.env.spawn(future));
    }

    /// Runs `future` as a task that gets datagrams all the time.
    pub(super) fn spawn_paced(&self, future: impl Future<Output = ()> + Send + 'static) {
        let (id, future) = self.reserve(future);
        self.keep(id, self.env.spawn_paced(future));
    }

    /// A place for the task that runs the future.
    fn reserve<F: Future<Output = ()> + Send + 'static>(
        &self,
        future: F,
    ) -> (u64, impl Future<Output = ()> + Send + 'static + use<F, E>) {
        let id = {
            let mut tasks = self.inner.tasks();
            tasks.next += 1;
            let id = tasks.next;
            tasks.running.insert(id, None);
            id
        };
        let leave = Leave { inner: Arc::clone(&self.inner), id };
        let leaving = async move {
            let _leave = leave;
            future.await;
        };
        (id, leaving)
    }

    fn keep(&self, id: u64, task: E::Task) {
        // The task may be over already; then nothing keeps its handle.
        let over = match self.inner.tasks().running.get_mut(&id) {
            Some(place) => {
                *place = Some(task);
                None
            }
            None => Some(task),
        };
        drop(over);
    }

    /// Completes once no task is left.
    pub(super) async fn idle(&self) {
        loop {
            let mut ended = pin!(self.inner.idle.notified());
            ended.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl<E: Env> fmt::Debug for TaskSet<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskSet").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<E: Env> Drop for TaskSet<E> {
    fn drop(&mut self) {
        // Ending a task drops its future, which takes the lock to leave the set.
        let running = std::mem::take(&mut self.inner.tasks().running);
        drop(running);
    }
}

/// Takes a task out of the set when it ends, also by a panic.
struct Leave<T> {
    inner: Arc<Inner<T>>,
    id: u64,
}

impl<T> Drop for Leave<T> {
    fn drop(&mut self) {
        let (task, idle) = {
            let mut tasks = self.inner.tasks();
            let task = tasks.running.remove(&self.id);
            let idle = tasks.running.is_empty();
            if idle {
                // An empty map keeps a node; at rest the gateway holds nothing of those who were there.
                tasks.running = BTreeMap::new();
            }
            (task, idle)
        };
        drop(task);
        if idle {
            self.inner.idle.notify_waiters();
        }
    }
}
