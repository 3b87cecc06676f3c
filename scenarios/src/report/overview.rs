//! What a sweep came to: totals, rates, how runs are spread, and each scenario.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    charts::{count, histogram, time},
    situations,
    statistics::{Histogram, percentile},
};
use crate::explorer::record::Record;

/// Scenarios in a table that stands open whatever happened.
const ROWS_OPEN: usize = 12;

/// Its section, with `kinds` kinds of failures.
pub(super) fn section(records: &[Record], kinds: usize) -> Markup {
    html! {
        section #overview {
            h2 { "Overview" }
            (totals(records, kinds))
            @if records.is_empty() {
                p { "The sweep has no runs." }
            } @else {
                div.histograms {
                    (spread(records, "Virtual time of a run", 1.0, time, |run| run.virtual_ms as f64))
                    (spread(records, "Real time of a run", 0.001, time, |run| run.wall_us as f64 / 1_000.0))
                    (spread(records, "Events of a run", 1.0, count, |run| run.events as f64))
                }
                (scenarios(records))
                (situations::section(records))
            }
        }
    }
}

fn totals(records: &[Record], kinds: usize) -> Markup {
    let failed = records.iter().filter(|record| record.is_failure()).count();
    let twice = records.iter().filter(|record| record.twice).count();
    let sum = |of: fn(&Record) -> u64| records.iter().map(of).sum::<u64>() as f64;
    let wall_us = sum(|record| record.wall_us).max(1.0);
    let total = |name: &str, value: String, is_bad: bool| {
        html! { div.bad[is_bad] { dt { (name) } dd { (value) } } }
    };
    html! {
        dl.totals {
            (total("runs", count(records.len() as f64), false))
            (total("passed", count((records.len() - failed) as f64), false))
            (total("failed", count(failed as f64), failed > 0))
            (total("kinds of failures", count(kinds as f64), kinds > 0))
            (total("run twice", count(twice as f64), false))
            (total("runs/hour/core", count(records.len() as f64 * 3_600e6 / wall_us), false))
            (total("times real time", count(sum(|record| record.virtual_ms) * 1_000.0 / wall_us), false))
            (total("events", count(sum(|record| record.events)), false))
        }
    }
}

fn spread(
    records: &[Record],
    title: &str,
    least: f64,
    show: fn(f64) -> String,
    of: fn(&Record) -> f64,
) -> Markup {
    let measured = records.iter().filter(|run| is_measured(run));
    let values: Vec<_> = measured.map(|run| (of(run), run.is_failure())).collect();
    histogram(title, &Histogram::of(&values, least), show)
}

/// Of a run that was broken off nobody knows how long it was.
fn is_measured(run: &Record) -> bool {
    run.trace_hash.is_some()
}

fn failed(runs: &[&Record]) -> usize {
    runs.iter().filter(|run| run.is_failure()).count()
}

/// A table by scenario, those that failed first. A long one is folded away when there are failures to be looked at.
fn scenarios(records: &[Record]) -> Markup {
    let mut by_name: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        by_name.entry(&record.scenario).or_default().push(record);
    }
    let mut rows: Vec<_> = by_name.into_iter().collect();
    rows.sort_by_key(|(_, runs)| std::cmp::Reverse(failed(runs)));
    let is_open = rows.len() <= ROWS_OPEN || rows.iter().all(|(_, runs)| failed(runs) == 0);
    html! {
        details open[is_open] {
            summary { "By scenario: " (rows.len()) }
            div.scroll { table.numbers {
                thead {
                    tr {
                        th rowspan="2" { "scenario" }
                        th rowspan="2" { "runs" }
                        th rowspan="2" { "failed" }
                        th.group colspan="3" { "virtual time" }
                        th.group colspan="3" { "real time" }
                        th rowspan="2" { "events, median" }
                    }
                    tr {
                        @for _ in 0..2 { th { "median" } th { "p95" } th { "max" } }
                    }
                }
                tbody { @for (name, runs) in &rows { (row(name, runs)) } }
            } }
        }
    }
}

fn row(name: &str, runs: &[&Record]) -> Markup {
    let failed = failed(runs);
    let sorted = |of: fn(&Record) -> f64| {
        let measured = runs.iter().filter(|run| is_measured(run));
        let mut values: Vec<f64> = measured.map(|run| of(run)).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let three = |values: Vec<f64>| {
        [500_000, 950_000, 1_000_000].map(|ppm| percentile(&values, ppm).map(time))
    };
    let virtual_ms = three(sorted(|run| run.virtual_ms as f64));
    let wall_ms = three(sorted(|run| run.wall_us as f64 / 1_000.0));
    let events = percentile(&sorted(|run| run.events as f64), 500_000);
    html! {
        tr {
            th scope="row" { (name) }
            td { (count(runs.len() as f64)) }
            td.bad[failed > 0] { (count(failed as f64)) }
            @for value in virtual_ms.into_iter().chain(wall_ms) { td { (value.unwrap_or("–".to_owned())) } }
            td { (events.map_or("–".to_owned(), count)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        explorer::record::{End, Job},
        plan::Plan,
    };

    fn run(scenario: &str, end: End) -> Record {
        let plan: Option<Plan> = None;
        let job =
            Job { scenario: scenario.to_owned(), seed: 1, plan, is_checked: true, twice: true };
        let broken = Record::broken_off(&job, End::Died, "x", 2_000);
        Record { end, trace_hash: (end != End::Died).then(|| "0".repeat(16)), ..broken }
    }

    #[test]
    fn an_empty_sweep_says_so() {
        let text = section(&[], 0).into_string();
        assert!(text.contains("The sweep has no runs."), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf") && !text.contains("<table"));
    }

    #[test]
    fn scenarios_have_a_row_each_and_failures_stand_out() {
        let runs = [run("a/<b>", End::Passed), run("c/d", End::Failed), run("c/d", End::Passed)];
        let text = section(&runs, 1).into_string();
        assert_eq!(text.matches("<th scope=\"row\">").count(), 2);
        assert!(text.contains("a/&lt;b&gt;"), "{text}");
        assert!(text.contains("<td class=\"bad\">1</td>"), "{text}");
        assert!(text.contains("<dt>failed</dt><dd>1</dd>"), "{text}");
        assert!(text.find("c/d") < text.find("a/&lt;b&gt;"), "{text}");
        let broken = section(&[run("a/b", End::Died)], 1).into_string();
        assert_eq!(
            (broken.matches("<td>–</td>").count(), broken.matches("no runs").count()),
            (7, 3)
        );
        let clean = section(&runs[..1], 0).into_string();
        assert!(!clean.contains("class=\"bad\""), "{clean}");
    }
}
