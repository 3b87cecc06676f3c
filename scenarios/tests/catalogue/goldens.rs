//! Every light scenario with seed 1 against its golden file in `snapshots/`; and nothing else in that folder but the budgets.

#![allow(clippy::disallowed_methods, reason = "looks at the folder of golden files")]

use std::{collections::BTreeSet, path::PathBuf};

use insta::Settings;
use rehearsal_scenarios::catalogue::light;

use crate::runs;

const SEED: u64 = 1;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../snapshots")
}

fn file_name(scenario: &str) -> String {
    scenario.replace('/', "__")
}

#[test]
fn every_scenario_is_as_its_golden_file_says() {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path(folder());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    let mut differing = Vec::new();
    for run in runs::with_seed(SEED) {
        // Each is compared before any failure is reported, so that one run shows all that changed.
        let compared = std::panic::catch_unwind(|| {
            insta::assert_snapshot!(file_name(run.scenario.name), run.golden);
        });
        if compared.is_err() {
            differing.push(run.scenario.name);
        }
    }
    assert!(differing.is_empty(), "differing from their golden files: {differing:?}");
}

#[test]
fn every_scenario_passes() {
    for seed in runs::SEEDS {
        for run in runs::with_seed(seed) {
            let replay = format!("cargo rehearse replay {} --seed {seed}", run.scenario.name);
            assert!(run.violations.is_empty(), "{replay}\n{:#?}", run.violations);
        }
    }
}

#[test]
fn the_folder_holds_the_golden_files_and_nothing_else() {
    let expected: BTreeSet<String> = (light()
        .map(|scenario| format!("{}.snap", file_name(scenario.name))))
    .chain(["budgets.snap".to_owned()])
    .collect();
    let found: BTreeSet<String> = std::fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("a readable folder").file_name().into_string().expect("UTF-8"))
        .filter(|name| !name.ends_with(".snap.new"))
        .collect();
    assert_eq!(found, expected);
}
