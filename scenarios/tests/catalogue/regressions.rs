//! The corpus: capsules of defects that are repaired. None of them fails any more, nor in any other way.

#![allow(clippy::disallowed_methods, reason = "reads the corpus")]

use std::{fs, path::Path};

use rehearsal_scenarios::{capsule::Capsule, run::Watch};

#[test]
fn no_repaired_defect_is_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut back = Vec::new();
    for path in paths {
        let capsule = Capsule::load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(!capsule.about.is_empty(), "{} says what it was", path.display());
        for violation in capsule.run(&Watch::default()).violations {
            back.push(format!("{} ({}): {violation}", path.display(), capsule.about));
        }
    }
    assert!(back.is_empty(), "{back:#?}");
}
