//! The explorer from outside: a sweep leaves what can be merged, a capsule is run again by itself, and is made smaller.

#![allow(clippy::disallowed_methods, reason = "starts the program, and reads what it leaves")]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::folder::folder;
use rehearsal_scenarios::{
    capsule::{Capsule, SCHEMA},
    catalogue,
    explorer::{
        program::Program,
        record::{End, Job, Record},
        results::{self, Results},
        shrink,
    },
    fault::{Fault, Lever},
    fingerprint::Fingerprint,
    plan::Plan,
    run::{self, Watch},
};

fn rehearse(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rehearse"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// What it printed, if it ended with `code`.
fn said(output: &Output, code: i32) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    out.into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

/// Without what depends on the machine.
fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    for record in &mut records {
        record.wall_us = 0;
    }
    records.sort_by_key(|record| (record.scenario.clone(), record.seed));
    records
}

#[test]
fn shards_merge_to_what_one_sweep_finds() {
    let all = folder("sweep-all");
    let sweep = ["sweep", "live/audio-only", "live/republish", "--seeds", "4", "--seed", "7"];
    let out = said(&rehearse(&[&sweep[..], &["--out", text(&all)]].concat()), 0);
    assert!(out.contains("\n8 runs in "), "{out}");
    assert!(out.contains(" runs an hour and core, "), "{out}");
    let parts = ["1/2", "2/2"].map(|shard| {
        let part = folder(&format!("sweep-{}", &shard[..1]));
        let of_shard = ["--shard", shard, "--out", text(&part)];
        said(&rehearse(&[&sweep[..], &of_shard].concat()), 0);
        part
    });
    let merged = folder("sweep-merged");
    let merge = ["merge", text(&parts[0]), text(&parts[1]), "--out", text(&merged)];
    assert!(said(&rehearse(&merge), 0).contains("8 runs of 2 folders: 0 failed"));
    let [all, merged] = [&all, &merged].map(|path| {
        let junit = fs::read_to_string(path.join("junit.xml")).expect("it is there");
        assert!(junit.contains("tests=\"8\"") && junit.contains("failures=\"0\""), "{junit}");
        sorted(results::read(path).expect("it is a folder of results"))
    });
    assert_eq!(all, merged);
    let outcome = run::run(catalogue::find("live/republish").expect("it is there"), 9);
    let record = all.iter().find(|r| r.scenario == "live/republish" && r.seed == 9);
    let hash = format!("{:016x}", outcome.trace_hash());
    assert_eq!(record.and_then(|record| record.trace_hash.clone()), Some(hash));
}

#[test]
fn a_merge_keeps_the_shortest_capsule_as_its_program_wrote_it() {
    let record = |seed, events| {
        let job = Job::of_seed("live/republish", seed);
        Record { events, ..Record::broken_off(&job, End::Failed, "it broke", 1) }
    };
    let parts = [("a", vec![(1, 300), (2, 100), (3, 200)]), ("b", vec![(4, 90), (5, 50), (6, 50)])];
    let folders = parts.map(|(name, runs)| {
        let path = folder(&format!("merge-{name}"));
        let program = Program { hash: format!("program {name}"), revision: None };
        let mut results = Results::create(&path, program).expect("the folder takes it");
        for (seed, events) in runs {
            results.add(&record(seed, events)).expect("the folder takes it");
        }
        results.finish().expect("the folder takes it");
        path
    });
    let program = Program { hash: "another program".to_owned(), revision: None };
    let (count, groups) =
        results::merge(&folders, &folders[0], program).expect("both are folders of results");
    let group = groups.values().next().expect("both failed alike");
    assert_eq!((count, groups.len(), group.runs, group.shortest.seed), (6, 1, 6, 5));
    let capsule = Capsule::load(&group.capsule).expect("it is there");
    assert_eq!((capsule.seed, capsule.program.as_str()), (5, "program b"));
}

#[test]
fn a_sweep_tells_which_situations_it_never_met() {
    let out_folder = folder("situations");
    let sweep = ["sweep", "wrap/timestamps", "--seeds", "1", "--out", text(&out_folder)];
    let out = said(&rehearse(&sweep), 0);
    assert!(out.contains("\n3 of 3 situations met\n"), "{out}");
    let records = results::read(&out_folder).expect("it is a folder of results");
    assert!(records[0].situations.iter().any(|met| met == "a stream's times begin again at 0"));

    // One scenario of a family that is there for more.
    let sweep = ["sweep", "clock/ties", "--seeds", "1", "--out", text(&out_folder)];
    let missed = "0 of 1 situations met\n    never met: the wall clock is set back\n";
    assert!(said(&rehearse(&sweep), 0).contains(missed));
    let strict = said(&rehearse(&[&sweep[..], &["--all-situations"]].concat()), 1);
    assert!(strict.contains(missed), "{strict}");
}

/// A run in which the gateway is stopped for good, among `others` that do not matter.
fn stopped(others: u64) -> Plan {
    let scenario = catalogue::find("live/republish").expect("it is there");
    let mut plan = (scenario.plan)(3);
    for index in 0..others {
        let host = plan.players[(index % 2) as usize].host.clone();
        let lever = match index % 3 {
            0 => Lever::StepWallClock(index as i64),
            1 => Lever::RebindNat,
            _ => Lever::FailAccepts(1),
        };
        plan.fault(index * 30, &host, lever);
        if index == others / 2 {
            plan.fault(index * 30, "gateway", Lever::Frozen(true));
        }
    }
    plan.terms.faulty = plan.hosts();
    plan
}

fn capsule(plan: Plan) -> Capsule {
    let scenario = catalogue::find("live/republish").expect("it is there");
    let outcome = run::run_plan(scenario, 3, &plan, false, &Watch::default());
    let program = Program::current().expect("it can be read");
    Capsule {
        schema: SCHEMA,
        about: "a stopped gateway".to_owned(),
        scenario: scenario.name.to_owned(),
        seed: 3,
        fingerprint: Fingerprint::of(outcome.violations.first().expect("it fails")),
        trace_hash: Some(format!("{:016x}", outcome.trace_hash())),
        revision: Some("0123abc".to_owned()),
        program: program.hash,
        plan,
    }
}

#[test]
fn a_capsule_is_run_again_and_made_smaller() {
    let folder = folder("capsule");
    let path = folder.join("stopped.json");
    let capsule = capsule(stopped(99));
    assert_eq!(capsule.plan.faults.len(), 100);
    capsule.save(&path).expect("the folder takes it");
    assert_eq!(Capsule::load(&path).expect("it is one"), capsule);

    // This test is another program than the one it asks.
    let out = said(&rehearse(&["replay", text(&path)]), 1);
    assert!(out.contains("FAIL: the same run, event for event: O8 bounded liveness"), "{out}");

    let out = said(&rehearse(&["shrink", text(&path), "--as-test"]), 0);
    let smaller = path.with_extension("min.json");
    assert!(out.contains(&format!("cargo rehearse replay {}", smaller.display())), "{out}");
    assert!(out.contains("include_str!(\"../regressions/stopped.min.json\")"), "{out}");
    let smaller = Capsule::load(&smaller).expect("it is one");
    assert_eq!(smaller.fingerprint, capsule.fingerprint);
    let levers: Vec<_> = smaller.plan.faults.iter().map(|fault| &fault.lever).collect();
    assert_eq!(levers, [&Lever::Frozen(true)]);
    assert_eq!((smaller.plan.publishers.len(), smaller.plan.players.len()), (0, 0));
    let violations = smaller.run(&Watch::default()).violations;
    assert_eq!(violations.first().map(Fingerprint::of), Some(smaller.fingerprint));
}

#[test]
fn a_capsule_says_when_it_fails_no_more_or_differently_or_not_twice_alike() {
    let folder = folder("verdicts");
    let path = folder.join("capsule.json");
    let failing = capsule(stopped(1));
    let replay = |capsule: &Capsule, code| {
        capsule.save(&path).expect("the folder takes it");
        said(&rehearse(&["replay", text(&path)]), code)
    };
    let repaired = Capsule { plan: (failing.scenario().plan)(3), ..failing.clone() };
    let out = replay(&repaired, 0);
    assert!(out.contains("pass: it fails no more, as it did with revision 0123abc"), "{out}");

    let mut other = failing.clone();
    other.fingerprint.what = "something else".to_owned();
    let out = replay(&other, 1);
    assert!(out.contains("FAIL: in another way than with revision 0123abc: "), "{out}");

    let other = Capsule { trace_hash: Some("0".repeat(16)), ..failing.clone() };
    let out = replay(&other, 1);
    assert!(out.contains("FAIL: in the same way, by other events than with "), "{out}");

    // Had the program that is asked made it, it would not be deterministic.
    let asked = fs::read(env!("CARGO_BIN_EXE_rehearse")).expect("it can be read");
    let program = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&asked));
    let out = replay(&Capsule { program, ..other }, 1);
    assert!(out.contains("FAIL: not deterministic: the same program made the trace 0000"), "{out}");
    assert!(out.contains("two runs of this process are the same"), "{out}");

    let out = said(&rehearse(&["shrink", text(&path)]), 0);
    assert!(out.contains("tried "), "{out}");
    repaired.save(&path).expect("the folder takes it");
    let out = said(&rehearse(&["shrink", text(&path)]), 1);
    assert!(out.contains("nothing to shrink: it passes, and not as it did: O8"), "{out}");
    let out = said(&rehearse(&["shrink", "live/audio-only", "--seed", "7"]), 1);
    assert!(out.contains("nothing to shrink: live/audio-only with seed 7 passes"), "{out}");
}

#[test]
fn what_is_no_capsule_is_refused_with_what_is_wrong() {
    let folder = folder("refused");
    let path = folder.join("capsule.json");
    let good = capsule(stopped(1));
    let of_another_version = Capsule { schema: SCHEMA + 1, ..good.clone() };
    let unknown = Capsule { scenario: "no/such".to_owned(), ..good.clone() };
    for (text, expected) in [
        ("{}".to_owned(), "it is no capsule: missing field `schema`"),
        (of_another_version.to_string(), "it is of version 2, and this program knows 1"),
        (unknown.to_string(), "no scenario is called no/such"),
        (good.to_string().replace("\"seed\"", "\"sead\""), "unknown field `sead`"),
    ] {
        assert!(Capsule::parse(&text).unwrap_err().contains(expected), "{expected}");
    }
    let output = rehearse(&["replay", text(&path)]);
    assert_eq!(output.status.code(), Some(2));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("cannot use the capsule") && err.contains("No such file"), "{err}");
}

#[test]
fn two_faults_of_a_hundred_are_found_to_matter() {
    let matters = [37, 71].map(|index| Fault {
        at_ms: index * 30,
        host: "gateway".to_owned(),
        lever: Lever::FailAccepts(7),
    });
    let mut plan = stopped(100);
    plan.faults.retain(|fault| fault.lever != Lever::Frozen(true));
    for fault in &matters {
        plan.faults[(fault.at_ms / 30) as usize] = fault.clone();
    }
    assert_eq!(plan.faults.len(), 100);
    let mut tried = 0;
    let has_both = |plan: &Plan| {
        plan.faults.iter().filter(|fault| fault.lever == Lever::FailAccepts(7)).count() == 2
    };
    let smaller = shrink::shrink(plan, |plan, progress| {
        tried = progress.tried;
        Some(has_both(plan))
    });
    assert_eq!(smaller.faults.len(), 2);
    assert!(tried < 300, "{tried} plans");
}

#[test]
fn a_search_that_is_ended_gives_the_smallest_so_far() {
    let mut left = 20;
    let plan = stopped(50);
    let smaller = shrink::shrink(plan.clone(), |_, _| {
        left -= 1;
        (left > 0).then_some(left % 2 == 0)
    });
    assert!(smaller.faults.len() < plan.faults.len());
}

/// The workers that `parent` has started.
fn workers(parent: u32) -> Vec<u32> {
    let is_its = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name before it may have anything in it, and ends with a bracket.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let is_child = after_name.split(' ').nth(1) == Some(&parent.to_string());
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        is_child && arguments.ends_with(b"\0worker\0")
    };
    let entries = fs::read_dir("/proc").expect("there are processes").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_its).collect()
}

fn signal(name: &str, pid: u32) {
    let kill = format!("kill -{name} {pid}");
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh starts").success());
}

#[test]
fn a_sweep_that_is_interrupted_tells_what_it_has_and_a_dead_process_is_one_failure() {
    let folder = folder("interrupted");
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_rehearse"))
        .args(["sweep", "live/audio-only", "--for", "60s", "--jobs", "1", "--out", text(&folder)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let pid = sweep.id();
    let mut wait = || {
        assert_eq!(sweep.try_wait().expect("it is ours"), None, "it has ended by itself");
        std::thread::yield_now();
    };
    // It listens for signals before it starts its first process.
    let worker = loop {
        if let [worker] = workers(pid)[..] {
            break worker;
        }
        wait();
    };
    signal("KILL", worker);
    // A failure is written at once.
    while !fs::read_to_string(folder.join("results.jsonl")).is_ok_and(|text| text.contains("died"))
    {
        wait();
    }
    signal("INT", pid);
    let out = said(&sweep.wait_with_output().expect("it ends"), 1);
    assert!(out.contains(" on 1 processes, cut short: 1 failed, "), "{out}");
    let records = results::read(&folder).expect("it is a folder of results");
    let dead: Vec<_> = records.iter().filter(|record| record.is_failure()).collect();
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].end, &dead[0].violations[0][..]),
        (End::Died, "O8 bounded liveness: the run's process died: signal: 9 (SIGKILL)")
    );
    assert!(
        fs::read_to_string(folder.join("junit.xml"))
            .is_ok_and(|text| text.contains("errors=\"1\""))
    );
}
