//! What is printed: a line for each scenario, what it added and where, and a summary.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use rehearsal_heap::{Amount, CallSite};

use crate::{
    growth::{Series, Verdict},
    measure::Measured,
};

/// Growing or added call sites that are printed for a scenario; the rest are summed up.
const SITES_MAX: usize = 20;

/// Prints results as they come.
pub(crate) struct Report<W: Write> {
    out: W,
    name_width: usize,
    /// Whether resources and sites at rest are printed too.
    has_details: bool,
    sums: Sums,
}

/// Sums over all scenarios.
#[derive(Default)]
struct Sums {
    scenarios: usize,
    growing_scenarios: usize,
    /// Where nothing grows, but a resource is not back where it was.
    keeping_scenarios: usize,
    failed_scenarios: usize,
    growing: BTreeSet<CallSite>,
    growing_per_cycle: (f64, f64),
    added_once: BTreeSet<CallSite>,
    added_once_amount: Amount,
    at_rest: Amount,
    added: Amount,
    resources: Vec<(String, i64, i64)>,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::AtRest => "at rest",
            Self::AddedOnce => "added once",
            Self::Kept => "KEPT",
            Self::Growing => "GROWING",
        }
    }
}

impl<W: Write> Report<W> {
    pub(crate) fn new(out: W, name_width: usize, has_details: bool) -> Self {
        Self { out, name_width, has_details, sums: Sums::default() }
    }

    /// Prints the head of the table.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        writeln!(
            self.out,
            "{:<width$}  {:>10}  {:>12}  {:>12}  {:>22}  {:>9}",
            "scenario",
            "result",
            "blocks/cycle",
            "bytes/cycle",
            "gateway's heap, bytes",
            "cycles",
            width = self.name_width
        )
    }

    /// Prints what was measured of a scenario.
    pub(crate) fn measured(&mut self, name: &str, measured: &Measured) -> io::Result<()> {
        let verdict = measured.verdict();
        let (blocks, bytes) = growing_per_cycle(measured);
        let phases: u32 = measured.phases.iter().sum();
        writeln!(
            self.out,
            "{name:<width$}  {:>10}  {blocks:>12.2}  {bytes:>12.1}  {:>22}  {:>9}",
            verdict.word(),
            with_added(measured.heap.last().bytes, measured.heap.added().bytes),
            format!("{} + {phases}", measured.warm_up_cycles),
            width = self.name_width
        )?;
        self.sites(measured)?;
        self.resources(measured)?;
        self.sums.add(measured);
        Ok(())
    }

    /// Prints why a scenario could not be measured.
    pub(crate) fn failed(&mut self, name: &str, why: &str) -> io::Result<()> {
        writeln!(self.out, "{name:<width$}  {:>10}  {why}", "FAILED", width = self.name_width)?;
        self.sums.scenarios += 1;
        self.sums.failed_scenarios += 1;
        Ok(())
    }

    /// The call sites that grow, and those that have added something, the worst first.
    fn sites(&mut self, measured: &Measured) -> io::Result<()> {
        let mut sites: Vec<_> = measured.sites.iter().collect();
        sites.retain(|(_, series)| series.verdict() > Verdict::AtRest);
        sites.sort_by_key(|(site, series)| {
            let step = series.last_step();
            (std::cmp::Reverse((series.verdict(), step.bytes, step.blocks)), site)
        });
        for (site, series) in sites.iter().take(SITES_MAX) {
            let (blocks, bytes) = measured.per_cycle(series);
            match series.verdict() {
                Verdict::Growing => writeln!(
                    self.out,
                    "  definitely growing: {blocks:.2} blocks, {bytes:.1} bytes a cycle"
                )?,
                _ => {
                    let added = series.since_start();
                    writeln!(
                        self.out,
                        "  added once: {} blocks, {} bytes",
                        signed(added.blocks),
                        signed(added.bytes)
                    )?;
                }
            }
            self.site(site)?;
        }
        if let Some(more) = sites.len().checked_sub(SITES_MAX).filter(|more| *more > 0) {
            writeln!(self.out, "  and at {more} other call sites")?;
        }
        Ok(())
    }

    fn site(&mut self, site: &CallSite) -> io::Result<()> {
        for (index, line) in site.to_string().lines().enumerate() {
            let at = if index == 0 { "at " } else { "" };
            writeln!(self.out, "    {at}{line}")?;
        }
        Ok(())
    }

    /// Resources that are not back where they were, one a line, and those that are, if they are wanted.
    fn resources(&mut self, measured: &Measured) -> io::Result<()> {
        let verdict = |series: &Series<i64>| series.strict_verdict();
        let (back, kept): (Vec<_>, Vec<_>) =
            measured.resources.iter().partition(|(_, series)| verdict(series) == Verdict::AtRest);
        for (name, series) in kept {
            let value = with_added(series.last(), series.since_start());
            writeln!(self.out, "  {name:<24}  {value:>12}  {}", verdict(series).word())?;
        }
        if self.has_details && !back.is_empty() {
            let back: Vec<_> =
                back.iter().map(|(name, series)| format!("{name} {}", series.last())).collect();
            writeln!(self.out, "  at rest: {}", back.join(", "))?;
        }
        Ok(())
    }

    /// Prints the summary; gives whether all is well.
    pub(crate) fn end(mut self) -> io::Result<bool> {
        let Sums { scenarios, growing_scenarios, keeping_scenarios, failed_scenarios, .. } =
            self.sums;
        let Sums { growing, growing_per_cycle: (blocks, bytes), .. } = &self.sums;
        let Sums { added_once, added_once_amount: once, at_rest, added, resources, .. } =
            &self.sums;
        let of = |count: usize, what: &str| {
            format!("{count} {what}{}", if count == 1 { "" } else { "s" })
        };
        writeln!(self.out, "\nleak summary of {}", of(scenarios, "scenario"))?;
        writeln!(
            self.out,
            "  definitely growing  {bytes:.1} bytes in {blocks:.2} blocks a cycle of all, at {}, in {}",
            of(growing.len(), "call site"),
            of(growing_scenarios, "scenario")
        )?;
        writeln!(
            self.out,
            "  added once          {} bytes in {} blocks, at {}",
            once.bytes,
            once.blocks,
            of(added_once.len(), "call site")
        )?;
        writeln!(
            self.out,
            "  at rest             {} bytes in {} blocks",
            with_added(at_rest.bytes, added.bytes),
            with_added(at_rest.blocks, added.blocks)
        )?;
        let resources: Vec<_> = resources
            .iter()
            .map(|(name, value, added)| format!("{name} {}", with_added(*value, *added)))
            .collect();
        if !resources.is_empty() {
            writeln!(self.out, "  resources at rest   {}", resources.join(", "))?;
        }
        if keeping_scenarios > 0 {
            writeln!(
                self.out,
                "  kept at rest        resources in {}",
                of(keeping_scenarios, "scenario")
            )?;
        }
        if failed_scenarios > 0 {
            writeln!(self.out, "  not measured        {}", of(failed_scenarios, "scenario"))?;
        }
        Ok(growing_scenarios + keeping_scenarios + failed_scenarios == 0)
    }
}

/// Blocks and bytes that all growing call sites add in a cycle.
fn growing_per_cycle(measured: &Measured) -> (f64, f64) {
    let growing = measured.sites.iter().filter(|(_, series)| series.verdict() == Verdict::Growing);
    growing.fold((0.0, 0.0), |(blocks, bytes), (_, series)| {
        let per_cycle = measured.per_cycle(series);
        (blocks + per_cycle.0, bytes + per_cycle.1)
    })
}

impl Sums {
    fn add(&mut self, measured: &Measured) {
        self.scenarios += 1;
        match measured.verdict() {
            Verdict::Growing => self.growing_scenarios += 1,
            Verdict::Kept => self.keeping_scenarios += 1,
            Verdict::AddedOnce | Verdict::AtRest => {}
        }
        let (blocks, bytes) = growing_per_cycle(measured);
        self.growing_per_cycle.0 += blocks;
        self.growing_per_cycle.1 += bytes;
        for (site, series) in &measured.sites {
            match series.verdict() {
                Verdict::Growing => {
                    self.growing.insert(site.clone());
                }
                Verdict::AddedOnce => {
                    self.added_once.insert(site.clone());
                    self.added_once_amount += series.since_start();
                }
                Verdict::AtRest | Verdict::Kept => {}
            }
        }
        self.at_rest += measured.heap.last();
        self.added += measured.heap.added();
        for (name, series) in &measured.resources {
            let index = self.resources.iter().position(|(known, ..)| known == name);
            let index = index.unwrap_or_else(|| {
                self.resources.push((name.clone(), 0, 0));
                self.resources.len() - 1
            });
            let (_, value, added) = &mut self.resources[index];
            *value += series.last();
            *added += series.since_start();
        }
    }
}

/// A value, and what was added to it: `1234 (+5)`.
fn with_added(value: i64, added: i64) -> String {
    format!("{value} ({})", signed(added))
}

fn signed(value: i64) -> String {
    format!("{value:+}")
}

#[cfg(test)]
mod tests {
    use rehearsal_heap::Frame;

    use super::*;

    fn blocks(start: i64, looks: [i64; 4]) -> Series<Amount> {
        let amount = |blocks| Amount { blocks, bytes: 10 * blocks };
        Series { start: amount(start), looks: looks.map(amount).to_vec() }
    }

    fn site(function: &str) -> CallSite {
        let frame =
            |function: &str| Frame { function: function.to_owned(), place: "a.rs:1".into() };
        CallSite { own: vec![frame(function), frame("caller")], stack: vec![frame("library")] }
    }

    fn measured(
        sites: Vec<(CallSite, Series<Amount>)>,
        [tasks, files]: [Series<i64>; 2],
    ) -> Measured {
        Measured {
            warm_up_cycles: 2,
            phases: vec![4, 8, 16],
            heap: sites.first().map_or(blocks(1, [1; 4]), |(_, series)| series.clone()),
            sites,
            resources: vec![("tasks".to_owned(), tasks), ("open files".to_owned(), files)],
        }
    }

    fn same(value: i64) -> Series<i64> {
        Series { start: value, looks: vec![value; 4] }
    }

    /// What is printed of these, and whether all is well.
    fn printed(all: &[(&str, Measured)], has_details: bool) -> (String, bool) {
        let mut text = Vec::new();
        let mut report = Report::new(&mut text, 10, has_details);
        report.begin().expect("memory takes it");
        for (name, measured) in all {
            report.measured(name, measured).expect("memory takes it");
        }
        let is_well = report.end().expect("memory takes it");
        (String::from_utf8(text).expect("it is text"), is_well)
    }

    #[test]
    fn what_grows_is_named_by_its_own_calls_and_fails() {
        let grows = (site("leaks"), blocks(0, [6, 10, 18, 34]));
        let (text, is_well) =
            printed(&[("a/growing", measured(vec![grows], [same(1), same(0)]))], true);
        assert_eq!(
            text,
            "\
scenario        result  blocks/cycle   bytes/cycle   gateway's heap, bytes     cycles
a/growing      GROWING          1.00          10.0              340 (+280)     2 + 28
  definitely growing: 1.00 blocks, 10.0 bytes a cycle
    at leaks (a.rs:1)
        by caller (a.rs:1)
  at rest: tasks 1, open files 0

leak summary of 1 scenario
  definitely growing  10.0 bytes in 1.00 blocks a cycle of all, at 1 call site, in 1 scenario
  added once          0 bytes in 0 blocks, at 0 call sites
  at rest             340 (+280) bytes in 34 (+28) blocks
  resources at rest   tasks 1 (+0), open files 0 (+0)
"
        );
        assert!(!is_well);
    }

    #[test]
    fn what_is_added_once_is_named_and_passes() {
        let once = (site("makes"), blocks(1, [2; 4]));
        let (text, is_well) =
            printed(&[("a/once", measured(vec![once], [same(1), same(0)]))], false);
        assert!(
            text.contains("added once: +1 blocks, +10 bytes\n    at makes (a.rs:1)\n"),
            "{text}"
        );
        assert!(
            text.contains("added once          10 bytes in 1 blocks, at 1 call site\n"),
            "{text}"
        );
        assert!(is_well, "{text}");
    }

    #[test]
    fn a_resource_that_is_kept_fails_although_it_does_not_grow() {
        let kept = Series { start: 0, looks: vec![1; 4] };
        let (text, is_well) = printed(&[("a/kept", measured(Vec::new(), [same(1), kept]))], false);
        assert!(text.contains("a/kept            KEPT "), "{text}");
        assert!(text.contains("  open files                      1 (+1)  KEPT\n"), "{text}");
        assert!(text.contains("  kept at rest        resources in 1 scenario\n"), "{text}");
        assert!(!is_well);
    }

    #[test]
    fn what_could_not_be_measured_fails() {
        let mut report = Report::new(Vec::new(), 10, false);
        report.failed("a/broken", "cycle 1 went wrong").expect("memory takes it");
        assert!(!report.end().expect("memory takes it"));
        assert!(printed(&[("a/well", measured(Vec::new(), [same(1), same(0)]))], false).1);
    }
}
