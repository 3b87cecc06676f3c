//! What a look at the heap comes to, as JSON and as text. The module above has the shape of the JSON.

use std::{cmp::Reverse, fmt};

use rehearsal_heap::{self as heap, Amount, CallSite, Frame, Held, Named};
use serde::Serialize;

use super::ask::Check;

/// Call sites in an answer; the rest are counted.
const SITES_MAX: usize = 100;
/// Whose frames come first: the gateway's.
const OWN: [&str; 1] = ["rehearsal_core::"];

/// What there is at one time.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) held: Held,
    pub(super) connections: usize,
    pub(super) streams: usize,
    pub(super) open_files: Option<usize>,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Count {
    now: i64,
    added: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Summary {
    blocks: Count,
    bytes: Count,
    connections: Count,
    streams: Count,
    open_files: Option<Count>,
}

#[derive(Debug, Serialize)]
struct Site {
    #[serde(flatten)]
    amount: Amount,
    own: Vec<Frame>,
    stack: Vec<Frame>,
}

/// Several call sites together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Several {
    sites: usize,
    #[serde(flatten)]
    amount: Amount,
}

/// An answer.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    check: Check,
    summary: Summary,
    listed: Several,
    cut: Several,
    nameless: Several,
    sites: Vec<Site>,
}

impl Several {
    fn of(amounts: impl Iterator<Item = Amount>) -> Self {
        amounts.fold(Self::default(), |mut several, amount| {
            several.sites += 1;
            several.amount += amount;
            several
        })
    }
}

impl Summary {
    fn new(now: &Look, before: Option<&Look>) -> Self {
        let total = now.held.total();
        let total_before = before.map(|before| before.held.total());
        let count =
            |now: i64, before: Option<i64>| Count { now, added: before.map(|was| now - was) };
        let counted =
            |of: fn(&Look) -> usize| count(of(now) as i64, before.map(|before| of(before) as i64));
        Self {
            blocks: count(total.blocks, total_before.map(|was| was.blocks)),
            bytes: count(total.bytes, total_before.map(|was| was.bytes)),
            connections: counted(|look| look.connections),
            streams: counted(|look| look.streams),
            open_files: now.open_files.map(|open| {
                let was = before.and_then(|before| before.open_files);
                count(open as i64, was.map(|was| was as i64))
            }),
        }
    }
}

impl Report {
    /// What `check` is to tell of `now`, given what there was at the calibration. Symbols are looked up as long as `has_time`.
    pub(super) fn new(
        check: Check,
        now: &Look,
        calibration: Option<&Look>,
        has_time: impl FnMut() -> bool,
    ) -> Self {
        let named = match (check, calibration) {
            (Check::Full, _) => heap::name(&now.held, &OWN, has_time),
            (Check::Added, Some(before)) => {
                heap::name(&now.held.since(&before.held), &OWN, has_time)
            }
            (Check::Added, None) | (Check::Calibrate, _) => Named::default(),
        };
        Self::of(check, Summary::new(now, calibration), named)
    }

    fn of(check: Check, summary: Summary, named: Named) -> Self {
        // What a site holds less than before is no concern of a leak check, but makes up for a site that reads alike.
        let is_more = |amount: &Amount| amount.blocks > 0 || amount.bytes > 0;
        let mut sites: Vec<(CallSite, Amount)> = named.sites;
        sites.retain(|(_, amount)| is_more(amount));
        sites.sort_by_key(|(_, amount)| Reverse((amount.bytes, amount.blocks)));
        let cut = Several::of(sites.iter().skip(SITES_MAX).map(|(_, amount)| *amount));
        sites.truncate(SITES_MAX);
        let listed = Several::of(sites.iter().map(|(_, amount)| *amount));
        let nameless = Several::of(named.nameless.into_iter().filter(is_more));
        let site =
            |(site, amount): (CallSite, Amount)| Site { amount, own: site.own, stack: site.stack };
        let sites = sites.into_iter().map(site).collect();
        Self { check, summary, listed, cut, nameless, sites }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts can be written") + "\n"
    }

    /// A number of blocks or bytes of a call site: with its sign where it is a difference.
    fn number(&self, number: i64) -> String {
        match self.check {
            Check::Added => format!("{number:+}"),
            Check::Calibrate | Check::Full => number.to_string(),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now, added } = self;
        match added {
            Some(added) => write!(f, "{now:>12} ({added:+})"),
            None => write!(f, "{now:>12}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.check {
            Check::Calibrate => writeln!(f, "leakcheck: calibrated")?,
            Check::Added => writeln!(f, "leakcheck: added since the calibration and not freed")?,
            Check::Full => writeln!(f, "leakcheck: all that is held")?,
        }
        if !self.sites.is_empty() {
            writeln!(f, "\n{:>12}  {:>12}  call site", "blocks", "bytes")?;
        }
        for Site { amount, own, stack } in &self.sites {
            let (blocks, bytes) = (self.number(amount.blocks), self.number(amount.bytes));
            let mut calls = if own.is_empty() { stack } else { own }.iter();
            let culprit = calls.next().map_or("?".to_owned(), Frame::to_string);
            writeln!(f, "{blocks:>12}  {bytes:>12}  at {culprit}")?;
            for call in calls {
                writeln!(f, "{:>12}  {:>12}  by {call}", "", "")?;
            }
        }
        writeln!(f, "\nleak summary")?;
        let Summary { blocks, bytes, connections, streams, open_files } = &self.summary;
        writeln!(f, "  blocks       {blocks}")?;
        writeln!(f, "  bytes        {bytes}")?;
        writeln!(f, "  connections  {connections}")?;
        writeln!(f, "  streams      {streams}")?;
        if let Some(open_files) = open_files {
            writeln!(f, "  open files   {open_files}")?;
        }
        let parts = [
            ("listed", self.listed, "call sites"),
            ("cut", self.cut, "call sites that hold less than those"),
            ("nameless", self.nameless, "stacks, whose symbols there was no time for"),
        ];
        for (what, Several { sites, amount }, of_what) in parts {
            let is_told = match what {
                "listed" => self.check != Check::Calibrate,
                _ => sites > 0,
            };
            if is_told {
                let (blocks, bytes) = (self.number(amount.blocks), self.number(amount.bytes));
                writeln!(
                    f,
                    "  {what:<11}  {sites:>12} {of_what}: {bytes} bytes in {blocks} blocks"
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> CallSite {
        let frame =
            |function: &str, place: &str| Frame { function: function.into(), place: place.into() };
        let own = frame(&format!("rehearsal_core::{name}"), &format!("core/src/{name}.rs:7"));
        CallSite { own: vec![own.clone()], stack: vec![frame("alloc::push", ""), own] }
    }

    fn summary() -> Summary {
        let count = |now, added| Count { now, added: Some(added) };
        Summary {
            blocks: count(1_000, 12),
            bytes: count(123_456, -7),
            connections: count(2, 1),
            streams: count(0, 0),
            open_files: None,
        }
    }

    fn added(sites: Vec<(CallSite, Amount)>, nameless: Vec<Amount>) -> Report {
        Report::of(Check::Added, summary(), Named { sites, nameless })
    }

    fn amount(blocks: i64, bytes: i64) -> Amount {
        Amount { blocks, bytes }
    }

    #[test]
    fn the_text_lines_up() {
        let report = added(
            vec![(site("small"), amount(1, 64)), (site("large"), amount(12, 1_234_567))],
            vec![amount(3, 30)],
        );
        assert_eq!(
            report.to_string(),
            "\
leakcheck: added since the calibration and not freed

      blocks         bytes  call site
         +12      +1234567  at rehearsal_core::large (core/src/large.rs:7)
          +1           +64  at rehearsal_core::small (core/src/small.rs:7)

leak summary
  blocks               1000 (+12)
  bytes              123456 (-7)
  connections             2 (+1)
  streams                 0 (+0)
  listed                  2 call sites: +1234631 bytes in +13 blocks
  nameless                1 stacks, whose symbols there was no time for: +30 bytes in +3 blocks
"
        );
    }

    #[test]
    fn the_json_has_the_documented_shape() {
        let report = added(vec![(site("small"), amount(1, 64))], vec![]);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let own = serde_json::json!({"function": "rehearsal_core::small", "place": "core/src/small.rs:7"});
        let library = serde_json::json!({"function": "alloc::push", "place": ""});
        let expected = serde_json::json!({
            "check": "added",
            "summary": {
                "blocks": {"now": 1000, "added": 12},
                "bytes": {"now": 123456, "added": -7},
                "connections": {"now": 2, "added": 1},
                "streams": {"now": 0, "added": 0},
                "open_files": null,
            },
            "listed": {"sites": 1, "blocks": 1, "bytes": 64},
            "cut": {"sites": 0, "blocks": 0, "bytes": 0},
            "nameless": {"sites": 0, "blocks": 0, "bytes": 0},
            "sites": [{"blocks": 1, "bytes": 64, "own": [&own], "stack": [library, &own]}],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted_and_the_largest_are_listed() {
        let sites = 1..=SITES_MAX as i64 + 2;
        let sites = sites.map(|bytes| (site(&format!("site_{bytes}")), amount(1, bytes)));
        let report = added(sites.collect(), vec![]);
        assert_eq!(report.sites.len(), SITES_MAX);
        assert_eq!(report.cut, Several { sites: 2, amount: amount(2, 3) });
        assert!(
            report.to_string().contains("2 call sites that hold less than those: +3 bytes in +2")
        );
        assert_eq!(report.listed.sites, SITES_MAX);
    }

    #[test]
    fn what_is_less_than_before_is_not_listed() {
        let report = added(
            vec![(site("gone"), amount(-1, -8)), (site("same"), amount(0, 0))],
            vec![amount(-1, -9)],
        );
        assert!(report.sites.is_empty());
        assert_eq!((report.listed, report.nameless), (Several::default(), Several::default()));
    }
}
