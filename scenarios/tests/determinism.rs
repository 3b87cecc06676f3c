//! The promise: same source, same seed, same trace hash, in every process.

#![allow(clippy::disallowed_methods, reason = "starts processes of the command")]

use std::process::Command;

use rehearsal_scenarios::{catalogue::CATALOGUE, run};

/// Output of the command in a process of its own.
fn rehearse(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse"))
        .args(arguments)
        .output()
        .expect("the command starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn two_processes_and_this_one_agree_on_every_scenario() {
    for scenario in &CATALOGUE {
        let replay = || rehearse(&["replay", scenario.name, "--seed", "7"]);
        let (first, second) = (replay(), replay());
        assert_eq!(first, second);
        let here = run::run(scenario, 7);
        let hash = format!("trace hash {:016x}", here.trace_hash());
        assert!(first.contains(&hash), "{hash} is not in:\n{first}");
    }
}

#[test]
fn the_log_changes_nothing() {
    let quiet = rehearse(&["replay", "live/republish", "--seed", "3"]);
    assert_eq!(rehearse(&["replay", "live/republish", "--seed", "3", "--log"]), quiet);
}

#[test]
fn another_seed_is_another_run() {
    for scenario in &CATALOGUE {
        let hashes = [1, 2].map(|seed| run::run(scenario, seed).trace_hash());
        assert_ne!(hashes[0], hashes[1], "{}", scenario.name);
    }
}

#[test]
fn wrong_usage_is_told_apart_from_a_failed_run() {
    let status = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rehearse")).args(arguments).output();
        output.expect("the command starts").status.code()
    };
    assert_eq!(status(&["replay", "live/nothing"]), Some(2));
    assert_eq!(status(&["run", "nothing"]), Some(2));
    assert_eq!(status(&["run", "--seed", "x"]), Some(2));
    assert_eq!(status(&["run", "live/narrow-link", "--net", "turmoil"]), Some(2));
    assert_eq!(status(&["run", "live/republish", "--net", "turmoil"]), Some(0));
    assert_eq!(status(&["list"]), Some(0));
}
