//! The walls between a run and the real world, each proven by breaking it: the guard in the process, clippy's bans, and the
//! gate on `select!`. The fourth, the comparison of two processes, is broken in `tests/catalogue/determinism.rs`.

mod bans;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod calls;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod guard;
mod select;
