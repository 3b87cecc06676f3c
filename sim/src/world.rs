//! A world: hosts, one clock, one seed, and the call that runs it.

use std::{
    cell::Cell,
    collections::BTreeMap,
    future::{Future, poll_fn},
    ops::{Deref, DerefMut},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use rehearsal_core::points;
use tokio::{
    runtime::{Builder, Runtime},
    task::coop::unconstrained,
    time::Instant,
};

use crate::{
    confined::{Borrowed, Confined},
    drive::{Driver, Halt},
    env::SimEnv,
    executor::{Executor, HostId},
    fabric::{
        Fabric, arrivals::ArrivedDatagram, link::LinkConfig, losses::LostDatagram, netstat::Netstat,
    },
    guard::{self, Breach},
    heap::{self, Scope},
    points::Points,
    trace::Trace,
};

/// Polls that one virtual instant may see before the run is taken to spin.
pub const POLLS_PER_INSTANT_MAX: u64 = 1_000_000;

/// Why a run ended before its main future did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The limit of virtual time was reached. A run in which nothing will ever happen again gets
    /// here too, at once.
    #[error("the run's limit of {limit:?} is over and main is not done")]
    OutOfTime {
        /// The limit of this run.
        limit: Duration,
    },
    /// [`POLLS_PER_INSTANT_MAX`] polls passed and time did not: some task wakes itself for ever.
    #[error("{POLLS_PER_INSTANT_MAX} polls at {at:?}, the last one of {who}")]
    TooManyPolls {
        /// The instant, since the world began.
        at: Duration,
        /// The host whose task was polled last, or "main".
        who: String,
    },
    /// Something in the run asked for a real clock, entropy, sleep, thread, socket, file or process. Only where
    /// [`GUARD_STANDS`](crate::GUARD_STANDS).
    #[error(
        "{who} called {} at {at:?}, which leaves the simulation; use {}. RUST_BACKTRACE=1 shows where",
        .breach.call, .breach.instead
    )]
    RealWorld {
        /// The call.
        breach: Breach,
        /// When, since the world began.
        at: Duration,
        /// The host whose task called, or "main".
        who: String,
    },
}

thread_local! {
    /// When the world began that runs on this thread.
    static RUNNING_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Virtual time of the world that runs on this thread, for the lines of a log; `None` outside of a run.
pub fn virtual_time() -> Option<Duration> {
    RUNNING_SINCE.get().map(|start| start.elapsed())
}

/// Marks this thread as one that runs a world.
struct Running;

impl Running {
    fn since(start: Instant) -> Self {
        RUNNING_SINCE.set(Some(start));
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING_SINCE.set(None);
    }
}

/// What the tasks' side and the driver share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) executor: Arc<Executor>,
    fabric: Confined<Fabric>,
    /// How far wall clocks were set forward, in milliseconds; of hosts where they were set.
    wall_clock_steps_ms: Confined<BTreeMap<HostId, i64>>,
    pub(crate) points: Confined<Points>,
}

/// The fabric, borrowed; what it allocates meanwhile is the simulation's own.
pub(crate) struct FabricGuard<'a> {
    fabric: Borrowed<'a, Fabric>,
    _scope: heap::Guard,
}

impl Deref for FabricGuard<'_> {
    type Target = Fabric;

    fn deref(&self) -> &Fabric {
        &self.fabric
    }
}

impl DerefMut for FabricGuard<'_> {
    fn deref_mut(&mut self) -> &mut Fabric {
        &mut self.fabric
    }
}

impl Shared {
    pub(crate) fn fabric(&self) -> FabricGuard<'_> {
        let _scope = heap::enter(Scope::Sim);
        FabricGuard { fabric: self.fabric.borrow(), _scope }
    }

    /// How far the wall clock of `host` was set forward, in milliseconds.
    pub(crate) fn wall_clock_step_ms(&self, host: HostId) -> i64 {
        self.wall_clock_steps_ms.borrow().get(&host).copied().unwrap_or(0)
    }

    /// Sets the wall clock of `host` forward or back.
    pub(crate) fn step_wall_clock(&self, host: HostId, step_ms: i64) {
        let _scope = heap::enter(Scope::Sim);
        let mut steps_ms = self.wall_clock_steps_ms.borrow();
        let all_ms = steps_ms.entry(host).or_default();
        *all_ms = all_ms.saturating_add(step_ms);
        guard::on_wall_clock_step(host, *all_ms);
    }

    /// The fabric for a handle that is being dropped, which may be because the fabric panicked.
    pub(crate) fn fabric_unless_broken(&self) -> Option<FabricGuard<'_>> {
        let _scope = heap::enter(Scope::Sim);
        self.fabric.borrow_unless_broken().map(|fabric| FabricGuard { fabric, _scope })
    }
}

/// A simulated world, for the thread that makes it: its handles panic on others. Dropping it ends every task in
/// it.
#[derive(Debug)]
pub struct World {
    seed: u64,
    shared: Arc<Shared>,
    hosts: Vec<SimEnv>,
    runtime: Runtime,
    start: Instant,
}

impl World {
    /// An empty world whose every choice is fixed by `seed`.
    ///
    /// # Panics
    /// Inside of a tokio runtime: a world brings its own.
    pub fn new(seed: u64) -> Self {
        let _scope = heap::enter(Scope::Sim);
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing of the system");
        let start = runtime.block_on(async { Instant::now() });
        let shared = Shared {
            executor: Arc::new(Executor::new(seed)),
            fabric: Confined::new(Fabric::new(seed)),
            wall_clock_steps_ms: Confined::new(BTreeMap::new()),
            points: Confined::new(Points::default()),
        };
        Self { seed, shared: Arc::new(shared), hosts: Vec::new(), runtime, start }
    }

    /// The seed this world was made with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds a host and gives its handle. Addresses are given in order, from 10.0.0.1.
    ///
    /// # Panics
    /// When a host has this name: names choose the streams of randomness.
    pub fn add_host(&mut self, name: &str, link: LinkConfig) -> SimEnv {
        let _scope = heap::enter(Scope::Sim);
        assert!(self.hosts.iter().all(|host| host.name() != name), "two hosts are called {name}");
        self.shared.executor.add_host();
        let (host, ip) = self.shared.fabric().add_host(name, link);
        let env = SimEnv::new(Arc::clone(&self.shared), self.seed, host, name, ip);
        self.hosts.push(env.clone());
        env
    }

    /// Every host, in the order they were added.
    pub fn hosts(&self) -> &[SimEnv] {
        &self.hosts
    }

    /// Virtual time since the world began.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.shared.fabric().net.now_ns)
    }

    /// Looks into the record of everything that happened so far. `look` must not touch the world.
    pub fn trace<R>(&self, look: impl FnOnce(&mut Trace) -> R) -> R {
        look(&mut self.shared.fabric().net.trace)
    }

    /// Has datagrams kept that links drop from now on, for [`World::lost_datagrams`].
    pub fn keep_lost_datagrams(&self) {
        self.shared.fabric().net.losses.keep();
    }

    /// Datagrams that links have dropped, in order.
    pub fn lost_datagrams(&self) -> Vec<LostDatagram> {
        self.shared.fabric().net.losses.log().to_vec()
    }

    /// Has the heads of datagrams kept that come to sockets of `host` from now on, for [`World::arrived_datagrams`].
    pub fn keep_arrivals_at(&self, host: &SimEnv) {
        self.shared.fabric().net.arrivals.keep_at(host.host.id);
    }

    /// Datagrams that have come to sockets of the host of [`World::keep_arrivals_at`], in order.
    pub fn arrived_datagrams(&self) -> Vec<ArrivedDatagram> {
        self.shared.fabric().net.arrivals.log().to_vec()
    }

    /// Has the sockets of every host listed as they are at the end of the instant `at`, which is to
    /// come; [`World::netstat`] gives the list. A list asked for before is forgotten.
    pub fn take_netstat_at(&self, at: Duration) {
        let at_ns = u64::try_from(at.as_nanos()).expect("the time is below 584 years");
        self.shared.fabric().take_netstat_at(at_ns);
    }

    /// The list that [`World::take_netstat_at`] asked for, by host, if time has passed that instant.
    pub fn netstat(&self) -> Option<Vec<(String, Netstat)>> {
        let names = self.hosts.iter().map(|host| host.name().to_owned());
        let taken = self.shared.fabric().snapshot.taken.clone()?;
        Some(names.zip(taken).collect())
    }

    /// Runs the world until `main`, which runs on no host, is done; at most for `limit` of virtual
    /// time, rounded up to a millisecond. A later run continues where this one ended.
    ///
    /// # Errors
    /// [`RunError`], when `main` does not come to its end.
    ///
    /// # Panics
    /// When a task or `main` panics.
    pub fn run<T>(&self, limit: Duration, main: impl Future<Output = T>) -> Result<T, RunError> {
        let main_scope = heap::current();
        let _scope = heap::enter(Scope::Sim);
        let _running = Running::since(self.start);
        let shared = Arc::clone(&self.shared);
        let _watching = points::watch(move |point| shared.pass(point));
        // What `main` owns may ask for the time as it goes, and it goes behind the driver.
        let _context = self.runtime.enter();
        let mut output = None;
        let outcome = self.drive(limit, main_scope, pin!(async { output = Some(main.await) }));
        let name = |last: Option<HostId>| {
            last.map_or("main", |host| self.hosts[host.0 as usize].name()).to_owned()
        };
        outcome.map(|()| output.expect("it is done")).map_err(|halt| match halt {
            Halt::OutOfTime => RunError::OutOfTime { limit },
            Halt::TooManyPolls { last } => {
                RunError::TooManyPolls { at: self.now(), who: name(last) }
            }
            Halt::RealWorld { breach, last } => {
                RunError::RealWorld { breach, at: self.now(), who: name(last) }
            }
        })
    }

    /// The part of [`World::run`] that is the same for every future: compiled once, with tokio's loop in it.
    fn drive(
        &self,
        limit: Duration,
        main_scope: Scope,
        mut main: Pin<&mut dyn Future<Output = ()>>,
    ) -> Result<(), Halt> {
        self.runtime.block_on(async {
            let mut driver = Driver::new(&self.shared, self.start, limit, main_scope);
            unconstrained(poll_fn(|cx| driver.poll(cx, main.as_mut()))).await
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What tasks own may ask for the time as it goes.
        let _context = self.runtime.enter();
        let _scope = heap::enter(Scope::Sim);
        self.shared.executor.close();
    }
}
