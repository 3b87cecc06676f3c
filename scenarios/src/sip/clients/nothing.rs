//! Calls that come to nothing: refused, given up, or impossible, by either end.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        phone::{Answer, Cancel, PhonePlan, Reply},
        sip_client::{Command, Reaction, SipClientPlan},
    },
};

use super::{add, are_done, called_by, client, exchange, invite, is_told, order, registered};
use crate::{
    catalogue::Scenario, live::unless, oracles::Violation, plan::Plan, run::Evidence, sip::ends,
};

/// Whoever waits rings for so long before he is given up or gives up.
const RINGS_MS: u64 = 1_500;

/// Calls to a client.
pub const CLIENT_REFUSES: Scenario = Scenario {
    name: "sip/client-refuses",
    about: "user agents are called: they refuse, are given up, have another call, hear of it too late, go while it rings, or before",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let gives_up = Some(Cancel { after_ms: RINGS_MS, hasty: false });
        let reject = |status| vec![Reaction { after_ms: 400, command: Command::Reject(status) }];
        let late = vec![Reaction { after_ms: RINGS_MS + 200, command: Command::Accept }];
        let cases = [
            ("declines", None, reject(None), 20_000),
            ("busy", None, reject(Some(486)), 20_000),
            ("patient", gives_up, Vec::new(), 20_000),
            ("late", gives_up, late, 20_000),
            ("leaves", None, Vec::new(), 3_000),
            ("gone", None, Vec::new(), 1_000),
            ("talks", None, Vec::new(), 20_000),
        ];
        for (user, cancel, reactions, leave_ms) in cases {
            let host = format!("{user}-exchange");
            let calls = PhonePlan {
                calls_back_ms: Some(1_500 + rng.below(300)),
                cancel,
                leave_ms: 60_000,
                ..exchange(user, &host, 1)
            };
            add(&mut plan, LinkConfig::lan(), calls);
            let user_agent = SipClientPlan { reactions, ..registered(user, &host, leave_ms) };
            plan.sip_client(user, LinkConfig::lan(), user_agent);
        }
        let takes = Reply { rings_ms: None, after_ms: 100, answer: Answer::Accept };
        let friend = PhonePlan { leave_ms: 60_000, ..called_by("talks", 2, "friend", takes) };
        add(&mut plan, LinkConfig::lan(), friend);
        let talks = plan.sip_clients.last_mut().expect("there are clients");
        talks.plan.orders = vec![
            order(500, invite("friend")),
            order(700, invite("friend")),
            order(6_000, Command::Bye),
        ];
        plan
    },
    check: |evidence| {
        let due: [(&[&str], usize, &str); 7] = [
            (&["invited"], 0, "rejected with 603"),
            (&["invited"], 0, "rejected with 486"),
            (&["invited", "cancelled"], 0, "cancelled"),
            (&["invited", "cancelled"], 1, "cancelled"),
            (&["invited"], 0, "rejected with 480"),
            (&[], 0, "rejected with 480"),
            (&["accepted pcmu", "rejected Already"], 1, "rejected with 486"),
        ];
        let friend = ends("friend", &evidence.phones[7], &["hung up by the gateway"]);
        judge(evidence, &due).into_iter().chain(friend).collect()
    },
};

fn judge(evidence: &Evidence, due: &[(&[&str], usize, &str)]) -> Vec<Violation> {
    let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
    let phones = evidence.plan.phones.iter().zip(&evidence.phones);
    let found =
        clients.zip(phones).zip(due).flat_map(|(((client, report), (phone, call)), due)| {
            let (told, refused, end) = *due;
            [
                is_told(&client.host, report, told),
                are_done(&client.host, report, refused),
                ends(&phone.host, call, &[end]),
            ]
        });
    found.flatten().collect()
}

/// Calls of a client.
pub const CLIENT_GIVES_UP: Scenario = Scenario {
    name: "sip/client-gives-up",
    about: "user agents call who is busy, gives no answer, is not there or has no address, and give up themselves, by command or by going",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.sip.ring_ms = 4_000;
        let rings = |answer| Reply { rings_ms: Some(200), after_ms: 900 + rng.below(200), answer };
        let mut rings = rings;
        let cases = [
            ("busy", rings(Answer::Refuse(486)), vec![], 20_000),
            ("unanswered", rings(Answer::Never), vec![], 20_000),
            ("gives-up", rings(Answer::Never), vec![order(2_500, Command::Bye)], 20_000),
            ("too-late", rings(Answer::AcceptLate), vec![order(1_200, Command::Bye)], 20_000),
            ("leaves", rings(Answer::Never), vec![], 2_500),
        ];
        for (user, reply, orders, leave_ms) in cases {
            let host = format!("{user}-callee");
            let phone = PhonePlan { leave_ms: 60_000, ..called_by(user, 1, &host, reply) };
            add(&mut plan, LinkConfig::lan(), phone);
            let orders = [vec![order(500, invite(&host))], orders].concat();
            let user_agent = SipClientPlan { orders, ..client(user, "studio", leave_ms) };
            plan.sip_client(user, LinkConfig::lan(), user_agent);
        }
        let lost = [order(500, invite("nowhere")), order(1_500, Command::Bye)].to_vec();
        let lost = SipClientPlan { orders: lost, ..client("lost", "studio", 20_000) };
        plan.sip_client("lost", LinkConfig::lan(), lost);
        plan
    },
    check: |evidence| {
        let no_answer: &[&str] = &["ringing 180", "rejected 487"];
        let due: [(&[&str], usize, &str); 5] = [
            (&["ringing 180", "rejected 486"], 0, "left before an answer"),
            (no_answer, 0, "left before an answer"),
            (&["ringing 180"], 0, "left before an answer"),
            (&["ringing 180"], 0, "hung up by the gateway"),
            (&["ringing 180"], 0, "left before an answer"),
        ];
        let lost = &evidence.sip_clients[5];
        let nowhere = is_told("lost", lost, &["rejected 404"]);
        let given_up = are_done("lost", lost, 1);
        let cancels = evidence.phones[1..5].iter().map(|phone| {
            let mut asked = phone.signals.iter();
            let is_cancelled = asked.any(|it| it.method == "CANCEL");
            unless(is_cancelled, || "who was given up was not told".to_owned())
        });
        let found = judge(evidence, &due).into_iter().chain(nowhere).chain(given_up);
        found.chain(cancels.flatten()).collect()
    },
};
