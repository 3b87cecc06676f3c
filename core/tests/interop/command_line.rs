//! The `gateway` command: what it prints and how it exits.

// Ports are taken and files are written without the seam that the gateway uses.
#![allow(clippy::disallowed_methods)]

use std::net::TcpListener;

use crate::{
    gateway::{Scratch, binary},
    process::{Ended, PATIENCE, Process},
};

fn run(arguments: &[&str]) -> Ended {
    Process::start("gateway", binary().args(arguments)).wait(PATIENCE)
}

fn run_with_config(content: &str, more: &[&str]) -> (Ended, String) {
    let file = Scratch::new(content);
    let path = file.path().to_str().expect("a path of text").to_owned();
    (run(&[&["--config", &path], more].concat()), path)
}

#[test]
fn help_shows_examples() {
    let ended = run(&["--help"]);
    assert_eq!((ended.code, ended.stderr.len()), (Some(0), 0), "{ended:?}");
    let help = ended.stdout.join("\n");
    for expected in ["Usage: gateway", "Examples:", "ffmpeg -re -i", "--print-config", "Exit codes"]
    {
        assert!(help.contains(expected), "no {expected:?} in\n{help}");
    }
}

#[test]
fn an_unknown_option_is_wrong_usage() {
    let ended = run(&["--prot", "1935"]);
    assert_eq!((ended.code, ended.stdout.len()), (Some(2), 0), "{ended:?}");
    assert!(ended.stderr.join("\n").contains("--prot"), "{ended:?}");
}

#[test]
fn a_wrong_configuration_is_refused_in_one_line_that_says_where() {
    let cases = [
        ("[rtmp]\nping_ms = 9\nchunk_bytes = 5\n", ":3: rtmp.chunk_bytes: 5 is out of range"),
        ("[http]\nport = 80\n", ":2: http.port: unknown field `port`"),
        ("\n[rtmp]\nlisten = \"here\"\n", ":3: rtmp.listen: "),
        ("[log]\nlevel = \"loud\"\n", ":2: log.level: unknown variant `loud`"),
        ("[rtmp\n", ":1: "),
    ];
    for (content, expected) in cases {
        for more in [&[][..], &["--check"], &["--print-config"]] {
            let (ended, path) = run_with_config(content, more);
            assert_eq!((ended.code, ended.stdout.len()), (Some(2), 0), "{content:?}: {ended:?}");
            assert_eq!(ended.stderr.len(), 1, "{content:?}: {ended:?}");
            let expected = format!("gateway: {path}{expected}");
            assert!(ended.stderr[0].starts_with(&expected), "{expected} is not in {ended:?}");
        }
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_named_in_one_line() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let missing = format!("{folder}/there-is-no-such-file.toml");
    for path in [missing.as_str(), folder] {
        let ended = run(&["--config", path]);
        assert_eq!((ended.code, ended.stdout.len()), (Some(2), 0), "{ended:?}");
        assert_eq!(ended.stderr.len(), 1, "{ended:?}");
        let expected = format!("gateway: {path}: cannot read the configuration: ");
        assert!(ended.stderr[0].starts_with(&expected), "{ended:?}");
    }
}

#[test]
fn a_taken_port_is_named_in_one_line() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("an address");
    for (key, other) in [("rtmp.listen", "http.listen"), ("http.listen", "rtmp.listen")] {
        let free = "127.0.0.1:0";
        let config =
            format!("{key} = \"{taken}\"\n{other} = \"{free}\"\nsip.listen = \"{free}\"\n");
        let (ended, _) = run_with_config(&config, &[]);
        assert_eq!((ended.code, ended.stdout.len()), (Some(1), 0), "{ended:?}");
        assert_eq!(ended.stderr.len(), 1, "{ended:?}");
        let expected = format!("gateway: cannot listen on {taken} for ");
        assert!(ended.stderr[0].starts_with(&expected), "{ended:?}");
        assert!(ended.stderr[0].contains(key), "{ended:?}");
    }
}

#[test]
fn the_printed_configuration_is_a_right_one() {
    let printed = run(&["--print-config"]);
    assert_eq!((printed.code, printed.stderr.len()), (Some(0), 0), "{printed:?}");
    let (checked, _) = run_with_config(&printed.stdout.join("\n"), &["--check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(checked.stdout, ["the configuration is right"]);
    assert!(checked.stderr.is_empty(), "{checked:?}");
}

#[test]
fn what_a_configuration_sets_is_printed_with_the_defaults() {
    let (printed, _) = run_with_config("live.keep_ms = 1234\n", &["--print-config"]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let lines = |wanted: &str| printed.stdout.iter().filter(|line| *line == wanted).count();
    assert_eq!((lines("keep_ms = 1234"), lines("gop_ms = 60000")), (1, 1), "{printed:?}");
    let (again, _) = run_with_config(&printed.stdout.join("\n"), &["--print-config"]);
    assert_eq!(again.stdout, printed.stdout);
}
