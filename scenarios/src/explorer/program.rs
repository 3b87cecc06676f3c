//! Which code runs: the program's hash, and the commit it was built from as far as git tells.

use std::{
    fs, io,
    process::{Command, Stdio},
};

use xxhash_rust::xxh3::xxh3_64;

use super::record::hex;

/// How people start this program, built as it is.
pub const COMMAND: &str = match (cfg!(feature = "canary-race"), cfg!(debug_assertions)) {
    (true, true) => {
        "cargo run --quiet --package rehearsal-scenarios --features canary-race --bin rehearse --"
    }
    (true, false) => {
        "cargo run --quiet --release --package rehearsal-scenarios --features canary-race --bin rehearse --"
    }
    (false, _) => "cargo rehearse",
};

/// Identity of the running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Hash of the file it was started from, in 16 hexadecimal digits.
    pub hash: String,
    /// The commit that is checked out where it runs, with a `+` when there are changes; nothing without git.
    pub revision: Option<String>,
}

impl Program {
    /// That of this process.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn current() -> io::Result<Self> {
        let file = fs::read(std::env::current_exe()?)?;
        Ok(Self { hash: hex(xxh3_64(&file)), revision: revision() })
    }
}

fn revision() -> Option<String> {
    let commit = git(&["rev-parse", "HEAD"])?;
    let is_changed = !git(&["status", "--porcelain"])?.is_empty();
    Some(format!("{commit}{}", if is_changed { "+" } else { "" }))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
