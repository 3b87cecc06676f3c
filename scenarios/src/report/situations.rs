//! Which situations the runs of a sweep have met, and which none did.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::charts::count;
use crate::{
    explorer::record::Record,
    situations::{self, Situation},
};

/// A table of those that the families of `records` are there for, those first that were never met; open if there are any.
pub(super) fn section(records: &[Record]) -> Markup {
    let mut met: BTreeMap<&str, u64> = BTreeMap::new();
    for situation in records.iter().flat_map(|record| &record.situations) {
        *met.entry(situation).or_default() += 1;
    }
    let names: Vec<&str> = records.iter().map(|record| &record.scenario[..]).collect();
    let wanted = situations::wanted(&names);
    let runs_of = |situation: &&Situation| met.get(situation.name).copied().unwrap_or(0);
    let (mut all, mut missed): (Vec<_>, Vec<_>) = wanted.partition(|it| runs_of(it) > 0);
    let (found, is_complete) = (all.len(), missed.is_empty());
    missed.append(&mut all);
    html! {
        details.situations open[!is_complete] {
            summary { "Situations: " (found) " of " (missed.len()) " met" }
            div.scroll { table.numbers {
                thead { tr { th { "situation" } th { "runs that met it" } } }
                tbody {
                    @for situation in &missed {
                        @let runs = runs_of(situation);
                        tr {
                            th scope="row" { (situation.name) }
                            td.bad[runs == 0] { @if runs == 0 { "never" } @else { (count(runs as f64)) } }
                        }
                    }
                }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explorer::record::{End, Job};

    #[test]
    fn what_was_never_met_comes_first_and_families_that_were_not_swept_are_left_out() {
        let of = |family: &str, is_of: bool| {
            situations::all()
                .find(|it| it.families.contains(&family) == is_of)
                .expect("there is one")
        };
        let (met, other) = (of("churn", true), of("churn", false));
        let job = Job::of_seed("churn/x", 1);
        let broken = Record::broken_off(&job, End::Died, "x", 1);
        let text =
            section(&[Record { situations: vec![met.name.to_owned()], ..broken }]).into_string();
        let wanted = situations::all().filter(|it| it.families.contains(&"churn")).count();
        assert!(text.contains(&format!("Situations: 1 of {wanted} met")), "{text}");
        let place = |what: &str| text.find(what);
        assert!(place("never") < place(met.name) && text.matches("never").count() == wanted - 1);
        assert!(!text.contains(other.name) && text.contains("<details class=\"situations\" open"));
    }
}
