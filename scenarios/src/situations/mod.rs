//! Situations that a sweep has to meet: what never happened was not tested, however many runs passed.
//!
//! Most are seen in what a run leaves. Others nobody outside of the gateway can tell: it tells of them itself, by
//! `sometimes!`, and of the fault points that fire in it. Each is of some families, whose scenarios meet it.

mod seen;
mod told;

use crate::{plan::Plan, run::Evidence};

/// A moment of a run that is worth having been in.
#[derive(Clone, Copy)]
pub struct Situation {
    /// What it is, in words.
    pub name: &'static str,
    /// Families of scenarios that meet it, any of them.
    pub families: &'static [&'static str],
    witness: Witness,
}

/// Who knows whether a run met a situation.
#[derive(Clone, Copy)]
enum Witness {
    /// What the run left.
    Evidence(fn(&Evidence) -> bool),
    /// The gateway, which has a point of this name.
    Gateway,
}

/// All of them, in the order they are listed.
pub fn all() -> impl Iterator<Item = &'static Situation> {
    seen::SITUATIONS.iter().chain(&told::MOMENTS).chain(&told::FAULT_POINTS)
}

/// Those that scenarios of the families of `names` are there to meet.
pub fn wanted<'a>(names: &'a [&str]) -> impl Iterator<Item = &'static Situation> + use<'a> {
    let is_of = |name: &str, family: &str| {
        name.strip_prefix(family).is_some_and(|rest| rest.starts_with('/'))
    };
    all().filter(move |situation| {
        situation.families.iter().any(|family| names.iter().any(|name| is_of(name, family)))
    })
}

/// Those that the run met, in order.
pub fn met(run: &Evidence) -> impl Iterator<Item = &'static str> {
    let is_met = |situation: &&Situation| match situation.witness {
        Witness::Evidence(is_met) => is_met(run),
        Witness::Gateway => run.points_passed.contains_key(situation.name),
    };
    all().filter(is_met).map(|situation| situation.name)
}

/// Names of the gateway's moments.
pub fn moments() -> impl Iterator<Item = &'static str> {
    told::MOMENTS.iter().map(|situation| situation.name)
}

/// Names of the gateway's fault points.
pub fn fault_points() -> impl Iterator<Item = &'static str> {
    told::FAULT_POINTS.iter().map(|situation| situation.name)
}

/// # Errors
/// A fault point of `plan` is none of the gateway's.
pub fn has_points_of(plan: &Plan) -> Result<(), String> {
    let unknown = plan.fault_points.keys().find(|name| !fault_points().any(|point| point == *name));
    unknown.map_or(Ok(()), |name| {
        Err(format!(
            "no fault point is called {name:?}; scenarios/src/situations/told.rs has them all"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::catalogue::CATALOGUE;

    #[test]
    fn each_has_its_name_and_families_that_there_are() {
        let names: BTreeSet<_> = all().map(|situation| situation.name).collect();
        assert_eq!(names.len(), all().count());
        for Situation { name, families, .. } in all() {
            for family in *families {
                let is_there = CATALOGUE.iter().any(|scenario| scenario.is_named(family));
                assert!(is_there, "{name}: no family is called {family}");
            }
        }
    }
}
