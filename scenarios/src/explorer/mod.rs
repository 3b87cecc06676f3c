//! The explorer: hunts for runs that fail, makes each smaller, and keeps what it found as files.
//!
//! Runs are carried out by [worker processes](worker), so that one that hangs or dies is a result like any other. A
//! [`sweep`] hands them scenarios with one seed after the other and leaves a [folder of results](results); [`shrink`] hands
//! them smaller and smaller plans.

#![allow(
    clippy::disallowed_methods,
    reason = "outside of any world: the explorer has files, processes and real time, and no run depends on them"
)]

pub mod elements;
pub mod junit;
pub mod program;
pub mod record;
pub mod results;
pub mod shrink;
pub mod sweep;
pub mod worker;
