//! Measures one scenario in this process: cycles until the heap at rest stays the same, then phases of cycles, and what
//! each call site and each resource holds after each.

use rehearsal_heap::{self as heap, Amount, CallSite, Held, Scope};
use rehearsal_scenarios::{
    catalogue::Scenario,
    run::{self, Cycles},
};
use serde::{Deserialize, Serialize};

use crate::growth::{PHASES, Series, Verdict};

/// Cycles that are run at least before anything is measured: lazily made statics, and tables that grow once.
const WARM_UP_CYCLES_MIN: u32 = 2;
/// Cycles after which a heap that has not come to rest is measured all the same.
const WARM_UP_CYCLES_MAX: u32 = 8;
/// Whose frames say who allocated: the gateway's, and those that start it.
const OWN: [&str; 2] = ["rehearsal_core::", "rehearsal_scenarios::run::serving::"];

/// How a scenario is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Its plan, against one gateway that lives on.
    Plan,
    /// All of it, each time in a new world with a new gateway that ends.
    World,
}

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) warm_up_cycles: u32,
    /// Cycles of each phase.
    pub(crate) phases: Vec<u32>,
    /// The gateway's heap.
    pub(crate) heap: Series<Amount>,
    /// Call sites where something was added or taken away.
    pub(crate) sites: Vec<(CallSite, Series<Amount>)>,
    /// What else the gateway's host holds, by name.
    pub(crate) resources: Vec<(String, Series<i64>)>,
}

impl Measured {
    /// What it comes to: what the worst of it is. A heap that grows in sum and at no site by itself is none: blocks then have
    /// changed places.
    pub(crate) fn verdict(&self) -> Verdict {
        let sites = self.sites.iter().map(|(_, series)| series.verdict());
        let resources = self.resources.iter().map(|(_, series)| series.strict_verdict());
        sites.chain(resources).max().unwrap_or(Verdict::AtRest)
    }

    /// `series`' growth for each cycle of the last phase.
    pub(crate) fn per_cycle(&self, series: &Series<Amount>) -> (f64, f64) {
        let cycles = f64::from(*self.phases.last().expect("there are phases"));
        let step = series.last_step();
        (step.blocks as f64 / cycles, step.bytes as f64 / cycles)
    }
}

/// What is repeated.
enum Subject {
    Plan(Box<Cycles>),
    World(&'static Scenario, u64),
}

impl Subject {
    fn cycle(&mut self) -> Result<(), String> {
        match self {
            Self::Plan(cycles) => cycles.cycle(),
            Self::World(scenario, seed) => {
                let outcome = run::run(scenario, *seed);
                match outcome.violations.iter().find(|violation| !violation.is_of_what_is_left()) {
                    Some(violation) => Err(format!("it does not pass: {violation}")),
                    None => Ok(()),
                }
            }
        }
    }

    /// What the gateway's host holds besides memory, while there is one.
    fn resources(&mut self) -> Vec<(String, i64)> {
        match self {
            Self::Plan(cycles) => {
                let named = cycles.at_rest().named();
                named.map(|(name, value)| (name.to_owned(), value)).into()
            }
            Self::World(..) => Vec::new(),
        }
    }
}

/// A look at everything at rest.
struct Look {
    held: Held,
    heap: Amount,
    resources: Vec<(String, i64)>,
}

impl Look {
    fn at(subject: &mut Subject) -> Self {
        // The look at resources lets time pass.
        let resources = subject.resources();
        Self { held: heap::held(), heap: gateway_heap(), resources }
    }
}

fn gateway_heap() -> Amount {
    let usage = heap::usage(Scope::Gateway);
    Amount { blocks: usage.live_blocks, bytes: usage.live_bytes }
}

/// Repeats `scenario` with `seed`, in phases of `cycles` and twice as many, or more if it takes longer until it comes to rest.
///
/// # Errors
/// When a cycle does not do its work.
pub(crate) fn measure(
    scenario: &'static Scenario,
    seed: u64,
    mode: Mode,
    cycles: u32,
) -> Result<Measured, String> {
    heap::record(&[Scope::Gateway]);
    // What is made once in a process is made here.
    Subject::World(scenario, seed).cycle()?;
    let mut subject = match mode {
        Mode::Plan => Subject::Plan(Box::new(Cycles::begin(scenario, seed)?)),
        Mode::World => Subject::World(scenario, seed),
    };
    let start = Look::at(&mut subject);
    let warm_up_cycles = warm_up(&mut subject, &start)?;
    // A phase doubles what came before it, so that it meets each buffer that doubles.
    let mut phases = vec![cycles.max(warm_up_cycles)];
    let mut looks = Looks(vec![start, Look::at(&mut subject)]);
    let sites = loop {
        let phase = *phases.last().expect("the first one is there");
        for _ in 0..phase {
            subject.cycle()?;
        }
        looks.0.push(Look::at(&mut subject));
        if phases.len() as u32 >= PHASES {
            let sites = looks.sites();
            let is_open = sites.iter().any(|(_, series)| series.is_open())
                || looks.resources().iter().any(|(_, series)| series.is_open());
            if !is_open || phases.len() as u32 > PHASES {
                break sites;
            }
        }
        phases.push(2 * phase);
    };
    let (heap, resources) = (looks.series(|look| look.heap), looks.resources());
    Ok(Measured { warm_up_cycles, phases, heap, sites, resources })
}

/// Runs cycles until one leaves everything as the one before; gives how many.
fn warm_up(subject: &mut Subject, start: &Look) -> Result<u32, String> {
    let mut before: Option<(Amount, Vec<(String, i64)>)> = None;
    for cycles in 1..=WARM_UP_CYCLES_MAX {
        // What one cycle leaves may be what the next one fails by.
        subject.cycle().map_err(|what| match &before {
            Some((_, resources)) => format!("{what}{}", kept(resources, &start.resources)),
            None => what,
        })?;
        let now = Some((gateway_heap(), subject.resources()));
        if cycles >= WARM_UP_CYCLES_MIN && now == before {
            return Ok(cycles);
        }
        before = now;
    }
    Ok(WARM_UP_CYCLES_MAX)
}

/// Which of `resources` are more than at the `start`, for the end of a sentence.
fn kept(resources: &[(String, i64)], start: &[(String, i64)]) -> String {
    let pairs = resources.iter().zip(start).filter(|((_, now), (_, start))| now > start);
    let kept =
        pairs.map(|((name, now), (_, start))| format!("; kept before: {name} {:+}", now - start));
    kept.collect()
}

/// A look before the first cycle, one at the calibration, and one after each phase.
struct Looks(Vec<Look>);

impl Looks {
    fn series<T: Copy>(&self, of: impl Fn(&Look) -> T) -> Series<T> {
        let mut all = self.0.iter().map(of);
        let start = all.next().expect("there is a look before the first cycle");
        Series { start, looks: all.collect() }
    }

    /// The call sites where something has changed.
    fn sites(&self) -> Vec<(CallSite, Series<Amount>)> {
        let held: Vec<&Held> = self.0.iter().map(|look| &look.held).collect();
        let sites = heap::compare(&held, &OWN).into_iter().map(|(site, amounts)| {
            (site, Series { start: amounts[0], looks: amounts[1..].to_vec() })
        });
        let has_changed =
            |series: &Series<Amount>| series.looks.iter().any(|amount| *amount != series.start);
        sites.filter(|(_, series)| has_changed(series)).collect()
    }

    fn resources(&self) -> Vec<(String, Series<i64>)> {
        let names = self.0[0].resources.iter().map(|(name, _)| name);
        let series = names
            .enumerate()
            .map(|(index, name)| (name.clone(), self.series(|look| look.resources[index].1)));
        series.collect()
    }
}
