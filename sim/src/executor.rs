//! Every task of every host, and the seeded choice of which runs next.
//!
//! A task is a future in one slab. Waking it puts it, once, into the ready set; the next to run is
//! drawn from that set by the stream "order/tasks". The driver ([`crate::drive`]) has tasks polled
//! until it is needed itself. Nothing is borrowed during a poll: it may spawn, wake and end tasks, its
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
    task::{Context, Waker},
};

use futures_task::{ArcWake, waker_ref};

use crate::{
    confined::{Borrowed, Confined},
    heap::{self, Scope},
    prefetch::{prefetch, prefetch_start},
    rng::Rng,
    slab::{Key, Slab},
};

/// Which host, in the order they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub(crate) u32);

/// With fewer tasks that are ready, what they touch is in the cache anyway.
const PREFETCH_TASKS_MIN: usize = 500;

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
    tasks: Slab<Task>,
    hosts: Vec<HostTasks>,
    /// `None` is the run's main future, which belongs to no host.
    ready: Vec<Option<Key>>,
    /// The main future's waker during a run.
    main: Option<Arc<TaskWaker>>,
    order: Rng,
    /// The draws that choose the next tasks, made ahead so that it can be guessed which these will be.
    draws: [u64; 2],
    polls_hash: u64,
    /// The driver's waker while it sleeps; a wake-up during a poll has nobody to call.
    driver: Option<Waker>,
    closed: bool,
}

struct Task {
    host: HostId,
    /// Absent while the task is being polled.
    parts: Option<Parts>,
}

/// What a poll takes out of the slab and puts back, so that it counts no references.
struct Parts {
    future: BoxFuture,
    waker: Arc<TaskWaker>,
}

struct HostTasks {
    /// While its processes are frozen, tasks that were woken.
    frozen: Option<Vec<Key>>,
    live: usize,
    polls: u64,
    spawned: u32,
    scope: Scope,
}

struct TaskWaker {
    executor: Arc<Executor>,
    /// As in the ready set.
    key: Option<Key>,
    /// Counts the tasks of a host.
    sequence: u32,
    /// Whether it is in the ready set, or was woken while frozen.
    is_ready: AtomicBool,
}

impl TaskWaker {
    /// Whether it was not woken before. One thread wakes: a read and a write are enough.
    fn becomes_ready(&self) -> bool {
        let was_ready = self.is_ready.load(Ordering::Relaxed);
        self.is_ready.store(true, Ordering::Relaxed);
        !was_ready
    }
}

impl ArcWake for TaskWaker {
    fn wake_by_ref(task: &Arc<Self>) {
        if task.becomes_ready() {
            task.executor.make_ready(task.key);
        }
    }
}

/// A task taken out of the slab for one poll.
struct Turn {
    key: Key,
    host: HostId,
    scope: Scope,
    parts: Parts,
}

/// Whose turn it is.
enum Drawn {
    /// The run's main future, which is to be polled with this waker.
    Main(Waker),
    Task(Turn),
    /// Nobody's.
    Nobody,
}

impl Executor {
    pub(crate) fn new(seed: u64) -> Self {
        let mut order = Rng::named(seed, "order/tasks");
        let draws = [order.next_u64(), order.next_u64()];
        Self {
            inner: Confined::new(Inner {
                tasks: Slab::new(),
                hosts: Vec::new(),
                ready: Vec::new(),
                main: None,
                order,
                draws,
                polls_hash: 0,
                driver: None,
                closed: false,
            }),
            is_idle: AtomicBool::new(true),
        }
    }

    /// Makes room for one more host's tasks; hosts are counted from 0.
    pub(crate) fn add_host(&self) {
        self.inner().hosts.push(HostTasks {
            frozen: None,
            live: 0,
            polls: 0,
            spawned: 0,
            scope: Scope::Other,
        });
    }

    /// Sets whose heap account the host's tasks are polled and dropped on.
    pub(crate) fn set_scope(&self, host: HostId, scope: Scope) {
        self.inner().hosts[host.0 as usize].scope = scope;
    }

    pub(crate) fn spawn(
        self: &Arc<Self>,
        host: HostId,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> SimTask {
        let scope = self.inner().hosts[host.0 as usize].scope;
        let future: BoxFuture = {
            let _scope = heap::enter(scope);
            Box::pin(future)
        };
        let _scope = heap::enter(Scope::Sim);
        let mut inner = self.inner();
        let tasks = &mut inner.hosts[host.0 as usize];
        let sequence = tasks.spawned;
        tasks.spawned += 1;
        tasks.live += 1;
        let key = inner.tasks.insert(Task { host, parts: None });
        let waker = self.waker(Some(key), sequence);
        let task = inner.tasks.get_mut(key).expect("it has just been put there");
        task.parts = Some(Parts { future, waker: Arc::clone(&waker) });
        drop(inner);
        waker.wake();
        SimTask { executor: Arc::clone(self), key }
    }

    /// Makes a waker for a run's main future, and wakes it.
    pub(crate) fn wake_main(self: &Arc<Self>) {
        let waker = self.waker(None, 0);
        self.inner().main = Some(Arc::clone(&waker));
        waker.wake();
    }

    fn waker(self: &Arc<Self>, key: Option<Key>, sequence: u32) -> Arc<TaskWaker> {
        let (executor, is_ready) = (Arc::clone(self), AtomicBool::new(false));
        Arc::new(TaskWaker { executor, key, sequence, is_ready })
    }

    fn make_ready(&self, key: Option<Key>) {
        let driver = {
            let mut inner = self.inner();
            if inner.closed {
                return;
            }
            if inner.ready.len() == inner.ready.capacity() {
                // Whoever wakes pays for nothing.
                let _scope = heap::enter(Scope::Sim);
                inner.ready.reserve(1);
            }
            inner.ready.push(key);
            self.is_idle.store(false, Ordering::Relaxed);
            inner.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Whether nothing waits to be polled.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }

    /// Has `waker` called at the next wake-up of any task.
    pub(crate) fn call_when_ready(&self, waker: &Waker) {
        self.inner().driver = Some(waker.clone());
    }

    /// Polls ready tasks, in the order in which they are drawn, until none is left or it is the main future's turn,
    /// for which its waker is returned. Hosts are told of to `before` a poll, and `after` it.
    ///
    /// # Errors
    /// That of `after`, after which no task is polled.
    pub(crate) fn poll_tasks<E>(
        &self,
        mut before: impl FnMut(HostId),
        mut after: impl FnMut(HostId) -> Result<(), E>,
    ) -> Result<Option<Waker>, E> {
        let mut inner = self.inner();
        let result = loop {
            let Turn { key, host, scope, mut parts } = match inner.draw() {
                Drawn::Task(turn) => turn,
                Drawn::Main(waker) => break Ok(Some(waker)),
                Drawn::Nobody => break Ok(None),
            };
            drop(inner);
            before(host);
            let is_over = {
                let _scope = heap::enter(scope);
                let Parts { future, waker } = &mut parts;
                future.as_mut().poll(&mut Context::from_waker(&waker_ref(waker))).is_ready()
            };
            inner = self.inner();
            // A task is put back unless it is done, or was ended meanwhile.
            match inner.tasks.get_mut(key) {
                Some(task) if !is_over => task.parts = Some(parts),
                task => {
                    if task.is_some() {
                        inner.remove(key);
                    }
                    drop(inner);
                    // What the future owns may spawn, wake and end tasks as it goes.
                    let _scope = heap::enter(scope);
                    drop(parts);
                    inner = self.inner();
                }
            }
            if let Err(error) = after(host) {
                break Err(error);
            }
        };
        self.is_idle.store(inner.ready.is_empty(), Ordering::Relaxed);
        result
    }

    /// Hash over every poll so far: which task of which host, in their order.
    pub(crate) fn polls_hash(&self) -> u64 {
        self.inner().polls_hash
    }

    /// Tasks of `host` that have not ended.
    pub(crate) fn task_count(&self, host: HostId) -> usize {
        self.inner().hosts[host.0 as usize].live
    }

    /// Polls of the tasks of `host` so far.
    pub(crate) fn polls(&self, host: HostId) -> u64 {
        self.inner().hosts[host.0 as usize].polls
    }

    fn end(&self, key: Key) {
        let (task, scope) = {
            // Whoever ends a task does not pay for the list of free places.
            let _scope = heap::enter(Scope::Sim);
            let mut inner = self.inner();
            let Some(task) = inner.remove(key) else { return };
            let scope = inner.hosts[task.host.0 as usize].scope;
            (task, scope)
        };
        let _scope = heap::enter(scope);
        drop(task);
    }

    /// Keeps tasks of `host` from being polled, or lets those that were woken meanwhile run.
    pub(crate) fn set_frozen(&self, host: HostId, is_frozen: bool) {
        let _scope = heap::enter(Scope::Sim);
        let mut inner = self.inner();
        let frozen = &mut inner.hosts[host.0 as usize].frozen;
        if is_frozen {
            frozen.get_or_insert_default();
            return;
        }
        let woken = frozen.take().unwrap_or_default();
        inner.ready.extend(woken.into_iter().map(Some));
        self.is_idle.store(inner.ready.is_empty(), Ordering::Relaxed);
        let driver = inner.driver.take();
        drop(inner);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Ends every task of `host`, those included that the ending of others spawns.
    pub(crate) fn end_host(&self, host: HostId) {
        self.end_all(|task| task.host == host);
    }

    /// Ends everything and ignores wake-ups from now on.
    pub(crate) fn close(&self) {
        self.end_all(|_| true);
        let mut inner = self.inner();
        inner.closed = true;
        let ready = mem::take(&mut inner.ready);
        let frozen: Vec<_> = inner.hosts.iter_mut().map(|host| host.frozen.take()).collect();
        let main = inner.main.take();
        drop(inner);
        drop((ready, frozen, main));
    }

    fn end_all(&self, is_meant: impl Fn(&Task) -> bool) {
        loop {
            let inner = self.inner();
            let meant = inner.tasks.iter().filter(|(_, task)| is_meant(task));
            let keys: Vec<Key> = meant.map(|(key, _)| key).collect();
            drop(inner);
            if keys.is_empty() {
                return;
            }
            keys.into_iter().for_each(|key| self.end(key));
        }
    }

    fn inner(&self) -> Borrowed<'_, Inner> {
        self.inner.borrow()
    }
}

impl Inner {
    fn remove(&mut self, key: Key) -> Option<Task> {
        let task = self.tasks.remove(key)?;
        self.hosts[task.host.0 as usize].live -= 1;
        Some(task)
    }

    /// Draws the next of the ready tasks. Tasks that ended after they were woken are skipped.
    #[inline(always)] // a turn is copied otherwise, for every poll
    fn draw(&mut self) -> Drawn {
        loop {
            let drawn = match self.ready.len() {
                0 => return Drawn::Nobody,
                1 => 0,
                several => self.draw_below(several),
            };
            let Some(key) = self.ready.swap_remove(drawn) else {
                let main = self.main.clone().expect("a run has a main future");
                main.is_ready.store(false, Ordering::Relaxed);
                self.mix(u32::MAX, 0);
                return Drawn::Main(futures_task::waker(main));
            };
            let Some(task) = self.tasks.get_mut(key) else { continue };
            let host = task.host;
            let tasks = &mut self.hosts[host.0 as usize];
            if let Some(frozen) = &mut tasks.frozen {
                // It stays woken, so that nobody wakes it again.
                frozen.push(key);
                continue;
            }
            tasks.polls += 1;
            let scope = tasks.scope;
            let parts = task.parts.take().expect("one task is polled at a time");
            parts.waker.is_ready.store(false, Ordering::Relaxed);
            self.mix(host.0, parts.waker.sequence);
            self.prefetch();
            return Drawn::Task(Turn { key, host, scope, parts });
        }
    }

    /// A number below `n`.
    fn draw_below(&mut self, n: usize) -> usize {
        let drawn = scale(self.draws[0], n);
        self.draws = [self.draws[1], self.order.next_u64()];
        drawn
    }

    /// Has what the next polls touch come into the cache, as long as nobody wakes another task before.
    fn prefetch(&self) {
        if self.ready.len() < PREFETCH_TASKS_MIN {
            return;
        }
        let last = self.ready.len() - 1;
        let next = scale(self.draws[0], last + 1);
        let second = scale(self.draws[1], last);
        // The last one takes the place of the next.
        let place = if second == next { last } else { second };
        if let Some(key) = self.ready[place] {
            self.tasks.prefetch(key);
        }
        if let Some(task) = self.ready[next].and_then(|key| self.tasks.get(key))
            && let Some(Parts { future, waker }) = &task.parts
        {
            prefetch(&**waker);
            prefetch_start(&**future);
        }
    }

    fn mix(&mut self, host: u32, sequence: u32) {
        let polled = u64::from(host) << 32 | u64::from(sequence);
        self.polls_hash =
            (self.polls_hash.rotate_left(23) ^ polled).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// A number below `n`, of a uniform one; the bias is below one in 2^32 for fewer than 2^32 of them.
fn scale(uniform: u64, n: usize) -> usize {
    ((u128::from(uniform) * n as u128) >> 64) as usize
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}
