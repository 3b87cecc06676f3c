//! Registrations of clients: lost and there again, and taken over by who proves to be the same.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        phone::{Answer, PhonePlan, Registrar, Reply, Voice},
        sip_client::{Command, SipClientPlan},
    },
};

use super::{add, are_done, called_by, client, exchange, invite, is_told, order, registered};
use crate::{catalogue::Scenario, live::unless, plan::Plan, sip::ends};

/// When the exchange registers nobody, and when it is not there at all.
const REFUSES_MS: (u64, u64) = (100_000, 170_000);
const AWAY_MS: (u64, u64) = (400_000, 500_000);

/// A registration that is lost twice.
pub const CLIENT_REGISTRATION: Scenario = Scenario {
    name: "sip/client-registration",
    about: "a user agent over RTMP is told that its registration is lost, and that it is there again; who is not known is no user agent",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let mut books = PhonePlan { leave_ms: 720_000, ..exchange("bob", "exchange", 1) };
        let called = books.called.as_mut().expect("it is called");
        let refuses_ms = Some(REFUSES_MS);
        called.registrar = Some(Registrar { expires_s: 60, min_expires_s: 0, refuses_ms });
        called.away_ms = vec![AWAY_MS];
        add(&mut plan, LinkConfig::dsl(), books);
        let bob =
            SipClientPlan { start_ms: rng.below(1_000), ..registered("bob", "exchange", 650_000) };
        plan.sip_client("bob", LinkConfig::lan(), bob);
        let eve = SipClientPlan {
            start_ms: 5_000,
            password: Some("other".to_owned()),
            ..client("bob", "exchange", 30_000)
        };
        plan.sip_client("eve", LinkConfig::lan(), eve);
        // The exchange says nothing for as long as it is asked.
        let late = SipClientPlan {
            start_ms: AWAY_MS.0 + 10_000,
            ..registered("bob", "exchange", 600_000)
        };
        plan.sip_client("late", LinkConfig::lan(), late);
        plan
    },
    check: |evidence| {
        let [bob, eve, late] = [0, 1, 2].map(|index| &evidence.sip_clients[index]);
        let refused = |report: &rehearsal_sim::clients::sip_client::SipClientReport| {
            let answer = report.connected.as_ref()?.1.as_ref().err()?;
            Some(answer.split(' ').next().unwrap_or_default().to_owned())
        };
        let (unknown, unanswered) = (refused(eve), refused(late));
        let at = |name: &str| {
            let of = super::told(bob).into_iter().zip(&bob.callbacks);
            of.filter(|(told, _)| told.starts_with(name))
                .map(|(_, (at, _))| *at)
                .collect::<Vec<_>>()
        };
        let (lost, there) = (at("lost"), at("registered"));
        let ms = Duration::from_millis;
        let within = |found: &[Duration], ends_ms: [u64; 2]| {
            // A refresh is due half a minute before, and asked for as long; tries wait longer and longer.
            let due = ends_ms.map(|from_ms| ms(from_ms)..ms(from_ms + 150_000));
            found.len() == 2 && found.iter().zip(&due).all(|(at, due)| due.contains(at))
        };
        let in_time =
            within(&lost, [REFUSES_MS.0, AWAY_MS.0]) && within(&there, [REFUSES_MS.1, AWAY_MS.1]);
        let found = [
            is_told("bob", bob, &["lost 503", "registered", "lost 408", "registered"]),
            unless(unknown.as_deref() == Some("403"), || format!("eve was told {unknown:?}")),
            unless(unanswered.as_deref() == Some("408"), || {
                format!("late was told {unanswered:?}")
            }),
            unless(in_time, || format!("lost at {lost:?}, registered at {there:?}")),
        ];
        found.into_iter().flatten().collect()
    },
};

/// One that takes over from another.
pub const CLIENT_REPLACED: Scenario = Scenario {
    name: "sip/client-replaced",
    about: "who proves to be somebody takes over from who did before, in mid-call, and can be called; who proves nothing does not",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let takes = Reply { rings_ms: None, after_ms: 300, answer: Answer::Accept };
        add(
            &mut plan,
            LinkConfig::lan(),
            PhonePlan { leave_ms: 80_000, ..exchange("bob", "exchange", 9) },
        );
        for (host, epoch) in [("first", 1), ("second", 2)] {
            let phone = PhonePlan { leave_ms: 80_000, ..called_by("bob", epoch, host, takes) };
            add(&mut plan, LinkConfig::lan(), phone);
        }
        let bob = |epoch, start_ms, orders| SipClientPlan {
            start_ms,
            orders,
            voice: Some(Voice { stream: "bob/local".to_owned(), epoch }),
            ..registered("bob", "exchange", 20_000)
        };
        let former = bob(1, 0, vec![order(1_000, invite("first"))]);
        let at_ms = 5_000 + rng.below(1_000);
        let orders =
            vec![order(at_ms + 2_000, invite("second")), order(at_ms + 6_000, Command::Bye)];
        let latter = bob(2, at_ms, orders);
        let unproven = SipClientPlan { start_ms: 3_000, password: None, ..bob(3, 0, Vec::new()) };
        plan.sip_client("former", LinkConfig::lan(), former);
        plan.sip_client("latter", LinkConfig::lan(), latter);
        plan.sip_client("unproven", LinkConfig::lan(), unproven);
        plan
    },
    check: |evidence| {
        let [former, latter, unproven] = [0, 1, 2].map(|index| &evidence.sip_clients[index]);
        let from = Duration::from_millis(evidence.plan.sip_clients[1].plan.start_ms);
        let soon = Duration::from_secs(1);
        let gone = [former, unproven].into_iter().all(|replaced| {
            replaced.end == "closed by the server"
                && (from..from + soon).contains(&replaced.ended_at)
        });
        let over = "hung up by the gateway";
        let found = [
            is_told("former", former, &["accepted pcmu", "byed"]),
            is_told("latter", latter, &["accepted pcmu"]),
            is_told("unproven", unproven, &[]),
            are_done("latter", latter, 0),
            ends("first", &evidence.phones[1], &[over]),
            ends("second", &evidence.phones[2], &[over]),
            unless(gone, || {
                format!("at {:?} and {:?} they were gone", former.ended_at, unproven.ended_at)
            }),
        ];
        found.into_iter().flatten().collect()
    },
};
