//! A folder that a test has for itself.

#![allow(clippy::disallowed_methods, reason = "makes it")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// An empty folder called `name` among those of the tests.
pub fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("the folder can be made");
    path
}
