//! Calls on an uneven line, and of somebody who speaks before he answers, in which just one thing is broken.

use rehearsal_core::config::Call;
use rehearsal_sim::{
    Direction, LinkConfig,
    clients::{
        phone::{Answer, Called, PhonePlan, Reply, Voice},
        rtmp_player::PlayPlan,
    },
};

use super::*;

const UNEVEN: usize = 0;
const EARLY: usize = 1;

/// One whose packets come unevenly, in another order, twice or not at all, and one who is called.
static REPORTS: Scenario = Scenario {
    name: "oracles/reports",
    about: "",
    parity: false,
    heavy: false,
    plan: |_| {
        let mut plan = Plan::empty();
        let uneven = LinkConfig::lan().with(|direction: &mut Direction| {
            direction.jitter_ns = 15_000_000;
            direction.reorder_ppm = 30_000;
            direction.reorder_ns = 60_000_000;
            direction.duplicate_ppm = 30_000;
            direction.loss_ppm = 10_000;
        });
        let uneven_phone = PhonePlan {
            start_ms: 1_500,
            dial: "uneven".to_owned(),
            voice: Some(Voice { stream: "call/uneven".to_owned(), epoch: 1 }),
            talk_ms: Some(16_000),
            leave_ms: 150_000,
            ..PhonePlan::default()
        };
        let reply = Reply { rings_ms: Some(200), after_ms: 2_000, answer: Answer::Accept };
        let called =
            Called { replies: vec![reply], proof: None, registrar: None, away_ms: Vec::new() };
        let early = PhonePlan {
            dial: "early".to_owned(),
            called: Some(called),
            speaks_early: true,
            voice: Some(Voice { stream: "call/early".to_owned(), epoch: 1 }),
            ..uneven_phone.clone()
        };
        plan.phone("uneven", uneven, uneven_phone);
        plan.phone("early", LinkConfig::lan(), early);
        let to = plan.phones[EARLY].address();
        let publish = Some("call/early".to_owned());
        plan.config.sip.calls.push(Call { to, from: None, publish, play: None, redial_ms: None });
        for stream in ["call/uneven", "call/early"] {
            let stream = stream.to_owned();
            let play = PlayPlan { stream, start_ms: 0, leave_ms: 40_000, stall: None, pause: None };
            plan.player(&play.stream.replace('/', "-"), LinkConfig::lan(), Protocol::Rtmp, play);
        }
        plan
    },
    check: |_| Vec::new(),
};

/// What is broken, and the oracle that is there for it.
pub static PLANTED_REPORTS: &[Planted] = &[
    (O19, "no jitter is told of", &REPORTS, |seen| {
        seen.phones[UNEVEN].reports.last_mut().unwrap().jitter = 0;
    }),
    (O19, "a jitter is told of that is another", &REPORTS, |seen| {
        seen.phones[UNEVEN].reports[1].jitter += 4;
    }),
    (O19, "one packet less than was lost is told of", &REPORTS, |seen| {
        seen.phones[UNEVEN].reports[1].lost -= 1;
    }),
    (O19, "another share than was lost is told of", &REPORTS, |seen| {
        seen.phones[UNEVEN].reports[0].fraction_lost += 2;
    }),
    (O19, "a highest number is told of that has not come", &REPORTS, |seen| {
        seen.phones[UNEVEN].reports.last_mut().unwrap().highest += 60;
    }),
    (O19, "a report of the phone's is not known", &REPORTS, |seen| {
        seen.phones[EARLY].reports.last_mut().unwrap().last = 0;
    }),
    (O19, "a report of the phone's is named that is none", &REPORTS, |seen| {
        seen.phones[EARLY].reports.last_mut().unwrap().last += 1;
    }),
    (O19, "an old report of the phone's is named", &REPORTS, |seen| {
        let early = &mut seen.phones[EARLY];
        let (middle, since) = (early.told[1].middle, 5 << 16);
        let report = early.reports.last_mut().unwrap();
        (report.last, report.since) = (middle, report.since + since);
    }),
    (O19, "a report of the phone's was held longer than is told", &REPORTS, |seen| {
        seen.phones[UNEVEN].reports.last_mut().unwrap().since -= 20_000;
    }),
    (O19, "a report of the phone's was held shorter than is told", &REPORTS, |seen| {
        seen.phones[UNEVEN].reports.last_mut().unwrap().since += 2_000;
    }),
    (O19, "what is said before the answer is heard", &REPORTS, |seen| {
        seen.players[EARLY].received[0].stamp.as_mut().unwrap().index = 0;
    }),
];
