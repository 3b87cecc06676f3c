use super::*;
use crate::explorer::record::Job;

/// A run that failed as `what` says.
fn failed(seed: u64, what: &str, events: u64) -> Record {
    let job = Job::of_seed("live/republish", seed);
    Record { end: End::Failed, events, ..Record::broken_off(&job, End::Died, what, 5) }
}

#[test]
fn a_sweep_without_failures_says_so() {
    let text = section(&[]).into_string();
    assert!(text.contains("No run failed.") && !text.contains("<details"), "{text}");
    assert!(kinds(Path::new("nowhere"), &[]).is_empty());
}

#[test]
fn kinds_are_told_apart_the_most_frequent_first_with_all_their_seeds() {
    let records = [failed(1, "rare", 5), failed(2, "got 7", 90), failed(3, "got 12", 40)];
    let kinds = kinds(Path::new("a <folder>"), &records);
    assert_eq!(kinds.iter().map(|kind| kind.runs.len()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(kinds[0].runs[0].seed, 3);
    let text = section(&kinds).into_string();
    assert!(text.contains("2 runs"), "{text}");
    assert!(text.contains("with seeds 3, 2."), "{text}");
    assert!(text.contains(&format!("{COMMAND} replay a &lt;folder&gt;/capsules/")), "{text}");
    assert!(text.contains(&format!("{COMMAND} shrink a &lt;folder&gt;/capsules/")), "{text}");
    assert!(text.contains("Not run again: only 20 kinds"), "{text}");
    assert_eq!(text.matches("data-copy=").count(), 6);
}

#[test]
fn a_message_is_no_html() {
    let records = [failed(1, "<script>alert(1)</script> & \"that\"", 5)];
    let text = section(&kinds(Path::new("f"), &records)).into_string();
    assert!(!text.contains("<script"), "{text}");
    assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; "), "{text}");
}

#[test]
fn a_kind_whose_capsule_is_gone_is_told_all_the_same() {
    let mut kinds = kinds(Path::new("nowhere"), &[failed(1, "x", 5)]);
    kinds[0].run_again();
    let text = section(&kinds).into_string();
    assert!(text.contains("Not run again: cannot use the capsule nowhere/capsules/"), "{text}");
    assert!(text.contains("O8 bounded liveness: x") && !text.contains("<figure"), "{text}");
}
