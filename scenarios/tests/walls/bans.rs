//! Clippy's bans: each is broken once in `banned.rs`, and clippy must say so, there and nowhere else.

#![allow(clippy::disallowed_methods, reason = "starts clippy, and reads files")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const FIXTURE: &str = "tests/walls/banned.rs";

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of a workspace")
}

/// The libraries called `name` that cargo has built beside this test, newest first: those of older builds may
/// be of another compiler or with other features.
fn libraries(name: &str, folder: &Path) -> Vec<PathBuf> {
    let prefix = format!("lib{name}-");
    let entries = fs::read_dir(folder).expect("where this test lies").flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| {
            let file = entry.file_name().to_string_lossy().into_owned();
            file.starts_with(&prefix) && file.ends_with(".rlib")
        })
        .map(|entry| (entry.metadata().and_then(|meta| meta.modified()).ok(), entry.path()))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// What clippy says of the fixture, one line each.
fn clippys_report() -> String {
    let this = env::current_exe().expect("a test is a file");
    let folder = this.parent().expect("a file is in a folder");
    let mut last = String::from("no tokio and getrandom beside this test");
    for tokio in libraries("tokio", folder) {
        for getrandom in libraries("getrandom", folder) {
            let output = Command::new("clippy-driver")
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .env("CLIPPY_CONF_DIR", workspace())
                .args(["--edition", "2024", "--crate-type", "lib", "--error-format", "short"])
                .args(["--emit", "metadata", "-A", "unused", "-A", "clippy::all"])
                .args(["-W", "clippy::disallowed_methods", "-W", "clippy::disallowed_types"])
                .arg("--out-dir")
                .arg(env!("CARGO_TARGET_TMPDIR"))
                .arg("-L")
                .arg(format!("dependency={}", folder.display()))
                .arg("--extern")
                .arg(format!("tokio={}", tokio.display()))
                .arg("--extern")
                .arg(format!("getrandom={}", getrandom.display()))
                .arg(FIXTURE)
                .output()
                .expect("clippy is installed: rustup component add clippy");
            last = String::from_utf8(output.stderr).expect("UTF-8");
            if output.status.success() {
                return last;
            }
        }
    }
    panic!("the fixture does not compile:\n{last}");
}

/// A ban of clippy.toml: its path, and whether this build must have it.
fn bans() -> Vec<(String, bool)> {
    let text = fs::read_to_string(workspace().join("clippy.toml")).expect("readable");
    let bans = text.lines().filter_map(|line| {
        let (path, rest) = line.trim().strip_prefix("{ path = \"")?.split_once('"')?;
        Some((path.to_owned(), !rest.contains("allow-invalid = true")))
    });
    bans.collect()
}

/// Line and path of every break that the fixture announces.
fn breaks() -> BTreeSet<(usize, String)> {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURE));
    let source = source.expect("readable");
    let breaks = source.lines().enumerate().filter_map(|(index, line)| {
        line.split_once("// bans ").map(|(_, path)| (index + 1, path.to_owned()))
    });
    breaks.collect()
}

/// Line and path of every ban in clippy's report.
fn reported(report: &str) -> BTreeSet<(usize, String)> {
    let reported = report.lines().filter_map(|line| {
        let (place, what) = line.split_once(" use of a disallowed ")?;
        let line = place.strip_prefix(FIXTURE)?.strip_prefix(':')?.split(':').next()?;
        let path = what.split('`').nth(1)?;
        Some((line.parse().ok()?, path.to_owned()))
    });
    reported.collect()
}

#[test]
fn every_ban_is_broken_in_the_fixture() {
    let (bans, breaks) = (bans(), breaks());
    assert!(bans.len() > 100, "only {bans:?}");
    let broken: BTreeSet<&str> = breaks.iter().map(|(_, path)| path.as_str()).collect();
    let unbroken: Vec<_> = bans
        .iter()
        .filter(|(path, is_there)| *is_there && !broken.contains(path.as_str()))
        .collect();
    assert!(unbroken.is_empty(), "not in {FIXTURE}: {unbroken:?}");
    let unknown: Vec<_> =
        broken.iter().filter(|broken| bans.iter().all(|(path, _)| path != **broken)).collect();
    assert!(unknown.is_empty(), "in {FIXTURE}, but not banned: {unknown:?}");
}

#[test]
fn clippy_reports_every_broken_ban_and_nothing_else() {
    let report = clippys_report();
    let (expected, reported) = (breaks(), reported(&report));
    let missed: Vec<_> = expected.difference(&reported).collect();
    let surplus: Vec<_> = reported.difference(&expected).collect();
    assert!(
        missed.is_empty() && surplus.is_empty(),
        "missed {missed:?}, surplus {surplus:?}\n{report}"
    );
    assert!(!report.contains("does not refer to"), "a ban of nothing:\n{report}");
}
