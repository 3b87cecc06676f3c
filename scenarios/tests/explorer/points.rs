//! Points of the gateway: the catalogue has each of them, and a fault point fires where the plan says so and nowhere else.

#![allow(clippy::disallowed_methods, reason = "reads the gateway's source")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use rehearsal_scenarios::{
    capsule::Capsule,
    catalogue::{self, Scenario},
    plan::Plan,
    run::{self, Outcome, Watch},
    situations,
};

const ONE_FRAME: &str = "a delivery takes one frame and no more";
const OTHERS_FIRST: &str = "a delivery lets others go first";
const IS_LATE: &str = "a subscriber is taken to be late";

/// Rust files below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the source");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let files = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Names in calls of `macro_name` in `text`.
fn names<'t>(text: &'t str, macro_name: &str) -> impl Iterator<Item = &'t str> {
    let calls = text.split(&format!("{macro_name}!(\"")).skip(1).collect::<Vec<_>>();
    calls.into_iter().filter_map(|call| call.split_once('"')).map(|(name, _)| name)
}

#[test]
fn the_catalogue_has_each_point_of_the_gateway_once() {
    let (mut moments, mut fault_points) = (Vec::new(), Vec::new());
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src")) {
        // It has the macros themselves, with examples.
        if path.file_name().is_some_and(|name| name == "points.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a file of the source");
        moments.extend(names(&text, "sometimes").map(str::to_owned));
        fault_points.extend(names(&text, "fault_point").map(str::to_owned));
    }
    // A name is one place's.
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(moments), sorted(situations::moments().map(str::to_owned).collect()));
    let listed = situations::fault_points().map(str::to_owned).collect();
    assert_eq!(sorted(fault_points), sorted(listed));
}

fn scenario(name: &str) -> &'static Scenario {
    catalogue::find(name).expect("a scenario of the catalogue")
}

/// Runs late joiners with `points` firing as often as is said.
fn with_points(points: &[(&str, u32)]) -> Outcome {
    let scenario = scenario("live/late-joiner");
    let fault_points = points.iter().map(|(name, ppm)| ((*name).to_owned(), *ppm)).collect();
    let plan = Plan { fault_points, ..(scenario.plan)(1) };
    let outcome = run::run_plan(scenario, 1, &plan, true, &Watch::default());
    assert_eq!(outcome.violations, []);
    outcome
}

fn passed(outcome: &Outcome) -> &BTreeMap<&'static str, u64> {
    &outcome.evidence.as_ref().expect("it came to its end").points_passed
}

#[test]
fn a_fault_point_fires_as_often_as_the_plan_says() {
    let none = with_points(&[]);
    assert_eq!(none.trace_hash(), run::run(scenario("live/late-joiner"), 1).trace_hash());
    assert!(!passed(&none).contains_key(ONE_FRAME));
    let fires = |ppm| passed(&with_points(&[(ONE_FRAME, ppm)])).get(ONE_FRAME).copied();
    let (all, half) = (fires(1_000_000).expect("it fires"), fires(500_000).expect("it fires"));
    assert_eq!(fires(0), None);
    assert!((all * 2 / 5..=all * 3 / 5).contains(&half), "{half} of {all}");
}

#[test]
fn a_run_with_fault_points_is_the_same_each_time_and_another_without() {
    let points = [(ONE_FRAME, 300_000), (OTHERS_FIRST, 300_000)];
    let hashes = [&points[..], &points, &points[..1], &points[1..], &[]]
        .map(|points| with_points(points).trace_hash());
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes.into_iter().collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn each_fault_point_is_in_the_trace() {
    let scenario = scenario("live/late-joiner");
    let faults = |fault_points: BTreeMap<String, u32>| {
        let plan = Plan { fault_points, ..(scenario.plan)(1) };
        run::trace_of(1, plan, &Watch::default()).counts().faults
    };
    let fires = passed(&with_points(&[(ONE_FRAME, 1_000_000)]))[ONE_FRAME];
    let with = faults(BTreeMap::from([(ONE_FRAME.to_owned(), 1_000_000)]));
    assert_eq!(with, faults(BTreeMap::new()) + fires);
}

#[test]
fn a_point_that_the_gateway_does_not_have_is_refused() {
    let scenario = scenario("live/late-joiner");
    let fault_points = BTreeMap::from([("a delivery sings".to_owned(), 1)]);
    let plan = Plan { fault_points, ..(scenario.plan)(1) };
    let outcome = run::run_plan(scenario, 1, &plan, true, &Watch::default());
    let what = outcome.violations.first().map(ToString::to_string).unwrap_or_default();
    assert!(what.contains("no fault point is called \"a delivery sings\""), "{what}");

    // A moment is none.
    let of_moment = BTreeMap::from([("an aggregate is taken apart".to_owned(), 1)]);
    let plan = Plan { fault_points: of_moment, ..(scenario.plan)(1) };
    assert!(situations::has_points_of(&plan).is_err());

    let regression = include_str!("../../regressions/late-for-the-end-of-audio.json");
    let renamed = Capsule::parse(&regression.replace(IS_LATE, "a delivery sings"));
    let problem = renamed.expect_err("it has a point that there is not");
    assert!(problem.contains("no fault point is called \"a delivery sings\""), "{problem}");
}
