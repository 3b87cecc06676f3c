//! Every task of every host, and the seeded choice of which runs next.
//!
//! A task is a future in a cell, which is its waker too. Waking it puts it, once, into the ready set; the next
//! to run is drawn from that set by the stream "order/tasks". The driver ([`crate::drive`]) asks for one
//! runnable at a time and polls it, with no lock held: a poll may spawn, wake and end tasks, its
//! own included. What is polled and in which order goes into a running hash.
//!
//! Time and the network are not here.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use crate::{
    confined::{Borrowed, Confined},
    heap::{self, Scope},
    rng::Rng,
    slab::{Key, Slab},
};

/// Which host, in the order they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub(crate) u32);

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task of a simulated host; dropping this ends the task and drops its future.
#[derive(Debug)]
#[must_use = "dropping the handle ends the task"]
pub struct SimTask {
    executor: Arc<Executor>,
    key: Key,
}

impl Drop for SimTask {
    fn drop(&mut self) {
        self.executor.end(self.key);
    }
}

/// The ready set and the tasks behind it.
#[derive(Debug)]
pub(crate) struct Executor {
    inner: Confined<Inner>,
    /// Whether the ready set is empty, for who asks often.
    is_idle: AtomicBool,
}

struct Inner {
    /// Those that have not ended.
    tasks: Slab<Arc<TaskCell>>,
    hosts: Vec<HostTasks>,
    ready: Vec<Arc<TaskCell>>,
    order: Rng,
    polls_hash: u64,
    /// The driver's waker while it sleeps; a wake-up during a poll has nobody to call.
    driver: Option<Waker>,
    closed: bool,
}

struct HostTasks {
    /// While its processes are frozen, tasks that were woken.
    frozen: Option<Vec<Arc<TaskCell>>>,
    live: usize,
    polls: u64,
    spawned: u32,
    scope: Scope,
}

/// A task and its waker.
struct TaskCell {
    executor: Arc<Executor>,
    is_ready: AtomicBool,
    /// The host and which of its tasks; `None` is the run's main future, which belongs to no host.
    name: Option<(HostId, u32)>,
    body: Confined<Body>,
}

struct Body {
    place: Place,
    /// Its place in the executor's table, once it has one.
    key: Option<Key>,
}

/// Where a task's future is.
enum Place {
    Here(BoxFuture),
    /// Being polled.
    Out,
    /// Nowhere: done, or ended.
    Ended,
}

impl TaskCell {
    fn body(&self) -> Borrowed<'_, Body> {
        self.body.borrow()
    }
}

impl TaskCell {
    /// Whether it was not woken before. One thread wakes: a read and a write are enough.
    fn becomes_ready(&self) -> bool {
        let was_ready = self.is_ready.load(Ordering::Relaxed);
        self.is_ready.store(true, Ordering::Relaxed);
        !was_ready
    }
}

impl Wake for TaskCell {
    fn wake(self: Arc<Self>) {
        if self.becomes_ready() {
            let executor = Arc::clone(&self.executor);
            executor.make_ready(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.becomes_ready() {
            self.executor.make_ready(Arc::clone(self));
        }
    }
}

/// What the executor chose to run next.
pub(crate) enum Runnable {
    /// The run's main future, to be polled with this waker.
    Main(Waker),
    /// A task; [`TaskTurn::poll`] runs it.
    Task(TaskTurn),
}

/// A task whose future was taken out for one poll.
pub(crate) struct TaskTurn {
    cell: Arc<TaskCell>,
    host: HostId,
    scope: Scope,
    future: BoxFuture,
}

impl TaskTurn {
    pub(crate) fn host(&self) -> HostId {
        self.host
    }

    /// Polls the task once and puts it back, or drops it when it is done or was ended meanwhile.
    pub(crate) fn poll(self) {
        let Self { cell, mut future, scope, .. } = self;
        let _scope = heap::enter(scope);
        let waker = Waker::from(Arc::clone(&cell));
        let outcome = future.as_mut().poll(&mut Context::from_waker(&waker));
        let left_over = {
            let mut body = cell.body();
            match (outcome, &body.place) {
                (Poll::Pending, Place::Out) => {
                    body.place = Place::Here(future);
                    None
                }
                _ => {
                    body.place = Place::Ended;
                    Some((future, body.key))
                }
            }
        };
        if let Some((future, key)) = left_over {
            drop(key.and_then(|key| cell.executor.lock().remove(key)));
            // No lock is held: what the future owns may spawn, wake and end tasks as it goes.
            drop(future);
        }
    }
}

impl Executor {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            inner: Confined::new(Inner {
                tasks: Slab::new(),
                hosts: Vec::new(),
                ready: Vec::new(),
                order: Rng::named(seed, "order/tasks"),
                polls_hash: 0,
                driver: None,
                closed: false,
            }),
            is_idle: AtomicBool::new(true),
        }
    }

    /// Makes room for one more host's tasks; hosts are counted from 0.
    pub(crate) fn add_host(&self) {
        self.lock().hosts.push(HostTasks {
            frozen: None,
            live: 0,
            polls: 0,
            spawned: 0,
            scope: Scope::Other,
        });
    }

    /// Sets whose heap account the host's tasks are polled and dropped on.
    pub(crate) fn set_scope(&self, host: HostId, scope: Scope) {
        self.lock().hosts[host.0 as usize].scope = scope;
    }

    pub(crate) fn spawn(
        self: &Arc<Self>,
        host: HostId,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> SimTask {
        let scope = self.lock().hosts[host.0 as usize].scope;
        let future: BoxFuture = {
            let _scope = heap::enter(scope);
            Box::pin(future)
        };
        let _scope = heap::enter(Scope::Sim);
        let mut inner = self.lock();
        let tasks = &mut inner.hosts[host.0 as usize];
        let name = (host, tasks.spawned);
        tasks.spawned += 1;
        tasks.live += 1;
        let cell = self.cell(Some(name), Place::Here(future));
        let key = inner.tasks.insert(Arc::clone(&cell));
        cell.body().key = Some(key);
        drop(inner);
        cell.wake();
        SimTask { executor: Arc::clone(self), key }
    }

    /// A waker for the run's main future, already woken.
    pub(crate) fn wake_main(self: &Arc<Self>) {
        self.cell(None, Place::Ended).wake();
    }

    fn cell(self: &Arc<Self>, name: Option<(HostId, u32)>, place: Place) -> Arc<TaskCell> {
        Arc::new(TaskCell {
            executor: Arc::clone(self),
            is_ready: AtomicBool::new(false),
            name,
            body: Confined::new(Body { place, key: None }),
        })
    }

    fn make_ready(&self, task: Arc<TaskCell>) {
        let driver = {
            let mut inner = self.lock();
            if inner.closed {
                return;
            }
            if inner.ready.len() == inner.ready.capacity() {
                // Whoever wakes pays for nothing.
                let _scope = heap::enter(Scope::Sim);
                inner.ready.reserve(1);
            }
            inner.ready.push(task);
            self.is_idle.store(false, Ordering::Relaxed);
            inner.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Whether anything waits to be polled.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }

    /// Has `waker` called at the next wake-up of any task.
    pub(crate) fn call_when_ready(&self, waker: &Waker) {
        self.lock().driver = Some(waker.clone());
    }

    /// Draws the next of the ready tasks. Tasks that ended after they were woken are skipped.
    pub(crate) fn next(self: &Arc<Self>) -> Option<Runnable> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        loop {
            let drawn = match inner.ready.len() {
                0 => {
                    self.is_idle.store(true, Ordering::Relaxed);
                    return None;
                }
                1 => 0,
                several => inner.order.below(several as u64) as usize,
            };
            let cell = inner.ready.swap_remove(drawn);
            self.is_idle.store(inner.ready.is_empty(), Ordering::Relaxed);
            let Some((host, sequence)) = cell.name else {
                cell.is_ready.store(false, Ordering::Relaxed);
                inner.mix(u32::MAX, 0);
                return Some(Runnable::Main(cell.into()));
            };
            let tasks = &mut inner.hosts[host.0 as usize];
            let mut body = cell.body();
            match &body.place {
                Place::Here(_) => {}
                // It ended after it was woken.
                Place::Ended => continue,
                Place::Out => unreachable!("one task is polled at a time"),
            }
            if let Some(frozen) = &mut tasks.frozen {
                // It stays woken, so that nobody wakes it again.
                drop(body);
                frozen.push(cell);
                continue;
            }
            cell.is_ready.store(false, Ordering::Relaxed);
            let Place::Here(future) = mem::replace(&mut body.place, Place::Out) else {
                unreachable!("looked at before")
            };
            drop(body);
            tasks.polls += 1;
            let scope = tasks.scope;
            inner.mix(host.0, sequence);
            return Some(Runnable::Task(TaskTurn { cell, host, scope, future }));
        }
    }

    /// Hash over every poll so far: which task of which host, in their order.
    pub(crate) fn polls_hash(&self) -> u64 {
        self.lock().polls_hash
    }

    /// Tasks of `host` that have not ended.
    pub(crate) fn task_count(&self, host: HostId) -> usize {
        self.lock().hosts[host.0 as usize].live
    }

    /// Polls of the tasks of `host` so far.
    pub(crate) fn polls(&self, host: HostId) -> u64 {
        self.lock().hosts[host.0 as usize].polls
    }

    fn end(&self, key: Key) {
        let (future, scope) = {
            let mut inner = self.lock();
            let Some(cell) = inner.remove(key) else { return };
            let place = mem::replace(&mut cell.body().place, Place::Ended);
            let (host, _) = cell.name.expect("main is in no slab");
            (place, inner.hosts[host.0 as usize].scope)
        };
        let _scope = heap::enter(scope);
        drop(future);
    }

    /// Keeps tasks of `host` from being polled, or lets those that were woken meanwhile run.
    pub(crate) fn set_frozen(&self, host: HostId, is_frozen: bool) {
        let _scope = heap::enter(Scope::Sim);
        let mut inner = self.lock();
        let frozen = &mut inner.hosts[host.0 as usize].frozen;
        if is_frozen {
            frozen.get_or_insert_default();
            return;
        }
        let woken = frozen.take().unwrap_or_default();
        inner.ready.extend(woken);
        self.is_idle.store(inner.ready.is_empty(), Ordering::Relaxed);
        let driver = inner.driver.take();
        drop(inner);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Ends every task of `host`, those included that the ending of others spawns.
    pub(crate) fn end_host(&self, host: HostId) {
        self.end_all(|of| of == host);
    }

    /// Ends everything and ignores wake-ups from now on.
    pub(crate) fn close(&self) {
        self.end_all(|_| true);
        let mut inner = self.lock();
        inner.closed = true;
        let ready = mem::take(&mut inner.ready);
        let frozen: Vec<_> = inner.hosts.iter_mut().map(|host| host.frozen.take()).collect();
        drop(inner);
        drop((ready, frozen));
    }

    fn end_all(&self, is_meant: impl Fn(HostId) -> bool) {
        loop {
            let inner = self.lock();
            let is_meant = |cell: &TaskCell| cell.name.is_some_and(|(host, _)| is_meant(host));
            let meant = inner.tasks.iter().filter(|(_, cell)| is_meant(cell));
            let keys: Vec<Key> = meant.map(|(key, _)| key).collect();
            drop(inner);
            if keys.is_empty() {
                return;
            }
            keys.into_iter().for_each(|key| self.end(key));
        }
    }

    fn lock(&self) -> Borrowed<'_, Inner> {
        self.inner.borrow()
    }
}

impl Inner {
    fn remove(&mut self, key: Key) -> Option<Arc<TaskCell>> {
        let cell = self.tasks.remove(key)?;
        if let Some((host, _)) = cell.name {
            self.hosts[host.0 as usize].live -= 1;
        }
        Some(cell)
    }

    fn mix(&mut self, host: u32, sequence: u32) {
        let polled = u64::from(host) << 32 | u64::from(sequence);
        self.polls_hash =
            (self.polls_hash.rotate_left(23) ^ polled).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}
