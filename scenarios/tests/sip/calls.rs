//! What those tests have in common that try everything that can befall a call.

use std::fmt::Write;

use rehearsal_scenarios::{catalogue::Scenario, plan::Plan};
use rehearsal_sim::clients::phone::{Answer, Called, PhonePlan, PhoneReport, Reply, Way};

/// Messages each way from the first on that something befalls, at least. Of calls over TCP that nothing befalls, the one that is
/// changed has most.
pub const MESSAGES: u32 = 8;
/// Phones in one run.
pub const PHONES: usize = 100;

/// Carries out the plans of a test.
pub const fn scenario(name: &'static str) -> Scenario {
    Scenario {
        name,
        about: "",
        parity: false,
        heavy: false,
        plan: |_| Plan::empty(),
        check: |_| Vec::new(),
    }
}

/// `call` the other way round: one of the gateway's, answered like that after a second.
pub fn called(call: PhonePlan, answer: Answer) -> PhonePlan {
    let reply = Reply { rings_ms: Some(100), after_ms: 1_000, answer };
    let called = Called { replies: vec![reply], proof: None, registrar: None, away_ms: Vec::new() };
    PhonePlan { start_ms: 0, called: Some(called), ..call }
}

/// A line for each message, with its connection and what befell it, and for each connection.
pub fn told(report: &PhoneReport) -> String {
    let mut text = format!("  {}\n", report.end());
    for signal in &report.signals {
        let way = if signal.way == Way::Sent { "->" } else { "<-" };
        let (what, method, number) = (signal.what, &signal.method, signal.number);
        let over = signal.over.map_or_else(String::new, |over| format!("by {over} "));
        let fault = signal.fault.map_or_else(String::new, |fault| format!(" {fault:?}"));
        let _ = writeln!(text, "  {:?} {over}{way} {what:?} {number} {method}{fault}", signal.at);
    }
    for it in &report.connections {
        let by = if it.is_own { "own" } else { "of the gateway" };
        let _ = writeln!(text, "  {} {by}, from {:?} to {:?}", it.number, it.begun_at, it.ended);
    }
    text
}
