//! Runs with phones that speak SIP over TCP in which just one thing is broken.

use rehearsal_sim::{
    LinkConfig,
    clients::phone::{OverTcp, PhonePlan, PhoneReport, Saying, Signal, Voice, Way},
};

use super::*;

const TALKS: usize = 0;
const SILENT: usize = 1;

/// One who talks and hangs up, and asks whether the gateway is there, and one on whom the gateway hangs up.
static CONNECTIONS: Scenario = Scenario {
    name: "oracles/connections",
    about: "",
    parity: false,
    heavy: false,
    plan: |_| {
        let mut plan = Plan::empty();
        plan.config.rtp.silence_ms = 5_000;
        let talks = PhonePlan {
            start_ms: 500,
            dial: "talk".to_owned(),
            voice: Some(Voice { stream: "call/talk".to_owned(), epoch: 1 }),
            talk_ms: Some(12_000),
            tcp: Some(OverTcp { pings_ms: Some(3_000), ..OverTcp::default() }),
            leave_ms: 150_000,
            ..PhonePlan::default()
        };
        let silent = PhonePlan {
            dial: "silent".to_owned(),
            voice: None,
            talk_ms: None,
            tcp: Some(OverTcp::default()),
            ..talks.clone()
        };
        plan.phone("talks", LinkConfig::lan(), talks);
        plan.phone("silent", LinkConfig::lan(), silent);
        plan
    },
    check: |_| Vec::new(),
};

/// The message of `method` that came and is `what`, changed and once more.
fn again(report: &mut PhoneReport, what: Saying, method: &str, change: impl Fn(&mut Signal)) {
    let is_it = |it: &&Signal| it.way == Way::Received && it.what == what && it.method == method;
    let mut signal = report.signals.iter().find(is_it).expect("it came").clone();
    (signal.at, signal.arrived_at) = (signal.at + MS, Some(signal.at + MS));
    change(&mut signal);
    report.signals.push(signal);
}

const O15: &str = "O15 SIP safety";
const O16: &str = "O16 SIP timers";
const O17: &str = "O17 call agreement";

/// What is broken in [`CONNECTIONS`], and how.
pub(super) const PLANTED_CONNECTIONS: &[Planted] = &[
    (O15, "an answer comes by another connection", &CONNECTIONS, |seen| {
        for signal in &mut seen.phones[TALKS].signals {
            if signal.way == Way::Received && signal.method == "BYE" {
                signal.over = Some(7);
            }
        }
    }),
    (O15, "who asks whether the gateway is there is not answered", &CONNECTIONS, |seen| {
        seen.phones[TALKS].connections[0].pongs.pop();
    }),
    (O15, "who has not asked whether the gateway is there is answered", &CONNECTIONS, |seen| {
        seen.phones[SILENT].connections[0].pongs.push(2_000 * MS);
    }),
    (O15, "messages cannot be told apart", &CONNECTIONS, |seen| {
        seen.phones[TALKS].connections[0].is_unreadable = true;
    }),
    (O16, "a request is said again by a connection that is there", &CONNECTIONS, |seen| {
        again(&mut seen.phones[SILENT], Saying::Request, "BYE", |_| {});
    }),
    (O16, "an answer is given again that nobody asked for", &CONNECTIONS, |seen| {
        again(&mut seen.phones[TALKS], Saying::Response(200), "BYE", |_| {});
    }),
    (O16, "an acceptance is said again that was acknowledged", &CONNECTIONS, |seen| {
        again(&mut seen.phones[TALKS], Saying::Response(200), "INVITE", |copy| {
            copy.at += 500 * MS;
        });
    }),
    (O17, "a call has no end though only its connection was lost", &CONNECTIONS, |seen| {
        let host = seen.plan.phones[TALKS].host.clone();
        seen.plan.fault(3_000, &host, Lever::ResetConnections);
        seen.phones[TALKS].ended = None;
    }),
];
