//! The report: a sweep, its failures and their runs as one HTML file that needs nothing else, not even a network.
//!
//! [`sweep_page`] makes it of a sweep's folder, [`run_page`] of one run. `overview`, `situations` and `failures` say in words and `charts` what
//! the records say. Each kind of failure is run again for its `picture`: `reading` makes a `timeline` of its trace, `curves` are
//! below that, and `alarms` are where oracles tell a time. `page` puts it together with a style sheet and a script, which draws.

#![allow(
    clippy::disallowed_methods,
    reason = "outside of any world: a report is made of files that a sweep has left"
)]

mod alarms;
mod charts;
mod curves;
mod failures;
mod overview;
mod page;
mod picture;
mod plan;
mod reading;
mod situations;
mod statistics;
mod timeline;

use std::{io, path::Path};

pub use picture::Subject;

use self::{failures::Kind, picture::Picture};
use crate::explorer::{program::Program, results};

/// Kinds of failures of a sweep that are run again and drawn, the most frequent ones.
pub const PICTURES_MAX: usize = 20;

/// The page of the sweep whose results are in `folder`.
///
/// # Errors
/// Those of the file system, and records that are none.
pub fn sweep_page(folder: &Path) -> io::Result<String> {
    let records = results::read(folder)?;
    let mut kinds = failures::kinds(folder, &records);
    kinds.iter_mut().take(PICTURES_MAX).for_each(Kind::run_again);
    let title = format!("Sweep of {} runs", records.len());
    let program = Program::current()?;
    let body = maud::html! {
        (overview::section(&records, kinds.len()))
        (failures::section(&kinds))
    };
    let pictures: Vec<&Picture> = kinds.iter().filter_map(Kind::picture).collect();
    Ok(page::page(&title, &program, &body, &pictures))
}

/// The page of one run, which is carried out for it.
///
/// # Errors
/// The program's own file cannot be read.
pub fn run_page(subject: &Subject) -> io::Result<String> {
    let picture = Picture::of(subject);
    let body = maud::html! { (failures::run_section(subject, &picture)) };
    let title = format!("{} with seed {}", subject.scenario.name, subject.seed);
    Ok(page::page(&title, &Program::current()?, &body, &[&picture]))
}
