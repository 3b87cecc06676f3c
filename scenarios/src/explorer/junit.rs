//! Results as JUnit XML, which CI systems show.

use std::{collections::BTreeMap, io, time::Duration};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::record::{End, Record};

/// A suite for each scenario, a case for each run.
///
/// # Errors
/// The XML cannot be made.
pub fn report(records: &[Record]) -> io::Result<String> {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for record in records {
        let suite =
            suites.entry(&record.scenario).or_insert_with(|| TestSuite::new(&*record.scenario));
        suite.add_test_case(case(record));
    }
    let mut report = Report::new("rehearse sweep");
    report.add_test_suites(suites.into_values());
    report.to_string().map_err(io::Error::other)
}

fn case(record: &Record) -> TestCase {
    let status = match record.end {
        End::Passed => TestCaseStatus::success(),
        end => {
            let kind = match end {
                End::Failed => NonSuccessKind::Failure,
                _ => NonSuccessKind::Error,
            };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(record.violations.first().cloned().unwrap_or_default());
            status.set_description(record.violations.join("\n"));
            status
        }
    };
    let mut case = TestCase::new(format!("seed {}", record.seed), status);
    case.set_classname(&*record.scenario);
    case.set_time(Duration::from_micros(record.wall_us));
    case
}
