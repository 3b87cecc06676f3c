//! Connections of calls over TCP that are lost at every message: closed by the phone before and behind each, and each two, and reset
//! by the network of either end at every millisecond around each. Whatever happens, both ends come to know the same.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use rehearsal_core::{
    config::{Call, Config},
    sdp,
};
use rehearsal_scenarios::{
    catalogue::Scenario,
    fault::Lever,
    plan::Plan,
    run::{self, Evidence, Watch},
};
use rehearsal_sim::{
    LinkConfig,
    clients::phone::{
        Answer, Cancel, Change, Close, Codec, Direction, OverTcp, PhonePlan, PhoneReport,
        Registers, Voice, Way,
    },
};

use crate::calls::{MESSAGES, PHONES, called, scenario, told};

static CALLS: Scenario = scenario("tests/sip-connections");

/// How long a message is on its way, and a bit: it takes 12 ms.
const ON_ITS_WAY_MS: u64 = 14;
/// After what is lost last, and after what is done last, both ends know: by then nobody waits for an answer any more.
const KNOWN: Duration = Duration::from_secs(2 * 32 + 1);

/// What a call is, and how the gateway is configured for it.
struct Flow {
    phone: PhonePlan,
    configure: fn(&mut Config),
    /// The gateway ends it, not the phone.
    is_ended_by_gateway: bool,
}

impl Flow {
    fn of(phone: PhonePlan) -> Self {
        Self { phone, configure: |_| {}, is_ended_by_gateway: false }
    }
}

/// A call without faults.
fn call() -> PhonePlan {
    PhonePlan {
        start_ms: 100,
        talk_ms: Some(1_000),
        leave_ms: 150_000,
        tcp: Some(OverTcp::default()),
        ..PhonePlan::default()
    }
}

/// What befalls one phone.
#[derive(Clone, Debug, Default)]
struct Loss {
    closes: Vec<Close>,
    /// When its connections are reset by its own host.
    reset_at_ms: Option<u64>,
    /// By how much later than others it begins.
    later_ms: u64,
}

fn closes() -> Vec<Close> {
    let mut all = Vec::new();
    for way in [Way::Sent, Way::Received] {
        for index in 0..MESSAGES {
            all.extend([false, true].map(|is_behind| Close { way, index, is_behind }));
        }
    }
    all
}

/// Each, and each two.
fn all_closes() -> Vec<Loss> {
    let all = closes();
    let of = |closes: Vec<Close>| Loss { closes, ..Loss::default() };
    let mut losses: Vec<Loss> = all.iter().map(|close| of(vec![*close])).collect();
    for (index, one) in all.iter().enumerate() {
        let others = all[index + 1..].iter();
        let others = others.filter(|other| (other.way, other.index) != (one.way, one.index));
        losses.extend(others.map(|other| of(vec![*one, *other])));
    }
    losses
}

/// A plan of phones that do what `flow` says, and what befalls each.
fn plan(flow: &Flow, losses: &[Loss]) -> Plan {
    let mut plan = Plan::empty();
    // The gateway forgets who is not heard long after it has forgotten who said nothing more.
    plan.config.rtp.silence_ms = 100_000;
    plan.config.sip.ring_ms = 5_000;
    (flow.configure)(&mut plan.config);
    for (loss, index) in losses.iter().zip(0..) {
        let (dial, host) = (format!("talk-{index}"), format!("phone-{index}."));
        let voice = Some(Voice { stream: format!("call/{dial}"), epoch: 1 });
        let voice = voice.filter(|_| flow.phone.voice.is_some());
        let mut phone = PhonePlan { dial, voice, ..flow.phone.clone() };
        phone.start_ms += loss.later_ms;
        if let Some(tcp) = &mut phone.tcp {
            tcp.closes = loss.closes.clone();
        }
        if let Some(registers) = &mut phone.registers {
            registers.user = phone.dial.clone();
        }
        let (is_called, is_registered) = (phone.called.is_some(), phone.registers.is_some());
        let dial = phone.dial.clone();
        plan.phone(&host, LinkConfig::dsl(), phone);
        if is_called {
            let to = plan.phones[index].address();
            plan.config.sip.calls.push(Call {
                to: if is_registered { dial.clone() } else { to },
                from: None,
                publish: Some(format!("call/{dial}")),
                play: None,
                redial_ms: None,
            });
        }
        if let Some(at_ms) = loss.reset_at_ms {
            plan.fault(at_ms, &host, Lever::ResetConnections);
        }
    }
    plan.terms.calm_ms = plan.terms.calm_ms.max(70_000);
    plan
}

/// Carries it out; gives what was found wrong, and what phones saw.
fn carry_out(flow: &Flow, losses: &[Loss], plan: &Plan, found: &mut String) -> Vec<PhoneReport> {
    let outcome = run::run_plan(&CALLS, 1, plan, false, &Watch::default());
    let reports = outcome.evidence.as_ref().map_or(&[][..], |evidence| &evidence.phones);
    for violation in &outcome.violations {
        let _ = writeln!(found, "{violation}");
        let mut phones = plan.phones.iter().zip(reports).zip(losses);
        if let Some(((_, report), loss)) = phones.find(|it| violation.what.contains(&it.0.0.host)) {
            let _ = writeln!(found, "  {loss:?}\n{}", told(report));
        }
    }
    if let Some(evidence) = &outcome.evidence {
        for (index, what) in half_calls(flow, evidence) {
            let told = told(&evidence.phones[index]);
            let _ = writeln!(found, "{what}\n  {:?}\n{told}", losses[index]);
        }
    }
    reports.to_vec()
}

/// Phones whose calls are up, or wait for an answer, when that must be over.
fn half_calls(flow: &Flow, evidence: &Evidence) -> Vec<(usize, String)> {
    let phones = evidence.plan.phones.iter().zip(&evidence.phones).enumerate();
    let half = phones.filter_map(|(index, (phone, report))| {
        let is_up = report.answered_at.is_some() || phone.plan.called.is_none();
        let begun = report.answered_at.unwrap_or(Duration::from_millis(phone.plan.start_ms));
        let talks = Duration::from_millis(phone.plan.talk_ms.unwrap_or(10_000));
        let due = begun + talks + KNOWN;
        let is_over = report.ended.is_some_and(|(at, _)| at <= due);
        (is_up && !is_over).then(|| {
            let by = if flow.is_ended_by_gateway { "the gateway" } else { "it" };
            (index, format!("{}: {by} has ended it, it is not over: {}", phone.host, report.end()))
        })
    });
    half.collect()
}

fn check(found: &str, calls: usize) {
    let lines: Vec<_> = found.lines().take(120).collect();
    assert!(found.is_empty(), "{calls} calls:\n{}", lines.join("\n"));
}

/// Everything that can befall connections of `flow`.
fn all_losses(flow: &Flow) {
    let mut found = String::new();
    let mut calls = 0;
    let mut all = all_closes();
    // One whom nothing befalls tells when what is said.
    let reports = carry_out(flow, &[Loss::default()], &plan(flow, &[Loss::default()]), &mut found);
    let instants = instants(&reports[0]);
    let resets = instants.iter().map(|ms| Loss { reset_at_ms: Some(*ms), ..Loss::default() });
    all.extend(resets);
    for losses in all.chunks(PHONES) {
        carry_out(flow, losses, &plan(flow, losses), &mut found);
        calls += losses.len();
    }
    calls += by_gateway(flow, &instants, &mut found);
    check(&found, calls);
}

/// Every millisecond at which something may be on its way.
fn instants(report: &PhoneReport) -> BTreeSet<u64> {
    let said = report.signals.iter().map(|signal| signal.at.as_millis() as u64);
    said.flat_map(|ms| ms.saturating_sub(ON_ITS_WAY_MS)..=ms + ON_ITS_WAY_MS).collect()
}

/// The gateway's host resets all connections. Who is called is so at once; others begin one after the other, so that each is met at
/// another moment.
fn by_gateway(flow: &Flow, instants: &BTreeSet<u64>, found: &mut String) -> usize {
    let is_at_once = flow.phone.called.is_some() && flow.phone.registers.is_none();
    let mut left = instants.clone();
    let mut calls = 0;
    while let Some(last) = left.last().copied() {
        let first = last.saturating_sub(PHONES as u64);
        let met: Vec<u64> = match is_at_once {
            true => vec![last],
            false => left.range(first..=last).rev().copied().collect(),
        };
        left.retain(|ms| !met.contains(ms));
        let losses: Vec<Loss> =
            met.iter().map(|ms| Loss { later_ms: last - ms, ..Loss::default() }).collect();
        let mut plan = plan(flow, &losses);
        plan.fault(last, "gateway", Lever::ResetConnections);
        carry_out(flow, &losses, &plan, found);
        calls += losses.len();
    }
    calls
}

#[test]
fn a_call_that_its_phone_ends() {
    all_losses(&Flow::of(call()));
}

#[test]
fn a_call_that_its_phone_gives_up() {
    for (after_ms, hasty) in [(0, true), (20, true), (600, false)] {
        let cancel = Some(Cancel { after_ms, hasty });
        all_losses(&Flow::of(PhonePlan { cancel, ..call() }));
    }
}

#[test]
fn a_call_that_the_gateway_refuses() {
    let phone = PhonePlan { codecs: vec![Codec::Pcma], ..call() };
    let configure = |config: &mut Config| config.sip.codecs = vec![sdp::Codec::Pcmu];
    all_losses(&Flow { configure, ..Flow::of(phone) });
}

#[test]
fn a_call_that_the_gateway_ends() {
    // For its phone is not heard.
    let phone = PhonePlan { talk_ms: None, voice: None, ..call() };
    let configure = |config: &mut Config| config.rtp.silence_ms = 2_000;
    all_losses(&Flow { phone, configure, is_ended_by_gateway: true });
}

#[test]
fn a_call_that_the_gateway_refreshes() {
    let phone = PhonePlan { talk_ms: Some(15_000), ..call() };
    let configure = |config: &mut Config| {
        (config.sip.session_expires_ms, config.sip.session_expires_min_ms) = (20_000, 10_000);
    };
    all_losses(&Flow { configure, ..Flow::of(phone) });
}

#[test]
fn a_call_that_is_changed() {
    let hold = Change { at_ms: 200, direction: Direction::Inactive };
    let resume = Change { at_ms: 300, direction: Direction::SendRecv };
    all_losses(&Flow::of(PhonePlan { changes: vec![hold, resume], ..call() }));
}

#[test]
fn a_call_of_the_gateway_that_is_taken() {
    all_losses(&Flow::of(called(call(), Answer::Accept)));
}

#[test]
fn a_call_of_the_gateway_that_is_refused() {
    all_losses(&Flow::of(called(call(), Answer::Refuse(486))));
}

#[test]
fn a_call_of_the_gateway_that_is_given_up() {
    all_losses(&Flow::of(called(call(), Answer::Never)));
    all_losses(&Flow::of(called(call(), Answer::AcceptLate)));
}

#[test]
fn a_call_by_the_connection_of_a_registration() {
    let registers = Registers {
        user: String::new(),
        password: None,
        expires_s: 60,
        margin_s: None,
        retry_ms: Some(2_000),
        leaves_ms: None,
        others: Vec::new(),
        takes_all_back: false,
        knows_sha256: false,
        errs_ms: None,
    };
    let tcp = OverTcp { is_hidden: true, ..OverTcp::default() };
    let phone = called(call(), Answer::Accept);
    all_losses(&Flow::of(PhonePlan {
        start_ms: 100,
        registers: Some(registers),
        tcp: Some(tcp),
        ..phone
    }));
}
