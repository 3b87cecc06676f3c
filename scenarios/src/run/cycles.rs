//! A plan played again and again against one gateway that lives on: what each cycle leaves adds up, and can be counted.
//!
//! Each cycle plays on the same hosts, its times counting from its start, and is judged for what it served. Then
//! everything rests for longer than anything may take that a cycle began, and what befell hosts is undone. What is left then
//! is not judged here: whoever runs the cycles compares it from one to the next.

use std::time::Duration;

use rehearsal_sim::{SimEnv, SocketState, World};
use tokio::time::sleep;

use super::{
    LIMIT_BEYOND_PLAN, PANICKED,
    evidence::{Evidence, HostEvidence},
    fabric::{Stage, world_of},
    panics::{Panics, caught},
    serving::StandIn,
};
use crate::{catalogue::Scenario, oracles, plan::Plan};

/// Longer than every deadline of the default configuration, than a kernel tries to reach a peer, and than TIME_WAIT.
const REST: Duration = Duration::from_secs(3_600);

/// A gateway that lives on, and the plan that is played against it.
pub struct Cycles {
    // First, so that its tasks have ended before anything goes that they may look at.
    world: World,
    scenario: &'static Scenario,
    plan: Plan,
    env: SimEnv,
    stage: Stage,
    played: u32,
}

/// What the gateway's host holds besides memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Sockets that listen.
    pub listeners: usize,
    /// Sockets of connections in any state but TIME_WAIT.
    pub connections: usize,
    /// Sockets in TIME_WAIT.
    pub time_wait: usize,
    /// Ports that sockets hold.
    pub ports: usize,
    /// Timers that went off, and whatever else had tasks polled, in an hour in which nothing happened.
    pub polls_an_hour: u64,
    /// Entries of the registry.
    pub streams: usize,
    /// Files that are open.
    pub open_files: usize,
}

impl Resources {
    /// Each with its name, in the order they are reported.
    pub fn named(&self) -> [(&'static str, i64); 8] {
        [
            ("tasks", self.tasks as i64),
            ("listeners", self.listeners as i64),
            ("connections", self.connections as i64),
            ("in TIME_WAIT", self.time_wait as i64),
            ("ports", self.ports as i64),
            ("polls an hour", self.polls_an_hour as i64),
            ("streams", self.streams as i64),
            ("open files", self.open_files as i64),
        ]
    }
}

impl Cycles {
    /// Starts the gateway of `scenario` in a world with `seed`; nobody has played yet.
    ///
    /// # Errors
    /// The plan has no gateway left at its end, so that it cannot be played again, or the gateway does not start.
    pub fn begin(scenario: &'static Scenario, seed: u64) -> Result<Self, String> {
        Self::begin_with(scenario, seed, None)
    }

    /// The same with something else in the gateway's place, which need not be any good.
    ///
    /// # Errors
    /// As those of [`Cycles::begin`].
    pub fn begin_stand_in(
        scenario: &'static Scenario,
        seed: u64,
        stand_in: StandIn<SimEnv>,
    ) -> Result<Self, String> {
        Self::begin_with(scenario, seed, Some(stand_in))
    }

    fn begin_with(
        scenario: &'static Scenario,
        seed: u64,
        stand_in: Option<StandIn<SimEnv>>,
    ) -> Result<Self, String> {
        let mut plan = (scenario.plan)(seed);
        if plan.ends_in_outage() {
            return Err("its plan ends without a gateway and cannot be played again".to_owned());
        }
        // The twin is another world.
        plan.terms.twin_within_ms = None;
        let (world, env) = world_of(seed, &plan);
        let setting = async {
            let stage = Stage::set(env.clone(), world.hosts().to_vec(), &plan, stand_in).await;
            // By then its tasks wait for clients.
            sleep(Duration::from_millis(1)).await;
            stage
        };
        let stage = world.run(LIMIT_BEYOND_PLAN, setting).map_err(|error| error.to_string())?;
        Ok(Self { world, scenario, plan, env, stage, played: 0 })
    }

    /// Plays the plan once more, and rests.
    ///
    /// # Errors
    /// What an oracle, or the scenario's own check, says of what was served; or what panicked, after which there must be no
    /// other cycle.
    pub fn cycle(&mut self) -> Result<(), String> {
        self.played += 1;
        let panics = Panics::default();
        let noting = panics.note_here();
        let judged = caught(|| {
            let evidence = self.play()?;
            let mut violations = oracles::judge_service(&evidence);
            violations.extend((self.scenario.check)(&evidence));
            match violations.first() {
                Some(violation) => Err(violation.to_string()),
                None => Ok(()),
            }
        });
        drop(noting);
        let outcome = match (panics.take().into_iter().next(), judged) {
            (Some(panicked), _) => Err(panicked),
            (None, judged) => judged.unwrap_or_else(|| Err(PANICKED.to_owned())),
        };
        outcome.map_err(|what| format!("cycle {} went wrong: {what}", self.played))
    }

    fn play(&mut self) -> Result<Evidence, String> {
        let Self { world, stage, plan, .. } = self;
        let calm = Duration::from_millis(plan.terms.calm_ms);
        let limit = Duration::from_millis(plan.end_ms()) + calm + LIMIT_BEYOND_PLAN + REST;
        let playing = async {
            let (reports, sampler) = stage.play(plan, plan.faults.clone()).await;
            sleep(calm).await;
            let mut host = HostEvidence::default();
            sampler.seen(&mut host);
            let mut before = std::mem::take(&mut stage.before);
            let lives = before.iter_mut().map(|serving| {
                serving.let_go();
                serving.life()
            });
            let lives = lives.collect();
            drop(before);
            sleep(REST).await;
            stage.undo_faults(plan);
            Evidence { lives, host: Some(host), ..reports.of(plan.clone()) }
        };
        world.run(limit, playing).map_err(|error| error.to_string())
    }

    /// What the gateway's host holds now that everything rests; an hour passes.
    pub fn at_rest(&mut self) -> Resources {
        let env = &self.env;
        let polls = env.polls();
        let hour = self.world.run(2 * REST, async { sleep(REST).await });
        hour.expect("an hour in which nothing happens passes");
        let netstat = env.netstat();
        let (listeners, time_wait) =
            (netstat.count(SocketState::Listen), netstat.count(SocketState::TimeWait));
        Resources {
            tasks: env.task_count(),
            listeners,
            connections: netstat.rows.len() - listeners - time_wait,
            time_wait,
            ports: env.ports_held(),
            polls_an_hour: env.polls() - polls,
            streams: self.stage.serving.streams(),
            open_files: env.open_files() as usize,
        }
    }
}
