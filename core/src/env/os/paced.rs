//! Tasks that get datagrams all the time, and are woken for them together.
//!
//! A gateway that carries calls gets a datagram every few microseconds, each for a task of its own. To wake a sleeping thread for one
//! costs more than all that is done with it. So these tasks have threads of their own, one for each core, which look at their
//! sockets once in a [`BEAT`]: what came meanwhile is taken by all whom it is for, one after the other, before the thread sleeps
//! again. A sender whose packets are a multiple of the beat apart is heard as regularly as it sends.
//!
//! The threads are the process's: runtimes come and go, as in tests.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    future::poll_fn,
    io,
    net::UdpSocket,
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use mio::{Events, Interest, Registry, Token, unix::SourceFd};
#[cfg(feature = "leakcheck")]
use rehearsal_heap::{self as heap, Scope};
use tokio::{
    runtime::{Builder, Handle},
    sync::Notify,
    task::{self, AbortHandle, coop::cooperative},
    time::{Instant, sleep_until},
};

/// From one look at the sockets to the next.
const BEAT: Duration = Duration::from_millis(5);
/// Tasks of a thread for which it is not worth to wake another one as well.
const TASKS_WORTH_A_LANE: usize = 250;
/// Sockets that are told of at a time. Those beyond it wait for the next beat.
const EVENTS_MAX: usize = 4_096;

static LANES: LazyLock<Vec<Lane>> = LazyLock::new(lanes);

thread_local! {
    /// The sockets of this thread, if it is one of those here.
    static WATCH: OnceCell<Arc<Watch>> = const { OnceCell::new() };
}

/// One of the threads.
struct Lane {
    runtime: Handle,
    /// Held by each of its tasks.
    task: Arc<()>,
}

/// One for each core, or as many as the system gives.
fn lanes() -> Vec<Lane> {
    #[cfg(feature = "leakcheck")]
    let _scope = heap::enter(Scope::Other);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (0..cores).map_while(|_| Lane::start().ok()).collect()
}

/// Starts the threads, if they have not been.
pub(super) fn start() {
    LazyLock::force(&LANES);
}

/// Runs `future` where the fewest are, of as many threads as are needed; without any thread for it, as any other task.
pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    let tasks: usize = LANES.iter().map(Lane::tasks).sum();
    let needed = LANES.iter().take(tasks / TASKS_WORTH_A_LANE + 1);
    let Some(lane) = needed.min_by_key(|lane| lane.tasks()) else {
        return task::spawn(future).abort_handle();
    };
    let counted = Arc::clone(&lane.task);
    let counting = async move {
        let _counted = counted;
        future.await;
    };
    lane.runtime.spawn(counting).abort_handle()
}

impl Lane {
    fn start() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let watch = Arc::new(Watch {
            registry: poll.registry().try_clone()?,
            sockets: Mutex::default(),
            joined: Notify::new(),
        });
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let run = move || {
            WATCH.with(|own| own.set(Arc::clone(&watch))).expect("the thread is new");
            runtime.block_on(beat(poll, watch));
        };
        thread::Builder::new().name("media".to_owned()).spawn(run)?;
        Ok(Self { runtime: handle, task: Arc::default() })
    }

    fn tasks(&self) -> usize {
        Arc::strong_count(&self.task) - 1
    }
}

/// Tells of what has come, as long as the process lives.
async fn beat(mut poll: mio::Poll, watch: Arc<Watch>) {
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut next = Instant::now();
    loop {
        while watch.sockets().by_token.is_empty() {
            watch.joined.notified().await;
        }
        let missed = next.elapsed().as_nanos() / BEAT.as_nanos();
        next += BEAT * (missed as u32 + 1);
        sleep_until(next).await;
        match poll.poll(&mut events, Some(Duration::ZERO)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => panic!("the system does not tell of datagrams any more: {error}"),
        }
        let sockets = watch.sockets();
        for event in &events {
            // One that is not there any more has been closed since.
            if let Some(arrived) = sockets.by_token.get(&event.token()) {
                arrived.tell();
            }
        }
    }
}

/// The sockets of a thread.
#[derive(Debug)]
struct Watch {
    registry: Registry,
    sockets: Mutex<Sockets>,
    /// The first has come.
    joined: Notify,
}

#[derive(Debug, Default)]
struct Sockets {
    next: usize,
    by_token: BTreeMap<Token, Arc<Arrived>>,
}

impl Watch {
    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something may be there to be read from a socket.
#[derive(Debug, Default)]
struct Arrived(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_there: bool,
    waker: Option<Waker>,
}

impl Arrived {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        let mut state = self.state();
        state.is_there = true;
        if let Some(waker) = &state.waker {
            waker.wake_by_ref();
        }
    }
}

/// What comes to one socket of a thread.
#[derive(Debug)]
pub(super) struct Arrivals {
    watch: Arc<Watch>,
    token: Token,
    descriptor: RawFd,
    arrived: Arc<Arrived>,
}

impl Arrivals {
    /// What comes to `socket`, which does not block, from now on; it must not be closed before this is dropped. `None` elsewhere than
    /// in a paced task.
    ///
    /// # Errors
    /// The system does not watch so many.
    pub(super) fn here(socket: &UdpSocket) -> Option<io::Result<Self>> {
        let watch = WATCH.with(|watch| watch.get().map(Arc::clone))?;
        let (descriptor, arrived) = (socket.as_raw_fd(), Arc::<Arrived>::default());
        let token = {
            let mut sockets = watch.sockets();
            let token = Token(sockets.next);
            sockets.next += 1;
            sockets.by_token.insert(token, Arc::clone(&arrived));
            token
        };
        watch.joined.notify_one();
        let arrivals = Self { watch, token, descriptor, arrived };
        let source = &mut SourceFd(&descriptor);
        let registered = arrivals.watch.registry.register(source, token, Interest::READABLE);
        Some(registered.map(|()| arrivals))
    }

    /// What `read` gives once something is there, for one caller at a time. Cancel safe.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) async fn take<T>(&self, mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        // Who is sent more than it can take lets others go on as well.
        cooperative(poll_fn(|context| self.poll_take(context, &mut read))).await
    }

    fn poll_take<T>(
        &self,
        context: &mut Context<'_>,
        read: &mut impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let mut state = self.arrived.state();
        if state.is_there {
            match read() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => state.is_there = false,
                read => return Poll::Ready(read),
            }
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            waker => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.watch.sockets().by_token.remove(&self.token);
        // It is not there only if it could not be watched.
        let _ = self.watch.registry.deregister(&mut SourceFd(&self.descriptor));
    }
}
