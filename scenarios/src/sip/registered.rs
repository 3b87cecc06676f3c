//! Phones that register at the gateway and are called by their names: where they are, for as long as they are there, and wherever
//! a NAT has moved them to.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use rehearsal_core::config;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{
        Answer, PhonePlan, PhoneReport, Registers, Registration, Reply, Saying, Voice, Way,
    },
};

use super::{CALLED, HEARD, callee, callees::answers, ends, hear, publish_audio};
use crate::{
    catalogue::Scenario, fault::Lever, live::unless, oracles::Violation, plan::Plan, run::Evidence,
};

/// The least that is granted.
const EXPIRES_S: u32 = 60;
/// How long before its end a registration is refreshed.
const MARGIN_S: u32 = 5;

/// Somebody who takes the call.
pub(super) const TAKES: Reply =
    Reply { rings_ms: Some(200), after_ms: 1_500, answer: Answer::Accept };
/// Somebody who does not.
pub(super) const BUSY: Reply = Reply { rings_ms: None, after_ms: 200, answer: Answer::Refuse(486) };

/// Registers as `user` for a minute, again and again, until `leaves_ms`.
pub(super) fn registers(user: &str, leaves_ms: u64) -> Registers {
    Registers {
        user: user.to_owned(),
        password: None,
        expires_s: EXPIRES_S,
        margin_s: Some(MARGIN_S),
        retry_ms: None,
        leaves_ms: Some(leaves_ms),
        takes_all_back: false,
        errs_ms: None,
        knows_sha256: false,
        others: Vec::new(),
    }
}

/// A phone that does what `registers` says, and with calls what `replies` say; it is there for a while after it has left.
pub(super) fn registered(registers: Registers, replies: Vec<Reply>) -> PhonePlan {
    let leave_ms = registers.leaves_ms.unwrap_or(90_000) + 40_000;
    let takes = replies.iter().any(|reply| reply.answer == Answer::Accept);
    let phone = callee(&registers.user, replies);
    let voice = phone.voice.clone().filter(|_| takes);
    PhonePlan { registers: Some(registers), voice, leave_ms, ..phone }
}

/// The gateway calls whoever is registered as `user`, who is heard on a stream of that name.
pub(crate) fn call_by_name<'a>(plan: &'a mut Plan, user: &str) -> &'a mut config::Call {
    plan.config.sip.calls.push(config::Call {
        to: user.to_owned(),
        from: None,
        publish: Some(format!("call/{user}")),
        play: None,
        redial_ms: None,
    });
    plan.config.sip.calls.last_mut().expect("there is one")
}

/// What the phone on `host` tells.
pub(super) fn of<'a>(evidence: &'a Evidence, host: &str) -> &'a PhoneReport {
    let place = evidence.plan.phones.iter().position(|phone| phone.host == host);
    &evidence.phones[place.expect("the plan has it")]
}

/// A violation unless what came of registrations of `host` was `due`: status, and seconds granted.
pub(super) fn was_told(
    evidence: &Evidence,
    host: &str,
    due: &[(Option<u16>, Option<u32>)],
) -> Option<Violation> {
    let told = of(evidence, host).registrations.iter().map(|it| (it.status, it.granted_s));
    let told: Vec<_> = told.collect();
    unless(told == due, || format!("{host} was told {told:?} when it registered, due was {due:?}"))
}

/// When calls came, copies left out.
fn called_at(report: &PhoneReport) -> Vec<Duration> {
    let came = report.signals.iter().filter(|it| it.way == Way::Received && it.method == "INVITE");
    let mut came: Vec<_> = came.filter(|it| it.what == Saying::Request).collect();
    came.dedup_by(|a, b| a.branch == b.branch);
    came.into_iter().map(|it| it.at).collect()
}

/// All that a phone on `host` said, which was that much at least, is what a player of its stream has.
pub(super) fn heard_whole(evidence: &Evidence, host: &str) -> Option<Violation> {
    let said = of(evidence, host).spoken.len();
    let players = evidence.plan.players.iter().zip(&evidence.players);
    let stream = format!("call/{host}");
    let mut has = players.filter(|(player, _)| player.plan.stream == stream);
    let has = has.next().map_or(0, |(_, report)| report.received.len());
    unless(said >= 290 && said == has, || format!("{host} said {said} packets, {has} were heard"))
}

/// Two phones of one user, of which one takes back what both have registered.
pub const REGISTERED_ALL: Scenario = Scenario {
    name: "sip/registered-all",
    about: "a phone takes back by * whatever was registered as its user, which cannot be done with a time: then nobody is called",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        // Its registration lasts, if nobody takes it back.
        let stays = Registers {
            expires_s: 600,
            margin_s: None,
            others: vec!["sip:talk@other.invalid".to_owned()],
            ..registers("talk", 100_000)
        };
        let takes = Registers {
            takes_all_back: true,
            errs_ms: Some(8_000 + rng.below(1_000)),
            ..registers("talk", 30_000)
        };
        for (host, start_ms, registers) in [("stays", 200, stays), ("takes", 2_000, takes)] {
            let start_ms = start_ms + rng.below(500);
            let phone = PhonePlan { start_ms, ..registered(registers, vec![BUSY]) };
            plan.phone(host, LinkConfig::lan(), phone);
        }
        // Who has registered last is called, as long as somebody has.
        call_by_name(&mut plan, "talk").redial_ms = Some(5_000);
        plan
    },
    check: |evidence| {
        let gone = (Some(200), None);
        let told = [
            was_told(evidence, "stays", &[(Some(200), Some(600)), gone]),
            was_told(evidence, "takes", &[(Some(200), Some(60)), (Some(400), None), gone]),
        ];
        let last = of(evidence, "takes").registrations.last();
        let left = unless(last.is_some_and(|last| last.listed.is_empty()), || {
            format!("takes was told {last:?} in the end")
        });
        let until = last.map_or(Duration::ZERO, |last| last.at);
        let late = ["stays", "takes"].map(|host| {
            let calls = called_at(of(evidence, host));
            let late = calls.iter().find(|at| **at > until);
            unless(late.is_none() && (host == "stays" || !calls.is_empty()), || {
                format!("{host} was called at {calls:?}, all were taken back at {until:?}")
            })
        });
        told.into_iter().chain(late).chain([left]).flatten().collect()
    },
};

/// When those who stay have left.
const LEAVES_MS: u64 = 100_000;
/// How long until the one who was busy is called again: after the first refresh.
const REDIAL_MS: u64 = 65_000;

/// Three who register, are called, and leave.
pub const REGISTERED: Scenario = Scenario {
    name: "sip/registered",
    about: "phones register and are called by their names, then and when they have refreshed it: they are heard, or hear a stream",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.publisher(
            "publisher",
            LinkConfig::lan(),
            publish_audio(0, 20_000, super::Codec::Pcmu),
        );
        let mut start = || rng.below(1_000);
        let talk = PhonePlan {
            start_ms: start(),
            ..registered(registers("talk", LEAVES_MS), vec![BUSY, TAKES])
        };
        let listens = PhonePlan {
            start_ms: start(),
            voice: Some(Voice { stream: HEARD.to_owned(), epoch: 99 }),
            ..registered(registers("listens", LEAVES_MS), vec![TAKES])
        };
        // What the gateway calls is what was said last, a name; who said it is whose it is.
        let others = vec!["sip:many@elsewhere.invalid".to_owned()];
        let many = registered(Registers { others, ..registers("many", LEAVES_MS) }, vec![TAKES]);
        let many = PhonePlan { start_ms: start(), ..many };
        plan.phone("talk", LinkConfig::lan(), talk);
        plan.phone("listens", LinkConfig::dsl(), listens);
        plan.phone("many", LinkConfig::dsl(), many);
        call_by_name(&mut plan, "talk").redial_ms = Some(REDIAL_MS);
        call_by_name(&mut plan, "many");
        let call = call_by_name(&mut plan, "listens");
        (call.publish, call.play) = (None, Some(HEARD.to_owned()));
        hear(&mut plan, LEAVES_MS);
        plan
    },
    check: |evidence| {
        let refreshed = (Some(200), Some(EXPIRES_S));
        let all = ["talk", "listens", "many"];
        let told = all
            .iter()
            .map(|host| was_told(evidence, host, &[refreshed, refreshed, (Some(200), None)]));
        let over = all.iter().map(|host| ends(host, of(evidence, host), &["hung up"]));
        let answered = answers(of(evidence, "talk"));
        let answered =
            unless(answered == [486, 200], || format!("talk answered with {answered:?}"));
        let heard = of(evidence, "listens").heard.len();
        let heard = unless(heard >= 290, || format!("listens heard {heard} packets"));
        let listed = |it: &Registration| it.listed.len();
        let listed: Vec<_> = of(evidence, "many").registrations.iter().map(listed).collect();
        let both = unless(listed == [2, 2, 0], || format!("of many, {listed:?} were listed"));
        let found = told.chain(over).chain([answered, heard, both]);
        found.chain([heard_whole(evidence, CALLED.trim_start_matches("call/"))]).flatten().collect()
    },
};

/// How long after a call that was not taken it is made again.
const SOON_MS: u64 = 7_000;
/// When the one who vanishes does so, and when he is back.
const AWAY_MS: (u64, u64) = (12_000, 200_000);
/// From one try to register to the next, at most: after no answer.
const TRIES: Duration = Duration::from_millis(32_000 + RETRY_MS);
const RETRY_MS: u64 = 15_000;
/// From a registration to the call that has waited for it.
const CALLED_WITHIN: Duration = Duration::from_millis(300);

/// Those whose registrations run out, by their will or not.
pub const REGISTRATION_LAPSES: Scenario = Scenario {
    name: "sip/registration-lapses",
    about: "a registration runs out: until then its phone is called, then nobody is, until there is a phone again",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let once = |user| Registers { margin_s: None, ..registers(user, 0) };
        let once = |user| Registers { leaves_ms: None, ..once(user) };
        plan.phone("lapses", LinkConfig::lan(), registered(once("talk"), vec![BUSY]));
        let returns = PhonePlan {
            start_ms: 90_000 + rng.below(10_000),
            leave_ms: 200_000,
            ..registered(once("talk"), vec![TAKES])
        };
        plan.phone("returns", LinkConfig::dsl(), returns);
        let vanishes = Registers {
            margin_s: Some(10),
            retry_ms: Some(RETRY_MS),
            ..registers("vanishes", 300_000)
        };
        let vanishes = registered(vanishes, vec![BUSY, BUSY, TAKES]);
        plan.phone("vanishes", LinkConfig::lan(), vanishes);
        for user in ["talk", "vanishes"] {
            call_by_name(&mut plan, user).redial_ms = Some(SOON_MS);
        }
        plan.fault(AWAY_MS.0, "vanishes", Lever::BlackHole(true));
        plan.fault(AWAY_MS.1, "vanishes", Lever::BlackHole(false));
        plan.terms.faulty.push("vanishes".to_owned());
        // Who asks just before and just after the end of what the first has shows when that is.
        let (first_ms, end_ms) = (1_000, 1_000 + u64::from(EXPIRES_S) * 1_000);
        let starts = [first_ms, end_ms - 50 - rng.below(900), end_ms + 50 + rng.below(900)];
        for (start_ms, index) in starts.into_iter().zip(0..) {
            let asks = PhonePlan { start_ms, ..registered(once("shared"), vec![BUSY]) };
            plan.phone(&format!("asks-{index}"), LinkConfig::lan(), asks);
        }
        hear(&mut plan, 200_000);
        plan
    },
    check: |evidence| {
        let granted = [(Some(200), Some(EXPIRES_S))];
        let hosts = ["lapses", "returns", "asks-0", "asks-1", "asks-2"];
        let told = hosts.iter().map(|host| was_told(evidence, host, &granted));
        let lapses = called_at(of(evidence, "lapses"));
        let called = lapses.len() as u64;
        let often = unless(called == u64::from(EXPIRES_S) * 1_000 / (SOON_MS + 200) + 1, || {
            format!("lapses was called at {lapses:?}")
        });
        let at_once = ["returns", "vanishes"].map(|host| {
            let report = of(evidence, host);
            let back = if host == "returns" { Duration::ZERO } else { ms(AWAY_MS.1) };
            let mut granted = report.registrations.iter().filter(|it| it.granted_s.is_some());
            let granted = granted.find(|it| it.at >= back).map(|it| it.at).unwrap_or_default();
            let calls = called_at(report);
            let call = calls.iter().find(|at| **at >= back).copied().unwrap_or_default();
            unless((granted..granted + CALLED_WITHIN).contains(&call), || {
                format!("{host} was registered at {granted:?}, and called at {calls:?}")
            })
        });
        let vanishes = &of(evidence, "vanishes").registrations;
        let tries = vanishes.iter().filter(|it| it.status.is_none()).count();
        let back = vanishes.iter().find(|it| it.at >= ms(AWAY_MS.1) && it.status == Some(200));
        let back = back.map(|it| it.at).unwrap_or_default();
        let back = unless(tries >= 3 && back < ms(AWAY_MS.1) + TRIES, || {
            format!("vanishes tried {tries} times in vain, and was registered at {back:?}")
        });
        let over = ["returns", "vanishes"].map(|it| ends(it, of(evidence, it), &["hung up"]));
        let found = told.chain(at_once).chain(over).chain([often, back]);
        found.flatten().collect()
    },
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// When NATs forget, and what refreshes after that.
const REBOUND_MS: u64 = 30_000;
/// As each says that it is, behind its NAT: where it is, in another private network, nowhere.
const SAYS: [(&str, Option<Ipv4Addr>); 3] = [
    ("plain", None),
    ("private", Some(Ipv4Addr::new(192, 168, 1, 7))),
    ("nowhere", Some(Ipv4Addr::LOCALHOST)),
];

/// Phones behind NATs that give them other ports.
pub const REGISTERED_REBOUND: Scenario = Scenario {
    name: "sip/registered-rebound",
    about: "phones register from behind NATs, which give them other ports, and register again: they are called there",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        for (host, says_ip) in SAYS {
            let registers =
                Registers { margin_s: Some(35), retry_ms: Some(5_000), ..registers(host, 200_000) };
            let phone = PhonePlan {
                start_ms: rng.below(1_000),
                says_ip: says_ip.map(IpAddr::V4),
                ..registered(registers, vec![BUSY, TAKES])
            };
            plan.phone(host, LinkConfig::dsl(), phone);
            // Called before, and when it is elsewhere.
            call_by_name(&mut plan, host).redial_ms = Some(60_000);
            plan.fault(0, host, Lever::RebindNat);
            plan.fault(REBOUND_MS + rng.below(10_000), host, Lever::RebindNat);
            super::hear_on(&mut plan, &format!("call/{host}"), 200_000);
        }
        plan
    },
    check: |evidence| {
        let found = SAYS.iter().flat_map(|(host, _)| {
            let report = of(evidence, host);
            let told = answers(report);
            // Who has talked is called again, and talks no more.
            let told = unless(told.starts_with(&[486, 200, 486]), || {
                format!("{host} answered with {told:?}")
            });
            [told, ends(host, report, &["hung up"]), heard_whole(evidence, host)]
        });
        found.flatten().collect()
    },
};
