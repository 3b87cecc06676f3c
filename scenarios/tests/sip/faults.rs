//! Every message of a call, and every pair of them, lost, sent twice and held back behind the next: whatever happens, both ends
//! come to know the same.

use std::fmt::Write;

use rehearsal_core::{
    config::{Account, Call, Config, Password, User},
    sdp,
};
use rehearsal_scenarios::{
    catalogue::Scenario,
    plan::Plan,
    run::{self, Watch},
};
use rehearsal_sim::{
    LinkConfig,
    clients::phone::{
        Answer, Called, Cancel, Change, Codec, Direction, Fault, MessageFault, PhonePlan,
        PhoneReport, Proof, Registers, Session, Voice, Way,
    },
};

use crate::calls::{MESSAGES, PHONES, called, scenario, told};

static CALLS: Scenario = scenario("tests/sip-faults");

/// A call without faults.
fn call() -> PhonePlan {
    PhonePlan { start_ms: 100, talk_ms: Some(1_000), leave_ms: 150_000, ..PhonePlan::default() }
}

/// Those of each of the first `counts` messages that are sent, and that are received.
fn faults(counts: [u32; 2]) -> Vec<MessageFault> {
    let mut all = Vec::new();
    for (way, count) in [Way::Sent, Way::Received].into_iter().zip(counts) {
        for index in 0..count {
            for fault in [Fault::Drop, Fault::Duplicate, Fault::DelayPastNext] {
                all.push(MessageFault { way, index, fault });
            }
        }
    }
    all
}

/// None, each, and each two that befall different messages.
fn combinations(counts: [u32; 2]) -> Vec<Vec<MessageFault>> {
    let all = faults(counts);
    let mut combined = vec![Vec::new()];
    combined.extend(all.iter().map(|fault| vec![*fault]));
    for (index, one) in all.iter().enumerate() {
        let others = all[index + 1..].iter();
        let others = others.filter(|other| (other.way, other.index) != (one.way, one.index));
        combined.extend(others.map(|other| vec![*one, *other]));
    }
    combined
}

/// Every combination of faults with `call`, many at a time.
fn all_faults(call: &PhonePlan) {
    all_faults_with(call, |_| {});
}

/// A phone for each of `faults`, each in a call of its own.
fn plan_of(
    call: &PhonePlan,
    faults: &[Vec<MessageFault>],
    configure: &impl Fn(&mut Config),
) -> Plan {
    let mut plan = Plan::empty();
    // The gateway forgets who is not heard long after it has forgotten who said nothing more.
    plan.config.rtp.silence_ms = 100_000;
    plan.config.sip.ring_ms = 5_000;
    configure(&mut plan.config);
    for (message_faults, index) in faults.iter().zip(0..) {
        let dial = format!("talk-{index}");
        let voice = call.voice.as_ref().map(|_| Voice { stream: format!("call/{dial}"), epoch: 1 });
        let message_faults = message_faults.clone();
        let host = format!("phone-{index}.");
        let registers = call.registers.clone().map(|it| Registers { user: dial.clone(), ..it });
        if let Some(Registers { user, password: Some(password), .. }) = registers.clone() {
            plan.config.sip.users.push(User { name: user, password: Password(password) });
        }
        if let Some(called) = &call.called {
            let is_named = registers.is_some();
            // Whoever wants to know who calls is told by the account.
            let from = called.proof.as_ref().and(plan.config.sip.accounts.first());
            plan.config.sip.calls.push(Call {
                to: if is_named { dial.clone() } else { format!("sip:{dial}@{host}") },
                from: from.map(|account| account.address.clone()),
                publish: Some(format!("call/{dial}")),
                play: None,
                redial_ms: None,
            });
        }
        let phone = PhonePlan { dial, voice, message_faults, registers, ..call.clone() };
        plan.phone(&host, LinkConfig::lan(), phone);
    }
    plan.terms.calm_ms = 70_000;
    plan
}

/// What becomes of a phone when nothing befalls its messages.
fn undisturbed(call: &PhonePlan, configure: &impl Fn(&mut Config)) -> PhoneReport {
    let plan = plan_of(call, &[Vec::new()], configure);
    let outcome = run::run_plan(&CALLS, 1, &plan, false, &Watch::default());
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
    outcome.evidence.expect("it came to its end").phones.remove(0)
}

/// Messages that `report`'s phone has sent and received, but no fewer than [`MESSAGES`]: where some are lost or doubled there are
/// more.
fn messages(report: &PhoneReport) -> [u32; 2] {
    let of = |way| report.signals.iter().filter(|signal| signal.way == way).count();
    [Way::Sent, Way::Received].map(|way| MESSAGES.max(of(way) as u32))
}

/// The same as [`all_faults`], with a gateway of another configuration.
fn all_faults_with(call: &PhonePlan, configure: impl Fn(&mut Config)) {
    let mut found = String::new();
    let combinations = combinations(messages(&undisturbed(call, &configure)));
    for faults in combinations.chunks(PHONES) {
        let plan = plan_of(call, faults, &configure);
        let outcome = run::run_plan(&CALLS, 1, &plan, false, &Watch::default());
        let reports = outcome.evidence.as_ref().map_or(&[][..], |evidence| &evidence.phones);
        for violation in &outcome.violations {
            let _ = writeln!(found, "{violation}");
            let mut phones = plan.phones.iter().zip(reports);
            if let Some((phone, report)) = phones.find(|it| violation.what.contains(&it.0.host)) {
                let _ = writeln!(found, "  {:?}\n{}", phone.plan.message_faults, told(report));
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} calls:\n{}",
        combinations.len(),
        found.lines().take(120).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn a_call_that_its_phone_ends() {
    all_faults(&call());
}

#[test]
fn a_call_that_its_phone_gives_up() {
    for (after_ms, hasty) in [(0, true), (20, true), (600, false)] {
        all_faults(&PhonePlan { cancel: Some(Cancel { after_ms, hasty }), ..call() });
    }
}

#[test]
fn a_call_that_the_gateway_refuses() {
    let call = PhonePlan { codecs: vec![Codec::Pcma], ..call() };
    all_faults_with(&call, |config| config.sip.codecs = vec![sdp::Codec::Pcmu]);
}

#[test]
fn a_call_that_the_gateway_ends() {
    // For its phone is not heard.
    let call = PhonePlan { talk_ms: None, voice: None, ..call() };
    all_faults_with(&call, |config| config.rtp.silence_ms = 2_000);
}

#[test]
fn a_call_that_the_gateway_refreshes() {
    let call = PhonePlan { talk_ms: Some(15_000), ..call() };
    all_faults_with(&call, |config| {
        (config.sip.session_expires_ms, config.sip.session_expires_min_ms) = (20_000, 10_000);
    });
}

#[test]
fn a_call_that_its_phone_refreshes_and_a_longer_one_than_it_has_asked_for() {
    for interval_s in [20, 10] {
        let session =
            Session { interval_s, least_s: interval_s, refreshes: true, refreshes_max: None };
        let call = PhonePlan { talk_ms: Some(12_000), session: Some(session), ..call() };
        all_faults_with(&call, |config| {
            (config.sip.session_expires_ms, config.sip.session_expires_min_ms) = (20_000, 20_000);
        });
    }
}

#[test]
fn a_call_of_the_gateway_that_it_asks_too_short_a_session_for() {
    let session = Session { interval_s: 30, least_s: 30, refreshes: false, refreshes_max: None };
    let call = PhonePlan { session: Some(session), ..call() };
    all_faults_with(&called(call, Answer::Accept), |config| {
        (config.sip.session_expires_ms, config.sip.session_expires_min_ms) = (20_000, 10_000);
    });
}

#[test]
fn a_call_of_the_gateway_that_is_taken() {
    all_faults(&called(call(), Answer::Accept));
}

#[test]
fn a_call_of_the_gateway_that_it_has_to_prove() {
    let call = called(call(), Answer::Accept);
    for status in [401, 407] {
        let (user, password) = ("studio".to_owned(), "sesame".to_owned());
        let proof = Proof { status, user, password, requests_per_nonce: 1 };
        let wary = call.called.clone().map(|it| Called { proof: Some(proof), ..it });
        let wary = PhonePlan { called: wary, ..call.clone() };
        let configure = |config: &mut Config| {
            config.sip.accounts.push(Account {
                address: "sip:studio@example.org".to_owned(),
                registrar: None,
                username: None,
                password: Some(Password("sesame".to_owned())),
                expires_s: 600,
            });
        };
        assert_eq!(undisturbed(&wary, &configure).end(), "hung up");
        all_faults_with(&wary, configure);
    }
}

#[test]
fn a_call_of_the_gateway_that_is_refused() {
    all_faults(&called(call(), Answer::Refuse(486)));
}

#[test]
fn a_call_of_the_gateway_that_two_take() {
    all_faults(&called(call(), Answer::Fork));
}

#[test]
fn a_call_of_the_gateway_that_is_given_up() {
    all_faults(&called(call(), Answer::Never));
    all_faults(&called(call(), Answer::AcceptLate));
}

#[test]
fn a_call_that_is_changed() {
    let hold = Change { at_ms: 200, direction: Direction::Inactive };
    let resume = Change { at_ms: 300, direction: Direction::SendRecv };
    all_faults(&PhonePlan { changes: vec![hold, resume], ..call() });
}

#[test]
fn a_call_that_both_ends_change_at_once() {
    // When half of its session is over, the gateway refreshes it.
    let hold = Change { at_ms: 10_000, direction: Direction::Inactive };
    let call = PhonePlan { talk_ms: Some(15_000), changes: vec![hold], ..call() };
    all_faults_with(&call, |config| {
        (config.sip.session_expires_ms, config.sip.session_expires_min_ms) = (20_000, 10_000);
    });
}

#[test]
fn a_call_that_both_ends_end_at_once() {
    // For its phone is not heard, and hangs up just then.
    let call = PhonePlan { talk_ms: Some(2_000), voice: None, ..call() };
    all_faults_with(&call, |config| config.rtp.silence_ms = 2_000);
}

#[test]
fn a_call_to_a_phone_that_has_registered_and_proven_to_be_somebody() {
    let registers = Registers {
        user: String::new(),
        password: Some("sesame".to_owned()),
        expires_s: 60,
        margin_s: Some(20),
        retry_ms: Some(1_000),
        leaves_ms: Some(60_000),
        takes_all_back: false,
        errs_ms: None,
        knows_sha256: false,
        others: Vec::new(),
    };
    all_faults(&PhonePlan { registers: Some(registers), ..called(call(), Answer::Accept) });
}
