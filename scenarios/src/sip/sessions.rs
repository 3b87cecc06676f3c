//! Calls that last longer than their sessions: who refreshes them, who asks for longer ones, and what becomes of those of whom nothing
//! is heard any more (RFC 4028).

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{PhonePlan, PhoneReport, Saying, Session, Signal, Voice, Way},
};

use super::{call, call_out, callee, callees::TAKES, ends, lasted};
use crate::{catalogue::Scenario, live::unless, oracles::Violation, plan::Plan};

/// What the gateway asks for, and the least that it agrees to.
const OWN_S: u32 = 20;
const LEAST_S: u32 = 10;
/// How long phones mean to talk.
const TALK_MS: u64 = 49_000;
/// From when something is due until it is seen at the other end.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// What a phone wants that asks for 12 s and refreshes.
const REFRESHES: Session =
    Session { interval_s: 12, least_s: LEAST_S, refreshes: true, refreshes_max: None };

/// A phone, and what is expected of it.
struct Case {
    host: &'static str,
    is_called: bool,
    session: Session,
    /// Refreshes of the phone, and of the gateway, by INVITE or UPDATE.
    refreshes: [usize; 2],
    /// Answers 422 of the phone, and of the gateway.
    refusals: [usize; 2],
    /// When the gateway gives it up, after the answer; without, it hangs up by itself.
    given_up_s: Option<f64>,
}

/// One that asks for 12 s, refreshes, and hangs up by itself.
const CALLER: Case = Case {
    host: "refreshes",
    is_called: false,
    session: REFRESHES,
    refreshes: [8, 0],
    refusals: [0, 0],
    given_up_s: None,
};
/// One that agrees to what the gateway asks for, and refreshes.
const CALLEE: Case =
    Case { host: "agrees-to-refresh", is_called: true, refreshes: [4, 0], ..CALLER };

const CASES: [Case; 8] = [
    CALLER,
    Case {
        host: "wants-to-be-refreshed",
        session: Session { refreshes: false, ..REFRESHES },
        refreshes: [0, 8],
        ..CALLER
    },
    // It is told to ask for 10 s, and does.
    Case {
        host: "asks-for-too-little",
        session: Session { interval_s: 4, least_s: 4, ..REFRESHES },
        refreshes: [9, 0],
        refusals: [0, 1],
        ..CALLER
    },
    // 12 s from its only refresh after 6 s, but for the third of it.
    Case {
        host: "refreshes-once",
        session: Session { refreshes_max: Some(1), ..REFRESHES },
        refreshes: [1, 0],
        given_up_s: Some(6.0 + 8.0),
        ..CALLER
    },
    CALLEE,
    Case {
        host: "agrees-to-be-refreshed",
        session: Session { refreshes: false, ..REFRESHES },
        refreshes: [0, 4],
        ..CALLEE
    },
    // It is called again, for 30 s.
    Case {
        host: "wants-more",
        session: Session { interval_s: 30, least_s: 30, refreshes: false, ..REFRESHES },
        refreshes: [0, 3],
        refusals: [1, 0],
        ..CALLEE
    },
    Case {
        host: "agrees-and-forgets",
        session: Session { refreshes_max: Some(0), ..REFRESHES },
        refreshes: [0, 0],
        given_up_s: Some(OWN_S as f64 * 2.0 / 3.0),
        ..CALLEE
    },
];

/// Sessions of every kind.
pub const SESSION_TIMERS: Scenario = Scenario {
    name: "sip/session-timers",
    about: "calls outlast their sessions: either end refreshes them, asks for longer ones, and gives up who does not",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let sip = &mut plan.config.sip;
        sip.session_expires_ms = u64::from(OWN_S) * 1_000;
        sip.session_expires_min_ms = u64::from(LEAST_S) * 1_000;
        for Case { host, is_called, session, .. } in CASES {
            let session = Some(session);
            if is_called {
                let callee = callee(host, vec![TAKES]);
                let talk_ms = Some(TALK_MS);
                let phone = PhonePlan { talk_ms, session, leave_ms: 130_000, ..callee };
                call_out(&mut plan, LinkConfig::lan(), phone);
            } else {
                let phone = PhonePlan { session, ..call(1_000 + rng.below(2_000), TALK_MS) };
                // Each calls a number of its own.
                let dial = format!("talk-{host}");
                let voice = Some(Voice { stream: format!("call/{dial}"), epoch: 1 });
                let phone = PhonePlan { dial, voice, ..phone };
                plan.phone(host, LinkConfig::lan(), phone);
            }
        }
        plan
    },
    check: |evidence| {
        let phones = CASES.iter().zip(&evidence.phones);
        phones.flat_map(|(case, report)| check(case, report)).collect()
    },
};

fn check(case: &Case, report: &PhoneReport) -> Vec<Violation> {
    let host = case.host;
    let end = if case.given_up_s.is_some() { "hung up by the gateway" } else { "hung up" };
    let due = Duration::from_secs_f64(case.given_up_s.unwrap_or(TALK_MS as f64 / 1_000.0));
    let lasted = lasted(report);
    let in_time = unless(lasted >= due && lasted <= due + ON_ITS_WAY, || {
        format!("{host} was in its call for {lasted:?}, not {due:?}")
    });
    let refreshed = [Way::Sent, Way::Received].map(|way| refreshes(report, way));
    let refreshed = unless(refreshed == case.refreshes, || {
        format!("{host} and the gateway refreshed {refreshed:?} times, not {:?}", case.refreshes)
    });
    let refused = [Way::Sent, Way::Received].map(|way| refusals(report, way));
    let refused = unless(refused == case.refusals, || {
        format!("{host} and the gateway answered 422 {refused:?} times, not {:?}", case.refusals)
    });
    [ends(host, report, &[end]), in_time, refreshed, refused].into_iter().flatten().collect()
}

fn is_request(signal: &Signal, way: Way, method: &str) -> bool {
    signal.way == way && signal.what == Saying::Request && signal.method == method
}

/// Refreshes that went `way`: UPDATEs, and INVITEs from when the call was answered on.
fn refreshes(report: &PhoneReport, way: Way) -> usize {
    let since = report.answered_at.unwrap_or(Duration::MAX);
    let is_one = |it: &&Signal| {
        is_request(it, way, "UPDATE") || is_request(it, way, "INVITE") && it.at > since
    };
    report.signals.iter().filter(is_one).count()
}

fn refusals(report: &PhoneReport, way: Way) -> usize {
    let refused = report.signals.iter().filter(|it| it.way == way);
    refused.filter(|it| it.what == Saying::Response(422)).count()
}
