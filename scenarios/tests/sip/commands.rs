//! Every command of a client of the application `sip`, and the end of its connection, at every step of a call that it makes or takes:
//! whatever it wants and when, both ends come to know the same, and each command is answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use rehearsal_scenarios::{
    catalogue::Scenario,
    plan::Plan,
    run::{self, Evidence, Watch},
};
use rehearsal_sim::{
    LinkConfig,
    clients::{
        phone::{
            Answer, Called, Change, Dialled, Direction, Fault, MessageFault, PhonePlan, Registrar,
            Reply, Way,
        },
        sip_client::{Command, Order, Reaction, SipClientPlan, SipClientReport},
    },
};

static CALLS: Scenario = Scenario {
    name: "tests/sip-commands",
    about: "",
    parity: false,
    heavy: false,
    plan: |_| Plan::empty(),
    check: |_| Vec::new(),
};

/// Clients in one run.
const CLIENTS: usize = 100;
/// When the call begins.
const BEGINS_MS: u64 = 600;
/// When it is over by itself, at the latest.
const OVER_MS: u64 = 2_300;
/// From one step to the next: a part of the way of one message, which takes 20 ms.
const STEP_MS: u64 = 10;
/// When clients and phones go, if nobody has before.
const LEAVE_MS: u64 = 110_000;

/// What a client does besides.
#[derive(Clone, Debug)]
enum Deed {
    Wants(Command),
    Leaves,
}

/// One call with something in it.
#[derive(Clone, Debug)]
struct Case {
    is_called: bool,
    at_ms: u64,
    deed: Deed,
    fault: Option<MessageFault>,
}

/// Everything that a client can do.
fn deeds() -> Vec<Deed> {
    let commands = [
        Command::Invite("sip:nobody@nowhere".to_owned()),
        Command::Accept,
        Command::Reject(None),
        Command::Bye,
        Command::SendDtmf('5'),
        Command::Hold(true),
        Command::Hold(false),
    ];
    commands.into_iter().map(Deed::Wants).chain([Deed::Leaves]).collect()
}

/// The end of a call that a client makes or takes, and the steps on the way there: it rings, is taken, is held and gone on with by
/// the client and by the phone, and is hung up by the phone.
fn cast(plan: &mut Plan, case: &Case, index: usize) {
    let (user, host) = (format!("user-{index}."), format!("phone-{index}."));
    let far = LinkConfig::lan().with_delay_ms(20);
    let change = |at_ms, direction| Change { at_ms, direction };
    let rings = Reply { rings_ms: Some(100), after_ms: 200, answer: Answer::Accept };
    let nobody = Reply { rings_ms: None, after_ms: 0, answer: Answer::Refuse(404) };
    let registrar = Registrar { expires_s: 180, min_expires_s: 0, refuses_ms: None };
    let called = Called {
        replies: vec![if case.is_called { nobody } else { rings }],
        proof: None,
        registrar: case.is_called.then_some(registrar),
        away_ms: Vec::new(),
    };
    let phone = PhonePlan {
        dial: host.clone(),
        called: Some(called),
        calls_back_ms: case.is_called.then_some(BEGINS_MS),
        changes: vec![change(700, Direction::SendOnly), change(800, Direction::SendRecv)],
        // It takes digits, and dials none.
        digits: vec![Dialled { at_ms: 10_000, digit: '0', lost: 0 }],
        talk_ms: Some(1_000),
        message_faults: case.fault.into_iter().collect(),
        leave_ms: LEAVE_MS + 40_000,
        ..PhonePlan::default()
    };
    let mut orders = Vec::new();
    if !case.is_called {
        let invite = Command::Invite(format!("sip:{host}@{host}"));
        orders.push(Order { at_ms: BEGINS_MS, command: invite });
    }
    orders.push(Order { at_ms: BEGINS_MS + 600, command: Command::Hold(true) });
    orders.push(Order { at_ms: BEGINS_MS + 750, command: Command::Hold(false) });
    let mut leave_ms = LEAVE_MS;
    match &case.deed {
        Deed::Wants(command) => {
            orders.push(Order { at_ms: case.at_ms, command: command.clone() });
        }
        Deed::Leaves => leave_ms = case.at_ms,
    }
    orders.sort_by_key(|order| order.at_ms);
    let client = SipClientPlan {
        address: format!("user@{host}"),
        password: case.is_called.then(|| "any".to_owned()),
        reactions: vec![Reaction { after_ms: 200, command: Command::Accept }],
        orders,
        leave_ms,
        ..SipClientPlan::default()
    };
    plan.phone(&host, far, phone);
    plan.sip_client(&user, LinkConfig::lan(), client);
}

/// Carries out `cases`, many at a time, and gives what each client said.
fn carry_out(cases: &[Case]) -> Vec<SipClientReport> {
    let (mut found, mut said) = (String::new(), Vec::new());
    for cases in cases.chunks(CLIENTS) {
        let mut plan = Plan::empty();
        // Nobody says anything over RTP.
        plan.config.rtp.silence_ms = 200_000;
        plan.config.sip.max_clients = CLIENTS;
        cases.iter().zip(0..).for_each(|(case, index)| cast(&mut plan, case, index));
        plan.terms.calm_ms = 70_000;
        let outcome = run::run_plan(&CALLS, 1, &plan, false, &Watch::default());
        for violation in &outcome.violations {
            let _ = writeln!(found, "{violation}");
            let mut of = plan.phones.iter().zip(&plan.sip_clients).zip(cases).zip(0..);
            let about = of.find(|(((phone, client), _), _)| {
                violation.what.contains(&phone.host) || violation.what.contains(&client.host)
            });
            if let (Some(((_, case), index)), Some(evidence)) = (about, &outcome.evidence) {
                let _ = writeln!(found, "  {case:?}\n{}", told(evidence, index));
            }
        }
        said.extend(outcome.evidence.map_or_else(Vec::new, |evidence| evidence.sip_clients));
    }
    let lines: Vec<&str> = found.lines().take(150).collect();
    assert!(found.is_empty(), "{} calls:\n{}", cases.len(), lines.join("\n"));
    said
}

/// What both ends of a call saw.
fn told(evidence: &Evidence, index: usize) -> String {
    let (client, phone) = (&evidence.sip_clients[index], &evidence.phones[index]);
    let mut text = format!("  phone: {}; client: {}\n", phone.end(), client.end);
    for it in &client.ordered {
        let _ = writeln!(text, "  {:?} wants {:?}: {:?}", it.at, it.command, it.answered);
    }
    for (at, callback) in &client.callbacks {
        let _ = writeln!(text, "  {at:?} is told {callback:?}");
    }
    for it in &phone.signals {
        let way = if it.way == Way::Sent { "->" } else { "<-" };
        let (what, method, number, fault) = (it.what, &it.method, it.number, it.fault);
        let _ = writeln!(text, "  {:?} {way} {what:?} {number} {method} {fault:?}", it.at);
    }
    text
}

/// Every deed at every step, of who calls or is called.
fn at_every_step(is_called: bool) -> Vec<Case> {
    let steps = (BEGINS_MS - 100..OVER_MS).step_by(STEP_MS as usize);
    let cases = steps.flat_map(|at_ms| {
        deeds().into_iter().map(move |deed| Case { is_called, at_ms, deed, fault: None })
    });
    cases.collect()
}

/// Each command was carried out at some steps and refused at others, if it can be.
fn all_was_met(cases: &[Case], said: &[SipClientReport], is_called: bool) {
    assert_eq!(cases.len(), said.len());
    let mut met: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for (case, report) in cases.iter().zip(said) {
        let Deed::Wants(command) = &case.deed else { continue };
        let at = report.ordered.iter().filter(|it| it.at.as_millis() as u64 >= case.at_ms);
        let given = at.into_iter().find(|it| it.command == *command);
        let answer = given.and_then(|it| it.answered.as_ref()).map(|(_, answer)| answer.is_ok());
        met.entry(format!("{command:?}")).or_default().extend(answer);
    }
    for (command, answers) in met {
        let never = !is_called && (command.starts_with("Accept") || command.starts_with("Reject"));
        let due = if never { BTreeSet::from([false]) } else { BTreeSet::from([false, true]) };
        assert_eq!(answers, due, "{command}");
    }
}

#[test]
fn commands_at_every_step_of_a_call_that_is_made() {
    let cases = at_every_step(false);
    all_was_met(&cases, &carry_out(&cases), false);
}

#[test]
fn commands_at_every_step_of_a_call_that_is_taken() {
    let cases = at_every_step(true);
    all_was_met(&cases, &carry_out(&cases), true);
}

/// Messages each way that are lost, come twice or too late; of a registration the first ones are of no call.
#[test]
fn ends_at_some_steps_of_a_call_whose_messages_are_disturbed() {
    let mut cases = Vec::new();
    for is_called in [false, true] {
        for way in [Way::Sent, Way::Received] {
            for index in 0..8 {
                for fault in [Fault::Drop, Fault::Duplicate, Fault::DelayPastNext] {
                    let fault = Some(MessageFault { way, index, fault });
                    for at_ms in [0, 120, 180, 230, 250, 290, 640, 900].map(|ms| BEGINS_MS + ms) {
                        for deed in [Deed::Wants(Command::Bye), Deed::Leaves] {
                            cases.push(Case { is_called, at_ms, deed, fault });
                        }
                    }
                }
            }
        }
    }
    carry_out(&cases);
}
