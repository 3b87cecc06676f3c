//! Accounts of the gateway at an exchange that asks who registers, grants little, is away for a while, and refuses for a while.

use std::time::Duration;

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Answer, Called, PhonePlan, Registrar, Reply},
};

use super::callees::{account, proof};
use crate::{catalogue::Scenario, fault::Lever, live::unless, plan::Plan};

/// For how long a registration is granted.
const GRANTED_S: u32 = 60;
/// When the exchange is away, and when it refuses everybody.
const AWAY_MS: (u64, u64) = (300_000, 420_000);
const REFUSES_MS: (u64, u64) = (800_000, 900_000);
/// When the gateway ends, and begins anew.
const ENDS_MS: [u64; 2] = [1_300_000, 1_310_000];
const LEAVE_MS: u64 = 1_500_000;
/// Longest time from when the exchange is there again until the account is registered: after three tries that failed.
const BACK_WITHIN: Duration = Duration::from_secs(150);

/// An account for 25 minutes.
pub const REGISTER: Scenario = Scenario {
    name: "sip/register",
    about: "an account is kept registered, is so again after its registrar was away or refused, and is taken back at the end",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.sip.accounts.push(account("sesame"));
        let registrar =
            Registrar { expires_s: GRANTED_S, min_expires_s: 0, refuses_ms: Some(REFUSES_MS) };
        let called = Called {
            replies: vec![Reply { rings_ms: None, after_ms: 0, answer: Answer::Refuse(404) }],
            proof: Some(proof(401, 1 + rng.below(4) as u32)),
            registrar: Some(registrar),
            away_ms: vec![AWAY_MS],
        };
        let exchange = PhonePlan {
            dial: "exchange".to_owned(),
            called: Some(called),
            leave_ms: LEAVE_MS,
            ..PhonePlan::default()
        };
        plan.phone("exchange", LinkConfig::dsl(), exchange);
        plan.fault(ENDS_MS[0], "gateway", Lever::ShutDown);
        plan.fault(ENDS_MS[1], "gateway", Lever::Restart);
        plan
    },
    check: |evidence| {
        let bindings = &evidence.phones[0].bindings;
        let ms = Duration::from_millis;
        let granted = Duration::from_secs(GRANTED_S.into());
        let in_time = [0, AWAY_MS.1, REFUSES_MS.1, ENDS_MS[1]].map(|from_ms| {
            let from = ms(from_ms);
            let within = if from_ms == 0 { ms(1_000) } else { BACK_WITHIN };
            let first = bindings.iter().find(|binding| binding.at >= from).map(|it| it.at);
            unless(first.is_some_and(|at| at <= from + within), || {
                format!("from {from:?} on it was registered at {first:?}")
            })
        });
        let troubles = [AWAY_MS, REFUSES_MS, (ENDS_MS[0], ENDS_MS[1])];
        let lapsed = bindings.windows(2).find(|two| {
            let (from, to) = (two[0].at, two[1].at);
            let is_troubled = troubles
                .iter()
                .any(|(begin, end)| from < ms(*end) + BACK_WITHIN && ms(*begin) < to);
            !is_troubled && !(granted / 2..granted).contains(&(to - from))
        });
        let kept = unless(lapsed.is_none(), || format!("refreshes are {lapsed:?}"));
        let taken_back = bindings.iter().filter(|binding| binding.granted_s == 0);
        let taken_back: Vec<Duration> = taken_back.map(|binding| binding.at).collect();
        let ended =
            taken_back.first().is_some_and(|at| (ms(ENDS_MS[0])..ms(ENDS_MS[1])).contains(at));
        let ended = unless(ended, || format!("it was taken back at {taken_back:?}"));
        in_time.into_iter().chain([kept, ended]).flatten().collect()
    },
};
