//! Sockets, names, files, threads and processes.

#![allow(clippy::disallowed_methods, reason = "breaks the wall to see it there")]

use std::{
    ffi::{c_char, c_int, c_long, c_void},
    fs::{self, File},
    net::ToSocketAddrs,
    process::Command,
    ptr::{null, null_mut},
};

use rehearsal_sim::RunError;

use super::{assert_all_caught, c, number};
use crate::guard::{caught, run_with};

#[test]
fn every_resource_is_caught() {
    const DATAGRAM: c_int = 2;
    const INTERNET: c_int = 2;
    fn closes(descriptor: c_int) {
        // Refused in a run.
        assert!(descriptor < 0 || c::close(descriptor) == 0);
    }
    fn opens(open: impl Fn(*const c_char) -> c_int) {
        closes(open(c"/dev/null".as_ptr()));
    }
    assert_all_caught(&[
        ("socket", || closes(c::socket(INTERNET, DATAGRAM, 0))),
        ("socket", || {
            let [domain, kind] = [INTERNET, DATAGRAM].map(c_long::from);
            // SAFETY: numbers only.
            let descriptor = unsafe { c::syscall(number::SOCKET, domain, kind, 0 as c_long) };
            closes(descriptor as c_int);
        }),
        ("getaddrinfo", || drop("localhost:1".to_socket_addrs())),
        // SAFETY: a C string.
        ("open", || opens(|path| unsafe { c::open(path, 0) })),
        // SAFETY: as above.
        ("open64", || opens(|path| unsafe { c::open64(path, 0) })),
        // SAFETY: as above; -100 is the current folder.
        ("openat", || opens(|path| unsafe { c::openat(-100, path, 0) })),
        // SAFETY: as above.
        ("openat64", || opens(|path| unsafe { c::openat64(-100, path, 0) })),
        ("open64", || drop(File::open("/dev/urandom"))),
        ("open64", || drop(fs::read("/proc/uptime"))),
        ("pthread_create", || {
            if let Ok(thread) = std::thread::Builder::new().spawn(|| {}) {
                thread.join().expect("ends");
            }
        }),
    ]);
}

#[test]
fn every_way_to_make_a_process_is_caught() {
    fn ends(process: c_int) {
        // SAFETY: the status may be null.
        assert_eq!(unsafe { c::waitpid(process, null_mut(), 0) }, process);
    }
    type Spawn = unsafe extern "C" fn(
        *mut c_int,
        *const c_char,
        *const c_void,
        *const c_void,
        *const *const c_char,
        *const *const c_char,
    ) -> c_int;
    fn spawns(spawn: Spawn) {
        let mut process = 0;
        let words = [c"true".as_ptr(), null()];
        let (program, none, environment) = (c"/bin/true".as_ptr(), null(), [null()]);
        let (words, environment) = (words.as_ptr(), environment.as_ptr());
        // SAFETY: C strings and lists that end with null; actions and attributes may be null.
        let error = unsafe { spawn(&mut process, program, none, none, words, environment) };
        if error == 0 {
            ends(process);
        }
    }
    assert_all_caught(&[
        ("fork", || match c::fork() {
            0 => c::_exit(0),
            process if process > 0 => ends(process),
            _ => {}
        }),
        ("posix_spawn", || spawns(c::posix_spawn)),
        ("posix_spawnp", || spawns(c::posix_spawnp)),
    ]);
    // What the standard library comes through is its own affair.
    Command::new("true").status().expect("starts");
    assert!(caught(|| drop(Command::new("true").status())).is_some());
    let again = caught(|| {
        assert!(fs::read("/proc/uptime").is_err(), "refused");
    });
    assert_eq!(again, Some("open64"));
}

#[test]
fn a_file_that_may_be_made_gets_its_mode() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("mode-{}", std::process::id()));
    fs::write(&path, "content").expect("is written");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&path).expect("is there").permissions(),
    );
    assert_eq!(fs::read(&path).expect("is there"), b"content");
    fs::remove_file(&path).expect("is there");
    assert!(mode & 0o600 == 0o600, "{mode:o}");
}

#[test]
fn a_panic_may_read_what_its_backtrace_needs() {
    struct OpensAsItGoes;
    impl Drop for OpensAsItGoes {
        fn drop(&mut self) {
            assert!(fs::read("/proc/self/exe").is_ok());
        }
    }
    let panics = || -> Result<(), RunError> {
        run_with(|| {
            let _opens = OpensAsItGoes;
            panic!("as meant");
        })
    };
    std::panic::catch_unwind(panics).expect_err("the task's panic, and no abort");
}
