//! The driver: makes tasks, fabric events and tokio's timers one time line.
//!
//! It is the one future that the world's runtime runs. Fabric events have nanosecond times, tokio's
//! timers fire at whole milliseconds (ticks) and only while the runtime's own loop has control. So:
//!
//! 1. Poll ready tasks and take events that are due, until there are none at this instant.
//! 2. Give the runtime's loop a turn, which wakes tasks that yielded.
//! 3. Take the next event if it lies before the next tick. Tokio's clock follows to its exact time
//!    only when the event woke a task: nobody else looks at it.
//! 4. Otherwise stand on a tick (stepping forward to it if need be) and sleep until the tick at or
//!    before the next event: tokio then jumps to its earliest timer, which is this sleep or an
//!    earlier one of a task.
//!
//! All events of one instant are taken before any task runs, and at a tick timers fire before them,
//! so that the order of what they have woken is the seed's alone.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Instant, Sleep, advance, sleep_until};

use crate::{
    executor::HostId,
    guard::{self, Breach},
    heap::{self, Scope},
    world::{POLLS_PER_INSTANT_MAX, Shared},
};

/// The step of tokio's timers.
const TICK_NS: u64 = 1_000_000;

/// Why the driver gave up.
#[derive(Debug)]
pub(crate) enum Halt {
    OutOfTime,
    /// Who was polled last; `None` is the main future.
    TooManyPolls {
        last: Option<HostId>,
    },
    /// Who broke through the guard; `None` is the main future.
    RealWorld {
        breach: Breach,
        last: Option<HostId>,
    },
}

pub(crate) struct Driver<'w> {
    shared: &'w Shared,
    start: Instant,
    deadline_ns: u64,
    /// Where tokio's clock stands; the fabric may be up to a tick ahead.
    clock_ns: u64,
    alarm: Pin<Box<Sleep>>,
    main_scope: Scope,
    /// Polls since `instant_ns`, and when that was.
    polls: u64,
    instant_ns: u64,
    /// Whether a task was polled since the runtime's loop last had a turn.
    owes_turn: bool,
}

impl<'w> Driver<'w> {
    /// A driver for a run of at most `limit` from now on, in a runtime whose clock began at `start`.
    pub(crate) fn new(
        shared: &'w Shared,
        start: Instant,
        limit: Duration,
        main_scope: Scope,
    ) -> Self {
        let clock_ns = (Instant::now() - start).as_nanos() as u64;
        let limit_ns = u64::try_from(limit.as_nanos()).expect("the limit is below 584 years");
        let deadline_ns = (clock_ns + limit_ns).next_multiple_of(TICK_NS);
        shared.executor.wake_main();
        Self {
            shared,
            start,
            deadline_ns,
            clock_ns,
            alarm: Box::pin(sleep_until(start)),
            main_scope,
            polls: 0,
            instant_ns: clock_ns,
            owes_turn: false,
        }
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut main: Pin<&mut dyn Future<Output = ()>>,
    ) -> Poll<Result<(), Halt>> {
        let _watch = guard::enter();
        let now_ns = self.catch_up();
        if !self.shared.executor.is_idle() {
            self.stand_at(now_ns);
        }
        loop {
            match self.poll_ready(main.as_mut()) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(())) => return Poll::Ready(Ok(())),
                Err(halt) => return Poll::Ready(Err(halt)),
            }
            if !self.step_events() {
                if self.owes_turn {
                    self.owes_turn = false;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                return self.sleep(cx).map(Err);
            }
        }
    }

    /// Brings the fabric to the time that tokio's clock has come to, and takes what is due.
    fn catch_up(&mut self) -> u64 {
        self.clock_ns = (Instant::now() - self.start).as_nanos() as u64;
        let mut fabric = self.shared.fabric();
        while fabric.next_event_ns().is_some_and(|at_ns| at_ns <= self.clock_ns) {
            fabric.step();
        }
        fabric.leave_instant(self.clock_ns);
        fabric.net.now_ns = fabric.net.now_ns.max(self.clock_ns);
        fabric.net.now_ns
    }

    /// Polls tasks until none is ready, or the main future is done; whether that is.
    fn poll_ready(
        &mut self,
        mut main: Pin<&mut dyn Future<Output = ()>>,
    ) -> Result<Poll<()>, Halt> {
        let shared = self.shared;
        // Whose task the guard believes to be polled, since this began; steps of that host's clock it hears of by itself.
        let mut told = None;
        loop {
            let before = |host| {
                if told != Some(host) {
                    guard::set_host(Some(host), shared.wall_clock_step_ms(host));
                    told = Some(host);
                }
            };
            let after = |host| self.check_poll(Some(host));
            let Some(waker) = shared.executor.poll_tasks(before, after)? else {
                return Ok(Poll::Pending);
            };
            guard::set_host(None, 0);
            told = None;
            let polled = {
                let _scope = heap::enter(self.main_scope);
                main.as_mut().poll(&mut Context::from_waker(&waker))
            };
            if polled.is_ready() && guard::breach().is_none() {
                self.record_polls();
                return Ok(Poll::Ready(()));
            }
            self.check_poll(None)?;
        }
    }

    /// Counts a poll, and looks at what it has done; `last` is whose it was, `None` the main future's.
    fn check_poll(&mut self, last: Option<HostId>) -> Result<(), Halt> {
        self.owes_turn = true;
        self.polls += 1;
        if let Some(breach) = guard::breach() {
            return Err(Halt::RealWorld { breach, last });
        }
        if self.polls > POLLS_PER_INSTANT_MAX {
            return Err(Halt::TooManyPolls { last });
        }
        Ok(())
    }

    fn record_polls(&self) {
        self.shared.fabric().net.trace.record_polls(self.shared.executor.polls_hash());
    }

    /// Takes events before the next tick until the events of one instant have woken tasks; false
    /// if none has.
    fn step_events(&mut self) -> bool {
        if self.owes_turn {
            self.record_polls();
        }
        let mut fabric = self.shared.fabric();
        loop {
            let now_ns = fabric.net.now_ns;
            let is_idle = self.shared.executor.is_idle();
            // Tasks that were woken, or that yielded, run at this instant: time does not move.
            let may_move = is_idle && !self.owes_turn;
            let horizon_ns = if may_move { next_tick(now_ns) - 1 } else { now_ns };
            if fabric.next_event_ns().is_some_and(|at_ns| at_ns <= horizon_ns) {
                fabric.step();
                continue;
            }
            if is_idle {
                return false;
            }
            drop(fabric);
            self.stand_at(now_ns);
            return true;
        }
    }

    /// Makes `now_ns` the instant at which tasks are polled.
    fn stand_at(&mut self, now_ns: u64) {
        self.move_clock(now_ns);
        guard::set_time(now_ns);
        if now_ns != self.instant_ns {
            (self.polls, self.instant_ns) = (0, now_ns);
        }
    }

    /// Sets tokio's clock forward; timers that this passes fire when the runtime has a turn.
    fn move_clock(&mut self, to_ns: u64) {
        if to_ns > self.clock_ns {
            let by = Duration::from_nanos(to_ns - self.clock_ns);
            // The first poll moves the clock; the rest of `advance` is a yield.
            let _ = pin!(advance(by)).poll(&mut Context::from_waker(Waker::noop()));
            self.clock_ns = to_ns;
        }
    }

    /// Lets the runtime move time on to the next timer or event.
    fn sleep(&mut self, cx: &mut Context<'_>) -> Poll<Halt> {
        if !self.clock_ns.is_multiple_of(TICK_NS) {
            self.move_clock(next_tick(self.clock_ns));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.clock_ns >= self.deadline_ns {
            return Poll::Ready(Halt::OutOfTime);
        }
        let event_ns = self.shared.fabric().next_event_ns().unwrap_or(u64::MAX);
        let target_ns = (event_ns - event_ns % TICK_NS).min(self.deadline_ns);
        let target = self.start + Duration::from_nanos(target_ns);
        if self.alarm.deadline() != target {
            self.alarm.as_mut().reset(target);
        }
        self.shared.executor.call_when_ready(cx.waker());
        let alarm = self.alarm.as_mut().poll(cx);
        assert!(alarm.is_pending(), "the next event lies after this tick");
        Poll::Pending
    }
}

fn next_tick(ns: u64) -> u64 {
    (ns / TICK_NS + 1) * TICK_NS
}
