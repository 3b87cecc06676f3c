//! Each kind of failure of a sweep, and a single run: what was wrong, and how to run it again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use maud::{Markup, html};

use super::{
    PICTURES_MAX,
    charts::{count, time},
    picture::{ALARMS_MAX, Picture, Subject},
    plan,
};
use crate::{
    capsule::Capsule,
    explorer::{
        program::COMMAND,
        record::{End, Record, hex},
        results,
    },
    fingerprint::Fingerprint,
    run::TraceSummary,
};

/// Seeds of a kind that are listed.
const SEEDS_MAX: usize = 24;
/// Violations that stand on the page before the others are folded away.
const VIOLATIONS_SHOWN: usize = 5;

/// Failures of one kind.
pub(super) struct Kind {
    fingerprint: Fingerprint,
    /// Those that failed so, the one with the fewest events first.
    runs: Vec<Record>,
    capsule: PathBuf,
    /// A smaller one beside it.
    smaller: Option<PathBuf>,
    seen: Seen,
}

/// What running it again has shown.
enum Seen {
    /// It was not run again, and why.
    Not(String),
    Run(Box<(Capsule, Picture)>),
}

/// The kinds of failures among `records` of the sweep in `folder`, the most frequent first.
pub(super) fn kinds(folder: &Path, records: &[Record]) -> Vec<Kind> {
    let mut by_kind: BTreeMap<&Fingerprint, Vec<Record>> = BTreeMap::new();
    for record in records {
        if let Some(fingerprint) = record.fingerprints.first() {
            by_kind.entry(fingerprint).or_default().push(record.clone());
        }
    }
    let mut kinds: Vec<_> = by_kind
        .into_iter()
        .map(|(fingerprint, mut runs)| {
            runs.sort_by_key(|record| record.events);
            let capsule = results::capsule_path(folder, fingerprint);
            let smaller = Some(capsule.with_extension("min.json")).filter(|path| path.exists());
            let why = format!("only {PICTURES_MAX} kinds are run again for a report");
            let fingerprint = fingerprint.clone();
            Kind { fingerprint, runs, capsule, smaller, seen: Seen::Not(why) }
        })
        .collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.runs.len()));
    kinds
}

impl Kind {
    /// The file that is drawn and that commands are given for.
    fn file(&self) -> &Path {
        self.smaller.as_deref().unwrap_or(&self.capsule)
    }

    /// Runs its capsule for a picture, unless that would hang or end this process.
    pub(super) fn run_again(&mut self) {
        let end = self.runs[0].end;
        self.seen = match Capsule::load(self.file()) {
            Err(error) => Seen::Not(error.to_string()),
            Ok(_) if matches!(end, End::OutOfTime | End::Died) => {
                Seen::Not(format!("the run {end}, and would take the report with it"))
            }
            Ok(capsule) => {
                let picture = Picture::of(&Subject::of_capsule(&capsule));
                Seen::Run(Box::new((capsule, picture)))
            }
        };
    }

    /// What there is to draw.
    pub(super) fn picture(&self) -> Option<&Picture> {
        match &self.seen {
            Seen::Run(run) => Some(&run.1),
            Seen::Not(_) => None,
        }
    }
}

/// All kinds, the first one open.
pub(super) fn section(kinds: &[Kind]) -> Markup {
    let mut drawn = 0;
    html! {
        section #failures {
            h2 { "Failures" }
            @if kinds.is_empty() {
                p.good { "No run failed." }
            }
            @for (index, kind) in kinds.iter().enumerate() {
                @let picture = kind.picture();
                details.kind open[index == 0] {
                    summary {
                        span.count { (runs(kind.runs.len())) }
                        (kind.fingerprint)
                    }
                    (words(kind))
                    @if let Some(picture) = picture {
                        (figure(drawn, picture))
                        ({ drawn += 1; "" })
                    }
                }
            }
        }
    }
}

fn runs(count: usize) -> String {
    format!("{count} run{}", if count == 1 { "" } else { "s" })
}

fn words(kind: &Kind) -> Markup {
    let shortest = &kind.runs[0];
    let file = kind.file().display();
    html! {
        @match &kind.seen {
            Seen::Run(run) => {
                (violations(run.1.violations.iter().map(ToString::to_string).collect(), 0))
                (verdict(kind, &run.0, &run.1))
            }
            Seen::Not(why) => {
                (violations(shortest.violations.clone(), shortest.more_violations))
                p.note { "Not run again: " (why) "." }
            }
        }
        (command("Run it again", &format!("{COMMAND} replay {file}")))
        @match &kind.smaller {
            Some(_) => p.note { "This is the capsule that a shrink has left beside " code { (kind.capsule.display()) } "." },
            None => (command("Make it smaller", &format!("{COMMAND} shrink {file}"))),
        }
        (command("See its packets", &format!("{COMMAND} replay {file} --pcap run.pcapng")))
        p {
            "Failed so: " (shortest.scenario) " with seed"
            @if kind.runs.len() > 1 { "s" }
            @for (index, run) in kind.runs.iter().take(SEEDS_MAX).enumerate() {
                @if index > 0 { "," }
                " "
                @if run.scenario != shortest.scenario { (run.scenario) " with " }
                (run.seed)
            }
            @if kind.runs.len() > SEEDS_MAX { " and " (kind.runs.len() - SEEDS_MAX) " more" }
            "."
        }
        @if let Seen::Run(run) = &kind.seen {
            (plan::section(&run.0.plan))
        }
    }
}

/// What has become of the failure, compared with when it was found.
fn verdict(kind: &Kind, capsule: &Capsule, picture: &Picture) -> Markup {
    let hash = picture.trace.map(|trace| hex(trace.hash));
    let how = if picture.violations.is_empty() {
        "it fails no more"
    } else if !capsule.fingerprint.is_among(&picture.violations) {
        "it fails in another way"
    } else if hash == capsule.trace_hash {
        "the same run, event for event"
    } else {
        "it fails in the same way, by other events"
    };
    let found_with = capsule.revision.as_deref().unwrap_or("no known revision");
    html! {
        (facts(picture, Some(found_with)))
        p.note { "Run again for this report: " (how) "." }
        @if kind.fingerprint != capsule.fingerprint {
            p.note { "The capsule is of another kind: " (capsule.fingerprint) "." }
        }
    }
}

fn facts(picture: &Picture, found_with: Option<&str>) -> Markup {
    let fact = |name: &str, value: String| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl.facts {
            @if let Some(found_with) = found_with { (fact("found with revision", found_with.to_owned())) }
            @if let Some(TraceSummary { hash, events }) = picture.trace {
                (fact("trace hash", hex(hash)))
                (fact("events", count(events as f64)))
            }
            (fact("virtual time", time(picture.virtual_ms as f64)))
            (fact("packets lost", count(picture.losses as f64)))
        }
    }
}

fn violations(all: Vec<String>, more: u64) -> Markup {
    let (shown, folded) = all.split_at(all.len().min(VIOLATIONS_SHOWN));
    html! {
        ul.violations { @for violation in shown { li { (violation) } } }
        @if !folded.is_empty() {
            details.more {
                summary { (folded.len()) " more violations" }
                ul.violations { @for violation in folded { li { (violation) } } }
            }
        }
        @if more > 0 { p.note { "And " (more) " more." } }
    }
}

/// A command with a button that copies it.
fn command(what: &str, command: &str) -> Markup {
    html! {
        div.command {
            span { (what) }
            code { (command) }
            button type="button" data-copy=(command) { "Copy" }
        }
    }
}

/// Where the script draws the picture with this index.
fn figure(index: usize, picture: &Picture) -> Markup {
    let Some(drawing) = &picture.drawing else {
        return html! { p.note { "No timeline: the world broke with the run." } };
    };
    let [before, after] = drawing.timeline.messages_left_out;
    html! {
        figure.timeline data-picture=(index) {}
        noscript { p.note { "The timeline is drawn by a script." } }
        @if before + after > 0 {
            p.note {
                "Left out for want of room: " (count(before as f64)) " messages before and "
                (count(after as f64)) " after those that are shown."
            }
        }
        @if drawing.timeline.marks_left_out > 0 {
            p.note { "Left out: " (count(drawing.timeline.marks_left_out as f64)) " other events." }
        }
        @let [first, last] = picture.events_unseen;
        @if first + last > 0 {
            p.note {
                "Not looked at: the first " (count(first as f64)) " and the last " (count(last as f64))
                " events of the run."
            }
        }
        @if picture.violations.len() > ALARMS_MAX {
            p.note { "Marked in the timeline: the first " (ALARMS_MAX) " violations." }
        }
        @if !picture.clients.is_empty() {
            details.clients {
                summary { "What clients saw" }
                pre { @for line in &picture.clients { (line) "\n" } }
            }
        }
    }
}

/// A run by itself.
pub(super) fn run_section(subject: &Subject, picture: &Picture) -> Markup {
    html! {
        section #run {
            @if picture.violations.is_empty() {
                p.good { "Nothing was wrong." }
            } @else {
                (violations(picture.violations.iter().map(ToString::to_string).collect(), 0))
            }
            (facts(picture, None))
            p { (subject.scenario.about) }
            (plan::section(&subject.plan))
            (figure(0, picture))
        }
    }
}

#[cfg(test)]
#[path = "failures_tests.rs"]
mod tests;
