//! Reports, looked at by a browser: nothing is missing or goes wrong in them, timelines draw, filters take.
//!
//! Skipped without chromium, unless `CI` is set.

#![allow(clippy::disallowed_methods, reason = "runs real programs on real files")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::folder::folder;
use rehearsal_scenarios::{
    capsule::{Capsule, SCHEMA},
    catalogue,
    explorer::{
        program::Program,
        record::{Record, hex},
        results::{self, Results},
    },
    fault::Lever,
    plan::Plan,
    run::{self, Outcome, Watch},
};
use serde_json::Value;

const SCENARIO: &str = "live/republish";
const SEED: u64 = 3;

/// True when there is no chromium, and the test can only say so. In CI that is a failure.
fn is_missing() -> bool {
    let runs = Command::new("chromium").arg("--version").output();
    if runs.is_ok_and(|output| output.status.success()) {
        return false;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "chromium is missing, and CI is set: install it, these tests must not be skipped there"
    );
    eprintln!("skipped: chromium is not installed");
    true
}

/// What a page is once its script has run. Anything on the browser's console fails the test.
fn looked_at(page: &Path, fragment: &str) -> String {
    let profile = page.with_extension("profile");
    let Output { status, stdout, stderr } = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        .args(["--virtual-time-budget=5000", "--window-size=1400,1000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}{fragment}", page.display()))
        .output()
        .expect("chromium starts");
    let (dom, said) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{said}");
    let console: Vec<_> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "on the console: {console:#?}");
    assert!(dom.contains("</html>"), "the page is not there: {dom}");
    dom.into_owned()
}

/// The number that the script has left in attribute `name` of the timeline of this index; nothing while it has drawn nothing.
fn told(dom: &str, picture: usize, name: &str) -> Option<usize> {
    let of_picture = format!("data-picture=\"{picture}\"");
    let tag = dom.split("<figure").find(|tag| tag.contains(&of_picture)).expect("it has a place");
    let (tag, _) = tag.split_once('>').expect("a tag ends");
    let (_, rest) = tag.split_once(&format!("data-{name}=\""))?;
    rest.split('"').next()?.parse().ok()
}

fn drawn(page: &Path, fragment: &str) -> usize {
    told(&looked_at(page, fragment), 0, "drawn").expect("the timeline draws")
}

/// What the script gets of the first run.
fn drawing(page: &Path) -> Value {
    let text = fs::read_to_string(page).expect("the page is there");
    let (_, json) = text.split_once("id=\"pictures\">").expect("it has pictures");
    let (json, _) = json.split_once("</script>").expect("an element ends");
    serde_json::from_str::<Vec<Value>>(json).expect("it is JSON").remove(0)
}

/// Events of a drawing that are of `kind`, and of the host called `host`, if that matters.
fn count(drawing: &Value, kind: &str, host: Option<&str>) -> usize {
    let list = |value: &Value| value.as_array().expect("it is a list").clone();
    let timeline = &drawing["timeline"];
    let lanes = list(&timeline["lanes"]);
    let lane = host.map(|host| {
        lanes.iter().position(|lane| lane == host).expect("the host has a lane") as u64
    });
    let is_of = |event: &[Value]| lane.is_none_or(|lane| event.iter().any(|end| *end == lane));
    let messages = list(&timeline["messages"]);
    let messages = messages.iter().filter(|m| m[5] == kind && is_of(&[m[2].clone(), m[3].clone()]));
    let marks = list(&timeline["marks"]);
    let marks = marks.iter().filter(|m| m[2] == kind && is_of(&[m[1].clone()]));
    messages.count() + marks.count()
}

/// A run that fails, in which packets are lost and hosts meet faults.
fn failing() -> (Plan, Outcome) {
    let scenario = catalogue::find(SCENARIO).expect("it is there");
    let mut plan = (scenario.plan)(SEED);
    let player = plan.players[0].host.clone();
    plan.fault(2_000, "gateway", Lever::Frozen(true));
    plan.fault(9_000, "gateway", Lever::Frozen(false));
    plan.fault(10_000, &player, Lever::BlackHole(true));
    plan.fault(11_000, &player, Lever::BlackHole(false));
    let outcome = run::run_plan(scenario, SEED, &plan, true, &Watch::default());
    assert_ne!(outcome.violations, []);
    (plan, outcome)
}

/// A folder of a sweep with one run that has failed.
fn sweep_that_failed(name: &str) -> PathBuf {
    let folder = folder(name);
    let (plan, outcome) = failing();
    let record = Record::of(&outcome, None, 5_000);
    let program = Program::current().expect("it can be read");
    let mut results = Results::create(&folder, program).expect("the folder can be made");
    results.add(&record).expect("the folder takes it");
    results.finish().expect("the folder takes it");
    let fingerprint = record.fingerprints[0].clone();
    let path = results::capsule_path(&folder, &fingerprint);
    let capsule = Capsule {
        schema: SCHEMA,
        about: "</script> & <b>".to_owned(),
        scenario: SCENARIO.to_owned(),
        seed: SEED,
        fingerprint,
        trace_hash: outcome.trace.map(|trace| hex(trace.hash)),
        revision: None,
        program: hex(0),
        plan,
    };
    capsule.save(&path).expect("the folder takes it");
    folder
}

fn report(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse"))
        .arg("report")
        .args(arguments)
        .output()
        .expect("the program starts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_report_of_a_sweep_draws_its_failures_and_filters_them() {
    let folder = sweep_that_failed("report-failed");
    let page = folder.join("report.html");
    let said = report(&[folder.to_str().expect("the path is UTF-8")]);
    assert!(said.starts_with(&page.display().to_string()), "{said}");
    let drawing = drawing(&page);
    let text = fs::read_to_string(&page).expect("it is there");
    assert!(text.contains("Run again for this report: the same run, event for event."), "{text}");
    if is_missing() {
        return;
    }
    let kinds = ["data", "ack", "control", "drop", "again", "connection", "fault", "note"];
    let alarms: Vec<_> = drawing["alarms"].as_array().expect("it is a list").iter().collect();
    let alarms = alarms.iter().filter(|alarm| !alarm["at_us"].is_null()).count();
    let total = kinds.iter().map(|kind| count(&drawing, kind, None)).sum::<usize>() + alarms;
    let dom = looked_at(&page, "#from=0&to=100000");
    assert_eq!(told(&dom, 0, "total"), Some(total));
    assert_eq!(told(&dom, 0, "drawn"), Some(total), "the whole run is drawn");
    let first = drawn(&page, "");
    assert!(0 < first && first <= total, "{first} of {total}");

    let lost = count(&drawing, "drop", Some("player-stays"));
    assert!(lost > 0, "the black hole takes nothing");
    assert_eq!(drawn(&page, "#host=player-stays&kind=drop&from=0&to=100000"), lost);
    let faults = count(&drawing, "fault", None);
    assert_eq!(faults, 4);
    assert_eq!(drawn(&page, "#kind=fault&from=0&to=100000"), faults);
    assert_eq!(drawn(&page, "#kind=fault&from=9.5&to=11.5"), 2);
    let both = faults + count(&drawing, "note", None);
    assert_eq!(drawn(&page, "#kind=fault,note&from=0&to=100000"), both);
}

/// Presses each of `keys` in a copy of `page` and gives from where to where, in microseconds, the first timeline then shows the
/// run, and how many events that are.
fn pressed(page: &Path, keys: &[&str]) -> Vec<[f64; 3]> {
    let script = "<script>
        const timeline = document.querySelector('figure.timeline'), told = [];
        for (const key of KEYS) {
            timeline.querySelector('canvas.lanes').dispatchEvent(new KeyboardEvent('keydown', { key }));
            timelines[0].draw();
            told.push(['from', 'to', 'drawn'].map((name) => Number(timeline.dataset[name])));
        }
        document.body.dataset.told = JSON.stringify(told);
        </script></body>";
    let text = fs::read_to_string(page).expect("the page is there");
    let script = script.replace("KEYS", &format!("{keys:?}"));
    let copy = page.with_file_name("pressed.html");
    fs::write(&copy, text.replace("</body>", &script)).expect("the folder takes it");
    let dom = looked_at(&copy, "");
    let (_, told) = dom.split_once("data-told=\"").expect("the script has run");
    serde_json::from_str(told.split('"').next().expect("it ends")).expect("it is JSON")
}

#[test]
fn keys_zoom_move_and_find_the_alarms() {
    let folder = sweep_that_failed("report-keys");
    report(&[folder.to_str().expect("the path is UTF-8")]);
    let page = folder.join("report.html");
    if is_missing() {
        return;
    }
    let drawing = drawing(&page);
    let end_us = drawing["end_us"].as_f64().expect("it has an end");
    let [all, near, later, back] = pressed(&page, &["0", "+", "ArrowRight", "0"])[..] else {
        panic!("four keys")
    };
    assert_eq!((all[0], all[1]), (0.0, end_us));
    assert!(near[0] > 0.0 && near[1] < end_us && near[2] < all[2], "{near:?}");
    assert!(later[0] > near[0] && (later[1] - later[0] - (near[1] - near[0])).abs() < 2.0);
    assert_eq!(back, all);
    let alarms: Vec<f64> = drawing["alarms"]
        .as_array()
        .expect("it is a list")
        .iter()
        .filter_map(|alarm| alarm["at_us"].as_f64())
        .collect();
    let first = alarms.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(first.is_finite(), "an alarm tells its time: {}", drawing["alarms"]);
    let [from, to, drawn] = pressed(&page, &["a"])[0];
    assert!(from <= first && first <= to && to - from < 1e6 && drawn >= 1.0, "{from} to {to}");
}

#[test]
fn a_run_of_ten_thousand_events_is_drawn() {
    let page = folder("report-run").join("run.html");
    let path = page.to_str().expect("the path is UTF-8");
    report(&[SCENARIO, "--seed", "7", "--out", path]);
    if is_missing() {
        return;
    }
    let dom = looked_at(&page, "#from=0&to=100000");
    let total = told(&dom, 0, "total").expect("it has a timeline");
    assert!(total > 5_000, "{total} messages and marks");
    assert_eq!(told(&dom, 0, "drawn"), Some(total));
    assert!(dom.contains("Nothing was wrong."));
}

#[test]
fn sweeps_without_failures_or_runs_have_a_page() {
    for (name, runs) in [("report-clean", 3), ("report-empty", 0)] {
        let folder = folder(name);
        let program = Program::current().expect("it can be read");
        let mut results = Results::create(&folder, program).expect("the folder can be made");
        let scenario = catalogue::find("live/audio-only").expect("it is there");
        for seed in 0..runs {
            let record = Record::of(&run::run(scenario, seed), None, 5_000);
            results.add(&record).expect("the folder takes it");
        }
        results.finish().expect("the folder takes it");
        report(&[folder.to_str().expect("the path is UTF-8")]);
        if is_missing() {
            return;
        }
        let dom = looked_at(&folder.join("report.html"), "#host=nobody&kind=nothing");
        assert!(dom.contains(&format!("Sweep of {runs} runs")) && dom.contains("No run failed."));
        assert!(!dom.contains("<figure class=\"timeline\""));
    }
}

#[test]
fn what_cannot_be_reported_is_said() {
    for (arguments, code, expected) in [
        (&["no/such"][..], 2, "no scenario is called no/such"),
        (&["/", "--seed", "1"], 2, "/ is a sweep of many seeds; leave --seed away"),
        (&["/"], 1, "cannot read /results.jsonl"),
        (&["nowhere.json"], 2, "cannot use the capsule nowhere.json"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_rehearse"))
            .arg("report")
            .args(arguments)
            .output()
            .expect("the program starts");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{err}");
    }
}
