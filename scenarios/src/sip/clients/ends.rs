//! What becomes of a client's call when one of those is gone who carry it: the client, the phone, the gateway.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        phone::{Answer, PhonePlan, Reply},
        sip_client::{Command, SipClientPlan},
    },
};

use super::{add, are_done, called_by, client, exchange, invite, is_told, order, registered};
use crate::{catalogue::Scenario, fault::Lever, live::unless, plan::Plan, sip::ends};

/// When what befalls them does.
const BEFALLEN_MS: u64 = 6_000;

/// Who takes a call at once.
const TAKES: Reply = Reply { rings_ms: Some(100), after_ms: 400, answer: Answer::Accept };

/// Clients whose connections are cut in mid-call.
pub const CLIENT_CUT: Scenario = Scenario {
    name: "sip/client-cut",
    about: "connections of user agents are closed, reset, lost with their host or in a black hole: their phones are hung up on",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let at_ms = BEFALLEN_MS + rng.below(1_000);
        let levers = [
            ("closes", None),
            ("reset", Some(Lever::ResetConnections)),
            ("crashes", Some(Lever::Crash)),
            ("cut-off", Some(Lever::BlackHole(true))),
        ];
        for (user, lever) in levers {
            let host = format!("{user}-callee");
            let phone = PhonePlan { leave_ms: 240_000, ..called_by(user, 1, &host, TAKES) };
            add(&mut plan, LinkConfig::lan(), phone);
            let leave_ms = if lever.is_none() { at_ms } else { 60_000 };
            let orders = vec![order(500, invite(&host))];
            let user_agent = SipClientPlan { orders, ..client(user, "studio", leave_ms) };
            plan.sip_client(user, LinkConfig::lan(), user_agent);
            if let Some(lever) = lever {
                plan.fault(at_ms, user, lever);
                plan.terms.faulty.push(user.to_owned());
            }
        }
        plan.terms.calm_ms = crate::plan::VANISHED_CALM_MS;
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let found =
            phones.map(|(phone, report)| ends(&phone.host, report, &["hung up by the gateway"]));
        // A connection that is closed or reset is known to be.
        let soon = Duration::from_millis(BEFALLEN_MS + 2_000);
        let at_once = evidence.phones[..2].iter().map(|report| {
            let over = report.ended.map(|(at, _)| at);
            unless(over.is_some_and(|at| at < soon), || format!("it was over at {over:?}"))
        });
        found.chain(at_once).flatten().collect()
    },
};

/// A phone that is gone in mid-call.
pub const CLIENT_OUTLIVES: Scenario = Scenario {
    name: "sip/client-outlives",
    about: "a phone is gone in its call with a user agent over RTMP, which is told when nothing was heard for rtp.silence_ms, and calls again",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.rtp.silence_ms = 5_000;
        for (host, epoch) in [("alice", 1), ("carol", 2)] {
            let phone = PhonePlan { leave_ms: 90_000, ..called_by("bob", epoch, host, TAKES) };
            add(&mut plan, LinkConfig::lan(), phone);
        }
        plan.fault(BEFALLEN_MS + rng.below(1_000), "alice", Lever::Crash);
        plan.terms.faulty.push("alice".to_owned());
        let orders = vec![
            order(500, invite("alice")),
            order(14_000, invite("carol")),
            order(18_000, Command::Bye),
        ];
        let bob = SipClientPlan { orders, ..client("bob", "studio", 20_000) };
        plan.sip_client("bob", LinkConfig::lan(), bob);
        plan.terms.calm_ms = crate::sip::calm_ms(&plan.config) + 10_000;
        plan
    },
    check: |evidence| {
        let bob = &evidence.sip_clients[0];
        let call = ["ringing 180", "accepted pcmu"];
        let due = [&call[..], &["byed"], &call[..]].concat();
        let found = [
            is_told("bob", bob, &due),
            are_done("bob", bob, 0),
            ends("carol", &evidence.phones[1], &["hung up by the gateway"]),
        ];
        found.into_iter().flatten().collect()
    },
};

/// A gateway that ends while clients call, are called, and talk; some have just wanted what makes no sense.
pub const CLIENT_SHUTDOWN: Scenario = Scenario {
    name: "sip/client-shutdown",
    about: "the gateway ends while user agents call, are called and talk: each is told what became of its call, and so are the phones",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let rings = Reply { answer: Answer::Never, ..TAKES };
        let cases = [
            ("talks", TAKES, vec![Command::Reject(None), Command::Accept]),
            ("calls", rings, vec![invite("calls-callee"), Command::Hold(true)]),
            ("gives-up", rings, vec![Command::Bye]),
            ("hung-up", TAKES, vec![Command::Bye, Command::Bye]),
        ];
        for (user, reply, commands) in cases {
            let host = format!("{user}-callee");
            let phone = PhonePlan { leave_ms: 90_000, ..called_by(user, 1, &host, reply) };
            add(&mut plan, LinkConfig::lan(), phone);
            let mut orders = vec![order(500, invite(&host))];
            let times = (0..).map(|index| 2_500 + index * 300);
            orders.extend(times.zip(commands).map(|(at_ms, command)| order(at_ms, command)));
            let user_agent = SipClientPlan { orders, ..client(user, "studio", 30_000) };
            plan.sip_client(user, LinkConfig::lan(), user_agent);
        }
        let calls = PhonePlan {
            calls_back_ms: Some(2_000),
            leave_ms: 90_000,
            ..exchange("called", "exchange", 1)
        };
        add(&mut plan, LinkConfig::lan(), calls);
        plan.sip_client("called", LinkConfig::lan(), registered("called", "exchange", 30_000));
        plan.fault(4_000 + rng.below(1_000), "gateway", Lever::ShutDown);
        plan.fault(60_000, "gateway", Lever::Restart);
        plan
    },
    check: |evidence| {
        let due: [(&[&str], &str); 5] = [
            (&["ringing 180", "accepted pcmu", "byed"], "hung up by the gateway"),
            (&["ringing 180", "rejected Already", "rejected 503"], "left before an answer"),
            (&["ringing 180"], "left before an answer"),
            (&["ringing 180", "accepted pcmu"], "hung up by the gateway"),
            (&["invited", "cancelled"], "rejected with 480"),
        ];
        let clients = evidence.plan.sip_clients.iter().zip(&evidence.sip_clients);
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let found = clients.zip(phones).zip(due).flat_map(|((client, phone), (told, end))| {
            [is_told(&client.0.host, client.1, told), ends(&phone.0.host, phone.1, &[end])]
        });
        found.flatten().collect()
    },
};
