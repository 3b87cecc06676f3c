//! The promise: same source, same seed, same trace hash, in every process.

#![allow(clippy::disallowed_methods, reason = "starts processes of the command")]

use std::{
    env,
    process::{self, Child, Command, Stdio},
    time::Duration,
};

use rehearsal_core::env::{Env, UdpSocket};
use rehearsal_scenarios::{catalogue::light, oracles, run};
use rehearsal_sim::{LinkConfig, Rng, World};
use tokio::time::sleep;

use crate::runs;

/// The command, to be run in a process of its own.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
    command.args(arguments);
    command
}

/// A process that goes on by itself.
fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the command starts")
}

/// What a process has printed by its end.
fn output(child: Child) -> String {
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What `N` processes print that live at the same time.
fn outputs<const N: usize>(command: impl Fn() -> Command) -> [String; N] {
    [0; N].map(|_| start(command())).map(output)
}

fn rehearse(arguments: &[&str]) -> String {
    let [output] = outputs(|| command(arguments));
    output
}

/// The seeds that a scenario is compared at: drawn from its name, so that they are others for each and a new
/// scenario moves nobody's.
fn seeds(scenario: &str) -> [u64; 3] {
    let mut seeds = Rng::named(0, scenario);
    [0; 3].map(|_| seeds.below(1 << 32))
}

#[test]
fn two_processes_and_this_one_agree_on_every_scenario() {
    for scenario in light() {
        let seeds = seeds(scenario.name);
        let runs = seeds.map(|seed| {
            let seed_text = seed.to_string();
            let replay = || start(command(&["replay", scenario.name, "--seed", &seed_text]));
            let others = [replay(), replay()];
            let here = run::run(scenario, seed);
            let [first, second] = others.map(output);
            assert_eq!(first, second);
            let hash = format!("trace hash {:016x}", here.trace_hash());
            assert!(first.contains(&hash), "{hash} is not in:\n{first}");
            here
        });
        // The first one once more, after what the others have left in this process.
        let again = run::run(scenario, seeds[0]);
        let traces = [&runs[0], &again].map(|run| run.trace.expect("the fabric keeps a trace"));
        assert_eq!(oracles::repeats(traces[0], traces[1]), None, "{}", scenario.name);
    }
}

#[test]
fn the_log_changes_nothing() {
    let quiet = rehearse(&["replay", "live/republish", "--seed", "3"]);
    assert_eq!(rehearse(&["replay", "live/republish", "--seed", "3", "--log"]), quiet);
}

#[test]
fn another_seed_is_another_run() {
    for (one, other) in runs::with_seed(1).iter().zip(runs::with_seed(2)) {
        assert_ne!(one.trace_hash, other.trace_hash, "{}", one.scenario.name);
    }
}

#[test]
fn the_command_shows_where_two_runs_part() {
    let diverge = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rehearse"))
            .args(["diverge", "live/republish", "--seed", "7"])
            .args(arguments)
            .output()
            .expect("the command starts");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let (code, told) = diverge(&[]);
    assert!(code == Some(0) && told.starts_with("same: live/republish"), "{told}");
    let (code, told) = diverge(&["--other-seed", "8"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("< is seed 7, > is seed 8"), "{told}");
    assert!(told.contains("the runs part at event 0"), "{told}");
    assert!(told.contains("  <  tcp sent 10.0.0.2:"), "{told}");
    assert!(told.contains("  >  tcp sent 10.0.0."), "{told}");
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
    assert_eq!(status(&["diverge", "live/nothing"]), Some(2));
    assert_eq!(status(&["run", "live/narrow-link", "--net", "turmoil"]), Some(2));
    assert_eq!(status(&["run", "live/republish", "--net", "turmoil"]), Some(0));
    assert_eq!(status(&["list"]), Some(0));
    let elsewhere = ["run", "live/republish", "--net", "turmoil"];
    assert_eq!(status(&[&elsewhere[..], &["--pcap-host", "gateway"]].concat()), Some(2));
    assert_eq!(status(&[&elsewhere[..], &["--log"]].concat()), Some(2));
    assert_eq!(status(&["run", "live", "--log"]), Some(2));
}

#[test]
fn the_name_of_a_family_where_one_scenario_is_wanted_names_its_scenarios() {
    let output = command(&["replay", "segments"]).output().expect("the command starts");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    let expected = "segments is a family; name one of its scenarios: segments/one-byte, ";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn run_prints_the_log_of_one_scenario_and_comes_to_the_same() {
    let run = |more: &[&str]| {
        let all = [&["run", "live/republish", "--seed", "3"][..], more].concat();
        let output = command(&all).output().expect("the command starts");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let hash = String::from_utf8(output.stdout).expect("UTF-8");
        let hash = hash.lines().nth(1).and_then(|line| line.split_whitespace().last());
        let hash = hash.expect("a line for the scenario").to_owned();
        (hash, String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let (quiet, said) = (run(&[]), run(&["--log"]));
    assert_eq!(quiet.0, said.0);
    assert!(quiet.1.is_empty() && said.1.contains("unpublish"), "{}", said.1);
}

#[test]
fn a_run_whose_output_nobody_reads_to_the_end_is_no_success() {
    let run = |arguments: &[&str]| {
        let mut command = command(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command starts");
        drop(child.stdout.take());
        child.wait().expect("it ends").code()
    };
    assert_eq!(run(&["run", "live/republish"]), Some(1));
    assert_eq!(run(&["list"]), Some(0), "a list has no verdict");
}

const BREAK: &str = "DETERMINISM_BREAK";

/// The part of the next test that runs in processes of its own: a world that does what `BREAK` says, and its hash.
#[test]
#[ignore = "run by processes_that_differ_are_told_apart"]
fn prints_the_hash_of_a_world() {
    let what = env::var(BREAK).unwrap_or_default();
    let ticks = (0..64_u64).map(|ms| (ms, ()));
    #[allow(clippy::disallowed_types, reason = "breaks the wall to see it there")]
    let ordered_by_entropy: std::collections::HashMap<u64, ()> = ticks.collect();
    let mut world = World::new(1);
    let host = world.add_host("host", LinkConfig::lan());
    let ran = world.run(Duration::from_secs(86_400), async {
        match what.as_str() {
            "process id" => host.note(process::id().to_string()),
            "hash map" => host.note(format!("{:?}", ordered_by_entropy.keys())),
            "payload" => {
                // As long as any other.
                let socket = host.bind_udp((host.ip(), 0).into()).await.expect("a free port");
                let bytes = process::id().to_be_bytes();
                socket.send_to(&bytes, (host.ip(), 9).into()).await.expect("a route");
            }
            "schedule" => sleep(Duration::from_millis(process::id().into())).await,
            _ => host.note("nothing of this process"),
        }
        host.note("done");
    });
    ran.expect("none of these is seen by the guard");
    println!("trace hash {:016x}", world.trace(|trace| trace.hash()));
}

#[test]
fn processes_that_differ_are_told_apart() {
    let of_two_processes = |what: &str| {
        outputs::<2>(|| {
            let mut command = Command::new(env::current_exe().expect("a test is a file"));
            let test = "determinism::prints_the_hash_of_a_world";
            command.env(BREAK, what).args(["--ignored", "--exact", test, "--nocapture"]);
            command
        })
        .map(|output| {
            let hash = output.lines().find_map(|line| line.split_once("trace hash "));
            hash.unwrap_or_else(|| panic!("no hash in:\n{output}")).1.to_owned()
        })
    };
    let [first, second] = of_two_processes("nothing");
    assert_eq!(first, second);
    for what in ["process id", "hash map", "payload", "schedule"] {
        let [first, second] = of_two_processes(what);
        assert_ne!(first, second, "{what}");
    }
}
